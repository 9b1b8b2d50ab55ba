"""Logging of a run for TensorBoard.

Knows: which values of which events become scalars, and the writer of the package `tensorboard`.
Does not know: how a run is trained or saved.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnntext.errors import UsageError
from rnntext.training.events import Evaluated, Event, Step

if TYPE_CHECKING:
    from torch.utils.tensorboard.writer import SummaryWriter


class TensorBoardLogger:
    """Writes scalars of steps and evaluations to an event file in `directory`."""

    def __init__(self, directory: Path) -> None:
        """Raises UsageError if the package is not installed or the directory cannot be made."""
        try:
            import tensorboard  # noqa: F401
        except ModuleNotFoundError:
            raise UsageError(
                "--tensorboard needs the package tensorboard: run `pip install tensorboard`"
            ) from None
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"--tensorboard {directory}: {error.strerror}") from None
        self._directory = directory
        self._previous_hook = threading.excepthook
        threading.excepthook = self._report_thread_error
        self._writer: SummaryWriter | None = None
        self.trouble: str | None = None  # why writing failed; nothing is written after that

    def log(self, event: Event) -> None:
        """Write the scalars of a report or an evaluation; ignore other events."""
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
        """Flush the event file and close it."""
        if self._writer is not None and self.trouble is None:
            with self._noting_trouble():
                self._writer.close()
        threading.excepthook = self._previous_hook

    def _report_thread_error(self, error: threading.ExceptHookArgs) -> None:
        """Print no traceback of the thread that writes: its error is raised again at the next
        call."""
        in_library = type(error.thread).__module__.startswith("tensorboard.")
        if not (in_library and issubclass(error.exc_type, OSError)):
            self._previous_hook(error)

    def _write(self, step: int, values: dict[str, Any]) -> None:
        if self.trouble is not None:
            return
        with self._noting_trouble():
            if self._writer is None:
                from torch.utils.tensorboard.writer import SummaryWriter

                # A resumed run repeats the steps after its last save: drop what it wrote of them.
                self._writer = SummaryWriter(str(self._directory), purge_step=step)
            for name, value in values.items():
                if isinstance(value, int | float):
                    self._writer.add_scalar(name, value, step)

    @contextmanager
    def _noting_trouble(self) -> Iterator[None]:
        """Stop logging after an OSError, because training is worth more than its scalars."""
        try:
            yield
        except OSError as error:
            self.trouble = f"{self._directory}: {error.strerror or error}"
