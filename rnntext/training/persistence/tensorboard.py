"""A run's figures for TensorBoard.

Knows: the events of a run and TensorBoard's writer, which the package `tensorboard` brings. Does
not know: how a run goes on or what is saved of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnntext.errors import UsageError
from rnntext.training.events import Evaluated, Event, Step

if TYPE_CHECKING:
    from torch.utils.tensorboard.writer import SummaryWriter


class TensorBoardLogger:
    """Writes each report of steps and each evaluation into `directory`, as they come."""

    def __init__(self, directory: Path) -> None:
        """Raises UsageError where the package is not installed or the directory cannot be made."""
        try:
            import tensorboard  # noqa: F401
        except ImportError:
            raise UsageError(
                "--tensorboard needs the package tensorboard: run `pip install tensorboard`"
            ) from None
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"--tensorboard {directory}: {error.strerror}") from None
        self._directory = directory
        self._writer: SummaryWriter | None = None
        self.trouble: str | None = None  # why nothing more can be written

    def log(self, event: Event) -> None:
        """Write down a report or an evaluation; other events have no figures."""
        if isinstance(event, Step):
            self._write(
                event.step,
                {
                    "train/loss": event.loss,
                    "train/learning_rate": event.learning_rate,
                    "train/gradient_norm": event.gradient_norm,
                    "speed/tokens_per_second": event.tokens_per_second,
                    "speed/memory_mb": event.memory,
                },
            )
        elif isinstance(event, Evaluated):
            self._write(event.step, {f"valid/{n}": v for n, v in event.metrics.items()})

    def close(self) -> None:
        """Write what is still on its way."""
        if self._writer is not None and self.trouble is None:
            with self._troubled():
                self._writer.close()

    def _write(self, step: int, values: dict[str, Any]) -> None:
        if self.trouble is not None:
            return
        with self._troubled():
            if self._writer is None:
                from torch.utils.tensorboard.writer import SummaryWriter

                # What an interrupted run wrote after it was last saved comes again.
                self._writer = SummaryWriter(str(self._directory), purge_step=step)
            for name, value in values.items():
                if isinstance(value, int | float):
                    self._writer.add_scalar(name, value, step)

    @contextmanager
    def _troubled(self) -> Iterator[None]:
        """Figures are not worth a run: where they cannot be written there are no more of them."""
        try:
            yield
        except OSError as error:
            self.trouble = f"{self._directory}: {error.strerror or error}"
