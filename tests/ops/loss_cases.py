"""Random and awkward inputs for the losses, and the comparison they are held to."""

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from mlcfast import ops
from mlcfast.ops.asymmetric_loss.reference import asymmetric_loss as asymmetric_reference
from mlcfast.ops.epr_loss.reference import epr_loss as epr_reference
from mlcfast.ops.full_labels import op as full
from mlcfast.ops.full_labels import reference as full_plain
from mlcfast.ops.missing_labels import op as missing
from mlcfast.ops.missing_labels import reference as missing_plain
from mlcfast.ops.pairwise_ranking.reference import pairwise_ranking as pairwise_reference
from mlcfast.ops.reduce import reduce, upcast, weigh
from mlcfast.ops.role_loss.reference import role_loss as role_reference
from mlcfast.ops.weighted_bce.reference import weighted_bce as weighted_reference

LABEL_COUNTS = (1, 2, 20, 80, 81)
ENTRIES = int(os.environ.get("MLCFAST_TEST_ENTRIES", 3000))
ROUNDING = {torch.float64: 2**-53, torch.float32: 2**-24, torch.bfloat16: 2**-8, torch.float16: 2**-11}
FP16_QUANTUM = 2**-24
OUTPUTS = ("loss", "gradient", "rows gradient")


@dataclass
class Case:
    """Logits and labels of one random problem; `rows` are an estimator's logits, `truth` the true labels."""

    logits: Tensor
    labels: Tensor
    rows: Tensor
    truth: Tensor


@dataclass
class Loss:
    """A fused loss and its definition, called alike: loss(case logits, case, reduction).

    exact_gradient: autograd through the definition is its derivative, nothing is held constant. finite: also at
    infinite logits.
    """

    fused: Callable[..., Tensor]
    reference: Callable[..., Tensor]
    soft: bool = True
    reductions: tuple[str, ...] = ("none", "mean", "sum")
    exact_gradient: bool = True
    finite: bool = True


def _asymmetric(**options: object) -> Loss:
    return Loss(
        lambda x, c, rows, r: ops.asymmetric_loss(x, c.labels, **options, reduction=r),
        lambda x, c, rows, r: asymmetric_reference(x, c.labels, **options, reduction=r),
    )


