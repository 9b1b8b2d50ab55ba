"""`rnntext train lm|classify|tag`: trains a model from the user's files."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rnntext.api import require_training
from rnntext.cli import output
from rnntext.cli.commands import LazyGroup, click_command, lazy_group
from rnntext.cli.declared import Declared, Given
from rnntext.cli.interrupts import DeferredSignals
from rnntext.cli.options import OutputOptions, Threads, refuse_terminal
from rnntext.cli.signature import expanded
from rnntext.cli.values import path_argument, path_option
from rnntext.errors import RnntextError, UsageError
from rnntext.tasks import TASKS
from rnntext.training.execution_options import ExecutionOptions
from rnntext.training.options import FILES, LENGTH, TrainingOptions

if TYPE_CHECKING:
    from rnntext.training.events import Event, Prepared, Saved, StepTimed
    from rnntext.training.persistence.tensorboard import TensorBoardLogger

# A time budget counts from here, before PyTorch is imported.
_BEGAN = time.perf_counter()

_SUMMARIES = {name: task.summary for name, task in TASKS.items()}
_BUDGET = (
    "Without --epochs, --steps, --minutes or --tune the run goes on until validation stops "
    "improving."
)
_HELP = """Train a language model, a classifier or a tagger from files.

A language model reads running text, and then continues, predicts or scores text. A classifier
learns from texts with labels, and then labels texts. A tagger learns from sentences whose words
have tags, and then tags words.

