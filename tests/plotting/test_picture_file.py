"""The name of a picture's file."""

from __future__ import annotations

from pathlib import Path

import pytest

from rnntext.errors import UsageError
from rnntext.plotting.picture_file import picture_format


def test_the_format_follows_from_the_name(tmp_path: Path) -> None:
    assert picture_format(tmp_path / "a.png") == "png"
    assert picture_format(tmp_path / "b.c.SVG") == "svg"


@pytest.mark.parametrize("name", ["a", "a.jpg", "png", ".png", "a.svg.gz"])
def test_other_names_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"ends in \.png or \.svg"):
        picture_format(tmp_path / name)


def test_a_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.png").mkdir()
    with pytest.raises(UsageError, match=r"a\.png"):
        picture_format(tmp_path / "a.png")
