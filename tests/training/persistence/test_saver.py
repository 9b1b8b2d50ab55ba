"""What a run writes into its directory, and when."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import rnntext.training.persistence.saver as module
from rnntext import __version__, checkpoint
from rnntext.checkpoint_config import CheckpointConfig, DataSummary, DistillationRecord
from rnntext.config import EncoderConfig, ModelConfig
from rnntext.errors import CheckpointError
from rnntext.text.tokenizer import Tokenizer
from rnntext.training.engine.loop_state import LoopState, prefixed
from rnntext.training.events import EncodedFiles, Evaluated, Prepared, Saved, Step
from rnntext.training.execution_options import ExecutionOptions
from rnntext.training.options import TrainingOptions
from rnntext.training.persistence.resume import LOOP, TENSORS
from rnntext.training.persistence.saver import RunRecord, Saver
from rnntext.training.recipes import Recipe
from tests.training.models import random_model

TOKENIZER = Tokenizer.train("char", ["naïve café 你好 🙂"] * 3, vocab_size=20)
SUMMARY = DataSummary("texts", 1234, 567, 99_000, 12, "1" * 64, {"a": 4})
PREPARED = Prepared(
    summary=SUMMARY,
    encoded=EncodedFiles(1500, None, False),
    model=ModelConfig(
        "classify", EncoderConfig("gru", 4321, 4, 6, 2, True), ("a", "b", "c"), False, 9
    ),
    tokenizer="char",
    parameters=1_234_567,
    recipe=Recipe("gru", 2, 6, 4, True, 8, 0.01, 0.1, 0.0, 0, 9),
    steps_per_epoch=8,
    machine="cpu, float32",
    threads=3,
    processes=2,
)
RECORD = RunRecord(TrainingOptions("classify", ("x.csv",), lr=0.5), PREPARED, TOKENIZER, "2" * 64)
STEP = Step(20, 100, 1, 2.5, 0.01, 1.5, 1234.6, 3.456, 99.6, None)
EVALUATED = Evaluated(20, 1, 1.25, {"f1": 0.5, "per_label": {}}, True, 4.321)
SAVED = Saved(
    directory=Path("models/out"),
    task="classify",
    metrics={"f1": 0.123456, "count": 7, "bits": None, "per_label": {"a": {}}},
    steps=1200,
    best_step=1100,
    epochs=2.345,
    seconds=98.76,
    tokens_per_second=1234.6,
    parameters=1_234_567,
    reason="the steps are done",
    plans=((0, 9), (5, 1200)),
)


class Place:
    """The directory of the run. Notes what is saved in which way."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.saves: list[tuple[bool, str | None]] = []  # whether forced; noun of a last save
        self.error: CheckpointError | None = None
        self.while_saving = lambda: None

    def save(
        self,
        files: Mapping[str, bytes | Path],
        config: Mapping[str, Any],
        *,
        force: bool,
        noun: str | None = None,
    ) -> None:
        self.saves.append((force, noun))
        self.while_saving()
        if self.error is not None:
            raise self.error
        checkpoint.save(self.directory, files, config, force=True)

    save_or_keep = save

    @property
    def config(self) -> CheckpointConfig:
        return CheckpointConfig(self.directory, checkpoint.load_config(self.directory))

    def read(self, name: str) -> bytes:
        return checkpoint.read_file(self.directory, name)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "model")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The saver's clock, which is set by hand."""
    clock = SimpleNamespace(now=1000.0, perf_counter=lambda: clock.now)
    monkeypatch.setattr(module, "time", clock)
    return clock