Each task has options of its own: `rnntext train lm --help` shows those of lm, with their defaults.
"""


def _command(
    *,
    task: str,
    data: Annotated[
        list[str] | None,
        path_argument(
            "DATA...", help="Files, directories, - (standard input) or hf:NAME.", show_default=False
        ),
    ] = None,
    given: Annotated[dict[str, Any], Given(TrainingOptions)],
    threads: Threads = None,
    out: Annotated[
        Path | None,
        path_option(
            "-o",
            "--output",
            metavar="DIR",
            help="Directory of the new model, which every run but a dry one needs.",
            rich_help_panel=FILES,
        ),
    ] = None,
    execution: Annotated[ExecutionOptions, Declared(ExecutionOptions)],
    config: Annotated[
        Path | None,
        path_option(
            "--config",
            metavar="FILE",
            help="Repeat the run of this config.json.",
            rich_help_panel=FILES,
        ),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Read the data and time a few steps without training.",
            rich_help_panel=LENGTH,
        ),
    ] = False,
    printing: OutputOptions,
) -> None:
    given["task"] = task
    if threads is not None:
        given["threads"] = threads
    if data is not None:
        given["data"] = tuple(data)
    elif execution.resume and config is None:
        given["data"] = ()  # the resumed run's data
    options = _training_options(given, config, tuned=execution.tune is not None)
    if out is None and not dry_run:
        raise UsageError("name the new model's directory with -o DIR")
    if execution.resume and dry_run:
        raise UsageError("--resume and --dry-run exclude each other")
    if execution.tune is not None and dry_run:
        raise UsageError("--tune and --dry-run exclude each other")
    prepared, end = train(options, None if dry_run else out, execution, quiet=printing.quiet)
    if end is not None:
        try:
            print_result(prepared, end, printing.json)
        except RnntextError as error:
            if dry_run:
                raise
            raise RnntextError(f"{error}; the model is saved in {out}") from None


class _Tasks(LazyGroup):
    def build(self, name: str) -> Any:
        help_text = f"{_SUMMARIES[name]}\n\nDATA: {TASKS[name].reads}. {_BUDGET}"
        return click_command(expanded(_command, name), name, help_text)

    def parse_args(self, ctx: Any, args: list[str]) -> Any:
        return super().parse_args(ctx, self._task_first(ctx, args))

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[Any, Any, list[str]]:
        if args[0] not in TASKS and not ctx.resilient_parsing:
            raise UsageError(f"train one of {', '.join(TASKS)}, not {args[0]!r}")
        return super().resolve_command(ctx, args)

    def _task_first(self, ctx: Any, args: list[str]) -> list[str]:
        """Move the task before the options that precede it, as in `train -o DIR lm DATA`."""
        if args and args[0] in TASKS:
            return args
        parser = self.make_parser(ctx)
        # Every task parses the options of all tasks, and hides those that it does not have.
        for param in self.build("lm").params:
            if param.param_type_name == "option":
                param.add_to_parser(parser, ctx)
        options, words, _ = parser.parse_args(list(args))
        if not words and options.get("help"):
            return ["--help"]
        if not words and not ctx.resilient_parsing:
            ctx.fail(f"Missing argument '{'|'.join(TASKS)}'.")
        return [*words[:1], *args[: len(args) - len(words)], *words[1:]]


command = lazy_group(
    _Tasks,
    _SUMMARIES,
    help=_HELP,
    subcommand_metavar=f"{'|'.join(TASKS)} [DATA]...",
    add_completion=False,
)


def train(
    options: TrainingOptions,
    out: Path | None,
    execution: ExecutionOptions,
    *,
    quiet: bool,
    stoppable: bool = True,
    began: float = _BEGAN,
) -> tuple[Prepared | None, Saved | StepTimed | None]:
    """Run a training, or without `out` a dry run, and show its progress on stderr.

    Returns the events that describe the data and the result; both are None in every process of a
    distributed run but the first. A run that is not `stoppable` ends at a signal without saving.
    """
    from rnntext.cli.progress import Progress

    prepared: Prepared | None = None
    end: Saved | StepTimed | None = None
    signals = DeferredSignals()
    events = _events(options, out, execution, began, signals)
    from rnntext.training.engine.distributed import rank_from_environment
    from rnntext.training.events import Finished, Prepared, Ready, Saved, StepTimed, Stopped

    first = rank_from_environment() == 0
    if out is None and not first:
        return None, None
    with ExitStack() as stack:
        board = None
        if execution.tensorboard is not None and first:
            board = stack.enter_context(_board(execution.tensorboard))
        stack.callback(signals.restore)
        progress = stack.enter_context(
            Progress(quiet=quiet or not first, timed=options.minutes is not None)
        )
        for event in events:
            progress.show(event)
            if board is not None:
                board.log(event)
                if board.trouble is not None:
                    progress.print_line(f"no more figures for TensorBoard: {board.trouble}")
                    board = None
            match event:
                case Prepared():
                    prepared = event
                case Ready():
                    # Until now nothing would be saved: a signal ended the run at once.
                    if stoppable and out is not None:
                        signals.defer()
                case Finished():
                    signals.raise_on_signal()
                case Stopped():
                    signals.restore()
                case Saved() | StepTimed():
                    end = event
    signals.exit_if_received()
    return prepared, end


def _board(directory: Path) -> AbstractContextManager[TensorBoardLogger]:
    from rnntext.training.persistence.tensorboard import TensorBoardLogger

    return closing(TensorBoardLogger(directory))


def _training_options(
    given: dict[str, Any], config: Path | None, *, tuned: bool = False
) -> TrainingOptions:
    """The given options, on top of those of the run that --config repeats. `tuned`: its budget is
    replaced by that of a search."""
    if given.get("data"):
        refuse_terminal(given["data"])
    if config is not None:
        from rnntext.training.persistence.repeat import repeated_options

        repeated = repeated_options(config)
        if repeated.task != given["task"]:
            raise UsageError(
                f"--config {config} is a run of train {repeated.task}, not of {given['task']}"
            )
        changes: dict[str, Any] = {}
        if tuned or any(name in given for name in ("epochs", "steps", "minutes")):
            changes = {"epochs": None, "steps": None, "minutes": None, "plans": ()}
        if tuned or "minutes" in given or given.get("data", repeated.data) != repeated.data:
            changes |= {"part": None, "ngrams_texts": None, "unanswered": None}
            changes["splitter_sentences"] = None
        others = given.get("unlabelled", repeated.unlabelled) != repeated.unlabelled
        if others or "part" in changes:
            changes |= {"unlabelled_part": None, "unlabelled_texts": None}
        return repeated.merged({**changes, **given})
    if "data" not in given:
        raise UsageError("there is nothing to train on: name the data files")
    return TrainingOptions(**given)


def print_result(prepared: Prepared | None, end: Saved | StepTimed, json: bool) -> None:
    """Print the metrics of a training run, or the counts and times of a dry run."""
    facts = _facts(prepared, end)
    if json:
        output.write(output.json_line(facts))
        return
    facts.pop("trials", None)  # a table, which was shown on stderr
    metrics = facts.pop("metrics", {})
    labels, remark = facts.pop("labels", {}), ""
    if output.on_terminal():
        labels, remark = output.most_frequent(labels)
    pairs = {**output.scalar_metrics(metrics), **facts}
    pairs.update({f"label {name}": count for name, count in labels.items()})
    output.print_pairs(pairs, str(facts.get("model", "dry run")))
    if remark:
        output.write(remark + "\n")
    if output.on_terminal() and "per_label" in metrics:
        output.print_label_table(metrics["per_label"], "by label")


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
            **end.halves,
            "preparation_seconds": end.preparation_seconds,
            "training_seconds": end.training_seconds,
            "evaluation_seconds": end.evaluation_seconds,
            "tokens_per_second": end.tokens_per_second,
            "parameters": end.parameters,
            **({} if end.trials is None else {"trials": [row.to_json() for row in end.trials]}),
        }
    assert prepared is not None  # noqa: S101
    summary = prepared.summary
    return {
        "task": prepared.model.task,
        f"train_{summary.unit}": summary.train,
        f"valid_{summary.unit}": summary.valid,
        "characters": summary.characters,
        "duplicates": summary.duplicates,
        # Those of a language model's lines are not counted.
        **({"near_duplicates": summary.near_duplicates} if summary.labels else {}),
        **({} if summary.shared_groups is None else {"shared_groups": summary.shared_groups}),
        **({"unseen_labels": summary.unseen_labels} if summary.unseen_labels else {}),
        **({"unlabelled": summary.unlabelled} if summary.unlabelled_read else {}),
        "labels": summary.labels,
        "vocabulary": prepared.model.encoder.vocab_size,
        "parameters": prepared.parameters,
        "steps_per_epoch": prepared.steps_per_epoch,
        "seconds_per_epoch": end.seconds_per_epoch,
    }


def _events(
    options: TrainingOptions,
    out: Path | None,
    execution: ExecutionOptions,
    began: float,
    signals: DeferredSignals,
) -> Iterator[Event]:
    if out is not None:
        from rnntext.claim import Claim

        Claim(out, "training").check()  # takes no time, unlike the import of PyTorch
    require_training()
    from rnntext.training import run, tuning

    if out is None:
        return run.dry_run(options, cache=execution.cache)
    return tuning.train(options, out, execution, stop_asked=signals.received, began=began)
