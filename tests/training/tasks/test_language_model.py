"""The objective of a language model: windows of truncated BPTT, loss, and metrics computed
independently."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

from rnntext.config import EncoderConfig, ModelConfig
from rnntext.errors import UsageError
from rnntext.runtime import language_model as runtime
from rnntext.runtime.model import TrainedModel
from rnntext.runtime.session import Session
from rnntext.text.tokenizer import Tokenizer
from rnntext.training.data.store import counts_of
from rnntext.training.engine.device import Machine
from rnntext.training.engine.distributed import SINGLE_PROCESS, Ranks
from rnntext.training.networks.build import build_network
from rnntext.training.networks.language_model import LanguageModel
from rnntext.training.onnx.from_network import export
from rnntext.training.options import TrainingOptions
from rnntext.training.recipes import Recipe
from rnntext.training.tasks import language_model as language_modelling
from rnntext.training.tasks import text_columns
from rnntext.training.tasks.language_model import TASK, LanguageModelling
from tests.training.models import CPU, DOCUMENTS, Array, E, H, V, random_model, softmax


def language(
    stream: Any = None,
    valid: Sequence[Array] = (np.array([1, 2, 0]),),
    *,
    batch_size: int = 4,
    bptt: int = 7,
    seed: int = 0,
    unk_id: int | None = None,
    valid_bytes: int | None = None,
    dropout_warmup_epochs: int = 0,
    ranks: Ranks = SINGLE_PROCESS,
    backward: bool = False,
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
        ranks=ranks,
        dropout_warmup_epochs=dropout_warmup_epochs,
        backward=backward,
    )


@pytest.mark.parametrize(
    ("size", "bptt", "steps"),
    [(333, 7, 12), (36, 35, 1), (37, 35, 2), (2, 35, 1), (1, 35, 1), (71, 35, 2), (72, 35, 1)],
)
def test_the_number_of_steps_of_an_epoch(size: int, bptt: int, steps: int) -> None:
    """From 72 tokens on there are two rows, of 36 tokens each."""
    objective = language(np.arange(size) % V, bptt=bptt)
    assert objective.steps_per_epoch == steps
    if size > 1:
        assert len(list(objective.batches(0))) >= steps


@pytest.mark.parametrize(("length", "same"), [(14, True), (15, False)])
def test_the_first_window_is_shorter_where_there_are_more_than_two(length: int, same: bool) -> None:
    objective = language(np.arange(length) % V, batch_size=1)
    found = [[batch.inputs.shape[1] for batch in objective.batches(n)] for n in range(9)]
    assert all(sum(widths) == length - 1 for widths in found)
    assert (len({tuple(widths) for widths in found}) == 1) == same


def test_a_batch_has_a_row_for_each_process() -> None:
    for rank in range(4):
        assert language(ranks=Ranks(rank, 4)).rows == 4
    message = (
        "5 processes cannot share a batch of 4 rows: start fewer, or give a larger --batch-size "
        "or more text"
    )
    with pytest.raises(UsageError, match=f"^{message}$"):
        language(ranks=Ranks(0, 5))


def test_the_losses_of_all_processes_make_up_the_loss_of_the_batch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Gradients are averaged over the processes, though one has three rows and the other two."""
    monkeypatch.setattr(language_modelling, "_RESET_PROBABILITY", 0.0)
    model = random_model("lm")

    def losses(ranks: Ranks) -> list[tuple[float, int]]:
        objective = language(batch_size=5, ranks=ranks)
        pairs = [objective.loss(model, batch) for batch in objective.batches(1)]
        return [(float(loss.detach()), tokens) for loss, tokens in pairs]

    alone, *shares = (losses(ranks) for ranks in (SINGLE_PROCESS, Ranks(0, 2), Ranks(1, 2)))
    for whole, one, two in zip(alone, *shares, strict=True):
        assert whole[0] == pytest.approx((one[0] + two[0]) / 2, rel=1e-5)
        assert whole[1] == one[1] == two[1]


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
        # Every token is an input once, and a target once unless it is the first of its column.
        assert np.array_equal(inputs.numpy(), columns[:, :-1])
        assert np.array_equal(targets.numpy(), columns[:, 1:])
        for given, wanted, resets, *_ in batches:
            assert given.shape == wanted.shape
            assert 1 <= given.shape[1] <= bptt
            assert resets.shape == (rows,)
        widths = [batch[0].shape[1] for batch in batches]
        assert set(widths[1:-1]) <= {bptt}
        assert 0 <= len(batches) - objective.steps_per_epoch <= 1


