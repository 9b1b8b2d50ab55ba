"""Another checkpoint to start a run from: its tokenizer, its embeddings and its encoder.

Knows: what of it is taken over, and what a new encoder that is wider makes of it. Does not know:
how a run goes on from there.
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
from rnntext.config import EncoderConfig
from rnntext.errors import UsageError
from rnntext.text.tokenizer import Tokenizer
from rnntext.training.networks.encoder import Network
from rnntext.training.options import TrainingOptions
from rnntext.training.presets import Recipe
from rnntext.training.tasks.base import InitDirection, get_task


@dataclass(frozen=True, slots=True)
class PretrainedEncoder:
    """Another checkpoint's tokenizer, embeddings and encoder, to start from."""

    encoder: EncoderConfig
    bidirectional: bool  # whether the new model's encoder reads in both directions
    tokenizer: Tokenizer
    weights: dict[str, np.ndarray[Any, Any]]

    @classmethod
    def load(cls, directory: Path, options: TrainingOptions) -> PretrainedEncoder:
        source = checkpoint.load(directory)
        config = CheckpointConfig.of(source)
        encoder = config.model.encoder
        direction = get_task(options.task).init_direction
        if direction is InitDirection.FORWARD and encoder.bidirectional:
            raise UsageError(
                f"--init {directory}: its encoder reads in both directions, and a language model "
                "may not see what it predicts; start from a language model"
            )
        names = [n for n in checkpoint.tensor_shapes(source) if n.startswith("encoder.")]
        return cls(
            encoder,
            encoder.bidirectional
            if direction is InitDirection.INHERIT
            else direction is InitDirection.BOTH,
            Tokenizer.load(source.file(checkpoint.TOKENIZER).read_text("utf-8"), config.tokenizer),
            checkpoint.load_tensors(source, names),
        )

    def adapt_recipe(self, recipe: Recipe) -> Recipe:
        """The recipe with this encoder's sizes."""
        return replace(
            recipe,
            cell=self.encoder.cell,
            layers=self.encoder.num_layers,
            hidden=self.encoder.hidden_size,
            embed=self.encoder.embed_size,
            bidirectional=self.bidirectional,
        )

    def copy_weights(self, model: Network) -> None:
        """Copy what is there. Where the new encoder also reads backward and this one does not,
        the forward direction starts by computing exactly what it computed before: the part of
        a layer's input that comes from the backward direction has weights of zero."""
        state = model.state_dict()
        for name, array in self.weights.items():
            old = torch.from_numpy(array)
            new: Tensor = state[name]
            if new.shape != old.shape:
                widened = torch.zeros_like(new)
                widened[:, : old.shape[1]] = old
                old = widened
            new.copy_(old)
