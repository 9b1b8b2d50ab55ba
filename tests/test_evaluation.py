"""What an evaluation may write, and what is refused before the model is measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rnntext.answer_curves import AnswerCurves
from rnntext.config import EncoderConfig, ModelConfig
from rnntext.errors import UsageError
from rnntext.evaluation import Extras, evaluate_with
from rnntext.plotting import answer_figure
from rnntext.runtime import evaluate
from rnntext.runtime.answers import Answer, Mistake
from rnntext.runtime.model import TrainedModel
from rnntext.text.formats import DataOptions
from rnntext.text.tokenizer import Tokenizer

DIRECTORY = Path("model")


def model_of(task: str) -> TrainedModel:
    tokenizer = Tokenizer.train("byte", [], vocab_size=0)
    encoder = EncoderConfig("gru", tokenizer.vocab_size, 4, 4, 1, task != "lm")
    labels = () if task == "lm" else ("a", "b")
    config = ModelConfig(task, encoder, labels, False, 0 if task == "lm" else 9)

    def no_session() -> None:
        raise AssertionError("the graph is not needed")

    return TrainedModel(config, tokenizer, no_session)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("picture", "predictions"),
    [("p.png", None), (None, "p.csv"), ("p.svg", "p.csv"), (None, None)],
)
@pytest.mark.parametrize("task", ["classify", "tag"])
def test_files_of_their_own_are_accepted(
    task: str, picture: str | None, predictions: str | None, tmp_path: Path
) -> None:
    extras = Extras(
        3,
        None if predictions is None else tmp_path / predictions,
        None if picture is None else tmp_path / picture,
    )
    extras.check(model_of(task), DIRECTORY, ["data.csv"])


def test_one_file_for_both_is_refused(tmp_path: Path) -> None:
    both = tmp_path / "both.svg"
    with pytest.raises(UsageError, match="is the file of --predictions too"):
        Extras(None, both, tmp_path / "." / "both.svg").check(model_of("tag"), DIRECTORY, [])


def test_a_picture_of_the_data_is_refused(tmp_path: Path) -> None:
    data = tmp_path / "data.svg"
    data.write_text("x", "utf-8")
    with pytest.raises(UsageError, match="-o"):
        Extras(picture=data).check(model_of("classify"), DIRECTORY, [str(data)])
    assert data.read_text("utf-8") == "x"


@pytest.mark.parametrize(
    ("extras", "flag"),
    [
        (Extras(errors=3), "--errors"),
        (Extras(predictions=Path("p.csv")), "--predictions"),
        (Extras(picture=Path("p.png")), "-o"),
    ],
)
def test_a_language_model_has_none(extras: Extras, flag: str) -> None:
    with pytest.raises(UsageError, match=f"^{flag} is for a classifier or a tagger: model is a"):
        extras.check(model_of("lm"), DIRECTORY, [])
    Extras().check(model_of("lm"), DIRECTORY, [])


def test_the_picture_is_of_the_answers_that_were_watched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answers(
        model: object, data: object, options: object, **given: Any
    ) -> tuple[dict[str, float], list[Mistake]]:
        assert (given["mistakes"], given["predictions"]) == (3, None)
        given["watch"]([Answer("a", 1, {}, "a", "b", 0.75, scores=np.array([0.25, 0.75]))])
        return {"accuracy": 0.0}, []

    def draw(curves: AnswerCurves, title: str, file_format: str) -> bytes:
        return f"{title} {file_format} {curves.answers} {curves.ece}".encode()

    monkeypatch.setattr(evaluate, "evaluate_answers", answers)
    monkeypatch.setattr(answer_figure, "render_answers", draw)
    picture = tmp_path / "p.svg"
    found = evaluate_with(
        Extras(3, picture=picture), model_of("classify"), "mine", ["data"], DataOptions()
    )
    assert found == ({"accuracy": 0.0}, [])
    assert picture.read_text("utf-8") == "mine svg 1 0.75"
