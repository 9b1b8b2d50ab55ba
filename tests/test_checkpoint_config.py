"""The dataclasses of `config.json`: their JSON, older files, and files with a damaged field."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rnntext import checkpoint
from rnntext.checkpoint_config import (
    CheckpointConfig,
    DataRecord,
    DistillationRecord,
    Progress,
    Quantization,
    Results,
    TrainingRecord,
    config_to_json,
)
from rnntext.cli.info import describe
from rnntext.config import EncoderConfig, ModelConfig
from rnntext.errors import CheckpointError, RnntextError
from rnntext.graphs.stored import stored_model
from rnntext.plotting.curves import read_runs
from rnntext.runtime.evaluate import recorded_reading
from rnntext.runtime.model import open_model
from rnntext.text.tokenizer import Tokenizer
from rnntext.training.networks.build import build_network
from rnntext.training.onnx import from_checkpoint
from rnntext.training.onnx.from_network import numpy_weights
from rnntext.training.options import TrainingOptions
from rnntext.training.persistence.pretrained import PretrainedEncoder
from rnntext.training.persistence.repeat import repeated_options
from rnntext.training.persistence.resume import LOOP, TENSORS, find_saved_run
from rnntext.training.recipes import Recipe

TOKENIZER = Tokenizer.train("char", ["naïve café 你好 🙂"] * 3, vocab_size=20)
ENCODER = EncoderConfig("gru", TOKENIZER.vocab_size, 4, 6, 1, False)
SCORES = {"precision": 0.5, "recall": 0.25, "f1": 0.375, "support": 7}
NUMBERS = {"accuracy": 0.75, "f1": 0.5, "majority": None}
METRICS = {**NUMBERS, "per_label": {"a": SCORES}}
STEP = {"event": "step", "step": 10, "epoch": 0, "loss": 2.5, "seconds": 1.5}


def config_of(task: str, *, finished: bool) -> dict[str, Any]:
    labels = ("a", "b") if task == "classify" else ()
    options = TrainingOptions(
        task,
        ("x.csv",),
        format="csv",
        text_column="body",
        encoding="latin-1",
        lowercase=True,
        lr=0.01,
        minutes=2.0,
        quantize=True,
        threads=2,
        part=(9, 8, 7),
        plans=((0, 9), (5, 12)),
    )
    results = Results(
        metrics=METRICS,
        float32={"f1": 0.25, "per_label": {"a": SCORES}},
        steps=20,
        best_step=10,
        epochs=2.5,
        seconds=3.5,
        tokens_per_second=100,
        reason="the steps are done",
        plans=((0, 9), (5, 12)),
    )
    recipe = Recipe("gru", 1, 6, 4, False, 8, 0.01, 0.1, 0.0, 35, 9)
    return config_to_json(
        version="0.1.0",
        model=ModelConfig(task, ENCODER, labels, False, 400 if labels else 0),
        parameters=123,
        quantization=Quantization(("v.csv",), 1.5, METRICS, {"f1": 0.25}),
        tokenizer=TOKENIZER.config,
        data=DataRecord(
            *("lines", 8, 2, 99, 0, "ab", {"a": 4, "b": 4}, 10, True, 0, False, 7, 6),
            *(5, "new", 44, 33, 36, 3, "ef", True, False, 0.25, "cd"),
        ),
        training=TrainingRecord(
            options=options.to_json(),
            recipe=recipe.to_json(),
            machine="cpu",
            threads=2,
            processes=1,
            torch_version="2.6",
            finished=finished,
            distilled=DistillationRecord("sage", "d" * 64, 30),
        ),
        results=results if finished else Progress(20, 2.5, 3.5, METRICS, 10),
    )


def save(directory: Path, config: dict[str, Any]) -> Path:
    weights = numpy_weights(build_network(CheckpointConfig(Path(), config).model))
    state = {"a": np.zeros(2, np.float32)}
    files: dict[str, bytes | Path] = {
        checkpoint.TOKENIZER: TOKENIZER.to_json().encode(),
        checkpoint.WEIGHTS: checkpoint.serialize_tensors(weights),
        checkpoint.GRAPH: b"a graph",
        checkpoint.METRICS: (json.dumps(STEP) + "\n").encode(),
        TENSORS: checkpoint.serialize_tensors(state),
        LOOP: json.dumps({"spent": 2.5}).encode(),
    }
    checkpoint.save(directory, files, config, force=False)
    return directory


def test_the_keys_and_their_order(tmp_path: Path) -> None:
    finished, unfinished = (config_of("classify", finished=value) for value in (True, False))
    assert list(finished) == [
        "rnntext_version",
        "model",
        "parameters",
        "precision",
        "quantization",
        "tokenizer",
        "data",
        "training",
        "results",
    ]
    assert list(finished["data"]) == [
        *("unit", "train", "valid", "characters", "duplicates", "fingerprint", "labels", "read"),
        *("cut_short", "sampled", "sample_cut", "near_duplicates", "shared_groups"),
        *("unseen_labels", "unseen_label", "unseen_count", "unlabelled", "unlabelled_read"),
        *("unlabelled_left_out", "unlabelled_fingerprint", "unlabelled_cut", "lacks_spaces"),
        *("unknown_rate", "valid_digest"),
    ]
    assert list(finished["training"]) == [
        *("options", "recipe", "machine", "threads", "processes", "torch_version", "finished"),
        "distilled",
    ]
    assert list(finished["results"]) == [
        *("metrics", "float32", "steps", "best_step", "epochs", "seconds", "tokens_per_second"),
        *("reason", "plans", "preparation_seconds", "training_seconds", "evaluation_seconds"),
        "halves",
    ]
    assert list(unfinished["results"]) == ["steps", "epochs", "seconds", "metrics", "best_step"]
    assert list(finished["quantization"]) == ["valid", "temperature", "metrics", "before"]
    assert Quantization(temperature=1.0).to_json() == {"temperature": 1.0}
    assert Quantization(("v",), None, {}, {}).to_json() == {
        "valid": ["v"],
        "temperature": None,
        "metrics": {},
        "before": {},
    }
    assert finished["results"]["metrics"] == unfinished["results"]["metrics"] == NUMBERS
    assert finished["quantization"]["metrics"] == NUMBERS
    assert Progress(3, 0.5, 1.0).to_json() == {"steps": 3, "epochs": 0.5, "seconds": 1.0}


def test_tables_are_kept_beside_the_config() -> None:
    results = Results(
        metrics={**METRICS, "labels": ["a", "\ud800"]},
        float32={"f1": 0.25, "per_label": {"a": SCORES}},
        steps=20,
        best_step=10,
        epochs=2.5,
        seconds=3.5,
        tokens_per_second=100,
    )
    content = {**config_of("classify", finished=True), "results": results.to_json()}
    ((name, raw),) = results.evaluation_file().items()
    assert name == checkpoint.EVALUATION
    config = CheckpointConfig(Path("config.json"), content)
    again = config.results_with_tables(raw)
    assert again == results
    assert list(again.metrics) == list(results.metrics)
    assert config.results_with_tables(None).metrics == NUMBERS
    with pytest.raises(CheckpointError, match=r"config.json is damaged \(evaluation.json"):
        config.results_with_tables(b"[]")
    numbers = replace(results, metrics=NUMBERS, float32=None)
    assert numbers.evaluation_file() == {}


def test_older_versions_kept_the_tables_in_the_config() -> None:
    content = config_of("classify", finished=True)
    content["results"]["metrics"] = {**METRICS, "confusion": [[7]]}
    config = CheckpointConfig(Path("config.json"), content)
    assert config.results_with_tables(None).metrics == {**METRICS, "confusion": [[7]]}


@pytest.mark.parametrize("finished", [True, False])
def test_a_config_through_json(finished: bool) -> None:
    value = json.loads(json.dumps(config_of("classify", finished=finished)))
    config = CheckpointConfig(Path("config.json"), value)
    again = config_to_json(
        version=config.version,
        model=config.model,
        parameters=config.parameters,
        quantization=config.quantization,
        tokenizer=config.tokenizer,
        data=config.data,
        training=config.training,
        results=config.results,
    )
    assert json.dumps(again) == json.dumps(value)


def test_fields_that_older_versions_did_not_write() -> None:
    value = config_of("lm", finished=True)
    for section, name in (
        ("training", "finished"),
        ("training", "processes"),
        ("results", "float32"),
        ("results", "plans"),
        ("results", "preparation_seconds"),
        ("results", "training_seconds"),
        ("results", "evaluation_seconds"),
        ("results", "halves"),
        ("data", "sample_cut"),
        ("data", "near_duplicates"),
        ("data", "shared_groups"),
        ("data", "unseen_labels"),
        ("data", "unseen_label"),
        ("data", "unseen_count"),
        ("data", "unlabelled"),
        ("data", "unlabelled_read"),
        ("data", "unlabelled_left_out"),
        ("data", "unlabelled_fingerprint"),
        ("data", "unlabelled_cut"),
        ("training", "distilled"),
        ("results", "reason"),
        ("data", "read"),
        ("data", "valid_digest"),
    ):
        del value[section][name]
    del value["quantization"]
    value["data"]["invented"] = 3
    config = CheckpointConfig(Path("config.json"), value)
    assert config.training.finished
    assert config.training.processes == 1
    assert config.quantization is None
    assert isinstance(config.results, Results)
    assert (config.results.float32, config.results.plans) == (None, ())
    assert (config.data.read, config.data.valid_digest) == (0, "")
    assert (config.data.near_duplicates, config.data.shared_groups) == (0, None)
    assert (config.data.unseen_labels, config.data.unseen_label) == (0, "")
    assert config.data.unseen_count == 0
    assert (config.data.unlabelled, config.data.unlabelled_part) == (0, None)
    assert config.training.distilled is None


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        ("training.threads", "two", 'training.threads must be an integer, not "two"'),
        ("training.threads", None, "training.threads must be an integer, not null"),
        ("training", 3, "training must be an object, not 3"),
        ("results.plans", [[1]], "results.plans[0] must be a list of 2, not [1]"),
        ("results.metrics.f1", "x", 'results.metrics.f1 must be a number, not "x"'),
        (
            "results.float32.per_label",
            {"a": {}},
            "results.float32.per_label.a.precision is missing",
        ),
        ("quantization.metrics", [], "quantization.metrics must be an object, not []"),
        ("data.labels.a", 1.5, "data.labels.a must be an integer, not 1.5"),
        ("data.train", -1, "data.train must be a whole number from 0 to 1,099,511,627,776, not -1"),
        ("precision", "int4", "precision must be one of float32, int8"),
        ("tokenizer.more", 1, "tokenizer.more is unknown"),
    ],
)
def test_messages_name_the_file_and_the_field(path: str, value: object, reason: str) -> None:
    content = config_of("classify", finished=True)
    replace_at(content, path.split("."), value)
    config = CheckpointConfig(Path("m/config.json"), content)
    with pytest.raises(CheckpointError) as caught:
        read_all(config)
    message = f"m/config.json is damaged ({reason}): restore it or train it again"
    assert str(caught.value) == message


def read_all(config: CheckpointConfig) -> list[object]:
    return [
        *(config.task, config.version, config.model, config.parameters, config.precision),
        *(config.quantization, config.tokenizer, config.data, config.training, config.results),
    ]


def test_a_model_without_a_sound_description_names_the_file() -> None:
    config = CheckpointConfig(Path("m/config.json"), {"model": {"task": "lm"}})
    assert config.task == "lm"
    with pytest.raises(CheckpointError, match=r"^m/config.json does not describe a model: encoder"):
        _ = config.model


# Damaged files


def read_saved_run(directory: Path) -> None:
    saved = find_saved_run(directory)
    assert saved is not None
    saved.merge_options(TrainingOptions(saved.options.task, ()))
    if saved.finished:
        saved.result()
        return
    data = saved.config.data
    saved.require_same(data, data.valid_digest, saved.config.training.distilled)
    saved.describe_changes("cpu", 2, 1)
    assert saved.state()[1] == 2.5
    _ = (saved.recipe, saved.model, saved.tokenizer, saved.best, saved.log)


def convert_graph(directory: Path) -> None:
    found = checkpoint.load(directory)
    from_checkpoint.one_file(stored_model(found), "int8")
    from_checkpoint.graph_of(found, "int8")
    from_checkpoint.replace_graph(found, b"", "int8", Quantization(temperature=1.0))


READERS: dict[str, Callable[[Path], object]] = {
    "open": lambda directory: open_model(directory, when_needed=True),
    "info": describe,
    "evaluate": lambda directory: recorded_reading(
        CheckpointConfig.of(checkpoint.load(directory)), ["x"]
    ),
    "plot": lambda directory: read_runs([directory]),
    "resume": read_saved_run,
    "repeat": lambda directory: repeated_options(directory / checkpoint.CONFIG),
    "init": lambda directory: PretrainedEncoder.load(
        directory, TrainingOptions("classify", ("x",), init="m")
    ),
    "export": convert_graph,
}
# The readers that treat an unfinished run in another way.
DIFFERS_IF_UNFINISHED = ("info", "resume", "repeat")
VALUES = (None, True, 2.5, "x", [], {})
MISSING = object()


def paths_of(value: object, above: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The paths of all values inside a JSON value."""
    items: Any = value.items() if isinstance(value, dict) else ()
    for key, item in enumerate(value) if isinstance(value, list) else items:
        yield (*above, key)
        yield from paths_of(item, (*above, key))


