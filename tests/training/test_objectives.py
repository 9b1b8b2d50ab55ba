"""What each task learns from, and that its validation metrics are what the definitions say."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from rnntext.config import EncoderConfig, ModelConfig
from rnntext.metrics import classification_metrics, tagging_metrics
from rnntext.runtime.crf import viterbi
from rnntext.text.store import counts_of
from rnntext.training import language_modelling
from rnntext.training.classification import Classification, windows_of
from rnntext.training.device import Machine
from rnntext.training.examples import LabelledIds, LabelledRows, TaggedIds, TaggedRows
from rnntext.training.language_modelling import LanguageModelling
from rnntext.training.model import Classifier, LanguageModel, Model, Tagger, build_model
from rnntext.training.tagging import Tagging

torch.set_num_threads(1)

Array = NDArray[Any]
CPU = Machine(torch.device("cpu"), torch.float32)
V, E, H = 13, 4, 6  # vocabulary, embedding, units
LABELS = ("a", "b", "c")


def random_model(task: str, labels: Sequence[str] = LABELS, multi: bool = False) -> Any:
    config = ModelConfig(
        task,
        EncoderConfig("gru", V, E, H, 2, task != "lm"),
        () if task == "lm" else tuple(labels),
        multi,
        max_length=99,
    )
    model: Model = build_model(config).eval()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.5, generator=generator)
    return model


def softmax(logits: Array) -> Array:
    shifted = np.exp(logits - logits.max(-1, keepdims=True))
    return np.asarray(shifted / shifted.sum(-1, keepdims=True))


# Language modelling


def language(
    stream: Any = None,
    valid: Sequence[Array] = (np.array([1, 2, 0]),),
    *,
    batch_size: int = 4,
    bptt: int = 7,
    seed: int = 0,
    unk_id: int | None = None,
    valid_bytes: int | None = None,
) -> LanguageModelling:
    if stream is None:
        stream = np.random.default_rng(9).integers(V, size=333)
    return LanguageModelling(
        stream,
        valid,
        counts=counts_of(stream, V),
        batch_size=batch_size,
        bptt=bptt,
        eos_id=0,
        unk_id=unk_id,
        valid_bytes=valid_bytes,
        seed=seed,
        machine=CPU,
    )


@pytest.mark.parametrize(
    ("size", "bptt", "rows"), [(333, 7, 4), (20, 35, 1), (36, 35, 1), (100, 24, 4), (99, 24, 3)]
)
def test_windows_cover_each_column_once_an_epoch(size: int, bptt: int, rows: int) -> None:
    stream = np.arange(size) % V
    objective = language(stream, bptt=bptt)
    length = size // rows
    columns = stream[: rows * length].reshape(rows, length)
    for epoch in range(6):
        batches = list(objective.batches(epoch))
        inputs = torch.cat([batch[0] for batch in batches], dim=1)
        targets = torch.cat([batch[1] for batch in batches], dim=1)
        # Every token is read once and every one but each column's first is predicted once.
        assert np.array_equal(inputs.numpy(), columns[:, :-1])
        assert np.array_equal(targets.numpy(), columns[:, 1:])
        for given, wanted, fresh in batches:
            assert given.shape == wanted.shape
            assert 1 <= given.shape[1] <= bptt
            assert fresh.shape == (rows,)
        widths = [batch[0].shape[1] for batch in batches]
        assert set(widths[1:-1]) <= {bptt}
        assert 0 <= len(batches) - objective.steps_per_epoch <= 1


class Watched:
    """A stream that notes what is read of it."""

    def __init__(self, numbers: Array) -> None:
        self.numbers, self.windows = numbers, list[tuple[int, int]]()

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, window: slice) -> Array:
        start, stop, _ = window.indices(len(self.numbers))
        self.windows.append((start, stop))
        return self.numbers[start:stop]


@pytest.mark.parametrize("ahead", [1, 29, 61, 10**6])
def test_windows_are_the_same_however_far_ahead_is_read(
    ahead: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = [list(language().batches(epoch)) for epoch in (0, 1)]
    monkeypatch.setattr(language_modelling, "_READ_AHEAD", 4 * ahead)
    stream = Watched(np.random.default_rng(9).integers(V, size=333))
    objective = language(stream)
    for epoch in (0, 1):
        stream.windows = []
        for found, given in zip(objective.batches(epoch), wanted[epoch], strict=True):
            assert all(torch.equal(a, b) for a, b in zip(found, given, strict=True))
            assert [part.dtype for part in found] == [part.dtype for part in given]
        # A window at most, or as much as is to be read ahead.
        assert all(b - a <= max(ahead, 8) for a, b in stream.windows)
        if 29 <= ahead < 83:
            assert len(stream.windows) < 4 * 83 / (ahead - 8) + 4


def test_a_device_holds_a_stream_that_it_has_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    device = Machine(torch.device("meta"), torch.float32)
    for held, reads in ((333, 4), (332, 4 * 12)):
        monkeypatch.setattr(language_modelling, "_HELD", held)
        monkeypatch.setattr(language_modelling, "_READ_AHEAD", 4)
        stream = Watched(np.arange(333))
        columns = language_modelling._Columns(stream, 4, slice(0, 4), device)
        for _ in range(2):
            for start in range(0, 82, 7):
                assert columns.window(start, min(start + 8, 83)).shape[0] == 4
        assert len(stream.windows) == reads if held == 333 else len(stream.windows) > reads


def widths(objective: LanguageModelling, epoch: int) -> list[Any]:
    return [(b[0].shape[1], b[2].tolist()) for b in objective.batches(epoch)]


def test_the_order_is_the_seeds_and_the_epochs_alone() -> None:
    one, two, other = language(), language(), language(seed=1)
    epochs = [widths(one, epoch) for epoch in range(5)]
    torch.manual_seed(123)
    np.random.seed(4)
    assert [widths(two, epoch) for epoch in (4, 2, 0)] == [epochs[4], epochs[2], epochs[0]]
    assert len({repr(epoch) for epoch in epochs}) > 2
    assert [widths(other, epoch) for epoch in range(5)] != epochs


def test_the_state_goes_from_window_to_window_by_value(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each window's loss and gradient are those of a model that starts in the state in which
    the whole text before it ends, and looks no further back than the window."""
    monkeypatch.setattr(language_modelling, "_FRESH_START", 0.0)
    objective, model = language(), random_model("lm")
    for _ in range(2):  # the second time from nothing again
        read = 0
        for number, batch in enumerate(objective.batches(1)):
            model.zero_grad()
            loss, tokens = objective.loss(model, batch)
            loss.backward()
            inputs, targets, _ = batch
            assert tokens == inputs.numel()
            found = {name: p.grad.clone() for name, p in model.named_parameters()}
            if number in (0, 3, 5):
                state = None
                if read:
                    with torch.no_grad():
                        _, state = model(objective.columns.window(0, read))
                model.zero_grad()
                logits, _ = model(inputs, state)
                expected = torch.nn.functional.cross_entropy(
                    logits.reshape(-1, V), targets.reshape(-1)
                )
                expected.backward()
                torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-6)
                for name, parameter in model.named_parameters():
                    torch.testing.assert_close(
                        found[name], parameter.grad, rtol=1e-4, atol=1e-6, msg=name
                    )
            read += inputs.shape[1]
        assert number > 5


