"""Labels of texts of any length, compared with the network in PyTorch."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file

from rnntext.checkpoint import load
from rnntext.config import EncoderConfig, ModelConfig
from rnntext.errors import CheckpointError
from rnntext.ngrams import NgramModel, Tables
from rnntext.runtime import classifier as classifier_module
from rnntext.runtime.answers import Answer
from rnntext.runtime.classifier import Classification, Classifier
from rnntext.runtime.model import TrainedModel
from rnntext.runtime.session import Session
from rnntext.text.formats import DataOptions
from rnntext.text.records import Record, prefetch, text_of
from rnntext.text.tokenizer import Tokenizer, TokenizerConfig
from rnntext.training.networks.build import build_network
from rnntext.training.networks.encoder import Network
from rnntext.training.onnx.from_network import export
from tests.conftest import CORPORA, Shell

torch.set_num_threads(1)

Array = NDArray[Any]
CELLS = ("rnn", "gru", "lstm")
LABELS = ("good", "naïve", "bad", "a café")
LAYERS, H, E = 2, 9, 6
WINDOW = 20
# Every byte is a token, so the number of tokens is the number of bytes.
TOKENIZER = Tokenizer.train("byte", [], vocab_size=0)
SAMPLE = "naïve café 你好 🙂"


def random_classifier(
    cell: str = "lstm", *, both: bool = False, multi: bool = False, threads: int = 1
) -> tuple[Classifier, Network]:
    encoder = EncoderConfig(cell, TOKENIZER.vocab_size, E, H, LAYERS, both)
    config = ModelConfig("classify", encoder, LABELS, multi, WINDOW)
    network = build_network(config).eval()
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(0, 0.5, generator=generator)
    model = TrainedModel.from_session(config, TOKENIZER, Session(export(network), threads))
    return Classifier(model), network


def texts_of(*lengths: int) -> list[str]:
    random = np.random.default_rng(6)
    letters = np.array(list("abcdefgh,. "))
    return ["".join(random.choice(letters, size=length)) for length in lengths]


def logits_of(network: Network, ids: Array) -> Array:
    """The network's logits of a whole text, read in one call."""
    with torch.no_grad():
        rows = torch.from_numpy(ids.astype(np.int64))[None]
        return np.asarray(network(rows, torch.tensor([len(ids)]))[0], np.float64)


def softmax(logits: Array) -> Array:
    odds = np.exp(logits - logits.max(-1, keepdims=True))
    return np.asarray(odds / odds.sum(-1, keepdims=True))


def assert_same(found: Sequence[Classification], wanted: Sequence[Classification]) -> None:
    assert [answer.text for answer in found] == [answer.text for answer in wanted]
    for one, two in zip(found, wanted, strict=True):
        assert one.label == two.label
        assert one.labels == pytest.approx(two.labels, abs=1e-6)


# Shorter and longer than a window, and multiples of it.
LENGTHS = (3, 97, 20, 1, 40, 41, 19, 160, 8)


@pytest.mark.parametrize("cell", CELLS)
def test_one_direction_reads_a_long_text_as_a_whole(cell: str) -> None:
    classifier, network = random_classifier(cell)
    texts = texts_of(*LENGTHS)
    found = classifier.logits(TOKENIZER.encode(texts))
    wanted = [logits_of(network, ids) for ids in TOKENIZER.encode(texts)]
    np.testing.assert_allclose(found, wanted, atol=5e-6)
    probabilities = classifier.probabilities(texts)
    np.testing.assert_allclose(probabilities, softmax(np.array(wanted)), atol=2e-6)


@pytest.mark.parametrize("cell", CELLS)
def test_two_directions_are_the_mean_of_windows(cell: str) -> None:
    classifier, network = random_classifier(cell, both=True)
    encoded = TOKENIZER.encode(texts_of(*LENGTHS))
    found = classifier.logits(encoded)
    for ids, logits in zip(encoded, found, strict=True):
        windows = [ids[start : start + WINDOW] for start in range(0, len(ids), WINDOW)]
        each = [logits_of(network, window) * len(window) / len(ids) for window in windows]
        np.testing.assert_allclose(logits, sum(each), atol=5e-6)
    # A short window has a small weight.
    whole, longer = texts_of(20, 20)
    one, two = classifier.logits(TOKENIZER.encode([whole, whole + longer[:1]]))
    assert np.abs(one - two).max() < np.abs(one).max()


@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("cell", CELLS)
def test_a_result_does_not_depend_on_the_other_texts(cell: str, both: bool) -> None:
    classifier, _ = random_classifier(cell, both=both)
    # More texts than one batch holds.
    texts = [*texts_of(*LENGTHS, *range(1, 130)), SAMPLE, "", " "]
    together = classifier.classify(texts)
    for text, answer in zip(texts, together, strict=True):
        assert_same(classifier.classify([text]), [answer])
    order = np.random.default_rng(7).permutation(len(texts)).tolist()
    shuffled = classifier.classify([texts[i] for i in order])
    assert_same(shuffled, [together[i] for i in order])
    assert len({answer.label for answer in together}) > 1
    # Threads do not change the results.
    threaded, _ = random_classifier(cell, both=both, threads=2)
    assert threaded.classify(texts) == together
    assert classifier.classify(texts) == together


