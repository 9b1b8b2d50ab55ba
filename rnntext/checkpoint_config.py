"""The content of `config.json` as dataclasses, for all code that reads or writes it.

Knows: the fields of `config.json`, their types and order, which of them older versions did not
write, and that the tables of an evaluation are kept in `evaluation.json`, which no running model
reads. Does not know: how the file is written atomically (`checkpoint.py`), nor what the options
and the recipe of a run mean (`training/options.py`, `training/recipes.py`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from rnntext.arguments import PART
from rnntext.checkpoint import CONFIG, EVALUATION, Checkpoint
from rnntext.config import ModelConfig, TokenizerConfig
from rnntext.errors import CheckpointError, UsageError
from rnntext.json_fields import FieldError, read_value
from rnntext.tasks import TASKS

Metrics = dict[str, Any]
Value = TypeVar("Value")

PRECISIONS = ("float32", "int8")


@dataclass(frozen=True, slots=True)
class DataSummary:
    """Statistics of a run's data."""

    unit: str  # of `train` and `valid`: lines, documents or sentences
    train: int
    valid: int
    characters: int  # in the training data
    duplicates: int  # validation examples that are also training examples
    fingerprint: str  # SHA-256 of the training data and their labels
    labels: dict[str, int] = field(default_factory=dict)  # count of each in the training data
    read: int = 0  # lines read from DATA, including those held out for validation
    cut_short: bool = False  # the time budget allowed only a part of the training text
    sampled: int = 0  # characters that the tokenizer was trained on; 0: all of them
    sample_cut: bool = False  # the time budget allowed only so many
    # Validation documents or sentences that differ from training examples only in case,
    # punctuation and white space.
    near_duplicates: int = 0
    # Groups (`--group-column`) of the validation data that training has too; None: no groups.
    shared_groups: int | None = None
    # Labels or tags of the validation data that training lacks: how many there are, one of them,
    # and how often they occur.
    unseen_labels: int = 0
    unseen_label: str = ""
    unseen_count: int = 0
    # Training texts without labels (`--unlabelled`): how many are encoded, how many were read, of
    # which near duplicates of validation texts, and texts of groups that validation has, are left
    # out, and the SHA-256 of those encoded.
    # `characters` counts those of these texts too, `train` and `fingerprint` do not.
    unlabelled: int = 0
    unlabelled_read: int = 0
    unlabelled_left_out: int = 0
    unlabelled_fingerprint: str = ""
    unlabelled_cut: bool = False  # the time budget allowed only for so many
    # The tokenizer learned words from text in which they are not separated by spaces.
    lacks_spaces: bool = False
    unknown_rate: float = 0.0  # the share of the validation tokens that are unknown

    @property
    def unlabelled_part(self) -> tuple[int, int] | None:
        """What repeats a run that had no time for all, see `TrainingOptions.unlabelled_part`."""
        return (self.unlabelled_read, self.unlabelled) if self.unlabelled_cut else None

    @property
    def part(self) -> tuple[int, int, int] | None:
        """What repeats a run that had no time for all data, see `TrainingOptions.part`."""
        if not (self.cut_short or self.sample_cut):
            return None
        return (self.read, self.train, self.sampled) if self.cut_short else (0, 0, self.sampled)


# In the dataclasses below, a field with a default is one that some checkpoints do not have.


@dataclass(frozen=True, slots=True)
class DataRecord(DataSummary):
    """The section `data`: the summary, and the SHA-256 of the validation data."""

    valid_digest: str = ""


@dataclass(frozen=True, slots=True)
class DistillationRecord:
    """From which teacher a model was distilled."""

    teacher: str  # the name of its directory
    digest: str  # SHA-256 of the files that its answers depend on
    unlabelled: int  # texts without labels that the model learned from
    # Texts with labels that the time budget allowed no answers to, see `TrainingOptions.unanswered`
    unanswered: int = 0
    # The teacher has learned from validation texts, or may have; None: earlier versions did not say
    seen_valid: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRecord:
    """The section `training`: how the model was trained, and on which machine."""

    options: dict[str, Any]  # see `TrainingOptions`
    recipe: dict[str, Any]  # see `Recipe`
    machine: str
    threads: int
    processes: int = 1
    torch_version: str
    finished: bool = True
    distilled: DistillationRecord | None = None

    def unlabelled_texts(self, data: DataSummary) -> int | None:
        """What repeats a run in which a teacher had no time to answer all texts that were encoded,
        see `TrainingOptions.unlabelled_texts`."""
        answered = data.unlabelled if self.distilled is None else self.distilled.unlabelled
        return answered if answered < data.unlabelled else None


# `config.json` holds the metrics that are single numbers. Older versions also wrote the tables.


@dataclass(frozen=True, slots=True)
class Progress:
    """The section `results` of an unfinished run. The metrics are those of the best evaluation;
    before the first evaluation there are none."""

    steps: int
    epochs: float
    seconds: float
    metrics: Metrics | None = None
    best_step: int | None = None

    def to_json(self) -> dict[str, Any]:
        return _without_none({**asdict(self), "metrics": _numbers(self.metrics)})


