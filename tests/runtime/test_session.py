"""Work on several batches at once."""

from __future__ import annotations

import threading
import time

import pytest
from onnx import TensorProto

from rnntext.runtime.session import Session
from rnntext.training.onnx.graph_builder import GraphBuilder


def session(threads: int) -> Session:
    graph = GraphBuilder()
    graph.add("Identity", [graph.input("x", TensorProto.FLOAT, [1])], "y")
    graph.output("y", TensorProto.FLOAT, [1])
    return Session(graph.to_bytes("", {}), threads)


def doubled(number: int) -> int:
    time.sleep((number % 3) / 1000)
    return 2 * number


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("count", [0, 1, 2, 40])
def test_results_are_in_order(threads: int, count: int) -> None:
    found = session(threads).each(doubled, range(count))
    assert list(found) == [2 * number for number in range(count)]


def test_several_begin_before_anybody_asks() -> None:
    begun = threading.Barrier(3, timeout=30)
    found = session(2).each(lambda _: begun.wait(), range(2))
    begun.wait()
    assert len(list(found)) == 2


@pytest.mark.parametrize("taken", [0, 1])
def test_what_nobody_wants_is_not_done(taken: int) -> None:
    done: list[int] = []
    first = threading.Event()

    def work(number: int) -> None:
        if number:
            assert first.wait(30)
        done.append(number)

    before = threading.active_count()
    found = session(2).each(work, range(100))
    for _ in range(taken):
        next(found)
    del found
    first.set()
    deadline = time.monotonic() + 30
    while threading.active_count() > before:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert len(done) < 10


def test_calls_take_turns() -> None:
    """A call that comes while another's work is done does not wait for all of it."""
    shared = session(2)
    done: list[str] = []
    most = now = 0
    lock = threading.Lock()

    def work(name: str) -> None:
        nonlocal most, now
        with lock:
            now += 1
            most = max(most, now)
        time.sleep(0.01)
        with lock:
            now -= 1
            done.append(name)

    long, short = shared.each(work, ["long"] * 40), shared.each(work, ["short"] * 4)
    assert len(list(short)) == 4
    assert len(list(long)) == 40
    assert most == 2
    assert "short" not in done[20:]


def test_an_error_is_raised_where_its_result_is_taken() -> None:
    def work(number: int) -> int:
        if number == 2:
            raise ValueError("two")
        return number

    found = session(2).each(work, range(4))
    assert [next(found), next(found)] == [0, 1]
    with pytest.raises(ValueError, match="two"):
        next(found)
