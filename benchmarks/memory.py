"""Peak resident memory of a command on streams of several sizes, and on one long line.

    python benchmarks/memory.py COMMAND MODEL [MEGABYTES...]

COMMAND is classify, tag, score or predict; MODEL is the directory of its model; MEGABYTES are the
sizes of the streams (default: 10 and 1000). The text repeats the sample stories, with a number
before each line of them, so that no line is the same as another.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from itertools import count
from pathlib import Path

STORIES = Path(__file__).parent.parent / "corpora" / "stories.txt"
MEGABYTE = 1_000_000
LONG_LINE = 10 * MEGABYTE


def main(command: str, model: str, sizes: list[int]) -> None:
    """Print a row for each stream and one for the long line."""
    print(f"{'rnntext ' + command:16} {'peak memory':>12} {'seconds':>8}")
    inputs = {f"{size} MB": partial(stream, size * MEGABYTE) for size in sizes}
    for name, text in {**inputs, "a line of 10 MB": one_line}.items():
        peak, seconds = run(command, model, text())
        print(f"{name:>16} {peak:9.0f} MB {seconds:8.0f}", flush=True)


def stream(size: int) -> Iterator[bytes]:
    """Yield about `size` bytes of lines."""
    lines = [line for line in STORIES.read_text("utf-8").splitlines() if line.strip()]
    sent = 0
    for number in count():
        block = "".join(f"{number} {line}\n" for line in lines).encode()
        yield block
        sent += len(block)
        if sent >= size:
            return


def one_line() -> Iterator[bytes]:
    """Yield one line of LONG_LINE bytes."""
    words = b" ".join(STORIES.read_bytes().split()) + b" "
    for start in range(0, LONG_LINE, len(words)):
        yield words[: LONG_LINE - start]
    yield b"\n"


def run(command: str, model: str, text: Iterator[bytes]) -> tuple[float, float]:
    """Return the peak resident memory of the command on this text, in MB, and its seconds."""
    started = time.perf_counter()
    arguments = [sys.executable, "-m", "rnntext", command, "-m", model]
    process = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    assert process.stdin is not None
    with process.stdin as pipe:
        for block in text:
            pipe.write(block)
    _, status, usage = os.wait4(process.pid, 0)
    assert status == 0
    # Linux counts kilobytes, macOS bytes.
    unit = 1 if sys.platform == "darwin" else 1024
    return usage.ru_maxrss * unit / MEGABYTE, time.perf_counter() - started


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], [int(size) for size in sys.argv[3:]] or [10, 1000])