# The number of texts that the n-grams of a classifier or tagger were learned from, in `halves`.
NGRAMS_TEXTS = "ngrams_texts"
# The number of sentences that a splitter was learned from.
SPLITTER_SENTENCES = "splitter_sentences"


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """The section `results` of a finished run."""

    metrics: Metrics  # of the saved model, on the validation data
    float32: Metrics | None = None  # before the conversion, if the model is int8
    steps: int
    best_step: int
    epochs: float
    seconds: float
    tokens_per_second: int
    reason: str = ""  # why the run ended
    plans: tuple[tuple[int, int], ...] = ()  # see `Finished`
    preparation_seconds: float = 0.0  # see `Saved`
    training_seconds: float = 0.0
    evaluation_seconds: float = 0.0
    # What the network and the n-grams of a classifier reach by themselves, and their weight.
    halves: dict[str, float] = field(default_factory=dict)
    # The saved linear model has learned from the validation texts too, after the metrics were
    # measured; None: earlier versions did not say.
    learned_from_valid: bool | None = None

    def to_json(self) -> dict[str, Any]:
        numbers = {name: _numbers(getattr(self, name)) for name in ("metrics", "float32")}
        plans = [list(plan) for plan in self.plans]
        return _without_none({**asdict(self), **numbers, "plans": plans})

    def evaluation_file(self) -> dict[str, bytes]:
        """Return name and content of `evaluation.json`; nothing if all metrics are numbers."""
        tables = {
            name: {n: value for n, value in metrics.items() if n not in single_numbers(metrics)}
            for name, metrics in (("metrics", self.metrics), ("float32", self.float32 or {}))
        }
        if not any(tables.values()):
            return {}
        text = json.dumps(tables, ensure_ascii=False)
        return {EVALUATION: text.encode("utf-8", "backslashreplace")}


@dataclass(frozen=True, slots=True)
class Quantization:
    """The section `quantization` of an int8 model. Only `export` writes the data on which the
    model was measured and the metrics after and before the conversion."""

    valid: tuple[str, ...] | None = None
    temperature: float | None = None  # by which a classifier's logits are divided
    metrics: Metrics | None = None
    before: Metrics | None = None

    def to_json(self) -> dict[str, Any]:
        if self.valid is None:
            return {"temperature": self.temperature}
        numbers = {name: _numbers(getattr(self, name)) for name in ("metrics", "before")}
        return {**asdict(self), **numbers, "valid": list(self.valid)}


@dataclass(frozen=True, slots=True)
class LineBits:
    """The section `line_bits` of a language model: quantiles of the bits a token of the lines of
    its validation text, see `runtime/line_bits.py`."""

    lines: int  # that were read
    percent: tuple[float, ...]  # which quantiles, in ascending order
    reset: tuple[float, ...]  # of lines by themselves
    carry: tuple[float, ...]  # with the state carried from line to line

    def to_json(self) -> dict[str, Any]:
        tables = (self.percent, self.reset, self.carry)
        names = ("percent", "reset", "carry")
        return {"lines": self.lines, **dict(zip(names, map(list, tables), strict=True))}


@dataclass(frozen=True, slots=True)
class LabelScores:
    """One entry of the metric `per_label`."""

    precision: float
    recall: float
    f1: float
    support: int


# Metrics that other code relies on; the others are shown if they are numbers.
_METRIC_TYPES: dict[str, Any] = {
    **dict.fromkeys(("perplexity", "accuracy", "f1", "macro_f1"), float),
    "per_label": dict[str, LabelScores],
}


