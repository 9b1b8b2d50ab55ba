"""Training, compared with a plain PyTorch loop with the same encoder, batches and data.

    python benchmarks/training.py DATA [--minutes M] [SECTION...]

DATA holds ptb/train.txt, ptb/valid.txt, imdb/train.jsonl, ewt/train.conllu
and ewt/dev.conllu. The sections, all of which run by default:

    memory      peak resident memory on 10 MB, 100 MB and 1 GB of text
    steps       tokens a second on Penn Treebank, and the share of the machine's throughput
    epochs      seconds of an epoch: a classifier on film reviews, a tagger on UD English EWT
    exactness   a killed and resumed run, and a run of two processes, compared with a plain run
    quality     validation perplexity after M minutes (10), both loops

The plain loop uses nn.LSTM in float32 with its own dropout and a full softmax tied to the
embeddings. It clips gradients and updates weights one tensor at a time, and pads batches in random
order to their longest row. Rounds of both loops alternate, and the table gives medians.
Perplexities are exact for both.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from memory import stream
from torch import Tensor, nn

from rnntext.config import usable_cores
from rnntext.training.engine.device import Machine, choose_machine
from rnntext.training.events import Finished, Prepared, Step
from rnntext.training.execution_options import ExecutionOptions
from rnntext.training.options import TrainingOptions
from rnntext.training.run import run

ROUNDS = 3
WARM, TIMED = 10, 40  # steps of the plain loop
OURS = 200  # steps of rnntext, of which the second half is timed
ROWS, BPTT, VOCABULARY = 20, 35, 10_000
MEGABYTE = 1_000_000
TEXT_SIZES = (10, 100, 1000)  # MB
RNNTEXT = [sys.executable, "-m", "rnntext"]
SECTIONS = ("memory", "steps", "epochs", "exactness", "quality")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("data", type=Path)
    parser.add_argument("sections", nargs="*", default=SECTIONS)
    parser.add_argument("--minutes", type=float, default=10)
    given = parser.parse_args()
    torch.set_num_threads(usable_cores())
    print(f"{'':44} {'plain':>12} {'rnntext':>12} {'ratio':>8}")
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        # First, because the peak memory of a child process includes that of its parent at the fork.
        if "memory" in given.sections:
            memory(work)
        if "steps" in given.sections:
            steps(given.data, work)
        if "epochs" in given.sections:
            epochs(given.data, work)
        if "exactness" in given.sections:
            exactness(given.data, work)
        if "quality" in given.sections:
            quality(given.data, work, given.minutes)


def row(name: str, plain: str, ours: str, ratio: str = "") -> None:
    """Print a line of the table."""
    print(f"{name:44} {plain:>12} {ours:>12} {ratio:>8}", flush=True)


# Penn Treebank


class PlainLanguageModel(nn.Module):
    """Two recurrent layers and a full softmax that shares its weights with the embeddings."""

    def __init__(self, cell: str, hidden: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, hidden)
        self.embedding.weight.data.uniform_(-0.1, 0.1)
        self.cells = {"lstm": nn.LSTM, "gru": nn.GRU}[cell](hidden, hidden, 2, dropout=0.2)
        self.dropout = nn.Dropout(0.2)
        self.bias = nn.Parameter(torch.zeros(VOCABULARY))

    def forward(self, ids: Tensor, state: Any) -> tuple[Tensor, Any]:
        """ids (T, B) -> logits (T, B, V), state."""
        states, state = self.cells(self.dropout(self.embedding(ids)), state)
        return self.dropout(states) @ self.embedding.weight.t() + self.bias, state


def words(path: Path, vocabulary: dict[str, int]) -> Tensor:
    """Return the ids of a text whose lines end in <eos>, and add new words to `vocabulary`."""
    text = path.read_text("utf-8").replace("\n", " <eos> ").split()
    return torch.tensor([vocabulary.setdefault(word, len(vocabulary)) for word in text])


def detached(state: Any) -> Any:
    """Return the state detached from the graph."""
    if state is None:
        return None
    return state.detach() if isinstance(state, Tensor) else tuple(part.detach() for part in state)


def plain_steps(
    model: PlainLanguageModel, ids: Tensor, optimizer: torch.optim.Optimizer
) -> Iterator[float]:
    """Train for one pass over the text and yield the loss of each step."""
    columns = ids[: len(ids) // ROWS * ROWS].view(ROWS, -1).t().contiguous()  # (T, B)
    state = None
    model.train()
    for start in range(0, len(columns) - 1, BPTT):
        window = columns[start : start + BPTT + 1]
        logits, state = model(window[:-1], detached(state))
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), window[1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.25, foreach=False)
        optimizer.step()
        yield float(loss.detach())


def ptb_options(data: Path, cell: str, hidden: int, **more: Any) -> TrainingOptions:
    """Options of a run on the same text with the same encoder and batches."""
    return TrainingOptions(
        task="lm",
        data=(str(data / "ptb/train.txt"),),
        valid=str(data / "ptb/valid.txt"),
        tokenizer="word",
        cell=cell,
        layers=2,
        hidden=hidden,
        batch_size=ROWS,
        bptt=BPTT,
        **more,
    )


def our_pace(options: TrainingOptions, directory: Path) -> float:
    """Tokens a second in the second half of a run, including the time to make batches."""
    seen: list[Step] = []
    for event in run(options, directory, ExecutionOptions(force=True)):
        if isinstance(event, Step):
            seen.append(event)
        if isinstance(event, Step) and event.step >= OURS - 10:
            break
    first, last = seen[len(seen) // 2], seen[-1]
    return (last.step - first.step) * ROWS * BPTT / (last.seconds - first.seconds)


def steps(data: Path, work: Path) -> None:
    """Tokens a second, and arithmetic compared with that of large matrix products."""
    ids = words(data / "ptb/train.txt", {})
    machine = choose_machine("auto", usable_cores())
    for cell, hidden in (("lstm", 200), ("lstm", 650), ("gru", 200)):
        torch.manual_seed(0)
        model = PlainLanguageModel(cell, hidden)
        optimizer = torch.optim.Adam(model.parameters(), foreach=False)
        plain, ours, peaks = [], [], []
        # A run of this length has no evaluation during the timed steps.
        options = ptb_options(data, cell, hidden, steps=10 * OURS)
        for _ in range(ROUNDS):
            walk = plain_steps(model, ids, optimizer)
            list(islice(walk, WARM))
            started = time.perf_counter()
            list(islice(walk, TIMED))
            plain.append(TIMED * ROWS * BPTT / (time.perf_counter() - started))
            ours.append(our_pace(options, work / "steps"))
            peaks.append(peak(machine))
        before, after = statistics.median(plain), statistics.median(ours)
        name = f"PTB 2x{hidden} {cell}"
        row(f"{name}, tokens a second", f"{before:,.0f}", f"{after:,.0f}", f"{after / before:.2f}")
        done = after * flops(cell, hidden) / 1e9
        most = statistics.median(peaks)
        dtype = str(machine.dtype).removeprefix("torch.")
        row(
            f"{name}, GFLOP/s of {most:.0f} ({dtype} product)",
            f"{before * flops(cell, hidden, full=True) / 1e9:.0f}",
            f"{done:.0f}",
            f"{done / most:.0%}",
        )


def flops(cell: str, hidden: int, *, full: bool = False) -> float:
    """Floating-point operations per token: products in the forward pass, twice as many backward."""
    gates = {"lstm": 4, "gru": 3}[cell]
    recurrent = 2 * (2 * gates * hidden * 2 * hidden)
    # The sampled softmax: the most common tenth of the vocabulary and a sample of 15 % of it.
    candidates = VOCABULARY if full else VOCABULARY // 10 + VOCABULARY * 15 // 100
    return 3.0 * (recurrent + 2 * hidden * candidates)


def peak(machine: Machine, size: int = 1024) -> float:
    """GFLOP/s of a product of two matrices in the number format of training."""
    a, b = (torch.randn(size, size).to(machine.dtype) for _ in range(2))
    best = math.inf
    for _ in range(30):
        started = time.perf_counter()
        a @ b
        best = min(best, time.perf_counter() - started)
    return 2 * size**3 / best / 1e9


# Classifier and tagger


def epochs(data: Path, work: Path) -> None:
    """Seconds per epoch of rnntext, and of the same network in the plain loop."""
    tasks = {
        "IMDB, classifier": TrainingOptions(
            "classify", (str(data / "imdb/train.jsonl"),), epochs=1, preset="small"
        ),
        "EWT, tagger": TrainingOptions(
            "tag",
            (str(data / "ewt/train.conllu"),),
            valid=str(data / "ewt/dev.conllu"),
            epochs=1,
            preset="small",
        ),
    }
    for name, options in tasks.items():
        before, after = plain_epoch(options), our_epoch(options, work / "epoch")
        row(f"{name}, seconds an epoch", f"{before:.1f}", f"{after:.1f}", f"{before / after:.2f}")


def our_epoch(options: TrainingOptions, directory: Path) -> float:
    """Seconds spent in training steps."""
    began = 0.0
    for event in run(options, directory, ExecutionOptions(force=True)):
        if isinstance(event, Prepared):
            began = time.perf_counter()
        if isinstance(event, Finished):
            return event.training_seconds
    return time.perf_counter() - began


def plain_epoch(options: TrainingOptions) -> float:
    """Seconds of an epoch of the same network in float32, in random batches of the same size."""
    from rnntext.training.run import _set_up

    setup = _set_up(options, time.perf_counter(), True)
    objective, model = setup.objective, setup.model
    objective.machine = Machine(torch.device("cpu"), torch.float32)
    optimizer = torch.optim.Adam(model.parameters(), foreach=False)
    order = np.random.default_rng(0).permutation(len(objective.train))
    model.train()
    size = setup.recipe.batch_size

    def shuffled(_: object) -> Iterator[np.ndarray[Any, Any]]:
        yield from np.array_split(order, math.ceil(len(order) / size))

    objective._epochs = SimpleNamespace(batches=shuffled)
    objective.steps_per_epoch = math.ceil(len(order) / size)
    tensors = objective._tensors
    objective._tensors = lambda *given, even: tensors(*given)  # padded to the longest row
    started = time.perf_counter()
    for batch in objective.batches(0):
        loss, _ = objective.loss(model, batch)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0, foreach=False)
        optimizer.step()
    return time.perf_counter() - started


# Exactness


def exactness(data: Path, work: Path) -> None:
    """Compare weights bit for bit, and losses up to rounding."""
    text = work / "text.txt"
    text.write_text("".join((data / "ptb/train.txt").open("r").readlines()[:6000]), "utf-8")
    line = [*RNNTEXT, "train", "lm", str(text), "--tokenizer", "word", "--steps", "300", "-q"]
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.run([*line, "-o", str(work / "whole")], check=True, **quiet)
    broken = work / "broken"
    again = [*line, "-o", str(broken), "--save-every", "0.5", "--resume"]
    kills = 0
    for share in (0.2, 0.6):
        with subprocess.Popen(again, **quiet) as process:
            state = broken / "training-state" / "loop.json"
            while process.poll() is None:
                time.sleep(0.02)
                if state.exists() and json.loads(state.read_bytes())["step"] >= 300 * share:
                    process.send_signal(signal.SIGKILL)
                    kills += 1
                    break
    subprocess.run(again, check=True, **quiet)
    same = [(work / name / "model.safetensors").read_bytes() for name in ("whole", "broken")]
    row(
        f"killed {kills} times and resumed: the same bytes",
        "",
        "yes" if same[0] == same[1] else "NO",
    )
    plain = [*line[3:], "--dropout", "0", "--steps", "100"]
    one, two = work / "one", work / "two"
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    alone = [*RNNTEXT, *plain, "-o", str(one), "--threads", "1"]
    both = [*torchrun, "--nproc-per-node", "2", "-m", "rnntext", *plain, "-o", str(two)]
    for command in (alone, both):
        subprocess.run(command, check=True, **quiet)
    differences = [abs(a - b) / a for a, b in zip(losses(one), losses(two), strict=True)]
    row("two processes: largest difference of a loss", "", f"{max(differences):.1e}")


def losses(directory: Path) -> list[float]:
    """The losses that a run has logged."""
    lines = (directory / "metrics.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line)["loss"] for line in lines]


# Memory


def memory(work: Path) -> None:
    """Peak resident memory of whole runs, which train a model of the same size with the same batch
    size on a file of each size."""
    for size in TEXT_SIZES:
        text = work / f"{size}.txt"
        with text.open("wb") as file:
            file.writelines(stream(size * MEGABYTE))
        given = ["train", "lm", text, "-o", work / f"m{size}", "--steps", 100, "--preset", "small"]
        given += ["--vocab-size", 8000, "--batch-size", 32, "-q"]
        cache = {**os.environ, "XDG_CACHE_HOME": str(work / "cache")}
        seconds = []
        for _ in range(2):
            started = time.perf_counter()
            process = subprocess.Popen(
                [*RNNTEXT, *map(str, given), "--force"], stdout=subprocess.DEVNULL, env=cache
            )
            _, status, usage = os.wait4(process.pid, 0)
            assert status == 0
            seconds.append(time.perf_counter() - started)
            if len(seconds) == 1:
                first = usage.ru_maxrss / 1000
        row(
            f"{size} MB: peak MB; seconds, and from the cache",
            f"{first:.0f}",
            f"{seconds[0]:.0f}",
            f"{seconds[1]:.0f}",
        )
        text.unlink()


# Quality


def quality(data: Path, work: Path, minutes: float) -> None:
    """Validation perplexity after `minutes`, all of which both loops use."""
    before, read = plain_perplexity(data, minutes)
    line = [*RNNTEXT, "train", "lm", data / "ptb/train.txt", "--valid", data / "ptb/valid.txt"]
    line += ["--tokenizer", "word", "--layers", 2, "--hidden", 200, "--batch-size", ROWS]
    line += ["--bptt", BPTT, "--minutes", minutes, "-o", work / "quality", "--json", "-q"]
    found = subprocess.run(list(map(str, line)), capture_output=True, check=True)
    saved = json.loads(found.stdout)
    after = saved["metrics"]["perplexity"]
    name = f"PTB 2x200, perplexity after {minutes:g} minutes"
    row(name, f"{before:.2f}", f"{after:.2f}", f"{before - after:.1f}")
    row("    passes over the text", f"{read:.1f}", f"{saved['epochs']:.1f}")


def plain_perplexity(data: Path, minutes: float) -> tuple[float, float]:
    """Return the perplexity and the number of passes over the text of gradient descent with
    learning rate 20, divided by four each time validation gets worse, as in PyTorch's own example
    of a word language model."""
    began = time.perf_counter()
    vocabulary: dict[str, int] = {}
    train, valid = (words(data / f"ptb/{part}.txt", vocabulary) for part in ("train", "valid"))
    torch.manual_seed(0)
    model = PlainLanguageModel("lstm", 200)
    optimizer = torch.optim.SGD(model.parameters(), lr=20, foreach=False)
    best, cost, steps = math.inf, 0.0, 0
    while True:
        for _ in plain_steps(model, train, optimizer):
            steps += 1
            if time.perf_counter() - began + cost > 60 * minutes:
                return min(best, perplexity(model, valid)), steps * ROWS * BPTT / len(train)
        started = time.perf_counter()
        now = perplexity(model, valid)
        cost = time.perf_counter() - started
        if now > best:
            optimizer.param_groups[0]["lr"] /= 4
        best = min(best, now)


@torch.inference_mode()
def perplexity(model: PlainLanguageModel, ids: Tensor) -> float:
    """Perplexity of the whole text, with the hidden state carried."""
    model.eval()
    end = ids[-1:]  # the first input is an end of line
    inputs = torch.cat([end, ids[:-1]])
    total, state = 0.0, None
    for start in range(0, len(ids), 1000):
        logits, state = model(inputs[start : start + 1000, None], state)
        target = ids[start : start + 1000]
        total += float(nn.functional.cross_entropy(logits[:, 0], target, reduction="sum"))
    return math.exp(total / len(ids))


if __name__ == "__main__":
    main()
