"""The networks that recurrent ones are compared with.

Knows: how ids become logits, emissions or the input of the output embeddings, with the interface
that the network of each task has for its objective. Does not know: losses, or how wide a network is
made (`sizes.py`).

`width` is the size of the hidden layer, or of each layer or window.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from rnntext.config import ModelConfig
from rnntext.training.comparison.layers import Embedded, Window, is_token, linear
from rnntext.training.networks.crf import make_decoder
from rnntext.training.networks.encoder import LockedDropout, State
from rnntext.training.recipes import Recipe

# Makes a network of a width. The configuration is that of the recurrent network beside it, of which
# the vocabulary, the embeddings and the labels are used.
Builder = Callable[[ModelConfig, Recipe, int], nn.Module]

# Places of the windows: of a document's three kinds of filters (Kim 2014), and of each of a
# sentence's two layers.
_DOCUMENT_WINDOWS = (3, 4, 5)
_SENTENCE_WINDOW, _SENTENCE_LAYERS = 5, 2
# Tokens that the feed-forward language model reads (Bengio et al. 2003 tried 2 to 5), and the
# layers of the causal convolution: the places of a window, and the distance between two of them.
CONTEXT = 4
_CAUSAL_WINDOW, _CAUSAL_DILATIONS = 3, (1, 2, 4)
CAUSAL_CONTEXT = 1 + (_CAUSAL_WINDOW - 1) * sum(_CAUSAL_DILATIONS)


class _Output(nn.Module):
    """Dropout and the linear layer for the labels, named as in the heads of recurrent networks."""

    def __init__(self, inputs: int, labels: int, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(inputs, labels)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.output(self.dropout(x))
        return logits


# Documents


class BagOfEmbeddings(nn.Module):
    """A feed-forward classifier of the mean of the embeddings (deep averaging network, Iyyer et
    al. 2015). It does not see in which order the tokens stand."""

    def __init__(self, config: ModelConfig, recipe: Recipe, width: int) -> None:
        super().__init__()
        self.config = config
        self.encoder = Embedded(config.encoder, recipe)
        self.hidden = linear(config.encoder.embed_size, width)
        self.head = _Output(width, len(config.labels), recipe.dropout)

    def forward(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """ids (B, T), lengths (B) -> logits (B, labels)."""
        mean = self.encoder(ids, lengths).sum(0) / lengths[:, None]  # (B, E)
        logits: Tensor = self.head(self.hidden(mean).relu())
        return logits


class DocumentConvolution(nn.Module):
    """Windows of three to five tokens, and the largest value of each filter over the document (Kim
    2014)."""

    def __init__(self, config: ModelConfig, recipe: Recipe, width: int) -> None:
        super().__init__()
        self.config = config
        self.encoder = Embedded(config.encoder, recipe)
        embed = config.encoder.embed_size
        self.windows = nn.ModuleList(Window(embed, width, size) for size in _DOCUMENT_WINDOWS)
        self.head = _Output(len(self.windows) * width, len(config.labels), recipe.dropout)

    def forward(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """ids (B, T), lengths (B) -> logits (B, labels)."""
        x = self.encoder(ids, lengths)
        padding = ~is_token(ids, lengths)
        pooled = [
            # No value of ReLU is smaller than the 0 at padding.
            window.centred(x).relu().masked_fill(padding, 0.0).amax(0)  # type: ignore[operator]
            for window in self.windows
        ]
        logits: Tensor = self.head(torch.cat(pooled, dim=-1))  # (B, 3 * width) -> (B, labels)
        return logits


# Sentences


def mean_of_words(x: Tensor, first: Tensor, last: Tensor) -> Tensor:
    """x (T, B, H), first and last token (B, W) of each word -> the means of the words' tokens
    (B, W, H), differences of running sums. They are computed in float32."""
    sums = nn.functional.pad(x.float().cumsum(0), (0, 0, 0, 0, 1, 0)).transpose(0, 1)  # (B, 1+T, H)
    row = torch.arange(sums.shape[0], device=x.device)[:, None]
    count = (last - first + 1)[..., None]
    return (sums[row, last + 1] - sums[row, first]) / count


class WordAlone(nn.Module):
    """A feed-forward tagger of the mean of the embeddings of a word's tokens. It sees neither the
    words around it nor their tags: all scores of its chain are 0 and stay so."""

    def __init__(self, config: ModelConfig, recipe: Recipe, width: int) -> None:
        super().__init__()
        self.config = config
        self.encoder = Embedded(config.encoder, recipe)
        self.hidden = linear(config.encoder.embed_size, width)
        self.head = _Output(width, len(config.labels), recipe.dropout)
        self.head.crf = make_decoder(config).requires_grad_(False)

    def forward(self, ids: Tensor, lengths: Tensor, first: Tensor, last: Tensor) -> Tensor:
        """ids (B, T), lengths (B), first and last (B, W) -> emissions (B, W, labels)."""
        words = mean_of_words(self.encoder(ids, lengths), first, last)  # (B, W, E)
        emissions: Tensor = self.head(self.hidden(words).relu())
        return emissions


class SentenceConvolution(nn.Module):
    """Two layers of windows over the tokens of a sentence (after Collobert et al. 2011), and the
    chain of the recurrent tagger. A word's vector is the mean of its tokens'."""

    def __init__(self, config: ModelConfig, recipe: Recipe, width: int) -> None:
        super().__init__()
        self.config = config
        self.encoder = Embedded(config.encoder, recipe)
        inputs = [config.encoder.embed_size] + [width] * (_SENTENCE_LAYERS - 1)
        self.layers = nn.ModuleList(Window(size, width, _SENTENCE_WINDOW) for size in inputs)
        self.dropout = LockedDropout(recipe.dropout)
        self.head = _Output(width, len(config.labels), recipe.dropout)
        self.head.crf = make_decoder(config)

    def forward(self, ids: Tensor, lengths: Tensor, first: Tensor, last: Tensor) -> Tensor:
        """ids (B, T), lengths (B), first and last (B, W) -> emissions (B, W, labels)."""
        padding = ~is_token(ids, lengths)
        x = self.encoder(ids, lengths)
        for layer in self.layers:
            x = layer.centred(x).relu().masked_fill(padding, 0.0)  # type: ignore[operator]
            x = self.dropout(x)
        emissions: Tensor = self.head(mean_of_words(x, first, last))
        return emissions


# Running text


class _TextHead(nn.Module):
    """The projection to the output embeddings, which are the input embeddings, and their bias."""

    def __init__(self, inputs: int, config: ModelConfig) -> None:
        super().__init__()
        self.projection = linear(inputs, config.encoder.embed_size)
        self.bias = nn.Parameter(torch.zeros(config.encoder.vocab_size))


class FixedContext(nn.Module):
    """A language model that sees a fixed number of tokens. In place of a recurrent state it carries
    the embeddings of the last of them from call to call."""

    def __init__(
        self,
        config: ModelConfig,
        recipe: Recipe,
        width: int,
        window: int,
        dilations: tuple[int, ...],
    ) -> None:
        super().__init__()
        self.config = config
        self.encoder = Embedded(config.encoder, recipe)
        self.dropout = LockedDropout(recipe.dropout)
        inputs = [config.encoder.embed_size] + [width] * (len(dilations) - 1)
        self.layers = nn.ModuleList(
            Window(size, width, window, dilation)
            for size, dilation in zip(inputs, dilations, strict=True)
        )
        self.head = _TextHead(width, config)

    @property
    def context(self) -> int:
        """The number of tokens before the one that is read."""
        return sum(layer.reach for layer in self.layers)  # type: ignore[misc]

    def scale_dropout(self, scale: float) -> None:
        """Multiply the dropout probabilities by `scale` from now on."""
        self.encoder.input_dropout.scale = self.dropout.scale = scale

    def hidden(self, ids: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """ids (B, T), state, which is the embeddings of the tokens before (context, B, E), None: 0
        -> input of the output embeddings (T, B, E), state."""
        x = self.encoder.embedding(ids.t())  # (T, B, E)
        before = x.new_zeros(self.context, *x.shape[1:]) if state is None else state[0]
        x = torch.cat([before.to(x), x])  # (context + T, B, E)
        state = (x[len(x) - self.context :],)
        x = self.encoder.input_dropout(self.encoder.token_dropout(x))
        for number, layer in enumerate(self.layers):
            outputs = layer(x).tanh()
            # A residual connection around all layers but the first, whose sizes differ.
            x = self.dropout(outputs if number == 0 else outputs + x[-len(outputs) :])
        return self.head.projection(x), state


def fixed_window(config: ModelConfig, recipe: Recipe, width: int) -> FixedContext:
    """Build the feed-forward language model of Bengio et al. (2003): the embeddings of a window,
    concatenated, and one hidden layer."""
    return FixedContext(config, recipe, width, CONTEXT, (1,))


def causal_convolution(config: ModelConfig, recipe: Recipe, width: int) -> FixedContext:
    """Build a convolution over the tokens before, its windows ever wider, with residual connections
    (temporal convolutional network, Bai, Kolter and Koltun 2018)."""
    return FixedContext(config, recipe, width, _CAUSAL_WINDOW, _CAUSAL_DILATIONS)
