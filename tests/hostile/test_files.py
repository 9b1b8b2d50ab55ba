"""Pipes, devices, folders and huge files in place of a model's files, and headers of safetensors
that lie."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rnntext.ngrams import read_tensors
from tests.hostile.directories import change_config, copied, forge, write_model
from tests.hostile.running import answered, command, described, refused

FILES = ("config.json", "tokenizer.json", "model.onnx", "generation.onnx", "model.safetensors")
# No running model reads these, and they may be what they like.
RECORDS = ("metrics.jsonl", "README.md")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("hostile") / "model", "lm")


@pytest.fixture
def forged(model: Path, tmp_path: Path) -> Path:
    return copied(model, tmp_path / "forged")


@pytest.mark.parametrize("name", [*FILES, *RECORDS])
@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "link to itself"])
def test_what_is_no_file_is_refused_at_once(name: str, kind: str, forged: Path) -> None:
    path = forged / name
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to(name)
    message = described(forged)
    if name in RECORDS:
        assert message is None
        assert answered(forged) is None
    else:
        assert message is not None
        assert name in message
        assert name in refused(forged)


@pytest.mark.parametrize("name", FILES)
def test_a_link_to_a_file_is_followed(name: str, forged: Path) -> None:
    (forged / name).rename(forged.parent / name)
    (forged / name).symlink_to(forged.parent / name)
    assert answered(forged) is None


@pytest.mark.parametrize("name", FILES)
def test_a_sparse_file_of_a_terabyte_is_not_read(name: str, forged: Path) -> None:
    size = 1 << 40
    os.truncate(forged / name, size)
    if name != "config.json":
        change_config(forged, lambda config: config["files"][name].update(size=size))
    message = described(forged)
    assert message is not None
    assert f"{name} is damaged ({size} bytes are more" in message


@pytest.mark.parametrize("arguments", [("info",), ("generate", "x", "-n", 3, "-m")])
def test_a_command_with_little_memory(arguments: tuple[object, ...], forged: Path) -> None:
    path = forged / "tokenizer.json"
    path.unlink()
    path.symlink_to("/dev/zero")
    command(forged, *arguments).failed(1, "tokenizer.json is not a regular file")


# Headers of safetensors


def safetensors(header: Any, data: bytes = b"", length: int | None = None) -> bytes:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(raw) if length is None else length).to_bytes(8, "little") + raw + data


def entry(shape: Any, dtype: Any = "F32", offsets: Any = (0, 4)) -> dict[str, Any]:
    return {"x": {"dtype": dtype, "shape": shape, "data_offsets": offsets}}


HEADERS = {
    "infinite": entry([1e999]),
    "not a number": entry([float("nan")]),
    "negative": entry([-1]),
    "two negatives": entry([-1, -1]),
    "huge": entry([1 << 62, 4]),
    "beyond every integer": entry([10**300]),
    "a fraction": entry([1.5]),
    "a truth": entry([True]),
    "a string": entry("1"),
    "many dimensions": entry([1] * 1000),
    "another type": entry([1], "Q99"),
    "a type that is a list": entry([1], ["F32"]),
    "offsets beyond": entry([1], offsets=(0, 1 << 60)),
    "offsets backwards": entry([1], offsets=(4, 0)),
    "offsets apart": {**entry([1]), "y": entry([1], offsets=(0, 4))["x"]},
    "three offsets": entry([1], offsets=(0, 4, 8)),
    "a list": [],
    "a number": 3,
    "no object": {"x": 3},
    "deep": b"[" * 100_000,
    "not text": b"\xff\xfe",
    "empty": b"",
}


@pytest.mark.parametrize("kind", HEADERS)
def test_headers_that_lie(kind: str, forged: Path) -> None:
    content = safetensors(HEADERS[kind], bytes(4))
    forge(forged, "model.safetensors", content)
    assert "model.safetensors" in refused(forged)
    with pytest.raises(ValueError, match="no safetensors file"):
        read_tensors(content)


@pytest.mark.parametrize("length", [0, 1 << 21, (1 << 64) - 1])
def test_lengths_of_headers_that_lie(length: int, forged: Path) -> None:
    forge(forged, "model.safetensors", safetensors(entry([1]), bytes(1 << 22), length))
    assert "model.safetensors" in refused(forged)


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("fuzz") / "model", "classify")


@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(
    name=st.sampled_from(["model.safetensors", "ngrams.safetensors"]),
    places=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=4),
)
def test_bytes_of_a_header_changed(
    name: str, places: list[tuple[float, int]], classifier: Path
) -> None:
    whole = (classifier / name).read_bytes()
    length = 8 + int.from_bytes(whole[:8], "little")
    changed = bytearray(whole)
    for place, value in places:
        changed[int(place * (length - 1))] = value
    try:
        answered(forge(classifier, name, bytes(changed)))
    finally:
        forge(classifier, name, whole)
