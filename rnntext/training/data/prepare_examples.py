"""Labelled documents and tagged sentences, from files to rows of ids.

Knows: the split into training and validation data, the set of labels, which of them only validation
has, and which data cannot be learned from. Does not know: any one task (its ExampleSchema does), or
where the rows are stored.

Validation examples are held in memory, training examples are not. The data are read up to four
times: to scan them, to take the validation part, to learn a tokenizer, and to encode. Training
examples without labels, if there are any, follow those with labels, and have no targets.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Generic

import numpy as np

from rnntext.checkpoint_config import DataSummary
from rnntext.config import listed
from rnntext.errors import DataError
from rnntext.text.formats import DataOptions
from rnntext.text.source import source_name
from rnntext.text.tokenizer import Tokenizer
from rnntext.training.data import prepare
from rnntext.training.data.cache import Draft
from rnntext.training.data.example_schema import Example, ExampleSchema
from rnntext.training.data.example_split import ExampleSplitter, Splitter
from rnntext.training.data.examples import encode_text
from rnntext.training.data.group_split import GroupSplitter
from rnntext.training.data.near_duplicates import fingerprint
from rnntext.training.data.prepare import (
    IDS,
    RAW,
    TARGETS,
    TEXTS,
    TRAIN,
    VALID,
    EntryWriter,
    Fingerprint,
    Learned,
    ShareSpent,
    chunks,
)
from rnntext.training.data.store import id_type
from rnntext.training.data.text_split import Overlap
from rnntext.training.data.unlabelled import UnlabelledExamples
from rnntext.training.options import TrainingOptions


@dataclass(slots=True)
class _Scan:
    """Statistics of one pass over the examples."""

    splitter: Splitter
    # Label -> file and line of its first example.
    first_seen: dict[str, tuple[str, int]] = field(default_factory=dict)
    characters: int = 0
    cut: bool = False  # the time budget ended it, or an input was copied in part


@dataclass(frozen=True, slots=True)
class _Parts(Generic[Example]):
    """Training and validation data."""

    train: Callable[[], Iterator[Example]]  # reads the training examples, from the start
    valid: list[Example]
    count: int  # of training examples
    characters: int  # of the training examples


def plan_examples(
    schema: ExampleSchema[Example],
    options: TrainingOptions,
    reading: DataOptions,
    given: Tokenizer | None,
    spent: ShareSpent,
) -> EntryWriter:
    """Scan the examples, split them and learn a tokenizer unless one is given; the result encodes
    them into a cache entry. Where too much of a time budget is spent for all of them, the summary
    states the part used. Raises DataError for data that cannot be learned from."""
    read = schema.reader(options.data, reading)
    most_read, most_encoded = prepare.limits(options)
    splitter = ExampleSplitter() if reading.group_column is None else GroupSplitter()
    scan = _scan(schema, splitter, islice(read(), most_read), spent)
    copies = reading.buffered_sources
    scan.cut |= any(copies[path].truncated for path in copies.keys() - {*options.unlabelled})
    labels = schema.label_set(scan.splitter.counts)
    _require_two_labels(options, labels)
    # The unread rest of a part may have a second example.
    if schema.requires_second_example and not scan.cut and most_read is None:
        _require_second_examples(scan)
    parts = _split(schema, options, reading, scan, read)
    unseen = _unseen_labels(schema, parts.valid, labels)
    unlabelled = UnlabelledExamples(schema, options, reading, parts.valid, spent)
    learned = prepare.learn_tokenizer(
        options,
        lambda: (
            line
            for example in chain(parts.train(), unlabelled.read())
            for line in schema.lines(example)
        ),
        parts.characters + unlabelled.characters,
        schema.tokenizer_defaults,
        spent,
        given,
        schema.presplit,
    )
    tokenizer = learned.tokenizer

    def write(draft: Draft) -> bool:
        has_groups = reading.group_column is not None
        encoder = _Encoder(schema, draft, tokenizer, labels, unseen, has_groups=has_groups)
        encoder.add_valid(parts.valid)
        labelled = islice(parts.train(), most_encoded)
        complete = encoder.add_train(labelled, parts.count, unlabelled, spent)
        summary = encoder.summary(
            learned,
            read=len(scan.splitter),
            cut_short=scan.cut or encoder.labelled_cut or most_read is not None,
        )
        prepare.write_meta(draft, tokenizer, summary, labels=labels, unseen=list(unseen))
        return complete and not (scan.cut or unlabelled.cut or learned.sample_cut)

    return write


def _scan(
    schema: ExampleSchema[Example],
    splitter: Splitter,
    examples: Iterable[Example],
    spent: ShareSpent,
) -> _Scan:
    scan, deadline = _Scan(splitter), prepare.scan_deadline(spent)
    for example in examples:
        if len(splitter) and len(splitter) % prepare.CHUNK == 0 and spent() > deadline:
            scan.cut = True
            break
        labels = schema.labels(example)
        splitter.add(schema.content(example), labels, schema.stratum(example), example.group)
        scan.characters += schema.size(example)
        for label in labels:
            scan.first_seen.setdefault(label, (example.source, example.line))
    return scan


def _split(
    schema: ExampleSchema[Example],
    options: TrainingOptions,
    reading: DataOptions,
    scan: _Scan,
    read_all: Callable[[], Iterator[Example]],
) -> _Parts[Example]:
    """The validation file that was named, else a seeded share of the examples."""
    total = len(scan.splitter)

    def read() -> Iterator[Example]:
        return islice(read_all(), total)

    if options.valid is not None:
        valid = list(schema.reader([options.valid], reading)())
        return _Parts(read, valid, total, scan.characters)
    split = scan.splitter.split(
        prepare.VALID_SHARE,
        prepare.VALID_EXAMPLES,
        options.seed,
        lambda: ((schema.content(example), schema.labels(example)) for example in read()),
    )
    valid = list(split.part(read(), schema.content, valid=True))
    if not valid:
        raise _nothing_for_validation(schema, options, scan.splitter)
    return _Parts(
        lambda: split.part(read(), schema.content, valid=False),
        valid,
        total - len(valid),
        scan.characters - sum(map(schema.size, valid)),
    )


def _nothing_for_validation(
    schema: ExampleSchema[Example], options: TrainingOptions, splitter: Splitter
) -> DataError:
    name, count = source_name(options.data[0]), len(splitter)
    groups, without = splitter.groups() if isinstance(splitter, GroupSplitter) else (0, 0)
    if groups:
        reason = (
            f"all {count} {schema.noun} are of one"
            if (groups, without) == (1, 0)
            else f"each of {groups} has all that there is of a label, shares texts with the "
            "others, or is over half of the data"
        )
        return DataError(
            f"{name}: nothing can be held out for validation without splitting a group of "
            f"--group-column {options.group_column} ({reason}): name a validation file with --valid"
        )
    return DataError(
        f"{name}: {count} {schema.noun} are too few, or too many of them equal, to keep some for "
        "validation: give more, or name a validation file with --valid"
    )


class _Encoder(Generic[Example]):
    """Encodes both parts into a cache entry and counts what it encodes."""

    def __init__(
        self,
        schema: ExampleSchema[Example],
        draft: Draft,
        tokenizer: Tokenizer,
        labels: Sequence[str],
        unseen: Counter[str],
        *,
        has_groups: bool,
    ) -> None:
        """`unseen`: labels that only the validation examples have, with their counts."""
        self._schema, self._draft, self._tokenizer = schema, draft, tokenizer
        self._shared_groups = Overlap() if has_groups else None
        self._label_ids = {label: number for number, label in enumerate(labels)}
        self._unseen = unseen
        self._valid_label_ids = {label: number for number, label in enumerate((*labels, *unseen))}
        self._overlap, self._near_overlap, self._fingerprint = Overlap(), Overlap(), Fingerprint()
        self._label_counts: Counter[str] = Counter()
        self._valid_count = self._train_count = self._train_characters = 0
        self._valid_tokens = self._valid_unknown = 0
        self.labelled_cut = False  # the time budget ended the encoding of examples with labels
        # Of the examples without labels.
        self._unlabelled_count = self._unlabelled_read = self._left_out = 0
        self._unlabelled_cut, self._unlabelled_fingerprint = False, Fingerprint()

    def add_valid(self, examples: Sequence[Example]) -> None:
        self._valid_count = len(examples)
        self._overlap.add_valid(map(self._schema.content, examples))
        self._near_overlap.add_valid(map(self._near_content, examples))
        if self._shared_groups is not None:
            self._shared_groups.add_valid({e.group for e in examples} - {None})
        self._write(VALID, [examples])

    def add_train(
        self,
        examples: Iterable[Example],
        count: int,
        unlabelled: UnlabelledExamples[Example],
        spent: ShareSpent,
    ) -> bool:
        """Encode examples, `count` in all, and then those without labels, each until the time
        budget's share is spent; return True if that was all of them."""

        def labelled_chunks() -> Iterator[list[Example]]:
            deadline = prepare.encode_deadline(spent)
            for chunk in chunks(examples, self._schema.size):
                self._count(chunk)
                yield chunk
                if self._train_count < count and spent() > deadline:
                    self.labelled_cut = True
                    return

        def unlabelled_chunks() -> Iterator[list[Example]]:
            deadline = prepare.encode_deadline(spent)
            allowed = islice(unlabelled.read(), unlabelled.most_encoded)
            for chunk in chunks(allowed, self._schema.size):
                self._count_unlabelled(chunk)
                yield chunk
                if self._unlabelled_count < unlabelled.count and spent() > deadline:
                    self._unlabelled_cut = True
                    return

        self._write(TRAIN, chain(labelled_chunks(), unlabelled_chunks()))
        self._unlabelled_read, self._left_out = unlabelled.read_count, unlabelled.left_out
        complete = not (self.labelled_cut or self._unlabelled_cut)
        self._unlabelled_cut |= unlabelled.cut
        return complete

    def summary(self, learned: Learned, *, read: int, cut_short: bool) -> DataSummary:
        return DataSummary(
            unit=self._schema.unit,
            train=self._train_count,
            valid=self._valid_count,
            characters=self._train_characters,
            duplicates=self._overlap.count,
            # Equal contents are near duplicates too.
            near_duplicates=self._near_overlap.count - self._overlap.count,
            shared_groups=None if self._shared_groups is None else self._shared_groups.count,
            fingerprint=self._fingerprint.hexdigest(),
            labels=dict(self._label_counts),
            read=read,
            cut_short=cut_short,
            sampled=learned.sampled,
            sample_cut=learned.sample_cut,
            lacks_spaces=learned.lacks_spaces,
            unknown_rate=self._valid_unknown / max(1, self._valid_tokens),
            unseen_labels=len(self._unseen),
            unseen_label=next(iter(self._unseen), ""),
            unseen_count=self._unseen.total(),
            unlabelled=self._unlabelled_count,
            unlabelled_read=self._unlabelled_read,
            unlabelled_left_out=self._left_out,
            unlabelled_fingerprint=(
                self._unlabelled_fingerprint.hexdigest() if self._unlabelled_count else ""
            ),
            unlabelled_cut=self._unlabelled_cut,
        )

    def _near_content(self, example: Example) -> int:
        return fingerprint(self._schema.content(example))

    def _count(self, chunk: Sequence[Example]) -> None:
        schema = self._schema
        self._train_count += len(chunk)
        self._train_characters += sum(map(schema.size, chunk))
        self._label_counts.update(label for example in chunk for label in schema.labels(example))
        self._overlap.add_train(map(schema.content, chunk))
        self._near_overlap.add_train(map(self._near_content, chunk))
        if self._shared_groups is not None:
            self._shared_groups.add_train({e.group for e in chunk})
        for example in chunk:
            self._fingerprint.add(schema.content(example))
            self._fingerprint.add(schema.labels(example))

    def _count_unlabelled(self, chunk: Sequence[Example]) -> None:
        self._unlabelled_count += len(chunk)
        self._train_characters += sum(map(self._schema.size, chunk))
        for example in chunk:
            self._unlabelled_fingerprint.add(self._schema.content(example))

    def _write(self, part: str, chunks_of_part: Iterable[Sequence[Example]]) -> None:
        ids = self._draft.rows(IDS + part, id_type(self._tokenizer.vocab_size))
        targets = self._draft.rows(TARGETS + part, np.int32)
        texts = self._draft.rows(TEXTS + part, np.uint8)
        raw = self._draft.rows(RAW + part, np.uint8) if self._schema.has_raw_text else None
        for chunk in chunks_of_part:
            label_ids = self._valid_label_ids if part == VALID else self._label_ids
            encoded = self._schema.encode(
                self._tokenizer, chunk, label_ids, keep_whole=part == VALID
            )
            ids.extend(encoded.ids)
            if part == VALID:
                self._valid_tokens += sum(map(len, encoded.ids))
                unknown = self._tokenizer.unk_id
                self._valid_unknown += sum(int((each == unknown).sum()) for each in encoded.ids)
            targets.extend(encoded.targets)
            texts.extend(list(map(encode_text, encoded.texts)))
            if raw is not None:
                raw.extend(list(map(encode_text, encoded.raw or ())))


