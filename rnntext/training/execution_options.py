"""Options of how a training run is executed: a search before it, saving, resuming, the cache.

Knows: the fields and their declarations. Does not know: what a run computes (`options.py`), nor
torch, files or the library that parses the command line.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rnntext import arguments
from rnntext.errors import UsageError
from rnntext.training.declaration import check_values, flag_of, option
from rnntext.training.options import CHOOSING, DATA, FILES, TrainingOptions


@dataclass(frozen=True, slots=True)
class ExecutionOptions:
    """Options of how a training run is executed. None of them is recorded with the model: what a
    search finds is recorded as if it had been given.

    Raises UsageError for values that are not valid.
    """

    tune: float | None = option(
        None,
        "Search for better options than the defaults, within so many minutes for everything.",
        metavar="MINUTES",
        panel=CHOOSING,
        changes_data=False,
        within=arguments.MINUTES,
    )

    force: bool = option(
        False,
        "Replace the model in DIR.",
        panel=FILES,
        changes_data=False,
    )
    resume: bool = option(
        False,
        "Resume the run in DIR, if there is one.",
        panel=FILES,
        changes_data=False,
    )
    save_every: float | None = option(
        None,
        "Interval between checkpoints of the training state.",
        metavar="SECONDS",
        panel=FILES,
        changes_data=False,
        within=arguments.SECONDS,
    )
    cache: bool = option(
        True,
        "Keep the encoded data for the next run.",
        panel=DATA,
        changes_data=False,
        negatable=True,
    )
    tensorboard: Path | None = option(  # noqa: RUF009  (a dataclass field)
        None,
        "Write metrics for TensorBoard into this directory.",
        metavar="DIR",
        panel=FILES,
        changes_data=False,
        is_path=True,
    )

    def __post_init__(self) -> None:
        check_values(self)
        if self.force and self.resume:
            raise UsageError("--resume and --force exclude each other")

    def check_with(self, options: TrainingOptions) -> None:
        """Raise UsageError if the run has another budget than that of the search."""
        if self.tune is None:
            return
        for name in ("epochs", "steps", "minutes"):
            if getattr(options, name) is not None:
                raise UsageError(f"--tune and {flag_of(name)} exclude each other: give one of them")
        if options.distil is not None:
            raise UsageError(
                "--tune and --distil exclude each other: search without the teacher, then train "
                "with the options that were found"
            )
