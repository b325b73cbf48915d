"""Asymmetric focal loss in plain torch: its options and the definition the kernels are held to (arXiv 2009.14119)."""

from typing import NamedTuple

import torch
from torch import Tensor

from mlcfast.ops.checks import as_number
from mlcfast.ops.numerics import reduce, upcast

_INFINITY = float("inf")


class AsymmetricOptions(NamedTuple):
    """The options of the asymmetric loss, one value on its way to every kernel; csrc/formulas.h has the same order.

    gamma_neg, gamma_pos ≥ 0: the focal exponents of other labels and of positives; clip in [0, 1): what is added to the
    probability of an absent label; eps in [1e-37, 1): the floor of a probability inside the logarithm.
    detach_focal_weight: True where the focal weight is a constant in the backward pass, as in the published training.
    """

    gamma_neg: float = 4.0
    gamma_pos: float = 1.0
    clip: float = 0.05
    eps: float = 1e-8
    detach_focal_weight: float = False

    def check(self) -> None:
        """ValueError that names an option which is no number or outside its range."""
        gamma_neg, gamma_pos, clip, eps, detach = self
        try:
            right = 0 <= gamma_neg < _INFINITY and 0 <= gamma_pos < _INFINITY and 0 <= clip < 1 and 1e-37 <= eps < 1
            right = right and detach in (0, 1)
        except TypeError:
            right = False
        if not right:
            self._refuse()

    def steepest(self) -> float:
        """About the largest derivative of an entry, which fp16 must be able to hold."""
        return max(self.gamma_neg, self.gamma_pos)

    def _refuse(self) -> None:
        for name, value in self._asdict().items():
            as_number(value, name)
        for name in ("gamma_neg", "gamma_pos"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be at least 0, not {getattr(self, name)}")
        if not 0 <= self.clip < 1:
            raise ValueError(f"clip must be in [0, 1), not {self.clip}")
        if not 1e-37 <= self.eps < 1:
            raise ValueError(f"eps must be in [1e-37, 1), not {self.eps}")
        if self.detach_focal_weight not in (0, 1):
            raise ValueError(f"detach_focal_weight must be True or False, not {self.detach_focal_weight}")


def asymmetric_loss(
    logits: Tensor, targets: Tensor, *options: float, reduction: str = "mean", **named: float
) -> Tensor:
    """L = −[y log max(p, eps) + (1−y) log max(q, eps)] · (1−t)^γ, p = σ(logit), q = min(1 − p + clip, 1) (Eq. 4-7).

    t = y p + (1−y) q and γ = y γ+ + (1−y) γ−: for y in {0, 1} the paper's loss, between them its usual soft-label form.
    logits: floating, (B, K) or any shape; targets: the same shape, in [-1, 1], any real dtype; below 0 counts as 0.
    options, named: the fields of AsymmetricOptions, in their order or by name.
    Computed in fp32 (fp64 for fp64 logits). Returns (B, K) for reduction none, else a scalar; mean is over B·K.
    """
    gamma_neg, gamma_pos, clip, eps, detach_focal_weight = AsymmetricOptions(*options, **named)
    x = upcast(logits)
    y = targets.to(x.dtype).clamp(min=0)
    p, not_p = torch.sigmoid(x), torch.sigmoid(-x)
    q = (not_p + clip).clamp(max=1)
    likelihood = y * torch.log(p.clamp(min=eps)) + (1 - y) * torch.log(q.clamp(min=eps))
    if gamma_neg > 0 or gamma_pos > 0:
        distance = y * not_p + (1 - y) * (p - clip).clamp(min=0)
        if detach_focal_weight:
            distance = distance.detach()
        likelihood = likelihood * _focal_weight(distance, gamma_pos * y + gamma_neg * (1 - y))
    return reduce(-likelihood, reduction)


def _focal_weight(distance: Tensor, gamma: Tensor) -> Tensor:
    """distance^gamma with a derivative of 0 at distance 0 also for gamma < 1, where pow alone gives inf · 0."""
    return torch.pow(distance.clamp(min=torch.finfo(distance.dtype).tiny), gamma)
