"""Training data, from files to what an objective learns from.

Knows: reading, the split into training and validation, the tokenizer's training, encoding,
and what there is to say about the data. Does not know: networks or the run.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import numpy.typing as npt

from rnntext.config import TrainingOptions
from rnntext.errors import DataError
from rnntext.text.formats import DataOptions
from rnntext.text.labelled import Labelled, read_labelled
from rnntext.text.lines import Line, read_lines
from rnntext.text.source import source_name
from rnntext.text.splits import overlap, split_labelled, split_lines, split_tagged
from rnntext.text.tagged import Tagged, read_tagged
from rnntext.text.tokenizer import Tokenizer, TokenizerConfig
from rnntext.training.events import Summary
from rnntext.training.objectives import LabelledIds, TaggedIds
from rnntext.training.presets import choose_tokenizer

Array = npt.NDArray[Any]

# Where no validation file is named: this part of the data, but no more than is needed to tell
# two models apart.
_VALID_SHARE = 0.1
_VALID_CHARACTERS = 1_500_000
_VALID_EXAMPLES = 5000
_CHUNK = 10_000  # lines encoded in one call


@dataclass(frozen=True, slots=True)
class LanguageData:
    tokenizer: Tokenizer
    stream: Array  # ids of the training text, a line's end after each line
    valid: list[Array]  # ids of each validation document
    valid_bytes: int | None  # None where the tokenizer loses text
    summary: Summary


@dataclass(frozen=True, slots=True)
class LabelledData:
    tokenizer: Tokenizer
    labels: tuple[str, ...]
    train: LabelledIds
    valid: LabelledIds
    summary: Summary


@dataclass(frozen=True, slots=True)
class TaggedData:
    tokenizer: Tokenizer
    labels: tuple[str, ...]
    train: list[TaggedIds]
    valid: list[TaggedIds]
    summary: Summary


Data = LanguageData | LabelledData | TaggedData


def load_data(
    options: TrainingOptions,
    tokenizer: Tokenizer | None = None,
    *,
    out_of_time: Callable[[], bool] = lambda: False,
) -> Data:
    """Read, split and encode what `options` names; `tokenizer` is another model's, to go on
    with. A language model's text is read until `out_of_time` and the part used is stated."""
    if options.task == "lm":
        return _language_data(options, tokenizer, out_of_time)
    if options.task == "classify":
        return _labelled_data(options, tokenizer)
    return _tagged_data(options, tokenizer)


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


def _language_data(
    options: TrainingOptions, tokenizer: Tokenizer | None, out_of_time: Callable[[], bool]
) -> LanguageData:
    reading = data_options(options)
    name = source_name(options.data[0])
    lines: list[Line] = []
    cut_short = False
    most_read, most_encoded = options.part or (None, None)
    for number, line in enumerate(read_lines(options.data, reading)):
        late = number % _CHUNK == 0 and number and out_of_time()
        if late or number == most_read:
            cut_short = True
            break
        lines.append(line)
    if options.valid is None:
        share = min(_VALID_SHARE, _VALID_CHARACTERS / sum(len(line.text) + 1 for line in lines))
        train, valid = split_lines(lines, share, options.seed)
        if not valid or not any(line.text.strip() for line in train):
            raise DataError(
                f"{name}: one line of text is too little to train and validate on: "
                "give more, or name a validation file with --valid"
            )
    else:
        train, valid = lines, list(read_lines([options.valid], reading))
    characters = sum(len(line.text) + 1 for line in train)
    if tokenizer is None:
        tokenizer = _train_tokenizer(options, (line.text for line in train), characters)
    encoded: list[Array] = []
    done = 0
    for chunk in _chunks([line.text for line in train[:most_encoded]]):
        encoded.extend(tokenizer.encode_lines(chunk))
        done += len(chunk)
        if done < len(train) and out_of_time():
            cut_short = True
            break
    stream = np.concatenate(encoded)
    if len(stream) < 20:
        raise DataError(f"{name}: {len(stream)} tokens are too few to train on")
    documents = [
        np.concatenate(tokenizer.encode_lines([line.text for line in group]))
        for _, group in groupby(valid, key=lambda line: line.document)
    ]
    unknown = tokenizer.unk_id is not None and any(
        bool((ids == tokenizer.unk_id).any()) for ids in documents
    )
    keeps_all = not tokenizer.loses_text and not unknown
    texts = [line.text for line in train[:done]]
    summary = Summary(
        unit="lines",
        train=done,
        valid=len(valid),
        characters=sum(len(text) + 1 for text in texts),
        duplicates=overlap(
            (text for text in texts if text.strip()),
            (line.text for line in valid if line.text.strip()),
        ),
        fingerprint=_fingerprint(texts),
        read=len(lines),
        cut_short=cut_short or options.part is not None,
    )
    valid_bytes = sum(len(line.text.encode()) + 1 for line in valid)
    return LanguageData(tokenizer, stream, documents, valid_bytes if keeps_all else None, summary)


