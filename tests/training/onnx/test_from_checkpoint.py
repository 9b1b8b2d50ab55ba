"""The graph of a checkpoint in another precision, as one file, and in place of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from rnntext import checkpoint
from rnntext.checkpoint import Checkpoint
from rnntext.checkpoint_config import CheckpointConfig, Quantization
from rnntext.config import ModelConfig
from rnntext.errors import CheckpointError
from rnntext.graphs.stored import stored_model
from rnntext.training.onnx.build import build, documentation, other_graphs
from rnntext.training.onnx.from_checkpoint import graph_of, one_file, replace_graph
from tests.test_checkpoint_config import TOKENIZER, config_of, save

HEAD = ("head.output.weight", "head.output.bias")


def saved(
    directory: Path, task: str = "classify", *, finished: bool = True, without: str = ""
) -> Checkpoint:
    config = config_of(task, finished=finished)
    config.pop(without, None)
    return checkpoint.load(save(directory / "m", config))


def contents(found: Checkpoint, temperature: float = 1.0) -> tuple[ModelConfig, dict[str, Any]]:
    """The configuration and the weights, those of a classifier's output divided."""
    weights = checkpoint.load_tensors(found, found.shapes)
    divided = {name: weights[name] / np.float32(temperature) for name in HEAD if name in weights}
    return CheckpointConfig.of(found).model, {**weights, **divided}


def test_a_float32_graph_is_that_of_the_weights(tmp_path: Path) -> None:
    found = saved(tmp_path)
    for temperature in (None, 2.0):
        assert graph_of(found, "float32", temperature) == build(*contents(found), "float32")


@pytest.mark.parametrize(
    ("given", "without", "temperature"),
    [(2.0, "", 2), (1.0, "", 1), (None, "", 1.5), (None, "quantization", 1)],
)
def test_an_int8_graph_has_the_temperature_given_or_that_of_its_calibration(
    given: float | None, without: str, temperature: float, tmp_path: Path
) -> None:
    found = saved(tmp_path, without=without)
    wanted = build(*contents(found, temperature), "int8")
    assert graph_of(found, "int8", given) == wanted
    other = build(*contents(found, temperature + 0.5), "int8")
    assert other != wanted


def test_an_int8_language_model_has_no_temperature(tmp_path: Path) -> None:
    found = saved(tmp_path, "lm")
    assert graph_of(found, "int8") == build(*contents(found), "int8")


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_one_file_holds_all_that_is_needed_to_use_it(precision: str, tmp_path: Path) -> None:
    found = saved(tmp_path)
    content = one_file(stored_model(found), precision)
    model = onnx.load_from_string(content)
    about = {entry.key: entry.value for entry in model.metadata_props}
    assert about == {
        "rnntext.model": json.dumps(CheckpointConfig.of(found).model.to_json(), ensure_ascii=False),
        "rnntext.task": "classify",
        "rnntext.labels": '["a", "b"]',
        "rnntext.multi_label": "false",
        "rnntext.max_length": "400",
        "rnntext.tokenizer": '{"kind": "char", "lowercase": false, "presplit": false}',
        "rnntext.tokenizer.json": TOKENIZER.to_json(),
    }
    config, weights = contents(found, 1.5 if precision == "int8" else 1)
    assert model.doc_string == documentation(config)
    assert content == build(config, weights, precision, documentation(config), about)


@pytest.mark.parametrize("task", ["classify", "lm"])
def test_a_graph_takes_the_place_of_the_old_one(task: str, tmp_path: Path) -> None:
    found = saved(tmp_path, task, without="quantization")
    before = {name: found.read(name) for name in found.config["files"]}
    quantization = Quantization(("v.csv",), 1.25, {"accuracy": 0.5}, {"accuracy": 0.75})
    replace_graph(found, b"another graph", "int8", quantization)
    after = checkpoint.load(found.directory)
    assert after.read(checkpoint.GRAPH) == b"another graph"
    extra = other_graphs(*contents(found), "int8")
    assert set(extra) == ({checkpoint.GENERATION} if task == "lm" else set())
    for name, content in ({**before, **extra} | {checkpoint.GRAPH: b"another graph"}).items():
        assert after.read(name) == content
    assert set(after.config["files"]) == {*before, *extra}
    config = CheckpointConfig.of(after)
    assert (config.precision, config.quantization) == ("int8", quantization)
    changed = ("files", "precision", "quantization")
    assert {k: v for k, v in after.config.items() if k not in changed} == {
        k: v for k, v in found.config.items() if k not in changed
    }


def test_what_is_said_of_an_int8_graph_stays_unless_it_is_told_anew(tmp_path: Path) -> None:
    found = saved(tmp_path)
    replace_graph(found, b"a float32 graph", "float32")
    after = checkpoint.load(found.directory).config
    assert after["precision"] == "float32"
    assert after["quantization"] == found.config["quantization"]


def test_a_run_that_is_not_finished_keeps_its_graph(tmp_path: Path) -> None:
    found = saved(tmp_path, finished=False)
    with pytest.raises(CheckpointError) as caught:
        replace_graph(found, b"another graph", "float32")
    assert str(caught.value) == (
        f"{found.directory} holds a run that is not finished: go on with `rnntext train classify "
        f"--resume -o {found.directory}` first"
    )
    assert checkpoint.load(found.directory).read(checkpoint.GRAPH) == b"a graph"


def test_a_checkpoint_that_no_run_made_may_change_its_graph(tmp_path: Path) -> None:
    found = saved(tmp_path, without="training")
    replace_graph(found, b"another graph", "float32")
    after = checkpoint.load(found.directory)
    assert after.read(checkpoint.GRAPH) == b"another graph"
    assert "training" not in after.config
