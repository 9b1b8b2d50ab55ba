"""Fast cross-entropy over a vocabulary, with its gradient.

Knows: the full softmax and a sampled softmax. Both compute the gradient in the forward pass, so
that only one array of the logits' size is in memory. Does not know: models or batches. Reported
perplexities never come from here: they are computed exactly, in float32, over the whole vocabulary.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

# Smaller vocabularies gain nothing from sampling.
_MIN_SAMPLED_VOCABULARY = 5000
# The number of candidates is padded to a multiple of this. For each new size of a matrix product
# PyTorch creates a kernel and keeps it, and memory freed by one size does not fit the next. Over
# 100 MB of text, padding reduced memory from 555 MB to 415 MB.
_CANDIDATE_MULTIPLE = 64


class Softmax:
    """The training loss of a language model's output layer.

    In a large vocabulary a few ids hold most of the probability. The most frequent tenth is
    therefore summed exactly. The sum over the rare ids is estimated from a new uniform sample in
    each step, in which each id stands for an equal share of the rare ones (stratified importance
    sampling of the partition function, after Bengio and Senecal 2003). The target is always exact.
    """

    def __init__(self, counts: Tensor, dtype: torch.dtype, seed: int = 0) -> None:
        """`counts` (V): frequency of each id in the training text. `dtype`: type of the matrix
        products; sums are float32 in any case. Samples depend only on `seed`, not on PyTorch's
        global random state, so that all processes draw the same ones."""
        self.dtype = dtype
        # On the CPU, so that a run can resume on another device.
        self.generator = torch.Generator().manual_seed(seed)
        vocab_size = len(counts)
        order = torch.argsort(counts, descending=True, stable=True)
        num_frequent = max(1000, vocab_size // 10)
        self.frequent, self.rare = order[:num_frequent], order[num_frequent:]
        self.num_samples = max(1500, vocab_size * 15 // 100)
        # Sampling needs the number of distinct targets, for which a GPU would have to be
        # synchronized. On a GPU the full softmax is only a small part of a step.
        self.sampled = vocab_size >= _MIN_SAMPLED_VOCABULARY and counts.device.type != "cuda"

    def __call__(self, states: Tensor, weight: Tensor, bias: Tensor, targets: Tensor) -> Tensor:
        """Mean loss in nats, with gradients for states (N, E), weight (V, E) and bias (V); targets
        (N)."""
        if not self.sampled:
            loss = _FullSoftmax.apply(  # type: ignore[no-untyped-call]
                states, weight, bias, targets, self.dtype
            )
        else:
            order = torch.randperm(len(self.rare), generator=self.generator)
            sample = self.rare[order[: self.num_samples].to(targets.device)]
            loss = _SampledSoftmax.apply(  # type: ignore[no-untyped-call]
                states, weight, bias, targets, self.dtype, self.frequent, sample,
                math.log(len(self.rare) / self.num_samples),
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
        loss, logits_grad = _loss_and_logits_grad(logits, targets)
        ctx.save_for_backward(*_mean_gradients(logits_grad, states, w))
        return loss

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
        return *_scale_gradients(ctx.saved_tensors, grad), None, None


class _SampledSoftmax(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        states: Tensor,
        weight: Tensor,
        bias: Tensor,
        targets: Tensor,
        dtype: torch.dtype,
        frequent: Tensor,
        sample: Tensor,
        log_share: float,
    ) -> Tensor:
        # Candidates (K): frequent ids, sampled ids, and targets that are neither. `slot` maps an
        # id to its index among them.
        slot = torch.full((len(weight),), -1, device=targets.device)
        slot[frequent] = torch.arange(len(frequent), device=targets.device)
        num_shared = len(frequent) + len(sample)
        slot[sample] = torch.arange(len(frequent), num_shared, device=targets.device)
        other_targets = torch.unique(targets[slot[targets] < 0])
        used = num_shared + len(other_targets)
        slot[other_targets] = torch.arange(num_shared, used, device=targets.device)
        padding = frequent[: -used % _CANDIDATE_MULTIPLE]
        candidates = torch.cat([frequent, sample, other_targets, padding])
        # Logarithm of each candidate's importance weight in rows where it is not the target: the
        # number of ids that it stands for. Other targets and padding have weight 0.
        log_weight = torch.zeros(len(candidates), device=targets.device)
        log_weight[len(frequent) : num_shared] = log_share
        log_weight[num_shared:] = -math.inf
        h, w = states.to(dtype), weight[candidates].to(dtype)
        logits = torch.addmm(bias[candidates].to(dtype), h, w.t())  # (N, K)
        target_slot = slot[targets][:, None]  # (N, 1)
        target_logit = logits.gather(1, target_slot)
        logits += log_weight.to(dtype)
        logits.scatter_(1, target_slot, target_logit)
        loss, logits_grad = _loss_and_logits_grad(logits, target_slot[:, 0])
        states_grad, rows_grad, entries_grad = _mean_gradients(logits_grad, states, w)
        weight_grad = torch.zeros_like(weight)
        weight_grad[candidates[:used]] = rows_grad[:used]
        bias_grad = torch.zeros_like(bias)
        bias_grad[candidates[:used]] = entries_grad[:used]
        ctx.save_for_backward(states_grad, weight_grad, bias_grad)
        return loss

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
        return *_scale_gradients(ctx.saved_tensors, grad), *[None] * 5


def _loss_and_logits_grad(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """logits (N, K) -> mean loss, and the gradient of the summed loss with respect to the logits
    (N, K): softmax minus one-hot targets."""
    gradient = torch.softmax(logits, dim=1)
    target = targets[:, None]
    probability = gradient.gather(1, target)
    loss = -probability.float().clamp_min(1e-30).log().mean()
    gradient.scatter_(1, target, probability - 1)
    return loss, gradient


def _mean_gradients(
    logits_grad: Tensor, states: Tensor, w: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of the mean loss with respect to the states (N, E), the weight's rows (K, E) and
    the bias's entries (K), in float32, from that of the summed loss. The division by N is applied
    to the smallest arrays: a pass over an array of the vocabulary's size takes as long as a small
    matrix product."""
    share = 1 / len(states)
    states_grad = (logits_grad @ w).float() * share
    rows_grad = (logits_grad.t() @ (states * share).to(w.dtype)).float()
    return states_grad, rows_grad, logits_grad.sum(0, dtype=torch.float32) * share


def _scale_gradients(gradients: tuple[Tensor, ...], scale: Tensor) -> tuple[Tensor, ...]:
    """Multiply by the gradient of the loss, which is nearly always 1. The check for 1 is made on
    the CPU only, because it would synchronize a GPU."""
    if scale.device.type == "cpu" and float(scale) == 1:
        return gradients
    return tuple(gradient * scale for gradient in gradients)