@dataclass(frozen=True, slots=True)
class CheckpointConfig:
    """The content of a `config.json`.

    Each section is checked when it is read, so that a model whose record of the training is
    damaged can still be run. Every property raises CheckpointError, which names the file, the
    field and the expected type, if a field is missing or has another type. Unknown fields are
    ignored, except in `model` and `tokenizer`, where they would change what is computed.
    """

    path: Path  # for messages
    content: Mapping[str, Any]

    @classmethod
    def of(cls, found: Checkpoint) -> CheckpointConfig:
        return cls(found.directory / CONFIG, found.config)

    @property
    def task(self) -> str:
        model = self.content.get("model")
        task = model.get("task") if isinstance(model, dict) else None
        if not isinstance(task, str) or task not in TASKS:
            raise CheckpointError(f"{self.path} does not say which task its model is for")
        return task

    @property
    def version(self) -> str:
        """The version of rnntext that wrote the checkpoint."""
        return self._read("rnntext_version", str)

    @property
    def model(self) -> ModelConfig:
        return ModelConfig.from_json(self.content.get("model"), self.path)

    @property
    def parameters(self) -> int:
        """Number of trained weights."""
        return self._read("parameters", int)

    @property
    def precision(self) -> str:
        """The precision of the graph, one of PRECISIONS."""
        precision = self._read("precision", str)
        if precision not in PRECISIONS:
            raise self.damaged(f"precision must be one of {', '.join(PRECISIONS)}")
        return precision

    @property
    def quantization(self) -> Quantization | None:
        """None for a model that is float32."""
        if "quantization" not in self.content:
            return None
        section = self._read("quantization", Quantization)
        self._check_metrics("quantization.metrics", section.metrics)
        return section

    @property
    def line_bits(self) -> LineBits | None:
        """None for a model that does not record them."""
        if self.content.get("line_bits") is None:
            return None
        section = self._read("line_bits", LineBits)
        tables = (section.percent, section.reset, section.carry)
        sizes, ordered = set(map(len, tables)), all(list(t) == sorted(t) for t in tables)
        if len(sizes) != 1 or 0 in sizes or not ordered:
            raise self.damaged("line_bits has tables that do not belong together")
        return section

    @property
    def tokenizer(self) -> TokenizerConfig:
        return self._read("tokenizer", TokenizerConfig, allow_unknown=False)

    @property
    def data(self) -> DataRecord:
        section = self._read("data", DataRecord)
        try:
            # See `DataSummary.part` and `unlabelled_part`.
            for name in ("read", "train", "sampled", "unlabelled_read", "unlabelled"):
                PART.check(f"data.{name}", getattr(section, name))
        except UsageError as error:
            raise self.damaged(error) from None
        return section

    @property
    def is_trained(self) -> bool:
        """True if the checkpoint has a section `training`."""
        return "training" in self.content

    @property
    def training(self) -> TrainingRecord:
        return self._read("training", TrainingRecord)

    @property
    def tag_column(self) -> str | None:
        """The column whose tags a tagger was trained on, as --tag-column named it."""
        column = self.training.options.get("tag_column") if self.is_trained else None
        return column if isinstance(column, str) and column else None

    @property
    def results(self) -> Results | Progress:
        """The results of a finished run, or the progress of an unfinished one."""
        return self.final_results if self.training.finished else self.progress

    @property
    def final_results(self) -> Results:
        section = self._read("results", Results)
        self._check_metrics("results.metrics", section.metrics)
        self._check_metrics("results.float32", section.float32)
        return section

    def results_with_tables(self, evaluation: bytes | None) -> Results:
        """Return the results of a finished run with the tables that the content of its
        `evaluation.json` holds (None: there is no such file)."""
        results = self.final_results
        if evaluation is None:
            return results
        try:
            tables = read_value(dict[str, dict[str, Any]], json.loads(evaluation), EVALUATION)
        except (FieldError, ValueError, RecursionError) as error:
            raise self.damaged(error) from None
        float32 = results.float32
        return replace(
            results,
            metrics={**results.metrics, **tables.get("metrics", {})},
            float32=None if float32 is None else {**float32, **tables.get("float32", {})},
        )

    @property
    def progress(self) -> Progress:
        section = self._read("results", Progress)
        self._check_metrics("results.metrics", section.metrics)
        return section

    def damaged(self, reason: object) -> CheckpointError:
        """The error for a field that cannot be used."""
        return CheckpointError(f"{self.path} is damaged ({reason}): restore it or train it again")

    def _read(self, name: str, hint: type[Value], *, allow_unknown: bool = True) -> Value:
        try:
            if name not in self.content:
                raise FieldError(f"{name} is missing")
            value: Value = read_value(hint, self.content[name], name, allow_unknown)
        except FieldError as error:
            raise self.damaged(error) from None
        return value

    def _check_metrics(self, name: str, metrics: Metrics | None) -> None:
        try:
            for metric, value in (metrics or {}).items():
                read_value(_METRIC_TYPES.get(metric, Any), value, f"{name}.{metric}")
        except FieldError as error:
            raise self.damaged(error) from None


def config_to_json(
    *,
    version: str,
    model: ModelConfig,
    parameters: int,
    quantization: Quantization | None,  # None: the graph is float32
    tokenizer: TokenizerConfig,
    data: DataRecord,
    training: TrainingRecord,
    results: Results | Progress,
    line_bits: LineBits | None = None,
) -> dict[str, Any]:
    """Return the content of `config.json`, without what `checkpoint.save` adds to it."""
    return {
        "rnntext_version": version,
        "model": model.to_json(),
        "parameters": parameters,
        "precision": "float32" if quantization is None else "int8",
        **({} if quantization is None else {"quantization": quantization.to_json()}),
        "tokenizer": asdict(tokenizer),
        "data": asdict(data),
        "training": _without_none(asdict(training)),
        "results": results.to_json(),
        **({} if line_bits is None else {"line_bits": line_bits.to_json()}),
    }


def single_numbers(metrics: Mapping[str, Any]) -> Metrics:
    """Return the metrics that are numbers or None (unknown), without tables and lists."""
    return {n: v for n, v in metrics.items() if v is None or isinstance(v, int | float)}


def _numbers(metrics: Metrics | None) -> Metrics | None:
    return None if metrics is None else single_numbers(metrics)


def _without_none(section: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in section.items() if value is not None}
