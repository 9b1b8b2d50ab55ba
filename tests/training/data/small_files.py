"""Small data files, and what they are loaded as.

Knows: how a few lines, rows or sentences are written to a file of each format. Does not know: what
the tests expect of them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rnntext.training.data import loading
from rnntext.training.data.examples import LabelledIds, LabelledRows
from rnntext.training.data.loading import Data
from rnntext.training.options import TrainingOptions
from rnntext.training.tasks.base import get_task
from rnntext.training.tasks.classifier import LabelledExamples
from rnntext.training.tasks.language_model import TextExamples
from rnntext.training.tasks.tagger import TaggedExamples

SAMPLE = "naïve café 你好 🙂"


def load_data(options: TrainingOptions, *args: Any, keep: bool = True, **more: Any) -> Data[Any]:
    """Load the data of the options' own task."""
    return loading.load_data(get_task(options.task), options, *args, keep=keep, **more)


def write(path: Path, *lines: str) -> str:
    path.write_text("".join(line + "\n" for line in lines), "utf-8")
    return str(path)


def story(tmp_path: Path, lines: int = 60) -> str:
    return write(tmp_path / "text", *(f"{SAMPLE} line {number}" for number in range(lines)))


def language(*data: str, **options: Any) -> Data[TextExamples]:
    loaded = load_data(TrainingOptions("lm", data, **options))
    assert isinstance(loaded.examples, TextExamples)
    return loaded


def texts(loaded: Data[TextExamples]) -> tuple[str, list[str]]:
    """Decode the training text and the validation documents."""
    decode, examples = loaded.tokenizer.decode, loaded.examples
    return decode(examples.stream[:]), [decode(document) for document in examples.valid]


def table(path: Path, rows: list[tuple[str, str]]) -> str:
    return write(path, *(json.dumps({"text": text, "label": label}) for text, label in rows))


def labelled(*data: str, **options: Any) -> Data[LabelledExamples]:
    loaded = load_data(TrainingOptions("classify", data, **{"tokenizer": "byte", **options}))
    assert isinstance(loaded.examples, LabelledExamples)
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


def tagged(*data: str, **options: Any) -> Data[TaggedExamples]:
    loaded = load_data(TrainingOptions("tag", data, **{"tokenizer": "byte", **options}))
    assert isinstance(loaded.examples, TaggedExamples)
    return loaded
