"""The recurrent encoder that all tasks share: embeddings, dropout, cells and layers.

Knows: the layers, and the hidden state that the caller passes from call to call. Does not know:
heads, text, batches, losses or files. Inside the encoder time is the first axis (T, B, ...),
because the recurrence runs along it.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from rnntext.config import EncoderConfig, ModelConfig

# Hidden state, and for the LSTM the cell state, each (layers, B, hidden).
State = tuple[Tensor, ...]


class LockedDropout(nn.Module):
    """Dropout with one mask for all steps of a sequence (Gal and Ghahramani 2016)."""

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability
        self.scale = 1.0  # factor of the probability, for the warm-up of dropout

    def forward(self, x: Tensor) -> Tensor:  # (T, B, H) -> (T, B, H)
        if not self.training or self.probability == 0:
            return x
        keep = 1 - self.scale * self.probability
        mask = x.new_empty(1, *x.shape[1:]).bernoulli_(keep).div_(keep)  # (1, B, H)
        return x * mask


class TokenDropout(nn.Module):
    """Sets the embeddings of random tokens to zero (word dropout, Iyyer et al. 2015)."""

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability

    def forward(self, x: Tensor) -> Tensor:  # (T, B, E) -> (T, B, E)
        if not self.training or self.probability == 0:
            return x
        return x * x.new_empty(*x.shape[:2], 1).bernoulli_(1 - self.probability)


def make_cell(cell: str, input_size: int, hidden_size: int) -> nn.RNNBase:
    """Make one layer of one direction: vanilla RNN with tanh (Elman 1990), GRU (Cho et al. 2014) or
    LSTM (Hochreiter and Schmidhuber 1997). The bias of the LSTM's forget gate is 1, so that the
    gate is open before training (Gers, Schmidhuber and Cummins 2000)."""
    kinds: dict[str, Callable[[int, int], nn.RNNBase]]
    kinds = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}
    module = kinds[cell](input_size, hidden_size)
    for name, parameter in module.named_parameters():
        if name.startswith("weight_hh"):
            # (gates * H, H): the matrix of each gate is orthogonal.
            for gate in torch.split(parameter.data, hidden_size):
                nn.init.orthogonal_(gate)
        elif name.startswith("weight_ih"):
            for gate in torch.split(parameter.data, hidden_size):
                nn.init.xavier_uniform_(gate)
        else:
            nn.init.zeros_(parameter)
    if cell == "lstm":
        # PyTorch's order of gates: input, forget, cell, output.
        forget = slice(hidden_size, 2 * hidden_size)
        dict(module.named_parameters())["bias_ih_l0"].data[forget] = 1.0
    return module


class RecurrentLayer(nn.Module):
    """One layer, unidirectional or bidirectional.

    For the backward direction each row is reversed within its own length, so that in both
    directions padding comes after all tokens.
    """

    def __init__(self, config: EncoderConfig, input_size: int) -> None:
        super().__init__()
        self.forward_cell = make_cell(config.cell, input_size, config.hidden_size)
        self.backward_cell = (
            make_cell(config.cell, input_size, config.hidden_size) if config.bidirectional else None
        )

    def forward(
        self, x: Tensor, state: State | None, reversed_steps: Tensor | None
    ) -> tuple[Tensor, State]:
        """x (T, B, I), forward state with parts (1, B, H), reversed_steps (T, B, 1)
        -> outputs (T, B, directions * H), forward state after step T."""
        hidden = state if state is None or len(state) > 1 else state[0]
        outputs, final = self.forward_cell(x, hidden)
        parts = final if isinstance(final, tuple) else (final,)
        if self.backward_cell is None:
            return outputs, parts
        assert reversed_steps is not None  # noqa: S101
        backward, _ = self.backward_cell(x.gather(0, reversed_steps.expand_as(x)))
        backward = backward.gather(0, reversed_steps.expand_as(backward))
        return torch.cat([outputs, backward], dim=-1), parts  # (T, B, 2H)


def make_layers(config: EncoderConfig) -> nn.ModuleList:
    """Make the recurrent layers, of which the first reads embeddings."""
    widths = [config.embed_size] + [config.output_size] * (config.num_layers - 1)
    return nn.ModuleList(RecurrentLayer(config, width) for width in widths)


def run_layers(
    layers: nn.ModuleList,
    dropout: LockedDropout,
    x: Tensor,
    state: State | None,
    reversed_steps: Tensor | None,
) -> tuple[Tensor, State]:
    """x (T, B, I), forward state with parts (layers, B, H), reversed_steps (T, B, 1) -> outputs of
    the last layer (T, B, directions * H), forward state after step T. Dropout follows each layer.
    """
    final_states: list[State] = []  # of each layer
    for index, layer in enumerate(layers):
        layer_state = (
            None if state is None else tuple(part[index : index + 1].contiguous() for part in state)
        )
        x, final_state = layer(x, layer_state, reversed_steps)
        final_states.append(final_state)
        x = dropout(x)
    return x, tuple(torch.cat(parts) for parts in zip(*final_states, strict=True))


class RecurrentEncoder(nn.Module):
    """Embeddings and recurrent layers: one output vector for each token id."""

    def __init__(self, config: EncoderConfig, dropout: float, token_dropout: float) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocab_size, config.embed_size)
        nn.init.uniform_(self.embedding.weight, -0.1, 0.1)
        self.token_dropout = TokenDropout(token_dropout)
        self.input_dropout = LockedDropout(dropout / 2)
        self.dropout = LockedDropout(dropout)
        self.layers = make_layers(config)

    def scale_dropout(self, scale: float) -> None:
        """Multiply the dropout probabilities by `scale` from now on."""
        self.input_dropout.scale = self.dropout.scale = scale

    def forward(
        self, ids: Tensor, lengths: Tensor | None = None, state: State | None = None
    ) -> tuple[Tensor, State]:
        """ids (B, T), lengths (B) of the rows (None: no padding), forward state with parts
        (layers, B, H) -> outputs (T, B, output_size), forward state after step T (of use only for
        rows without padding)."""
        x = self.embedding(ids.t())  # (T, B, E)
        x = self.input_dropout(self.token_dropout(x))
        reversed_steps = _reversed_steps(ids, lengths) if self.config.bidirectional else None
        return run_layers(self.layers, self.dropout, x, state, reversed_steps)


def _reversed_steps(ids: Tensor, lengths: Tensor | None) -> Tensor:
    """Return the index (T, B, 1) that reverses each row within its length.

    Padding stays in its place. Applied twice, the index restores the row.
    """
    rows, steps = ids.shape
    step = torch.arange(steps, device=ids.device)[:, None]  # (T, 1)
    if lengths is None:
        lengths = ids.new_full((rows,), steps)
    mirrored = lengths[None, :] - 1 - step  # (T, B)
    return torch.where(mirrored >= 0, mirrored, step)[..., None]


class Network(nn.Module):
    """The shared encoder with the head of one task, which the subclass adds."""

    def __init__(self, config: ModelConfig, dropout: float, token_dropout: float) -> None:
        super().__init__()
        self.config = config
        self.encoder = RecurrentEncoder(config.encoder, dropout, token_dropout)
