"""The networks: cells, the recurrent encoder that all tasks share, and a head for each task.

Reads top to bottom. Knows: tensors in, tensors out, and the explicit state of a recurrence.
Does not know: text, batches, losses over a corpus, files. Time runs along the first axis
inside the encoder (T, B, ...), because that is how a recurrence walks; ids come and states
leave in the same order of rows as the caller's.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from rnntext.config import EncoderConfig, ModelConfig
from rnntext.training.networks.crf import ConditionalRandomField

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


class LanguageModelHead(nn.Module):
    """Scores of the next token; the output weights are the embeddings (Press and Wolf 2017)."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        # The states meet the embeddings in the embeddings' width.
        self.projection = (
            nn.Linear(config.output_size, config.embed_size)
            if config.output_size != config.embed_size
            else None
        )
        self.bias = nn.Parameter(torch.zeros(config.vocab_size))

    def forward(self, states: Tensor) -> Tensor:  # (..., output_size) -> (..., E)
        if self.projection is None:
            return states
        projected: Tensor = self.projection(states)
        return projected


class ClassifierHead(nn.Module):
    """Scores of the labels from three views of the states: the last, the largest and the mean
    (concat pooling, Howard and Ruder 2018). For a bidirectional encoder the last state is the
    forward direction's at the last token beside the backward direction's at the first."""

    def __init__(self, config: EncoderConfig, num_labels: int, dropout: float) -> None:
        super().__init__()
        self.hidden_size = config.hidden_size
        self.bidirectional = config.bidirectional
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(3 * config.output_size, num_labels)

    def forward(self, states: Tensor, lengths: Tensor) -> Tensor:
        """states (T, B, H), lengths (B) of at least 1 -> logits (B, labels)."""
        last, largest, total = self.pool(states, lengths)
        return self.logits(last, largest, total / lengths[:, None])

    def pool(self, states: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The last state, the largest and the sum of all, (B, H) each."""
        steps, rows = states.shape[:2]
        row = torch.arange(rows, device=states.device)
        last = states[lengths - 1, row]  # (B, H)
        if self.bidirectional:
            last = torch.cat(
                [last[:, : self.hidden_size], states[0, :, self.hidden_size :]], dim=-1
            )
        valid = torch.arange(steps, device=states.device)[:, None] < lengths  # (T, B)
        largest = states.masked_fill(~valid[..., None], -1e4).amax(0)  # (B, H)
        return last, largest, states.masked_fill(~valid[..., None], 0.0).sum(0)

    def logits(self, last: Tensor, largest: Tensor, mean: Tensor) -> Tensor:
        """The three views (B, H) -> logits (B, labels)."""
        views = torch.cat([last, largest, mean], dim=-1)  # (B, 3H)
        logits: Tensor = self.output(self.dropout(views))
        return logits


class TaggerHead(nn.Module):
    """Scores of the tags of each word, and the CRF over them.

    A word's vector is the forward direction's state at its last token beside the backward
    direction's at its first: the two that have read the whole word.
    """

    def __init__(self, config: EncoderConfig, num_labels: int, dropout: float) -> None:
        super().__init__()
        self.hidden_size = config.hidden_size
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(config.output_size, num_labels)
        self.crf = ConditionalRandomField(num_labels)

    def forward(self, states: Tensor, first: Tensor, last: Tensor) -> Tensor:
        """states (T, B, H), first and last (B, W) token of each word -> emissions (B, W, L)."""
        row = torch.arange(states.shape[1], device=states.device)[:, None]  # (B, 1)
        forward = states[last, row, : self.hidden_size]  # (B, W, H)
        backward = states[first, row, self.hidden_size :]  # (B, W, H or 0)
        words = self.dropout(torch.cat([forward, backward], dim=-1))
        emissions: Tensor = self.output(words)
        return emissions


class LanguageModel(nn.Module):
    """The encoder under a language model's head."""

    def __init__(self, config: ModelConfig, dropout: float = 0.0) -> None:
        super().__init__()
        self.config = config
        self.encoder = RecurrentEncoder(config.encoder, dropout, 0.0)
        self.head = LanguageModelHead(config.encoder)

    def forward(self, ids: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """ids (B, T), state -> logits (B, T, V), state."""
        states, state = self.hidden(ids, state)
        logits = torch.addmm(
            self.head.bias, states.flatten(0, 1), self.encoder.embedding.weight.t()
        )
        return logits.view(*states.shape[:2], -1).transpose(0, 1), state

    def hidden(self, ids: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """ids (B, T), state -> what meets the output embeddings (T, B, E), state."""
        states, state = self.encoder(ids, None, state)
        return self.head(states), state


class Classifier(nn.Module):
    """The encoder under a classifier's head."""

    def __init__(
        self, config: ModelConfig, dropout: float = 0.0, token_dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.config = config
        self.encoder = RecurrentEncoder(config.encoder, dropout, token_dropout)
        self.head = ClassifierHead(config.encoder, len(config.labels), dropout)

    def forward(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """ids (B, T), lengths (B) -> logits (B, labels)."""
        states, _ = self.encoder(ids, lengths)
        logits: Tensor = self.head(states, lengths)
        return logits


class Tagger(nn.Module):
    """The encoder under a tagger's head."""

    def __init__(
        self, config: ModelConfig, dropout: float = 0.0, token_dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.config = config
        self.encoder = RecurrentEncoder(config.encoder, dropout, token_dropout)
        self.head = TaggerHead(config.encoder, len(config.labels), dropout)

    def forward(self, ids: Tensor, lengths: Tensor, first: Tensor, last: Tensor) -> Tensor:
        """ids (B, T), lengths (B), first and last (B, W) -> emissions (B, W, labels)."""
        states, _ = self.encoder(ids, lengths)
        emissions: Tensor = self.head(states, first, last)
        return emissions


Model = LanguageModel | Classifier | Tagger


def build_model(config: ModelConfig, dropout: float = 0.0, token_dropout: float = 0.0) -> Model:
    """The network that `config` describes, with fresh weights from torch's random state."""
    if config.task == "lm":
        return LanguageModel(config, dropout)
    if config.task == "classify":
        return Classifier(config, dropout, token_dropout)
    return Tagger(config, dropout, token_dropout)