def test_labels_are_sorted_by_probability() -> None:
    classifier, _ = random_classifier()
    for answer in classifier.classify(texts_of(5, 50)):
        values = list(answer.labels.values())
        assert values == sorted(values, reverse=True)
        assert sum(values) == pytest.approx(1)
        assert set(answer.labels) == set(LABELS)
        assert (answer.label, answer.probability) == next(iter(answer.labels.items()))
        assert all(type(value) is float for value in values)


def test_labels_of_equal_probability_keep_their_order() -> None:
    _, network = random_classifier()
    for parameter in network.parameters():
        torch.nn.init.zeros_(parameter)
    model = TrainedModel.from_session(
        network.config, TOKENIZER, Session(export(network), threads=1)
    )
    (answer,) = Classifier(model).classify(["a"])
    assert list(answer.labels.items()) == [(label, 0.25) for label in LABELS]
    (answer,) = Classifier(model).stream(["a"], top_k=1)
    assert answer.labels == {LABELS[0]: 0.25}


@pytest.mark.parametrize("both", [False, True])
def test_texts_are_classified_in_blocks(both: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many labels: the probabilities of all texts would fill memory."""
    one, two = (random_classifier(both=both, threads=threads)[0] for threads in (1, 2))
    texts = [*texts_of(*LENGTHS), SAMPLE, ""]
    wanted = one.classify(texts)
    monkeypatch.setattr(classifier_module, "_BLOCK_LOGITS", 11)
    monkeypatch.setattr(classifier_module, "_RANKED", 5)
    encoded = TOKENIZER.encode(texts)
    blocks = [block for block, _ in one.probabilities_in_blocks(encoded)]
    assert len(blocks) > 3
    assert [text for block in blocks for text in texts[block]] == texts
    assert one.classify(texts) == two.classify(texts) == wanted
    assert one.classify([]) == []


@pytest.mark.parametrize("top_k", [1, 2, 4, 9])
def test_the_likeliest_labels(top_k: int) -> None:
    classifier, network = random_classifier()
    texts = texts_of(*LENGTHS)
    some = list(classifier.stream(texts, top_k))
    for answer, every in zip(some, classifier.classify(texts), strict=True):
        assert list(answer.labels.items()) == list(every.labels.items())[:top_k]
    assert list(classifier.stream([], top_k)) == []
    # The first and the last label are equally likely, and keep their order.
    with torch.no_grad():
        for parameter in network.head.output.parameters():  # type: ignore[union-attr]
            parameter[-1] = parameter[0]
    model = TrainedModel.from_session(network.config, TOKENIZER, Session(export(network), 1))
    some = list(Classifier(model).stream(texts, top_k))
    for answer, every in zip(some, Classifier(model).classify(texts), strict=True):
        assert list(answer.labels.items()) == list(every.labels.items())[:top_k]


def test_multi_label_probabilities_are_sigmoids() -> None:
    classifier, network = random_classifier(multi=True)
    texts = texts_of(7, 45)
    found = classifier.probabilities(texts)
    wanted = [1 / (1 + np.exp(-logits_of(network, ids))) for ids in TOKENIZER.encode(texts)]
    np.testing.assert_allclose(found, wanted, atol=2e-6)
    assert classifier.multi_label


@pytest.mark.parametrize("both", [False, True])
def test_a_text_without_tokens_is_read_as_an_empty_line(both: bool) -> None:
    classifier, network = random_classifier(both=both)
    assert len(TOKENIZER.encode([""])[0]) == 0
    alone = classifier.logits(TOKENIZER.encode([""]))
    among = classifier.logits(TOKENIZER.encode(["abc", "", *texts_of(99)]))
    wanted = logits_of(network, np.array([TOKENIZER.eos_id]))
    np.testing.assert_allclose(alone[0], wanted, atol=2e-6)
    np.testing.assert_allclose(among[1], wanted, atol=2e-6)
    assert classifier.classify([]) == []
    assert classifier.logits([]).shape == (0, len(LABELS))


def test_without_n_grams_nothing_is_added() -> None:
    classifier, _ = random_classifier()
    assert classifier.ngram_logits(["abc"]) is None


@pytest.mark.parametrize("multi", [False, True])
@pytest.mark.parametrize("block", [1, 10**6])
def test_the_logits_of_n_grams_are_added(
    multi: bool, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(classifier_module, "_BLOCK_LOGITS", block)
    plain, _ = random_classifier(both=True, multi=multi)
    random = np.random.default_rng(2)
    tables = [random.normal(0, 0.4, (64, len(LABELS))).astype(np.float16) for _ in range(3)]
    ngrams = NgramModel(Tables(*tables, np.zeros(len(LABELS), np.float32)), len(LABELS))
    classifier = Classifier(replace(plain._model, ngrams=lambda: ngrams))
    texts = ["", SAMPLE, *texts_of(5, 90, 30)]
    total = plain.logits(TOKENIZER.encode(texts)) + ngrams.logits(texts)
    wanted = 1 / (1 + np.exp(-total)) if multi else np.array([softmax(row) for row in total])
    np.testing.assert_allclose(classifier.probabilities(texts), wanted, rtol=1e-6)
    assert np.abs(wanted - plain.probabilities(texts)).max() > 0.05
    for answer, row in zip(classifier.classify(texts), wanted, strict=True):
        assert answer.labels == pytest.approx(dict(zip(LABELS, row, strict=True)), rel=1e-6)
    assert classifier.probabilities([]).shape == (0, len(LABELS))


# Trained models


@pytest.fixture(scope="module")
def one_way(run: Shell, lm: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A unidirectional classifier, initialized from a language model."""
    directory = tmp_path_factory.mktemp("one-way") / "classifier"
    args = ("--init", lm, "--steps", 10, "--threads", 1, "--seed", 3, "-q")
    run("train", "classify", CORPORA / "reviews.csv", "-o", directory, *args).done()
    return directory


def test_a_trained_unidirectional_model_carries_its_state(one_way: Path) -> None:
    config = ModelConfig.from_json(load(one_way).config["model"])
    assert not config.encoder.bidirectional
    network = build_network(config).eval()
    network.load_state_dict(load_file(one_way / "model.safetensors"))
    classifier = Classifier.load(one_way, threads=1)
    tokenizer = Tokenizer.load(
        (one_way / "tokenizer.json").read_text("utf-8"), TokenizerConfig("bpe")
    )
    story = (CORPORA / "stories.txt").read_text("utf-8")
    texts = [story[:9_000], SAMPLE, "", story[9_000:9_400]]
    encoded = tokenizer.encode(texts)
    assert len(encoded[0]) > 4 * config.max_length
    wanted = [logits_of(network, ids) for ids in encoded]
    np.testing.assert_allclose(classifier.logits(encoded), wanted, atol=1e-5)
    added = classifier.ngram_logits(texts)
    assert added is not None
    for answer, logits in zip(classifier.classify(texts), wanted + added, strict=True):
        likely = dict(zip(config.labels, softmax(logits), strict=True))
        assert answer.labels == pytest.approx(likely, abs=1e-6)


def test_loading_what_is_not_a_classifier(lm: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="language model, and this needs a classifier"):
        Classifier.load(lm)
    with pytest.raises(CheckpointError, match="does not exist"):
        Classifier.load(tmp_path / "none")


@pytest.mark.parametrize("both", [False, True])
def test_batches_that_are_classified_in_parallel(both: bool) -> None:
    classifier, _ = random_classifier(both=both, threads=2)
    batches = [[Record(text) for text in texts_of(*range(size))] for size in (90, 1, 40, 70)]
    found = prefetch([*batches, []], classifier.stream, text_of)
    for wanted, (batch, answers) in zip(batches, found, strict=True):
        assert batch == wanted
        assert list(answers) == classifier.classify([record.text for record in batch])


# Evaluation


@pytest.mark.parametrize("multi", [False, True])
def test_an_evaluation_tells_of_each_text(
    multi: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the order of the records, whatever is read or classified together."""
    classifier, _ = random_classifier(multi=multi)
    texts = texts_of(*LENGTHS, 30, 2)
    file = tmp_path / "a.jsonl"
    rows = [{"id": n, "text": text, "label": LABELS[n % 3]} for n, text in enumerate(texts)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    monkeypatch.setattr(classifier_module, "_EXAMPLES", 4)
    monkeypatch.setattr(classifier_module, "_BLOCK_LOGITS", 20)
    seen: list[Answer] = []
    options = DataOptions(multi_label=multi)
    evaluate = classifier_module.RUNTIME.evaluate
    metrics = evaluate(classifier._model, [str(file)], options, seen.extend)
    assert [each.columns for each in seen] == rows
    assert [each.line for each in seen] == list(range(1, len(rows) + 1))
    wanted = classifier.classify(texts)
    for each, answer in zip(seen, wanted, strict=True):
        if multi:
            likely = {label: p for label, p in answer.labels.items() if p >= 0.5}
            assert each.predicted == tuple(likely)
            assert each.probability == pytest.approx(tuple(likely.values()), abs=1e-6)
        else:
            assert each.predicted == answer.label
            assert each.probability == pytest.approx(answer.probability, abs=1e-6)
    right = sum(not each.mistakes for each in seen)
    assert metrics["accuracy"] == pytest.approx(right / len(seen))
    # The rows of tables are kept for that alone.
    assert evaluate(classifier._model, [str(file)], options, None) == metrics
