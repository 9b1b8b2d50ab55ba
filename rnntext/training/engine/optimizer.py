"""The optimizer: AdamW with gradient clipping, one shared second moment for each parameter that has
a row per word, and an exponential moving average of the weights.

Knows: parameters, their gradients and moments. Does not know: losses or learning-rate schedules. It
owns every tensor of its state, so that a run can be saved and resumed to the bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from rnntext.private import foreach_add, foreach_lerp, fused_adamw

_BETA1, _BETA2, _EPSILON = 0.9, 0.99, 1e-8
_WORD_PARAMETERS = ("encoder.embedding.weight", "head.bias")


@dataclass(frozen=True, slots=True)
class OptimizerConfig:
    """Hyperparameters of the optimizer."""

    learning_rate: float
    weight_decay: float
    clip_norm: float
    warmup: int  # steps
    ema_decay: float = 0.0  # of the exponential moving average of the weights; 0: no average
    # Multiplies the learning rate of the parameters with a row per word, each of which then has one
    # scalar second moment. 0: AdamW as for all other parameters.
    embedding_lr_multiplier: float = 0.0


class Optimizer:
    """AdamW (Loshchilov and Hutter 2019); the parameters with a row per word have a scalar second
    moment if `embedding_lr_multiplier` is set.

    AdamW divides each gradient by its own root mean square, so every number moves about as far.
    Most gradients of a rare word come from steps in which it was a wrong answer among thousands;
    that noise would move it as far as the signal moves a common word. A second moment shared by the
    whole parameter, the mean square of its gradient (as in NovoGrad, Ginsburg et al. 2019), keeps
    the proportions of the gradients, as SGD does. These parameters have no weight decay.

    The fused kernel of PyTorch is called directly: `torch.optim` imports PyTorch's compiler when
    the first optimizer is made, which takes over a second of every run.
    """

    def __init__(self, model: nn.Module, settings: OptimizerConfig) -> None:
        self._settings = settings
        self._names = [name for name, _ in model.named_parameters()]
        self._parameters = list(model.parameters())
        self._word_indices = [
            index
            for index, name in enumerate(self._names)
            if settings.embedding_lr_multiplier and name in _WORD_PARAMETERS
        ]
        self._first = [torch.zeros_like(parameter) for parameter in self._weights()]
        self._second = [
            torch.zeros((), device=weight.device)
            if index in self._word_indices
            else torch.zeros_like(weight)
            for index, weight in enumerate(self._weights())
        ]
        self._steps = [torch.zeros((), device=weight.device) for weight in self._weights()]
        self._average = [weight.clone() for weight in self._weights()] if settings.ema_decay else []
        # Weight decay is for matrices, but not for the scores of a CRF: those are log potentials.
        decayed = [
            parameter.dim() > 1 and "crf" not in name
            for name, parameter in zip(self._names, self._parameters, strict=True)
        ]
        others = [index for index in range(len(decayed)) if index not in self._word_indices]
        self._groups = [
            (settings.weight_decay, [index for index in others if decayed[index]]),
            (0.0, [index for index in others if not decayed[index]]),
        ]

    def step(self, rate: float, step: int) -> Tensor:
        """Clip the gradients, update the weights at learning rate `rate` and reset the gradients.
        `step` counts from 0. Returns the norm of the gradient before clipping, a scalar."""
        norm: Tensor = nn.utils.clip_grad_norm_(
            self._parameters, self._settings.clip_norm, foreach=True
        )
        weights = self._weights()
        gradients = [
            torch.zeros_like(weight) if parameter.grad is None else parameter.grad
            for parameter, weight in zip(self._parameters, weights, strict=True)
        ]
        with torch.no_grad():
            foreach_add(torch)(self._steps, 1)
            for index in self._word_indices:
                self._step_word_parameter(
                    index, gradients[index], rate * self._settings.embedding_lr_multiplier
                )
            for decay, group in self._groups:
                if group:
                    fused_adamw(torch)(
                        [weights[index] for index in group],
                        [gradients[index] for index in group],
                        [self._first[index] for index in group],
                        [self._second[index] for index in group],
                        [],
                        [self._steps[index] for index in group],
                        lr=rate,
                        beta1=_BETA1,
                        beta2=_BETA2,
                        weight_decay=decay,
                        eps=_EPSILON,
                        amsgrad=False,
                        maximize=False,
                    )
        if self._average:
            # The decay is smaller at the start, so that the initial weights soon leave the average.
            ema_decay = min(self._settings.ema_decay, (2 + step) / (11 + step))
            foreach_lerp(torch)(self._average, weights, 1 - ema_decay)
        for parameter in self._parameters:
            parameter.grad = None
        return norm

    def _step_word_parameter(self, index: int, gradient: Tensor, rate: float) -> None:
        steps, first, second = self._steps[index], self._first[index], self._second[index]
        square = torch.linalg.vector_norm(gradient).square() / gradient.numel()
        second.lerp_(square, 1 - _BETA2)
        first.lerp_(gradient, 1 - _BETA1)
        # All of these are tensors: to read a number, the process would wait for the GPU.
        rms = (second / (1 - _BETA2**steps)).sqrt() + _EPSILON
        scale = rate / (rms * (1 - _BETA1**steps))
        self._parameters[index].detach().addcmul_(first, scale, value=-1)

    def is_finite(self) -> bool:
        """Return True if every weight and every averaged weight is finite."""
        tensors = [*self._weights(), *self._average]
        return all(bool(torch.isfinite(tensor).all()) for tensor in tensors)

    def swap_average(self) -> None:
        """Exchange the weights and their average, to evaluate the model with the average; a second
        call exchanges them back. Does nothing if there is no average."""
        for weight, average in zip(self._weights(), self._average, strict=False):
            copy = weight.clone()
            weight.copy_(average)
            average.copy_(copy)

    def state(self) -> dict[str, Tensor]:
        """Return the tensors of the state by name, not copied and without the weights."""
        return {
            f"{kind}.{name}": tensor
            for kind, tensors in self._state_tensors().items()
            for name, tensor in zip(self._names, tensors, strict=False)
        }

    def restore(self, state: dict[str, Tensor]) -> None:
        """Copy from the tensors that `state` returned. Raises KeyError if one is missing."""
        for kind, tensors in self._state_tensors().items():
            for name, tensor in zip(self._names, tensors, strict=False):
                tensor.copy_(state[f"{kind}.{name}"])

    def _state_tensors(self) -> dict[str, list[Tensor]]:
        return {
            "first": self._first,
            "second": self._second,
            "steps": self._steps,
            "average": self._average,
        }

    def _weights(self) -> list[Tensor]:
        return [parameter.detach() for parameter in self._parameters]


def copy_of_weights(model: nn.Module) -> dict[str, Any]:
    """Return a copy of a model's weights."""
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
