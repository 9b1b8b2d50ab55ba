"""A tagger that has a splitter: from its directory, from one file, and measured on raw text."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import rnntext
from rnntext import api, checkpoint
from rnntext.cli.commands import click_command
from rnntext.cli.evaluate import command
from rnntext.errors import CheckpointError, DataError, UsageError
from rnntext.inspection.reading import InspectedModel
from rnntext.runtime.evaluate import evaluate_raw, raw_metric_names
from rnntext.runtime.model import TrainedModel, open_model, running_files
from rnntext.runtime.tagger import Tagger
from rnntext.splitting.splitter import Splitter, SplitterWeights
from rnntext.text.formats import DataOptions
from rnntext.text.word_splitting import split_words
from tests.cli.screens import pipe, written
from tests.hostile.directories import forge, write_model
from tests.splitting.test_splitter import RANGES, all_but_spaces, weights

TEXTS = ["au chat, naïve 🙂", "", "don't stop"]
CONTENT = weights(0.0, all_but_spaces(), RANGES).serialize()
ROW = "{}\t{}\t_\tX\t_\t_\t_\t_\t_\t{}\n"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A tagger that splits at spaces, and `au` into two words."""
    return forge(write_model(tmp_path / "model", "tag"), checkpoint.SPLITTER, CONTENT)


def words(model: TrainedModel, **options: bool) -> list[list[str]]:
    return [found.words for found in Tagger(model).tag(TEXTS, **options)]


def test_raw_text_is_split_as_was_learned_or_by_the_rule(directory: Path) -> None:
    model = open_model(directory)
    assert words(model) == [["à", "le", "chat,", "naïve", "🙂"], [], ["don't", "stop"]]
    assert words(model, by_rule=True) == list(map(split_words, TEXTS))
    assert words(model, pretokenized=True) == [text.split() for text in TEXTS]
    (found, _, _) = Tagger(model).tag(TEXTS)
    assert found.ranges == [(0, 1, "au")]
    assert len(found.tags) == 5
    given = Tagger(model).tag_words([["au", "b"]])[0]
    assert (given.words, given.ranges) == (["au", "b"], [])


def test_vectors_and_views_see_the_same_words(directory: Path) -> None:
    loaded = InspectedModel.load(directory)
    assert list(loaded.read("au chat").words) == ["à", "le", "chat"]
    model, divided = rnntext.load(directory), rnntext.load(directory)
    divided._model = replace(divided._model, splitter=lambda: None)
    assert (model.embed(["au chat"]) == divided.embed(["à le chat"])).all()


def test_a_model_without_a_splitter_splits_by_the_rule(tmp_path: Path) -> None:
    model = open_model(write_model(tmp_path / "model", "tag"))
    assert words(model) == list(map(split_words, TEXTS))


def test_one_file_and_a_slim_directory_have_the_splitter(directory: Path, tmp_path: Path) -> None:
    wanted = words(open_model(directory))
    api.export(directory, tmp_path / "model.onnx")
    assert words(open_model(tmp_path / "model.onnx")) == wanted
    assert checkpoint.SPLITTER in running_files(checkpoint.load(directory))
    api.export(directory, tmp_path / "slim", slim=True)
    assert words(open_model(tmp_path / "slim")) == wanted
    fingerprint = open_model(directory).fingerprint
    forge(directory, checkpoint.SPLITTER, weights(-1.0).serialize())
    assert open_model(directory).fingerprint != fingerprint


def test_a_splitter_that_cannot_be_used_is_refused_by_name(directory: Path) -> None:
    path = directory / checkpoint.SPLITTER
    path.write_bytes(CONTENT[:-1] + bytes([CONTENT[-1] ^ 1]))
    with pytest.raises(CheckpointError, match="SHA-256"):
        Tagger(open_model(directory))
    forge(directory, checkpoint.SPLITTER, b"{}")
    with pytest.raises(CheckpointError, match=r"splitter.safetensors is damaged \(no safetensors"):
        Tagger(open_model(directory))
    tensors = SplitterWeights.parse(CONTENT).characters
    wide = tensors._replace(of_pair=np.zeros(3, np.uint32))
    forge(directory, checkpoint.SPLITTER, SplitterWeights(wide, None).serialize())
    with pytest.raises(CheckpointError, match=r"damaged \(of_pair is missing or has another"):
        Tagger(open_model(directory))
    path.unlink()
    with pytest.raises(CheckpointError, match=r"splitter.safetensors is missing"):
        open_model(directory)


