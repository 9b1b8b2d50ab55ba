"""The recurrent encoder that all tasks share: embeddings, dropout, cells and layers.

Reads top to bottom. Knows: tensors in, tensors out, and the explicit state of a recurrence.
Does not know: heads, text, batches, losses or files. Time is the first axis inside the encoder
(T, B, ...), because a recurrence runs along it; ids come in, and states go out, in the caller's
order of rows.
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
        self.share = 1.0  # the part of it that is used for now

    def forward(self, x: Tensor) -> Tensor:  # (T, B, H) -> (T, B, H)
        if not self.training or self.probability == 0:
            return x
        keep = 1 - self.share * self.probability
        mask = x.new_empty(1, *x.shape[1:]).bernoulli_(keep).div_(keep)  # (1, B, H)
        return x * mask


class TokenDropout(nn.Module):
    """Leaves out whole tokens: their embeddings become zero (Iyyer et al. 2015)."""

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability

    def forward(self, x: Tensor) -> Tensor:  # (T, B, E) -> (T, B, E)
        if not self.training or self.probability == 0:
            return x
        return x * x.new_empty(*x.shape[:2], 1).bernoulli_(1 - self.probability)


def make_cell(cell: str, input_size: int, hidden_size: int) -> nn.RNNBase:
    """One layer of one direction: vanilla RNN with tanh (Elman 1990), GRU (Cho et al. 2014) or
    LSTM (Hochreiter and Schmidhuber 1997), with the LSTM's forget gate open at the start
    (Gers, Schmidhuber and Cummins 2000)."""
    kinds: dict[str, Callable[[int, int], nn.RNNBase]]
    kinds = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}
    module = kinds[cell](input_size, hidden_size)
    for name, parameter in module.named_parameters():
        if name.startswith("weight_hh"):
            # Gates side by side, each orthogonal of its own: (gates * H, H).
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
    """One layer, reading forward and, where bidirectional, backward as well.

    The backward direction reads each row reversed within its own length, so that padding,
    always at a row's end, never comes before a word in either direction.
    """

    def __init__(self, config: EncoderConfig, input_size: int) -> None:
        super().__init__()
        self.forward_cell = make_cell(config.cell, input_size, config.hidden_size)
        self.backward_cell = (
            make_cell(config.cell, input_size, config.hidden_size) if config.bidirectional else None
        )

    def forward(
        self, x: Tensor, state: State | None, reversal: Tensor | None
    ) -> tuple[Tensor, State]:
        """x (T, B, I), state of the forward direction with parts (1, B, H), reversal (T, B, 1)
        -> outputs (T, B, directions * H), the forward direction's state after step T."""
        hidden = state if state is None or len(state) > 1 else state[0]
        outputs, final = self.forward_cell(x, hidden)
        parts = final if isinstance(final, tuple) else (final,)
        if self.backward_cell is None:
            return outputs, parts
        assert reversal is not None  # noqa: S101
        backward, _ = self.backward_cell(x.gather(0, reversal.expand_as(x)))
        backward = backward.gather(0, reversal.expand_as(backward))
        return torch.cat([outputs, backward], dim=-1), parts  # (T, B, 2H)


class RecurrentEncoder(nn.Module):
    """Embeddings and layers: ids to one state vector a token."""

    def __init__(self, config: EncoderConfig, dropout: float, token_dropout: float) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocab_size, config.embed_size)
        nn.init.uniform_(self.embedding.weight, -0.1, 0.1)
        self.token_dropout = TokenDropout(token_dropout)
        self.input_dropout = LockedDropout(dropout / 2)
        self.dropout = LockedDropout(dropout)
        widths = [config.embed_size] + [config.output_size] * (config.num_layers - 1)
        self.layers = nn.ModuleList(RecurrentLayer(config, width) for width in widths)

    def scale_dropout(self, share: float) -> None:
        """Use this part of the dropout from now on."""
        self.input_dropout.share = self.dropout.share = share

    def forward(
        self, ids: Tensor, lengths: Tensor | None = None, state: State | None = None
    ) -> tuple[Tensor, State]:
        """ids (B, T), lengths (B) of the rows (None: all of T), state with parts
        (layers, B, H) -> outputs (T, B, output_size), the forward direction's state after
        step T (meaningful for rows without padding)."""
        x = self.embedding(ids.t())  # (T, B, E)
        x = self.input_dropout(self.token_dropout(x))
        reversal = _reversal(ids, lengths) if self.config.bidirectional else None
        finals: list[State] = []
        for index, layer in enumerate(self.layers):
            before = (
                None
                if state is None
                else tuple(part[index : index + 1].contiguous() for part in state)
            )
            x, final = layer(x, before, reversal)
            finals.append(final)
            x = self.dropout(x)
        return x, tuple(torch.cat(parts) for parts in zip(*finals, strict=True))


def _reversal(ids: Tensor, lengths: Tensor | None) -> Tensor:
    """Where step t of each row comes from when the row is read backward: (T, B, 1).

    Padding stays in its place; applying it twice gives the row back.
    """
    rows, steps = ids.shape
    step = torch.arange(steps, device=ids.device)[:, None]  # (T, 1)
    if lengths is None:
        lengths = ids.new_full((rows,), steps)
    mirrored = lengths[None, :] - 1 - step  # (T, B)
    return torch.where(mirrored >= 0, mirrored, step)[..., None]


class Network(nn.Module):
    """The shared encoder under the head of one task; subclasses add the head."""

    def __init__(self, config: ModelConfig, dropout: float, token_dropout: float) -> None:
        super().__init__()
        self.config = config
        self.encoder = RecurrentEncoder(config.encoder, dropout, token_dropout)
