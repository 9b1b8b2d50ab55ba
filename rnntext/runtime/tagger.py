"""Tagging of words in sentences: tags with their probabilities.

Knows: how to feed a tagger's graph and how to decode its emissions. Does not know: input, output or
consoles.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rnntext.config import ModelConfig
from rnntext.errors import DataError
from rnntext.runtime.answers import Answer, Mistake, Watch
from rnntext.runtime.crf import marginals, viterbi
from rnntext.runtime.model import TrainedModel, open_model
from rnntext.runtime.task import Answerer, RuntimeTask
from rnntext.tag_parts import composition
from rnntext.text.batches import pad
from rnntext.text.raw_text import RawText
from rnntext.text.source import for_message
from rnntext.text.tokenizer import EncodedWords, Ids, split_words
from rnntext.word_features import Weights, WordModel

if TYPE_CHECKING:
    from rnntext.runtime.answer_columns import AnswerColumns
    from rnntext.text.formats import DataOptions
    from rnntext.text.tagged import Tagged

Array = npt.NDArray[Any]
TagIds = tuple[Array, Array]  # label ids and their probabilities, (words) each

# Of raw text, see `raw_evaluation.py`.
RAW_METRICS = ("words_f1", "sentences_f1", "tags_f1")
# Pairs of labels, over all sentences, that one call of Viterbi compares: 8 MB in float64.
_MAX_LABEL_PAIRS = 1 << 20
# Scores of words, without pairs of labels, that are compared together.
_SCORES_TOGETHER = 1 << 17


@dataclass(frozen=True, slots=True)
class TaggedSentence:
    """Words, the tag of each, and each tag's probability given the whole sentence."""

    text: str
    words: list[str]
    tags: list[str]
    probabilities: list[float]
    raw: RawText | None = None  # how the words stand in the text; None: they were given

    @property
    def ranges(self) -> list[tuple[int, int, str]]:
        """The words that are written as one token: the index of the first and of the last, and the
        token."""
        return [] if self.raw is None else self.raw.ranges()


class _Piece(NamedTuple):
    """A part of a sentence that is read and decoded by itself: its tokens and its words."""

    tokens: EncodedWords
    words: Sequence[str]


def _pieces(tokens: EncodedWords, words: Sequence[str], size: int) -> list[_Piece]:
    """Divide a sentence between words into pieces of at most `size` tokens."""
    found, start = [], 0
    for piece in tokens.pieces(size):
        stop = start + len(piece.first)
        found.append(_Piece(piece, words[start:stop]))
        start = stop
    return found