def _labelled_data(options: TrainingOptions, tokenizer: Tokenizer | None) -> LabelledData:
    reading = data_options(options)
    name = source_name(options.data[0])
    examples = list(read_labelled(options.data, reading))
    counts = Counter(label for example in examples for label in example.labels)
    _require_two_labels(options, counts)
    if not options.multi_label:
        for example in examples:
            if counts[example.labels[0]] == 1:
                raise DataError(
                    f"{example.source}, line {example.line}: the label {example.labels[0]!r} is "
                    "seen only here: give it a second example or take it out"
                )
    if options.valid is None:
        share = min(_VALID_SHARE, _VALID_EXAMPLES / len(examples))
        train, valid = split_labelled(examples, share, options.seed)
        if not valid:
            raise DataError(
                f"{name}: {len(examples)} examples are too few to keep some for "
                "validation: give more, or name a validation file with --valid"
            )
    else:
        train, valid = examples, list(read_labelled([options.valid], reading))
    labels = tuple(sorted(counts))
    for example in valid:
        unseen = set(example.labels) - set(labels)
        if unseen:
            raise DataError(
                f"{example.source}, line {example.line}: the label {min(unseen)!r} is not in the "
                f"training data, which has {_listed(labels)}"
            )
    characters = sum(len(example.text) for example in train)
    if tokenizer is None:
        texts = (line for example in train for line in example.text.split("\n"))
        tokenizer = _train_tokenizer(options, texts, characters)
    summary = Summary(
        unit="documents",
        train=len(train),
        valid=len(valid),
        characters=characters,
        duplicates=overlap((e.text for e in train), (e.text for e in valid)),
        fingerprint=_fingerprint(part for e in train for part in (e.text, *e.labels)),
        labels=dict(Counter(label for e in train for label in e.labels)),
    )
    return LabelledData(
        tokenizer,
        labels,
        _encode_labelled(tokenizer, train, labels),
        _encode_labelled(tokenizer, valid, labels),
        summary,
    )


