"""Whether the vanilla RNN fails at a distance at which GRU and LSTM still succeed.

    python benchmarks/long_memory.py [SEEDS]

Runs `rnntext compare memory` with its defaults at one distance, with 5 seeds or as many as given,
and prints the accuracy of each model at each seed. Exits with 1 unless the vanilla RNN (its mean
over the seeds) is nearer to chance than to 1 at both tasks while GRU and LSTM are right nine times
in ten, and the feed-forward window is at chance.
"""

from __future__ import annotations

import json
import subprocess
import sys

DISTANCE = 30
COMMAND = [sys.executable, "-m", "rnntext", "compare", "memory", "--json", "-q"]


def main(seeds: str = "5") -> int:
    """Print a row for each model, and return the exit status."""
    words = [*COMMAND, "--distances", str(DISTANCE), "--seeds", seeds]
    found = subprocess.run(words, stdout=subprocess.PIPE, check=True, text=True)
    print(f"accuracy at distance {DISTANCE}, of each seed")
    failed = []
    for line in found.stdout.splitlines():
        row = json.loads(line)
        name = f"{row['task']} {row['model']}"
        values = " ".join(f"{value:.3f}" for value in row["values"])
        print(f"{name:18} mean {row['accuracy']:.3f}   {values}")
        if not as_expected(row["model"], row["accuracy"], row["chance"]):
            failed.append(name)
    print(f"not as expected: {', '.join(failed)}" if failed else "as expected")
    return 1 if failed else 0


def as_expected(model: str, accuracy: float, chance: float) -> bool:
    """Whether a mean accuracy is what the docstring of this file says of the model."""
    if model == "window":
        return abs(accuracy - chance) < 0.01
    return accuracy < (1 + chance) / 2 if model == "rnn" else accuracy > 0.9


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
