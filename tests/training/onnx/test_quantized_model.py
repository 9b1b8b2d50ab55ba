"""What is said of an int8 model is what the runtime finds out about it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from rnntext.calibration import fit_temperature
from rnntext.config import EncoderConfig, ModelConfig
from rnntext.runtime.classifier import Classifier
from rnntext.runtime.evaluate import evaluate, measure_lines
from rnntext.runtime.model import TrainedModel
from rnntext.runtime.session import Session
from rnntext.text.formats import DataOptions
from rnntext.text.tokenizer import Tokenizer
from rnntext.training.data.examples import (
    LabelledIds,
    LabelledRows,
    TaggedIds,
    TaggedRows,
    one_hot,
)
from rnntext.training.engine.device import Machine
from rnntext.training.networks.build import build_network
from rnntext.training.onnx.build import build
from rnntext.training.onnx.from_network import numpy_weights
from rnntext.training.onnx.quantized_model import quantize
from rnntext.training.tasks.classification import Classification
from rnntext.training.tasks.language_model import LanguageModelling
from rnntext.training.tasks.tagging import Tagging
from tests.conftest import CORPORA, TINY, Outcome, Shell

torch.set_num_threads(1)

Array = NDArray[Any]
CPU = Machine(torch.device("cpu"), torch.float32)
LABELS = ("good", "naïve", "bad")
WORDS = ["the", "heron", "counted", "你好", "🙂", "a", "café", "boats", "and", "said", "nothing"]
# Every byte is a token of its own.
TOKENIZER = Tokenizer.train("byte", [], vocab_size=0)


def random_config(task: str, multi: bool = False) -> tuple[ModelConfig, dict[str, Array]]:
    encoder = EncoderConfig("lstm", TOKENIZER.vocab_size, 7, 9, 2, task != "lm")
    labels = {"lm": (), "classify": LABELS, "tag": ("O", "B-X", "I-X", "B-Y")}[task]
    # Texts of more tokens than 50 are read in windows.
    config = ModelConfig(task, encoder, labels, multi, 0 if task == "lm" else 50)
    model = build_network(config)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.8, generator=generator)
    return config, numpy_weights(model)


def sentences(count: int) -> list[list[str]]:
    random = np.random.default_rng(6)
    return [list(random.choice(WORDS, size=random.integers(1, 14))) for _ in range(count)]


def classification(config: ModelConfig, tmp: Path) -> tuple[Classification, Path]:
    random = np.random.default_rng(7)
    truth = np.eye(len(LABELS), dtype=np.int64)[random.integers(len(LABELS), size=60)]
    if config.multi_label:
        truth = random.integers(2, size=truth.shape)
    texts = [" ".join(words) for words in sentences(len(truth))]
    rows = []
    for text, row in zip(texts, truth, strict=True):
        given = [label for label, yes in zip(LABELS, row, strict=True) if yes]
        rows.append({"text": text, "label": given if config.multi_label else given[0]})
    data = tmp / "v.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    valid = LabelledIds(TOKENIZER.encode(texts), [np.flatnonzero(row) for row in truth])
    objective = Classification(
        LabelledRows.of(LabelledIds(valid.ids[:5], valid.labels[:5])),
        valid,
        labels=LABELS,
        multi_label=config.multi_label,
        balanced=False,
        batch_size=4,
        max_length=config.max_length,
        seed=0,
        machine=CPU,
    )
    return objective, data


def tagging(config: ModelConfig, tmp: Path) -> tuple[Tagging, Path]:
    random = np.random.default_rng(8)
    texts = sentences(40)
    tags = [random.integers(len(config.labels), size=len(words)) for words in texts]
    data = tmp / "v.jsonl"
    with data.open("w", encoding="utf-8") as file:
        for words, numbers in zip(texts, tags, strict=True):
            row = {"words": words, "tags": [config.labels[number] for number in numbers]}
            file.write(json.dumps(row) + "\n")
    valid = [
        TaggedIds(encoded.ids, encoded.first, encoded.last, numbers)
        for encoded, numbers in zip(TOKENIZER.encode_words(texts), tags, strict=True)
    ]
    train = TaggedRows.of(valid[:5])
    objective = Tagging(
        train, valid, labels=config.labels, max_length=512, batch_size=4, seed=0, machine=CPU
    )
    return objective, data


def language(config: ModelConfig, tmp: Path) -> tuple[LanguageModelling, Path]:
    lines = [" ".join(words) for words in sentences(30)]
    data = tmp / "v.txt"
    data.write_text("".join(f"{line}\n" for line in lines), "utf-8")
    document = np.concatenate(TOKENIZER.encode_lines(lines))
    objective = LanguageModelling(
        document[:99],
        [document],
        counts=np.bincount(document[:99], minlength=TOKENIZER.vocab_size),
        batch_size=3,
        bptt=7,
        eos_id=TOKENIZER.eos_id,
        unk_id=None,
        valid_bytes=data.stat().st_size,
        seed=0,
        machine=CPU,
        dropout_warmup_epochs=0,
    )
    return objective, data


MAKERS: dict[str, Callable[[ModelConfig, Path], tuple[Any, Path]]] = {
    "lm": language,
    "classify": classification,
    "tag": tagging,
}


@pytest.mark.parametrize(
    ("task", "multi"), [("lm", False), ("classify", False), ("classify", True), ("tag", False)]
)
def test_the_metrics_are_those_of_evaluate(task: str, multi: bool, tmp_path: Path) -> None:
    config, weights = random_config(task, multi)
    objective, data = MAKERS[task](config, tmp_path)
    found = quantize(config, weights, TOKENIZER, objective, threads=1)
    options = DataOptions(multi_label=multi)
    model = TrainedModel.from_session(config, TOKENIZER, Session(found.graph, threads=1))
    measured = evaluate(model, [str(data)], options)
    assert list(found.metrics) == list(measured)
    for name, value in measured.items():
        approximate = pytest.approx(value, rel=1e-6) if isinstance(value, float) else value
        assert found.metrics[name] == approximate, name
    lines = found.line_bits
    assert lines == measure_lines(model, [str(data)], options)
    assert (lines is not None) == (task == "lm")
    # They are not those of the float32 graph.
    whole = model.with_graph(build(config, weights))
    name = "ece" if task == "classify" else "perplexity" if task == "lm" else None
    if name is not None:
        assert evaluate(whole, [str(data)], options)[name] != pytest.approx(measured[name], 1e-6)


@pytest.mark.parametrize("multi", [False, True])
def test_a_classifier_is_calibrated_again(multi: bool, tmp_path: Path) -> None:
    config, weights = random_config("classify", multi)
    objective, _ = classification(config, tmp_path)
    found = quantize(config, weights, TOKENIZER, objective, threads=1)
    # Random labels: a model that is sure of anything is too sure.
    assert found.temperature > 1.2
    valid = objective.valid

    def logits(graph: bytes) -> Array:
        return Classifier(TrainedModel.from_session(config, TOKENIZER, Session(graph, 1))).logits(
            valid.ids
        )

    plain = logits(build(config, weights, "int8"))
    truth = one_hot(valid.labels, len(LABELS))
    assert found.temperature == fit_temperature(plain, truth, multi)
    np.testing.assert_allclose(logits(found.graph), plain / found.temperature, atol=1e-5)


# Through the command line


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Training and validation examples, in a file each."""
    directory = tmp_path_factory.mktemp("reviews")
    head, *rows = (CORPORA / "reviews.csv").read_text("utf-8").splitlines(keepends=True)
    train, valid = directory / "t.csv", directory / "v.csv"
    train.write_text("".join([head, *rows[:-90]]), "utf-8")
    valid.write_text("".join([head, *rows[-90:]]), "utf-8")
    return train, valid