def _weighted(*weights: tuple[float, float], truth: bool = False) -> Loss:
    def call(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
        return lambda x, c, rows, r: function(x, c.labels, *weights, c.truth if truth else None, reduction=r)

    return Loss(call(ops.weighted_bce), call(weighted_reference))


def _of_entries(
    fused: Callable[..., Tensor], definition: Callable[..., Tensor], finite: bool = False, exact_gradient: bool = True
) -> Loss:
    """fused(x, z, reduction) beside the plain entries definition(x, z)."""

    def plain(x: Tensor, c: "Case", rows: Tensor, reduction: str) -> Tensor:
        wide = upcast(x)
        return reduce(definition(wide, c.labels.to(wide.dtype)), reduction)

    return Loss(
        lambda x, c, rows, r: fused(x, c.labels, reduction=r), plain, finite=finite, exact_gradient=exact_gradient
    )


def _weights(x: Tensor) -> tuple[Tensor, Tensor]:
    """Of positives and of other entries, (K,) each; numbers that every precision holds."""
    other = (torch.arange(x.shape[-1]) % 5 + 1) / 4
    dtype = torch.float64 if x.dtype == torch.float64 else torch.float32
    return (3 * other).to(dtype), other.to(dtype)


def _weighed(function: Callable[..., Tensor], definition: Callable[..., Tensor], finite: bool = True) -> Loss:
    """function(x, z, reduction, weights) beside the plain entries definition(x, z), weighed."""

    def plain(x: Tensor, c: "Case", rows: Tensor, reduction: str) -> Tensor:
        return reduce(weigh(definition(x, c.labels), c.labels, _weights(x)), reduction)

    return Loss(lambda x, c, rows, r: function(x, c.labels, reduction=r, weights=_weights(x)), plain, finite=finite)


def _alike(
    function: Callable[..., Tensor], definition: Callable[..., Tensor], exact_gradient: bool = True, **options: float
) -> Loss:
    calls = (partial(function, **options), partial(definition, **options))
    return _of_entries(*calls, exact_gradient=exact_gradient)


def _large(flip: bool) -> Loss:
    threshold = torch.tensor(0.75)
    return _alike(missing.large_losses, missing_plain.large_losses, threshold=threshold, flip=flip)


ROBUST = {"w": 1.5, "b": -2.0, "mu": 0.7, "sigma": 0.8, "q2": 0.01, "q3": 1.0}
LOSSES = {
    "asymmetric": _asymmetric(),
    "asymmetric published": _asymmetric(gamma_neg=2.0, gamma_pos=0.0, clip=0.0, eps=1e-5, detach_focal_weight=True),
    "asymmetric fractional": _asymmetric(gamma_neg=2.5, gamma_pos=0.5, clip=0.1, eps=1e-6),
    "asymmetric plain": _asymmetric(gamma_neg=0.0, gamma_pos=0.0, clip=0.0),
    "an": _weighted((1.0, 0.0), (0.0, 1.0), (0.0, 1.0)),
    "an_ls": _weighted((0.9, 0.1), (0.1, 0.9), (0.1, 0.9)),
    "iun": _weighted((1.0, 0.0), (0.0, 0.0), (0.0, 1.0), truth=True),
    "pr": Loss(
        lambda x, c, rows, r: ops.pairwise_ranking(x, c.labels, r),
        lambda x, c, rows, r: pairwise_reference(x, c.labels, r),
        reductions=("mean", "sum"),
    ),
    "epr": Loss(
        lambda x, c, rows, r: ops.epr_loss(x, c.labels, 2.9),
        lambda x, c, rows, r: epr_reference(x, c.labels, 2.9),
        reductions=("mean",),
    ),
    "role": Loss(
        lambda x, c, rows, r: ops.role_loss(x, c.labels, rows, 2.9),
        lambda x, c, rows, r: role_reference(x, c.labels, rows, 2.9),
        reductions=("mean",),
        exact_gradient=False,
    ),
    "em": _of_entries(
        missing.entropy_maximisation, partial(missing_plain.entropy_maximisation, alpha=0.1, beta=None), True
    ),
    "em_apl": _of_entries(
        partial(missing.entropy_maximisation, alpha=0.2, beta=0.9),
        partial(missing_plain.entropy_maximisation, alpha=0.2, beta=0.9),
        finite=True,
    ),
    "large left out": _large(False),
    "large flipped": _large(True),
    "hill": _alike(missing.hill, missing_plain.hill, lambda_=1.5, margin=1.0, gamma=2.0),
    "hill fractional": _alike(missing.hill, missing_plain.hill, lambda_=1.2, margin=0.5, gamma=1.3),
    "splc": _of_entries(
        partial(missing.self_paced_correction, tau=0.6, margin=1.0, gamma=2.0),
        partial(missing_plain.self_paced_correction, corrected=math.log(0.6 / 0.4), margin=1.0, gamma=2.0),
    ),
    "gr": _alike(missing.generalized_robust, missing_plain.generalized_robust, exact_gradient=False, **ROBUST),
    "gr q3": _alike(
        missing.generalized_robust, missing_plain.generalized_robust, exact_gradient=False, **ROBUST | {"q3": 0.7}
    ),
    "focal": _alike(full.focal, full_plain.focal, gamma=2.0, alpha=0.25),
    "focal fractional": _alike(full.focal, full_plain.focal, gamma=0.7, alpha=None),
    "poly": _alike(full.poly, full_plain.poly, epsilon=2.0, gamma=0.0, alpha=None),
    "poly focal": _alike(full.poly, full_plain.poly, epsilon=-1.0, gamma=3.0, alpha=0.3),
    "asymmetric weighed": _weighed(ops.asymmetric_loss, partial(asymmetric_reference, reduction="none")),
    "an weighed": _weighed(ops.weighted_bce, partial(weighted_reference, reduction="none")),
    "focal weighed": _weighed(
        full.focal, lambda x, z: full_plain.focal(upcast(x), z.to(upcast(x).dtype), 2.0, 0.25), finite=False
    ),
}


def random_case(random: torch.Generator, large: bool = False) -> Case:
    """Shapes, scales, dtypes, strides and kinds of labels drawn from `random`."""
    K = 9605 if large else (*LABEL_COUNTS, _draw(random, 1, 200))[_draw(random, 0, 6)]
    B = _draw(random, 1, 4) if large else _draw(random, 0, 1 + ENTRIES // K)
    dtype = (torch.float32, torch.float32, torch.bfloat16, torch.float16)[_draw(random, 0, 4)]
    scale = (1.0, 4.0, 30.0, 1e4)[_draw(random, 0, 4)]
    logits = _strided(torch.randn(B, K, generator=random) * scale, random).to(dtype)
    rows = torch.randn(B, K, generator=random)
    truth = torch.randint(0, 2, (B, K), generator=random)
    return Case(logits, _labels(B, K, random), rows, truth)


def _draw(random: torch.Generator, low: int, high: int) -> int:
    return int(torch.randint(low, high, (), generator=random))


def _labels(B: int, K: int, random: torch.Generator) -> Tensor:
    kind = _draw(random, 0, 8)
    positive = torch.rand(B, K, generator=random) < (0.0, 0.02, 0.5, 1.0)[_draw(random, 0, 4)]
    if kind == 0:
        return torch.rand(B, K, generator=random)
    if kind == 1:
        return torch.rand(B, K, generator=random) * 2 - 1
    if kind <= 3:
        return positive
    dtype = (torch.int8, torch.int64, torch.float32, torch.bfloat16)[kind - 4]
    negative = torch.rand(B, K, generator=random) < 0.3
    return (positive.to(dtype) - (negative & ~positive).to(dtype)).to(dtype)


def _strided(x: Tensor, random: torch.Generator) -> Tensor:
    kind = _draw(random, 0, 5)
    if kind == 0 and x.shape[0]:
        return x[:1].expand_as(x)
    if kind == 1:
        return x.t().contiguous().t()
    if kind == 2:
        return torch.cat([x, x], dim=1)[:, ::2][:, : x.shape[1]]
    return x


def run(function: Callable[..., Tensor], case: Case, reduction: str, dtype: torch.dtype | None = None) -> list[Tensor]:
    """Loss, gradient of the logits and gradient of the estimator's rows (zeros where there is none), in fp64."""
    x = case.logits.to(dtype or case.logits.dtype).detach().requires_grad_()
    rows = case.rows.to(dtype or case.rows.dtype).detach().requires_grad_()
    loss = function(x, case, rows, reduction)
    incoming = torch.linspace(0.5, 1.5, max(loss.numel(), 1), dtype=loss.dtype)[: loss.numel()].view(loss.shape)
    gradients = torch.autograd.grad(loss, (x, rows), incoming, allow_unused=True)
    assert gradients[0].dtype == x.dtype and gradients[0].shape == x.shape
    found = [loss.detach(), *(torch.zeros(()) if g is None else g for g in gradients)]
    return [tensor.double() for tensor in found]


@dataclass
class Errors:
    """Largest errors of one output in one case, in units of the rounding of the case's largest exact value."""

    output: str
    dtype: torch.dtype
    plain: float
    fused: float


def errors(loss: Loss, case: Case, reduction: str) -> list[Errors]:
    """How far plain torch and the fused loss are from fp64: loss, gradient of the logits, gradient of the rows.

    fp64's own 1 − sigmoid resolves a gradient to 2^-53 of an unsaturated entry's, which bounds the unit from below
    where every entry is saturated; in fp16 so does the format's quantum.
    """
    dtype = case.logits.dtype
    exact = run(loss.reference, case, reduction, torch.float64)
    plain, fused = run(loss.reference, case, reduction), run(loss.fused, case, reduction)
    entries = max(case.logits.numel(), 1)
    unsaturated = 1.0 / entries if reduction == "mean" else 1.0
    found = []
    for name, rounded_to, e, p, f in zip(
        OUTPUTS, (torch.float32, dtype, torch.float32), exact, plain, fused, strict=True
    ):
        if e.numel():
            unit = max(ROUNDING[rounded_to] * float(e.abs().max()), 8 * ROUNDING[torch.float64] * unsaturated)
            if rounded_to == torch.float16:
                unit = max(unit, FP16_QUANTUM / 2)
            found.append(Errors(name, dtype, _largest(p - e) / unit, _largest(f - e) / unit))
    return found


def _largest(difference: Tensor) -> float:
    largest = difference.abs().max()
    return float(torch.where(largest.isnan(), torch.inf, largest))
