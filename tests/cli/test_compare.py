"""`rnntext compare` without, or with a wrong, thing to compare."""

from __future__ import annotations

import sys

import pytest

from rnntext.cli.compare import COMPARISONS
from rnntext.cli.main import main


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), f"name what to compare: {', '.join(COMPARISONS)}"),
        (("songs",), "No such command 'songs'"),
        (("lm",), "Missing argument 'DATA...'"),
        (("tag", "x", "--seeds", "0"), "--seeds must be a whole number from 1 to 1,000"),
        (("lm", "x", "--steps", "1", "--epochs", "1"), "--epochs and --steps exclude each other"),
        (("tag", "x", "--multi-label"), "--multi-label is for train classify"),
        (("classify", "x", "--cell", "gru"), "No such option: --cell"),
    ],
)
def test_a_wrong_command_line(
    words: tuple[str, ...],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["rnntext", "compare", *words])
    with pytest.raises(SystemExit) as end:
        main()
    found = capsys.readouterr()
    assert (end.value.code, found.out) == (2, "")
    assert found.err.startswith("rnntext: ")
    assert message in found.err
    assert found.err.count("\n") == 1
