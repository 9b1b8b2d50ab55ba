"""Options of data files: invalid values, and formats that do not serve a task."""

from __future__ import annotations

import pytest

from rnntext.errors import UsageError
from rnntext.text.formats import DataOptions
from rnntext.text.labelled import read_labelled
from rnntext.text.lines import read_lines
from rnntext.text.tagged import read_tagged


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"format": "xml"}, "^--format xml: choose one of csv, tsv, jsonl, fasttext, conllu, conl"),
        ({"label_separator": ";"}, "^--label-separator needs --multi-label"),
        ({"delimiter": ", "}, "^--delimiter , : give one character"),
        ({"label_separator": "", "multi_label": True}, "^--label-separator cannot be empty"),
        ({"encoding": "klingon"}, "^--encoding klingon"),
        ({"encoding_errors": "ignore"}, "^--encoding-errors ignore"),
    ],
)
def test_options_that_cannot_be(options: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        DataOptions(**options)


@pytest.mark.parametrize(
    ("read", "format_name", "task"),
    [
        (read_lines, "conllu", "lm"),
        (read_lines, "fasttext", "lm"),
        (read_labelled, "conll", "classify"),
        (read_labelled, "text", "classify"),
        (read_tagged, "csv", "tag"),
    ],
)
def test_a_format_must_serve_the_task(read: object, format_name: str, task: str) -> None:
    with pytest.raises(UsageError, match=f"--format {format_name} does not serve {task}: choose"):
        list(read(["no-such"], DataOptions(format=format_name)))