def _require_two_labels(options: TrainingOptions, labels: Sequence[str]) -> None:
    name = source_name(options.data[0])
    if len(labels) < 2 and not options.multi_label:
        only = f"only the label {labels[0]!r}" if labels else "no labels"
        raise DataError(f"{name} has {only}: give examples of two or more")
    if not labels:
        raise DataError(f"{name} has no labels: give examples that have some")


def _require_second_examples(scan: _Scan) -> None:
    for label, (source, line) in scan.first_seen.items():
        if scan.splitter.counts[label] == 1:
            raise DataError(
                f"{source}, line {line}: the label {label!r} is seen only here: "
                "give it a second example or take it out"
            )


def _unseen_labels(
    schema: ExampleSchema[Example], valid: Sequence[Example], labels: Sequence[str]
) -> Counter[str]:
    """Count the labels of validation examples that training lacks, in the order in which they come.
    Raises DataError if it has none of them."""
    known, unseen = set(labels), Counter[str]()
    has_known = False
    for example in valid:
        own = schema.labels(example)
        unseen.update(label for label in own if label not in known)
        has_known = has_known or not known.isdisjoint(own)
    if unseen and not has_known:
        raise DataError(
            f"{valid[0].source}: the training data have none of its {schema.label_noun}s "
            f"({listed(list(unseen), 3)}): they have {listed(labels, 12)}"
        )
    return unseen
