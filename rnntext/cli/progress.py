"""Shows the progress of a training run on standard error.

Knows: the events of a run, terminals and plain lines. Does not know: how training works, or how a
line is made to fit (`fitting.py`). A terminal shows a progress bar; elsewhere each evaluation is
one plain line.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Collection
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from rnntext.cli.fitting import LOG_COLUMNS, Part, fitting, shortened, wrapped
from rnntext.cli.output import console, print_stderr, redirect_to_devnull
from rnntext.cli.trials import changes, decision, outcome, plain_table, rich_table
from rnntext.config import listed
from rnntext.metrics import never_predicted
from rnntext.plotting.page_style import cut
from rnntext.training.declaration import flag_of
from rnntext.training.events import (
    EncodedFiles,
    Evaluated,
    Event,
    Finished,
    NgramsLearned,
    NotSaved,
    Prepared,
    Resumed,
    RoomShort,
    Saved,
    Searched,
    SearchPlanned,
    SplitterLearned,
    Step,
    Stopped,
    TeacherAnswered,
    TrialKept,
    TrialStep,
    Tried,
    Trying,
)
from rnntext.training.search import is_flattered

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as Bar
    from rich.progress import TaskID


_SHOWN_METRICS = ("perplexity", "accuracy", "f1", "macro_f1")
# Columns of the bar; the latter on a terminal that is narrower than the lines of a log.
_WIDE_BAR, _NARROW_BAR = 20, 8


class Progress:
    """Shows the events of one run. As a context manager it removes the bar at the end."""

    def __init__(self, *, quiet: bool, timed: bool = False) -> None:
        """`timed`: the run has a time budget."""
        self._quiet, self._timed = quiet, timed
        self._bar: Bar | None = None
        self._task: TaskID | None = None
        self._metrics: list[Part] = []  # of the last evaluation
        self._step: Step | None = None
        self._task_name = ""
        self._labels: Collection[str] | None = None
        self._trials = 0  # of the search, in all
        self._description = ""  # of the last model that was shown
        if not quiet and sys.stderr is not None and sys.stderr.isatty():
            self._bar = _make_bar()

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            try:
                self._bar.stop()
            except OSError:
                redirect_to_devnull(sys.stderr)

    def show(self, event: Event) -> None:
        """Show an event. Failures (a closed terminal) are ignored, because they must not end a
        training run."""
        try:
            self._show(event)
        except OSError:
            redirect_to_devnull(sys.stderr)

    def _show(self, event: Event) -> None:
        match event:
            case Prepared():
                self._show_prepared(event)
            case TeacherAnswered():
                self.print_line(
                    f"the teacher {shortened(event.teacher)} answered {event.texts:,} texts "
                    f"({event.seconds:.0f} s)"
                )
            case NgramsLearned():
                self.print_line(
                    f"n-grams of {event.texts:,} texts, by themselves: "
                    f"{fitting(_metrics(event.metrics), LOG_COLUMNS)} ({event.seconds:.0f} s)"
                )
            case SplitterLearned():
                self.print_line(
                    f"words of raw text from {event.sentences:,} sentences: words_f1 "
                    f"{event.words_f1:.4f} ({event.seconds:.0f} s)"
                )
            case Step():
                self._show_step(event)
            case Evaluated():
                self._show_evaluation(event)
            case Saved():
                self._show_saved(event)
            case Resumed(step=step, changed=changed):
                self.print_line(f"going on after step {step:,}")
                if changed:
                    self.print_line(
                        f"{changed}: the run will not end with the same weights to the bit"
                    )
            case RoomShort(reason=reason):
                self.print_line(reason)
            case NotSaved(reason=reason):
                self.print_line(f"the state is not saved, training goes on: {reason}")
            case SearchPlanned() | Trying() | TrialStep() | Tried() | Searched() | TrialKept():
                self._show_search(event)
            case Stopped(directory=directory, step=step, trials=trials):
                moment = f"step {step:,}"
                if trials is not None:
                    moment = f"{trials} trial{'' if trials == 1 else 's'} of the search"
                self.print_line(
                    f"stopped and saved after {moment}: the same command with --resume, or "
                    f"`rnntext train {self._task_name} --resume -o {directory}`, goes on"
                )
            case Finished():
                self._show_finished(event)

    def _show_search(
        self, event: SearchPlanned | Trying | TrialStep | Tried | Searched | TrialKept
    ) -> None:
        match event:
            case SearchPlanned(trials=0, reason=reason):
                self.print_line(f"{reason}: trained with the defaults and the options given")
            case SearchPlanned(trials=trials, done=done, options=options):
                self._trials = trials
                names = listed([flag_of(name) for name in options])
                after = f"; done already: {done}" if done else ""
                self.print_line(f"a search of {trials} trials over {names}{after}")
            case Trying():
                if self._bar is not None and self._task is not None:
                    self._bar.reset(self._task, total=None)
                    self._bar.update(self._task, detail=cut(self._trying(event), self._room(0)))
            case TrialStep(step=step):
                if self._bar is not None and self._task is not None:
                    self._bar.update(self._task, completed=step.step, total=step.total_steps)
            case Tried(trial=trial, target=target):
                self.print_line(
                    f"trial {trial.trial}/{self._trials}  {changes(trial.options)}: "
                    f"{outcome(trial, target)}"
                )
            case Searched():
                self._show_searched(event)
            case TrialKept(trial=trial, target=target, final=final, error=error):
                much = "" if final is None else " by more than chance"
                reached = error if final is None else f"it reached {target} {final:.4g}"
                self.print_line(
                    f"the final run is{much} worse than trial {trial.trial} ({reached}): the model "
                    f"of that trial is kept, with {target} {trial.metrics[target]:.4g}"
                )

    def _trying(self, event: Trying) -> str:
        return f"trial {event.trial}/{self._trials}  {changes(event.options)}"

    def _show_searched(self, event: Searched) -> None:
        choice = event.choice
        if self._bar is not None:
            # The bar of the final run is a new one.
            if self._task is not None:
                self._bar.remove_task(self._task)
                self._bar.refresh()
                self._task = None
            self._bar.console.print(rich_table(event.table, choice.target))
        else:
            for line in plain_table(event.table, choice.target):
                self.print_line(line)
        if event.left_out:
            several = "trial was" if event.left_out == 1 else "trials were"
            self.print_line(f"{event.left_out} {several} left out for lack of time")
        self.print_line(decision(choice))
        self.print_line(f"the final run has {event.minutes:.2g} minutes")

    def _show_finished(self, event: Finished) -> None:
        if event.partial_evaluation:
            self.print_line(
                "measured on a part of the validation data, because all of them would take too "
                "long: `rnntext evaluate` measures on all"
            )
        if len(event.plans) > 1:
            self.print_line(
                "the machine's speed changed, and the learning rate was fitted to the time anew: "
                "--config repeats this run exactly, --steps does not"
            )
        elif event.reason == "the time is over":
            self.print_line(
                "the time was over before the learning rate had come down: give more minutes; "
                "--steps will not repeat this run exactly"
            )

    def _show_saved(self, event: Saved) -> None:
        if is_flattered(event.trials or ()):
            self.print_line(
                "the validation data chose the options, so that their figures are a little better "
                "than on other data: `rnntext evaluate` measures on such"
            )
        if self._timed and event.training_seconds < event.seconds / 2:
            self.print_line(
                f"only {event.training_seconds:.0f} of {event.seconds:.0f} seconds were training "
                f"steps ({event.preparation_seconds:.0f} were reading and encoding, "
                f"{event.evaluation_seconds:.0f} evaluations): give more minutes, or less text"
            )
        missed = never_predicted(event.metrics)
        if self._labels is not None:  # those that training lacks are told of at the start
            missed = [label for label in missed if label in self._labels]
        if missed:
            labels = listed([*map(shortened, missed)], 5)
            self.print_line(
                f"never predicted on the validation data: {labels}; give more examples, add "
                "--class-weights balanced, or choose by --select macro_f1"
            )
        if event.float_metrics is not None:
            self.print_line(
                f"in int8: {_figures(event.metrics)}; in float32: {_figures(event.float_metrics)}"
            )

    def print_line(self, text: str) -> None:
        """Print a message, above the bar if there is one, on several lines if it is long."""
        text = wrapped(text, self._columns)
        if self._bar is not None:
            self._bar.console.print(text, markup=False, highlight=False, soft_wrap=True)
        else:
            print_stderr(text, quiet=self._quiet)

    @property
    def _columns(self) -> int:
        return LOG_COLUMNS if self._bar is None else self._bar.console.width

    def _show_prepared(self, event: Prepared) -> None:
        summary, encoder = event.summary, event.model.encoder
        self._task_name, self._labels = event.model.task, frozenset(event.model.labels)
        details = "".join(f", {detail}" for detail in event.details)
        unlabelled = f" and {summary.unlabelled:,} unlabelled" if summary.unlabelled_read else ""
        processes = f", {event.processes} processes" if event.processes > 1 else ""
        direction = " bidirectional" if encoder.bidirectional else ""
        if event.model.backward_encoder:
            direction = " and another that reads backward"
        description = (
            f"{summary.train:,} {summary.unit}{unlabelled} to train on, {summary.valid:,} to "
            "validate on; "
            f"{encoder.cell} {encoder.num_layers}x{encoder.hidden_size}"
            f"{direction}, {event.tokenizer} vocabulary of {encoder.vocab_size:,}, "
            f"{event.parameters:,} parameters; {event.machine}, "
            f"{event.threads} threads{details}{processes}"
        )
        # The final run after a search has the same data, and maybe the same model.
        if description != self._description:
            self.print_line(description)
        if not self._description:
            self._show_data(event)
        self._description = description
        if self._bar is not None and self._task is None:
            self._task = self._bar.add_task("training", total=None, detail="")

    def _show_data(self, event: Prepared) -> None:
        summary = event.summary
        self.print_line(_encoded(event.encoded, self._columns))
        if summary.sampled:
            self.print_line(
                f"the tokenizer was learned from a sample of {summary.sampled:,} characters, "
                "taken evenly from all of the training data"
            )
        for remark in event.remarks:
            self.print_line(remark)
        if summary.duplicates:
            self.print_line(
                f"{summary.duplicates:,} of {summary.valid:,} validation {summary.unit} found in "
                "training too"
            )
        if summary.near_duplicates:
            self.print_line(
                f"{summary.near_duplicates:,} of {summary.valid:,} validation {summary.unit} "
                "differ from training only in case, punctuation and white space"
            )
        if summary.shared_groups:
            self.print_line(
                f"{summary.shared_groups:,} of the validation data's groups found in training too"
            )
        if summary.unseen_labels:
            label = shortened(repr(summary.unseen_label))
            more = ", ..." if summary.unseen_labels > 1 else ""
            self.print_line(
                f"{summary.unseen_labels:,} of the validation data's labels not found in training "
                f"({label}{more}): counted as errors, {summary.unseen_count:,} in all"
            )
        if summary.unlabelled_left_out:
            has_groups = summary.shared_groups is not None
            of_groups = ", or of groups that validation has" if has_groups else ""
            self.print_line(
                f"{summary.unlabelled_left_out:,} unlabelled texts left out, which are validation "
                f"{summary.unit} but for case, punctuation and white space{of_groups}"
            )
        if summary.unlabelled_cut:
            self.print_line(
                f"the time allows for the first {summary.unlabelled:,} of the unlabelled texts: "
                "give more minutes to use all of them"
            )
        if summary.cut_short:
            self.print_line(
                f"the time allows for the first {summary.train:,} {summary.unit} of the training "
                "data: give more minutes to use all of it"
            )

    def _show_step(self, event: Step) -> None:
        self._step = event
        if self._bar is not None and self._task is not None:
            parts = [
                Part(f"  epoch {event.epoch + 1}", 3),
                Part(f"  loss {event.loss:.3f}", 2),
                *self._metrics,
                Part(f"  {event.tokens_per_second:,.0f} tokens/s", 7),
                *_time_left(event),
            ]
            self._bar.update(
                self._task,
                completed=event.step,
                total=event.total_steps,
                detail=fitting(parts, self._room(event.step)),
            )

    def _room(self, step: int) -> int:
        """The columns beside the bar, whose width is made that of the terminal."""
        assert self._bar is not None  # noqa: S101
        return self._columns - len("⠋ ") - _bar_columns(self._bar.console) - len(f" {step} ")

    def _show_evaluation(self, event: Evaluated) -> None:
        self._metrics = _metrics(event.metrics)
        step = self._step
        total = "" if step is None or step.total_steps is None else f"/{step.total_steps}"
        parts = [
            Part(f"step {event.step}{total}", 0),
            Part(f"  epoch {event.epoch + 1}", 5),
            Part(f"  loss {event.loss:.3f}", 2),
            *self._metrics,
            *([] if step is None else [Part(f"  {step.tokens_per_second:,.0f} tokens/s", 7)]),
            *([] if step is None else _time_left(step)),
            *([Part("  best so far", 3)] if event.best else []),
        ]
        self.print_line(fitting(parts, self._columns))


def _encoded(encoded: EncodedFiles, columns: int) -> str:
    size = _bytes(encoded.size)
    if encoded.place is not None:
        place = shortened(_with_tilde(encoded.place), columns - len("  ") - len(","))
        if encoded.reused:
            return f"{size} of encoded text read from {place}"
        return f"text encoded into {size} at {place}, for the next run too"
    reason = f", because the cache cannot be used ({encoded.trouble})" if encoded.trouble else ""
    return f"text encoded into {size} of temporary files{reason}"


def _bytes(size: float) -> str:
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:,.3g} GB"


def _with_tilde(path: str) -> str:
    home = os.path.join(os.path.expanduser("~"), "")
    return f"~{os.sep}{path.removeprefix(home)}" if path.startswith(home) else path


def _figures(metrics: dict[str, Any]) -> str:
    return "  ".join(f"{n} {metrics[n]:.4g}" for n in _SHOWN_METRICS if n in metrics)


def _metrics(metrics: dict[str, Any]) -> list[Part]:
    """The metrics in a line, and half of the width of an accuracy's confidence interval."""
    parts: list[Part] = []
    for name in _SHOWN_METRICS:
        if name not in metrics:
            continue
        low, high = metrics.get(f"{name}_interval", (0, 0))
        spread = f" (±{(high - low) / 2:.1g})" if high else ""
        if parts:
            parts.append(Part(f"  {name} {metrics[name]:.4g}{spread}", 4))
        else:
            parts += [Part(f"  {name} {metrics[name]:.4g}", 1), Part(spread, 6)]
    return parts


def _time_left(step: Step) -> list[Part]:
    remaining = _remaining_time(step.remaining)
    return [Part(f"  {remaining}", 1)] if remaining else []


def _remaining_time(seconds: float | None) -> str:
    if seconds is None:
        return ""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    clock = f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
    return f"{clock} left"


def _bar_columns(terminal: Console) -> int:
    return _WIDE_BAR if terminal.width >= LOG_COLUMNS else _NARROW_BAR


def _make_bar() -> Bar:
    from rich.progress import BarColumn, SpinnerColumn, TextColumn
    from rich.progress import Progress as Bar

    terminal = console(stderr=True)
    return Bar(
        SpinnerColumn(),
        BarColumn(_bar_columns(terminal)),
        TextColumn("{task.completed:.0f}"),
        TextColumn("{task.fields[detail]}", markup=False),
        console=terminal,
        transient=True,
    )
