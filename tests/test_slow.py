"""The list of slow tests, and the marker that they get."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests import conftest
from tests.conftest import slow_tests


@pytest.mark.parametrize("name", slow_tests())
def test_every_line_of_the_list_names_tests(name: str) -> None:
    file, _, test = name.partition("::")
    source = (Path(__file__).parents[1] / file).read_text("utf-8")
    assert not test or f"\ndef {test}(" in source


class Item:
    def __init__(self, nodeid: str) -> None:
        self.nodeid, self.markers = nodeid, list[str]()

    def add_marker(self, marker: pytest.MarkDecorator) -> None:
        self.markers.append(marker.name)


def test_listed_tests_are_marked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conftest, "slow_tests", lambda: ["a/test_a.py", "a/test_b.py::test_one"])
    names = {
        "a/test_a.py::test_any": True,
        "a/test_a.py::test_any[x::y]": True,
        "a/test_b.py::test_one": True,
        "a/test_b.py::test_one[1]": True,
        "a/test_b.py::test_one_more": False,
        "b/a/test_a.py::test_any": False,
    }
    items: list[Any] = [Item(name) for name in names]
    conftest.pytest_collection_modifyitems(items)
    assert {item.nodeid: item.markers == ["slow"] for item in items} == names