class Tagger:
    """A trained tagger. It is safe to share between threads."""

    def __init__(self, model: TrainedModel) -> None:
        """The scores of the model's linear model of words, if it has one, are added to those of
        its network."""
        self._model = model
        self._linear: WordModel | None = model.ngrams()
        self.splitter = model.splitter()
        # The column of the training data that held the tags, where a checkpoint says so.
        self.tag_column = _tag_column(model)
        self.labels = model.config.labels
        # Names of the arrays that make up the carried state; none for a bidirectional encoder.
        self._state_names: tuple[str, ...] = ()
        if not model.config.encoder.bidirectional:
            self._state_names = model.config.encoder.state_names
        self._path_scores = self._read_path_scores() if model.config.crf else []

    def _read_path_scores(self) -> list[Array]:
        # The CRF's parameters are outputs of the graph that do not depend on its input.
        token = EncodedWords(*(np.zeros(1, np.int32) for _ in range(3)))
        names = ["start", "transitions", "end"]
        found = self._model.session.run(names, {**_feeds([token]), **self._initial_state(1)})
        return (
            found if self._linear is None else list(map(np.add, found, self._linear.path_scores()))
        )

    @classmethod
    def load(cls, directory: Path, threads: int | None = None) -> Tagger:
        """Load a checkpoint. Raises CheckpointError if it is not an intact tagger."""
        return cls(open_model(directory, "tag", threads))

    def tag(
        self, texts: Sequence[str], *, pretokenized: bool = False, by_rule: bool = False
    ) -> list[TaggedSentence]:
        """Tag each text as one sentence. It is split into words as the training data show, or with
        `by_rule`, and where they do not show it, by the tokenizer's WORD_PATTERN; with
        `pretokenized` at spaces alone."""
        return list(self.stream(texts, pretokenized=pretokenized, by_rule=by_rule))

    def stream(
        self,
        texts: Sequence[str | Sequence[str]],
        *,
        pretokenized: bool = False,
        by_rule: bool = False,
    ) -> Iterator[TaggedSentence]:
        """Yield the results of `tag`; what is no string is a sentence that is already split into
        words. Inference starts when this is called (see `Session.map`)."""
        raw_texts = [text for text in texts if isinstance(text, str)]
        divided = iter(self._divide(raw_texts, pretokenized, by_rule))
        sentences = [
            next(divided) if isinstance(text, str) else (list(text), None) for text in texts
        ]
        joined = [text if isinstance(text, str) else " ".join(text) for text in texts]
        return self.stream_words(
            [words for words, _ in sentences], joined, [raw for _, raw in sentences]
        )

    def _divide(
        self, texts: Sequence[str], pretokenized: bool, by_rule: bool
    ) -> Sequence[tuple[list[str], RawText | None]]:
        if pretokenized:
            return [(_split_at_spaces(text), None) for text in texts]
        if self.splitter is None or by_rule:
            return [(split_words(text), None) for text in texts]
        return [(found.words, found.raw) for found in self.splitter.divide(texts)]

    def tag_words(self, sentences: Sequence[Sequence[str]]) -> list[TaggedSentence]:
        """Tag sentences that are already split into words."""
        return list(self.stream(sentences))

    def stream_words(
        self,
        sentences: Sequence[Sequence[str]],
        texts: Sequence[str],
        raw: Sequence[RawText | None],
    ) -> Iterator[TaggedSentence]:
        """Yield the tags of sentences that are split into words. `texts`, `raw`: see
        `TaggedSentence`. Inference starts when this is called."""
        wait_for_tags = self._submit(self._model.tokenizer.encode_words(sentences), sentences)
        return self._tagged_sentences(sentences, texts, raw, wait_for_tags)

    def _tagged_sentences(
        self,
        sentences: Sequence[Sequence[str]],
        texts: Sequence[str],
        raw: Sequence[RawText | None],
        wait_for_tags: Callable[[], Sequence[TagIds]],
    ) -> Iterator[TaggedSentence]:
        for text, words, written, (ids, probabilities) in zip(
            texts, sentences, raw, wait_for_tags(), strict=True
        ):
            tags = [self.labels[label] for label in ids.tolist()]
            yield TaggedSentence(text, list(words), tags, probabilities.tolist(), written)

    def tag_ids(
        self, encoded: Sequence[EncodedWords], sentences: Sequence[Sequence[str]]
    ) -> list[TagIds]:
        """Return the label ids of each sentence's words and their probabilities, (words) each.
        `encoded`: the tokens of the words of `sentences`.

        A sentence of more tokens than the model's `max_length` is read and decoded in pieces that
        end between words. A unidirectional encoder carries its state from piece to piece.
        """
        return self._submit(encoded, sentences)()

    def emissions(self, tokens: EncodedWords, words: Sequence[str]) -> Array:
        """Return the scores (words, labels) of the tags of each word of one sentence, which has at
        most `max_length` tokens, before those of a path through the sentence are added."""
        feeds = {**_feeds([tokens]), **self._initial_state(1)}
        (emissions,) = self._model.session.run(["emissions"], feeds)
        return emissions if self._linear is None else emissions + self._linear.emissions([words])

    def _submit(
        self, encoded: Sequence[EncodedWords], sentences: Sequence[Sequence[str]]
    ) -> Callable[[], list[TagIds]]:
        """Submit sentences to the thread pool. Return a function that waits for the tags."""
        max_length = self._model.config.max_length
        pieces = [
            _pieces(tokens, words, max_length)
            for tokens, words in zip(encoded, sentences, strict=True)
        ]
        rows = pieces
        if not self._state_names:
            # No state is carried, so the pieces of a sentence may be read in parallel.
            rows = [[piece] for sentence in pieces for piece in sentence]
        lengths = np.array([sum(len(piece.tokens.ids) for piece in row) for row in rows], np.int64)
        batches = self._model.batches(lengths)
        results = self._model.session.map(
            lambda batch: self._read_batch([rows[i] for i in batch]), batches
        )

        def collect() -> list[TagIds]:
            tags_of_row: list[list[TagIds]] = [[] for _ in rows]
            for batch, batch_tags in zip(batches, results, strict=True):
                for i, tags in zip(batch, batch_tags, strict=True):
                    tags_of_row[i] = tags
            tags_of_piece = iter([tags for row in tags_of_row for tags in row])
            return [_concatenate([next(tags_of_piece) for _ in sentence]) for sentence in pieces]

        return collect

    def _read_batch(self, rows: Sequence[Sequence[_Piece]]) -> list[list[TagIds]]:
        """Tag the pieces of each row, one piece of every row at a time."""
        tags_of_row: list[list[TagIds]] = [[] for _ in rows]
        state = self._initial_state(len(rows))
        active = list(range(len(rows)))
        for step in range(max(map(len, rows))):
            kept = [place for place, row in enumerate(active) if len(rows[row]) > step]
            state = {name: part[:, kept] for name, part in state.items()}
            active = [active[place] for place in kept]
            batch = [rows[row][step] for row in active]
            outputs = ["emissions", *(f"next_{name}" for name in state)]
            feeds = _feeds([piece.tokens for piece in batch])
            emissions, *after = self._model.session.run(outputs, {**feeds, **state})
            if self._linear is not None:
                added = self._linear.emissions([piece.words for piece in batch])
                emissions = np.add(emissions, added, out=added)
            state = dict(zip(state, after, strict=True))
            for row, tags in zip(active, self._decode(batch, emissions), strict=True):
                tags_of_row[row].append(tags)
        return tags_of_row

    def _initial_state(self, rows: int) -> dict[str, Array]:
        encoder = self._model.config.encoder
        shape = (encoder.num_layers, rows, encoder.hidden_size)
        return {part: np.zeros(shape, np.float32) for part in self._state_names}

    def _decode(self, batch: Sequence[_Piece], emissions: Array) -> Iterator[TagIds]:
        """Decode emissions (N, labels) of all words, one sentence after the other.

        Sentences are decoded in groups, because Viterbi's memory for each one grows with the square
        of the number of labels.
        """
        if not self._path_scores:
            yield from _choose_each(batch, emissions)
            return
        group_size = max(1, _MAX_LABEL_PAIRS // len(self.labels) ** 2)
        ends = np.cumsum([0, *(len(piece.words) for piece in batch)])
        for start in range(0, len(batch), group_size):
            group = batch[start : start + group_size]
            yield from self._decode_group(group, emissions[ends[start] : ends[start + len(group)]])

    def _decode_group(self, group: Sequence[_Piece], flat: Array) -> Iterator[TagIds]:
        words = np.array([len(piece.words) for piece in group])
        emissions = np.zeros((len(group), int(words.max()), len(self.labels)), np.float32)
        emissions[np.arange(emissions.shape[1]) < words[:, None]] = flat  # (B, W, labels)
        paths = viterbi(emissions, words, *self._path_scores)
        probabilities = marginals(emissions, words, *self._path_scores)
        for number, path in enumerate(paths):
            yield path, probabilities[number, np.arange(len(path)), path]


def _split_at_spaces(text: str) -> list[str]:
    return [word for word in text.split(" ") if word]


def _tag_column(model: TrainedModel) -> str | None:
    return None if model.saved is None else model.saved.tag_column


def _choose_each(batch: Sequence[_Piece], emissions: Array) -> Iterator[TagIds]:
    """Choose the tag of each word by itself, the first among equals. `emissions`: (N, labels)."""
    ids, odds = np.empty(len(emissions), np.int64), np.empty(len(emissions), np.float32)
    # What a core keeps near: twice as fast as all words at once.
    size = max(1, _SCORES_TOGETHER // emissions.shape[1])
    for start in range(0, len(emissions), size):
        part = slice(start, start + size)
        best = emissions[part].argmax(1)
        largest = np.take_along_axis(emissions[part], best[:, None], 1)
        ids[part], odds[part] = best, np.exp(emissions[part] - largest).sum(1)
    ends = np.cumsum([len(piece.words) for piece in batch])[:-1]
    yield from zip(np.split(ids, ends), np.split(1 / odds, ends), strict=True)


def _feeds(batch: Sequence[EncodedWords]) -> dict[str, Array]:
    """Inputs of the graph. `first` and `last` index tokens in step-major order: step * B + row."""
    ids, lengths = pad([sentence.ids for sentence in batch])
    row = np.repeat(np.arange(len(batch)), [len(sentence.first) for sentence in batch])
    first = np.concatenate([sentence.first for sentence in batch]).astype(np.int64)
    last = np.concatenate([sentence.last for sentence in batch]).astype(np.int64)
    return {
        "ids": ids,
        "lengths": lengths,
        "first": first * len(batch) + row,
        "last": last * len(batch) + row,
    }


def _concatenate(pieces: Sequence[TagIds]) -> TagIds:
    if len(pieces) == 1:
        return pieces[0]
    empty = np.empty(0, np.int64), np.empty(0, np.float32)
    ids, probabilities = zip(empty, *pieces, strict=True)
    return np.concatenate(ids), np.concatenate(probabilities)


def _evaluate(
    model: TrainedModel,
    paths: Sequence[str],
    options: DataOptions,
    watch: Watch | None = None,
) -> dict[str, Any]:
    from rnntext import metrics
    from rnntext.text.tagged import read_tagged

    tagger = Tagger(model)
    sentences = list(read_tagged(paths, options))
    _require_known_tag(model, sentences)
    predicted = tagger.tag_words([sentence.words for sentence in sentences])
    if watch is not None:
        for gold, answer in zip(sentences, predicted, strict=True):
            watch([_answer(gold, answer)])
    return metrics.tagging_metrics(
        [sentence.tags for sentence in sentences],
        [sentence.tags for sentence in predicted],
        metrics.is_span_tags(tagger.labels),
    )


def _require_known_tag(model: TrainedModel, sentences: Sequence[Tagged]) -> None:
    """Raise DataError if the model knows none of the tags of sentences: they are of another kind,
    which an accuracy of 0 would not say."""
    known = set(model.config.labels)
    if not sentences or any(tag in known for sentence in sentences for tag in sentence.tags):
        return
    first = sentences[0]
    trained = _tag_column(model)
    raise DataError(
        f"the model knows no tag of {first.source} (its first is {for_message(first.tags[0])!r}): "
        "see whether --tag-column names the right column"
        + (f", as {for_message(trained)} was in training" if trained else "")
    )


def _answer(gold: Tagged, found: TaggedSentence) -> Answer:
    """What an evaluation tells of a sentence; each word with a wrong tag is a mistake."""
    words = zip(gold.words, gold.tags, found.tags, found.probabilities, strict=True)
    mistakes = tuple(
        Mistake(probability, tag, guess, gold.source, gold.line, found.text, word=word)
        for word, tag, guess, probability in words
        if tag != guess
    )
    columns, likely = {"words": list(gold.words)}, tuple(found.probabilities)
    return Answer(gold.source, gold.line, columns, gold.tags, tuple(found.tags), likely, mistakes)


def _answering(
    model: TrainedModel, *, pretokenized: bool = False
) -> tuple[AnswerColumns, Answerer]:
    from rnntext.runtime.answer_columns import tag_columns

    return tag_columns(), partial(Tagger(model).stream, pretokenized=pretokenized)


def _metric_names(config: ModelConfig) -> tuple[str, ...]:
    from rnntext import metrics

    return metrics.tagging_metric_names(metrics.is_span_tags(config.labels))


def _label_names(config: ModelConfig) -> tuple[str, ...]:
    from rnntext import metrics

    if not metrics.is_span_tags(config.labels):
        return config.labels
    return tuple(sorted({metrics.span_type(tag) for tag in config.labels if tag != "O"}))


def _encode(model: TrainedModel, texts: Sequence[str]) -> list[Ids]:
    """Each text is one sentence, split into words."""
    return [found.ids for found in model.tokenizer.encode_words(model.words(texts))]


def _parse_linear(content: bytes, config: ModelConfig) -> WordModel:
    weights = Weights.parse(content)
    if bool(weights.paths) != config.crf:
        raise ValueError("scores of transitions in one of the two models")
    return WordModel(weights, len(config.labels), composition(config))


def _evaluate_raw(
    model: TrainedModel, paths: Sequence[str], options: DataOptions
) -> dict[str, Any]:
    from rnntext.runtime.raw_evaluation import evaluate_raw

    return evaluate_raw(model, paths, options)


RUNTIME = RuntimeTask(
    _metric_names,
    _evaluate,
    _answering,
    ("pretokenized",),
    label_names=_label_names,
    parse_linear=_parse_linear,
    encode=_encode,
    raw_metrics=RAW_METRICS,
    evaluate_raw=_evaluate_raw,
)
