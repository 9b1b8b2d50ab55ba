"""A graph in ONNX Runtime.

Knows: how a session is made and run. Does not know: what the graph computes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime

from rnntext.config import usable_cores
from rnntext.errors import CheckpointError

Array = npt.NDArray[Any]


class Session:
    """Runs one graph; safe to share between threads."""

    def __init__(self, graph: Path | bytes, threads: int | None = None) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or usable_cores()
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # Idle threads that spin would take the core that the tokenizer needs.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = onnxruntime.InferenceSession(
                str(graph) if isinstance(graph, Path) else graph,
                options,
                providers=["CPUExecutionProvider"],
            )
        except _FAILURES as error:
            name = graph if isinstance(graph, Path) else "the graph"
            reason = str(error).splitlines()[0]
            raise CheckpointError(f"{name} cannot be run: {reason}") from None

    def run(self, outputs: Sequence[str], feeds: Mapping[str, Array]) -> list[Array]:
        """The named outputs of the graph for these inputs."""
        return list(map(np.asarray, self._session.run(list(outputs), dict(feeds))))

    def shapes(self) -> dict[str, list[int | str]]:
        """Shapes of the graph's inputs and outputs by name; a free size is a string."""
        values = [*self._session.get_inputs(), *self._session.get_outputs()]
        return {value.name: list(value.shape) for value in values}


_STATE = onnxruntime.capi.onnxruntime_pybind11_state
# What ONNX Runtime raises for a file that is no graph, or not one it can run.
_FAILURES = (
    _STATE.Fail,
    _STATE.InvalidArgument,
    _STATE.InvalidGraph,
    _STATE.InvalidProtobuf,
    _STATE.NoSuchFile,
    _STATE.NotImplemented,
    _STATE.RuntimeException,
)
