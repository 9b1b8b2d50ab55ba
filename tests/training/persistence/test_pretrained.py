"""Another model's encoder at the start of a run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from rnntext import checkpoint
from rnntext.checkpoint_config import DataRecord, Results, TrainingRecord, config_to_json
from rnntext.config import EncoderConfig, ModelConfig
from rnntext.errors import UsageError
from rnntext.graphs.stored import read_stored
from rnntext.text.tokenizer import Tokenizer
from rnntext.training.networks.build import build_network
from rnntext.training.onnx.from_checkpoint import one_file
from rnntext.training.onnx.from_network import numpy_weights
from rnntext.training.options import TrainingOptions
from rnntext.training.persistence.pretrained import PretrainedEncoder
from rnntext.training.recipes import Recipe
from tests.training.models import V, random_model

TOKENIZER = Tokenizer.train("char", ["naïve café 你好 🙂"] * 3, vocab_size=V)
RECIPE = Recipe("lstm", 1, 99, 98, False, 8, 0.01, 0.1, 0.0, 0, 9)


def saved(directory: Path, task: str, *, backward: bool = False) -> Path:
    """A model of the task with random weights; only a language model reads in one direction, or
    `backward` with a second encoder."""
    model = random_model(task, backward=backward)
    config = config_to_json(
        version="0.1.0",
        model=model.config,
        parameters=1,
        quantization=None,
        tokenizer=TOKENIZER.config,
        data=DataRecord("lines", 8, 3, 99, 0, "ab"),
        training=TrainingRecord(
            options={}, recipe={}, machine="cpu", threads=1, torch_version="2.6"
        ),
        results=Results(
            metrics={}, steps=1, best_step=1, epochs=1.0, seconds=1.0, tokens_per_second=1
        ),
    )
    files: dict[str, bytes | Path] = {
        checkpoint.TOKENIZER: TOKENIZER.to_json().encode(),
        checkpoint.WEIGHTS: checkpoint.serialize_tensors(numpy_weights(model)),
    }
    checkpoint.save(directory, files, config, force=False)
    return directory


def load(directory: Path, task: str) -> PretrainedEncoder:
    return PretrainedEncoder.load(directory, TrainingOptions(task, ("x",)))


@pytest.mark.parametrize(
    ("source", "task", "bidirectional"),
    [
        ("lm", "lm", False),
        ("lm", "classify", False),  # as it was
        ("classify", "classify", True),
        ("lm", "tag", True),  # always both
        ("tag", "tag", True),
    ],
)
def test_the_direction_of_the_new_encoder(
    source: str, task: str, bidirectional: bool, tmp_path: Path
) -> None:
    found = load(saved(tmp_path / "m", source), task)
    assert found.bidirectional == bidirectional
    assert found.encoder == random_model(source).config.encoder
    assert found.tokenizer.encode(["naïve 你"])[0].tolist() == (
        TOKENIZER.encode(["naïve 你"])[0].tolist()
    )
    recipe = found.adapt_recipe(RECIPE)
    assert (recipe.cell, recipe.layers, recipe.hidden, recipe.embed) == ("gru", 2, 6, 4)
    assert recipe.bidirectional == bidirectional
    assert (recipe.batch_size, recipe.dropout) == (RECIPE.batch_size, RECIPE.dropout)


@pytest.mark.parametrize("task", ["classify", "tag"])
def test_both_directions_start_from_a_language_model_with_two_encoders(
    task: str, tmp_path: Path
) -> None:
    """Each direction of the new encoder computes what one encoder of the old model did."""
    old = random_model("lm", backward=True)
    found = load(saved(tmp_path / "m", "lm", backward=True), task)
    assert found.bidirectional
    torch.manual_seed(5)
    encoder = EncoderConfig("gru", V, 4, 6, 2, True)
    new = build_network(ModelConfig(task, encoder, ("a", "b"), False, 9)).eval()
    found.copy_weights(new)
    ids = torch.from_numpy(np.random.default_rng(1).integers(1, V, size=(3, 7)))
    with torch.no_grad():
        outputs, _ = new.encoder(ids)
        forward, _ = old.encoder(ids)
        # Without its projection the second encoder gives states, of the last token first.
        projection, old.backward_encoder.projection = old.backward_encoder.projection, None
        backward, _ = old.hidden_backward(ids.flip(1))
        old.backward_encoder.projection = projection
    torch.testing.assert_close(outputs[..., :6], forward)
    torch.testing.assert_close(outputs[..., 6:], backward.flip(0))


@pytest.mark.parametrize("backward", [False, True])
def test_a_language_model_starts_from_one_with_two_encoders(backward: bool, tmp_path: Path) -> None:
    found = load(saved(tmp_path / "m", "lm", backward=True), "lm")
    assert not found.bidirectional
    encoder = EncoderConfig("gru", V, 4, 6, 2, False)
    new = build_network(ModelConfig("lm", encoder, backward_encoder=backward))
    found.copy_weights(new)
    old = random_model("lm", backward=True).state_dict()
    copied = {name for name in new.state_dict() if ".layers." in name or "embedding" in name}
    assert any(name.startswith("backward_encoder.") for name in copied) == backward
    assert all(torch.equal(new.state_dict()[name], old[name]) for name in copied)


@pytest.mark.parametrize("source", ["classify", "tag"])
def test_a_language_model_may_not_see_what_it_predicts(source: str, tmp_path: Path) -> None:
    directory = saved(tmp_path / "m", source)
    with pytest.raises(UsageError) as caught:
        load(directory, "lm")
    assert str(caught.value) == (
        f"--init {directory}: its encoder reads in both directions, and a language model may not "
        "see what it predicts; start from a language model"
    )


@pytest.mark.parametrize(
    ("source", "task", "bidirectional"),
    [("lm", "lm", False), ("lm", "classify", False), ("lm", "tag", True), ("tag", "tag", True)],
)
def test_the_new_encoder_computes_what_the_old_one_did(
    source: str, task: str, bidirectional: bool, tmp_path: Path
) -> None:
    old = random_model(source)
    found = load(saved(tmp_path / "m", source), task)
    assert set(found.weights) == {n for n in old.state_dict() if n.startswith("encoder.")}
    torch.manual_seed(5)
    encoder = EncoderConfig("gru", V, 4, 6, 2, bidirectional)
    labels = () if task == "lm" else ("a", "b")
    new = build_network(ModelConfig(task, encoder, labels, False, 0 if task == "lm" else 9)).eval()
    before = {name: tensor.clone() for name, tensor in new.state_dict().items()}
    found.copy_weights(new)
    ids = torch.from_numpy(np.random.default_rng(1).integers(1, V, size=(3, 7)))
    with torch.no_grad():
        outputs, _ = new.encoder(ids)
        expected, _ = old.encoder(ids)
    width = expected.shape[-1]
    torch.testing.assert_close(outputs[..., :width], expected)
    if width < outputs.shape[-1]:
        assert not torch.allclose(outputs[..., width:], expected)  # it has weights of its own
    others = [name for name in before if not name.startswith("encoder.")]
    after = new.state_dict()
    assert all(torch.equal(after[name], before[name]) for name in others)


@pytest.mark.parametrize("source", ["classify", "tag"])
def test_one_file_gives_the_same_encoder(source: str, tmp_path: Path) -> None:
    directory = saved(tmp_path / "m", source)
    (tmp_path / "m.onnx").write_bytes(one_file(read_stored(directory), "float32"))
    whole, found = load(directory, source), load(tmp_path / "m.onnx", source)
    assert (found.encoder, found.bidirectional) == (whole.encoder, whole.bidirectional)
    assert found.tokenizer.to_json() == whole.tokenizer.to_json()
    assert found.weights.keys() == whole.weights.keys()
    for name, array in whole.weights.items():
        np.testing.assert_array_equal(found.weights[name], array)
    found.copy_weights(random_model(source))


def test_one_file_lacks_a_second_encoder(tmp_path: Path) -> None:
    directory = saved(tmp_path / "m", "lm", backward=True)
    (tmp_path / "m.onnx").write_bytes(one_file(read_stored(directory), "float32"))
    with pytest.raises(UsageError, match=r"m\.onnx: it lacks the second encoder"):
        load(tmp_path / "m.onnx", "classify")
