"""Optimizers by name, what every engine asks of one, and the learning rate as a function of the step."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mlcfast.config import OptimConfig
from mlcfast.engine.internals import skips_on_device
from mlcfast.engine.parameter_groups import parameter_groups
from mlcfast.engine.training_module import TrainingModule
from mlcfast.errors import UsageError
from mlcfast.registry import Registry, as_callable, check_options


def _eight_bit(groups: list[dict[str, Any]], **settings: Any) -> torch.optim.Optimizer:
    try:
        from mlcfast.engine.eight_bit import EightBitAdamW
    except ImportError as error:
        raise UsageError("optim.name adamw8bit needs bitsandbytes: pip install bitsandbytes") from error
    return EightBitAdamW(groups, **settings)


# Called as make(groups, lr=…, weight_decay=…, **optim.options); groups: torch's list of parameter groups.
OPTIMIZERS: Registry[Callable[..., torch.optim.Optimizer]] = Registry(
    "optim.name",
    {
        "adamw": partial(torch.optim.AdamW, fused=True),
        "adam": partial(torch.optim.Adam, fused=True),
        "adamw8bit": _eight_bit,
    },
    UsageError,
)


def find_optimizer(settings: OptimConfig) -> Callable[..., Any]:
    """What makes the configured optimizer; UsageError where there is none, or it does not take optim.options."""
    what = f"optim.name {settings.name}"
    make = as_callable(OPTIMIZERS.find(settings.name), what, UsageError)
    check_options(make, settings.options, what, given=("params", "groups", "lr", "weight_decay"), error=UsageError)
    return make


def build_optimizer(settings: OptimConfig, module: TrainingModule) -> torch.optim.Optimizer:
    """The configured optimizer over the model's parameters and dense label estimates; see parameter_groups.

    UsageError where bitsandbytes is asked for and missing, or the optimizer does not take optim.options.
    """
    groups, make = parameter_groups(settings, module), find_optimizer(settings)
    what = f"optim.name {settings.name}"
    try:
        optimizer = make(groups, lr=settings.lr, weight_decay=settings.weight_decay, **settings.options)
    except (TypeError, ValueError) as error:
        raise UsageError(f"{what}: {error}") from error
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise UsageError(f"{what} gives a {type(optimizer).__name__}, not a torch.optim.Optimizer")
    return optimizer


def step_unless(optimizer: torch.optim.Optimizer, skipped: Tensor) -> None:
    """Apply the gradient, or leave everything as it is where `skipped` (0-d) is 1.

    torch's fused optimizers and ours read `found_inf`, the channel of torch's own GradScaler, on the device. For any
    other optimizer the host reads `skipped`, which waits for the device.
    """
    if skips_on_device(optimizer):
        optimizer.found_inf = skipped  # type: ignore[attr-defined]  # of some optimizers only, as asked above
        optimizer.step()
    elif not skipped.item():
        optimizer.step()


def moments_of(optimizer: torch.optim.Optimizer, parameter: Tensor) -> dict[str, Tensor]:
    """The tensors the optimizer keeps for a parameter, empty before its first step.

    Each is laid out like the parameter or 0-d: Adam's are `exp_avg`, `exp_avg_sq` and `step`. An optimizer that keeps
    them in another form defines moments_of(parameter) and set_moments(parameter, moments) itself.
    """
    if hasattr(optimizer, "moments_of"):
        return optimizer.moments_of(parameter)
    state = optimizer.state.get(parameter, {})
    return {key: value for key, value in state.items() if isinstance(value, Tensor)}


def set_moments(optimizer: torch.optim.Optimizer, parameter: Tensor, moments: dict[str, Tensor]) -> None:
    """Take over copies of what `moments_of` gave: tensors of the parameter's shape, on any device, and 0-d ones."""
    group = next(group for group in optimizer.param_groups if any(p is parameter for p in group["params"]))
    # torch keeps an optimizer's step count on the host unless its kernels read it.
    counts_on = parameter.device if group.get("fused") or group.get("capturable") else "cpu"
    placed = {}
    for key, value in moments.items():
        if value.shape == parameter.shape and key != "step":
            placed[key] = torch.zeros_like(parameter, memory_format=torch.preserve_format).copy_(value)
        else:
            placed[key] = value.detach().clone().to(counts_on)
    if hasattr(optimizer, "set_moments"):
        optimizer.set_moments(parameter, placed)
    else:
        optimizer.state[parameter] = placed


class Rate(NamedTuple):
    """What a schedule says for a step: a factor of each group's own learning rate, and beta1 or None to leave it."""

    factor: float
    beta1: float | None


class Schedule:
    """The learning rate as a function of the number of steps done, so that a resumed run has nothing to restore.

    one_cycle: with cosines from 1/25 of the learning rate up to it during the warm-up and down to 1/250,000 of it at
    the last step, beta1 going from 0.95 to 0.85 and back, as torch's OneCycleLR (arXiv 1708.07120). cosine: evenly up
    to it during the warm-up, then down to 0 along a cosine; beta1 stays. constant: always 1.
    """

    def __init__(self, settings: OptimConfig, optimizer: torch.optim.Optimizer, steps: int):
        self.name, self.optimizer, self.steps = settings.schedule, optimizer, steps
        self.lr = settings.lr
        self.rising = round(settings.warmup * steps)  # steps of cosine's warm-up
        self.rates = [group["lr"] for group in optimizer.param_groups]
        self.last = max(steps, 3) - 1
        self.peak = max(settings.warmup, 2 / max(steps, 3)) * max(steps, 3) - 1

    def at(self, step: int) -> Rate:
        """The rate of the step that follows `step` steps; after the last one it stays."""
        if self.name == "constant":
            return Rate(1.0, None)
        if self.name == "cosine":
            if step < self.rising:
                return Rate((step + 1) / (self.rising + 1), None)
            part = (step - self.rising) / max(1, self.steps - self.rising)
            return Rate(_cosine(1.0, 0.0, min(part, 1.0)), None)
        step = min(step, self.last)
        start, end = 1 / 25, 1 / 25 / 1e4
        if step <= self.peak:
            part = step / self.peak
            return Rate(_cosine(start, 1.0, part), _cosine(0.95, 0.85, part))
        part = (step - self.peak) / (self.last - self.peak)
        return Rate(_cosine(1.0, end, part), _cosine(0.85, 0.95, part))

    def rate(self, step: int) -> float:
        """optim.lr as the schedule has it for that step, whatever share of it the optimizer's groups learn at."""
        return self.lr * self.at(step).factor

    def apply(self, step: int) -> None:
        """Set learning rates and beta1 of the optimizer's groups for the step that follows `step` steps."""
        factor, beta1 = self.at(step)
        for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = rate * factor
            if beta1 is not None and "betas" in group:
                group["betas"] = (beta1, *group["betas"][1:])
            elif beta1 is not None and "momentum" in group:
                group["momentum"] = beta1


def _cosine(start: float, end: float, part: float) -> float:
    return end + (start - end) / 2.0 * (math.cos(math.pi * part) + 1)
