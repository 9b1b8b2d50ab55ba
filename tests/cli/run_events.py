"""Events of a run that is not made, for tests of what `train` does with them."""

from __future__ import annotations

from pathlib import Path

from rnntext.checkpoint_config import DataSummary
from rnntext.config import EncoderConfig, ModelConfig
from rnntext.training.events import (
    EncodedFiles,
    Finished,
    Prepared,
    Ready,
    Saved,
    Step,
    StepTimed,
    Stopped,
)
from rnntext.training.options import TrainingOptions
from rnntext.training.recipes import Recipe

OPTIONS = TrainingOptions("tag", ("a.conllu",))
PREPARED = Prepared(
    summary=DataSummary("sentences", 123, 45, 6789, 2, "1" * 64, {"N": 70, "V": 53}),
    encoded=EncodedFiles(1500, None, False),
    model=ModelConfig("tag", EncoderConfig("gru", 432, 8, 24, 2, False), ("N", "V"), False, 9),
    tokenizer="word",
    parameters=98_765,
    recipe=Recipe("gru", 2, 24, 8, False, 8, 0.01, 0.1, 0.0, 0, 9),
    steps_per_epoch=10,
    machine="cpu, float32",
    threads=3,
    processes=1,
)
READY = Ready()
STEP = Step(20, 1500, 1, 2.3456, 0.01, 1.0, 12_345.6, 3.0, 99.0, 3725.4)
FINISHED = Finished(30, 3.0, 999, 8.0, 0.5, "it is done", 20, (), False)
STOPPED = Stopped(Path("out"), 17)
RATES = {"precision": 0.5, "recall": 0.25, "f1": 1 / 3, "support": 4}
SAVED = Saved(
    directory=Path("out"),
    task="tag",
    metrics={"accuracy": 2 / 3, "bits": None, "per_label": {"[N]": RATES}},
    steps=30,
    best_step=20,
    epochs=2.5,
    seconds=9.5,
    tokens_per_second=99.0,
    parameters=98_765,
    reason="it is done",
    preparation_seconds=1.5,
    training_seconds=6.5,
    evaluation_seconds=0.5,
)
TIMED = StepTimed(0.25, 2.5)