def replace_at(value: Any, path: Any, new: object) -> None:
    for key in path[:-1]:
        value = value[key]
    if new is MISSING:
        del value[path[-1]]
    else:
        value[path[-1]] = new


def is_unchecked(path: tuple[str | int, ...]) -> bool:
    """Return True for what no reader relies on: some metrics, and the recipe of a finished run."""
    top, name, *rest = path
    return (
        (top == "training" and name == "recipe")
        or (top == "results" and name in ("metrics", "float32") and rest[:1] == ["majority"])
        or (top == "quantization" and name == "metrics" and rest[:1] == ["majority"])
        or (top == "quantization" and name == "before" and bool(rest))
    )


@pytest.fixture(params=[("classify", True), ("lm", False)], ids=["finished", "unfinished"])
def saved(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Path, dict[str, Any]]:
    """A checkpoint and the content of its `config.json`. Converting its graph only reads it."""
    task, finished = request.param
    config = config_of(task, finished=finished)
    config["results"]["metrics"] = METRICS  # with a table, as older versions wrote them
    directory = save(tmp_path / "m", config)
    monkeypatch.setattr(from_checkpoint, "build", lambda *_: b"")
    monkeypatch.setattr(from_checkpoint, "other_graphs", lambda *_: {})
    monkeypatch.setattr(checkpoint, "save", lambda *_, **__: None)
    return directory, json.loads((directory / checkpoint.CONFIG).read_bytes())


