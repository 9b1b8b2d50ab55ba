"""Wall time of whole processes, in turn: help, one line classified, and PyTorch's import.

    python benchmarks/startup.py MODEL [RUNS]

MODEL is a classifier's directory.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time


def main(model: str, runs: int = 9) -> None:
    """Print the median and the fastest of `runs` runs of each command."""
    rnntext = [sys.executable, "-m", "rnntext"]
    commands = {
        "python -c pass": ([sys.executable, "-c", "pass"], b""),
        "rnntext --help": ([*rnntext, "--help"], b""),
        "rnntext classify, one line": ([*rnntext, "classify", "-m", model], b"not good\n"),
        "python -c 'import torch'": ([sys.executable, "-c", "import torch"], b""),
    }
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for run in range(runs + 1):
        for name, (command, text) in commands.items():
            started = time.perf_counter()
            subprocess.run(command, input=text, stdout=subprocess.DEVNULL, check=True)
            # The first round fills the file cache.
            if run:
                seconds[name].append(time.perf_counter() - started)
    torch = statistics.median(seconds["python -c 'import torch'"])
    print(f"{'':28} {'median':>8} {'fastest':>8} {'of torch':>9}")
    for name, measured in seconds.items():
        median = statistics.median(measured)
        print(f"{name:28} {median:7.3f}s {min(measured):7.3f}s {median / torch:8.1%}")


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:3]))