def _tagged_data(options: TrainingOptions, tokenizer: Tokenizer | None) -> TaggedData:
    reading = data_options(options)
    name = source_name(options.data[0])
    sentences = list(read_tagged(options.data, reading))
    if options.valid is None:
        share = min(_VALID_SHARE, _VALID_EXAMPLES / len(sentences))
        train, valid = split_tagged(sentences, share, options.seed)
        if not valid:
            raise DataError(
                f"{name}: {len(sentences)} sentences are too few to keep some for "
                "validation: give more, or name a validation file with --valid"
            )
    else:
        train, valid = sentences, list(read_tagged([options.valid], reading))
    counts = Counter(tag for sentence in train for tag in sentence.tags)
    # A span that begins can also go on, and the other way round, though no example does.
    spans = {tag[2:] for tag in counts if tag.startswith(("B-", "I-"))}
    is_spans = bool(spans) and all(tag == "O" or tag[:2] in ("B-", "I-") for tag in counts)
    extra = {f"{mark}-{kind}" for kind in spans for mark in "BI"} | {"O"} if is_spans else set()
    _require_two_labels(options, {**counts, **dict.fromkeys(extra - set(counts), 0)})
    labels = tuple(sorted(set(counts) | extra))
    characters = sum(len(word) + 1 for sentence in train for word in sentence.words)
    if tokenizer is None:
        texts = (" ".join(sentence.words) for sentence in train)
        tokenizer = _train_tokenizer(options, texts, characters, presplit=True)
    known = set(labels)
    for sentence in valid:
        missing = set(sentence.tags) - known
        if missing:
            raise DataError(
                f"{sentence.source}, line {sentence.line}: the tag {min(missing)!r} is not in the "
                f"training data, which has {_listed(labels)}"
            )
    summary = Summary(
        unit="sentences",
        train=len(train),
        valid=len(valid),
        characters=characters,
        duplicates=overlap((s.words for s in train), (s.words for s in valid)),
        fingerprint=_fingerprint(part for s in train for part in (*s.words, *s.tags)),
        labels=dict(counts),
    )
    return TaggedData(
        tokenizer,
        labels,
        _encode_tagged(tokenizer, train, labels),
        _encode_tagged(tokenizer, valid, labels),
        summary,
    )


def _train_tokenizer(
    options: TrainingOptions,
    texts: Iterator[str],
    characters: int,
    presplit: bool | None = None,
) -> Tokenizer:
    kind, size, lowercase = choose_tokenizer(options, characters)
    return Tokenizer.train(
        kind,
        texts,
        vocab_size=size,
        lowercase=lowercase,
        min_frequency=options.min_frequency,
        presplit=presplit,
    )


def _encode_labelled(
    tokenizer: Tokenizer, examples: Sequence[Labelled], labels: Sequence[str]
) -> LabelledIds:
    index = {label: number for number, label in enumerate(labels)}
    matrix = np.zeros((len(examples), len(labels)), np.float32)
    for row, example in enumerate(examples):
        matrix[row, [index[label] for label in example.labels]] = 1
    ids: list[Array] = []
    for chunk in _chunks([example.text for example in examples]):
        ids.extend(tokenizer.encode(chunk))
    # A text without a single token is read as an empty line.
    end = np.array([tokenizer.eos_id], np.int32)
    return LabelledIds([row if len(row) else end for row in ids], matrix)


def _encode_tagged(
    tokenizer: Tokenizer, sentences: Sequence[Tagged], labels: Sequence[str]
) -> list[TaggedIds]:
    index = {label: number for number, label in enumerate(labels)}
    encoded = tokenizer.encode_words([sentence.words for sentence in sentences])
    return [
        TaggedIds(e.ids, e.first, e.last, np.array([index[tag] for tag in s.tags], np.int32))
        for e, s in zip(encoded, sentences, strict=True)
    ]


def _chunks(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(texts), _CHUNK):
        yield texts[start : start + _CHUNK]


def _require_two_labels(options: TrainingOptions, counts: dict[str, int] | Counter[str]) -> None:
    name = source_name(options.data[0])
    if len(counts) < 2 and not options.multi_label:
        only = f"only the label {next(iter(counts))!r}" if counts else "no labels"
        raise DataError(f"{name} has {only}: there is nothing to tell apart")
    if not counts:
        raise DataError(f"{name} has no labels: there is nothing to learn")


def _listed(labels: Sequence[str], most: int = 12) -> str:
    shown = ", ".join(labels[:most])
    return shown if len(labels) <= most else f"{shown} and {len(labels) - most} more"


def _fingerprint(parts: Iterator[str] | Sequence[str]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.encode("utf-8", "surrogatepass"))
        digest.update(b"\0")
    return digest.hexdigest()


def tokenizer_of(text: str, config: dict[str, Any]) -> Tokenizer:
    """The tokenizer of a checkpoint."""
    return Tokenizer.load(text, TokenizerConfig(**config))
