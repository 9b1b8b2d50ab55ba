"""`rnntext compare memory`: how far back networks remember, on tasks made for the purpose.

Knows: the options, the lines of progress, and what Ctrl-C leaves. Does not know: any task or
network.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rnntext.api import require_training
from rnntext.arguments import DISTANCE, SEED, SEEDS, STEPS, THREADS
from rnntext.cli import output
from rnntext.cli.commands import click_command
from rnntext.cli.inspection.common import Picture, show
from rnntext.cli.options import OutputOptions
from rnntext.cli.signature import expanded
from rnntext.cli.values import choice_option, number_option
from rnntext.config import one_of
from rnntext.long_memory import TASKS, Measured, MemoryOptions

if TYPE_CHECKING:
    from rnntext.plotting.page import View

_DEFAULT = MemoryOptions()
_HELP = """

A vanilla RNN, a GRU, an LSTM and a feed-forward window learn to name a letter that went by
(recall), and to choose between was and were across a clause (agreement). They learn from examples
that the command makes; it reads no data, and saves no model.

In a pipe, a line a model and distance: task, model, distance, accuracy, and its standard deviation
over the seeds (empty with one seed).
"""


def _command(
    *,
    task: Annotated[
        str | None,
        choice_option(
            "--task", metavar="|".join(TASKS), help="Only this task.", show_default="both"
        ),
    ] = None,
    distances: Annotated[
        str,
        typer.Option(
            "--distances",
            metavar="N,N...",
            help=f"Tokens between what is to be remembered and the answer. [{DISTANCE}]",
        ),
    ] = ",".join(map(str, _DEFAULT.distances)),
    steps: Annotated[
        int,
        number_option("--steps", metavar="N", within=STEPS, help="Steps that a network learns."),
    ] = _DEFAULT.steps,
    seed: Annotated[
        int, number_option("--seed", metavar="N", within=SEED, help="First seed.")
    ] = _DEFAULT.seed,
    seeds: Annotated[
        int,
        number_option("--seeds", metavar="N", within=SEEDS, help="Train with N seeds, one by one."),
    ] = _DEFAULT.seeds,
    threads: Annotated[
        int,
        number_option(
            "--threads",
            metavar="N",
            within=THREADS,
            help="Number of threads (networks this small are slower with more than one).",
        ),
    ] = _DEFAULT.threads,
    out: Picture = None,
    printing: OutputOptions,
) -> None:
    one_of("--task", task, TASKS)
    tasks = TASKS if task is None else (task,)
    options = MemoryOptions(tasks, _parsed(distances), steps, seed, seeds, threads)
    require_training("compare memory")
    run = _Measuring(options, printing.quiet)
    show(run.view, out, printing.json)
    if run.interrupted:
        raise KeyboardInterrupt


def build(name: str, summary: str) -> Any:
    """Return the Click command."""
    return click_command(expanded(_command), name, summary + _HELP)


def _parsed(distances: str) -> list[int]:
    """The numbers between the commas, in order. Raises UsageError for one that is not valid."""
    return sorted({int(DISTANCE.parse("--distances", part)) for part in distances.split(",")})


class _Measuring:
    """The experiments that are under way."""

    def __init__(self, options: MemoryOptions, quiet: bool) -> None:
        self._options, self._quiet = options, quiet
        self.interrupted = False

    def view(self) -> View:
        """Train and test the models; return the view of all, or of those before Ctrl-C. Raises
        KeyboardInterrupt if there are none."""
        from rnntext.plotting.long_memory import long_memory_view
        from rnntext.training.comparison import long_memory

        found: list[Measured] = []
        began = time.monotonic()
        try:
            for measured in long_memory.measure(self._options):
                found.append(measured)
                now = time.monotonic()
                self._say(f"{_line(measured)} ({now - began:.1f} s)")
                began = now
        except KeyboardInterrupt:
            if not found:
                raise
            self.interrupted = True
            self._say("interrupted: the models that were finished are shown")
        return long_memory_view(found, self._options)

    def _say(self, line: str) -> None:
        output.print_message(line, quiet=self._quiet)


def _line(measured: Measured) -> str:
    accuracies = ", ".join(f"{measured.mean(d):.2f} at {d}" for d in measured.accuracies)
    return f"{measured.task}, {measured.title}: accuracy {accuracies}"