@pytest.fixture(scope="module")
def trained(
    run: Shell, data: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Outcome]:
    """An int8 classifier, and what was said as it was trained."""
    directory = tmp_path_factory.mktemp("int8") / "model"
    args = ("train", "classify", data[0], "--valid", data[1], "-o", directory, *TINY, 20)
    return directory, run(*args, "--seed", 3, "--quantize", "--json")


def config_of(directory: Path) -> Any:
    return json.loads((directory / "config.json").read_text("utf-8"))


def test_what_train_reports_of_an_int8_model(trained: tuple[Path, Outcome], run: Shell) -> None:
    directory, found = trained
    assert found.status == 0
    config = config_of(directory)
    assert config["precision"] == "int8"
    results = config["results"]
    assert list(results["float32"]) == list(results["metrics"])
    assert {"network_accuracy", "ngrams_accuracy"} <= results["halves"].keys()
    assert results["float32"]["ece"] != results["metrics"]["ece"]
    assert results["float32"]["accuracy"] == pytest.approx(results["metrics"]["accuracy"], abs=0.1)
    (told,) = found.objects
    tables = json.loads((directory / "evaluation.json").read_text("utf-8"))
    assert told["metrics"]["confusion"] == tables["metrics"]["confusion"]
    assert sum(map(sum, tables["float32"]["confusion"])) == 90
    assert told["metrics"]["ece"] == pytest.approx(results["metrics"]["ece"], abs=1e-6)
    (facts,) = run("info", "--json", directory).done().objects
    assert facts["precision"] == "int8"
    assert facts["accuracy"] == told["metrics"]["accuracy"]
    assert facts["float32_ece"] == pytest.approx(results["float32"]["ece"], abs=1e-6)


def test_evaluate_agrees_with_train(
    trained: tuple[Path, Outcome], data: tuple[Path, Path], run: Shell
) -> None:
    directory, found = trained
    args = ("evaluate", "-m", directory, "--threads", "1", "--json", data[1])
    assert run(*args).done().objects[0] == found.objects[0]["metrics"]


def test_train_says_what_int8_costs(trained: tuple[Path, Outcome]) -> None:
    directory, found = trained
    results = config_of(directory)["results"]
    line = found.told.splitlines()[-1]
    small, whole = (
        f"accuracy {results[name]['accuracy']:.4g}  macro_f1 {results[name]['macro_f1']:.4g}"
        for name in ("metrics", "float32")
    )
    assert line == f"in int8: {small}; in float32: {whole}"


def test_quiet_training_says_nothing_of_it(
    trained: tuple[Path, Outcome], data: tuple[Path, Path], run: Shell, tmp_path: Path
) -> None:
    args = ("train", "classify", data[0], "--valid", data[1], "-o", tmp_path / "m", *TINY, 20)
    found = run(*args, "--seed", 3, "--quantize", "-q").done()
    # And the same command gives the same graph.
    assert (tmp_path / "m/model.onnx").read_bytes() == (trained[0] / "model.onnx").read_bytes()
    said = {name: float(found.pairs[name]) for name in ("accuracy", "macro_f1", "ece")}
    assert said == {name: trained[1].objects[0]["metrics"][name] for name in said}


def test_the_graph_is_small_and_the_weights_are_whole(
    trained: tuple[Path, Outcome], run: Shell, tmp_path: Path
) -> None:
    directory = tmp_path / "m"
    shutil.copytree(trained[0], directory)
    small = (directory / "model.onnx").stat().st_size
    run("export", directory, "--float32").done()
    assert config_of(directory)["precision"] == "float32"
    assert small < 0.45 * (directory / "model.onnx").stat().st_size
