"""Options of a training run: each option's default, valid values and command-line declaration.

Knows: the fields, their checks, their help texts and sections of the help, which of them change
the encoded data, and their JSON. Does not know: what a declaration consists of (`declaration.py`),
how to choose values that the user left open (`recipes.py`), nor torch, files or the library that
parses the command line.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Self

from rnntext import arguments
from rnntext.arguments import check_path
from rnntext.config import CELLS, one_of
from rnntext.errors import UsageError
from rnntext.json_fields import FieldError, read_record
from rnntext.tasks import TASKS
from rnntext.training.declaration import check_values, declarations, flag_of, no_flag, option

PRESETS = ("tiny", "small", "medium", "large")
TOKENIZERS = ("bpe", "word", "char", "byte")
DEVICES = ("auto", "cpu", "cuda", "mps")
FORWARD, BOTH = "forward", "both"  # directions of a language model

# Sections of the help of `train`.
DATA = "Data"
MODEL = "Model"
TOKENIZER = "Tokenizer"
LENGTH = "Length of the run"
OPTIMIZATION = "Optimization"
CHOOSING = "Choosing the model"
FILES = "Files and resuming"


def has_option(task: str, name: str) -> bool:
    """Return True if the training option `name` is one of `train TASK`."""
    return task in declarations(TrainingOptions)[name].tasks


@dataclass(frozen=True, slots=True)
class TrainingOptions:
    """Options that determine what a training run computes; None leaves the choice to the run.

    Raises UsageError for values that are not valid.
    """

    task: str = field(metadata=no_flag(changes_data=True))
    # The cache key contains the contents of these files and, without `valid`, the seed.
    data: tuple[str, ...] = field(metadata=no_flag(changes_data=False))
    valid: str | None = option(
        None,
        "Validation data.",
        metavar="FILE",
        panel=DATA,
        changes_data=False,
        is_path=True,
    )
    unlabelled: tuple[str, ...] = option(
        (),
        "Texts without labels, which the teacher of --distil answers; may be given several times.",
        metavar="FILE",
        panel=DATA,
        # The cache key contains the contents of these files.
        changes_data=False,
        tasks=("classify",),
        is_path=True,
    )
    format: str | None = option(
        None,
        "Format of the data.",
        metavar="NAME",
        metavars={
            "lm": "text|csv|tsv|jsonl|parquet",
            "classify": "csv|tsv|jsonl|fasttext|parquet",
            "tag": "conllu|conll|jsonl|parquet",
        },
        panel=DATA,
        changes_data=True,
    )
    text_column: str | None = option(
        None,
        "Column of the texts in .csv, .tsv or .jsonl rows.",
        metavar="NAME",
        panel=DATA,
        changes_data=True,
    )
    label_column: str | None = option(
        None,
        "Column of the labels.",
        metavar="NAME",
        panel=DATA,
        tasks=("classify",),
        ignored_elsewhere=True,
        changes_data=True,
    )
    tag_column: str | None = option(
        None,
        "Column of the tags: upos, xpos, 4 ...",
        metavar="NAME",
        panel=DATA,
        changes_data=True,
        tasks=("tag",),
    )
    multi_label: bool = option(
        False,
        "Multi-label classification: a text may have several labels.",
        panel=DATA,
        changes_data=True,
        tasks=("classify",),
    )
    label_separator: str | None = option(
        None,
        "Separator between the labels of one text.",
        metavar="TEXT",
        panel=DATA,
        tasks=("classify",),
        ignored_elsewhere=True,
        changes_data=True,
    )
    group_column: str | None = option(
        None,
        "Column of groups (films, customers): validation has other groups than training.",
        metavar="NAME",
        panel=DATA,
        tasks=("classify", "tag"),
        changes_data=True,
    )
    delimiter: str | None = option(
        None,
        "Character between columns.",
        metavar="CHAR",
        panel=DATA,
        changes_data=True,
    )
    header: bool = option(
        True,
        "Tables have a header; otherwise columns are numbers, from 1.",
        panel=DATA,
        changes_data=True,
        negatable=True,
    )
    encoding: str = option(
        "utf-8",
        "Character encoding of the text.",
        metavar="NAME",
        panel=DATA,
        changes_data=True,
    )
    encoding_errors: str = option(
        "strict",
        "Refuse or replace bytes that the encoding does not allow.",
        metavar="strict|replace",
        panel=DATA,
        changes_data=True,
    )
    max_line: int = option(
        arguments.DEFAULT_LONGEST_LINE,
        "Characters of the longest line, such as 64M.",
        metavar="N",
        panel=DATA,
        changes_data=False,
        within=arguments.LINE,
    )
    split: str = option(
        "train",
        "Split of an hf: data set.",
        metavar="NAME",
        panel=DATA,
        changes_data=True,
    )
    preset: str | None = option(
        None,
        "Preset of sizes.",
        panel=MODEL,
        changes_data=False,
        choices=PRESETS,
        set_by_init=True,
    )
    cell: str | None = option(
        None,
        "Type of recurrent cell.",
        panel=MODEL,
        changes_data=False,
        choices=CELLS,
        set_by_init=True,
    )
    layers: int | None = option(
        None,
        "Number of recurrent layers.",
        metavar="N",
        panel=MODEL,
        changes_data=False,
        within=arguments.LAYERS,
        set_by_init=True,
    )
    hidden: int | None = option(
        None,
        "Hidden units of each layer and direction.",
        metavar="N",
        panel=MODEL,
        changes_data=False,
        within=arguments.WIDTH,
        set_by_init=True,
    )
    embed: int | None = option(
        None,
        "Embedding dimension.",
        metavar="N",
        panel=MODEL,
        changes_data=False,
        within=arguments.WIDTH,
        set_by_init=True,
    )
    direction: str = option(
        FORWARD,
        "Read forward, or with a second encoder backward too, for what --init starts from it.",
        panel=MODEL,
        changes_data=False,
        tasks=("lm",),
        choices=(FORWARD, BOTH),
    )
    tokenizer: str | None = option(
        None,
        "Type of tokenizer: subwords, words, characters or bytes.",
        panel=TOKENIZER,
        changes_data=True,
        choices=TOKENIZERS,
        set_by_init=True,
    )
    vocab_size: int | None = option(
        None,
        "Maximum size of the vocabulary.",
        metavar="N",
        panel=TOKENIZER,
        changes_data=True,
        within=arguments.VOCABULARY,
        set_by_init=True,
    )
    min_frequency: int | None = option(
        None,
        "Minimum frequency of a word; rarer words are unknown.",
        metavar="N",
        panel=TOKENIZER,
        changes_data=True,
        within=arguments.FREQUENCY,
        set_by_init=True,
    )
    lowercase: bool | None = option(
        None,
        "Convert the text to lower case.",
        panel=TOKENIZER,
        changes_data=True,
        negatable=True,
        set_by_init=True,
    )
    init: str | None = option(
        None,
        "Initialize tokenizer, embeddings and encoder from this model.",
        metavar="DIR",
        panel=MODEL,
        changes_data=False,
        is_path=True,
    )
    epochs: int | None = option(
        None,
        "Number of passes over the training data.",
        metavar="N",
        panel=LENGTH,
        changes_data=False,
        within=arguments.EPOCHS,
    )
    steps: int | None = option(
        None,
        "Number of optimizer steps.",
        metavar="N",
        panel=LENGTH,
        changes_data=False,
        within=arguments.STEPS,
    )
    minutes: float | None = option(
        None,
        "Time budget in minutes, from the start to the saved model.",
        metavar="M",
        panel=LENGTH,
        changes_data=False,
        within=arguments.MINUTES,
    )
    batch_size: int | None = option(
        None,
        "Number of sequences in a batch.",
        metavar="N",
        panel=OPTIMIZATION,
        changes_data=False,
        within=arguments.BATCH,
    )
    lr: float | None = option(
        None,
        "Learning rate (peak).",
        metavar="RATE",
        panel=OPTIMIZATION,
        changes_data=False,
        within=arguments.LEARNING_RATE,
    )
    dropout: float | None = option(
        None,
        "Dropout probability.",
        metavar="P",
        panel=OPTIMIZATION,
        changes_data=False,
        within=arguments.DROPOUT,
    )
    bptt: int | None = option(
        None,
        "Tokens of truncated back-propagation through time.",
        metavar="N",
        panel=OPTIMIZATION,
        changes_data=False,
        tasks=("lm",),
        within=arguments.BPTT,
    )
    select: str | None = option(
        None,
        "Validation metric that chooses the best weights and ends a run on a plateau.",
        metavar="METRIC",
        metavars={name: "|".join(task.selectors) for name, task in TASKS.items()},
        panel=CHOOSING,
        changes_data=False,
    )
    class_weights: str | None = option(
        None,
        "Weight the loss of each class by its inverse frequency.",
        panel=OPTIMIZATION,
        changes_data=False,
        tasks=("classify",),
        choices=("balanced",),
    )
    distil: str | None = option(
        None,
        "Learn from the answers of this classifier too, the teacher.",
        metavar="DIR",
        panel=OPTIMIZATION,
        changes_data=False,
        tasks=("classify",),
        is_path=True,
    )
    ngrams: bool = option(
        True,
        "Add a linear model of words, pairs of words and characters.",
        panel=MODEL,
        changes_data=False,
        tasks=("classify", "tag"),
        negatable=True,
    )
    crf: bool | None = option(
        None,
        "Score pairs of neighbouring tags (conditional random field).",
        panel=MODEL,
        changes_data=False,
        tasks=("tag",),
        negatable=True,
    )
    quantize: bool = option(
        False,
        "Quantize the trained model to int8.",
        panel=MODEL,
        changes_data=False,
    )
    seed: int = option(
        0,
        "Seed of the random numbers.",
        metavar="N",
        panel=OPTIMIZATION,
        changes_data=False,
        within=arguments.SEED,
    )
    device: str = option(
        "auto",
        "Device that trains.",
        panel=OPTIMIZATION,
        changes_data=False,
        choices=DEVICES,
    )
    # All commands share the declaration of this flag.
    threads: int | None = field(
        default=None, metadata=no_flag(changes_data=False, within=arguments.THREADS)
    )
    # Lines read, lines encoded (0: all) and characters that the tokenizer is learned from (0: the
    # usual), where the time budget did not allow for all. Only --config sets it.
    part: tuple[int, int, int] | None = field(default=None, metadata=no_flag(changes_data=True))
    # (step, total steps) of each plan of a run with a time budget. Only --config sets it. Each plan
    # but the first was made during the plan before it, and each has steps left.
    plans: tuple[tuple[int, int], ...] = field(default=(), metadata=no_flag(changes_data=False))
    # Number of training texts that the n-grams are learned from (None: what memory and the time
    # budget allow). Only --config sets it.
    ngrams_texts: int | None = field(
        default=None, metadata=no_flag(changes_data=False, within=arguments.PART)
    )
    # Number of training sentences that a splitter is learned from, likewise.
    splitter_sentences: int | None = field(
        default=None, metadata=no_flag(changes_data=False, within=arguments.PART)
    )
    # Unlabelled texts read, and encoded, where the time budget did not allow for all. Only --config
    # sets it.
    unlabelled_part: tuple[int, int] | None = field(
        default=None, metadata=no_flag(changes_data=True)
    )
    # Number of encoded unlabelled texts that are learned from (None: what the time budget allows).
    # Only --config and --resume set it.
    unlabelled_texts: int | None = field(
        default=None, metadata=no_flag(changes_data=False, within=arguments.PART)
    )
    # Number of training and validation texts with labels that a teacher does not answer (None: what
    # the time budget does not allow). Only --config and --resume set it.
    unanswered: int | None = field(
        default=None, metadata=no_flag(changes_data=False, within=arguments.PART)
    )

    def __post_init__(self) -> None:
        one_of("task", self.task, tuple(TASKS))
        for path in self.data:
            check_path("DATA", path)
        check_values(self)
        if self.select is not None:
            task = TASKS[self.task]
            known = task.selector(self.select)
            one_of("--select", known or self.select, tuple(task.selectors))
            object.__setattr__(self, "select", known)
        if self.select == "micro_f1" and not self.multi_label:
            raise UsageError(
                "--select micro_f1 is for --multi-label: with one label it is accuracy"
            )
        for name in ("part", "unlabelled_part"):
            for index, number in enumerate(getattr(self, name) or ()):
                arguments.PART.check(f"{name}[{index}]", number)
        arguments.check_plans(self.plans)
        budgets = [
            flag_of(name)
            for name in ("epochs", "steps", "minutes")
            if getattr(self, name) is not None
        ]
        if len(budgets) > 1:
            raise UsageError(f"{' and '.join(budgets)} exclude each other: give one of them")
        declared = declarations(type(self))
        for item in fields(self):
            name, value = item.name, getattr(self, item.name)
            declaration = declared[item.name]
            refused = self.task not in declaration.tasks and not declaration.ignored_elsewhere
            if refused and value != item.default:
                raise UsageError(f"{flag_of(name)} is for train {' and '.join(declaration.tasks)}")
            if value is not None and declaration.set_by_init and self.init is not None:
                raise UsageError(f"{flag_of(name)} comes with --init's model: leave it out")
        if self.unlabelled and self.distil is None:
            raise UsageError("--unlabelled needs --distil: name the classifier that answers them")
        if self.distil is not None and self.class_weights is not None:
            raise UsageError(
                "--class-weights and --distil exclude each other: a teacher's answers have no one "
                "class to weigh"
            )

    @property
    def selected_metric(self) -> str | None:
        """The metric of an evaluation that `select` names; None if it is left open."""
        return None if self.select is None else TASKS[self.task].selectors[self.select]

    def to_json(self) -> dict[str, Any]:
        """The fields that differ from their defaults, and the task and data."""
        return {
            item.name: list(value) if isinstance(value, tuple) else value
            for item in fields(self)
            if (value := getattr(self, item.name)) != item.default
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Raises UsageError for unknown fields, and for missing or invalid values."""
        unknown = sorted(set(value) - set(declarations(cls)))
        if unknown:
            raise UsageError(f"there is no option {', '.join(unknown)}")
        try:
            return read_record(cls, value)
        except FieldError as error:
            raise UsageError(f"the file does not describe a training run ({error})") from None

    def merged(self, given: Mapping[str, Any]) -> Self:
        """These options with the values in `given` in place of their own."""
        return replace(self, **given)


def data_fields() -> tuple[str, ...]:
    """Names of the training options that change the encoded data: the key of its cache entry."""
    found = declarations(TrainingOptions)
    return tuple(name for name, declaration in found.items() if declaration.changes_data)