@pytest.fixture
def exports(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The first weight of each model that was exported. No graph is built."""
    made: list[float] = []

    def export(model: Any) -> bytes:
        assert not model.training
        made.append(next(iter(model.parameters()))[0, 0].item())
        return b"graph"

    def verify(model: Any, graph: bytes) -> None:
        assert (model.training, graph) == (False, b"graph")
        made.append(-1.0)

    def other_graphs(config: Any, weights: Any, precision: str) -> dict[str, bytes]:
        return {checkpoint.GENERATION: precision.encode()}

    monkeypatch.setattr(module, "export", export)
    monkeypatch.setattr(module, "verify", verify)
    monkeypatch.setattr(module, "other_graphs", other_graphs)
    return made


def saver(place: Place, *, began: float = 990.0, resumed: Any = None, **execution: Any) -> Saver:
    model = random_model("classify").train()
    options = ExecutionOptions(**execution)
    return Saver(RECORD, model, place, options, began=began, resumed=resumed)  # type: ignore[arg-type]


def state(best: float | None = None, **values: Any) -> LoopState:
    """A state after step 20, whose best weights are all `best`."""
    tensors = {"model.a": torch.ones(2, 3)}
    if best is not None:
        weights = random_model("classify").state_dict()
        filled = {name: torch.full_like(tensor, best) for name, tensor in weights.items()}
        tensors |= prefixed("best.", filled)
    return LoopState(tensors, {"step": 20, **values})


# When


@pytest.mark.parametrize(
    ("save_every", "seconds", "due"),
    [
        (None, 59.9, False),
        (None, 60.0, True),
        (5.0, 4.9, False),
        (5.0, 5.0, True),
        (0.0, 0.0, True),
    ],
)
def test_a_save_is_due_after_the_interval(
    save_every: float | None, seconds: float, due: bool, place: Place, clock: SimpleNamespace
) -> None:
    saving = saver(place, save_every=save_every)
    clock.now += seconds
    assert saving.is_due() == due


@pytest.mark.parametrize(
    ("save_every", "took", "interval"),
    [(None, 2.0, 60.0), (None, 10.0, 200.0), (5.0, 10.0, 5.0)],
)
def test_slow_saves_are_rarer(
    save_every: float | None, took: float, interval: float, place: Place, clock: SimpleNamespace
) -> None:
    def wait() -> None:
        clock.now += took

    saving = saver(place, save_every=save_every)
    place.while_saving = wait
    clock.now += 500
    saving.save_state(state())
    clock.now += interval - 0.5
    assert not saving.is_due()
    clock.now += 0.5
    assert saving.is_due()


def test_a_save_that_failed_is_tried_again_after_the_interval(
    place: Place, clock: SimpleNamespace
) -> None:
    saving = saver(place)
    clock.now += 60
    saving.restart_timer()
    assert not saving.is_due()
    clock.now += 60
    assert saving.is_due()


# The state


def test_the_state_of_a_run(place: Place, clock: SimpleNamespace) -> None:
    saving = saver(place, began=1000.0)
    assert not saving.has_saved
    clock.now += 12.34375
    saving.save_state(state(losses=[1.5]))
    assert saving.has_saved
    assert place.saves == [(False, None)]
    assert json.loads(place.read(LOOP)) == {"step": 20, "losses": [1.5], "spent": 12.34375}
    assert place.read(checkpoint.TOKENIZER) == TOKENIZER.to_json().encode()
    config = place.config
    progress = config.progress
    assert (progress.steps, progress.epochs, progress.seconds) == (20, 2.5, 12.3)
    assert (progress.metrics, progress.best_step) == (None, None)
    assert (config.model, config.parameters, config.version) == (
        PREPARED.model,
        1_234_567,
        __version__,
    )
    assert (config.precision, config.quantization) == ("float32", None)
    assert (config.data.train, config.data.valid_digest) == (1234, "2" * 64)
    training = config.training
    assert (training.options, training.finished) == (RECORD.options.to_json(), False)
    assert (training.machine, training.threads, training.processes) == ("cpu, float32", 3, 2)
    assert not (place.directory / checkpoint.WEIGHTS).exists()
    saving.save_state(state(), last=True)
    assert place.saves[1:] == [(True, "state")]  # over its own state


def test_the_tensors_of_a_state(place: Place) -> None:
    from safetensors.torch import load

    saver(place, force=True).save_state(state())
    tensors = load(place.read(TENSORS))
    assert {name: tensor.tolist() for name, tensor in tensors.items()} == {
        "model.a": [[1.0] * 3] * 2
    }
    assert place.saves == [(True, None)]


def test_values_that_are_no_json_are_not_saved(place: Place) -> None:
    with pytest.raises(ValueError, match="JSON"):
        saver(place).save_state(state(losses=math.nan))
    assert place.saves == []


def test_a_save_that_fails_changes_nothing(place: Place, clock: SimpleNamespace) -> None:
    saving = saver(place)
    saving.trouble = "before"
    place.error = CheckpointError("full")
    clock.now += 60
    with pytest.raises(CheckpointError):
        saving.save_state(state())
    assert (saving.has_saved, saving.trouble, saving.is_due()) == (False, "before", True)
    place.error = None
    saving.save_state(state())
    assert (saving.has_saved, saving.trouble, saving.is_due()) == (True, None, False)


# The best model


def test_the_best_model_is_exported_once(place: Place, exports: list[float]) -> None:
    saving = saver(place)
    saving.log(EVALUATED)
    saving.save_state(state(best=0.5))
    assert exports == [0.5, -1.0]  # exported, then verified
    assert place.read(checkpoint.GRAPH) == b"graph"
    assert place.read(checkpoint.GENERATION) == b"float32"
    names = ["encoder.embedding.weight"]
    loaded = checkpoint.load_tensors(checkpoint.load(place.directory), names)
    assert (loaded[names[0]] == 0.5).all()
    progress = place.config.progress
    assert (progress.metrics, progress.best_step) == ({"f1": 0.5}, 20)
    # An evaluation that is worse leaves the model as it is: its files are kept.
    saving.log(replace(EVALUATED, step=30, best=False, metrics={"f1": 0.25}))
    saving.save_state(state(best=0.5))
    assert len(exports) == 2
    assert place.read(checkpoint.GRAPH) == b"graph"
    assert place.config.progress.best_step == 20
    # Somebody has removed the directory.
    shutil.rmtree(place.directory)
    saving.save_state(state(best=0.5))
    assert exports == [0.5, -1.0] * 2
    # A better one is exported anew.
    saving.log(replace(EVALUATED, step=40, metrics={"f1": 0.75}))
    saving.save_state(state(best=0.25))
    assert exports[4:] == [0.25, -1.0]
    assert place.config.progress.best_step == 40


def test_the_model_goes_on_as_it_is(place: Place, exports: list[float]) -> None:
    saving = saver(place)
    saving.log(EVALUATED)
    before = {name: tensor.clone() for name, tensor in saving._model.state_dict().items()}
    saving.save_state(state(best=0.5))
    assert saving._model.training
    after = saving._model.state_dict()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())


def test_a_resumed_run_goes_on_from_what_is_saved(place: Place, exports: list[float]) -> None:
    first = saver(place)
    first.log(EVALUATED)
    first.save_state(state(best=0.5))
    log = place.read(checkpoint.METRICS).decode()
    resumed = SimpleNamespace(log=log, best=({"f1": 0.5}, 20))
    second = saver(place, resumed=resumed)
    assert second.has_saved
    second.log(replace(STEP, step=30))
    second.save_state(state(best=0.5))
    assert place.saves == [(False, None), (True, None)]
    assert len(exports) == 2  # the model is that of the directory
    assert place.config.progress.metrics == {"f1": 0.5}
    lines = place.read(checkpoint.METRICS).decode().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [20, 30]


# The log


def logged(place: Place, *events: Step | Evaluated) -> list[dict[str, Any]]:
    saving = saver(place)
    for event in events:
        saving.log(event)
    lines = saving._tokenizer_and_log()[checkpoint.METRICS]
    assert isinstance(lines, bytes)
    return [json.loads(line) for line in lines.splitlines()]


def test_lines_of_the_log(place: Place) -> None:
    assert logged(place, STEP, EVALUATED, replace(EVALUATED, best=False)) == [
        {
            "event": "step", "step": 20, "epoch": 1, "loss": 2.5, "seconds": 3.46,
            "learning_rate": 0.01, "gradient_norm": 1.5, "tokens_per_second": 1235,
            "memory_mb": 100,
        },
        {
            "event": "evaluation", "step": 20, "epoch": 1, "loss": 1.25, "seconds": 4.32,
            "best": True, "f1": 0.5,
        },
        {
            "event": "evaluation", "step": 20, "epoch": 1, "loss": 1.25, "seconds": 4.32,
            "best": False, "f1": 0.5,
        },
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("steps", "kept"),
    [
        ([1, 9, 10, 11, 990, 1000], [10, 990, 1000]),
        ([1010, 1100, 9990, 10_000], [1100, 10_000]),
        ([10_100, 11_000, 99_900, 100_000], [11_000, 100_000]),
        ([101_000, 110_000], [110_000]),
    ],
)
def test_a_long_run_logs_fewer_of_its_steps(
    steps: list[int], kept: list[int], place: Place
) -> None:
    lines = logged(place, *(replace(STEP, step=step) for step in steps))
    assert [line["step"] for line in lines] == kept


def test_every_evaluation_is_logged(place: Place) -> None:
    steps = [7, 1011, 99_999]
    lines = logged(place, *(replace(EVALUATED, step=step) for step in steps))
    assert [line["step"] for line in lines] == steps


# The end


def test_the_finished_model(place: Place, exports: list[float]) -> None:
    saving = saver(place)
    saving.save_state(state())
    saving.save_model(SAVED, b"the graph", {"own": b"1"})
    assert place.saves[-1] == (True, "model")
    assert exports == []
    assert place.read(checkpoint.GRAPH) == b"the graph"
    assert place.read(checkpoint.GENERATION) == b"float32"
    assert place.read("own") == b"1"
    assert not (place.directory / TENSORS).exists()
    config = place.config
    assert (config.precision, config.training.finished) == ("float32", True)
    results = config.final_results
    assert (results.steps, results.best_step, results.epochs) == (1200, 1100, 2.345)
    assert (results.seconds, results.tokens_per_second) == (98.8, 1235)
    assert (results.reason, results.plans) == ("the steps are done", ((0, 9), (5, 1200)))
    assert (results.metrics["f1"], results.float32) == (0.123456, None)


def test_the_finished_model_in_int8(place: Place, exports: list[float]) -> None:
    saved = replace(SAVED, float_metrics={"f1": 0.5})
    saver(place).save_model(saved, b"int8", {}, temperature=1.25)
    assert place.saves == [(False, "model")]
    assert place.read(checkpoint.GENERATION) == b"int8"
    config = place.config
    assert config.precision == "int8"
    assert config.quantization is not None
    assert config.quantization.temperature == 1.25
    assert config.final_results.float32 == {"f1": 0.5}


def test_whether_the_finished_run_is_in_the_directory(place: Place, exports: list[float]) -> None:
    first, second = saver(place), saver(place)
    assert not first.is_finished()  # there is no directory
    first.save_model(SAVED, b"graph", {})
    assert first.is_finished()
    assert not second.is_finished()  # it has nothing to compare with
    second.save_model(replace(SAVED, steps=1300), b"graph", {})
    assert second.is_finished()
    assert not first.is_finished()


def test_the_model_card(place: Place, exports: list[float]) -> None:
    saver(place).save_model(SAVED, b"graph", {})
    assert (
        place.read(checkpoint.MODEL_CARD).decode()
        == f"""\
# out

A classifier trained with rnntext {__version__}.

- encoder: GRU, 2 layer(s) of 6, bidirectional, embeddings of 4
- parameters: 1,234,567
- tokenizer: char, 4,321 entries
- labels: `a`, `b`, `c`
- data: 1,234 texts for training, 567 for validation (12 of these also in training)
- fingerprint of the training data: sha256 {"1" * 64}
- run: 1,200 steps, 2.3 epochs, 99 s on cpu, float32; it ended because the steps are done

Trained with

    rnntext train classify -o models/out --lr 0.5 x.csv

On the validation data:

| metric | value |
| --- | --- |
| f1 | 0.1235 |
| count | 7 |
| bits | None |
"""
    )


def test_a_distilled_model_names_its_teacher(place: Place, exports: list[float]) -> None:
    saving = saver(place)
    for texts, more in ((2345, ", also on 2,345 unlabelled texts"), (0, "")):
        record = DistillationRecord("sage", "7" * 64, texts, 3, True)
        saving._record = replace(RECORD, prepared=replace(PREPARED, distilled=record))
        saving.save_model(SAVED, b"graph", {})
        assert f"\n- distilled from `sage`{more}\n" in place.read(checkpoint.MODEL_CARD).decode()
        config = json.loads(place.read(checkpoint.CONFIG))
        assert config["training"]["distilled"] == asdict(record)


def test_the_model_card_counts_near_duplicates_and_groups(
    place: Place, exports: list[float]
) -> None:
    saving = saver(place)
    summary = replace(SUMMARY, near_duplicates=3456, shared_groups=7890)
    saving._record = replace(RECORD, prepared=replace(PREPARED, summary=summary))
    saving.save_model(SAVED, b"graph", {})
    assert (
        "567 for validation (12 of these also in training, 3,456 more but for case, punctuation "
        "and white space; 7,890 of its groups also in training)\n"
        in place.read(checkpoint.MODEL_CARD).decode()
    )
    summary = replace(SUMMARY, unseen_labels=2, unseen_count=3456)
    saving._record = replace(RECORD, prepared=replace(PREPARED, summary=summary))
    saving.save_model(SAVED, b"graph", {})
    assert (
        "567 for validation (12 of these also in training; 3,456 labels that training lacks, which "
        "are errors)\n" in place.read(checkpoint.MODEL_CARD).decode()
    )


def test_the_card_of_a_model_without_labels_on_a_part_of_the_data(
    place: Place, exports: list[float]
) -> None:
    encoder = EncoderConfig("lstm", 4321, 4, 6, 2, False)
    prepared = replace(
        PREPARED,
        summary=replace(SUMMARY, cut_short=True),
        model=ModelConfig("lm", encoder, (), False, 0),
    )
    saving = saver(place)
    saving._record = replace(RECORD, prepared=prepared)
    saving.save_model(replace(SAVED, task="lm"), b"graph", {})
    lines = place.read(checkpoint.MODEL_CARD).decode().splitlines()
    assert lines[2].startswith("A language model trained with")
    assert lines[4] == "- encoder: LSTM, 2 layer(s) of 6, embeddings of 4"
    assert lines[7] == (
        "- data: 1,234 texts (the first of them: the time allowed for no more) for training, 567 "
        "for validation (12 of these also in training)"
    )
