"""`rnntext compare lm|classify|tag`: models of a task side by side on the user's data.

Knows: the options, the lines of progress, and what Ctrl-C leaves. Does not know: any model, or how
it is trained.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

from rnntext.api import require_training
from rnntext.arguments import SEEDS
from rnntext.cli import output
from rnntext.cli.commands import click_command
from rnntext.cli.declared import Declared, Given
from rnntext.cli.inspection.common import Picture, show
from rnntext.cli.options import OutputOptions, Threads, refuse_terminal
from rnntext.cli.signature import expanded
from rnntext.cli.values import number_option, path_argument
from rnntext.training.execution_options import ExecutionOptions
from rnntext.training.options import LENGTH, TrainingOptions

if TYPE_CHECKING:
    from rnntext.comparison import Comparison, Run
    from rnntext.plotting.page import View
    from rnntext.training.comparison.compare import Began, Event

# The options of `train` that all models share.
_OPTIONS = (
    *("valid", "format", "text_column", "label_column", "tag_column", "multi_label"),
    *("label_separator", "group_column", "encoding", "encoding_errors", "max_line", "split"),
    *("preset", "tokenizer", "vocab_size", "lowercase"),
    *("epochs", "steps", "minutes", "seed", "device"),
)
_HELP = """

Trained with about as many parameters each: a vanilla RNN, a GRU, an LSTM, a feed-forward network, a
convolution, and a linear model. --epochs, --steps or --minutes is the budget of each run; without
one, each goes on until validation stops improving. Models are not saved.

In a pipe, a line a model: its name, the mean of the metric, the standard deviation over the seeds
(empty with one seed, 0 of the linear model), parameters, seconds of training, texts, sentences or
tokens a second, and bytes.
"""


def _command(
    *,
    task: str,
    data: Annotated[
        list[str],
        path_argument("DATA...", help="Files, directories, - or hf:NAME.", show_default=False),
    ],
    given: Annotated[dict[str, Any], Given(TrainingOptions, _OPTIONS)],
    seeds: Annotated[
        int,
        number_option(
            "--seeds",
            metavar="N",
            within=SEEDS,
            help="Train each model with N seeds, from --seed on.",
            rich_help_panel=LENGTH,
        ),
    ] = 3,
    threads: Threads = None,
    execution: Annotated[ExecutionOptions, Declared(ExecutionOptions, ("cache",))],
    out: Picture = None,
    printing: OutputOptions,
) -> None:
    refuse_terminal(data)
    options = TrainingOptions(task=task, data=tuple(data), threads=threads, **given)
    require_training()
    run = _Comparing(options, seeds, execution.cache, printing.quiet)
    show(run.view, out, printing.json)
    if printing.json or out is not None or not output.on_terminal():
        run.say(run.answer)  # which a terminal shows below the table
    if run.interrupted:
        raise KeyboardInterrupt


def build(name: str, summary: str) -> Any:
    """Return the Click command that compares the models of a task."""
    return click_command(expanded(_command, name), name, summary + _HELP)


class _Comparing:
    """A comparison that is under way, and what stderr says of it."""

    def __init__(self, options: TrainingOptions, seeds: int, cache: bool, quiet: bool) -> None:
        self._options, self._seeds, self._cache, self._quiet = options, seeds, cache, quiet
        self._found: Comparison | None = None
        self._planned = 0  # runs
        self.interrupted = False

    def view(self) -> View:
        """Train the models; return the view of all runs, or of those before Ctrl-C. Raises
        KeyboardInterrupt if there are none, and UsageError for data that no model can learn."""
        from rnntext.plotting.comparison import comparison_view

        try:
            for event in self._events():
                self._take(event)
        except KeyboardInterrupt:
            if self._found is None or not self._found.runs:
                raise
            self.interrupted = True
            self.say(f"interrupted: of {self._planned} runs {len(self._found.runs)} are shown")
        assert self._found is not None  # noqa: S101
        return comparison_view(self._found)

    @property
    def answer(self) -> str:
        """What the runs say."""
        return "" if self._found is None else self._found.answer()

    def say(self, line: str) -> None:
        """Print a line on stderr, if there is one and `-q` was not given."""
        output.print_message(line, quiet=self._quiet or not line)

    def _events(self) -> Iterator[Event]:
        from rnntext.training.comparison.compare import compare

        return compare(self._options, self._seeds, cache=self._cache)

    def _take(self, event: Event) -> None:
        from rnntext.comparison import Run
        from rnntext.training.comparison.compare import Began

        match event:
            case Began():
                self._found, self._planned = event.comparison, event.runs
                self.say(_first_line(event))
            case Run():
                assert self._found is not None  # noqa: S101
                self._found = self._found.plus(event)
                self.say(_line(self._found, event))
            case _:
                self.say(f"{event.model.name}, seed {event.seed}: left out: {event.reason}")


def _first_line(event: Began) -> str:
    summary = event.prepared.summary
    return (
        f"{summary.train:,} {summary.unit} to learn from, {summary.valid:,} to validate on; "
        f"{event.runs} runs of about {event.prepared.parameters:,} parameters"
    )


def _line(found: Comparison, run: Run) -> str:
    from rnntext.comparison import format_value

    return (
        f"{run.model.name}, seed {run.seed}: {found.metric.name} {format_value(run.value)}, "
        f"trained {run.seconds:.1f} s, {run.rate:,.0f} {found.question.records}/s"
    )
