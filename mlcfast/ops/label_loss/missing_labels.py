"""The losses for missing labels as a user calls them; the formulas are in reference.py.

logits: (B, K) or any shape, fp32, bf16, fp16 or fp64; labels: the same shape, in [-1, 1], any real dtype: above 0
positive, 0 unknown, below 0 negative. reduction: none | mean | sum, mean over B·K. Each returns fp32 (fp64 for fp64
logits), (B, K) for reduction none, else a scalar, 0 for the mean of an empty batch, and raises ValueError for wrong
shapes, dtypes, devices, options and, on the CPU, label values.
"""

import math
from functools import partial
from typing import Any

import torch
from torch import Tensor

from mlcfast.ops.autograd import REDUCTION_CODES, StoredGradient
from mlcfast.ops.backend import choose, compiled_on_cpu
from mlcfast.ops.checks import check_pair
from mlcfast.ops.label_loss import reference
from mlcfast.ops.label_loss.op import Formula, backend_of, label_loss
from mlcfast.ops.library import LIBRARY, fake_gradient, fake_loss
from mlcfast.ops.numerics import reduce, upcast

LIBRARY.define("large_loss_threshold(Tensor logits, Tensor labels, int count) -> Tensor")
_THRESHOLD = torch.ops.mlcfast.large_loss_threshold.default
# What changes with the epoch is a tensor of the host here: a compiled call takes a number for a constant. A CUDA graph
# would hold what that tensor was when it was captured.
READS_HOST = (torch.Tag.cudagraph_unsafe,)
LIBRARY.define(
    "large_loss_threshold_of_epoch(Tensor logits, Tensor labels, Tensor times, float delta) -> Tensor", tags=READS_HOST
)
_OF_EPOCH = torch.ops.mlcfast.large_loss_threshold_of_epoch.default
LIBRARY.define(  # as `triton`, the overload that StoredGradient calls, though any backend's kernels run
    "generalized_robust_forward.triton(Tensor logits, Tensor labels, Tensor moving, float q2, float q3, int reduction, "
    "bool with_gradient) -> (Tensor, Tensor)",
    tags=READS_HOST,
)


@torch.library.register_fake("mlcfast::large_loss_threshold", lib=LIBRARY)
def _fake(logits: Tensor, labels: Tensor, count: int) -> Tensor:
    return logits.new_empty((), dtype=torch.float32)


@torch.library.register_fake("mlcfast::large_loss_threshold_of_epoch", lib=LIBRARY)
def _fake_of_epoch(logits: Tensor, labels: Tensor, times: Tensor, delta: float) -> Tensor:
    return logits.new_empty((), dtype=torch.float64 if logits.dtype == torch.float64 else torch.float32)


def _threshold_of_epoch(logits: Tensor, labels: Tensor, times: Tensor, delta: float) -> Tensor:
    dtype = torch.float64 if logits.dtype == torch.float64 else torch.float32
    count = large_loss_count(logits.numel(), int(times), delta)
    if not count:
        return logits.new_full((), torch.inf, dtype=dtype)
    return large_loss_threshold(logits, labels, count).to(dtype)


LIBRARY.impl("large_loss_threshold_of_epoch", _threshold_of_epoch, "CompositeExplicitAutograd")


def entropy_maximisation(
    logits: Tensor, labels: Tensor, alpha: float = 0.1, beta: float | None = None, reduction: str = "mean"
) -> Tensor:
    """EM, and with beta EM + APL, where a label −s in (−1, 0) is a soft negative pseudo-label s (arXiv 2203.16219)."""
    plain = partial(reference.entropy_maximisation, alpha=alpha, beta=beta)
    options = (alpha, beta or 0.0, float(beta is not None))
    steepest = 1 + 4 * max(abs(alpha), abs(beta or 0.0))
    return label_loss(Formula.ENTROPY, plain, logits, labels, options, reduction, steepest)


def large_loss_count(entries: int, times: int, delta: float) -> int:
    """How many of the entries are large losses after `times` epochs."""
    return math.ceil(entries * times * delta)


def large_loss_threshold_of_epoch(logits: Tensor, labels: Tensor, times: Tensor, delta: float) -> Tensor:
    """The large_loss_threshold of large_loss_count, ∞ for none; times: 0-d int64, of the host."""
    return _OF_EPOCH(logits.detach(), labels, times, delta)


def large_loss_threshold(logits: Tensor, labels: Tensor, count: int) -> Tensor:
    """The `count`-th largest logit of an unknown entry, 0-d in the logits' type, −∞ where there are fewer.

    Nothing here waits for the device.
    """
    narrow_on_cpu = logits.device.type == "cpu" and logits.dtype != torch.float64
    if narrow_on_cpu and logits.numel() and choose("cpu") == "native":
        return _THRESHOLD(logits.detach(), labels, count)
    return reference.large_loss_threshold(logits, labels, count)