def conllu(tmp_path: Path, *lines: str) -> list[str]:
    path = tmp_path / "gold.conllu"
    path.write_text("".join(lines) + "\n", "utf-8")
    return [str(path)]


def test_metrics_on_raw_text(directory: Path, tmp_path: Path) -> None:
    """`au` is divided as in the data, `chat,` is not."""
    paths = conllu(
        tmp_path,
        "# text = au chat, x\n",
        ROW.format("1-2", "au", "_"),
        ROW.format(1, "à", "_"),
        ROW.format(2, "le", "_"),
        ROW.format(3, "chat", "SpaceAfter=No"),
        ROW.format(4, ",", "_"),
        ROW.format(5, "x", "_"),
    )
    model = open_model(directory)
    found = evaluate_raw(model, paths, DataOptions())
    # 3 of 5 words are among the 4 that are found. No tag of the model is an X.
    assert found == {
        "words_f1": pytest.approx(2 * 3 / 9), "sentences_f1": 1.0, "tags_f1": 0.0, "words": 5,
    }  # fmt: skip
    assert {*raw_metric_names(model.config)} < found.keys()
    # The words of the rule are all tokens of the text: only x is the same.
    by_rule = evaluate_raw(replace(model, splitter=lambda: None), paths, DataOptions())
    assert by_rule["words_f1"] == pytest.approx(2 * 3 / 9)


def test_right_tags_count(directory: Path, tmp_path: Path) -> None:
    model = open_model(directory)
    (answer,) = Tagger(model).tag(["b c"])
    rows = [f"{n}\t{w}\t_\t{t}\t_\t_\t_\t_\t_\t_\n" for n, w, t in zip(
        (1, 2), answer.words, answer.tags, strict=True)]  # fmt: skip
    found = evaluate_raw(model, conllu(tmp_path, "# text = b c\n", *rows), DataOptions())
    assert (found["words_f1"], found["tags_f1"]) == (1.0, 1.0)


def test_data_without_raw_text_are_refused(directory: Path, tmp_path: Path) -> None:
    paths = conllu(tmp_path, ROW.format(1, "a", "_"))
    with pytest.raises(DataError, match=r"gold.conllu, line 1: --raw needs the text"):
        evaluate_raw(open_model(directory), paths, DataOptions())


def test_other_models_have_no_raw_text(tmp_path: Path) -> None:
    model = open_model(write_model(tmp_path / "model", "classify"))
    with pytest.raises(UsageError, match="--raw is for a tagger: this is a classifier"):
        evaluate_raw(model, ["x"], DataOptions())
    assert raw_metric_names(model.config) == ()


def test_the_splitter_is_opened_when_it_is_needed(directory: Path) -> None:
    model = open_model(directory)
    assert isinstance(model.splitter(), Splitter)
    assert model.splitter() is model.splitter()


def test_the_command_prints_the_metrics(
    directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = conllu(tmp_path, "# text = b c\n", ROW.format(1, "b", "_"), ROW.format(2, "c", "_"))

    def evaluate(*options: str) -> None:
        arguments = [*paths, "-m", str(directory), "--raw", *options]
        click_command(command, "evaluate")(arguments, standalone_mode=False)

    def run(*options: str) -> str:
        reader = pipe(monkeypatch)
        evaluate(*options)
        return written(reader)

    assert run() == "words_f1\t1\nsentences_f1\t1\ntags_f1\t0\nwords\t2\n"
    assert json.loads(run("--json", "--min", "words_f1=1"))["words_f1"] == 1
    with pytest.raises(UsageError, match="--raw gives metrics alone"):
        evaluate("--errors", "3")
    with pytest.raises(UsageError, match="accuracy"):  # a bound of what is not measured
        evaluate("--min", "accuracy=0.5")
