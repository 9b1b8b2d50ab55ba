"""A graph in ONNX Runtime, and work spread over threads.

Knows: how a session is made and run. Does not know: what the graph computes.

Where there are many batches each run takes one thread, and several are run at once. That is
quicker than ONNX Runtime's own threads, which meet after every step of a recurrence
(its bidirectional LSTM of 128 units, lines of 26 tokens, two cores: 9,600 lines a second against
7,700). Where there is one text to walk along, step after step, the threads are
within each run and spin while they wait for the next, for a step is too short to be woken for
(one step of a 2x256 LSTM with 10,000 words: 0.14 ms against 0.25 ms). A result depends neither on
the number of threads nor on what else is in a batch: to the bit, but for a vanilla RNN of one
direction, which ONNX Runtime computes otherwise, and there but for rounding.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

from rnntext.config import usable_cores
from rnntext.errors import CheckpointError

# From release 1.29 on ONNX Runtime tells its makers which models are run and keeps an identifier
# of the machine in the user's cache directory. Importing it begins that, unless this is set
# (https://github.com/microsoft/onnxruntime/pull/27379).
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
import onnxruntime

if TYPE_CHECKING:
    from concurrent.futures import Future

Array = npt.NDArray[Any]
Item = TypeVar("Item")
Result = TypeVar("Result")


class Session:
    """Runs one graph; safe to share between threads."""

    def __init__(
        self,
        graph: Path | bytes,
        threads: int | None = None,
        *,
        intra_op: bool = False,
        weights: Mapping[str, Array] = MappingProxyType({}),
    ) -> None:
        """`intra_op`: the threads work within each run, not on several at once; `weights`: those
        that the graph names and does not hold."""
        self.threads = threads or usable_cores()
        # ONNX Runtime reads weights where they lie: they must live as long as the session.
        self._graph, self._weights = graph, weights
        self._at_once = 1 if intra_op else self.threads
        # Of what several calls have begun no more is done at once: each takes memory of its own.
        self._turns = _Turns(self._at_once)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.threads if intra_op else 1
        options.add_session_config_entry("session.intra_op.allow_spinning", str(int(intra_op)))
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # The graph is stored as it is meant to run; constants are folded, where int8 weights
        # are multiplied out.
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        try:
            if weights:
                values = map(onnxruntime.OrtValue.ortvalue_from_numpy, weights.values())
                options.add_external_initializers(list(weights), list(values))
            self._session = onnxruntime.InferenceSession(
                str(graph) if isinstance(graph, Path) else graph,
                options,
                providers=["CPUExecutionProvider"],
            )
        except _FAILURES as error:
            name = graph if isinstance(graph, Path) else "the graph"
            reason = str(error).splitlines()[0]
            raise CheckpointError(f"{name} cannot be run: {reason}") from None

    def with_intra_op_threads(self) -> Session:
        """The same graph with the threads within each run."""
        return Session(self._graph, self.threads, intra_op=True, weights=self._weights)

    def run(self, outputs: Sequence[str], feeds: Mapping[str, Array]) -> list[Array]:
        """The named outputs of the graph for these inputs."""
        return list(map(np.asarray, self._session.run(list(outputs), dict(feeds))))

    def shapes(self) -> dict[str, list[int | str]]:
        """Shapes of the graph's inputs and outputs by name; a free size is a string."""
        values = [*self._session.get_inputs(), *self._session.get_outputs()]
        return {value.name: list(value.shape) for value in values}

    def each(self, work: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
        """`work` done on every item, on several at once; results in order. Where there are several
        items and threads it begins now, and goes on while nobody asks for results."""
        if self._at_once == 1 or len(items) < 2:
            return map(work, items)
        # Imported and started here, because a single batch needs neither.
        from concurrent.futures import ThreadPoolExecutor

        def in_turn(item: Item) -> Result:
            with self._turns:
                return work(item)

        # Threads of its own, which end with the last item: a process that was forked has none of
        # its parent's.
        pool = ThreadPoolExecutor(self._at_once)
        begun = [pool.submit(in_turn, item) for item in items]
        pool.shutdown(wait=False)
        return _Results(begun)


class _Results(Iterator[Result]):
    """Results in order; what nobody waits for any more is not begun."""

    def __init__(self, begun: Sequence[Future[Result]]) -> None:
        self._left = list(reversed(begun))

    def __next__(self) -> Result:
        if not self._left:
            raise StopIteration
        return self._left.pop().result()

    def __del__(self) -> None:
        # Also where nothing was ever asked for, as after Ctrl-C: the process waits for its threads.
        for future in self._left:
            future.cancel()


class _Turns:
    """So many at once, those that wait in the order in which they came. `threading.Semaphore` lets
    the thread that has just ended go first, and one call would wait for all of another's work."""

    def __init__(self, count: int) -> None:
        self._lock = threading.Lock()
        self._free = count
        self._waiting: deque[threading.Lock] = deque()

    def __enter__(self) -> None:
        with self._lock:
            if self._free:
                self._free -= 1
                return
            gate = threading.Lock()
            gate.acquire()
            self._waiting.append(gate)
        gate.acquire()  # until somebody's turn is handed over

    def __exit__(self, *_: object) -> None:
        with self._lock:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._free += 1


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
