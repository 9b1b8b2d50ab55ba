"""What benchmarks of quality share: sets and seeds, peers beside each other, a table.

Knows: the arguments of such a script, and how its peers are timed and averaged. Does not know: any
data, peer or measure.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

Split = TypeVar("Split")
Inputs = TypeVar("Inputs")
Answers = TypeVar("Answers")


def run_sets(
    description: str | None,
    sets: str,
    measure: Callable[[Path, str, int, list[str]], None],
) -> None:
    """Call `measure` for each set that the command line names, with the directory of data, the set,
    the number of seeds, and the options of the training command. `sets`: the default."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("data", type=Path)
    parser.add_argument("--sets", default=sets)
    parser.add_argument("--minutes", type=float, help="of rnntext's runs; without: until it stops")
    parser.add_argument("--seeds", type=int, default=3)
    words = [*sys.argv[1:], "--"]
    end = words.index("--")
    given, train_options = parser.parse_args(words[:end]), words[end + 1 : -1]
    budget = [] if given.minutes is None else ["--minutes", str(given.minutes)]
    for name in given.sets.split(","):
        measure(given.data, name, given.seeds, [*budget, *train_options])


def compare(
    peers: Mapping[str, Callable[[Split, int], Callable[[Inputs], Answers]]],
    splits: Sequence[Split],
    inputs: Callable[[Split], Inputs],
    judge: Callable[[Split, Answers], Sequence[float]],
) -> dict[str, list[tuple[float, ...]]]:
    """Let each peer learn from each split, whose number is its seed. Return, for each split, what
    `judge` says of its answers to `inputs` of the split, and last the seconds of learning."""
    scores: dict[str, list[tuple[float, ...]]] = {peer: [] for peer in peers}
    for seed, split in enumerate(splits):
        for peer, learn in peers.items():
            started = time.perf_counter()
            predict = learn(split, seed)
            seconds = time.perf_counter() - started
            scores[peer].append((*judge(split, predict(inputs(split))), seconds))
    return scores


def print_table(
    title: str, measures: Sequence[str], scores: Mapping[str, list[tuple[float, ...]]], digits: int
) -> None:
    """Print the mean and the standard deviation of each measure, in per cent with so many digits
    after the point, and the mean seconds."""
    print(f"\n{title}")
    print(f"| | {' | '.join(measures)} | seconds |\n|{' --- |' * (len(measures) + 2)}")
    for peer, rows in scores.items():
        *columns, seconds = zip(*rows, strict=True)
        cells = " | ".join(_spread(column, digits) for column in columns)
        print(f"| {peer} | {cells} | {statistics.mean(seconds):.0f} |")
    sys.stdout.flush()


def _spread(values: tuple[float, ...], digits: int) -> str:
    mean = f"{100 * statistics.mean(values):.{digits}f}"
    if len(values) == 1:
        return mean
    return f"{mean} ± {100 * statistics.stdev(values):.{digits}f}"