def test_a_sound_config_is_read(saved: tuple[Path, dict[str, Any]]) -> None:
    directory, config = saved
    for name, reader in READERS.items():
        if name != "export" or config["training"]["finished"]:
            reader(directory)


def test_a_damaged_field_gives_one_line(saved: tuple[Path, dict[str, Any]]) -> None:
    directory, good = saved
    for path in list(paths_of(good)):
        is_sampled = path[0] != "files" or path[1:2] == (checkpoint.TOKENIZER,)
        for new in (MISSING, *VALUES) if is_sampled else (MISSING,):
            config = copy.deepcopy(good)
            replace_at(config, path, new)
            if config == good and json.dumps(config) == json.dumps(good):
                continue
            (directory / checkpoint.CONFIG).write_text(json.dumps(config), "utf-8")
            messages = []
            for name, reader in READERS.items():
                if name not in DIFFERS_IF_UNFINISHED and not good["training"]["finished"]:
                    continue
                try:
                    reader(directory)
                except RnntextError as error:
                    messages.append(str(error))
                except Exception as error:
                    raise AssertionError(f"{path} = {new!r}: {error!r}") from error
            assert all(message.count("\n") == 0 for message in messages)
            if isinstance(new, list | dict) and not isinstance(at(good, path), list | dict):
                assert messages or is_unchecked(path), (path, new)


def at(value: Any, path: tuple[str | int, ...]) -> Any:
    for key in path:
        value = value[key]
    return value
