"""The task `classify`: predict the labels of documents.

Knows: its examples and defaults. Does not know: the loss, the calibration or the sum of two models
(`classification.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from rnntext.text.formats import DataOptions
from rnntext.text.labelled import files_of_classes
from rnntext.text.tokenizer import Tokenizer
from rnntext.training.data.cache import Entry
from rnntext.training.data.examples import LabelledIds, LabelledRows, TextRows, one_hot
from rnntext.training.data.loading import Data, digest_of
from rnntext.training.data.prepare import (
    IDS,
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
from rnntext.training.options import TrainingOptions
from rnntext.training.recipes import Recipe, TokenizerDefaults
from rnntext.training.tasks.base import InitDirection, Task
from rnntext.training.tasks.classification import Classification
from rnntext.training.tasks.document_schema import DocumentSchema
from rnntext.training.tasks.ngram_half import NgramHalf

if TYPE_CHECKING:
    pass


@dataclass(frozen=True, slots=True)
class LabelledExamples:
    """Encoded documents with their labels."""

    train: LabelledRows
    valid: LabelledIds
    width: int  # number of labels, those that only validation has included
    train_texts: TextRows
    valid_texts: TextRows


class ClassifierTask(Task[LabelledExamples]):
    """Classifiers are bidirectional, or have the directions of the model of `--init`."""

    name = "classify"
    sizes: ClassVar = {
        "tiny": (1, 64, 64),
        # 64 units are as accurate as 96 (mean accuracy on five held-out parts of SST-2 0.781 and
        # 0.778, in two runs on film reviews 0.899 and 0.895), and train and run faster. 48 units,
        # or embeddings of 64, are less accurate (0.775).
        "small": (1, 64, 96),
        "medium": (1, 256, 256),
        "large": (2, 384, 300),
    }
    tokenizer_defaults = TokenizerDefaults(10.0, lowercase_words=True)
    init_direction = InitDirection.INHERIT

    def files(self, directory: str) -> Iterator[str]:
        return files_of_classes(directory)

    def plan(
        self,
        options: TrainingOptions,
        reading: DataOptions,
        tokenizer: Tokenizer | None,
        spent: ShareSpent,
    ) -> EntryWriter:
        schema = DocumentSchema(self.tokenizer_defaults, multi_label=options.multi_label)
        return plan_examples(schema, options, reading, tokenizer, spent)

    def examples(self, entry: Entry) -> LabelledExamples:
        valid = LabelledRows(
            entry.rows_in_memory(IDS + VALID), entry.rows_in_memory(TARGETS + VALID)
        )
        train = LabelledRows(entry.rows(IDS + TRAIN), entry.rows(TARGETS + TRAIN))
        return LabelledExamples(
            train,
            valid.read(np.arange(len(valid))),
            len(entry.meta["labels"]) + len(entry.meta.get("unseen", ())),
            TextRows(entry.rows(TEXTS + TRAIN)),
            TextRows(entry.rows(TEXTS + VALID)),
        )

    def validation_digest(self, examples: LabelledExamples) -> str:
        # Of 0 and 1 for each label, as the runs of earlier versions recorded it.
        rows = (one_hot([row], examples.width).tobytes() for row in examples.valid.labels)
        return digest_of(examples.valid.ids, rows)

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
            learning_rate=1e-3,
            dropout=0.5,
            token_dropout=0.3,
            bptt=0,
            max_length=400,
            ema_decay=0.998,
        )  # fmt: skip

    def objective(
        self,
        options: TrainingOptions,
        data: Data[LabelledExamples],
        recipe: Recipe,
        machine: Machine,
        ranks: Ranks,
    ) -> Classification:
        examples, width = data.examples, len(data.labels)
        ngrams = None
        if options.ngrams and NgramHalf.is_possible(width):
            valid = examples.valid_texts.read(range(len(examples.valid.ids)))
            ngrams = NgramHalf(examples.train_texts, valid, width, options.multi_label)
        return Classification(
            examples.train,
            examples.valid,
            labels=data.labels,
            multi_label=options.multi_label,
            balanced=options.class_weights == "balanced",
            batch_size=recipe.batch_size,
            max_length=recipe.max_length,
            seed=options.seed,
            machine=machine,
            ranks=ranks,
            ngrams=ngrams,
            held_out=options.valid is None,
            minutes=options.minutes,
            ngrams_texts=options.ngrams_texts,
            select=options.selected_metric,
            unseen=data.unseen,
        )


TASK = ClassifierTask()
