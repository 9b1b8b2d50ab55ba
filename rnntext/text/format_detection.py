"""Detects the format of a data file: from `--format`, from the extension, or from its first lines.

Knows: which extensions each task takes for which format, and what the first lines of a format look
like. Does not know: how a format is parsed.

`head` is always the first lines that are not blank, as `source.peek_lines` returns them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from rnntext.text.formats import HUB_PREFIX, DataOptions
from rnntext.text.source import extension

FASTTEXT_PREFIX = "__label__"
CONLLU_WIDTH = 10  # columns

PARQUET = ".parquet"
_TABLE_EXTENSIONS = {".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl", ".json": "jsonl"}


def is_hub_or_parquet(path: str, options: DataOptions) -> bool:
    """Return True for an `hf:` name or a Parquet file, which `remote` reads."""
    return path.startswith(HUB_PREFIX) or "parquet" in (options.format, extension(path)[1:])


def is_text_table(path: str, options: DataOptions) -> bool:
    """Return True if a language model reads `path` as a table, not as plain text."""
    if options.format is not None:
        return options.format != "text"
    # Without --text-column a .json file is plain text.
    return options.text_column is not None or extension(path) in (".csv", ".tsv", ".jsonl")


def table_format_of_extension(path: str) -> str | None:
    """Return `csv`, `tsv` or `jsonl`, or None for any other extension."""
    return _TABLE_EXTENSIONS.get(extension(path))


def is_table_extension(suffix: str) -> bool:
    """Return True for the extension of files whose columns have names."""
    return suffix in _TABLE_EXTENSIONS or suffix == PARQUET


def table_format_of_content(head: Sequence[str]) -> str:
    """Return `csv`, `tsv` or `jsonl`, judged by the first line."""
    first = head[0] if head else ""
    if _starts_json(first):
        return "jsonl"
    return "tsv" if "\t" in first else "csv"


def detect_table_format(path: str, options: DataOptions, head: Sequence[str]) -> str:
    """Return the format of a table of texts."""
    return options.format or table_format_of_extension(path) or table_format_of_content(head)


def detect_labelled_format(path: str, options: DataOptions, head: Sequence[str]) -> str:
    """Return the format of a file of labelled texts."""
    # With --multi-label a line may have no label, so the first line alone cannot tell.
    is_fasttext = any(map(has_fasttext_label, head))
    by_content = "fasttext" if is_fasttext else table_format_of_content(head)
    return options.format or table_format_of_extension(path) or by_content


def has_fasttext_label(line: str) -> bool:
    """Return True if a word of `line` is a label of fastText."""
    return any(word.startswith(FASTTEXT_PREFIX) for word in re.split("[ \t]+", line))


def detect_tagged_format(path: str, options: DataOptions, head: Sequence[str]) -> str:
    """Return the format of a file of tagged sentences."""
    by_extension = "conllu" if extension(path) == ".conllu" else table_format_of_extension(path)
    if by_extension in ("csv", "tsv"):
        # .tsv is a common name for CoNLL columns, and no CSV or TSV row holds a sentence.
        by_extension = None
    return options.format or by_extension or _tagged_format_of_content(head)


def _tagged_format_of_content(head: Sequence[str]) -> str:
    if head and _starts_json(head[0]):
        return "jsonl"
    first = next((line for line in head if not line.startswith("#")), "")
    is_numbered = re.match(r"\d+([-.]\d+)?\t", first) is not None
    return "conllu" if is_numbered and first.count("\t") == CONLLU_WIDTH - 1 else "conll"


def _starts_json(line: str) -> bool:
    """Return True if `line` starts a JSON object, or an array of them. A brace alone may be a word
    or a CSV header."""
    return re.match(r'(\[\s*)?\{\s*["}]|\[\s*(\{\s*)?$', line.lstrip()) is not None
