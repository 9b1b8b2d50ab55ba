"""How the weights are moved: AdamW with clipped gradients, words with one second moment for all,
and the average of all weights so far.

Knows: parameters, their gradients and the moments of these. Does not know: models, losses or
schedules. Everything it remembers are tensors in its own hands, so that a run can be saved and
taken up again to the bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

_FIRST_DECAY, _SECOND_DECAY, _EPSILON = 0.9, 0.99, 1e-8
_WITH_A_ROW_FOR_EACH_WORD = ("encoder.embedding.weight", "head.bias")


@dataclass(frozen=True, slots=True)
class OptimizerConfig:
    """How the weights are moved."""

    learning_rate: float
    weight_decay: float
    clip_norm: float
    warmup: int  # steps
    ema_decay: float = 0.0  # the part that the average of all weights so far keeps at each step
    # Times the learning rate: that of the parameters with a row for each word, which then share
    # one second moment. 0: these are parameters as all others.
    embedding_lr_multiplier: float = 0.0


class Optimizer:
    """AdamW (Loshchilov and Hutter 2019) on all of a model's parameters but those with a row for
    each word, where the settings have a rate of their own for these.

    AdamW moves every number about as far, however small its gradients are. Those of a rare word
    are mostly of the steps in which it was a wrong answer among thousands, and it would be moved by
    their noise as far as a common word is by what there is to learn. So all numbers of such a
    parameter are divided by the same second moment, the mean of theirs (as in NovoGrad, Ginsburg et
    al. 2019), and their gradients keep their proportions, as in plain gradient descent. They do not
    decay.

    PyTorch's fused kernel is called directly: `torch.optim` imports its compiler when the first
    optimizer is made, which takes over a second of every run.
    """

    def __init__(self, model: nn.Module, settings: OptimizerConfig) -> None:
        self._settings = settings
        self._names = [name for name, _ in model.named_parameters()]
        self._parameters = list(model.parameters())
        self._words = [
            index
            for index, name in enumerate(self._names)
            if settings.embedding_lr_multiplier and name in _WITH_A_ROW_FOR_EACH_WORD
        ]
        self._first = [torch.zeros_like(parameter) for parameter in self._weights()]
        self._second = [
            torch.zeros((), device=weight.device)
            if index in self._words
            else torch.zeros_like(weight)
            for index, weight in enumerate(self._weights())
        ]
        self._steps = [torch.zeros((), device=weight.device) for weight in self._weights()]
        self._average = [weight.clone() for weight in self._weights()] if settings.ema_decay else []
        # Matrices decay; biases and a CRF's scores, which mean something as they are, do not.
        decays = [
            parameter.dim() > 1 and "crf" not in name
            for name, parameter in zip(self._names, self._parameters, strict=True)
        ]
        others = [index for index in range(len(decays)) if index not in self._words]
        self._groups = [
            (decay, [index for index in others if bool(decays[index]) == bool(decay)])
            for decay in (settings.weight_decay, 0.0)
        ]

    def step(self, rate: float, taken: int) -> Tensor:
        """Move the weights by their gradients, which are clipped, and forget those; `taken`
        steps came before. The gradient's norm before clipping."""
        norm: Tensor = nn.utils.clip_grad_norm_(
            self._parameters, self._settings.clip_norm, foreach=True
        )
        weights = self._weights()
        gradients = [
            torch.zeros_like(weight) if parameter.grad is None else parameter.grad
            for parameter, weight in zip(self._parameters, weights, strict=True)
        ]
        with torch.no_grad():
            torch._foreach_add_(self._steps, 1)
            for index in self._words:
                self._move_words(
                    index, gradients[index], rate * self._settings.embedding_lr_multiplier
                )
            for decay, group in self._groups:
                if group:
                    torch._fused_adamw_(
                        [weights[index] for index in group],
                        [gradients[index] for index in group],
                        [self._first[index] for index in group],
                        [self._second[index] for index in group],
                        [],
                        [self._steps[index] for index in group],
                        lr=rate,
                        beta1=_FIRST_DECAY,
                        beta2=_SECOND_DECAY,
                        weight_decay=decay,
                        eps=_EPSILON,
                        amsgrad=False,
                        maximize=False,
                    )
        if self._average:
            # The first steps are soon forgotten.
            keep = min(self._settings.ema_decay, (2 + taken) / (11 + taken))
            torch._foreach_lerp_(self._average, weights, 1 - keep)
        for parameter in self._parameters:
            parameter.grad = None
        return norm

    def _move_words(self, index: int, gradient: Tensor, rate: float) -> None:
        steps, first, second = self._steps[index], self._first[index], self._second[index]
        square = torch.linalg.vector_norm(gradient).square() / gradient.numel()
        second.lerp_(square, 1 - _SECOND_DECAY)
        first.lerp_(gradient, 1 - _FIRST_DECAY)
        # Tensors all along: a number would have to be waited for where a GPU computes it.
        size = (second / (1 - _SECOND_DECAY**steps)).sqrt() + _EPSILON
        scale = rate / (size * (1 - _FIRST_DECAY**steps))
        self._parameters[index].detach().addcmul_(first, scale, value=-1)

    def finite(self) -> bool:
        """Whether every weight is a number, also those that would be measured now."""
        tensors = [*self._weights(), *self._average]
        return all(bool(torch.isfinite(tensor).all()) for tensor in tensors)

    def swap_average(self) -> None:
        """Put the average where the weights are and these where the average is, so that the
        model can be measured with it; done again, all is as it was. Nothing without an average."""
        for weight, average in zip(self._weights(), self._average, strict=False):
            kept = weight.clone()
            weight.copy_(average)
            average.copy_(kept)

    def state(self) -> dict[str, Tensor]:
        """What `restore` takes up again, the weights apart: the tensors themselves, by name."""
        return {
            f"{kind}.{name}": tensor
            for kind, tensors in self._kept().items()
            for name, tensor in zip(self._names, tensors, strict=False)
        }

    def restore(self, state: dict[str, Tensor]) -> None:
        """Raises KeyError where a tensor is missing."""
        for kind, tensors in self._kept().items():
            for name, tensor in zip(self._names, tensors, strict=False):
                tensor.copy_(state[f"{kind}.{name}"])

    def _kept(self) -> dict[str, list[Tensor]]:
        return {
            "first": self._first,
            "second": self._second,
            "steps": self._steps,
            "average": self._average,
        }

    def _weights(self) -> list[Tensor]:
        return [parameter.detach() for parameter in self._parameters]


def copy_of_weights(model: nn.Module) -> dict[str, Any]:
    """A copy of a model's weights."""
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
