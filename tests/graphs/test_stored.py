"""What is read of a model is the same from its directory, a slim one and one file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import rnntext
from rnntext import checkpoint
from rnntext.checkpoint_config import CheckpointConfig
from rnntext.errors import CheckpointError
from rnntext.graphs.stored import read_stored, stored_config
from rnntext.inspection.reading import InspectedModel
from rnntext.training.onnx.build import build
from rnntext.training.onnx.from_checkpoint import graph_of, one_file
from tests.hostile.directories import (
    change_config,
    configuration,
    fixed_weights,
    forge,
    write_model,
)

TEXTS = ["A day by the sea.", "", "naïve café 你好 🙂"]


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("task", ["classify", "tag"])
def test_a_slim_directory_and_a_file_hold_the_same(
    task: str, bidirectional: bool, tmp_path: Path
) -> None:
    model = write_model(tmp_path / "model", task, "gru", bidirectional=bidirectional, layers=2)
    rnntext.export(model, tmp_path / "slim", slim=True)
    rnntext.export(model, tmp_path / "one.onnx")
    whole = read_stored(model)
    expected = fixed_weights(configuration(task, "gru", bidirectional=bidirectional, layers=2))
    vectors = rnntext.load(model).embed(TEXTS)
    for name in ("slim", "one.onnx"):
        found = read_stored(tmp_path / name)
        assert found.config == whole.config == stored_config(tmp_path / name)
        assert found.tokenizer_json == whole.tokenizer_json
        assert found.tokenizer.config == whole.tokenizer.config
        assert found.linear == whole.linear
        assert (found.linear is None) == (task == "tag")
        weights = found.weights()
        assert weights.keys() == expected.keys()
        for weight, array in expected.items():
            np.testing.assert_array_equal(weights[weight], array)
        assert one_file(found, "float32") == (tmp_path / "one.onnx").read_bytes()
        assert one_file(found, "int8") == one_file(whole, "int8")
        np.testing.assert_array_equal(rnntext.load(tmp_path / name).embed(TEXTS), vectors)
        assert InspectedModel.load(tmp_path / name).name == str(tmp_path / name)


@pytest.mark.parametrize("name", ["slim", "one.onnx"])
def test_weights_of_int8_are_named_so_and_are_not_exported(name: str, tmp_path: Path) -> None:
    model = write_model(tmp_path / "model", precision="int8")
    if name == "slim":
        rnntext.export(model, tmp_path / name, slim=True)
    else:
        rnntext.export(model, tmp_path / name, precision="int8")
    view = InspectedModel.load(tmp_path / name)
    assert view.name == f"{tmp_path / name} (weights of int8)"
    assert InspectedModel.load(model).name == str(model)
    expected = fixed_weights(configuration())
    weights = view.weights
    for weight, array in expected.items():
        rounding = np.abs(array).max() / 63
        np.testing.assert_allclose(weights[weight], array, rtol=0, atol=rounding)
    assert not np.array_equal(
        weights["encoder.embedding.weight"], expected["encoder.embedding.weight"]
    )
    for precision in ("float32", "int8"):
        with pytest.raises(CheckpointError, match="holds its weights in int8 alone"):
            rnntext.export(tmp_path / name, tmp_path / "two.onnx", precision=precision)
    assert not (tmp_path / "two.onnx").exists()


def test_the_temperature_of_an_int8_graph_is_taken_out_of_its_weights(tmp_path: Path) -> None:

    model = write_model(tmp_path / "model", precision="int8")
    graph = graph_of(checkpoint.load(model), "int8", 2.5)
    forge(model, checkpoint.GRAPH, graph)
    change_config(model, lambda config: config["quantization"].update(temperature=2.5))
    rnntext.export(model, tmp_path / "slim", slim=True)
    assert not (tmp_path / "slim" / checkpoint.WEIGHTS).exists()
    found = read_stored(tmp_path / "slim").weights()
    for name in ("head.output.weight", "head.output.bias"):
        np.testing.assert_allclose(found[name], fixed_weights(configuration())[name], rtol=1e-6)


def test_a_slim_directory_is_not_converted_in_place(tmp_path: Path) -> None:
    model = write_model(tmp_path / "model")
    rnntext.export(model, tmp_path / "slim", slim=True)
    before = {path.name: path.read_bytes() for path in (tmp_path / "slim").iterdir()}
    with pytest.raises(CheckpointError, match=r"slim has no model\.safetensors to convert"):
        rnntext.export(tmp_path / "slim", precision="int8")
    assert {path.name: path.read_bytes() for path in (tmp_path / "slim").iterdir()} == before
    assert CheckpointConfig.of(checkpoint.load(tmp_path / "slim")).precision == "float32"


def test_a_graph_that_is_not_ours_gives_no_weights(tmp_path: Path) -> None:

    rnntext.export(write_model(tmp_path / "model"), tmp_path / "slim", slim=True)
    other = configuration("classify", "gru")
    forge(tmp_path / "slim", checkpoint.GRAPH, build(other, fixed_weights(other)))
    with pytest.raises(CheckpointError, match="is not the graph of the model"):
        read_stored(tmp_path / "slim").weights()