class Watched:
    """A stream that records which slices are read."""

    def __init__(self, numbers: Array) -> None:
        self.numbers, self.windows = numbers, list[tuple[int, int]]()

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, window: slice) -> Array:
        start, stop, _ = window.indices(len(self.numbers))
        self.windows.append((start, stop))
        return self.numbers[start:stop]


@pytest.mark.parametrize("ahead", [1, 29, 61, 10**6])
def test_windows_do_not_depend_on_the_read_ahead(
    ahead: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = [list(language().batches(epoch)) for epoch in (0, 1)]
    monkeypatch.setattr(text_columns, "_READ_AHEAD", 4 * ahead)
    stream = Watched(np.random.default_rng(9).integers(V, size=333))
    objective = language(stream)
    for epoch in (0, 1):
        stream.windows = []
        for found, given in zip(objective.batches(epoch), wanted[epoch], strict=True):
            assert all(torch.equal(a, b) for a, b in zip(found[:3], given[:3], strict=True))
            assert [part.dtype for part in found[:3]] == [part.dtype for part in given[:3]]
        # A read is as long as a window or as the read-ahead, never longer.
        assert all(b - a <= max(ahead, 8) for a, b in stream.windows)
        if 29 <= ahead < 83:
            assert len(stream.windows) < 4 * 83 / (ahead - 8) + 4


def test_a_device_holds_a_stream_that_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    device = Machine(torch.device("meta"), torch.float32)
    for held, reads in ((333, 4), (332, 4 * 12)):
        monkeypatch.setattr(text_columns, "_MAX_DEVICE_IDS", held)
        monkeypatch.setattr(text_columns, "_READ_AHEAD", 4)
        stream = Watched(np.arange(333))
        columns = text_columns.TextColumns(stream, 4, slice(0, 4), device)
        for _ in range(2):
            for start in range(0, 82, 7):
                assert columns.window(start, min(start + 8, 83)).shape[0] == 4
        assert len(stream.windows) == reads if held == 333 else len(stream.windows) > reads


def widths(objective: LanguageModelling, epoch: int) -> list[Any]:
    return [(b[0].shape[1], b[2].tolist()) for b in objective.batches(epoch)]


def test_seed_and_epoch_alone_decide_the_windows() -> None:
    one, two, other = language(), language(), language(seed=1)
    epochs = [widths(one, epoch) for epoch in range(5)]
    torch.manual_seed(123)
    np.random.seed(4)
    assert [widths(two, epoch) for epoch in (4, 2, 0)] == [epochs[4], epochs[2], epochs[0]]
    assert len({repr(epoch) for epoch in epochs}) > 2
    assert [widths(other, epoch) for epoch in range(5)] != epochs


def test_the_state_is_carried_from_window_to_window_without_its_gradient(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Loss and gradient of a window are those of a model that starts in the hidden state after all
    of the text before, detached."""
    monkeypatch.setattr(language_modelling, "_RESET_PROBABILITY", 0.0)
    objective, model = language(), random_model("lm")
    for _ in range(2):  # each epoch starts from the zero state
        read = 0
        for number, batch in enumerate(objective.batches(1)):
            model.zero_grad()
            loss, tokens = objective.loss(model, batch)
            loss.backward()
            inputs, targets, *_ = batch
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


@pytest.mark.parametrize("read_ahead", [1 << 18, 40])
def test_a_second_encoder_learns_the_same_text_from_its_end(
    read_ahead: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loss is the mean of both encoders' losses, each of whose states is carried along."""
    monkeypatch.setattr(language_modelling, "_RESET_PROBABILITY", 0.0)
    monkeypatch.setattr(text_columns, "_READ_AHEAD", read_ahead)
    stream = np.random.default_rng(9).integers(V, size=333)
    objective, model = language(stream, backward=True), random_model("lm", backward=True)
    columns = torch.from_numpy(stream[: 4 * 83].reshape(4, 83))
    reverse = columns.flip(1)
    read = 0
    for number, batch in enumerate(objective.batches(1)):
        loss, tokens = objective.loss(model, batch)
        steps = batch.inputs.shape[1]
        assert tokens == batch.inputs.numel()  # as of one encoder: of the text
        if number in (0, 2, 5):
            expected = []
            with torch.no_grad():
                for ids, hidden in ((columns, model.hidden), (reverse, model.hidden_backward)):
                    state = hidden(ids[:, :read])[1] if read else None
                    states, _ = hidden(ids[:, read : read + steps], state)
                    logits = states @ model.encoder.embedding.weight.t() + model.head.bias
                    targets = ids[:, read + 1 : read + steps + 1].t()
                    expected.append(
                        torch.nn.functional.cross_entropy(logits.reshape(-1, V), targets.flatten())
                    )
            assert float(loss.detach()) == pytest.approx(float(sum(expected)) / 2, rel=1e-5)
        read += steps
    assert read == 82


def test_the_metrics_are_those_of_the_encoder_that_answers() -> None:
    two, one = random_model("lm", backward=True), random_model("lm")
    one.load_state_dict(
        {name: two.state_dict()[name] for name in one.state_dict()}  # the rest is the second
    )
    valid = [np.arange(1, 9)]
    assert language(valid=valid, backward=True).evaluate(two) == language(valid=valid).evaluate(one)


def test_dropout_warms_up_over_the_first_epochs() -> None:
    """Epoch and position alone decide the share, so a resumed run has the same."""
    encoder = EncoderConfig("gru", V, E, H, 2, False)
    model = build_network(ModelConfig("lm", encoder, backward_encoder=True), 0.6).train()
    assert isinstance(model, LanguageModel)
    objective = language(dropout_warmup_epochs=3)
    shares = [[batch.dropout_scale for batch in objective.batches(epoch)] for epoch in range(4)]
    assert shares[0][0] == pytest.approx(1 / 3)
    assert shares[0] == sorted(set(shares[0]))
    assert shares[0][-1] < shares[1][0] == pytest.approx(2 / 3)
    assert set(shares[2] + shares[3]) == {1.0}
    assert [batch.dropout_scale for batch in objective.batches(0, 3)] == shares[0][3:]
    batch = next(objective.batches(0))
    objective.loss(model, batch)
    ones = torch.ones(1, 1, 100_000)
    assert model.backward_encoder is not None
    for encoder_of_model in (model.encoder, model.backward_encoder):
        dropped = [
            float((layer(ones) == 0).float().mean())
            for layer in (encoder_of_model.input_dropout, encoder_of_model.dropout)
        ]
        assert dropped == pytest.approx([0.1, 0.2], abs=0.01)
    assert {batch.dropout_scale for batch in language().batches(0)} == {1.0}


def test_some_columns_start_from_the_zero_state(monkeypatch: pytest.MonkeyPatch) -> None:
    objective, model = language(), random_model("lm")
    first, second, *_ = objective.batches(0)
    inputs, targets, *_ = second

    def loss_with(fresh: list[bool]) -> float:
        list(zip(objective.batches(0), range(1), strict=False))  # resets the state
        objective.loss(model, first._replace(resets=torch.zeros(4, dtype=torch.bool)))
        loss, _ = objective.loss(model, second._replace(resets=torch.tensor(fresh)))
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

    monkeypatch.setattr(language_modelling, "_RESET_PROBABILITY", 0.25)
    flags = [flag for epoch in range(20) for b in objective.batches(epoch) for flag in b.resets]
    assert np.mean(flags) == pytest.approx(0.25, abs=0.05)


def test_a_first_window_is_read_from_the_zero_state_in_any_case() -> None:
    objective, model = language(), random_model("lm")
    losses = []
    for fresh in (False, True):
        first = next(objective.batches(0))
        resets = torch.full((4,), fresh)
        losses.append(float(objective.loss(model, first._replace(resets=resets))[0].detach()))
    assert losses[0] == losses[1]


def lstm(*, backward: bool) -> Any:
    encoder = EncoderConfig("lstm", V, E, H, 2, False)
    config = ModelConfig("lm", encoder, backward_encoder=backward)
    return build_network(config, 0.0).train()


@pytest.mark.parametrize("backward", [False, True])
def test_a_run_continues_from_the_state_that_it_saved(backward: bool) -> None:
    """An LSTM's state has two parts, which are not to be confused, and so do two encoders."""
    torch.manual_seed(2)
    model, objective = lstm(backward=backward), language(backward=backward)
    assert set(objective.state()) == {"softmax"}
    windows = objective.batches(0)
    for _ in range(3):
        objective.loss(model, next(windows))
    saved = objective.state()
    assert {name: tuple(part.shape) for name, part in saved.items() if name != "softmax"} == {
        str(part): (2, 4, H) for part in range(4 if backward else 2)
    }
    wanted, _ = objective.loss(model, next(windows))
    # Drawn from, as by a sampled softmax.
    torch.rand(1, generator=objective.softmax.generator)
    resumed = language(backward=backward)
    torch.rand(1, generator=resumed.softmax.generator)
    resumed.restore(dict(reversed(saved.items())))
    batch = next(resumed.batches(0, 3))
    assert torch.equal(resumed.loss(model, batch)[0], wanted)
    assert torch.equal(resumed.softmax.generator.get_state(), saved["softmax"])
    # A run that was saved before its first step starts from the zero state.
    resumed.restore({"softmax": saved["softmax"]})
    assert set(resumed.state()) == {"softmax"}


def scores_one_by_one(model: LanguageModel, documents: Sequence[Array]) -> list[Array]:
    """Return the log-probabilities of each document's tokens, from the logits in float64."""
    result = []
    for document in documents:
        inputs = np.concatenate([[0], document[:-1]])
        with torch.no_grad():
            logits, _ = model(torch.from_numpy(inputs)[None])
        probabilities = softmax(logits[0].double().numpy())
        result.append(np.log(probabilities[np.arange(len(document)), document]))
    return result


@pytest.mark.parametrize("exact_rows", [1024, 8, 2])
def test_exact_evaluation(exact_rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(language_modelling, "_LOGIT_ROWS", exact_rows)
    model = random_model("lm")
    valid = [*DOCUMENTS, np.array([], np.int64)]
    objective = language(valid=valid, unk_id=5, valid_bytes=200)
    scores = np.concatenate(scores_one_by_one(model, DOCUMENTS))
    known = np.concatenate(DOCUMENTS) != 5
    found = objective.evaluate(model.train())
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


def test_metrics_of_a_tokenizer_without_unknown_words_that_loses_text() -> None:
    found = language(valid=DOCUMENTS).evaluate(random_model("lm"))
    assert found["perplexity_known"] == found["perplexity"]
    assert found["unknown_rate"] == 0
    assert found["bits_per_byte"] is None


def test_evaluation_does_not_change_the_state_that_training_carries() -> None:
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
    assert found["tokens"] == objective.answers("perplexity") == 15
    assert found["perplexity"] == pytest.approx(math.exp(-scores[:15].mean()), rel=1e-5)
    assert found["bits_per_byte"] is None
    monkeypatch.setattr(language_modelling, "_QUICK_TOKENS", 1000)
    assert language(valid=[document]).evaluate(model, quick=True)["tokens"] == 40


def test_a_quick_evaluation_reads_windows_with_some_context_before(
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


def test_a_sample_reads_a_part_of_the_validation_text(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(language_modelling, "_SAMPLE_TOKENS", 10)
    read = []
    monkeypatch.setattr(
        LanguageModelling, "_evaluate_pieces", lambda self, model, pieces: read.append(pieces)
    )
    share = language(valid=[DOCUMENTS[2]]).evaluate_sample(random_model("lm"))
    assert share == 10 / 40
    assert [len(piece.ids) - 1 for piece in read[0]] == [10]
    # The start of each document, so that as many are read at once as in the evaluation.
    monkeypatch.setattr(language_modelling, "_SAMPLE_TOKENS", 19)
    assert language(valid=DOCUMENTS).evaluate_sample(random_model("lm")) == 39 / 76
    assert [len(piece.ids) - 1 for piece in read[1]] == [9, 1, 10, 10, 9]
    monkeypatch.setattr(language_modelling, "_SAMPLE_TOKENS", 0.1)
    assert language(valid=DOCUMENTS).evaluate_sample(random_model("lm")) == 5 / 76
    monkeypatch.setattr(language_modelling, "_SAMPLE_TOKENS", 99)
    assert language(valid=DOCUMENTS).evaluate_sample(random_model("lm")) == 1


def test_a_quick_evaluation_of_many_documents_reads_its_share(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(language_modelling, "_QUICK_TOKENS", 15)
    objective = language(valid=[DOCUMENTS[0]] * 20)
    assert objective.evaluate(random_model("lm"), quick=True)["tokens"] == 15
    assert objective.quick_fraction == 15 / 180
    assert objective.steps_per_quick_evaluation == 15 / (4 * 7)
    everything = language(valid=[DOCUMENTS[1]])
    assert (everything.quick_fraction, everything.steps_per_quick_evaluation) == (1, 1 / (4 * 7))


@pytest.mark.parametrize("most_steps", [4096, 7])
def test_an_exported_model_has_the_same_metrics(
    most_steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the runtime reads a document in chunks, and a window has context before it."""
    monkeypatch.setattr(language_modelling, "_QUICK_WINDOW", 16)
    monkeypatch.setattr(language_modelling, "_QUICK_CONTEXT", 9)
    monkeypatch.setattr(runtime, "_MAX_STEPS", most_steps)
    model = random_model("lm")
    tokenizer = Tokenizer.train("char", ["abcdefghijk"], vocab_size=V)
    assert tokenizer.vocab_size == V
    exported = TrainedModel.from_session(model.config, tokenizer, Session(export(model), 1))
    objective = language(valid=DOCUMENTS, unk_id=5, valid_bytes=200)
    for quick in (False, True):
        wanted = objective.evaluate(model, quick=quick)
        found = objective.evaluate_runtime(exported, quick=quick)
        assert found["tokens"] == wanted["tokens"] == 76
        assert (found.pop("bits_per_byte") is None) == quick
        assert (wanted.pop("bits_per_byte") is None) == quick
        # The runtime reads the first token of the context after the end of a line.
        assert found == pytest.approx(wanted, rel=3e-3 if quick else 1e-5)


# Defaults

MB = 1_000_000


def recipe(characters: int, **given: Any) -> Recipe:
    return TASK.choose_recipe(TrainingOptions("lm", ("text",), **given), characters, 1)


@pytest.mark.parametrize(
    ("characters", "given", "preset"),
    [
        (400_000 - 1, {}, "tiny"), (400_000, {}, "small"), (50 * MB - 1, {}, "small"),
        (50 * MB, {}, "medium"), (50 * MB, {"minutes": 1.0}, "small"),
        (50 * MB, {"steps": 9}, "small"), (400_000 - 1, {"steps": 9}, "tiny"),
    ],
)  # fmt: skip
def test_the_size_follows_from_the_text_and_the_budget(
    characters: int, given: dict[str, Any], preset: str
) -> None:
    assert TASK.choose_preset(TrainingOptions("lm", ("text",), **given), characters) == preset


def test_the_sizes_of_each_preset() -> None:
    found = {name: recipe(5 * MB, preset=name) for name in ("tiny", "small", "medium", "large")}
    assert {name: (r.layers, r.hidden, r.embed) for name, r in found.items()} == {
        "tiny": (1, 160, 160),
        "small": (2, 256, 256),
        "medium": (2, 400, 400),
        "large": (2, 650, 650),
    }


def test_hyperparameters_of_texts_of_each_length() -> None:
    def chosen(characters: int) -> tuple[int, float, int]:
        found = recipe(characters)
        return found.batch_size, found.dropout, found.warmup

    assert chosen(400_000 - 1) == (16, 0.6, 30)
    assert chosen(400_000) == chosen(50 * MB - 1) == (32, 0.3, 150)
    assert chosen(50 * MB) == (64, 0.3, 150)
    whole = recipe(MB)
    assert (whole.cell, whole.bidirectional, whole.token_dropout) == ("lstm", False, 0)
    assert (whole.bptt, whole.max_length, whole.clip_norm) == (35, 0, 0.25)
    assert (whole.learning_rate, whole.embedding_lr_multiplier) == (2e-3, 4)


def test_a_dropout_that_was_asked_for_has_no_warm_up() -> None:
    assert recipe(MB).dropout_warmup_epochs == 4
    for dropout in (0.0, 0.3):
        found = recipe(MB, dropout=dropout)
        assert (found.dropout, found.dropout_warmup_epochs) == (dropout, 0)


def test_embeddings_are_as_wide_as_the_units_unless_they_were_given() -> None:
    for given, hidden, embed in (
        ({}, 256, 256), ({"hidden": 30}, 30, 30), ({"embed": 20}, 256, 20),
        ({"hidden": 30, "embed": 20}, 30, 20),
    ):  # fmt: skip
        found = recipe(MB, **given)
        assert (found.hidden, found.embed) == (hidden, embed)
