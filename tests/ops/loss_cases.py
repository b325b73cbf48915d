"""The losses that came after ROLE and the weighed ones, tried on the cases of bench/cases/losses.py with its bounds."""

import math
import os
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from bench.cases.losses import EVERY, LOSSES, Case, Loss
from mlcfast import ops
from mlcfast.ops.asymmetric_loss.reference import asymmetric_loss as asymmetric_reference
from mlcfast.ops.label_bce.reference import weighted_bce as weighted_reference
from mlcfast.ops.label_loss import full_labels as full
from mlcfast.ops.label_loss import missing_labels as missing
from mlcfast.ops.label_loss import reference as definitions
from mlcfast.ops.numerics import reduce, upcast, weigh


def _of_entries(
    fused: Callable[..., Tensor], definition: Callable[..., Tensor], finite: bool = False, exact_gradient: bool = True
) -> Loss:
    """fused(x, z, reduction) beside the plain entries definition(x, z)."""

    def plain(x: Tensor, c: Case, rows: Tensor, reduction: str) -> Tensor:
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

    def plain(x: Tensor, c: Case, rows: Tensor, reduction: str) -> Tensor:
        return reduce(weigh(definition(x, c.labels), c.labels, _weights(x)), reduction)

    return Loss(lambda x, c, rows, r: function(x, c.labels, reduction=r, weights=_weights(x)), plain, finite=finite)


def _alike(
    function: Callable[..., Tensor], definition: Callable[..., Tensor], exact_gradient: bool = True, **options: float
) -> Loss:
    calls = (partial(function, **options), partial(definition, **options))
    return _of_entries(*calls, exact_gradient=exact_gradient)


def _large(flip: bool) -> Loss:
    threshold = torch.tensor(0.75)
    return _alike(missing.large_losses, definitions.large_losses, threshold=threshold, flip=flip)


def _whole_images(fused: Callable[..., Tensor], definition: Callable[..., Tensor], *options: object) -> Loss:
    """fused(x, z, counts, images, *options, reduction) beside the plain entries definition(x, z, counts, …)."""

    def counts(x: Tensor) -> Tensor:
        return (torch.arange(x.shape[-1]) % 100 + 1).double()

    def plain(x: Tensor, c: Case, rows: Tensor, reduction: str) -> Tensor:
        wide = upcast(x)
        return reduce(definition(wide, c.labels.to(wide.dtype), counts(x).to(wide.dtype), 1000, *options), reduction)

    return Loss(lambda x, c, rows, r: fused(x, c.labels, counts(x), 1000, *options, r), plain, finite=False)


# Beyond, the derivative of torch.logsumexp gives each of two equal logits the whole of 1, in fp64 as well.
OF_SUMS = 1e4
DEFAULT_BALANCE = ((0.1, 10.0, 0.2), 2.0, 0.05, 2.0, 2.0)  # the mapping, neg_scale, init_bias, gamma, balance
ROBUST = {"w": 1.5, "b": -2.0, "mu": 0.7, "sigma": 0.8, "q2": 0.01, "q3": 1.0}
LATER = {
    "em": _of_entries(
        missing.entropy_maximisation, partial(definitions.entropy_maximisation, alpha=0.1, beta=None), True
    ),
    "em_apl": _of_entries(
        partial(missing.entropy_maximisation, alpha=0.2, beta=0.9),
        partial(definitions.entropy_maximisation, alpha=0.2, beta=0.9),
        finite=True,
    ),
    "large left out": _large(False),
    "large flipped": _large(True),
    "hill": _alike(missing.hill, definitions.hill, lambda_=1.5, margin=1.0, gamma=2.0),
    "hill fractional": _alike(missing.hill, definitions.hill, lambda_=1.2, margin=0.5, gamma=1.3),
    "splc": _of_entries(
        partial(missing.self_paced_correction, tau=0.6, margin=1.0, gamma=2.0),
        partial(definitions.self_paced_correction, corrected=math.log(0.6 / 0.4), margin=1.0, gamma=2.0),
    ),
    "gr": _alike(missing.generalized_robust, definitions.generalized_robust, exact_gradient=False, **ROBUST),
    "gr q3": _alike(
        missing.generalized_robust, definitions.generalized_robust, exact_gradient=False, **ROBUST | {"q3": 0.7}
    ),
    "focal": _alike(full.focal, definitions.focal, gamma=2.0, alpha=0.25),
    "focal fractional": _alike(full.focal, definitions.focal, gamma=0.7, alpha=None),
    "poly": _alike(full.poly, definitions.poly, epsilon=2.0, gamma=0.0, alpha=None),
    "poly focal": _alike(full.poly, definitions.poly, epsilon=-1.0, gamma=3.0, alpha=0.3),
    "db": _whole_images(full.distribution_balanced, definitions.distribution_balanced, *DEFAULT_BALANCE),
    "db fractional": _whole_images(
        full.distribution_balanced, definitions.distribution_balanced, (0.2, 4.0, 0.5), 1.5, 0.1, 1.3, 0.7
    ),
    "zlpr": Loss(
        lambda x, c, rows, r: full.zlpr(x, c.labels),
        lambda x, c, rows, r: definitions.zlpr(upcast(x), c.labels).sum() / max(len(x), 1),
        reductions=("mean",),
        furthest=OF_SUMS,
    ),
    "two_way": Loss(
        lambda x, c, rows, r: full.two_way(x, c.labels),
        lambda x, c, rows, r: definitions.two_way(upcast(x), c.labels, 4.0, 1.0),
        reductions=("mean",),
        furthest=OF_SUMS,
    ),
    "asymmetric weighed": _weighed(ops.asymmetric_loss, partial(asymmetric_reference, reduction="none")),
    "an weighed": _weighed(ops.weighted_bce, partial(weighted_reference, reduction="none")),
    "focal weighed": _weighed(
        full.focal, lambda x, z: definitions.focal(upcast(x), z.to(upcast(x).dtype), 2.0, 0.25), finite=False
    ),
}
if "MLCFAST_EMULATED_LIBRARY" not in os.environ:  # the emulated CUDA kernels are those of the losses before
    LOSSES.update(LATER)
    EVERY.update(LATER)
