"""`rnntext train lm|classify|tag`: a model from a person's own files."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, closing
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rnntext.cli import options, output
from rnntext.cli.interrupts import Interrupts
from rnntext.errors import UsageError
from rnntext.tasks import TASKS
from rnntext.training.options import ExecutionOptions, TrainingOptions

if TYPE_CHECKING:
    from rnntext.training.events import Event, Prepared, Saved, StepTimed
    from rnntext.training.persistence.tensorboard import TensorBoardLogger

# A time budget counts from here: all of the command's own imports come after.
_BEGAN = time.perf_counter()

_NO_TRAINING = (
    "training needs PyTorch, which is not installed: run `pip install 'rnntext[train]'` "
    "(the README says how to get the smaller CPU-only build)"
)


def command(
    task: Annotated[str, typer.Argument(metavar="lm|classify|tag", help="What to train.")],
    data: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="DATA...", help="Files, directories, - or hf:NAME.", show_default=False
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="DIR", help="The new model.")
    ] = None,
    valid: Annotated[
        str | None,
        typer.Option("--valid", metavar="FILE", help="Validation data (else a part of DATA)."),
    ] = None,
    format_name: options.Format = None,
    text_column: options.TextColumn = None,
    label_column: options.LabelColumn = None,
    tag_column: options.TagColumn = None,
    multi_label: Annotated[
        bool | None, typer.Option("--multi-label", help="A text may have several labels.")
    ] = None,
    label_separator: options.LabelSeparator = None,
    split: options.Split = None,
    encoding: Annotated[
        str | None, typer.Option("--encoding", metavar="NAME", help="The text's encoding.")
    ] = None,
    encoding_errors: Annotated[
        str | None,
        typer.Option("--encoding-errors", metavar="strict|replace", help="For broken bytes."),
    ] = None,
    preset: Annotated[
        str | None, typer.Option("--preset", metavar="tiny|small|medium|large", help="Size.")
    ] = None,
    cell: Annotated[
        str | None, typer.Option("--cell", metavar="rnn|gru|lstm", help="Kind of cell.")
    ] = None,
    layers: Annotated[
        int | None, typer.Option("--layers", metavar="N", help="Layers of cells.")
    ] = None,
    hidden: Annotated[
        int | None, typer.Option("--hidden", metavar="N", help="Units of a layer.")
    ] = None,
    embed: Annotated[
        int | None, typer.Option("--embed", metavar="N", help="Width of the embeddings.")
    ] = None,
    tokenizer: Annotated[
        str | None,
        typer.Option("--tokenizer", metavar="bpe|word|char|byte", help="Kind of token."),
    ] = None,
    vocab_size: Annotated[
        int | None, typer.Option("--vocab-size", metavar="N", help="Tokens at most.")
    ] = None,
    min_frequency: Annotated[
        int | None,
        typer.Option("--min-frequency", metavar="N", help="Rarer words are unknown."),
    ] = None,
    lowercase: Annotated[
        bool | None, typer.Option("--lowercase/--no-lowercase", help="Ignore case.")
    ] = None,
    init: Annotated[
        str | None,
        typer.Option("--init", metavar="DIR", help="Start from this model's encoder."),
    ] = None,
    epochs: Annotated[
        int | None, typer.Option("--epochs", metavar="N", help="Pass over the data N times.")
    ] = None,
    steps: Annotated[int | None, typer.Option("--steps", metavar="N", help="Take N steps.")] = None,
    minutes: Annotated[
        float | None,
        typer.Option("--minutes", metavar="M", help="Be done, saved and all, in M minutes."),
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option("--batch-size", metavar="N", help="Rows of a batch.")
    ] = None,
    lr: Annotated[
        float | None, typer.Option("--lr", metavar="RATE", help="Largest learning rate.")
    ] = None,
    dropout: Annotated[
        float | None, typer.Option("--dropout", metavar="P", help="Part left out at random.")
    ] = None,
    bptt: Annotated[
        int | None,
        typer.Option("--bptt", metavar="N", help="Tokens that errors go back through (lm)."),
    ] = None,
    class_weights: Annotated[
        str | None,
        typer.Option("--class-weights", metavar="balanced", help="Weigh rare labels more."),
    ] = None,
    quantize: Annotated[
        bool | None, typer.Option("--quantize", help="The model runs in int8.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", metavar="N", help="Repeat the same run.")
    ] = None,
    device: Annotated[
        str | None, typer.Option("--device", metavar="auto|cpu|cuda|mps", help="Where to train.")
    ] = None,
    threads: options.Threads = None,
    config: Annotated[
        Path | None,
        typer.Option("--config", metavar="FILE", help="Repeat the run of this config.json."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Read the data, time a few steps, train nothing.")
    ] = False,
    no_cache: Annotated[
        bool, typer.Option("--no-cache", help="Keep no encoded data for the next run.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Replace the model that DIR holds.")
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run that DIR holds, if it holds one.")
    ] = False,
    save_every: Annotated[
        float | None,
        typer.Option(
            "--save-every",
            metavar="SECONDS",
            help="How often the state is saved, else each minute.",
        ),
    ] = None,
    tensorboard: Annotated[
        Path | None,
        typer.Option("--tensorboard", metavar="DIR", help="Write the figures for TensorBoard."),
    ] = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Train a language model, a classifier or a tagger from files.

    Without --epochs, --steps or --minutes the run goes on until validation stops improving.
    """
    given = {name: value for name, value in locals().items() if value is not None}
    given["format"] = given.pop("format_name", None)
    wanted = {field.name for field in fields(TrainingOptions)}
    given = {n: v for n, v in given.items() if n in wanted and v is not None}
    if resume and config is None:
        given.setdefault("data", ())  # those of the run that goes on
    chosen = _options(given, config)
    if out is None and not dry_run:
        raise UsageError("name the new model's directory with -o DIR")
    if resume and dry_run:
        raise UsageError("--resume and --dry-run exclude each other")
    execution = ExecutionOptions(force, resume, save_every, not no_cache, tensorboard)
    prepared, end = train(chosen, out, execution, dry_run=dry_run, quiet=quiet)
    if end is not None:
        show(prepared, end, json)


