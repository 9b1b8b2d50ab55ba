"""The library: train, evaluate and export from Python, as the command line does.

Knows: which rooms a call needs, and imports them when it is made. Does not know: consoles. A
trained model as an object is `rnntext.load`, in `runtime/api.py`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from rnntext.arguments import MISTAKES, THREADS, check_path
from rnntext.config import one_of
from rnntext.errors import RnntextError, TrainingError, UsageError
from rnntext.packaged import MODELS, locate_model

if TYPE_CHECKING:
    from rnntext.training.events import Event, Saved

_NO_PYTORCH = (
    "{} needs PyTorch, which is not installed: run `pip install 'rnntext[train]'` "
    "(the README says how to get the smaller CPU-only build)"
)
_NO_ONNX = (
    "export needs the package onnx, which is not installed: run `pip install 'rnntext[export]'`"
)

Name = str | os.PathLike[str]


class TrainingKeywords(TypedDict, total=False):
    """The options of a training run as keyword arguments: the fields of
    `rnntext.training.options.TrainingOptions`, which documents them, but task and data. One that
    is left out is chosen by the run."""

    valid: str
    format: str
    text_column: str
    label_column: str
    tag_column: str
    multi_label: bool
    label_separator: str
    delimiter: str
    header: bool
    group_column: str
    encoding: str
    encoding_errors: str
    max_line: int
    split: str
    preset: str
    cell: str
    layers: int
    hidden: int
    embed: int
    tokenizer: str
    vocab_size: int
    min_frequency: int
    lowercase: bool
    init: str
    direction: str
    epochs: int
    steps: int
    minutes: float
    batch_size: int
    lr: float
    dropout: float
    bptt: int
    ngrams: bool
    crf: bool
    class_weights: str
    select: str
    distil: str
    unlabelled: Name | Sequence[Name]
    quantize: bool
    seed: int
    device: str
    threads: int


class RunKeywords(TrainingKeywords, total=False):
    """Those, and how the run is executed: the fields of
    `rnntext.training.execution_options.ExecutionOptions`."""

    force: bool
    resume: bool
    tune: float
    save_every: float
    cache: bool
    tensorboard: Name


class ReadingKeywords(TypedDict, total=False):
    """How labelled data or text are read: fields of `rnntext.text.formats.DataOptions`. One that is
    left out is that of the model's training data."""

    format: str
    text_column: str
    label_column: str
    tag_column: str
    label_separator: str
    delimiter: str
    header: bool
    encoding: str
    encoding_errors: str
    max_line: int
    split: str


def train(
    task: str,
    data: Name | Sequence[Name],
    output: Name,
    *,
    stop: Callable[[], bool] = lambda: False,
    **options: Unpack[RunKeywords],
) -> Saved:
    """Train a model and save it as the directory `output`; returns its metrics and how the run
    went.

    task: "lm", "classify" or "tag"; data: one or several files, directories or `hf:` names.
    `force` replaces the model that `output` holds, `resume` continues the run that it holds, `tune`
    searches for better options than the defaults within so many minutes for everything.
    Raises RnntextError (see `rnntext.errors`) for whatever a user can cause, also where `stop`
    ended the run before its last step. `train_events` yields what happens on the way.
    """
    from rnntext.training.events import Saved

    last: Event | None = None
    for event in train_events(task, data, output, stop=stop, **options):
        last = event
    if not isinstance(last, Saved):
        raise TrainingError(f"the run was stopped: continue it with resume=True, in {output}")
    return last


def train_events(
    task: str,
    data: Name | Sequence[Name],
    output: Name,
    *,
    stop: Callable[[], bool] = lambda: False,
    **options: Unpack[RunKeywords],
) -> Iterator[Event]:
    """Train a model as `train` does and yield the events of `rnntext.training.events`: `Prepared`,
    `Step` every few steps, `Evaluated`, and `Saved` at the end.

    `stop` is called after each step; where it returns True the state is saved, and the last event
    is `Stopped`.
    """
    from rnntext.training.execution_options import ExecutionOptions
    from rnntext.training.options import TrainingOptions

    began = time.perf_counter()  # before PyTorch is imported, which a time budget includes
    given: dict[str, Any] = dict(options)
    if "unlabelled" in given:
        given["unlabelled"] = tuple(_names("unlabelled", given["unlabelled"]))
    names = [field.name for field in fields(ExecutionOptions)]
    execution = ExecutionOptions(**{name: given.pop(name) for name in names if name in given})
    chosen = TrainingOptions(task, tuple(_names("data", data)), **given)
    directory = _path("output", output, "DIR")
    require_training()
    from rnntext.training.tuning import train as run

    events = run(chosen, directory, execution, stop_asked=stop, began=began)
    if execution.tensorboard is None:
        yield from events
        return
    from rnntext.training.persistence.tensorboard import TensorBoardLogger

    with closing(TensorBoardLogger(Path(execution.tensorboard))) as logger:
        for event in events:
            logger.log(event)
            yield event


