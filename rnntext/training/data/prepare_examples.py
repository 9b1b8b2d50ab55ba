"""Labelled texts and tagged sentences, from examples to rows of ids.

Knows: the split into a training and a validation part, which labels there are, and which
examples nothing can be learnt from. Does not know: where the rows are kept.

Validation examples are held as they are, others are not. The data are read four times: to see
what there is, for the validation part, to learn a tokenizer, and to encode.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice

import numpy as np

from rnntext.errors import DataError
from rnntext.text.formats import DataOptions
from rnntext.text.source import source_name
from rnntext.text.tokenizer import Tokenizer
from rnntext.training.data import prepare
from rnntext.training.data.cache import Draft
from rnntext.training.data.example_split import ExampleSplitter
from rnntext.training.data.prepare import (
    IDS,
    TARGETS,
    TRAIN,
    VALID,
    Fingerprint,
    Spent,
    Write,
    chunks,
)
from rnntext.training.data.store import id_type
from rnntext.training.data.text_split import Overlap
from rnntext.training.events import DataSummary
from rnntext.training.options import TrainingOptions
from rnntext.training.tasks.examples import Example, Kind, Sentences, Texts


def plan_examples(
    options: TrainingOptions, reading: DataOptions, given: Tokenizer | None, spent: Spent
) -> Write:
    """Look through the examples and learn a tokenizer, if there is none to go on with; what is
    returned encodes them. Where too much of a time budget is `spent` for all of them, the summary
    states the part used. Raises DataError for whatever is wrong with the data."""
    if options.task == "classify":
        return _plan(Texts(), options, reading, given, spent)
    return _plan(Sentences(), options, reading, given, spent)


def _plan(
    kind: Kind[Example],
    options: TrainingOptions,
    reading: DataOptions,
    given: Tokenizer | None,
    spent: Spent,
) -> Write:
    name = source_name(options.data[0])
    most_read, most_encoded = options.part or (None, None)
    everything = kind.reader(options.data, reading)
    census, places, characters = ExampleSplitter(), dict[str, tuple[str, int]](), 0
    late = any(copy.cut for copy in reading.copies.values())
    end = prepare.reading_until(spent)
    for example in islice(everything(), most_read):
        if len(census) and len(census) % prepare.CHUNK == 0 and spent() > end:
            late = True
            break
        own = kind.labels(example)
        census.add(kind.content(example), own, kind.stratum(example))
        characters += kind.size(example)
        for label in own:
            places.setdefault(label, (example.source, example.line))

    def read() -> Iterator[Example]:
        return islice(everything(), len(census))

    labels = kind.all_labels(census.counts)
    _require_two_labels(options, labels)
    # Of a part that the clock chose the rest may have a second one.
    whole = not late and most_read is None
    if options.task == "classify" and not options.multi_label and whole:
        _require_second_examples(census.counts, places)
    if options.valid is not None:
        train, valid = read, list(kind.reader([options.valid], reading)())
    else:
        drawn = census.split(
            prepare.VALID_SHARE,
            prepare.VALID_EXAMPLES,
            options.seed,
            lambda: ((kind.content(example), kind.labels(example)) for example in read()),
        )

        def train() -> Iterator[Example]:
            return drawn.part(read(), kind.content, valid=False)

        valid = list(drawn.part(read(), kind.content, valid=True))
        characters -= sum(map(kind.size, valid))
        if not valid:
            raise DataError(
                f"{name}: {len(census)} {kind.noun} are too few, or too many of them equal, to "
                "keep some for validation: give more, or name a validation file with --valid"
            )
    examples = len(census) - (0 if options.valid is not None else len(valid))
    known = set(labels)
    for example in valid:
        unseen = set(kind.labels(example)) - known
        if unseen:
            raise DataError(
                f"{example.source}, line {example.line}: the {kind.label} {min(unseen)!r} is not "
                f"in the training data, which has {_listed(labels)}: take it out, or train "
                "on it too"
            )
    tokenizer = given or prepare.learn_tokenizer(
        options,
        (line for example in train() for line in kind.lines(example)),
        characters,
        kind.presplit,
    )

    def write(draft: Draft) -> bool:
        counts: Counter[str] = Counter()
        overlap, fingerprint = Overlap(), Fingerprint()
        overlap.add_valid(map(kind.content, valid))
        _write_part(kind, draft, VALID, tokenizer, labels, [valid])
        count = encoded = 0  # examples, and their characters
        cut_short = late
        encode_until = prepare.encoding_until(spent)

        def seen() -> Iterator[list[Example]]:
            nonlocal count, encoded, cut_short
            for chunk in chunks(islice(train(), most_encoded), kind.size):
                count += len(chunk)
                encoded += sum(map(kind.size, chunk))
                counts.update(label for example in chunk for label in kind.labels(example))
                overlap.add_train(map(kind.content, chunk))
                for example in chunk:
                    fingerprint.add(kind.content(example))
                    fingerprint.add(kind.labels(example))
                yield chunk
                if count < examples and spent() > encode_until:
                    cut_short = True
                    return

        _write_part(kind, draft, TRAIN, tokenizer, labels, seen())
        summary = DataSummary(
            unit=kind.unit,
            train=count,
            valid=len(valid),
            characters=encoded,
            duplicates=overlap.count,
            fingerprint=fingerprint.hexdigest(),
            labels=dict(counts),
            read=len(census),
            cut_short=cut_short or options.part is not None,
            sampled=prepare.sampled(characters, tokenizer, given),
        )
        prepare.write_meta(draft, tokenizer, summary, labels=labels)
        return not cut_short

    return write


def _write_part(
    kind: Kind[Example],
    draft: Draft,
    part: str,
    tokenizer: Tokenizer,
    labels: Sequence[str],
    examples: Iterable[Sequence[Example]],
) -> None:
    numbers = {label: number for number, label in enumerate(labels)}
    ids = draft.rows(IDS + part, id_type(tokenizer.vocab_size))
    targets = draft.rows(TARGETS + part, np.int32)
    for chunk in examples:
        encoded, learned = kind.encode(tokenizer, chunk, numbers, whole=part == VALID)
        ids.extend(encoded)
        targets.extend(learned)


def _require_second_examples(
    counts: Mapping[str, int], places: Mapping[str, tuple[str, int]]
) -> None:
    for label, (source, line) in places.items():
        if counts[label] == 1:
            raise DataError(
                f"{source}, line {line}: the label {label!r} is seen only here: "
                "give it a second example or take it out"
            )


def _require_two_labels(options: TrainingOptions, labels: Sequence[str]) -> None:
    name = source_name(options.data[0])
    if len(labels) < 2 and not options.multi_label:
        only = f"only the label {labels[0]!r}" if labels else "no labels"
        raise DataError(f"{name} has {only}: give examples of two or more")
    if not labels:
        raise DataError(f"{name} has no labels: give examples that have some")


def _listed(labels: Sequence[str], most: int = 12) -> str:
    shown = ", ".join(labels[:most])
    return shown if len(labels) <= most else f"{shown} and {len(labels) - most} more"