def large_losses(
    logits: Tensor,
    labels: Tensor,
    threshold: Tensor | None,
    flip: bool = False,
    reduction: str = "mean",
    count: int = 0,
) -> Tensor:
    """Cross-entropy but for the unknown entries whose logit is at least the threshold (arXiv 2206.03740).

    threshold: 0-d, see large_loss_threshold; where it is None, that of `count`, and for 0 plain cross-entropy. Those
    entries count 0, or with `flip` as positive.
    """
    if threshold is None and count and not (compiled_on_cpu(logits, labels) and logits.dtype != torch.float64):
        check_pair(logits, labels, "labels")
        threshold = large_loss_threshold(logits, labels, count)
    plain = partial(reference.large_losses, threshold=threshold, flip=flip)
    if threshold is None and not count:
        return label_loss(Formula.FOCAL, plain, logits, labels, _focal(0.0), reduction)
    options = (float(flip), float(count))
    return label_loss(Formula.LARGE, plain, logits, labels, options, reduction, threshold=threshold)


def hill(
    logits: Tensor,
    labels: Tensor,
    lambda_: float = 1.5,
    margin: float = 1.0,
    gamma: float = 2.0,
    reduction: str = "mean",
) -> Tensor:
    """Hill loss (arXiv 2112.07368)."""
    plain = partial(reference.hill, lambda_=lambda_, margin=margin, gamma=gamma)
    steepest = 1 + abs(lambda_) + abs(gamma)
    return label_loss(Formula.HILL, plain, logits, labels, (lambda_, margin, gamma), reduction, steepest)


def self_paced_correction(
    logits: Tensor,
    labels: Tensor,
    tau: float | None = 0.6,
    margin: float = 1.0,
    gamma: float = 2.0,
    reduction: str = "mean",
) -> Tensor:
    """SPLC (arXiv 2112.07368): unknown entries with f > tau count as positive; None corrects nothing."""
    corrected = math.inf if tau is None else _logit(tau)
    plain = partial(reference.self_paced_correction, corrected=corrected, margin=margin, gamma=gamma)
    options = _focal(gamma, margin=margin, corrected=corrected)
    return label_loss(Formula.FOCAL, plain, logits, labels, options, reduction, 1 + abs(gamma))


def generalized_robust(
    logits: Tensor,
    labels: Tensor,
    w: float = 0.0,
    b: float = -2.0,
    mu: float = 0.5,
    sigma: float = 2.0,
    q2: float = 0.01,
    q3: float = 1.0,
    reduction: str = "mean",
) -> Tensor:
    """GR (arXiv 2405.03501)."""
    plain = partial(reference.generalized_robust, w=w, b=b, mu=mu, sigma=sigma, q2=q2, q3=q3)
    return label_loss(Formula.ROBUST, plain, logits, labels, (w, b, mu, sigma, q2, q3), reduction)


@torch.library.register_fake("mlcfast::generalized_robust_forward.triton", lib=LIBRARY)
def _fake_robust(logits: Tensor, labels: Tensor, *rest: Any) -> tuple[Tensor, Tensor]:
    return fake_loss(logits, rest[3]), fake_gradient(logits, rest[4])


def _robust_forward(
    logits: Tensor, labels: Tensor, moving: Tensor, q2: float, q3: float, reduction: int, with_gradient: bool
) -> tuple[Tensor, Tensor]:
    operator = torch.ops.mlcfast.label_loss_forward
    chosen = operator.default if backend_of(logits) == "native" else operator.triton
    options = [*moving.tolist(), q2, q3]
    return chosen(logits, labels, None, None, None, int(Formula.ROBUST), options, reduction, with_gradient)


LIBRARY.impl("generalized_robust_forward.triton", _robust_forward, "CompositeExplicitAutograd")


def generalized_robust_of_epoch(logits: Tensor, labels: Tensor, moving: Tensor, q2: float, q3: float) -> Tensor:
    """generalized_robust's mean, whose w, b, mu and sigma (4,) are a tensor of the host and no constants of a graph."""
    check_pair(logits, labels, "labels")
    if backend_of(logits) == "reference":
        x = upcast(logits)
        w, b, mu, sigma = moving.to(x.device, x.dtype).unbind()  # as a copy, which a CUDA graph leaves out too
        return reduce(reference.generalized_robust(x, labels.to(x.dtype), w, b, mu, sigma, q2, q3), "mean")
    code = REDUCTION_CODES["mean"]
    return StoredGradient.apply("generalized_robust_forward", code, 1.0, logits, labels, moving, q2, q3, code)


def _focal(gamma: float, margin: float = 0.0, corrected: float = math.inf) -> tuple[float, ...]:
    """The options of the focal formula without ε and balance."""
    return (gamma, 0.0, 1.0, 1.0, margin, corrected)


def _logit(probability: float) -> float:
    if not 0 < probability < 1:
        return -math.inf if probability <= 0 else math.inf
    return math.log(probability) - math.log1p(-probability)
