"""Vectors of texts: pooled states are those of the PyTorch network, alone and in any batch."""

from __future__ import annotations

import tracemalloc
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from rnntext.config import EncoderConfig, ModelConfig
from rnntext.errors import UsageError
from rnntext.runtime.embed import POOLS, WINDOW, Embedder
from rnntext.runtime.model import TrainedModel
from rnntext.runtime.session import Session
from rnntext.text.tokenizer import Tokenizer
from rnntext.training.networks.build import build_network
from tests.conftest import CORPORA

torch.set_num_threads(1)

Array = NDArray[Any]
LINES = (CORPORA / "stories.txt").read_text("utf-8").splitlines()
TEXTS = ["", "naïve café 你好 🙂", "a\tb", " ", "The heron counted the boats.", *LINES[1:90]]
E, H = 5, 6
ENCODERS = [(c, n, b) for c in ("rnn", "gru", "lstm") for n in (1, 2) for b in (False, True)]


def no_session() -> Session:
    raise AssertionError("vectors do not come from the graph")


@cache
def tokenizer(kind: str = "bpe") -> Tokenizer:
    return Tokenizer.train(kind, LINES, vocab_size=300, min_frequency=2)


def model(
    task: str,
    cell: str,
    layers: int = 1,
    both: bool = False,
    longest: int = 400,
    kind: str = "bpe",
) -> tuple[Any, TrainedModel]:
    """A network whose weights are drawn by NumPy, and the model of the same weights."""
    encoder = EncoderConfig(cell, tokenizer(kind).vocab_size, E, H, layers, both)
    labels = () if task == "lm" else ("x", "y", "z")
    config = ModelConfig(task, encoder, labels, max_length=longest if labels else 0)
    network = build_network(config).eval()
    random = np.random.default_rng(5)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.tensor(random.normal(0, 0.4, parameter.shape)))
    weights = {name: value.numpy() for name, value in network.state_dict().items()}
    return network, TrainedModel(config, tokenizer(kind), no_session, weights=lambda: weights)


def states(network: Any, ids: list[int]) -> Array:
    """The outputs (T, D) of the PyTorch encoder for one row."""
    row = torch.tensor([ids])
    with torch.no_grad():
        outputs, _ = network.encoder(row, torch.tensor([len(ids)]))
    return np.asarray(outputs[:, 0].numpy())


def pooled(found: Array, pool: str) -> Array:
    if pool == "last":  # of each direction the state that has read all
        return np.concatenate([found[-1, :H], found[0, H:]])
    return np.asarray(found.mean(axis=0) if pool == "mean" else found.max(axis=0))


@pytest.mark.parametrize(("cell", "layers", "both"), ENCODERS)
@pytest.mark.parametrize("pool", POOLS)
def test_vectors_are_the_pooled_states_of_the_network(
    cell: str, layers: int, both: bool, pool: str
) -> None:
    network, trained = model("classify", cell, layers, both)
    found = Embedder(trained, 1, pool).embed(TEXTS)
    assert found.shape == (len(TEXTS), H * (1 + both))
    assert found.dtype == np.float32
    for text, vector in zip(TEXTS, found, strict=True):
        ids = tokenizer().encode([text])[0].tolist() or [tokenizer().eos_id]
        np.testing.assert_allclose(vector, pooled(states(network, ids), pool), atol=1e-5)


@pytest.mark.parametrize("pool", POOLS)
def test_a_language_model_reads_the_end_of_a_line_first(pool: str) -> None:
    network, trained = model("lm", "lstm", 2)
    found = Embedder(trained, 1, pool).embed(TEXTS)
    end = tokenizer().eos_id
    for text, vector in zip(TEXTS, found, strict=True):
        ids = tokenizer().encode([text])[0].tolist()
        outputs = states(network, [end, *ids])
        own = outputs[1:] if ids else outputs
        np.testing.assert_allclose(vector, pooled(own, pool), atol=1e-5)


@pytest.mark.parametrize("kind", ["word", "char", "byte"])
@pytest.mark.parametrize("task", ["lm", "classify"])
@pytest.mark.parametrize("pool", POOLS)
def test_a_text_without_tokens_is_the_end_of_a_line(kind: str, task: str, pool: str) -> None:
    network, trained = model(task, "gru", 1, kind=kind)
    assert len(tokenizer(kind).encode([""])[0]) == 0
    wanted = states(network, [tokenizer(kind).eos_id])[0]
    found = Embedder(trained, 1, pool).embed([TEXTS[1], "", TEXTS[4]])
    np.testing.assert_allclose(found[1], wanted, atol=1e-5)


def test_a_tagger_reads_words() -> None:
    network, trained = model("tag", "gru", 1, both=True)
    found = Embedder(trained, 1).embed(["", "do n't, (you)", "don't,(you)"])
    words = tokenizer().encode_words([["do", "n't", ",", "(", "you", ")"]])[0]
    wanted = states(network, words.ids.tolist()).mean(axis=0)
    np.testing.assert_allclose(found[1:], [wanted, wanted], atol=1e-5)
    empty = states(network, [tokenizer().eos_id])[0]
    np.testing.assert_allclose(found[0], empty, atol=1e-5)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("pool", POOLS)
def test_a_vector_does_not_depend_on_other_texts(pool: str, threads: int) -> None:
    _, trained = model("classify", "lstm", 2, both=True, longest=20)
    embedder = Embedder(trained, threads, pool)
    together = embedder.embed(TEXTS)
    assert np.array_equal(embedder.embed(TEXTS[::-1])[::-1], together)
    for index in (0, 1, 4, 40):
        assert np.array_equal(embedder.embed([TEXTS[index]])[0], together[index])


@pytest.mark.parametrize(("task", "longest", "size"), [("classify", 20, 20), ("lm", 0, WINDOW)])
def test_a_long_text_is_read_in_windows(task: str, longest: int, size: int) -> None:
    network, trained = model(task, "gru", 1, both=task != "lm", longest=longest)
    text = " ".join(LINES[:80])
    ids = tokenizer().encode([text])[0]
    count = -(-len(ids) // size)
    assert count > 2
    first = [tokenizer().eos_id] * (task == "lm")
    windows = [
        states(network, [*first, *part.tolist()])[len(first) :]
        for part in np.array_split(ids, count)
    ]
    for pool in POOLS:
        found = Embedder(trained, 1, pool).embed(["x", text, ""])[1]
        wanted = pooled(windows[-1] if pool == "last" else np.concatenate(windows), pool)
        np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_a_line_of_a_million_characters() -> None:
    _, trained = model("classify", "rnn")
    embedder = Embedder(trained, 2)
    text = "abc 你好🙂\t" * 125_000
    assert len(text) == 1_000_000
    embedder.embed(["warm up"])
    tracemalloc.start()
    try:
        vector = embedder.embed([text])[0]
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert np.isfinite(vector).all()
    assert most < 150 << 20
    # The text repeats itself, and so do its states: the mean is that of a shorter one.
    np.testing.assert_allclose(vector, embedder.embed([text[:80_000]])[0], atol=0.02)


def test_no_texts() -> None:
    _, trained = model("classify", "gru", 1, both=True)
    for pool in POOLS:
        assert Embedder(trained, 1, pool).embed([]).shape == (0, 2 * H)


def test_an_unknown_pool_is_refused() -> None:
    _, trained = model("lm", "rnn")
    with pytest.raises(UsageError, match="--pool is one of mean, max, last"):
        Embedder(trained, 1, "sum")
