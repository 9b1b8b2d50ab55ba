"""The task `classify`: predict the labels of documents.

Knows: its examples and defaults. Does not know: the loss, the calibration or the sum of two models
(`classification.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import ClassVar

import numpy as np

from rnntext.config import ModelConfig
from rnntext.packaged import locate_model
from rnntext.text.formats import DataOptions
from rnntext.text.labelled import files_of_classes, text_files_in
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
from rnntext.training.data.store import Array
from rnntext.training.engine.device import Machine
from rnntext.training.engine.distributed import Ranks
from rnntext.training.options import TrainingOptions
from rnntext.training.recipes import Recipe, TokenizerDefaults
from rnntext.training.search_space import OF_EXAMPLES
from rnntext.training.tasks.base import InitDirection, Task
from rnntext.training.tasks.classification import LOSS, Classification
from rnntext.training.tasks.distillation import Distillation, choose_texts, remarks
from rnntext.training.tasks.document_schema import DocumentSchema
from rnntext.training.tasks.ngram_half import NgramHalf
from rnntext.training.tasks.teacher import TrainedTeacher, check_teacher, seen_validation


@dataclass(frozen=True, slots=True)
class LabelledExamples:
    """Encoded documents with their labels. Training documents without labels (`--unlabelled`) come
    last and have no label indices."""

    train: LabelledRows
    valid: LabelledIds
    width: int  # number of labels, those that only validation has included
    train_texts: TextRows
    valid_texts: TextRows
    labelled: int  # number of training documents with labels

    def select(self, index: Array) -> LabelledExamples:
        """Return these with only some training documents, by their numbers in ascending order."""
        return replace(
            self,
            train=LabelledRows(self.train.ids.select(index), self.train.labels.select(index)),
            train_texts=TextRows(self.train_texts.rows.select(index)),
        )


class ClassifierTask(Task[LabelledExamples]):
    """Classifiers are bidirectional, or have the directions of the model of `--init`."""

    name = "classify"
    sizes: ClassVar = {
        "tiny": (1, 64, 64),
        # 64 units are as accurate as 96 (mean of five held-out parts of SST-2 0.781 and 0.778, of
        # two runs on film reviews 0.899 and 0.895), and faster. 48, or embeddings of 64: 0.775.
        "small": (1, 64, 96),
        "medium": (1, 256, 256),
        "large": (2, 384, 300),
    }
    tokenizer_defaults = TokenizerDefaults(10.0, lowercase_words=True)
    init_direction = InitDirection.INHERIT
    search_space = OF_EXAMPLES
    search_targets = (LOSS,)

    def files(self, directory: str) -> Iterator[str]:
        # A directory of `--unlabelled` has its texts right in it.
        return chain(files_of_classes(directory), text_files_in(directory))

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
            len(train) - entry.meta["summary"]["unlabelled"],
        )

    def check(self, options: TrainingOptions, ranks: Ranks) -> None:
        if options.distil is not None:
            check_teacher(options, ranks)

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
        config: ModelConfig,
        recipe: Recipe,
        machine: Machine,
        ranks: Ranks,
    ) -> Classification:
        width, held_out = len(data.labels), options.valid is None
        has_ngrams = options.ngrams and NgramHalf.is_possible(width)
        valid: list[str] = []
        if has_ngrams:
            valid = data.examples.valid_texts.read(range(len(data.examples.valid.ids)))
        examples, distillation = data.examples, None
        if options.distil is not None:
            examples, distillation = distil(options, data, valid if held_out else [])
        ngrams = None
        if has_ngrams:
            ngrams = NgramHalf(
                examples.train_texts, valid, width, options.multi_label, examples.labelled
            )
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
            held_out=held_out,
            minutes=options.minutes,
            ngrams_texts=options.ngrams_texts,
            select=options.selected_metric,
            unseen=data.unseen,
            distillation=distillation,
        )


def distil(
    options: TrainingOptions, data: Data[LabelledExamples], valid: Sequence[str]
) -> tuple[LabelledExamples, Distillation]:
    """Open the teacher. Return the examples that are learned from, and what their targets are made
    of. `valid`: the validation texts, if they are learned from in the end."""
    assert options.distil is not None  # noqa: S101
    examples, labels = data.examples, data.labels
    teacher = TrainedTeacher(
        locate_model(options.distil), labels, options.multi_label, options.threads
    )
    choice = choose_texts(
        teacher,
        examples.train_texts,
        examples.labelled,
        valid,
        minutes=options.minutes,
        seed=options.seed,
        unlabelled=options.unlabelled_texts,
        unanswered=options.unanswered,
    )
    if len(choice.rows) < len(examples.train):
        examples = examples.select(choice.rows)
    said = remarks(options, data.summary, choice, examples.labelled + len(valid))
    seen = seen_validation(teacher.saved, options, data.summary)
    return examples, Distillation(
        teacher,
        examples.train_texts,
        examples.labelled,
        len(labels),
        valid=valid,
        unanswered=choice.unanswered,
        seed=options.seed,
        seen_valid=bool(seen),
        remarks=[*said, seen] if seen else said,
    )


TASK = ClassifierTask()
