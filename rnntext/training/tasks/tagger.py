"""The task `tag`: predict the tag of each word of a sentence.

Knows: its examples and defaults. Does not know: the objective (`tagging.py`), or optimizers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from rnntext import metrics
from rnntext.config import ModelConfig
from rnntext.errors import DataError
from rnntext.text.formats import DataOptions
from rnntext.text.lines import text_files
from rnntext.text.tokenizer import Tokenizer
from rnntext.training.data.cache import Entry
from rnntext.training.data.examples import (
    TaggedIds,
    TaggedRows,
    TextRows,
    split_joined_words,
)
from rnntext.training.data.loading import Data, digest_of
from rnntext.training.data.prepare import (
    IDS,
    RAW,
    TARGETS,
    TEXTS,
    TRAIN,
    VALID,
    EntryWriter,
    ShareSpent,
)
from rnntext.training.data.prepare_examples import plan_examples
from rnntext.training.engine.device import Machine
from rnntext.training.engine.distributed import Ranks
from rnntext.training.networks.crf import ConditionalRandomField, forbid_broken_spans
from rnntext.training.networks.encoder import Network
from rnntext.training.networks.tagger import Tagger
from rnntext.training.options import TrainingOptions
from rnntext.training.recipes import Recipe, TokenizerDefaults, has_crf
from rnntext.training.search_space import OF_EXAMPLES
from rnntext.training.tasks.base import InitDirection, Task
from rnntext.training.tasks.sentence_schema import MAX_LENGTH, SentenceSchema
from rnntext.training.tasks.split_half import SplitHalf, unlike_raw_text
from rnntext.training.tasks.tagging import Tagging
from rnntext.training.tasks.word_half import WordHalf, tag_set

# A model can be too large, but so many tags are rather the words of a wrong column.
_MAX_TAGS = 10_000


@dataclass(frozen=True, slots=True)
class TaggedExamples:
    """Encoded sentences with their tags, and their words, joined."""

    train: TaggedRows
    valid: list[TaggedIds]
    train_texts: TextRows
    valid_texts: TextRows
    train_raw: TextRows  # see `SplitHalf`
    valid_raw: TextRows


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
    search_space = OF_EXAMPLES
    search_targets = ("f1", "accuracy")

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
        return TaggedExamples(
            train,
            valid.read(np.arange(len(valid))),
            TextRows(entry.rows(TEXTS + TRAIN)),
            TextRows(entry.rows(TEXTS + VALID)),
            TextRows(entry.rows(RAW + TRAIN)),
            TextRows(entry.rows(RAW + VALID)),
        )

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
            max_length=MAX_LENGTH,
            ema_decay=0.998,
        )  # fmt: skip

    def complete(self, config: ModelConfig, options: TrainingOptions) -> ModelConfig:
        return replace(config, crf=has_crf(options, config.labels))

    def build_network(self, config: ModelConfig, recipe: Recipe) -> Network:
        if len(config.labels) > _MAX_TAGS:
            raise DataError(
                f"the data have {len(config.labels):,} tags, and at most {_MAX_TAGS:,} can be "
                "learned: give fewer, or see whether --tag-column names the right column"
            )
        network = super().build_network(config, recipe)
        assert isinstance(network, Tagger)  # noqa: S101
        crf = network.head.crf
        if isinstance(crf, ConditionalRandomField) and metrics.is_span_tags(config.labels):
            forbid_broken_spans(crf, list(config.labels))
        return network

    def objective(
        self,
        options: TrainingOptions,
        data: Data[TaggedExamples],
        config: ModelConfig,
        recipe: Recipe,
        machine: Machine,
        ranks: Ranks,
    ) -> Tagging:
        examples = data.examples
        linear = None
        tags = tag_set(config)
        if options.ngrams and WordHalf.is_possible(tags):
            texts = examples.valid_texts.read(range(len(examples.valid)))
            linear = WordHalf(
                examples.train,
                examples.train_texts,
                list(map(split_joined_words, texts)),
                tags,
            )
        splitter = SplitHalf(
            examples.train_raw, examples.train_texts, examples.valid_raw, examples.valid_texts
        )
        return Tagging(
            examples.train,
            examples.valid,
            labels=data.labels,
            max_length=recipe.max_length,
            batch_size=recipe.batch_size,
            seed=options.seed,
            machine=machine,
            ranks=ranks,
            sentence_count=data.summary.train,
            unseen=data.unseen,
            linear=linear,
            splitter=splitter if splitter.is_possible else None,
            warning=None if splitter.is_possible else unlike_raw_text(examples.train_texts),
            held_out=options.valid is None,
            minutes=options.minutes,
            ngrams_texts=options.ngrams_texts,
            splitter_sentences=options.splitter_sentences,
            select=options.selected_metric,
        )


TASK = TaggerTask()
