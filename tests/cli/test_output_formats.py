"""Results as JSON and as tab-separated fields."""

from __future__ import annotations

import json

import pytest

from rnntext.cli.output import (
    add_metrics,
    format_number,
    format_probability,
    in_chunks,
    json_line,
    scalar_metrics,
    tsv_line,
)


def test_json_rounds_the_numbers_of_a_result_at_any_depth() -> None:
    third = 1 / 3
    value = {
        "text": "naïve 你好\n",
        "p": third,
        "words": ("a", "b"),
        "pairs": [{"p": 2 * third}, third],
        "count": 3,
        "flag": True,
        "none": None,
    }
    line = json_line(value)
    assert line.endswith("}\n")
    assert "naïve 你好" in line
    assert line.count("\n") == 1
    assert json.loads(line) == {
        "text": "naïve 你好\n",
        "p": 0.333333,
        "words": ["a", "b"],
        "pairs": [{"p": 0.666667}, 0.333333],
        "count": 3,
        "flag": True,
        "none": None,
    }


def test_the_fields_of_a_row_come_first_and_stay_as_they_are() -> None:
    row = {"id": 7, "score": 0.123456789, "label": "given"}
    line = json_line({"label": "found", "p": 0.123456789}, row)
    assert line == '{"id": 7, "score": 0.123456789, "label": "found", "p": 0.123457}\n'


@pytest.mark.parametrize(
    "end", ["\t", "\n", "\r", "\v", "\f", "\x1c", "\x85", "\u2028", "\x1b", "\x9b"]
)
def test_a_field_stays_in_its_field_and_line(end: str) -> None:
    assert tsv_line(["a", f"b{end}c", ""]) == "a\tb c\t\n"


def test_json_has_no_character_that_ends_a_line_or_drives_a_terminal() -> None:
    value = {"text": "a\u2028b\x85c\x9b2J\x1b[2J"}
    line = json_line(value, {"own\x9c": "\u2029"})
    assert line[:-1].isprintable()
    assert json.loads(line) == {"own\x9c": "\u2029", **value}


def test_a_part_ends_with_the_line_that_fills_it() -> None:
    almost, full = "x" * (2**18 - 1), "y" * 2**18
    assert list(in_chunks([almost, "a", almost, "b", full, "c"])) == [
        almost + "a",
        almost + "b",
        full,
        "c",
    ]


def test_probabilities_have_four_decimals() -> None:
    assert [format_probability(p) for p in (0.5, 1.0, 0.12345, 1e-9)] == [
        "0.5000",
        "1.0000",
        "0.1235",
        "0.0000",
    ]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (0.5, "0.5"),
        (1 / 3, "0.333333"),
        (100.0, "100"),
        (0.0, "0"),
        (0.05, "0.05"),
        (100, "100"),
        (True, "True"),
        ("1.0", "1.0"),
    ],
)
def test_metrics_have_no_idle_zeros(value: object, text: str) -> None:
    assert format_number(value) == text


def test_scalar_metrics_are_numbers_and_unknown_ones() -> None:
    metrics = {"f1": 0.5, "count": 3, "bits": None, "labels": {"a": 1}, "bins": [1.0], "s": "x"}
    assert scalar_metrics(metrics) == {"f1": 0.5, "count": 3, "bits": None}


def test_a_metric_with_the_name_of_a_fact_is_prefixed() -> None:
    facts = {"precision": "int8", "steps": 3}
    added = add_metrics(facts, {"recall": 0.5, "precision": 0.25, "table": {}})
    assert list(added.items()) == [
        ("precision", "int8"),
        ("steps", 3),
        ("recall", 0.5),
        ("metrics.precision", 0.25),
    ]
