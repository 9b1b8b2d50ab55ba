"""Columns beside the own ones of a row."""

from __future__ import annotations

from rnntext.text.beside import names_beside, rounded


def test_a_name_that_is_taken_has_a_prefix() -> None:
    own = ["label", "rnntext_label", "tags"]
    found = names_beside(own, ["label", "probability", "tags"])
    assert found == ["rnntext_rnntext_label", "probability", "rnntext_tags"]
    assert names_beside([], ["label"]) == ["label"]


def test_numbers_are_rounded_wherever_they_are() -> None:
    value = {"a": 1.23456789, "b": [{"c": (0.1234567, "x")}], "d": 1, "e": None, "f": True}
    assert rounded(value) == {
        "a": 1.234568, "b": [{"c": [0.123457, "x"]}], "d": 1, "e": None, "f": True
    }  # fmt: skip
