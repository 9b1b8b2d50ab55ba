"""Trains small networks on tasks that need long memory, and measures how far each remembers.

Knows: the four networks, and one budget for all of them. Does not know: any task, or how the
accuracies are shown (`inspection/long_memory.py`).

A network of its own is trained for each distance k, on examples whose distances are drawn evenly
from the least one to k, and tested on held-out examples of distance k. All networks see the same
examples in the same order. Without the shorter examples no network learns the long ones in
so few steps; were they drawn more often, the vanilla RNN would learn to remember too.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn

from rnntext.config import EncoderConfig
from rnntext.errors import UsageError
from rnntext.long_memory import TITLES, WINDOW_WIDTH, Measured, MemoryOptions
from rnntext.training.comparison.agreement import Agreement
from rnntext.training.comparison.memory_tasks import (
    MemoryTask,
    Recall,
    held_out_batch,
    training_batch,
)
from rnntext.training.engine.optimizer import Optimizer, OptimizerConfig
from rnntext.training.networks.encoder import RecurrentEncoder

MEMORY_TASKS: dict[str, MemoryTask] = {"recall": Recall(), "agreement": Agreement()}

_EMBED, _HIDDEN = 16, 32
_WINDOW_HIDDEN = 128  # so that nothing but its width limits the window
_BATCH = 32
_OPTIMIZER = OptimizerConfig(learning_rate=0.01, weight_decay=0.0, clip_norm=1.0, warmup=0)
_DECAY = 0.3  # share of the steps in which the learning rate falls to 0
# Contexts of a distance differ in their shape, of which each draw has one.
_TEST_DRAWS, _TEST_EXAMPLES = 16, 512


class LastStep(nn.Module):
    """A recurrent encoder of one layer with a linear read-out of its last state."""

    def __init__(self, cell: str, vocabulary: int, answers: int) -> None:
        super().__init__()
        config = EncoderConfig(cell, vocabulary, _EMBED, _HIDDEN, 1, bidirectional=False)
        self.encoder = RecurrentEncoder(config, dropout=0.0, token_dropout=0.0)
        # As large as those of the window: small embeddings take many steps to be told apart.
        nn.init.normal_(self.encoder.embedding.weight)
        self.head = nn.Linear(_HIDDEN, answers)

    def forward(self, ids: Tensor) -> Tensor:  # (B, T) -> (B, answers)
        outputs, _ = self.encoder(ids)  # (T, B, H)
        logits: Tensor = self.head(outputs[-1])
        return logits


class Window(nn.Module):
    """A feed-forward network over the embeddings of the last `WINDOW_WIDTH` tokens (Bengio et al.
    2003). Nothing before them reaches it."""

    def __init__(self, vocabulary: int, answers: int) -> None:
        super().__init__()
        self.padding = vocabulary  # before the first token
        self.embedding = nn.Embedding(vocabulary + 1, _EMBED)
        self.hidden = nn.Linear(WINDOW_WIDTH * _EMBED, _WINDOW_HIDDEN)
        self.head = nn.Linear(_WINDOW_HIDDEN, answers)

    def forward(self, ids: Tensor) -> Tensor:  # (B, T) -> (B, answers)
        seen = ids[:, -WINDOW_WIDTH:]  # (B, at most WINDOW_WIDTH)
        missing = WINDOW_WIDTH - seen.shape[1]
        seen = nn.functional.pad(seen, (missing, 0), value=self.padding)  # (B, WINDOW_WIDTH)
        embedded = self.embedding(seen).flatten(1)  # (B, WINDOW_WIDTH * E)
        logits: Tensor = self.head(torch.tanh(self.hidden(embedded)))
        return logits


def measure(options: MemoryOptions) -> Iterator[Measured]:
    """Train and test the models, and yield each when it has been tested at all distances. Raises
    UsageError, before anything is trained, for a distance that a task does not have."""
    for name in options.tasks:
        least = MEMORY_TASKS[name].least_distance
        if min(options.distances) < least:
            raise UsageError(
                f"the distances of the task {name} are at least {least}, not "
                f"{min(options.distances)}: change --distances, or name another --task"
            )
    return _measured(options)


def _measured(options: MemoryOptions) -> Iterator[Measured]:
    torch.set_num_threads(options.threads)
    for name in options.tasks:
        task = MEMORY_TASKS[name]
        for model in TITLES:
            parameters = 0
            accuracies: dict[int, list[float]] = {}
            for distance in options.distances:
                for seed in range(options.seed, options.seed + options.seeds):
                    network = make_network(model, task, seed)
                    train(network, task, distance, options.steps, seed)
                    found = accuracy(network, task, distance, seed)
                    accuracies.setdefault(distance, []).append(found)
                    parameters = sum(weight.numel() for weight in network.parameters())
            yield Measured(name, model, parameters, 1 / len(task.answers), accuracies)


def make_network(model: str, task: MemoryTask, seed: int) -> nn.Module:
    """Make a network with random weights: the window, or a recurrent one with this cell."""
    torch.manual_seed(seed)
    sizes = (len(task.vocabulary), len(task.answers))
    return Window(*sizes) if model == "window" else LastStep(model, *sizes)


def train(network: nn.Module, task: MemoryTask, longest: int, steps: int, seed: int) -> None:
    """Train a network on examples of all distances up to `longest`, each as often."""
    # Training and test have streams of random numbers of their own.
    rng = np.random.default_rng((seed, longest, 0))
    optimizer = Optimizer(network, _OPTIMIZER)
    for step in range(steps):
        distance = int(rng.integers(task.least_distance, longest + 1))
        batch = training_batch(task, rng, distance, _BATCH)
        logits = network(torch.from_numpy(batch.ids))  # (B, answers)
        loss = nn.functional.cross_entropy(logits, torch.from_numpy(batch.answers))
        loss.backward()  # type: ignore[no-untyped-call]
        decay = min(1.0, (steps - step) / (_DECAY * steps))
        optimizer.step(_OPTIMIZER.learning_rate * decay, step)


@torch.no_grad()
def accuracy(network: nn.Module, task: MemoryTask, distance: int, seed: int) -> float:
    """Return the share of held-out examples of a distance that a network answers rightly."""
    rng = np.random.default_rng((seed, distance, 1))
    size = _TEST_EXAMPLES // (_TEST_DRAWS * len(task.answers))  # contexts of a draw
    right = 0
    for _ in range(_TEST_DRAWS):
        batch = held_out_batch(task, rng, distance, size)
        answers = network(torch.from_numpy(batch.ids)).argmax(dim=1).numpy()  # (B)
        right += int((answers == batch.answers).sum())
    return right / _TEST_EXAMPLES
