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

from rnntext import checkpoint
from rnntext.checkpoint_config import CheckpointConfig
from rnntext.config import BACKWARD_WEIGHTS, EncoderConfig
from rnntext.errors import UsageError
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
        """Read the checkpoint of `--init`. Raises CheckpointError, and UsageError if the task
        cannot use its encoder."""
        source = checkpoint.load(directory)
        config = CheckpointConfig.of(source)
        encoder = config.model.encoder
        direction = get_task(options.task).init_direction
        if direction is InitDirection.FORWARD and encoder.bidirectional:
            raise UsageError(
                f"--init {directory}: its encoder reads in both directions, and a language model "
                "may not see what it predicts; start from a language model"
            )
        names = [n for n in source.shapes if n.startswith(("encoder.", _BACKWARD_LAYERS))]
        reads_both = encoder.bidirectional or config.model.backward_encoder
        return cls(
            encoder,
            reads_both if direction is InitDirection.INHERIT else direction is InitDirection.BOTH,
            Tokenizer.load(source.read(checkpoint.TOKENIZER).decode(), config.tokenizer),
            checkpoint.load_tensors(source, names),
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
