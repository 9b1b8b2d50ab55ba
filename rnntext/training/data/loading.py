"""Training data, from files to what an objective learns from.

Knows: what a run's data come from, by what they are found again in the cache, and what they are
when they are read from there. Does not know: how text becomes ids, networks or the run.

The arrays come from the disk as they are needed, whether this run wrote them or another, so that
both learn from the same.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from typing import Any, BinaryIO

import numpy as np
import tokenizers

from rnntext import __version__
from rnntext.text.formats import HUB_PREFIX, DataOptions
from rnntext.text.labelled import files_of_classes
from rnntext.text.lines import text_files
from rnntext.text.tokenizer import Tokenizer, TokenizerConfig
from rnntext.training.data import cache
from rnntext.training.data.cache import Entry
from rnntext.training.data.examples import LabelledIds, LabelledRows, TaggedIds, TaggedRows
from rnntext.training.data.prepare import (
    COPYING,
    COUNTS,
    IDS,
    TARGETS,
    TOKENIZER,
    TRAIN,
    VALID,
    Spent,
    Write,
)
from rnntext.training.data.prepare_examples import plan_examples
from rnntext.training.data.prepare_text import plan_text
from rnntext.training.data.rereadable import rereadable
from rnntext.training.data.store import Array, IdSequence
from rnntext.training.events import DataSummary, EncodedFiles
from rnntext.training.options import TrainingOptions

# Of what is in an entry, and of how it was made, the rules for splits and vocabularies among it:
# another number, and all is made again.
_FORMAT = 3
# Options that change what is read or how it is encoded.
_TELLING = (
    "task", "format", "text_column", "label_column", "tag_column", "multi_label",
    "label_separator", "encoding", "encoding_errors", "split", "tokenizer", "vocab_size",
    "min_frequency", "lowercase", "part",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class LanguageData:
    tokenizer: Tokenizer
    stream: IdSequence  # ids of the training text, a line's end after each line
    counts: Array  # how often each id is in it
    valid: list[Array]  # ids of each validation document
    valid_bytes: int | None  # None where the tokenizer loses text
    summary: DataSummary
    encoded: EncodedFiles


@dataclass(frozen=True, slots=True)
class LabelledData:
    tokenizer: Tokenizer
    labels: tuple[str, ...]
    train: LabelledRows
    valid: LabelledIds
    summary: DataSummary
    encoded: EncodedFiles


@dataclass(frozen=True, slots=True)
class TaggedData:
    tokenizer: Tokenizer
    labels: tuple[str, ...]
    train: TaggedRows
    valid: list[TaggedIds]
    summary: DataSummary
    encoded: EncodedFiles


Data = LanguageData | LabelledData | TaggedData


def load_data(
    options: TrainingOptions,
    tokenizer: Tokenizer | None = None,
    *,
    spent: Spent = lambda: 0.0,
    keep: bool = True,
) -> Data:
    """Read, split and encode what `options` names, or take it from the cache; `tokenizer` is
    another model's, to go on with. Where too much of a time budget is `spent` a part is used and
    stated; it is not kept for other runs, nor is anything without `keep`.
    """
    paths = [*options.data, *([] if options.valid is None else [options.valid])]
    with rereadable(paths, data_options(options), lambda: spent() > COPYING) as reading:

        def key() -> str | None:
            return _key(options, paths, reading) if keep else None

        found = key()
        name = _name(found, tokenizer)
        entry = _learned(found, tokenizer) or (cache.find(name) if name is not None else None)
        if entry is None:
            write = _plan(options, reading, tokenizer, spent)
            # What changed while it was read is not what its name says.
            entry = cache.build(name, lambda draft: write(draft) and key() == found)
    with closing(entry):
        return _data_of(options.task, entry, tokenizer)


def _name(key: str | None, tokenizer: Tokenizer | None) -> str | None:
    """The entry's name where these data are encoded with this tokenizer."""
    if key is None or tokenizer is None:
        return key
    return cache.key_of({"data": key, "given": _content(tokenizer)}, ())


