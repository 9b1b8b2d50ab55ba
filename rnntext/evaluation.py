"""An evaluation with what is written beside its metrics: mistakes, predictions, a picture.

Knows: what can be asked for beside the metrics, and when it is refused. Does not know: how a model
is measured, how a picture is drawn, or consoles.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnntext.errors import UsageError
from rnntext.plotting.picture_file import picture_format
from rnntext.tasks import TASKS

if TYPE_CHECKING:
    from rnntext.runtime.answers import Mistake
    from rnntext.runtime.model import TrainedModel
    from rnntext.text.formats import DataOptions


@dataclass(frozen=True, slots=True)
class Extras:
    """What an evaluation gives beside its metrics. Raises UsageError for the file of a picture that
    cannot be drawn here."""

    errors: int | None = None  # the most mistakes, the worst ones
    predictions: Path | None = None  # each record with its answer, see `Predictions`
    picture: Path | None = None  # PNG or SVG, see `AnswerCurves`

    def __post_init__(self) -> None:
        if self.picture is not None:
            picture_format(self.picture)

    def check(self, model: TrainedModel, directory: Path, data: Sequence[str]) -> None:
        """Raise UsageError if they cannot be had of this model and these data: the model has no
        labels, or a file is one of those that are read."""
        from rnntext.runtime.evaluate import check_predictions, files_of
        from rnntext.runtime.predictions import OPTION, refuse_read

        flags = {"--errors": self.errors, OPTION: self.predictions, "-o": self.picture}
        task = TASKS[model.config.task]
        for flag, value in flags.items():
            if value is not None and not task.has_labels:
                reason = f"{directory} is a {task.title}"
                raise UsageError(f"{flag} is for a classifier or a tagger: {reason}")
        if self.predictions is not None:
            check_predictions(model, self.predictions, data)
        if self.picture is None:
            return
        refuse_read(self.picture, "-o", [*data, *files_of(model)])
        if self.predictions is not None and self.predictions.resolve() == self.picture.resolve():
            raise UsageError(f"-o {self.picture} is the file of {OPTION} too: name another file")


def evaluate_with(
    extras: Extras, model: TrainedModel, title: str, data: Sequence[str], options: DataOptions
) -> tuple[dict[str, Any], list[Mistake]]:
    """Return the metrics of a model on data files, and its worst mistakes; write the files that are
    asked for. `title`: the model's name in the picture. Raises DataError and RnntextError."""
    from rnntext.runtime.evaluate import evaluate_answers

    with ExitStack() as stack:
        watch, draw = None, None
        if extras.picture is not None:
            from rnntext.files import replaced_file
            from rnntext.runtime.curve_sums import AnswerSums

            # Opened first, so that an evaluation is not in vain.
            draw = stack.enter_context(replaced_file(extras.picture))
            sums = AnswerSums(model.config.labels, model.config.multi_label)
            watch = sums.add
        metrics, mistakes = evaluate_answers(
            model,
            data,
            options,
            mistakes=extras.errors,
            predictions=extras.predictions,
            watch=watch,
        )
        if draw is not None and extras.picture is not None:
            from rnntext.plotting.answer_figure import render_answers

            draw(render_answers(sums.curves(), title, picture_format(extras.picture)))
    return metrics, mistakes
