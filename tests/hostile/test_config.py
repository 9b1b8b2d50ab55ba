"""Every field of a stranger's `config.json` with every other type, and values out of all range."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.hostile.directories import change_config, write_model
from tests.hostile.running import answered, described, opened, refused

VALUES: list[Any] = [
    None,
    True,
    -1,
    0,
    1e999,
    float("nan"),
    10**30,
    "",
    "\x1b[2J\r\n\ttext",
    [],
    [[]],
    {},
    {"\x1b]0;x\x07": 1},
]


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where each value of a JSON document stands."""
    if path:
        yield path
    if isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(item, (*path, key))


def put(content: Any, path: tuple[Any, ...], value: Any) -> None:
    for key in path[:-1]:
        content = content[key]
    content[path[-1]] = value


# Sections that running a model reads; the others are only described.
RUNNING = ("format_version", "files", "model", "precision", "tokenizer")


@pytest.mark.parametrize("task", ["lm", "classify", "tag"])
def test_every_field_with_every_other_type(task: str, tmp_path: Path) -> None:
    model = write_model(tmp_path / "model", task, precision="int8")
    path = model / "config.json"
    whole = path.read_text("utf-8")
    messages = []
    for place in places(json.loads(whole)):
        running = place[0] in RUNNING
        if not running and task != "classify":
            continue
        for value in VALUES:
            content = json.loads(whole)
            put(content, place, value)
            path.write_text(json.dumps(content), "utf-8")
            messages.append((opened if running else described)(model))
    assert sum(message is not None for message in messages) > 200


@pytest.mark.parametrize("name", ["vocab_size", "embed_size", "hidden_size", "num_layers"])
@pytest.mark.parametrize("value", [1 << 40, 10**400])
def test_sizes_that_no_model_has(name: str, value: int, tmp_path: Path) -> None:
    model = write_model(tmp_path / "model")
    change_config(model, lambda config: config["model"]["encoder"].update({name: value}))
    assert "does not describe a model" in refused(model)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("fuzz") / "model", "tag")


@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_field_with_any_value(data: st.DataObject, model: Path) -> None:
    path = model / "config.json"
    whole = path.read_text("utf-8")
    content = json.loads(whole)
    put(content, data.draw(st.sampled_from(list(places(content)))), data.draw(JSON))
    try:
        path.write_text(json.dumps(content), "utf-8")
        answered(model)
    finally:
        path.write_text(whole, "utf-8")
