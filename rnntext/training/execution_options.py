"""Options of how a training run is executed: saving, resuming, the cache, TensorBoard.

Knows: the fields and their declarations. Does not know: what a run computes (`options.py`), nor
torch, files or the library that parses the command line.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rnntext import arguments
from rnntext.errors import UsageError
from rnntext.training.declaration import check_values, option
from rnntext.training.options import CHECKPOINTS, DATA


@dataclass(frozen=True, slots=True)
class ExecutionOptions:
    """Options of how a training run is executed; none of them changes what it computes.

    Raises UsageError for values that are not valid.
    """

    force: bool = option(
        False,
        "Replace the model in DIR.",
        panel=CHECKPOINTS,
        changes_data=False,
    )
    resume: bool = option(
        False,
        "Resume the run in DIR, if there is one.",
        panel=CHECKPOINTS,
        changes_data=False,
    )
    save_every: float | None = option(
        None,
        "Interval between checkpoints of the training state (otherwise a minute).",
        metavar="SECONDS",
        panel=CHECKPOINTS,
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
        panel=CHECKPOINTS,
        changes_data=False,
        is_path=True,
    )

    def __post_init__(self) -> None:
        check_values(self)
        if self.force and self.resume:
            raise UsageError("--resume and --force exclude each other")
