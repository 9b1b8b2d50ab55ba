"""Running text for a language model, from lines to a stream of ids.

Knows: the split into training and validation text, the least text that will do, and where a run
whose time is up stops reading. Does not know: where the ids are stored.

No text is held in memory. It is read four times: to find where it can be split, to learn a
tokenizer, to encode the validation part, and to encode the rest, which takes ten times as long as
reading.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby, islice
from operator import attrgetter
from typing import NamedTuple

import numpy as np

from rnntext.checkpoint_config import DataSummary
from rnntext.errors import DataError
from rnntext.text.formats import DataOptions
from rnntext.text.lines import Line, read_lines
from rnntext.text.source import source_name
from rnntext.text.tokenizer import Tokenizer
from rnntext.training.data import prepare
from rnntext.training.data.cache import Draft
from rnntext.training.data.prepare import (
    COUNTS,
    IDS,
    TRAIN,
    VALID,
    EntryWriter,
    Fingerprint,
    ShareSpent,
    chunks,
)
from rnntext.training.data.store import Array, id_type
from rnntext.training.data.text_split import Overlap, TextSplitter, select_part
from rnntext.training.options import TrainingOptions
from rnntext.training.recipes import TokenizerDefaults

_FEWEST_TOKENS = 20


def plan_text(
    options: TrainingOptions,
    reading: DataOptions,
    given: Tokenizer | None,
    spent: ShareSpent,
    defaults: TokenizerDefaults,
) -> EntryWriter:
    """Scan the text and learn a tokenizer unless one is given; the result encodes the text into a
    cache entry.

    Where too much of a time budget is spent for all of it, the summary states the part used.
    Raises DataError for text that cannot be read or is too little.
    """
    name = source_name(options.data[0])
    most_read, most_encoded = prepare.limits(options)
    splitter, cut = _scan(read_lines(options.data, reading), most_read, spent)
    cut = cut or any(s.truncated for s in reading.buffered_sources.values())
    ranges, valid_characters = np.empty((0, 2), np.int64), 0
    if options.valid is None:
        share = min(prepare.VALID_SHARE, prepare.VALID_CHARACTERS / splitter.characters)
        ranges, valid_characters = splitter.choose_validation(share, options.seed)

    def train() -> Iterator[str]:
        lines = islice(read_lines(options.data, reading), splitter.lines)
        return (line.text for line in select_part(lines, ranges, valid=False))

    def valid() -> Iterator[Line]:
        if options.valid is not None:
            return read_lines([options.valid], reading)
        return select_part(read_lines(options.data, reading), ranges, valid=True)

    if options.valid is None and not (len(ranges) and any(text.strip() for text in train())):
        raise DataError(
            f"{name}: one line of text is too little to train and validate on: "
            "give more, or name a validation file with --valid"
        )
    lines = splitter.lines - int(np.diff(ranges).sum())
    characters = splitter.characters - valid_characters
    learned = prepare.learn_tokenizer(options, train, characters, defaults, spent, given)
    tokenizer = learned.tokenizer

    def write(draft: Draft) -> bool:
        overlap, fingerprint = Overlap(), Fingerprint()
        valid_part = _write_documents(draft, tokenizer, valid(), overlap)
        stream = draft.stream(IDS + TRAIN, id_type(tokenizer.vocab_size))
        counts = np.zeros(tokenizer.vocab_size, np.int64)
        done = encoded = 0  # lines, and their characters
        cut_short = cut
        deadline = prepare.encode_deadline(spent)
        for texts in chunks(islice(train(), most_encoded), len):
            ids = np.concatenate(tokenizer.encode_lines(texts))
            stream.append(ids)
            counts += np.bincount(ids, minlength=len(counts))
            fingerprint.add(texts)
            overlap.add_train(text for text in texts if text.strip())
            done += len(texts)
            encoded += sum(map(len, texts)) + len(texts)
            if done < lines and spent() > deadline:
                cut_short = True
                break
        if stream.length < _FEWEST_TOKENS:
            raise DataError(
                f"{name}: {stream.length} tokens are too few to train on: give more text"
            )
        draft.stream(COUNTS, np.int64).append(counts)
        summary = DataSummary(
            unit="lines",
            train=done,
            valid=valid_part.lines,
            characters=encoded,
            duplicates=overlap.count,
            fingerprint=fingerprint.hexdigest(),
            read=splitter.lines,
            cut_short=cut_short or most_read is not None,
            sampled=learned.sampled,
            sample_cut=learned.sample_cut,
            lacks_spaces=learned.lacks_spaces,
            unknown_rate=valid_part.unknown_rate,
        )
        prepare.write_meta(
            draft,
            tokenizer,
            summary,
            valid_bytes=valid_part.n_bytes,
            valid_unknown_bytes=valid_part.unknown_bytes,
        )
        return not (cut_short or learned.sample_cut)

    return write


def _scan(lines: Iterable[Line], most: int | None, spent: ShareSpent) -> tuple[TextSplitter, bool]:
    """A splitter that has seen at most `most` lines, and True if the time was too short for all
    of them."""
    splitter, deadline = TextSplitter(), prepare.scan_deadline(spent)
    for line in lines:
        if splitter.lines == most:
            break
        if splitter.lines and splitter.lines % prepare.CHUNK == 0 and spent() > deadline:
            return splitter, True
        splitter.add(line)
    return splitter, False


class _Written(NamedTuple):
    """What there is in the validation text."""

    lines: int
    n_bytes: int | None  # None where the tokenizer loses some of the text
    unknown_bytes: int  # of these, of unknown characters
    unknown_rate: float  # the share of its tokens


def _write_documents(
    draft: Draft, tokenizer: Tokenizer, lines: Iterable[Line], overlap: Overlap
) -> _Written:
    """Write a row of ids for each document."""
    rows = draft.rows(IDS + VALID, id_type(tokenizer.vocab_size))
    n_lines = n_bytes = unknown_bytes = tokens = unknown = 0
    for _, group in groupby(lines, key=attrgetter("document")):
        pieces: list[Array] = []
        before = n_bytes
        for texts in chunks((line.text for line in group), len):
            pieces += tokenizer.encode_lines(texts)
            overlap.add_valid(text for text in texts if text.strip())
            n_lines += len(texts)
            n_bytes += sum(len(text.encode()) + 1 for text in texts)
        document = np.concatenate(pieces)
        tokens += len(document)
        if found := int((document == tokenizer.unk_id).sum()):
            unknown += found
            if not tokenizer.loses_text:
                unknown_bytes += n_bytes - before - tokenizer.known_bytes(document)
        rows.extend([document])
    known_size = None if tokenizer.loses_text else n_bytes
    return _Written(n_lines, known_size, unknown_bytes, unknown / max(1, tokens))