def test_some_columns_start_again(monkeypatch: pytest.MonkeyPatch) -> None:
    objective, model = language(), random_model("lm")
    first, second, *_ = objective.batches(0)
    inputs, targets, _ = second

    def loss_with(fresh: list[bool]) -> float:
        list(zip(objective.batches(0), range(1), strict=False))  # from nothing
        objective.loss(model, (*first[:2], torch.zeros(4, dtype=torch.bool)))
        loss, _ = objective.loss(model, (inputs, targets, torch.tensor(fresh)))
        return float(loss.detach())

    with torch.no_grad():
        _, state = model(first[0])
        carried = model(inputs, state)[0]
        anew = model(inputs)[0]
    fresh = [True, False, False, True]
    logits = torch.where(torch.tensor(fresh)[:, None, None], anew, carried)
    want = torch.nn.functional.cross_entropy(logits.reshape(-1, V), targets.reshape(-1))
    assert loss_with(fresh) == pytest.approx(float(want), rel=1e-5)
    assert loss_with([False] * 4) != pytest.approx(float(want), rel=1e-4)

    monkeypatch.setattr(language_modelling, "_FRESH_START", 0.25)
    flags = [flag for epoch in range(20) for b in objective.batches(epoch) for flag in b[2]]
    assert np.mean(flags) == pytest.approx(0.25, abs=0.05)


