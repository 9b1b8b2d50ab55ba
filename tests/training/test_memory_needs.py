"""Models and batches that are too large for the memory are refused, with the option to change."""

from __future__ import annotations

from pathlib import Path

import pytest

from rnntext.errors import TrainingError
from rnntext.training.engine import memory
from rnntext.training.events import Prepared
from rnntext.training.options import TrainingOptions
from rnntext.training.run import dry_run
from tests.conftest import CORPORA

LM, TAGGED = str(CORPORA / "stories.txt"), str(CORPORA / "tagged.conllu")
GIGABYTE = 10**9


@pytest.fixture(autouse=True)
def without_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def set_free(monkeypatch: pytest.MonkeyPatch, size: float) -> None:
    monkeypatch.setattr(memory, "free_memory", lambda _: size)


@pytest.mark.parametrize(
    ("size", "advice"),
    [
        ({"hidden": 3000, "embed": 8}, "make --hidden or --layers smaller"),
        ({"hidden": 8, "embed": 60_000}, "make --vocab-size or --embed smaller"),
    ],
)
def test_a_model_too_large_for_the_memory(
    size: dict[str, int], advice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_free(monkeypatch, GIGABYTE / 10)
    options = TrainingOptions("tag", (TAGGED,), preset="tiny", threads=1, **size)  # type: ignore[arg-type]
    with pytest.raises(TrainingError, match=rf"parameters needs .* GB are free here: {advice}$"):
        next(dry_run(options))


@pytest.mark.parametrize(("free", "fits"), [(0.99, False), (1.01, True)])
def test_saving_needs_twelve_copies_of_the_weights(
    free: float, fits: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = TrainingOptions("lm", (LM,), preset="tiny", threads=1, batch_size=1, bptt=1)
    prepared = next(dry_run(options))
    assert isinstance(prepared, Prepared)
    assert prepared.recipe.ema_decay == 0
    # The weights, two moments and the best weights, each also twice as bytes of a file.
    set_free(monkeypatch, free * 12 * 4 * prepared.parameters)
    if fits:
        next(dry_run(options))
        return
    with pytest.raises(TrainingError, match="are free here"):
        next(dry_run(options))


def test_a_model_too_large_for_its_file(monkeypatch: pytest.MonkeyPatch) -> None:
    set_free(monkeypatch, 1e6 * GIGABYTE)
    options = TrainingOptions("lm", (LM,), preset="tiny", threads=1, hidden=60_000, embed=8)
    message = r"does not fit into an ONNX file, .* 500,000,000: make --hidden or --layers smaller$"
    with pytest.raises(TrainingError, match=message):
        next(dry_run(options))


@pytest.mark.parametrize(
    ("task", "data", "advice"),
    [
        ("lm", LM, "make --batch-size or --bptt smaller, or the model"),
        ("tag", TAGGED, "make --batch-size smaller, or the model"),
    ],
)
def test_a_batch_too_large_for_the_memory(
    task: str, data: str, advice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model fits; a batch of all the text does not."""
    size = {"layers": 1, "hidden": 40, "embed": 10, "cell": "lstm", "tokenizer": "char"}
    options = TrainingOptions(task, (data,), preset="tiny", threads=1, **size)  # type: ignore[arg-type]
    set_free(monkeypatch, 2.5e6)
    next(dry_run(options))
    message = rf"^a batch of [\d,]+ tokens needs .* GB are free here: {advice}$"
    with pytest.raises(TrainingError, match=message):
        next(dry_run(options.merged({"batch_size": 1_000_000})))


def test_an_allocation_that_fails_while_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is certain to fit may still not fit with all else."""

    def fail(*_: object) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate")

    monkeypatch.setattr("rnntext.training.tasks.tagger.Tagging.loss", fail)
    events = dry_run(TrainingOptions("tag", (TAGGED,), preset="tiny", threads=1))
    assert isinstance(next(events), Prepared)
    with pytest.raises(TrainingError, match=r"not enough memory .*: make --batch-size smaller"):
        next(events)