def train(
    chosen: TrainingOptions,
    out: Path | None,
    execution: ExecutionOptions = ExecutionOptions(),  # noqa: B008  (frozen)
    *,
    dry_run: bool = False,
    stoppable: bool = True,
    quiet: bool = False,
    began: float = _BEGAN,
) -> tuple[Prepared | None, Saved | StepTimed | None]:
    """Run a training, or a dry run, showing its progress on stderr; what it came to: nothing
    in a process that only helps another one. One that is not `stoppable` ends at once where it is
    asked to, and saves nothing."""
    from rnntext.cli.progress import Progress

    prepared: Prepared | None = None
    end: Saved | StepTimed | None = None
    interrupts = Interrupts()
    events = _events(chosen, out, execution, dry_run, began, interrupts)
    from rnntext.training.engine.distributed import rank_from_environment
    from rnntext.training.events import Finished, Prepared, Saved, StepTimed, Stopped

    first = rank_from_environment() == 0
    if dry_run and not first:
        return None, None
    with ExitStack() as stack:
        board = None
        if execution.tensorboard is not None and first:
            board = stack.enter_context(_board(execution.tensorboard))
        stack.callback(interrupts.act)
        progress = stack.enter_context(Progress(quiet=quiet or not first))
        for event in events:
            progress.show(event)
            if board is not None:
                board.log(event)
                if board.trouble is not None:
                    progress.say(f"no more figures for TensorBoard: {board.trouble}")
                    board = None
            match event:
                case Prepared():
                    prepared = event
                    if stoppable and not dry_run:
                        interrupts.defer()
                case Finished():
                    interrupts.break_off()
                case Stopped():
                    interrupts.act()
                case Saved() | StepTimed():
                    end = event
    interrupts.leave()
    return prepared, end


def _board(directory: Path) -> AbstractContextManager[TensorBoardLogger]:
    from rnntext.training.persistence.tensorboard import TensorBoardLogger

    return closing(TensorBoardLogger(directory))


def _options(given: dict[str, Any], config: Path | None) -> TrainingOptions:
    """The options that were given, over those of the run to be repeated."""
    if given["task"] not in TASKS:
        raise UsageError(f"train one of {', '.join(TASKS)}, not {given['task']!r}")
    if "data" in given:
        given["data"] = tuple(given["data"])
        if given["data"]:
            options.require_piped(given["data"])
    if config is not None:
        from rnntext.training.persistence.repeat import repeated_options

        repeated = repeated_options(config)
        if repeated.task != given["task"]:
            raise UsageError(
                f"--config {config} is a run of train {repeated.task}, not of {given['task']}"
            )
        anew: dict[str, Any] = {}
        if any(name in given for name in ("epochs", "steps", "minutes")):
            anew = {"epochs": None, "steps": None, "minutes": None, "plans": ()}
        if "minutes" in given or given.get("data", repeated.data) != repeated.data:
            anew["part"] = None
        return repeated.merged({**anew, **given})
    if "data" not in given:
        raise UsageError("there is nothing to train on: name the data files")
    return TrainingOptions(**given)


def show(prepared: Prepared | None, end: Saved | StepTimed, json: bool) -> None:
    """Print what a run came to: its metrics, or what a dry run found."""
    facts = _facts(prepared, end)
    if json:
        output.write(output.json_line(facts))
        return
    metrics = facts.pop("metrics", {})
    labels = facts.pop("labels", {})
    pairs = {**output.flat(metrics), **facts}
    pairs.update({f"label {name}": count for name, count in labels.items()})
    output.show_pairs(pairs, str(facts.get("model", "dry run")))
    if output.on_terminal() and "per_label" in metrics:
        output.show_labels(metrics["per_label"], "by label")


def _facts(prepared: Prepared | None, end: Saved | StepTimed) -> dict[str, Any]:
    from rnntext.training.events import Saved

    if isinstance(end, Saved):
        return {
            "task": end.task,
            "model": str(end.directory),
            "metrics": end.metrics,
            "steps": end.steps,
            "best_step": end.best_step,
            "epochs": end.epochs,
            "seconds": end.seconds,
            "tokens_per_second": end.tokens_per_second,
            "parameters": end.parameters,
        }
    assert prepared is not None  # noqa: S101
    summary = prepared.summary
    return {
        "task": prepared.model.task,
        f"train_{summary.unit}": summary.train,
        f"valid_{summary.unit}": summary.valid,
        "characters": summary.characters,
        "duplicates": summary.duplicates,
        "labels": summary.labels,
        "vocabulary": prepared.model.encoder.vocab_size,
        "parameters": prepared.parameters,
        "steps_per_epoch": prepared.steps_per_epoch,
        "seconds_per_epoch": end.seconds_per_epoch,
    }


def _events(
    chosen: TrainingOptions,
    out: Path | None,
    execution: ExecutionOptions,
    dry_run: bool,
    began: float,
    interrupts: Interrupts,
) -> Iterator[Event]:
    try:
        import onnx  # noqa: F401
        import torch  # noqa: F401
    except ImportError:
        raise UsageError(_NO_TRAINING) from None
    from rnntext.training import run

    if dry_run or out is None:
        return run.dry_run(chosen, cache=execution.cache)
    return run.run(chosen, out, execution, stop_asked=interrupts.asked, began=began)
