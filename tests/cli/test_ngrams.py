"""Classifiers with n-grams as whole commands: their files, answers, conversion and resumption."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rnntext.checkpoint import load
from rnntext.errors import CheckpointError
from rnntext.ngrams import NgramModel, Tables
from rnntext.probabilities import softmax
from rnntext.runtime.classifier import Classifier
from rnntext.runtime.model import open_model
from tests.cli.small_runs import KILL, at_save
from tests.conftest import CORPORA, TINY, Shell
from tests.test_checkpoint import change_config

TEXTS = ["A warm and funny book.", "Dull, dull, dull.", "", "naïve 很好 🙂", "word " * 500]
REVIEWS = CORPORA / "reviews.csv"


def tables(directory: Path) -> Tables:
    return Tables.parse((directory / "ngrams.safetensors").read_bytes())


def facts(run: Shell, *words: object) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run(*words, "--json").text)
    return found


def labels(directory: Path) -> list[str]:
    found: list[str] = json.loads((directory / "config.json").read_text("utf-8"))["model"]["labels"]
    return found


def test_answers_are_those_of_the_graph_and_of_the_n_grams(run: Shell, classifier: Path) -> None:
    model = open_model(classifier, "classify", 1)
    reader = Classifier(model)
    names = labels(classifier)
    added = NgramModel(tables(classifier), len(names)).logits(TEXTS)
    expected = softmax(reader.logits(model.tokenizer.encode(TEXTS)) + added)
    lines = run(
        "classify",
        "-m",
        classifier,
        "--json",
        stdin="".join(f"{text}\n" for text in TEXTS).encode(),
    ).lines
    for line, row in zip(lines, expected, strict=True):
        found = json.loads(line)["labels"]
        assert found == pytest.approx(dict(zip(names, row, strict=True)), abs=1e-4)


def test_info_tells_what_each_half_reaches(run: Shell, classifier: Path) -> None:
    found = facts(run, "info", classifier)
    assert {"accuracy", "network_accuracy", "ngrams_accuracy"} <= found.keys()
    assert found["ngrams_weight"] == pytest.approx(tables(classifier).scale, rel=1e-6)


def test_without_n_grams(run: Shell, tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    run("train", "classify", REVIEWS, "-o", plain, "--no-ngrams", *TINY, 2, "-q").done()
    assert "ngrams.safetensors" not in load(plain).config["files"]
    assert open_model(plain).ngrams() is None
    found = facts(run, "info", plain)
    assert "accuracy" in found
    assert not {"network_accuracy", "ngrams_accuracy", "ngrams_weight"} & found.keys()
    # --config repeats the run without them.
    again = tmp_path / "again"
    run("train", "classify", REVIEWS, "-o", again, "--config", plain / "config.json", "-q").done()
    assert (again / "model.safetensors").read_bytes() == (plain / "model.safetensors").read_bytes()
    assert not (again / "ngrams.safetensors").exists()


def test_a_killed_run_goes_on_with_its_n_grams(run: Shell, tmp_path: Path) -> None:
    words = ["train", "classify", str(REVIEWS), *TINY, "6", "--seed", "3", "--save-every", "0"]
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    run(*words, "-o", whole, "-q").done()
    assert run(*words, "-o", stopped, before=at_save(3, KILL)).status == -9
    assert tables(stopped).scale == 1  # before the first evaluation
    resumed = run("train", "classify", "--resume", "-o", stopped)
    assert resumed.status == 0, resumed.err
    assert "n-grams of" not in resumed.told  # not learned again
    for name in ("ngrams.safetensors", "model.safetensors"):
        assert (stopped / name).read_bytes() == (whole / name).read_bytes()


def test_a_model_saved_on_the_way_answers_with_its_n_grams(run: Shell, tmp_path: Path) -> None:
    directory = tmp_path / "model"
    words = ("train", "classify", REVIEWS, "-o", directory, *TINY, 400, "--save-every", "0")
    assert run(*words, before=at_save(260, KILL)).status == -9
    config = load(directory).config
    assert config["results"]["best_step"] > 0
    weight = config["results"]["metrics"]["ngrams_weight"]
    assert tables(directory).scale == pytest.approx(weight, rel=1e-6)
    assert len(run("classify", "-m", directory, stdin=b"good\nbad\n").lines) == 2


def test_int8_keeps_the_n_grams_and_is_calibrated_with_them(
    run: Shell, classifier: Path, tmp_path: Path
) -> None:
    directory = tmp_path / "model"
    run("train", "classify", REVIEWS, "-o", directory, *TINY, 20, "--seed", 3, "-q").done()
    before = (directory / "ngrams.safetensors").read_bytes()
    found = facts(run, "export", directory, "--int8", "--valid", REVIEWS)
    assert 1 / 8 <= found["temperature"] <= 8
    assert (directory / "ngrams.safetensors").read_bytes() == before
    measured = facts(run, "evaluate", REVIEWS, "-m", directory)
    assert measured["accuracy"] == pytest.approx(found["accuracy"])
    quantized = tmp_path / "quantized"
    run("train", "classify", REVIEWS, "-o", quantized, *TINY, 20, "--quantize", "-q").done()
    assert open_model(quantized).ngrams() is not None


def test_one_file_says_that_it_lacks_the_n_grams(
    run: Shell, classifier: Path, tmp_path: Path
) -> None:
    found = facts(run, "export", classifier, "-o", tmp_path / "model.onnx")
    assert found["lacks"] == "ngrams.safetensors"


def test_damaged_tables_are_refused_in_one_line(
    run: Shell, classifier: Path, tmp_path: Path
) -> None:
    directory = tmp_path / "model"
    run("train", "classify", REVIEWS, "-o", directory, *TINY, 2, "-q").done()
    path = directory / "ngrams.safetensors"
    good = path.read_bytes()
    path.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    run("classify", "-m", directory, stdin=b"good\n").failed(1, "SHA-256")
    path.unlink()
    run("classify", "-m", directory, stdin=b"a\n").failed(1, "ngrams.safetensors is missing")


def test_a_model_of_other_labels_is_refused(classifier: Path, tmp_path: Path) -> None:
    """Tables with a hash that matches and a shape that does not."""
    found = load(classifier)
    files = {name: found.read(name) for name in found.config["files"]}
    wide = np.zeros((16, 7), np.float16)
    files["ngrams.safetensors"] = Tables(wide, wide, wide, np.zeros(7, np.float32)).serialize()
    from rnntext.checkpoint import save

    save(tmp_path / "model", files, found.config, force=False)
    with pytest.raises(CheckpointError, match=r"ngrams.safetensors is damaged \(7 columns"):
        open_model(tmp_path / "model")


def test_a_directory_of_format_1_is_read(run: Shell, tmp_path: Path) -> None:
    directory = tmp_path / "model"
    run("train", "classify", REVIEWS, "-o", directory, "--no-ngrams", *TINY, 2, "-q").done()
    expected = run("classify", "-m", directory, stdin=b"good\n").text
    change_config(directory, lambda config: config.update(format_version=1))
    assert run("classify", "-m", directory, stdin=b"good\n").text == expected