def evaluate(
    model: Name,
    data: Name | Sequence[Name],
    *,
    errors: int | None = None,
    predictions: Name | None = None,
    output: Name | None = None,
    raw: bool = False,
    on_error: str = "fail",
    threads: int | None = None,
    **reading: Unpack[ReadingKeywords],
) -> dict[str, Any]:
    """The metrics of the model in a directory on labelled data or text, as `rnntext evaluate
    --json` prints them. Needs no PyTorch. Raises CheckpointError, DataError and UsageError, and
    RnntextError for a file that cannot be written.

    Columns, format and encoding that are not given are those of the model's training data. The
    others are for a classifier or a tagger:

    errors: the result has `errors`, a list of so many mistakes at most, the worst first, each with
    its `probability`, `gold`, `predicted`, `source`, `line` and `text` (of a tagger also `word`).
    predictions: a file, .csv, .tsv or else JSON Lines, of each record with its gold label and the
    model's.
    output: a picture, .png or .svg, of reliability, accuracy by coverage, and precision by recall
    of each label. Needs Matplotlib.
    raw: measure a tagger on the raw text of CoNLL-U: only `words_f1`, `sentences_f1`, `tags_f1`.
    on_error: "fail", or "skip" (or "null"), which leaves out the records that cannot be read; the
    result then has their number, `unread`.
    """
    from rnntext.evaluation import Extras, evaluate_with
    from rnntext.runtime.evaluate import evaluate_raw, reading_options
    from rnntext.runtime.model import open_model
    from rnntext.text.formats import ON_ERROR, Unread

    one_of("on_error", on_error, ON_ERROR)
    _check_threads(threads)
    if errors is not None:
        MISTAKES.check("errors", errors)
    sources, directory = _names("data", data), _model(model)
    extras = Extras(
        errors,
        None if predictions is None else _path("predictions", predictions),
        None if output is None else _path("output", output),
    )
    if raw and extras != Extras():
        raise UsageError("raw gives metrics alone: leave errors, predictions and output out")
    opened = open_model(directory, threads=threads)
    extras.check(opened, directory, sources)
    unread = None if on_error == "fail" else Unread()
    options = replace(reading_options(opened, sources, reading), unread=unread)
    if raw:
        metrics = evaluate_raw(opened, sources, options)
    else:
        metrics, mistakes = evaluate_with(extras, opened, str(directory), sources, options)
        if errors is not None:
            metrics = {**metrics, "errors": [mistake.as_object() for mistake in mistakes]}
    return metrics if unread is None else {**metrics, "unread": unread.count}


@dataclass(frozen=True, slots=True)
class Exported:
    """A graph that was written."""

    path: Path  # the file, or the model's directory
    precision: str
    size: int  # bytes of the graph, or of a slim directory
    temperature: float | None = None  # that an int8 classifier was calibrated with
    metrics: dict[str, Any] | None = None  # on the validation data, where some were named
    metrics_before: dict[str, Any] | None = None
    # Of a file: the part of the model that is in its metadata and not in its graph.
    lacks: str | None = None
    sidecar: Path | None = None  # of a file: what other runtimes need beside it


def export(
    model: Name,
    output: Name | None = None,
    *,
    precision: str = "float32",
    slim: bool = False,
    valid: Name | Sequence[Name] = (),
    threads: int | None = None,
) -> Exported:
    """Write a model as one self-contained ONNX file `output`, with what other runtimes need in a
    JSON file beside it, or, without `output`, convert the model in its directory to `precision`
    ("float32" or "int8"). With `slim`, write what running needs, and no more, to a new directory
    `output`, in the precision that the model has.

    Files named with `valid` are read like the model's training data: the model is measured on them
    before and after the conversion, a classifier that becomes int8 is calibrated on them, and a
    language model records the quantiles of their lines (`score --above 99%`).
    Raises RnntextError.
    """
    if precision not in ("float32", "int8"):
        raise UsageError(f"precision is float32 or int8, not {precision!r}")
    _check_threads(threads)
    directory, files = _model(model), _names("valid", valid)
    if slim:
        if output is None or files or precision != "float32":
            raise UsageError("--slim takes -o DIR, and neither --int8 nor --valid")
        return _write_slim(directory, _path("output", output, "DIR"))
    _require_onnx()
    if output is None:
        return _convert(directory, precision, files, threads)
    if files:
        raise UsageError("--valid measures DIR: leave -o out")
    return _write_file(directory, _path("output", output), precision)


