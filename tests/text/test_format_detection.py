"""Which format a file is detected as: `--format` first, then the extension, then the content."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from rnntext.text.format_detection import (
    detect_labelled_format,
    detect_table_format,
    detect_tagged_format,
    is_hub_or_parquet,
    is_text_table,
    table_format_of_content,
)
from rnntext.text.formats import DataOptions

Detect = Callable[[str, DataOptions, Sequence[str]], str]
CONLLU = "1\ta\ta\tX\t_\t_\t0\troot\t_\t_"


@pytest.mark.parametrize(
    ("head", "table_format"),
    [
        (['{"text": "a\\tb"}'], "jsonl"),
        (["{}"], "jsonl"),
        (['[{"text": "a"}, {}]'], "jsonl"),
        (["[", "{"], "jsonl"),
        ([" [ { "], "jsonl"),
        (["[a],b"], "csv"),
        (["text\tlabel"], "tsv"),
        (["text,label"], "csv"),
        (["{a},b"], "csv"),
        ([], "csv"),
    ],
)
def test_the_first_line_decides_between_tables(head: list[str], table_format: str) -> None:
    assert table_format_of_content(head) == table_format
    assert detect_table_format("-", DataOptions(), head) == table_format
    assert detect_labelled_format("a.txt", DataOptions(), head) == table_format


@pytest.mark.parametrize("detect", [detect_table_format, detect_labelled_format])
def test_format_precedes_extension_precedes_content_of_a_table(detect: Detect) -> None:
    head = ["__label__a b\tc"]
    assert detect("a.csv.gz", DataOptions(format="tsv"), head) == "tsv"
    assert detect("a.csv.gz", DataOptions(), head) == "csv"
    assert detect("a.json", DataOptions(), head) == "jsonl"
    assert (
        detect("-", DataOptions(), head)
        == {
            detect_table_format: "tsv",
            detect_labelled_format: "fasttext",
        }[detect]
    )


def test_any_of_the_first_lines_may_have_the_label_of_fasttext() -> None:
    assert detect_labelled_format("-", DataOptions(), ["no label", "__label__x a"]) == "fasttext"
    assert detect_labelled_format("-", DataOptions(), ["a b, __label__x"]) == "fasttext"
    assert detect_labelled_format("-", DataOptions(), ["text,a__label__x"]) == "csv"


@pytest.mark.parametrize(
    ("path", "head", "detected"),
    [
        ("a.conllu", ["a b"], "conllu"),
        ("a.conllu.gz", ["{}"], "conllu"),
        ("a.jsonl", ["a b"], "jsonl"),
        ("a.json", ["a b"], "jsonl"),
        ("a.conll", ["{}"], "jsonl"),
        ("a.conll", ["# text", CONLLU], "conllu"),
        ("a.tsv", [CONLLU], "conllu"),
        ("a.tsv", ["a\tX"], "conll"),
        ("a.csv", ["a,X"], "conll"),
        ("-", ["{}"], "jsonl"),
        ("-", [CONLLU.replace("1", "1-2", 1)], "conllu"),
        ("-", [CONLLU.replace("1", "1.1", 1)], "conllu"),
        ("-", [CONLLU.replace("1", "a", 1)], "conll"),
        ("-", [CONLLU + "\t_"], "conll"),
        ("-", ["#", "#"], "conll"),
        ("-", [], "conll"),
    ],
)
def test_formats_of_tagged_sentences(path: str, head: list[str], detected: str) -> None:
    assert detect_tagged_format(path, DataOptions(), head) == detected
    assert detect_tagged_format(path, DataOptions(format="conll"), head) == "conll"


@pytest.mark.parametrize(
    ("path", "options", "is_table"),
    [
        ("a.csv", {}, True),
        ("a.tsv.gz", {}, True),
        ("a.jsonl", {}, True),
        ("a.json", {}, False),
        ("a.txt", {}, False),
        ("-", {}, False),
        ("a.json", {"text_column": "x"}, True),
        ("a.txt", {"format": "csv"}, True),
        ("a.csv", {"format": "text", "text_column": "x"}, False),
    ],
)
def test_which_files_a_language_model_reads_as_tables(
    path: str, options: dict[str, str], is_table: bool
) -> None:
    assert is_text_table(path, DataOptions(**options)) == is_table


@pytest.mark.parametrize(
    ("path", "format_name", "expected"),
    [
        ("hf:imdb", None, True),
        ("a.parquet", None, True),
        ("a.PARQUET.gz", None, True),
        ("a.data", "parquet", True),
        ("a.csv", None, False),
        ("-", None, False),
        ("parquet", None, False),
    ],
)
def test_what_is_read_from_the_hub_or_parquet(
    path: str, format_name: str | None, expected: bool
) -> None:
    assert is_hub_or_parquet(path, DataOptions(format=format_name)) == expected