DOCUMENTS = [
    np.random.default_rng(n).integers(1, V, size=size) for n, size in enumerate((9, 1, 40, 17, 9))
]


def scores_one_by_one(model: LanguageModel, documents: Sequence[Array]) -> list[Array]:
    """Log-probabilities of each document's tokens, in float64 from the model's logits."""
    result = []
    for document in documents:
        inputs = np.concatenate([[0], document[:-1]])
        with torch.no_grad():
            logits, _ = model(torch.from_numpy(inputs)[None])
        probabilities = softmax(logits[0].double().numpy())
        result.append(np.log(probabilities[np.arange(len(document)), document]))
    return result


@pytest.mark.parametrize("exact_rows", [1024, 8])
def test_exact_evaluation(exact_rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(language_modelling, "_EXACT_ROWS", exact_rows)
    model = random_model("lm")
    valid = [*DOCUMENTS, np.array([], np.int64)]
    objective = language(valid=valid, unk_id=5, valid_bytes=200)
    scores = np.concatenate(scores_one_by_one(model, DOCUMENTS))
    known = np.concatenate(DOCUMENTS) != 5
    found = objective.evaluate(model)
    assert found == pytest.approx(
        {
            "perplexity": math.exp(-scores.mean()),
            "perplexity_known": math.exp(-scores[known].mean()),
            "bits_per_byte": -scores.sum() / math.log(2) / 200,
            "tokens": 76,
            "unknown_rate": 1 - known.mean(),
        },
        rel=1e-5,
    )
    assert 0 < found["unknown_rate"] < 0.5
    assert not model.training


def test_evaluation_without_an_unknown_word_and_with_lost_text() -> None:
    found = language(valid=DOCUMENTS).evaluate(random_model("lm"))
    assert found["perplexity_known"] == found["perplexity"]
    assert found["unknown_rate"] == 0
    assert found["bits_per_byte"] is None


def test_evaluation_leaves_training_where_it_was() -> None:
    model = random_model("lm")
    losses = []
    for evaluate in (False, True):
        objective = language(valid=DOCUMENTS)
        windows = objective.batches(0)
        objective.loss(model, next(windows))
        if evaluate:
            objective.evaluate(model, quick=True)
        losses.append(float(objective.loss(model, next(windows))[0].detach()))
    assert losses[0] == losses[1]


def test_a_quick_evaluation_reads_a_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(language_modelling, "_QUICK_TOKENS", 15)
    model, document = random_model("lm"), DOCUMENTS[2]
    objective = language(valid=[document], valid_bytes=99)
    found = objective.evaluate(model, quick=True)
    (scores,) = scores_one_by_one(model, [document])
    assert found["tokens"] == 15
    assert found["perplexity"] == pytest.approx(math.exp(-scores[:15].mean()), rel=1e-5)
    assert found["bits_per_byte"] is None
    monkeypatch.setattr(language_modelling, "_QUICK_TOKENS", 1000)
    assert language(valid=[document]).evaluate(model, quick=True)["tokens"] == 40


def test_a_quick_evaluation_reads_windows_after_some_of_what_stands_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(language_modelling, "_QUICK_WINDOW", 16)
    monkeypatch.setattr(language_modelling, "_QUICK_CONTEXT", 5)
    model, document = random_model("lm"), DOCUMENTS[2]
    found = language(valid=[document]).evaluate(model, quick=True)
    total = 0.0
    for start in (0, 16, 32):
        before = max(0, start - 5)
        given = 0 if before == 0 else int(document[before - 1])
        hidden, _ = model.hidden(torch.tensor([[given, *document[before : start + 15].tolist()]]))
        logits = hidden[:, 0] @ model.encoder.embedding.weight.t() + model.head.bias
        window = torch.from_numpy(document[before : start + 16]).long()
        nats = torch.nn.functional.cross_entropy(logits[: len(window)], window, reduction="none")
        total += float(nats[start - before :].detach().sum())
    assert found["tokens"] == 40
    assert found["perplexity"] == pytest.approx(math.exp(total / 40), rel=1e-5)


def test_a_sample_is_a_part_of_the_work_of_a_whole_evaluation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(language_modelling, "_SAMPLE_TOKENS", 10)
    read = []
    monkeypatch.setattr(
        LanguageModelling, "_measure", lambda self, model, pieces: read.append(pieces)
    )
    share = language(valid=[DOCUMENTS[2]]).sample(random_model("lm"))
    assert share == 10 / 40
    assert [len(piece.ids) - 1 for piece in read[0]] == [10]


def test_a_quick_evaluation_of_many_documents_reads_its_share(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(language_modelling, "_QUICK_TOKENS", 15)
    objective = language(valid=[DOCUMENTS[0]] * 20)
    assert objective.evaluate(random_model("lm"), quick=True)["tokens"] == 15


# Classification


def classification(
    documents: Sequence[Array],
    labels: Array,
    *,
    valid: tuple[Sequence[Array], Array] | None = None,
    multi_label: bool = False,
    balanced: bool = False,
    batch_size: int = 4,
    max_length: int = 50,
    seed: int = 0,
) -> Classification:
    given = LabelledIds(list(documents), labels.astype(np.float32))
    return Classification(
        LabelledRows.of(given),
        given if valid is None else LabelledIds(list(valid[0]), valid[1].astype(np.float32)),
        labels=LABELS,
        multi_label=multi_label,
        balanced=balanced,
        batch_size=batch_size,
        max_length=max_length,
        seed=seed,
        machine=CPU,
    )


def one_hot(*labels: int) -> Array:
    return np.eye(3)[list(labels)]


def logits_alone(model: Classifier, ids: Array) -> Array:
    with torch.no_grad():
        logits = model(torch.from_numpy(ids)[None].long(), torch.tensor([len(ids)]))
    return logits[0].double().numpy()


GOLD = one_hot(0, 2, 1, 2, 2)


def loss_of_all(objective: Classification, model: Classifier, gold: Array) -> float:
    """The training loss of all documents as one batch."""
    (batch,) = objective.batches(0)
    assert sorted(batch.labels.tolist()) == sorted(gold.tolist())
    loss, tokens = objective.loss(model, batch)
    assert tokens == 76
    return float(loss.detach())


def check_metrics(objective: Classification, model: Classifier, expected: dict[str, Any]) -> None:
    found = objective.evaluate(model.train())
    assert not model.training
    assert objective.metric in found
    assert found["ece"] == pytest.approx(expected["ece"], rel=1e-4)
    assert {**found, "ece": 0} == {**found, **expected, "ece": 0}


def test_classification_evaluation_one_by_one() -> None:
    model = random_model("classify")
    objective = classification(DOCUMENTS, GOLD, batch_size=5)
    logits = np.stack([logits_alone(model, ids) for ids in DOCUMENTS])
    probabilities = softmax(logits)
    losses = -np.log(probabilities[np.arange(5), GOLD.argmax(1)])
    assert loss_of_all(objective, model, GOLD) == pytest.approx(losses.mean(), rel=1e-5)
    check_metrics(
        objective, model, classification_metrics(list("acbcc"), probabilities, LABELS, False)
    )


def test_multi_label_evaluation_one_by_one() -> None:
    model = random_model("classify", multi=True)
    gold = np.array([[1, 1, 0], [0, 0, 0], [0, 1, 1], [1, 0, 0], [0, 0, 1]])
    objective = classification(DOCUMENTS, gold, multi_label=True, batch_size=5)
    probabilities = 1 / (1 + np.exp(-np.stack([logits_alone(model, ids) for ids in DOCUMENTS])))
    losses = -np.log(np.where(gold == 1, probabilities, 1 - probabilities))
    assert loss_of_all(objective, model, gold) == pytest.approx(losses.mean(), rel=1e-5)
    sets = [{"a", "b"}, set(), {"b", "c"}, {"a"}, {"c"}]
    check_metrics(objective, model, classification_metrics(sets, probabilities, LABELS, True))


def test_long_documents_are_read_in_windows() -> None:
    """The logits of 40 tokens in windows of 16: of 16, 16 and 8, by their share."""
    model = random_model("classify")
    objective = classification(DOCUMENTS, GOLD, max_length=16)
    found = objective.logits(model, DOCUMENTS).double().numpy()
    for row, ids in zip(found, DOCUMENTS, strict=True):
        parts = [ids[start : start + 16] for start in range(0, len(ids), 16)]
        want = sum(len(part) / len(ids) * logits_alone(model, part) for part in parts)
        np.testing.assert_allclose(row, want, rtol=1e-4, atol=1e-5)
    assert np.abs(found[2] - logits_alone(model, DOCUMENTS[2])).max() > 1e-3


def test_windows_of() -> None:
    documents = [np.arange(5), np.arange(6), np.arange(7)]
    windows, owners = windows_of(documents, 3)
    assert [window.tolist() for window in windows] == [
        [0, 1, 2], [3, 4], [0, 1, 2], [3, 4, 5], [0, 1, 2], [3, 4, 5], [6]
    ]  # fmt: skip
    assert owners.tolist() == [0, 0, 1, 1, 2, 2, 2]


def test_training_sees_windows_of_long_documents_and_all_of_others() -> None:
    documents = [np.arange(100, 140), np.arange(5), np.arange(50, 60)]
    objective = classification(documents, one_hot(0, 1, 2), max_length=10, batch_size=2)
    starts = set()
    for epoch in range(12):
        rows = [
            ids[row, : lengths[row]].tolist()
            for ids, lengths, *_ in objective.batches(epoch)
            for row in range(len(ids))
        ]
        long = next(row for row in rows if row[0] >= 100)
        assert long == list(range(long[0], long[0] + 10))
        starts.add(long[0])
        assert sorted(rows)[:2] == [list(range(5)), list(range(50, 60))]
    assert len(starts) > 5
    assert min(starts) >= 100
    assert objective.capped() == 1
    assert max(starts) <= 130


def test_class_weights_by_hand() -> None:
    """Counts 1, 1 and 3 of 5: weights 5 / (3 * 1), the same, and 5 / (3 * 3)."""
    model = random_model("classify")
    objective = classification(DOCUMENTS, GOLD, balanced=True, batch_size=5)
    weights = np.array([5 / 3, 5 / 3, 5 / 9])
    probabilities = softmax(np.stack([logits_alone(model, ids) for ids in DOCUMENTS]))
    gold = GOLD.argmax(1)
    losses = -np.log(probabilities[np.arange(5), gold]) * weights[gold]
    want = losses.sum() / weights[gold].sum()
    assert loss_of_all(objective, model, GOLD) == pytest.approx(want, rel=1e-5)
    unweighted = loss_of_all(classification(DOCUMENTS, GOLD, batch_size=5), model, GOLD)
    assert abs(unweighted - want) > 1e-3


def realistic(kind: str, count: int = 1500) -> list[Array]:
    """Documents, or sentences, of the lengths that text has: log-normal, long at one end."""
    rng = np.random.default_rng(0)
    mean, deviation = (5.0, 0.7) if kind == "documents" else (3.0, 0.6)
    lengths = np.clip(rng.lognormal(mean, deviation, count), 1, 3000).astype(int)
    return [np.full(length, index % V) for index, length in enumerate(lengths)]


@pytest.mark.parametrize("kind", ["documents", "sentences"])
def test_little_of_a_batch_is_padding(kind: str) -> None:
    documents = realistic(kind)
    if kind == "documents":
        labels = one_hot(*(n % 3 for n in range(len(documents))))
        objective: Any = classification(documents, labels, batch_size=32, max_length=400)
    else:
        objective = tagging(
            [TaggedIds(ids, np.arange(len(ids)), np.arange(len(ids)), ids) for ids in documents],
            batch_size=32,
        )
    real = room = 0
    for ids, lengths, *_ in objective.batches(0):
        assert ids.shape == (len(lengths), int(lengths.max()))
        real += int(lengths.sum())
        room += ids.numel()
    assert real / room > 0.9


def test_an_epoch_of_documents() -> None:
    """All of them, in an order of the seed and the epoch; labels stay with their texts."""
    count = 120
    documents = [np.full(1 + n % 9, n) for n in range(count)]
    labels = one_hot(*(n % 3 for n in range(count)))
    one, two = (classification(documents, labels, batch_size=8) for _ in range(2))
    orders = []
    for epoch in range(3):
        seen = []
        for ids, lengths, given, *_ in one.batches(epoch):
            for row in range(len(ids)):
                number = int(ids[row, 0])
                seen.append(number)
                assert int(lengths[row]) == 1 + number % 9
                assert ids[row, lengths[row] :].eq(0).all()
                assert int(given[row].argmax()) == number % 3
        assert len(seen) > 0.9 * count
        assert len(set(seen)) > 0.9 * count
        orders.append(seen)
    assert orders[0] != orders[1] != orders[2]
    assert [int(i) for ids, *_ in two.batches(2) for i in ids[:, 0]] == orders[2]
    other = classification(documents, labels, batch_size=8, seed=1)
    assert [int(i) for ids, *_ in other.batches(2) for i in ids[:, 0]] != orders[2]


# Tagging

TAGS = ("B-x", "I-x", "O", "B-y", "I-y")


def tagging(
    train: Sequence[TaggedIds], labels: Sequence[str] = TAGS, batch_size: int = 3
) -> Tagging:
    return Tagging(
        TaggedRows.of(train), train, labels=labels, batch_size=batch_size, seed=0, machine=CPU
    )


def sentences(labels: int) -> list[TaggedIds]:
    """Words of one to three tokens."""
    rng = np.random.default_rng(2)
    result = []
    for words in (4, 1, 6, 3, 2):
        sizes = rng.integers(1, 4, size=words)
        last = sizes.cumsum() - 1
        ids = rng.integers(V, size=int(sizes.sum()))
        result.append(TaggedIds(ids, last - sizes + 1, last, rng.integers(labels, size=words)))
    return result


def emissions_alone(model: Tagger, sentence: TaggedIds) -> Array:
    arrays = (sentence.ids, np.array(len(sentence.ids)), sentence.first, sentence.last)
    with torch.no_grad():
        return model(*(torch.from_numpy(a)[None] for a in arrays))[0].numpy()


def scores_of(model: Tagger) -> list[Array]:
    field = model.head.crf
    return [p.detach().numpy() for p in (field.start, field.transitions, field.end)]


@pytest.mark.parametrize("labels", [TAGS, ("ADJ", "NOUN", "VERB", "X", "DET")])
def test_tagging_evaluation_one_by_one(labels: tuple[str, ...]) -> None:
    model, given = random_model("tag", labels), sentences(5)
    objective = tagging(given, labels)
    assert objective.metric == ("f1" if labels == TAGS else "accuracy")
    predicted = []
    for sentence in given:
        emissions = emissions_alone(model, sentence)
        (path,) = viterbi(emissions[None], np.array([len(emissions)]), *scores_of(model))
        predicted.append([labels[tag] for tag in path])
    gold = [[labels[tag] for tag in sentence.tags] for sentence in given]
    found = objective.evaluate(model)
    assert found == tagging_metrics(gold, predicted, labels == TAGS)
    assert objective.metric in found
    assert not model.training


def test_tagging_loss_is_a_mean_over_words() -> None:
    model, given = random_model("tag", TAGS), sentences(5)
    objective = tagging(given, batch_size=5)
    batches = list(objective.batches(0))
    total = words = tokens = 0.0
    for batch in batches:
        loss, count = objective.loss(model, batch)
        total += float(loss.detach()) * int(batch[5].sum())
        words += int(batch[5].sum())
        tokens += count
    assert (words, tokens) == (16, sum(len(sentence.ids) for sentence in given))
    want = 0.0
    for sentence in given:
        emissions = torch.from_numpy(emissions_alone(model, sentence))[None]
        tags = torch.from_numpy(sentence.tags)[None]
        want -= float(
            model.head.crf.log_likelihood(emissions, tags, torch.tensor([tags.shape[1]])).detach()
        )
    assert total == pytest.approx(want, rel=1e-5)


def test_an_epoch_of_sentences() -> None:
    given = sentences(5) * 8
    objective = tagging(given)
    sizes = Counter(len(sentence.ids) for sentence in given)
    for epoch in range(2):
        batches = list(objective.batches(epoch))
        assert len(batches) == objective.steps_per_epoch
        seen = Counter(int(length) for batch in batches for length in batch[1])
        assert sum((sizes - seen).values()) <= 4  # a few may wait for another epoch
