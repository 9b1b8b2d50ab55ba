"""Cross-entropy over a vocabulary, with its gradient, as fast as it can be had.

Knows: the full softmax and a sampled one, both computing the gradient on the way forward so
that the logits are held once. Does not know: models or batches. Reported perplexities never
come from here: they are computed exactly, in float32, over the whole vocabulary.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

# A vocabulary below this gains nothing from sampling.
_SAMPLED_FROM = 5000
# Words are summed over in multiples of this: for each new size of a product a kernel is made and
# kept, and memory that one size frees does not fit the next. Over 100 MB of text, 555 MB became
# 415 MB.
_MULTIPLE = 64


class Softmax:
    """The training loss of a language model's output layer.

    In a large vocabulary a few words hold most of the probability. The commonest tenth is
    therefore summed exactly, and the rest is estimated from a fresh uniform sample of it, each
    sampled word standing for its share of the rest (stratified importance sampling of the
    partition function, after Bengio and Senecal 2003). The target always counts exactly.
    """

    def __init__(self, counts: Tensor, dtype: torch.dtype, seed: int = 0) -> None:
        """`counts` (V): how often each id stands in the training text. `dtype`: that of the
        matrix products; sums are float32 either way. The same `seed` draws the same samples,
        whatever else draws random numbers: several processes take the same ones."""
        self.dtype = dtype
        # On the CPU, so that a run can go on on another device.
        self.generator = torch.Generator().manual_seed(seed)
        size = len(counts)
        order = torch.argsort(counts, descending=True, stable=True)
        head = max(1000, size // 10)
        self.head, self.tail = order[:head], order[head:]
        self.samples = max(1500, size * 15 // 100)
        # To sample, the size of a set of ids has to be known, for which a GPU would be waited for;
        # there the full softmax is a small part of a step.
        self.sampled = size >= _SAMPLED_FROM and counts.device.type != "cuda"

    def __call__(self, states: Tensor, weight: Tensor, bias: Tensor, targets: Tensor) -> Tensor:
        """states (N, E), weight (V, E), bias (V), targets (N) -> mean loss in nats, with
        gradients for states, weight and bias."""
        if not self.sampled:
            loss = _FullSoftmax.apply(  # type: ignore[no-untyped-call]
                states, weight, bias, targets, self.dtype
            )
        else:
            drawn = torch.randperm(len(self.tail), generator=self.generator)[: self.samples]
            sample = self.tail[drawn.to(targets.device)]
            loss = _SampledSoftmax.apply(  # type: ignore[no-untyped-call]
                states, weight, bias, targets, self.dtype, self.head, sample,
                math.log(len(self.tail) / self.samples),
            )  # fmt: skip
        assert isinstance(loss, Tensor)  # noqa: S101
        return loss


class _FullSoftmax(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, states: Tensor, weight: Tensor, bias: Tensor, targets: Tensor, dtype: torch.dtype
    ) -> Tensor:
        h, w = states.to(dtype), weight.to(dtype)
        logits = torch.addmm(bias.to(dtype), h, w.t())  # (N, V)
        loss, error = _loss_and_error(logits, targets)
        ctx.save_for_backward(*_gradients(error, states, w))
        return loss

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
        return *_scaled(ctx.saved_tensors, grad), None, None


class _SampledSoftmax(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        states: Tensor,
        weight: Tensor,
        bias: Tensor,
        targets: Tensor,
        dtype: torch.dtype,
        head: Tensor,
        sample: Tensor,
        log_share: float,
    ) -> Tensor:
        # Candidates (K): the head, the sample, and targets that are in neither.
        slot = torch.full((len(weight),), -1, device=targets.device)
        slot[head] = torch.arange(len(head), device=targets.device)
        slot[sample] = torch.arange(len(head), len(head) + len(sample), device=targets.device)
        missing = torch.unique(targets[slot[targets] < 0])
        known = len(head) + len(sample)
        used = known + len(missing)
        slot[missing] = torch.arange(known, used, device=targets.device)
        # The last ones only fill up the size: they count for nothing.
        candidates = torch.cat([head, sample, missing, head[: -used % _MULTIPLE]])
        # How many words each candidate stands for in other rows' sums, as a logarithm.
        stands_for = torch.zeros(len(candidates), device=targets.device)
        stands_for[len(head) : known] = log_share
        stands_for[known:] = -math.inf
        h, w = states.to(dtype), weight[candidates].to(dtype)
        logits = torch.addmm(bias[candidates].to(dtype), h, w.t())  # (N, K)
        chosen = slot[targets][:, None]  # (N, 1)
        own = logits.gather(1, chosen)
        logits += stands_for.to(dtype)
        logits.scatter_(1, chosen, own)
        loss, error = _loss_and_error(logits, chosen[:, 0])
        states_grad, rows_grad, entries_grad = _gradients(error, states, w)
        weight_grad = torch.zeros_like(weight)
        weight_grad[candidates[:used]] = rows_grad[:used]
        bias_grad = torch.zeros_like(bias)
        bias_grad[candidates[:used]] = entries_grad[:used]
        ctx.save_for_backward(states_grad, weight_grad, bias_grad)
        return loss

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
        return *_scaled(ctx.saved_tensors, grad), *[None] * 5


def _loss_and_error(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """logits (N, K) -> mean loss, and the gradient of the summed loss by the logits (N, K)."""
    error = torch.softmax(logits, dim=1)
    target = targets[:, None]
    probability = error.gather(1, target)
    loss = -probability.float().clamp_min(1e-30).log().mean()
    error.scatter_(1, target, probability - 1)
    return loss, error


def _gradients(error: Tensor, states: Tensor, w: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of the mean loss from that of the summed one: by the states (N, E), the weight's
    rows (K, E) and the bias's entries (K), in float32. The mean is taken where there is least to
    divide: a pass over a gradient as large as the vocabulary costs as much as a small product."""
    share = 1 / len(states)
    by_states = (error @ w).float() * share
    by_weight = (error.t() @ (states * share).to(w.dtype)).float()
    return by_states, by_weight, error.sum(0, dtype=torch.float32) * share


def _scaled(gradients: tuple[Tensor, ...], scale: Tensor) -> tuple[Tensor, ...]:
    """The gradients times that of the loss, which is nearly always 1; asking a GPU would mean
    waiting for it."""
    if scale.device.type == "cpu" and float(scale) == 1:
        return gradients
    return tuple(gradient * scale for gradient in gradients)
