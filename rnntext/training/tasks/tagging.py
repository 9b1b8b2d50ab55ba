"""The objective of the task `tag`: predict the tag of each word of a sentence.

Knows: batches of sentences and their loss, how long sentences are read in pieces, and what is
learned beside the network. Does not know: the options of a run, optimizers or early stopping.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from rnntext import metrics
from rnntext.checkpoint import SPLITTER
from rnntext.checkpoint_config import SPLITTER_SENTENCES
from rnntext.errors import UsageError
from rnntext.text.batches import blocks, buckets, pad
from rnntext.text.tokenizer import EncodedWords
from rnntext.training.data.epochs import BucketedEpochs
from rnntext.training.data.examples import (
    TaggedIds,
    TaggedRows,
    words_of_pieces,
)
from rnntext.training.data.store import Array
from rnntext.training.engine.device import Machine
from rnntext.training.engine.distributed import SINGLE_PROCESS, Ranks
from rnntext.training.engine.objective import shard_rows
from rnntext.training.events import Learned, Metrics, SplitterLearned
from rnntext.training.linear.tagging import MAX_SCORES
from rnntext.training.networks.crf import field_with
from rnntext.training.networks.tagger import Tagger
from rnntext.training.tasks.labelled import LabelledObjective
from rnntext.training.tasks.ngram_half import WEIGHT
from rnntext.training.tasks.split_half import SplitHalf
from rnntext.training.tasks.word_half import Fitted, Scored, WordHalf, log_loss, scale_scores

if TYPE_CHECKING:
    from rnntext.runtime.model import TrainedModel


# The metric that chooses the best checkpoint of a sum: the negative log-likelihood of its tags in
# nats per word, with the weights that it would have if it were finished now. It tells checkpoints
# apart that have nearly the same accuracy.
LOSS = "tag_log_loss"


class _TaggedBatch(NamedTuple):
    ids: Tensor  # (B, T)
    lengths: Tensor  # (B)
    first: Tensor  # (B, W): index of the first token of each word
    last: Tensor  # (B, W): index of the last token
    tags: Tensor  # (B, W)
    words: Tensor  # (B): number of words
    weight: float  # divisor of the summed loss: words in the batch of all ranks
    tokens: int  # in the batch of all ranks


# Validation sentences that are scored together: by its index, the pieces of each.
_Block = dict[int, list[TaggedIds]]


@dataclass(slots=True)
class _Predicted:
    """The tags of sentences that each of the two models predicts, and their sum."""

    network: list[list[str]] = field(default_factory=list)
    linear: list[list[str]] = field(default_factory=list)
    both: list[list[str]] = field(default_factory=list)


class Tagging(LabelledObjective):
    """Predict the tag of each word of a sentence."""

    def __init__(
        self,
        train: TaggedRows,
        valid: Sequence[TaggedIds],
        *,
        labels: Sequence[str],
        max_length: int,
        batch_size: int,
        seed: int,
        machine: Machine,
        ranks: Ranks = SINGLE_PROCESS,
        sentence_count: int | None = None,
        unseen: Sequence[str] = (),
        linear: WordHalf | None = None,
        splitter: SplitHalf | None = None,
        warning: str | None = None,
        held_out: bool = False,
        minutes: float | None = None,
        ngrams_texts: int | None = None,
        splitter_sentences: int | None = None,
        select: str | None = None,
    ) -> None:
        """`sentence_count`: number of sentences before long ones were split into the rows of
        `train`; None: none was split. `unseen`: tags of the validation data that training lacks,
        whose ids follow those of `labels`; they count as errors. `linear`: the model whose scores
        are added; `splitter`: what divides raw text into words; `warning`: what a user should know
        of raw text; `held_out`: the validation data were taken out of the data to learn from;
        `minutes`: the time budget of the run; `ngrams_texts`: how many sentences `linear` is
        learned from (None: what is possible in `minutes`), `splitter_sentences`: how many
        `splitter` is; `select`: the metric of the best
        checkpoint. Raises UsageError for `f1` where tags are not spans."""
        super().__init__(
            BucketedEpochs(train.ids, batch_size, batch_size * 256),
            len(train.ids.values),
            [len(sentence.ids) for sentence in valid],
            seed=seed,
            machine=machine,
            ranks=ranks,
            half=linear,
            held_out=held_out,
        )
        self.train, self.valid, self.labels = train, valid, labels
        self._gold_tags = (*labels, *unseen)
        self.sentence_count = len(train) if sentence_count is None else sentence_count
        self.max_length = max_length
        self.spans = metrics.is_span_tags(labels)
        self._shown = "f1" if self.spans else "accuracy"
        self._linear, self._minutes, self._ngrams_texts = linear, minutes, ngrams_texts
        self._splitter, self._warning = splitter, warning
        self._splitter_sentences = splitter_sentences
        if select == "f1" and not self.spans:
            raise UsageError(
                "--select f1 is for tags of spans, such as B-NAME and I-NAME: choose accuracy"
            )
        self.metric = select or (self._shown if linear is None else LOSS)
        self.higher_is_better = self.metric != LOSS

    def batches(self, epoch: int, start: int = 0) -> Iterator[_TaggedBatch]:
        """Yield this rank's rows of each batch."""
        for _, index in self.batch_indices(epoch, start):
            sentences = self.train.read(index)
            shard, counts = shard_rows(self.ranks, len(index))
            yield _TaggedBatch(
                *self._tensors(sentences[shard], round_width=True),
                weight=sum(len(s.tags) for s in sentences) if counts else math.inf,
                tokens=sum(len(s.ids) for s in sentences),
            )

    def _tensors(
        self, sentences: Sequence[TaggedIds], *, round_width: bool = False
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
        ids, lengths = pad([s.ids for s in sentences], even=round_width)
        first, words = pad([s.first for s in sentences], even=round_width)
        last, _ = pad([s.last for s in sentences], even=round_width)
        tags, _ = pad([s.tags for s in sentences], even=round_width)
        arrays = (ids, lengths, first, last, tags, words)
        tensors = (
            torch.from_numpy(array.astype(np.int64)).to(self.machine.device) for array in arrays
        )
        return tuple(tensors)  # type: ignore[return-value]

    def loss(self, model: Tagger, batch: _TaggedBatch) -> tuple[Tensor, int]:
        with self.machine.autocast():
            emissions = model(batch.ids, batch.lengths, batch.first, batch.last)
        likelihood = model.head.crf.log_likelihood(emissions.float(), batch.tags, batch.words)
        return likelihood.sum() * (-self.ranks.size / batch.weight), batch.tokens

    def remarks(self) -> tuple[str, ...]:
        of_words = () if self._warning is None else (self._warning,)
        if len(self.train) == self.sentence_count:
            return of_words
        return (
            *of_words,
            f"the sentences are read in {len(self.train):,} pieces of at most "
            f"{self.max_length:,} tokens: an empty line ends a sentence",
        )

    def prepare(self, files: Mapping[str, bytes]) -> Iterator[Learned]:
        yield from super().prepare(files)
        if self._splitter is None:
            return
        if SPLITTER in files:
            self._splitter.restore(files[SPLITTER])
            return
        words_f1 = self._splitter.learn(self._minutes, self.seed, self._splitter_sentences)
        yield SplitterLearned(self._splitter.sentences, words_f1, self._splitter.seconds)

    def files(self, metrics: Mapping[str, Any]) -> dict[str, bytes]:
        return {**super().files(metrics), **self._splitter_files()}

    def finished_files(self) -> dict[str, bytes]:
        return {**super().finished_files(), **self._splitter_files(finished=True)}

    def _splitter_files(self, *, finished: bool = False) -> dict[str, bytes]:
        if self._splitter is None:
            return {}
        if finished and self._splitter_learns_from_validation():
            return self._splitter.learn_from_validation_too()
        return self._splitter.files()

    def _splitter_learns_from_validation(self) -> bool:
        return (
            self._splitter is not None
            and self._splitter.learns_from_all
            and self.learns_from_validation()
        )

    def seconds_to_finish(self) -> float:
        seconds = super().seconds_to_finish()
        if self._splitter is not None and self._splitter_learns_from_validation():
            seconds += self._splitter.seconds_to_learn_again()
        return seconds

    def halves(self) -> dict[str, float]:
        sentences = 0 if self._splitter is None else self._splitter.sentences
        return {**super().halves(), **({SPLITTER_SENTENCES: sentences} if sentences else {})}

    def learn_half(self) -> Metrics:
        assert self._linear is not None  # noqa: S101
        self._linear.learn(self._minutes, self.seed, self._ngrams_texts)
        indices = self.evaluated_indices(quick=False)
        predicted: list[list[str]] = []
        for block in self._blocks(indices):
            predicted += self._decode(self._linear_scores(block), block)
        return self.metrics_of(predicted, indices)

    def half_from_all_data(self) -> dict[str, bytes]:
        assert self._linear is not None  # noqa: S101
        tags = [sentence.tags for sentence in self.valid]
        return self._linear.learn_from_validation_too(tags, self._halves[WEIGHT])

    def final_metrics(self, model: Tagger, *, quick: bool) -> Metrics:
        """Weight the network's scores, in place, for the sum with those of the linear model, and
        return the metrics of the sum."""
        indices = self.evaluated_indices(quick=quick)
        if self._linear is None:
            return self._metrics_of_network(model, indices, with_loss=False)
        predicted = _Predicted()
        fitted = self._predict(model, self._linear, indices, predicted)
        scale_scores(model, fitted.network, self.labels)
        network, linear = (
            self.metrics_of(each, indices)[self._shown]
            for each in (predicted.network, predicted.linear)
        )
        self._halves = {
            f"network_{self._shown}": network,
            f"ngrams_{self._shown}": linear,
            WEIGHT: fitted.linear,
        }
        return self.metrics_of(predicted.both, indices)

    def evaluate_runtime(self, model: TrainedModel, *, quick: bool) -> Metrics:
        from rnntext.runtime.tagger import Tagger as OnnxTagger

        indices = self.evaluated_indices(quick=quick)
        sentences = [self.valid[i] for i in indices]
        # Without a linear model the words are only counted.
        words: Sequence[Sequence[str]] = [[""] * len(s.tags) for s in sentences]
        if self._linear is not None:
            words = [self._linear.valid_words[i] for i in indices]
            weighted = self._linear.model(self._halves[WEIGHT])
            model = replace(model, ngrams=lambda: weighted)
        encoded = [EncodedWords(s.ids, s.first, s.last) for s in sentences]
        predicted = [
            [self.labels[tag] for tag in tags.tolist()]
            for tags, _ in OnnxTagger(model).tag_ids(encoded, words)
        ]
        return self.metrics_of(predicted, indices)

    def evaluate_examples(self, model: Tagger, indices: Sequence[int]) -> Metrics:
        predicted = _Predicted()
        if self._linear is None:
            return self._metrics_of_network(model, indices, with_loss=self.metric == LOSS)
        fitted = self._predict(model, self._linear, indices, predicted)
        # Both are scaled by one number in the finished model: here the network's is left as it is.
        return {
            **self.metrics_of(predicted.both, indices),
            f"network_{self._shown}": self.metrics_of(predicted.network, indices)[self._shown],
            LOSS: fitted.log_loss,
            WEIGHT: fitted.linear / fitted.network,
        }

    def _metrics_of_network(
        self, model: Tagger, indices: Sequence[int], *, with_loss: bool
    ) -> Metrics:
        predicted: list[list[str]] = []
        nats, words = 0.0, 0
        for block in self._blocks(indices):
            scored = self._network_scores(model, block)
            predicted += self._decode(scored, block)
            if with_loss:
                of_block = log_loss(scored, _tags_of(block), len(self.labels))
                nats, words = nats + of_block.nats, words + of_block.words
        loss = {LOSS: nats / max(1, words)} if with_loss else {}
        return {**self.metrics_of(predicted, indices), **loss}

    def _predict(
        self, model: Tagger, linear: WordHalf, indices: Sequence[int], predicted: _Predicted
    ) -> Fitted:
        """Add what the network, the linear model and their sum predict for validation sentences.
        Return the weights of the sum, fitted on the first block: the scores of all need memory."""
        fitted: Fitted | None = None
        for block in self._blocks(indices):
            network, other = self._network_scores(model, block), self._linear_scores(block)
            if fitted is None:
                fitted = linear.fit_weights(network, other, _tags_of(block))
            both = network.times(fitted.network).plus(other.times(fitted.linear))
            predicted.network += self._decode(network, block)
            predicted.linear += self._decode(other, block)
            predicted.both += self._decode(both, block)
        assert fitted is not None  # noqa: S101
        return fitted

    def _blocks(self, indices: Sequence[int]) -> Iterator[_Block]:
        """Divide validation sentences into consecutive blocks whose scores fit into memory."""
        sizes = np.array([len(self.valid[i].tags) for i in indices]) * len(self.labels)
        for part in blocks(sizes, MAX_SCORES):
            yield {i: list(self.valid[i].pieces(self.max_length)) for i in indices[part]}

    def _network_scores(self, model: Tagger, block: _Block) -> Scored:
        model.eval()
        pieces = [piece for pieces in block.values() for piece in pieces]
        emissions: list[Array] = [np.empty(0)] * len(pieces)
        lengths = np.array([len(piece.ids) for piece in pieces])
        with torch.no_grad():
            for index in buckets(lengths, max_rows=256, max_tokens=1 << 15):
                batch = self._tensors([pieces[i] for i in index])
                ids, token_counts, first, last, _, word_counts = batch
                found = model(ids, token_counts, first, last).float().cpu().numpy()
                for place, row, count in zip(index, found, word_counts.tolist(), strict=True):
                    emissions[place] = row[:count]
        # Copies: the parameters are scaled in place later.
        paths = (score.detach().cpu().numpy().copy() for score in model.head.crf.paths())
        return Scored(emissions, tuple(paths))

    def _linear_scores(self, block: _Block) -> Scored:
        assert self._linear is not None  # noqa: S101
        of_sentence = self._linear.valid_words
        words = [w for i, pieces in block.items() for w in words_of_pieces(of_sentence[i], pieces)]
        return self._linear.scores(words)

    def _decode(self, scored: Scored, block: _Block) -> list[list[str]]:
        """Return the tags of the sentences of a block, whose pieces have these scores."""
        if not scored.paths:
            chosen = (row.argmax(1) for row in scored.emissions)
            return self._named(chosen, block)
        crf = field_with(scored.paths)
        lengths = np.array([len(each) for each in scored.emissions])
        paths: list[Array] = [np.empty(0, np.int64)] * len(lengths)
        rows_together = max(1, min(256, MAX_SCORES // len(self.labels) ** 2))
        with torch.no_grad():
            for index in buckets(lengths, max_rows=rows_together, max_tokens=1 << 15):
                rows = [scored.emissions[i] for i in index]
                padded = np.zeros((len(rows), max(map(len, rows)), len(self.labels)), np.float32)
                for row, each in zip(padded, rows, strict=True):
                    row[: len(each)] = each
                counts = torch.from_numpy(lengths[index])
                decoded = crf.decode(torch.from_numpy(padded), counts).numpy()
                for place, path in zip(index, decoded, strict=True):
                    paths[place] = path[: lengths[place]]
        return self._named(iter(paths), block)

    def _named(self, tags: Iterator[Array], block: _Block) -> list[list[str]]:
        """Return the names of the tags of sentences, given the tags of their pieces."""
        return [
            [self.labels[tag] for _ in pieces for tag in next(tags)] for pieces in block.values()
        ]

    def answers(self, target: str) -> int:
        tags = [self.valid[i].tags for i in self.evaluated_indices(quick=True)]
        if target == "f1":
            return sum(len(metrics.spans([self._gold_tags[tag] for tag in row])) for row in tags)
        return sum(map(len, tags))

    def metrics_of(self, predicted: Sequence[Sequence[str]], indices: Sequence[int]) -> Metrics:
        """Return the metrics of tags predicted for validation sentences, given by indices."""
        gold = [[self._gold_tags[tag] for tag in self.valid[i].tags] for i in indices]
        return metrics.tagging_metrics(gold, predicted, self.spans)


def _tags_of(block: _Block) -> list[Array]:
    """Return the tag indices of the pieces of a block."""
    return [piece.tags for pieces in block.values() for piece in pieces]
