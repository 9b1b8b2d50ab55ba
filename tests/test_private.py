"""Private parts of libraries are still there and are still what this package takes them for."""

from __future__ import annotations

from pathlib import Path

import onnxruntime
import pytest

from rnntext.private import onnxruntime_errors


def test_onnxruntime_has_its_exceptions() -> None:
    errors = onnxruntime_errors(onnxruntime)
    assert len(set(errors)) == len(errors)
    assert all(issubclass(error, Exception) and error is not Exception for error in errors)


def test_onnxruntime_raises_them_for_what_it_cannot_run(tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.onnx"
    damaged.write_bytes(b"naive text")
    for graph in (b"naive text", b"", str(damaged), str(tmp_path / "none.onnx")):
        with pytest.raises(onnxruntime_errors(onnxruntime)):
            onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
