"""A session's thread pool: order of results, cancelling, errors and fairness."""

from __future__ import annotations

import concurrent.futures
import hashlib
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from onnx import TensorProto

from rnntext.errors import CheckpointError
from rnntext.graphs.graph_builder import GraphBuilder
from rnntext.held_file import HeldFile
from rnntext.runtime.session import FairSemaphore, Session
from rnntext.training.onnx.protobuf import to_bytes

TIMEOUT = 30  # seconds until a test that would hang fails


def session(threads: int) -> Session:
    graph = GraphBuilder()
    graph.add("Identity", [graph.input("x", TensorProto.FLOAT, [1])], "y")
    graph.output("y", TensorProto.FLOAT, [1])
    return Session(to_bytes(graph), threads)


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + TIMEOUT
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.001)


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("count", [0, 1, 2, 40])
def test_results_are_in_order(threads: int, count: int) -> None:
    """Also where every second item ends before the one in front of it."""
    ended = [threading.Event() for _ in range(count)]

    def double(number: int) -> int:
        if threads > 1 and count > 1 and number % 2 == 0:
            assert ended[number + 1].wait(TIMEOUT)
        ended[number].set()
        return 2 * number

    results = session(threads).map(double, range(count))
    assert list(results) == [2 * number for number in range(count)]


@pytest.mark.parametrize(
    ("threads", "count", "pools"), [(1, 2, 0), (1, 40, 0), (2, 0, 0), (2, 1, 0), (2, 2, 1)]
)
def test_only_several_items_and_threads_start_a_pool(
    threads: int, count: int, pools: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[int] = []

    class Pool(concurrent.futures.ThreadPoolExecutor):
        def __init__(self, max_workers: int) -> None:
            super().__init__(max_workers)
            started.append(max_workers)

    monkeypatch.setattr(concurrent.futures, "ThreadPoolExecutor", Pool)
    processed: list[int] = []
    results = session(threads).map(processed.append, range(count))
    if not pools:
        assert processed == []  # an item is processed when its result is read
    assert len(list(results)) == count
    assert sorted(processed) == list(range(count))
    assert started == [threads] * pools


def test_threads_that_share_each_run_start_no_pool() -> None:
    """One run takes them all: a second one beside it would only wait for them."""
    processed: list[int] = []
    results = session(3).with_intra_op_threads().map(processed.append, range(2))
    assert processed == []
    assert len(list(results)) == 2


def test_items_are_processed_before_a_result_is_read() -> None:
    started = threading.Barrier(3, timeout=TIMEOUT)
    results = session(2).map(lambda _: started.wait(), range(2))
    started.wait()
    assert len(list(results)) == 2


@pytest.mark.parametrize("taken", [0, 1])
def test_deleting_the_results_cancels_what_has_not_started(taken: int) -> None:
    processed: list[int] = []
    go = threading.Event()

    def process(number: int) -> None:
        if number:
            assert go.wait(TIMEOUT)
        processed.append(number)

    before = set(threading.enumerate())
    results = session(2).map(process, range(100))
    for _ in range(taken):
        next(results)
    workers = set(threading.enumerate()) - before
    del results
    go.set()
    for worker in workers:
        worker.join(TIMEOUT)
        assert not worker.is_alive()
    assert len(processed) <= 3  # the first, and one in each thread


def test_calls_take_turns() -> None:
    """A call that comes during another one gets its turns before the rest of that one's items,
    and both together have no more threads at work than one of them may have."""
    shared = session(2)
    short_call_waits, short_call_ended = threading.Event(), threading.Event()
    lock = threading.Lock()
    running = most = 0

    def process(wait_for: threading.Event | None) -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        if wait_for is not None:
            assert wait_for.wait(TIMEOUT)
        with lock:
            running -= 1

    # Two items hold both slots; those behind them end only after all of the short call.
    long = shared.map(process, [short_call_waits] * 2 + [short_call_ended] * 10)
    wait_until(lambda: running == 2)
    short = shared.map(process, [None, None])
    wait_until(lambda: len(shared._run_slots._waiting) == 2)
    short_call_waits.set()
    assert len(list(short)) == 2
    short_call_ended.set()
    assert len(list(long)) == 12
    assert most == 2


def test_a_fair_semaphore_is_first_in_first_out() -> None:
    semaphore = FairSemaphore(2)
    entered: list[int] = []

    def enter(number: int) -> None:
        with semaphore:
            entered.append(number)

    threads = [threading.Thread(target=enter, args=(number,)) for number in range(6)]
    with semaphore:
        with semaphore:
            for number, thread in enumerate(threads):
                thread.start()
                wait_until(lambda: len(semaphore._waiting) == number + 1)  # noqa: B023
            assert entered == []
        # One slot is free now, and is handed from each thread to the next.
        for thread in threads:
            thread.join(TIMEOUT)
    assert entered == list(range(6))


def test_a_fair_semaphore_lets_nobody_overtake() -> None:
    semaphore = FairSemaphore(1)
    entered: list[str] = []

    def enter() -> None:
        with semaphore:
            entered.append("waiting")

    waiting = threading.Thread(target=enter)
    with semaphore:
        waiting.start()
        wait_until(lambda: len(semaphore._waiting) == 1)
    with semaphore:
        entered.append("releasing")
    waiting.join(TIMEOUT)
    assert entered == ["waiting", "releasing"]


def test_a_file_that_is_no_graph_is_named(tmp_path: Path) -> None:
    path = tmp_path / "naïve.onnx"
    path.write_bytes(b"no graph")
    with path.open("rb") as file:
        held = HeldFile(path, file, hashlib.sha256(b"no graph").hexdigest())
    for graph, name in ((held, str(path)), (b"no graph", "the graph")):
        with pytest.raises(CheckpointError) as caught:
            Session(graph)
        assert str(caught.value).startswith(f"{name} cannot be run: ")
        assert "\n" not in str(caught.value)


def test_an_error_is_raised_where_its_result_is_read() -> None:
    def process(number: int) -> int:
        if number == 2:
            raise ValueError("two")
        return number

    results = session(2).map(process, range(4))
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(ValueError, match="two"):
        next(results)