def _learned(key: str | None, tokenizer: Tokenizer | None) -> Entry | None:
    """The entry of a run that learned this very tokenizer from these data, as one that is
    resumed did."""
    if key is None or tokenizer is None:
        return None
    entry = cache.find(key)
    if entry is not None and _content(_tokenizer_in(entry)) != _content(tokenizer):
        entry.close()
        return None
    return entry


def _content(tokenizer: Tokenizer) -> list[Any]:
    return [tokenizer.to_json(), asdict(tokenizer.config)]


def _tokenizer_in(entry: Entry) -> Tokenizer:
    return tokenizer_of(entry.text(TOKENIZER), entry.meta["tokenizer"])


def data_options(options: TrainingOptions) -> DataOptions:
    """How the files of a run are read."""
    return DataOptions(
        format=options.format,
        text_column=options.text_column,
        label_column=options.label_column or "label",
        tag_column=options.tag_column,
        multi_label=options.multi_label,
        label_separator=options.label_separator,
        encoding=options.encoding,
        encoding_errors=options.encoding_errors,
        split=options.split,
    )


def _plan(
    options: TrainingOptions,
    reading: DataOptions,
    tokenizer: Tokenizer | None,
    spent: Spent,
) -> Write:
    plan = plan_text if options.task == "lm" else plan_examples
    return plan(options, reading, tokenizer, spent)


def _key(
    options: TrainingOptions,
    paths: list[str],
    reading: DataOptions,
) -> str | None:
    """The name of these data in the cache; None for what has no files here, or none that can be
    read, which is for the readers to say."""
    if any(path.startswith(HUB_PREFIX) for path in paths):
        return None
    settings = {name: getattr(options, name) for name in _TELLING}
    settings |= {
        "versions": [_FORMAT, __version__, tokenizers.__version__],
        "seed": options.seed if options.valid is None else None,
    }
    try:
        return cache.key_of(settings, _files(options.task, paths, reading))
    except OSError:
        return None


def _files(task: str, paths: list[str], reading: DataOptions) -> Iterator[tuple[str, BinaryIO]]:
    """The files that are read for `paths`, each with its path's number and its name there."""
    for number, path in enumerate(paths):
        copy = reading.copies.get(path)
        if copy is not None:
            with open(copy.descriptor, "rb", closefd=False) as file:
                yield f"{number} {os.path.basename(path)}", file
            continue
        inside = files_of_classes if task == "classify" else text_files
        above = os.path.dirname(path.rstrip(os.sep))
        for name in inside(path) if os.path.isdir(path) else [path]:
            with open(name, "rb") as file:
                yield f"{number} {os.path.relpath(name, above)}", file


def _data_of(task: str, entry: Entry, tokenizer: Tokenizer | None) -> Data:
    meta = entry.meta
    summary = DataSummary(**meta["summary"])
    tokenizer = tokenizer or _tokenizer_in(entry)
    place = None if entry.folder is None else str(entry.folder)
    encoded = EncodedFiles(entry.size, place, entry.reused, entry.trouble)
    if task == "lm":
        return LanguageData(
            tokenizer,
            entry.stream(IDS + TRAIN),
            entry.array(COUNTS),
            list(entry.rows_in_memory(IDS + VALID)),
            meta["valid_bytes"],
            summary,
            encoded,
        )
    labels = tuple(meta["labels"])
    ids, targets = entry.rows(IDS + TRAIN), entry.rows(TARGETS + TRAIN)
    valid_ids = entry.rows_in_memory(IDS + VALID)
    valid_targets = entry.rows_in_memory(TARGETS + VALID)
    everything = np.arange(len(valid_ids))
    if task == "classify":
        valid = LabelledRows(valid_ids, valid_targets, len(labels)).read(everything)
        train = LabelledRows(ids, targets, len(labels))
        return LabelledData(tokenizer, labels, train, valid, summary, encoded)
    sentences = TaggedRows(valid_ids, valid_targets).read(everything)
    return TaggedData(tokenizer, labels, TaggedRows(ids, targets), sentences, summary, encoded)


def tokenizer_of(text: str, config: dict[str, Any]) -> Tokenizer:
    """The tokenizer of a checkpoint."""
    return Tokenizer.load(text, TokenizerConfig(**config))
