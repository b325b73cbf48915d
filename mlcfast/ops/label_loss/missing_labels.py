"""The losses for missing labels as a user calls them; the formulas are in reference.py.

logits: (B, K) or any shape, fp32, bf16, fp16 or fp64; labels: the same shape, in [-1, 1], any real dtype: above 0
positive, 0 unknown, below 0 negative. reduction: none | mean | sum, mean over B·K. Each returns fp32 (fp64 for fp64
logits), (B, K) for reduction none, else a scalar, 0 for the mean of an empty batch, and raises ValueError for wrong
shapes, dtypes, devices, options and, on the CPU, label values.
"""

import math
from functools import partial

import torch
from torch import Tensor

from mlcfast.ops.backend import choose, compiled_on_cpu
from mlcfast.ops.checks import check_pair
from mlcfast.ops.label_loss import reference
from mlcfast.ops.label_loss.op import Formula, label_loss
from mlcfast.ops.library import LIBRARY

LIBRARY.define("large_loss_threshold(Tensor logits, Tensor labels, int count) -> Tensor")
_THRESHOLD = torch.ops.mlcfast.large_loss_threshold.default


@torch.library.register_fake("mlcfast::large_loss_threshold", lib=LIBRARY)
def _fake(logits: Tensor, labels: Tensor, count: int) -> Tensor:
    return logits.new_empty((), dtype=torch.float32)


def entropy_maximisation(
    logits: Tensor, labels: Tensor, alpha: float = 0.1, beta: float | None = None, reduction: str = "mean"
) -> Tensor:
    """EM, and with beta EM + APL, where a label −s in (−1, 0) is a soft negative pseudo-label s (arXiv 2203.16219)."""
    plain = partial(reference.entropy_maximisation, alpha=alpha, beta=beta)
    options = (alpha, beta or 0.0, float(beta is not None))
    steepest = 1 + 4 * max(abs(alpha), abs(beta or 0.0))
    return label_loss(Formula.ENTROPY, plain, logits, labels, options, reduction, steepest)


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


def _focal(gamma: float, margin: float = 0.0, corrected: float = math.inf) -> tuple[float, ...]:
    """The options of the focal formula without ε and balance."""
    return (gamma, 0.0, 1.0, 1.0, margin, corrected)


def _logit(probability: float) -> float:
    if not 0 < probability < 1:
        return -math.inf if probability <= 0 else math.inf
    return math.log(probability) - math.log1p(-probability)