def _write_file(directory: Path, output: Path, precision: str) -> Exported:
    from rnntext import checkpoint
    from rnntext.files import check_file, write_files
    from rnntext.graphs.stored import read_stored
    from rnntext.training.onnx.from_checkpoint import one_file, sidecar_of
    from rnntext.training.onnx.sidecar import is_sidecar, sidecar_path

    check_file(output)
    graphs = (checkpoint.GRAPH, checkpoint.GENERATION)
    of_checkpoint = output.name in graphs and checkpoint.is_checkpoint(output.parent)
    # These functions, unlike methods of Path, are False for a name that is too long.
    is_there, is_file = os.path.exists(output), os.path.isfile(output)
    if is_file and (of_checkpoint or output.suffix != ".onnx"):
        reason = "part of a checkpoint" if of_checkpoint else "no ONNX file, to go by its name"
        raise UsageError(f"-o {output} is there and is {reason}: name another file")
    # A pipe or a device has no file beside it.
    sidecar = None if is_there and not is_file else sidecar_path(output)
    if sidecar is not None and os.path.exists(sidecar) and not is_sidecar(sidecar):
        raise UsageError(
            f"{sidecar}, which -o {output} would write too, is there and is none of rnntext's: "
            "name another file"
        )
    stored = read_stored(directory)
    content = one_file(stored, precision)
    contents = {output: content}
    if sidecar is not None:
        contents[sidecar] = sidecar_of(stored, content, precision, output.name)
    write_files(contents)
    lacks = None if stored.linear is None else checkpoint.NGRAMS
    return Exported(output, precision, len(content), lacks=lacks, sidecar=sidecar)


def _write_slim(directory: Path, output: Path) -> Exported:
    from rnntext import checkpoint
    from rnntext.checkpoint_config import CheckpointConfig
    from rnntext.runtime.model import open_model, running_files

    if os.path.isdir(output) and os.listdir(output):
        raise UsageError(f"{output} is not empty: name another directory with -o")
    open_model(directory)  # raises CheckpointError where there is nothing to run
    names = running_files(checkpoint.load(directory, verify=()))
    found = checkpoint.load(directory, verify=names)
    files: dict[str, bytes | Path] = {name: found.read(name) for name in names}
    checkpoint.save(output, files, found.config, force=False)
    size = sum(path.stat().st_size for path in output.iterdir())
    return Exported(output, CheckpointConfig.of(found).precision, size)


def _convert(
    directory: Path, precision: str, valid: Sequence[str], threads: int | None
) -> Exported:
    if "-" in valid:
        raise UsageError("--valid is read more than once, unlike standard input: name a file")
    from rnntext import checkpoint
    from rnntext.claim import Claim

    if directory.parent == MODELS:
        raise UsageError("a model of the package stays as it is: --slim -o DIR copies it")
    checkpoint.load_config(directory)  # a claim would make the directory
    with Claim(directory, "conversion"):
        return _convert_claimed(directory, precision, valid, threads)


def _convert_claimed(
    directory: Path, precision: str, valid: Sequence[str], threads: int | None
) -> Exported:
    from rnntext import checkpoint
    from rnntext.checkpoint_config import CheckpointConfig, Quantization
    from rnntext.runtime.evaluate import (
        evaluate,
        fit_temperature,
        measure_lines,
        recorded_reading,
    )
    from rnntext.runtime.model import open_model
    from rnntext.training.onnx.from_checkpoint import graph_of, replace_graph

    saved = checkpoint.load(directory)
    model = open_model(directory, threads=threads)
    if not valid:
        graph = graph_of(saved, precision)
        replace_graph(saved, graph, precision)
        return Exported(directory, precision, len(graph))
    reading = recorded_reading(CheckpointConfig.of(saved), valid)
    before = evaluate(model, valid, reading)
    graph = graph_of(saved, precision, 1.0)
    temperature = None
    if precision == "int8":
        temperature = fit_temperature(model.with_graph(graph), valid, reading)
        if temperature is not None:
            graph = graph_of(saved, precision, temperature)
    converted = model.with_graph(graph)
    after = evaluate(converted, valid, reading)
    line_bits = measure_lines(converted, valid, reading)
    results = Quantization(tuple(valid), temperature, after, before)
    replace_graph(saved, graph, precision, results if precision == "int8" else None, line_bits)
    return Exported(directory, precision, len(graph), temperature, after, before)


def require_training(purpose: str = "training") -> None:
    """Raise UsageError, which says what to install, where training is not possible. `purpose`: what
    else needs the same packages."""
    try:
        import onnx  # noqa: F401
        import torch  # noqa: F401
    except ModuleNotFoundError:
        raise UsageError(_NO_PYTORCH.format(purpose)) from None


def _require_onnx() -> None:
    try:
        import onnx  # noqa: F401
    except ModuleNotFoundError:
        raise UsageError(_NO_ONNX) from None


def _check_threads(threads: int | None) -> None:
    if threads is not None:
        THREADS.check("threads", threads)


def _path(argument: str, name: Name, kind: str = "FILE") -> Path:
    """The path that an argument names. Raises UsageError if it is empty."""
    check_path(argument, name, kind)
    return Path(name)


def _model(name: Name) -> Path:
    check_path("model", name, "DIR")
    return locate_model(name)


def _names(argument: str, data: Name | Sequence[Name]) -> list[str]:
    names = [data] if isinstance(data, str | os.PathLike) else data
    for name in names:
        check_path(argument, name)
    return [os.fspath(name) for name in names]


__all__ = ["Exported", "RnntextError", "evaluate", "export", "train", "train_events"]
