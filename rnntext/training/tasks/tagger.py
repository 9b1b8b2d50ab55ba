"""The task `tag`: predict the tag of each word of a sentence.

Knows: its examples and defaults, batches of sentences and their loss, and how long sentences are
read in pieces. Does not know: optimizers or early stopping.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor

from rnntext import metrics
from rnntext.config import ModelConfig
from rnntext.errors import DataError
from rnntext.text.batches import buckets, pad
from rnntext.text.formats import DataOptions
from rnntext.text.lines import text_files
from rnntext.text.tagged import Tagged, tagged_reader
from rnntext.text.tokenizer import EncodedWords, Tokenizer
from rnntext.training.data.cache import Entry
from rnntext.training.data.epochs import BucketedEpochs
from rnntext.training.data.example_schema import ExampleSchema
from rnntext.training.data.examples import TaggedIds, TaggedRows, words_of
from rnntext.training.data.loading import Data, digest_of
from rnntext.training.data.prepare import IDS, TARGETS, TRAIN, VALID, EntryWriter, ShareSpent
from rnntext.training.data.prepare_examples import plan_examples
from rnntext.training.data.store import Array
from rnntext.training.engine.device import Machine
from rnntext.training.engine.distributed import SINGLE_PROCESS, Ranks
from rnntext.training.engine.objective import shard_rows
from rnntext.training.events import Metrics
from rnntext.training.networks.crf import forbid_broken_spans
from rnntext.training.networks.encoder import Network
from rnntext.training.networks.tagger import Tagger
from rnntext.training.options import TrainingOptions
from rnntext.training.recipes import Recipe, TokenizerDefaults
from rnntext.training.tasks.base import InitDirection, Task
from rnntext.training.tasks.labelled import LabelledObjective

if TYPE_CHECKING:
    from rnntext.runtime.model import TrainedModel


class _TaggedBatch(NamedTuple):
    ids: Tensor  # (B, T)
    lengths: Tensor  # (B)
    first: Tensor  # (B, W): index of the first token of each word
    last: Tensor  # (B, W): index of the last token
    tags: Tensor  # (B, W)
    words: Tensor  # (B): number of words
    weight: float  # divisor of the summed loss: words in the batch of all ranks
    tokens: int  # in the batch of all ranks


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
    ) -> None:
        """`sentence_count`: number of sentences before long ones were split into the rows of
        `train`; None: none was split. `unseen`: tags of the validation data that training lacks,
        whose ids follow those of `labels`; they count as errors."""
        super().__init__(
            BucketedEpochs(train.ids, batch_size, batch_size * 256),
            len(train.ids.values),
            [len(sentence.ids) for sentence in valid],
            seed=seed,
            machine=machine,
            ranks=ranks,
        )
        self.train, self.valid, self.labels = train, valid, labels
        self._gold_tags = (*labels, *unseen)
        self.sentence_count = len(train) if sentence_count is None else sentence_count
        self.max_length = max_length
        self.spans = metrics.is_span_tags(labels)
        self.metric = "f1" if self.spans else "accuracy"

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
        if len(self.train) == self.sentence_count:
            return ()
        return (
            f"the sentences are read in {len(self.train):,} pieces of at most "
            f"{self.max_length:,} tokens: an empty line ends a sentence",
        )

    def evaluate_runtime(self, model: TrainedModel, *, quick: bool) -> Metrics:
        from rnntext.runtime.tagger import Tagger as OnnxTagger

        indices = self.evaluated_indices(quick=quick)
        sentences = [self.valid[i] for i in indices]
        words = [EncodedWords(s.ids, s.first, s.last) for s in sentences]
        predicted = [
            [self.labels[tag] for tag in tags.tolist()]
            for tags, _ in OnnxTagger(model).tag_ids(words)
        ]
        return self.metrics_of(predicted, indices)

    def evaluate_examples(self, model: Tagger, indices: Sequence[int]) -> Metrics:
        model.eval()
        sentences = [self.valid[i] for i in indices]
        # The pieces of all sentences, each with the index of its sentence.
        pieces = [(n, p) for n, s in enumerate(sentences) for p in s.pieces(self.max_length)]
        tags: list[Array] = [np.empty(0, np.int64)] * len(pieces)
        lengths = np.array([len(piece.ids) for _, piece in pieces])
        with torch.no_grad():
            for index in buckets(lengths, max_rows=256, max_tokens=1 << 15):
                batch = self._tensors([pieces[i][1] for i in index])
                ids, token_counts, first, last, _, word_counts = batch
                emissions = model(ids, token_counts, first, last)
                paths = model.head.crf.decode(emissions, word_counts).cpu().numpy()
                for place, path, count in zip(index, paths, word_counts.tolist(), strict=True):
                    tags[place] = path[:count]
        predicted: list[list[str]] = [[] for _ in sentences]
        for (sentence, _), path in zip(pieces, tags, strict=True):
            predicted[sentence] += [self.labels[tag] for tag in path]
        return self.metrics_of(predicted, indices)

    def metrics_of(self, predicted: Sequence[Sequence[str]], indices: Sequence[int]) -> Metrics:
        """Return the metrics of the predicted tags of validation sentences, given by their
        indices."""
        gold = [[self._gold_tags[tag] for tag in self.valid[i].tags] for i in indices]
        return metrics.tagging_metrics(gold, predicted, self.spans)


# Maximum length of a sequence, in tokens; a longer sentence is split between words.
_MAX_LENGTH = 512
# The scores of all pairs of so many tags take 400 MB, and training six times as much.
_MAX_TAGS = 10_000


@dataclass(frozen=True, slots=True)
class TaggedExamples:
    """Encoded sentences with their tags."""

    train: TaggedRows
    valid: list[TaggedIds]


class SentenceSchema(ExampleSchema[Tagged]):
    """How tagged sentences are read, split and encoded."""

    unit, noun, label_noun = "sentences", "sentences", "tag"
    presplit = True

    def __init__(self, defaults: TokenizerDefaults) -> None:
        self.tokenizer_defaults = defaults

    def reader(self, paths: Sequence[str], reading: DataOptions) -> Callable[[], Iterator[Tagged]]:
        return tagged_reader(paths, reading)

    def content(self, example: Tagged) -> tuple[str, ...]:
        return example.words

    def labels(self, example: Tagged) -> tuple[str, ...]:
        return example.tags

    def stratum(self, example: Tagged) -> tuple[str, ...]:
        return ()

    def size(self, example: Tagged) -> int:
        return sum(map(len, example.words)) + len(example.words)

    def lines(self, example: Tagged) -> Iterable[str]:
        return (" ".join(example.words),)

    def label_set(self, seen: Iterable[str]) -> tuple[str, ...]:
        tags = set(seen)
        # Where only B-X or only I-X occurs in the data, the other one is a tag too.
        types = {tag[2:] for tag in tags if tag.startswith(("B-", "I-"))}
        if types and all(tag == "O" or tag[:2] in ("B-", "I-") for tag in tags):
            tags |= {f"{prefix}-{kind}" for kind in types for prefix in "BI"} | {"O"}
        return tuple(sorted(tags))

    def encode(
        self,
        tokenizer: Tokenizer,
        examples: Sequence[Tagged],
        label_ids: Mapping[str, int],
        *,
        keep_whole: bool,
    ) -> tuple[list[Array], list[Array]]:
        encoded = [
            TaggedIds(
                e.ids, e.first, e.last, np.array([label_ids[tag] for tag in s.tags], np.int32)
            )
            for s, e in zip(
                examples, tokenizer.encode_words([s.words for s in examples]), strict=True
            )
        ]
        if not keep_whole:
            encoded = [piece for sentence in encoded for piece in sentence.pieces(_MAX_LENGTH)]
            if metrics.is_span_tags(label_ids):
                _begin_spans(encoded, label_ids)
        return [sentence.ids for sentence in encoded], [words_of(s) for s in encoded]


def _begin_spans(sentences: Sequence[TaggedIds], label_ids: Mapping[str, int]) -> None:
    """Replace I-X by B-X at the first word of each piece, in place: a span that was split
    continues there."""
    b_of_i = {label_ids[t]: label_ids[f"B-{t[2:]}"] for t in label_ids if t.startswith("I-")}
    for sentence in sentences:
        first_tag = int(sentence.tags[0])
        sentence.tags[0] = b_of_i.get(first_tag, first_tag)


class TaggerTask(Task[TaggedExamples]):
    """Taggers are bidirectional, whatever the model of `--init` is."""

    name = "tag"
    sizes: ClassVar = {
        "tiny": (1, 64, 64),
        "small": (1, 128, 128),
        "medium": (2, 200, 200),
        "large": (2, 384, 300),
    }
    tokenizer_defaults = TokenizerDefaults(10.0)
    init_direction = InitDirection.BOTH

    def files(self, directory: str) -> Iterator[str]:
        return text_files(directory)

    def plan(
        self,
        options: TrainingOptions,
        reading: DataOptions,
        tokenizer: Tokenizer | None,
        spent: ShareSpent,
    ) -> EntryWriter:
        schema = SentenceSchema(self.tokenizer_defaults)
        return plan_examples(schema, options, reading, tokenizer, spent)

    def examples(self, entry: Entry) -> TaggedExamples:
        valid = TaggedRows(entry.rows_in_memory(IDS + VALID), entry.rows_in_memory(TARGETS + VALID))
        train = TaggedRows(entry.rows(IDS + TRAIN), entry.rows(TARGETS + TRAIN))
        return TaggedExamples(train, valid.read(np.arange(len(valid))))

    def validation_digest(self, examples: TaggedExamples) -> str:
        return digest_of(
            array for sentence in examples.valid for array in (sentence.ids, sentence.tags)
        )

    def default_recipe(
        self,
        options: TrainingOptions,
        size: tuple[int, int, int],
        characters: int,
        examples: int,
    ) -> Recipe:
        return Recipe(
            "lstm", *size,
            bidirectional=True,
            batch_size=16 if examples < 2000 else 32,
            learning_rate=3e-3,
            dropout=0.4,
            token_dropout=0.05,
            bptt=0,
            max_length=_MAX_LENGTH,
            ema_decay=0.998,
        )  # fmt: skip

    def build_network(self, config: ModelConfig, recipe: Recipe) -> Network:
        if len(config.labels) > _MAX_TAGS:
            raise DataError(
                f"the data have {len(config.labels):,} tags, and at most {_MAX_TAGS:,} can be "
                "learned, because each pair of tags has a score: give fewer, or see whether "
                "--tag-column names the right column"
            )
        network = super().build_network(config, recipe)
        assert isinstance(network, Tagger)  # noqa: S101
        if metrics.is_span_tags(config.labels):
            forbid_broken_spans(network.head.crf, list(config.labels))
        return network

    def objective(
        self,
        options: TrainingOptions,
        data: Data[TaggedExamples],
        recipe: Recipe,
        machine: Machine,
        ranks: Ranks,
    ) -> Tagging:
        return Tagging(
            data.examples.train,
            data.examples.valid,
            labels=data.labels,
            max_length=recipe.max_length,
            batch_size=recipe.batch_size,
            seed=options.seed,
            machine=machine,
            ranks=ranks,
            sentence_count=data.summary.train,
            unseen=data.unseen,
        )


TASK = TaggerTask()
