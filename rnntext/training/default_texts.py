"""Defaults that a run chooses, in the words of the help.

Knows: in words, what takes the place of an option that is not given, for each task. Does not know:
how it is chosen; the recipes of the tasks do that (`training/tasks`), and tests hold these words
against them. They stand here because the help must not import PyTorch, as the tasks do.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rnntext.arguments import with_unit, written
from rnntext.training.declaration import Declaration, flag_of

_BY_SIZE = "by the size of the data"
_BY_PRESET = "by the preset"
_NO_LIMIT = "no limit"

_OF_ALL: Mapping[str, str] = {
    "valid": "a part of DATA, at most a tenth",
    "format": "from the name or the content",
    "text_column": "text",
    "label_column": "label",
    "label_separator": "a comma in .csv and .tsv",
    "delimiter": "a comma, in .tsv a tab",
    "cell": "lstm",
    "tokenizer": "bpe",
    "vocab_size": f"600 to 16,000, {_BY_SIZE}; of word and char 50,000",
    "min_frequency": "1, of the tokenizer word 2",
    "lowercase": "no-lowercase",
    "epochs": _NO_LIMIT,
    "steps": _NO_LIMIT,
    "minutes": _NO_LIMIT,
    "tune": "no search",
    "save_every": "60, or longer where saving takes long",
}
# Where a task differs from the others, or has an option by itself.
_OF_TASK: Mapping[str, Mapping[str, str]] = {
    "lm": {
        "preset": f"tiny, small or medium, {_BY_SIZE}",
        "layers": f"1 or 2, {_BY_PRESET}",
        "hidden": f"160, 256, 400 or 650, {_BY_PRESET}",
        "embed": "that of --hidden",
        "batch_size": f"16, 32 or 64, {_BY_SIZE}",
        "lr": "0.002",
        "dropout": f"0.3 or 0.6, {_BY_SIZE}",
        "bptt": "35",
        "select": "perplexity",
    },
    "classify": {
        "preset": f"tiny or small, {_BY_SIZE}",
        "layers": f"1 or 2, {_BY_PRESET}",
        "hidden": f"64, 256 or 384, {_BY_PRESET}",
        "embed": f"64, 96, 256 or 300, {_BY_PRESET}",
        "batch_size": f"16 or 32, {_BY_SIZE}",
        "lr": "0.001",
        "dropout": "0.5",
        "lowercase": "no-lowercase, of the tokenizer word lowercase",
        "select": "loss",
    },
    "tag": {
        "preset": f"tiny or small, {_BY_SIZE}",
        "text_column": "words",
        "tag_column": "upos, the last column, or tags, by the format",
        "layers": f"1 or 2, {_BY_PRESET}",
        "hidden": f"64, 128, 200 or 384, {_BY_PRESET}",
        "embed": f"64, 128, 200 or 300, {_BY_PRESET}",
        "batch_size": f"16 or 32, {_BY_SIZE}",
        "lr": "0.003",
        "dropout": "0.4",
        "crf": "crf up to 100 tags, or 256 of spans",
        "select": "loss, with --no-ngrams f1 or accuracy",
    },
}


def default_text(name: str, default: Any, declaration: Declaration, task: str | None) -> str:
    """The default of the training option `name` in the help of a task (None: of no one task), whose
    dataclass field has this `default`. Empty for a flag that is off."""
    words = _OF_TASK.get(task or "", {}).get(name) or _OF_ALL.get(name)
    if words is not None:
        return words
    if isinstance(default, bool):
        if not declaration.negatable:
            return ""
        return flag_of(name if default else f"no_{name}").removeprefix("--")
    if declaration.within is not None and declaration.within.has_units:
        return with_unit(default)
    return written(default)
