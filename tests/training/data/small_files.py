"""Small data files, and what they are loaded as.

Knows: how a few lines, rows or sentences are written to a file of each format. Does not know: what
the tests expect of them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rnntext.training.data.examples import LabelledIds, LabelledRows
from rnntext.training.data.loading import LabelledData, LanguageData, TaggedData, load_data
from rnntext.training.options import TrainingOptions

SAMPLE = "naïve café 你好 🙂"


def write(path: Path, *lines: str) -> str:
    path.write_text("".join(line + "\n" for line in lines), "utf-8")
    return str(path)


def story(tmp_path: Path, lines: int = 60) -> str:
    return write(tmp_path / "text", *(f"{SAMPLE} line {number}" for number in range(lines)))


def language(*data: str, **options: Any) -> LanguageData:
    loaded = load_data(TrainingOptions("lm", data, **options))
    assert isinstance(loaded, LanguageData)
    return loaded


def texts(loaded: LanguageData) -> tuple[str, list[str]]:
    """Decode the training text and the validation documents."""
    decode = loaded.tokenizer.decode
    return decode(loaded.stream[:]), [decode(document) for document in loaded.valid]


def table(path: Path, rows: list[tuple[str, str]]) -> str:
    return write(path, *(json.dumps({"text": text, "label": label}) for text, label in rows))


def labelled(*data: str, **options: Any) -> LabelledData:
    loaded = load_data(TrainingOptions("classify", data, **{"tokenizer": "byte", **options}))
    assert isinstance(loaded, LabelledData)
    return loaded


def all_rows(train: LabelledRows) -> LabelledIds:
    return train.read(range(len(train)))


def columns(path: Path, *sentences: str) -> str:
    """Write sentences given as `the/O cat/B-x`, a word and its tag on each line."""
    lines = []
    for sentence in sentences:
        lines += [" ".join(word.split("/")) for word in sentence.split()]
        lines.append("")
    return write(path, *lines)


def tagged(*data: str, **options: Any) -> TaggedData:
    loaded = load_data(TrainingOptions("tag", data, **{"tokenizer": "byte", **options}))
    assert isinstance(loaded, TaggedData)
    return loaded
