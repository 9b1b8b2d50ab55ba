"""The configuration of a model: which values are valid, and JSON and back."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rnntext.config import EncoderConfig, ModelConfig, listed, usable_cores
from rnntext.errors import CheckpointError, UsageError

ENCODER = EncoderConfig("lstm", 11, 4, 6, 2, True)
MODELS = [
    ModelConfig("lm", EncoderConfig("gru", 11, 4, 6, 2, False)),
    ModelConfig("classify", ENCODER, ("naïve", "café", "你好", "🙂"), True, 400),
    ModelConfig("tag", EncoderConfig("rnn", 5, 4, 3, 1, True), ("O", "B-x"), False, 512),
    ModelConfig("lm", EncoderConfig("gru", 11, 4, 6, 2, False), backward_encoder=True),
]


@pytest.mark.parametrize("config", MODELS)
def test_a_configuration_survives_json(config: ModelConfig) -> None:
    again = ModelConfig.from_json(json.loads(json.dumps(config.to_json())))
    assert again == config
    assert hash(again) == hash(config)


def test_a_field_that_older_versions_do_not_know_is_written_where_it_is_needed() -> None:
    written = ["backward_encoder" in config.to_json() for config in MODELS]
    assert written == [False, False, False, True]


def test_sizes() -> None:
    assert (ENCODER.directions, ENCODER.output_size, ENCODER.state_parts) == (2, 12, 2)
    one = EncoderConfig("gru", 11, 4, 6, 2, False)
    assert (one.directions, one.output_size, one.state_parts) == (1, 6, 1)
    assert EncoderConfig("rnn", 11, 4, 6, 2, False).state_parts == 1


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"cell": "lsmt"}, "--cell is one of rnn, gru, lstm, not 'lsmt'"),
        ({"vocab_size": 0}, "--vocab-size must be at least 1, not 0"),
        ({"embed_size": -1}, "--embed must be at least 1, not -1"),
        ({"hidden_size": 0}, "--hidden must be at least 1, not 0"),
        ({"num_layers": 0}, "--layers must be at least 1, not 0"),
    ],
)
def test_an_invalid_encoder_is_refused(change: dict[str, Any], named: str) -> None:
    good = MODELS[1].to_json()
    with pytest.raises(UsageError) as caught:
        EncoderConfig(**{**good["encoder"], **change})
    assert str(caught.value) == named
    with pytest.raises(CheckpointError, match=r"^config\.json does not describe a model: "):
        ModelConfig.from_json({**good, "encoder": {**good["encoder"], **change}})


@pytest.mark.parametrize(
    "change",
    [
        {"task": "speak"},
        {"labels": []},
        {"labels": None},
        {"encoder": None},
        {"encoder": {}},
        {"encoder": {**MODELS[1].to_json()["encoder"], "more": 1}},
        {"encoder": {**MODELS[1].to_json()["encoder"], "hidden_size": "6"}},
        {"encoder": {**MODELS[1].to_json()["encoder"], "hidden_size": 6.5}},
        {"encoder": {**MODELS[1].to_json()["encoder"], "bidirectional": 1}},
        {"labels": "ab"},
        {"labels": ["a", 3]},
        {"multi_label": None},
        {"max_length": True},
        {"backward_encoder": True},  # only a language model has one
        {"more": 1},
    ],
)
def test_json_that_describes_no_model_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(CheckpointError, match=r"^config\.json does not describe a model: "):
        ModelConfig.from_json({**MODELS[1].to_json(), **change})


@pytest.mark.parametrize("missing", ["task", "encoder", "labels"])
def test_json_without_a_required_part_is_refused(missing: str) -> None:
    value = MODELS[1].to_json()
    del value[missing]
    with pytest.raises(CheckpointError, match=missing):
        ModelConfig.from_json(value)


@pytest.mark.parametrize("task", ["lm", "classify", "tag"])
def test_classifiers_and_taggers_alone_have_labels(task: str) -> None:
    with pytest.raises(UsageError, match="a language model has none"):
        ModelConfig(task, ENCODER, ("a",) if task == "lm" else (), max_length=9)


def test_few_names_are_listed_and_many_are_counted() -> None:
    assert listed([]) == ""
    assert listed(["a", "b", "c"], 3) == "a, b, c"
    assert listed(["a", "b", "c"], 2) == "a, b and 1 more"
    assert listed(["x"] * 2345).endswith(", x and 2,325 more")


def test_usable_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    assert usable_cores() >= 1
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 3, 5}, raising=False)
    assert usable_cores() == 3
    monkeypatch.delattr("os.sched_getaffinity")
    monkeypatch.setattr("os.cpu_count", lambda: None)
    assert usable_cores() == 1
