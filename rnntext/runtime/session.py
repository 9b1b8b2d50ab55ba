"""A graph in ONNX Runtime, and a thread pool that runs several batches in parallel.

Knows: how an inference session is configured and run. Does not know: what the graph computes.

Threads are used in one of two ways. With many batches, each run takes one thread and several runs
proceed in parallel. That is faster than ONNX Runtime's intra-op threads, which synchronize after
every step of a recurrence (its bidirectional LSTM of 128 units, lines of 26 tokens, two cores:
9,600 lines a second against 7,700). With a single text that is read step after step, intra-op
threads share each run, and spin while they wait for the next one, because a step is shorter than
the time to wake a thread (one step of a 2x256 LSTM with 10,000 words: 0.14 ms against 0.25 ms).

A result depends neither on the number of threads nor on the rest of the batch. It is equal to the
bit, except for a unidirectional vanilla RNN, for which ONNX Runtime takes another code path: there
it is equal up to rounding.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

from rnntext.config import usable_cores
from rnntext.errors import CheckpointError
from rnntext.held_file import HeldFile
from rnntext.private import onnxruntime_errors

# Since release 1.29 ONNX Runtime reports to its makers which models are run, and stores an
# identifier of the machine in the user's cache directory. The import starts that, unless this
# variable is set before it (https://github.com/microsoft/onnxruntime/pull/27379).
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
import onnxruntime

if TYPE_CHECKING:
    from concurrent.futures import Future

Array = npt.NDArray[Any]
Item = TypeVar("Item")
Result = TypeVar("Result")

_ERRORS = onnxruntime_errors(onnxruntime)


class Session:
    """An inference session of one graph. It is safe to share between threads."""

    def __init__(
        self,
        graph: HeldFile | bytes,
        threads: int | None = None,
        *,
        intra_op: bool = False,
        weights: Mapping[str, Array] = MappingProxyType({}),
        name: str = "the graph",
        check: Callable[[bytes], None] = lambda content: None,
    ) -> None:
        """`threads`: None is one for each usable core. `intra_op`: the threads share each run;
        otherwise each of several runs has one thread. `weights`: initializers that the graph names
        but does not contain. `check` is given the content before ONNX Runtime is. Raises
        CheckpointError if ONNX Runtime cannot run the graph, which is called `name` if it is bytes,
        and what `check` raises."""
        self.threads = threads or usable_cores()
        # ONNX Runtime reads the weights in place: they must live as long as the session.
        self._graph, self._weights, self._check = graph, weights, check
        self.name = name if isinstance(graph, bytes) else str(graph.path)
        self._max_parallel_runs = 1 if intra_op else self.threads
        # Shared by all calls of `map`, because every run in progress takes memory of its own.
        self._run_slots = FairSemaphore(self._max_parallel_runs)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.threads if intra_op else 1
        options.add_session_config_entry("session.intra_op.allow_spinning", str(int(intra_op)))
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # The stored graph needs no rewriting. The basic level folds constants, which dequantizes
        # int8 weights once.
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        content = graph if isinstance(graph, bytes) else graph.read()
        check(content)
        try:
            if weights:
                values = map(onnxruntime.OrtValue.ortvalue_from_numpy, weights.values())
                options.add_external_initializers(list(weights), list(values))
            self._session = onnxruntime.InferenceSession(
                content,
                options,
                providers=["CPUExecutionProvider"],
            )
        except _ERRORS as error:
            raise self._failure(error) from None

    def with_intra_op_threads(self) -> Session:
        """Return a session of the same graph in which the threads share each run."""
        return Session(
            self._graph,
            self.threads,
            intra_op=True,
            weights=self._weights,
            name=self.name,
            check=self._check,
        )

    def run(self, outputs: Sequence[str], feeds: Mapping[str, Array]) -> list[Array]:
        """Compute the named outputs of the graph for these inputs. Raises CheckpointError, which
        names the graph, if ONNX Runtime cannot."""
        try:
            return list(map(np.asarray, self._session.run(list(outputs), dict(feeds))))
        except _ERRORS as error:
            raise self._failure(error) from None

    def _failure(self, error: Exception) -> CheckpointError:
        reason = next(iter(str(error).splitlines()), "no reason given")
        return CheckpointError(f"{self.name} cannot be run: {reason[:200]}")

    def map(self, function: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
        """Apply `function` to every item on a thread pool; return the results in order.

        With several items and threads, all items are submitted before this returns, and they are
        processed whether or not results are read. Otherwise an item is processed when its result
        is read.
        """
        if self._max_parallel_runs == 1 or len(items) < 2:
            return map(function, items)
        # Imported and started here, because a single batch needs neither.
        from concurrent.futures import ThreadPoolExecutor

        def run_one(item: Item) -> Result:
            with self._run_slots:
                return function(item)

        # A pool for each call, whose threads end with its last item: a forked process has none of
        # its parent's threads.
        pool = ThreadPoolExecutor(self._max_parallel_runs)
        futures = [pool.submit(run_one, item) for item in items]
        pool.shutdown(wait=False)
        return _OrderedResults(futures)


class _OrderedResults(Iterator[Result]):
    """Results of futures in the order of submission; cancels the remaining futures when deleted.

    Not a generator: one that was never started would not run its `finally`.
    """

    def __init__(self, futures: Sequence[Future[Result]]) -> None:
        self._remaining = list(reversed(futures))

    def __next__(self) -> Result:
        if not self._remaining:
            raise StopIteration
        return self._remaining.pop().result()

    def __del__(self) -> None:
        # After Ctrl-C the interpreter joins all threads before it exits: cancelling lets them
        # end soon.
        for future in self._remaining:
            future.cancel()


class FairSemaphore:
    """A semaphore for at most `count` holders; waiting threads get it first in, first out.

    `threading.Semaphore` lets a thread that has just released it take it again before the threads
    that wait, so that one call of `Session.map` would wait for all of another call's items.
    """

    def __init__(self, count: int) -> None:
        self._lock = threading.Lock()
        self._free = count
        self._waiting: deque[threading.Lock] = deque()

    def __enter__(self) -> None:
        with self._lock:
            if self._free:
                self._free -= 1
                return
            turn = threading.Lock()
            turn.acquire()
            self._waiting.append(turn)
        turn.acquire()  # blocks until a holder releases it in `__exit__`

    def __exit__(self, *_: object) -> None:
        with self._lock:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._free += 1
