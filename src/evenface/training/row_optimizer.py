"""torch's SGD and AdamW, which move only those rows of a parameter that its sparse gradient has."""

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

_BLOCK = 2**14  # rows that are stepped at once, which bounds the memory


class _ByRows(torch.optim.Optimizer, ABC):
    """Mixed into an optimizer of torch's, which steps the parameters whose gradient is dense.

    A sparse gradient is a COO tensor with one sparse dimension, the rows. A row without a gradient keeps its
    value and its state: for it there was no step. Of a parameter's whole size only the state is made, once.
    """

    def __init__(self, params: ParamsT, **options: Any):
        # Fused: many times faster on a CPU than torch's default, and makes nothing of a parameter's size.
        super().__init__(params, fused=True, **options)  # type: ignore[call-arg]
        self._step_supports_amp_scaling = False  # a GradScaler must leave out the step of the rows too

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One step of every parameter that has a gradient."""
        by_rows = [
            (group, parameter, parameter.grad)
            for group in self.param_groups
            for parameter in group["params"]
            if parameter.grad is not None and (parameter.grad.is_sparse or self._counts_rows(parameter))
        ]
        for _, parameter, _ in by_rows:
            parameter.grad = None  # so that torch leaves it alone
        super().step()
        for group, parameter, gradient in by_rows:
            parameter.grad = gradient
            if gradient.is_sparse:
                gradient = gradient.coalesce()
                rows, gradient = gradient.indices()[0], gradient.values()
            else:
                rows = torch.arange(len(gradient), device=gradient.device)
            state = self._state(parameter)
            for some, slopes in zip(rows.split(_BLOCK), gradient.split(_BLOCK), strict=True):
                values, taken = parameter[some], {name: held[some] for name, held in state.items()}
                self._step_rows(values, slopes, taken, group)
                parameter.index_copy_(0, some, values)
                for name, held in state.items():
                    held.index_copy_(0, some, taken[name])

    def _counts_rows(self, parameter: Tensor) -> bool:
        """Whether the rows' counts of steps may differ: then a dense gradient goes by rows too."""
        step = self.state.get(parameter, {}).get("step")
        return step is not None and step.ndim > 0

    @abstractmethod
    def _state(self, parameter: Tensor) -> dict[str, Tensor]:
        """The parameter's state, made if it has none."""

    @abstractmethod
    def _step_rows(
        self, values: Tensor, gradient: Tensor, state: dict[str, Tensor], group: dict[str, Any]
    ) -> None:
        """Step the values (S, ...) of some rows, and their state, in place."""


class RowSGD(_ByRows, torch.optim.SGD):
    """SGD with Nesterov momentum; a sparse gradient steps its rows alone.

    State of a parameter (P, ...): momentum_buffer (P, ...).

    Args:
        params: parameters, or groups of them that may set `weight_decay`.
        lr: learning rate.
    """

    def __init__(self, params: ParamsT, lr: float):
        super().__init__(params, lr=lr, momentum=0.9, nesterov=True)

    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One step of every parameter that has a gradient."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:  # a fused step takes momenta that are all there, or none
                    self._state(parameter)
        super().step()

    def _state(self, parameter: Tensor) -> dict[str, Tensor]:
        state: dict[str, Tensor] = self.state[parameter]
        if not state:
            state["momentum_buffer"] = torch.zeros_like(parameter)
        return state

    def _step_rows(
        self, values: Tensor, gradient: Tensor, state: dict[str, Tensor], group: dict[str, Any]
    ) -> None:
        gradient = gradient.add(values, alpha=group["weight_decay"])
        momentum = state["momentum_buffer"].mul_(group["momentum"]).add_(gradient)
        values.sub_(gradient.add_(momentum, alpha=group["momentum"]), alpha=group["lr"])


class RowAdamW(_ByRows, torch.optim.AdamW):
    """AdamW; a sparse gradient steps its rows alone, and each row has its own count of steps.

    State of a parameter (P, ...) once it had a sparse gradient: exp_avg and exp_avg_sq (P, ...), step (P,)
    float32.

    Args:
        params: parameters, or groups of them that may set `weight_decay`.
        lr: learning rate.
    """

    def __init__(self, params: ParamsT, lr: float):
        super().__init__(params, lr=lr)

    def _state(self, parameter: Tensor) -> dict[str, Tensor]:
        state: dict[str, Tensor] = self.state[parameter]
        if not state:
            state["step"] = torch.zeros(len(parameter))
            state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(parameter), torch.zeros_like(parameter)
        step = state["step"].to(parameter.device)  # torch loads it where it was saved
        state["step"] = step if step.ndim else step.repeat(len(parameter))  # one, while gradients were dense
        return state

    def _step_rows(
        self, values: Tensor, gradient: Tensor, state: dict[str, Tensor], group: dict[str, Any]
    ) -> None:
        first, second = group["betas"]
        mean = state["exp_avg"].lerp_(gradient, 1 - first)
        square = state["exp_avg_sq"].mul_(second).addcmul_(gradient, gradient, value=1 - second)
        step = state["step"].add_(1).double().view(-1, *[1] * (values.ndim - 1))
        rate = (group["lr"] / (1 - first**step)).to(values.dtype)
        root = (1 - second**step).sqrt_().to(values.dtype)
        values.mul_(1 - group["lr"] * group["weight_decay"])
        values.sub_(mean / square.sqrt().div_(root).add_(group["eps"]) * rate)
