"""The memory that a run needs, and the option to change where it is too much.

Knows: which copies of the weights training keeps, what a batch adds, and how large an exported
file may be. Does not know: any one task, or how much memory there is (`engine/memory.py`).
"""

from __future__ import annotations

import torch

from rnntext.errors import TrainingError
from rnntext.training.declaration import flag_of
from rnntext.training.engine.device import Machine
from rnntext.training.engine.distributed import Ranks
from rnntext.training.engine.memory import require_memory
from rnntext.training.networks.size import NetworkSize
from rnntext.training.options import TrainingOptions, has_option
from rnntext.training.recipes import Recipe
from rnntext.training.tasks.base import TaskObjective

# Bytes that an ONNX file can hold: protobuf's limit is 2 GiB.
_LARGEST_FILE = 2_000_000_000


def require_model_memory(
    size: NetworkSize, options: TrainingOptions, recipe: Recipe, machine: Machine
) -> None:
    """Raise TrainingError for a model that is too large for its file or for the memory."""
    parts = {
        "--vocab-size or --embed": size.embedding,
        "--hidden or --layers": size.layers,
        "--hidden": size.head,
    }
    advice = f"make {max(parts, key=lambda name: parts[name])} smaller"
    if options.init is not None:
        advice = "start from a smaller model with --init"
    what = f"a model of {size.parameters:,} parameters"
    if 4 * size.parameters > _LARGEST_FILE:
        raise TrainingError(
            f"{what} does not fit into an ONNX file, which holds at most "
            f"{_LARGEST_FILE // 4:,}: {advice}"
        )
    # The weights, two moments and the best weights, and the average where there is one.
    state = 4.0 * (5 if recipe.ema_decay else 4) * size.parameters  # bytes
    gradients = 4.0 * size.parameters
    require_memory(state + gradients, machine.device, what, advice)
    # While the state is saved there are its tensors and, in safetensors, the file's bytes twice. If
    # they do not fit, that library ends the process.
    require_memory(3 * state, torch.device("cpu"), what, advice)


def require_batch_memory(
    size: NetworkSize,
    options: TrainingOptions,
    objective: TaskObjective,
    machine: Machine,
    ranks: Ranks,
) -> None:
    """Raise TrainingError for a batch whose activations are too large for the memory."""
    evaluated = objective.valid_tokens() * objective.quick_fraction
    tokens = evaluated / objective.steps_per_quick_evaluation / ranks.size
    needed = tokens * size.activations * machine.dtype.itemsize
    what = f"a batch of {tokens:,.0f} tokens"
    require_memory(needed, machine.device, what, smaller_batch(options))


def smaller_batch(options: TrainingOptions) -> str:
    """The advice where a batch does not fit into the memory."""
    flags = (flag_of(name) for name in ("batch_size", "bptt") if has_option(options.task, name))
    return f"make {' or '.join(flags)} smaller, or the model"
