"""Reading and scoring with a language model, compared with an LSTM written in NumPy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from rnntext.config import EncoderConfig, ModelConfig
from rnntext.runtime import language_model as language
from rnntext.runtime.language_model import LanguageModel, evaluate_lines, select
from rnntext.runtime.model import TrainedModel
from rnntext.runtime.session import Session
from rnntext.text.lines import Line
from rnntext.text.tokenizer import Tokenizer
from rnntext.training.networks.build import build_network
from rnntext.training.onnx.build import build
from rnntext.training.onnx.from_network import numpy_weights

torch.set_num_threads(1)

Array = NDArray[Any]
CELLS = ("rnn", "gru", "lstm")
LAYERS, H, E = 2, 9, 6
TOKENIZER = Tokenizer.train("char", ["naïve café 你好 🙂 the heron"], vocab_size=99)
V = TOKENIZER.vocab_size


class Reference:
    """An LSTM language model in float64, one token at a time, from its tensors by name.

    Hochreiter and Schmidhuber 1997 with a forget gate (Gers et al. 2000); gates in PyTorch's
    order; the output weights are the embeddings (Press and Wolf 2017).
    """

    def __init__(self, tensors: Mapping[str, Array]) -> None:
        self._tensors = {name: array.astype(np.float64) for name, array in tensors.items()}
        names = [name for name in tensors if name.endswith("forward_cell.weight_hh_l0")]
        self._layers = len(names)
        self._hidden = tensors[names[0]].shape[1]
        assert not any("backward" in name for name in tensors)

    def start(self) -> list[tuple[Array, Array]]:
        """The zero hidden and cell state of each layer."""
        return [(np.zeros(self._hidden), np.zeros(self._hidden)) for _ in range(self._layers)]

    def step(
        self, token: int, state: list[tuple[Array, Array]]
    ) -> tuple[Array, list[tuple[Array, Array]]]:
        """Logits (V) after one more token, and the state there."""
        x = self._tensors["encoder.embedding.weight"][token]  # (E)
        after = []
        for number, (hidden, cell) in enumerate(state):
            gates = self._linear(f"encoder.layers.{number}.forward_cell.", "ih", x)
            gates += self._linear(f"encoder.layers.{number}.forward_cell.", "hh", hidden)
            of_input, forget, candidate, output = np.split(gates, 4)  # (H) each
            cell = _sigmoid(forget) * cell + _sigmoid(of_input) * np.tanh(candidate)
            x = _sigmoid(output) * np.tanh(cell)
            after.append((x, cell))
        if "head.projection.weight" in self._tensors:
            x = self._tensors["head.projection.weight"] @ x
            x = x + self._tensors["head.projection.bias"]
        logits = self._tensors["encoder.embedding.weight"] @ x + self._tensors["head.bias"]
        return logits, after

    def read(
        self, tokens: Sequence[int], state: list[tuple[Array, Array]] | None = None
    ) -> tuple[Array, list[tuple[Array, Array]]]:
        """Logits (T, V) after each token, and the state at the end."""
        state = self.start() if state is None else state
        rows = []
        for token in tokens:
            logits, state = self.step(int(token), state)
            rows.append(logits)
        return np.array(rows), state

    def score(
        self,
        tokens: Sequence[int],
        end: int,
        state: list[tuple[Array, Array]] | None = None,
    ) -> tuple[Array, list[tuple[Array, Array]]]:
        """The log-probability of each token, where the first comes after the end of a line."""
        logits, state = self.read([end, *tokens[:-1]], state)
        totals = np.log(np.exp(logits - logits.max(1, keepdims=True)).sum(1)) + logits.max(1)
        return logits[np.arange(len(tokens)), np.asarray(tokens)] - totals, state

    def _linear(self, cell: str, part: str, x: Array) -> Array:
        weight = self._tensors[f"{cell}weight_{part}_l0"]
        return np.asarray(weight @ x + self._tensors[f"{cell}bias_{part}_l0"])


def _sigmoid(x: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-x)))


def random_weights(config: ModelConfig, spread: float = 0.5) -> dict[str, Array]:
    model = build_network(config)
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, spread, generator=generator)
    return numpy_weights(model)


def random_language_model(
    cell: str = "lstm",
    tokenizer: Tokenizer = TOKENIZER,
    *,
    precision: str = "float32",
    threads: int = 1,
) -> tuple[LanguageModel, dict[str, Array]]:
    encoder = EncoderConfig(cell, tokenizer.vocab_size, E, H, LAYERS, False)
    config = ModelConfig("lm", encoder)
    weights = random_weights(config)
    session = Session(build(config, weights, precision), threads)
    return LanguageModel(TrainedModel.from_session(config, tokenizer, session)), weights


def some_rows(*lengths: int) -> list[Array]:
    random = np.random.default_rng(1)
    return [random.integers(V, size=length) for length in lengths]


def assert_same(cell: str, found: Array, wanted: Array) -> None:
    """Equal to the bit; for the vanilla RNN, whose operator depends on the batch, nearly equal."""
    if cell == "rnn":
        np.testing.assert_allclose(found, wanted, atol=2e-6)
    else:
        np.testing.assert_array_equal(found, wanted)


# Reading


def test_reading_equals_the_reference() -> None:
    model, weights = random_language_model()
    reference = Reference(weights)
    rows = some_rows(1, 300, 2)
    logits, state = model.read(rows, model.initial_state(len(rows)))
    assert logits.shape == (3, V)
    assert [part.shape for part in state] == [(LAYERS, 3, H)] * 2
    for number, row in enumerate(rows):
        wanted, after = reference.read(row.tolist())
        np.testing.assert_allclose(logits[number], wanted[-1], atol=1e-5)
        for part, found in enumerate(state):
            of_layers = [layer[part] for layer in after]
            np.testing.assert_allclose(found[:, number], of_layers, atol=1e-5)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("lengths", [(1, 300, 2), (1, 1, 1), (256, 257, 4)])
def test_a_row_is_read_as_if_it_were_alone(lengths: tuple[int, ...], cell: str) -> None:
    model, _ = random_language_model(cell)
    rows = some_rows(*lengths)
    # From a different state in each row, which must not be changed.
    _, before = model.read(some_rows(5, 5, 5), model.initial_state(3))
    kept = [part.copy() for part in before]
    logits, state = model.read(rows, before)
    for number, row in enumerate(rows):
        alone, after = model.read([row], select(before, [number]))
        assert_same(cell, logits[number], alone[0])
        for part, wanted in zip(state, after, strict=True):
            assert_same(cell, part[:, number], wanted[:, 0])
    for part, wanted in zip(before, kept, strict=True):
        np.testing.assert_array_equal(part, wanted)


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_reading_in_parts_equals_reading_at_once(precision: str) -> None:
    model, _ = random_language_model(precision=precision)
    (row,) = some_rows(300)
    whole, end = model.read([row], model.initial_state())
    state = model.initial_state()
    for piece in (row[:1], row[1:5], row[5:299], row[299:]):
        logits, state = model.read([piece], state)
    np.testing.assert_array_equal(logits, whole)
    for part, wanted in zip(state, end, strict=True):
        np.testing.assert_array_equal(part, wanted)


def test_select_takes_rows_in_their_order() -> None:
    state = (np.arange(24).reshape(2, 4, 3), np.arange(24, 48).reshape(2, 4, 3))
    hidden, cell = select(state, [3, 0])
    np.testing.assert_array_equal(hidden, state[0][:, [3, 0]])
    np.testing.assert_array_equal(cell[1, 0], [45, 46, 47])


# Scoring


LENGTHS = (1, 300, 2, 17, 1, 256)


@pytest.mark.parametrize("cell", CELLS)
def test_a_line_is_scored_as_if_it_were_alone(cell: str) -> None:
    model, weights = random_language_model(cell)
    lines = some_rows(*LENGTHS)
    found = model.score(lines)
    assert [len(scores) for scores in found] == list(LENGTHS)
    for line, scores in zip(lines, found, strict=True):
        assert_same(cell, model.score([line])[0], scores)
    order = [4, 2, 0, 5, 1, 3]
    for place, scores in zip(order, model.score([lines[i] for i in order]), strict=True):
        assert_same(cell, scores, found[place])
    if cell == "lstm":
        reference = Reference(weights)
        for line, scores in zip(lines, found, strict=True):
            wanted, _ = reference.score(line.tolist(), TOKENIZER.eos_id)
            np.testing.assert_allclose(scores, wanted, atol=2e-5)


def test_scores_are_what_reading_predicts() -> None:
    model, _ = random_language_model("gru")
    (line,) = some_rows(6)
    (scores,) = model.score([line])
    state, previous = model.initial_state(), TOKENIZER.eos_id
    for token, score in zip(line.tolist(), scores, strict=True):
        logits, state = model.read([np.array([previous])], state)
        log_total = np.log(np.exp(logits[0].astype(np.float64)).sum())
        assert score == pytest.approx(logits[0, token] - log_total, abs=1e-5)
        previous = token


def test_no_lines_and_several_threads() -> None:
    model, _ = random_language_model()
    assert model.score([]) == []
    lines = some_rows(*range(1, 80), 700)  # more than one batch
    two, _ = random_language_model(threads=2)
    for one, other in zip(model.score(lines), two.score(lines), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("precision", ["float32", "int8"])
@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_threads_change_no_bit(cell: str, precision: str) -> None:
    """With a model that is large enough for several threads, in parallel batches or within each
    run."""
    letters = "".join(map(chr, range(0x4E00, 0x4E00 + 2000)))
    tokenizer = Tokenizer.train("char", [letters], vocab_size=3000)
    config = ModelConfig("lm", EncoderConfig(cell, tokenizer.vocab_size, 96, 128, 1, False))
    graph = build(config, random_weights(config, 0.1), precision)
    random = np.random.default_rng(8)
    lines = [random.integers(2000, size=n) for n in (1, 40, 7, 300, 2, 90, *[12] * 64)]
    wanted: list[Array] = []
    for threads, intra_op in ((1, False), (2, False), (1, True), (2, True), (3, True)):
        session = Session(graph, threads, intra_op=intra_op)
        model = LanguageModel(TrainedModel.from_session(config, tokenizer, session))
        logits, state = model.read(lines[:5], model.initial_state(5))
        found = [*model.score(lines), logits, *state]
        found += [model.score(lines[3:4])[0], model.read(lines[1:2], model.initial_state())[0]]
        wanted = wanted or found
        for one, two in zip(found, wanted, strict=True):
            np.testing.assert_array_equal(one, two)
    # The rest of the batch makes no difference either.
    np.testing.assert_array_equal(wanted[-2], wanted[3])
    np.testing.assert_array_equal(wanted[-1][0], logits[1])


# Documents


@pytest.mark.parametrize("small", [False, True])
def test_documents_are_scored_completely_and_in_order(
    small: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, weights = random_language_model()
    if small:
        monkeypatch.setattr(language, "_MAX_STEPS", 4)
    documents = some_rows(300, 3, 517, 1)
    scores: list[list[Array]] = [[] for _ in documents]
    states: dict[int, Any] = {}
    for chunk in model.score_documents(documents):
        assert chunk.start == sum(map(len, scores[chunk.row]))
        assert len(chunk.scores) <= (4 if small else 256)
        scores[chunk.row].append(chunk.scores)
        states[chunk.row] = chunk.state
    reference = Reference(weights)
    for number, document in enumerate(documents):
        joined = np.concatenate(scores[number])
        assert len(joined) == len(document)
        wanted, after = reference.score(document.tolist(), TOKENIZER.eos_id)
        np.testing.assert_allclose(joined, wanted, atol=2e-5)
        for part, found in enumerate(states[number]):
            assert found.shape == (LAYERS, 1, H)
            np.testing.assert_allclose(found[:, 0], [layer[part] for layer in after], atol=1e-5)


def test_scoring_from_a_state() -> None:
    model, weights = random_language_model()
    first, second = some_rows(9, 8)
    first[-1] = TOKENIZER.eos_id  # a document continues after the end of a line
    (end,) = [chunk.state for chunk in model.score_documents([first])]
    (chunk,) = model.score_documents([second], end)
    whole, _ = Reference(weights).score([*first, *second], TOKENIZER.eos_id)
    np.testing.assert_allclose(chunk.scores, whole[9:], atol=2e-5)
    assert not np.allclose(chunk.scores, model.score([second])[0], atol=1e-3)


def test_a_large_vocabulary_takes_shorter_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """The size of one call is bounded, and the results do not change."""
    usual, _ = random_language_model()
    monkeypatch.setattr(language, "_MAX_LOGITS", 6 * V)
    bounded, _ = random_language_model()
    documents = some_rows(20, 7)
    lengths = [len(s.scores) for s in bounded.score_documents(documents) if s.row == 0]
    # At most 6 logit rows in a call: three steps of two rows.
    assert max(lengths) == 3
    for one, other in zip(usual.score(documents), bounded.score(documents), strict=True):
        np.testing.assert_array_equal(one, other)


# Evaluation


@pytest.mark.parametrize(
    ("kind", "lowercase", "keeps"),
    [("char", False, True), ("char", True, False), ("word", False, False)],
)
def test_bits_per_byte_are_known_where_the_text_is_kept(
    kind: str, lowercase: bool, keeps: bool
) -> None:
    texts = ["the heron", "naïve café 你好 🙂", ""]
    tokenizer = Tokenizer.train(
        kind, texts, vocab_size=99, lowercase=lowercase, min_frequency=1, presplit=False
    )
    model, _ = random_language_model(tokenizer=tokenizer)
    found = evaluate_lines(model, iter([Line(0, text) for text in texts]))
    assert found["unknown_rate"] == 0
    nats = np.log(found["perplexity"]) * found["tokens"]
    size = len("\n".join(texts).encode()) + 1
    bits = nats / np.log(2) / size
    assert found["bits_per_byte"] == (pytest.approx(bits, rel=1e-6) if keeps else None)


def test_an_unknown_character_is_charged_its_bytes() -> None:
    model, _ = random_language_model()
    assert model.tokenizer.config.kind == "char"
    lines = [Line(0, "heron"), Line(1, "heronж")]
    found = evaluate_lines(model, iter(lines))
    bits = np.log2(found["perplexity"]) * 13 + 2 * 8  # ж has two bytes
    assert found["bits_per_byte"] == pytest.approx(bits / (6 + 8), rel=1e-6)
    assert (found["tokens"], found["unknown_rate"]) == (13, 1 / 13)
    assert found["perplexity_known"] != pytest.approx(found["perplexity"], rel=1e-3)


@pytest.mark.parametrize("count", [64, 65])
def test_each_document_is_scored_from_its_start(count: int) -> None:
    """Also where they are more than are scored together."""
    model, _ = random_language_model()
    documents = [["the", "heron"[: n % 6]] for n in range(count)]
    lines = [Line(number, text) for number, texts in enumerate(documents) for text in texts]
    found = evaluate_lines(model, iter(lines))
    rows = [np.concatenate(model.tokenizer.encode_lines(texts)) for texts in documents]
    scores = [model.score([row])[0].sum(dtype=np.float64) for row in rows]
    assert found["tokens"] == sum(map(len, rows))
    assert np.log(found["perplexity"]) * found["tokens"] == pytest.approx(-sum(scores), rel=1e-6)
    size = sum(len("\n".join(texts)) + 1 for texts in documents)
    assert found["bits_per_byte"] == pytest.approx(-sum(scores) / np.log(2) / size, rel=1e-6)
