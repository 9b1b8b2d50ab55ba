"""Results as JSON and as tab-separated fields."""

from __future__ import annotations

import json

import pytest

from rnntext.cli.output import (
    add_metrics,
    answer_line,
    format_number,
    format_probability,
    in_chunks,
    json_line,
    scalar_metrics,
    tsv_line,
)
from rnntext.text.records import Record


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


def test_the_fields_of_a_row_that_bear_an_answer_s_name_are_kept() -> None:
    answer = {"text": "t", "label": "found", "p": 0.123456789}

    def of(row: dict[str, object] | None, column: str | None = "text") -> str:
        return answer_line(Record("t", row, column=column), answer)

    found = '"text": "t", "label": "found", "p": 0.123457'
    assert of(None, None) == f"{{{found}}}\n"
    assert of({"id": 7, "x": 0.123456789}) == f'{{"id": 7, "x": 0.123456789, {found}}}\n'
    # Whether its value differs is of no matter: a script finds it in the same place.
    for label in ("gold", "found"):
        kept = f'"input": {{"label": "{label}"}}'
        assert of({"label": label, "id": 7}) == f'{{"id": 7, {found}, {kept}}}\n'
    # The text is repeated only if it was another.
    assert of({"text": "t", "id": 7}) == f'{{"text": "t", "id": 7, {found[13:]}}}\n'
    own = {"text": "other", "p": 0.123456789}
    assert json.loads(of({"body": "t", **own}, "body"))["input"] == own
    # A field of the name `input` stays where it is, or goes with the others.
    assert json.loads(of({"input": 1})) == {"input": 1, **answer, "p": 0.123457}
    row = {"input": {"a": 1}, "label": "gold"}
    assert json.loads(of(row)) == {**answer, "p": 0.123457, "input": row}


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
