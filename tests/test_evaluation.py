"""What an evaluation may write, and what is refused before the model is measured."""

from __future__ import annotations

from pathlib import Path

import pytest

from rnntext.config import EncoderConfig, ModelConfig
from rnntext.errors import UsageError
from rnntext.evaluation import Extras
from rnntext.runtime.model import TrainedModel
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
