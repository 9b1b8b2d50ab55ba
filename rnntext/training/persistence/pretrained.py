"""Initializes a run from another checkpoint: its tokenizer, embeddings and encoder.

Knows: which weights are copied, and how they are copied into a wider encoder. Does not know: how
the run continues.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rnntext.config import BACKWARD_WEIGHTS, EncoderConfig
from rnntext.errors import UsageError
from rnntext.graphs.stored import read_stored
from rnntext.text.tokenizer import Tokenizer
from rnntext.training.networks.encoder import Network
from rnntext.training.options import TrainingOptions
from rnntext.training.recipes import Recipe
from rnntext.training.tasks.base import InitDirection, get_task

_LAYERS = "encoder.layers."
_BACKWARD_LAYERS = BACKWARD_WEIGHTS + "layers."


@dataclass(frozen=True, slots=True)
class PretrainedEncoder:
    """The tokenizer, embeddings and encoder of another checkpoint."""

    encoder: EncoderConfig
    bidirectional: bool  # True if the new model's encoder is bidirectional
    tokenizer: Tokenizer
    weights: dict[str, np.ndarray[Any, Any]]

    @classmethod
    def load(cls, directory: Path, options: TrainingOptions) -> PretrainedEncoder:
        """Read the model of `--init`. Raises CheckpointError, and UsageError if the task cannot use
        its encoder."""
        source = read_stored(directory)
        encoder = source.config.encoder
        direction = get_task(options.task).init_direction
        if direction is InitDirection.FORWARD and encoder.bidirectional:
            raise UsageError(
                f"--init {directory}: its encoder reads in both directions, and a language model "
                "may not see what it predicts; start from a language model"
            )
        weights = {
            name: array
            for name, array in source.weights().items()
            if name.startswith(("encoder.", _BACKWARD_LAYERS))
        }
        has_second = any(name.startswith(_BACKWARD_LAYERS) for name in weights)
        if source.config.backward_encoder and not has_second:
            raise UsageError(
                f"--init {directory}: it lacks the second encoder of its model, which no graph "
                "has; name the directory that it was exported from"
            )
        reads_both = encoder.bidirectional or has_second
        return cls(
            encoder,
            reads_both if direction is InitDirection.INHERIT else direction is InitDirection.BOTH,
            source.tokenizer,
            weights,
        )

    def adapt_recipe(self, recipe: Recipe) -> Recipe:
        """Return the recipe with the sizes of this encoder."""
        return replace(
            recipe,
            cell=self.encoder.cell,
            layers=self.encoder.num_layers,
            hidden=self.encoder.hidden_size,
            embed=self.encoder.embed_size,
            bidirectional=self.bidirectional,
        )

    def copy_weights(self, model: Network) -> None:
        """Copy the weights into `model`. If only the new encoder is bidirectional, its forward
        direction computes exactly what this encoder computes: the input weights for the backward
        direction's outputs are zero. Its backward direction computes what a second encoder of a
        language model does, if there is one."""
        state = model.state_dict()
        for name, array in self.weights.items():
            source, at_end = torch.from_numpy(array), False
            if name not in state:
                at_end = True
                name = name.replace(_BACKWARD_LAYERS, _LAYERS)
                name = name.replace(".forward_cell.", ".backward_cell.")
                if name not in state:
                    continue  # the new model reads forward alone
            target: Tensor = state[name]
            if target.shape != source.shape:
                widened = torch.zeros_like(target)
                width = source.shape[1]
                widened[:, slice(-width, None) if at_end else slice(width)] = source
                source = widened
            target.copy_(source)
