"""The Triton kernel of losses chosen by a formula's number: loss and gradient in one pass, label weights included.

The mathematics, forward and backward, stands in csrc/label_formulas.h and csrc/formulas.h; the options come in the
order of op.Formula. p = σ(x), q = σ(−x), up = −log p, down = −log q.
"""

import triton
import triton.language as tl
from torch import Tensor

from mlcfast.ops.asymmetric_loss.triton import weighed_asymmetric
from mlcfast.ops.label_loss.triton_terms import bounded, expm1_nonpositive, focal_power, logit_terms
from mlcfast.ops.triton_elementwise import run_elementwise
from mlcfast.ops.triton_launch import check_supported, sigmoid_pair

OPTIONS = 7  # the most that a formula takes
_INFINITE = 1e30


@triton.jit
def entropy(x, z, alpha, beta, soft_labels):
    """EM and EM + APL."""
    p, q = sigmoid_pair(x)
    up, down = -tl.log(p + 1e-5), -tl.log(q + 1e-5)
    soft = (z < 0) & (z > -soft_labels)
    c = tl.where(z == 0, -alpha, 0.0)
    a = tl.where(z > 0, 1.0, tl.where(soft, -beta * z, c * p))
    b = tl.where(z > 0, 0.0, tl.where(soft, beta * (1.0 + z), tl.where(z == 0, c * q, 1.0)))
    return a * up + b * down, p * q * (b / (q + 1e-5) - a / (p + 1e-5) + c * (up - down))


@triton.jit
def hill(x, z, lambda_, margin, gamma):
    """Hill."""
    positive = z > 0
    p, q, up, down = logit_terms(tl.where(positive, x - margin, -x))
    power = focal_power(q, down, gamma)
    slope = power * (q + gamma * p * bounded(up))
    loss = tl.where(positive, power * up, (lambda_ - q) * q * q)
    return loss, tl.where(positive, -slope, p * q * q * (2.0 * lambda_ - 3.0 * q))


@triton.jit
def focal(x, z, gamma, epsilon, positive_weight, other_weight, margin, corrected):
    """Focal, poly and SPLC."""
    positive = (z > 0) | ((z == 0) & (x > corrected))
    p, q, up, down = logit_terms(tl.where(positive, x - tl.where(z > 0, margin, 0.0), -x))
    scaled = tl.where(positive, positive_weight, other_weight) * focal_power(q, down, gamma)
    slope = scaled * (q + gamma * p * bounded(up) + epsilon * (gamma + 1.0) * q * p)
    return scaled * (up + epsilon * q), tl.where(positive, -slope, slope)


@triton.jit
def robust(x, z, w, b, mu, sigma, q2, q3):
    """GR."""
    p, q, up, down = logit_terms(x)
    k, not_k = sigmoid_pair(w * p + b)
    distance = (p - mu) / sigma
    v = tl.exp(-0.5 * distance * distance)
    lost, other_lost = expm1_nonpositive(-q2 * up), expm1_nonpositive(-q3 * down)
    unknown = -v * (k * lost / q2 + not_k * other_lost / q3)
    unknown_slope = v * (not_k * (1.0 + other_lost) * p - k * (1.0 + lost) * q)
    known = tl.where(z > 0, p, q) + 1e-7
    known_slope = p * q / known
    loss = tl.where(z == 0, unknown, -tl.log(known))
    return loss, tl.where(z == 0, unknown_slope, tl.where(z > 0, -known_slope, known_slope))


@triton.jit
def large(x, z, flip, threshold):
    """LL-R, LL-Ct and LL-Cp."""
    p, q, up, down = logit_terms(x)
    as_positive = (z > 0) | ((z == 0) & (x >= threshold))
    positive = tl.where(z > 0, 1.0, flip)
    return tl.where(as_positive, positive * bounded(up), down), tl.where(as_positive, -positive * q, p)


@triton.jit
def weighted_bce(x, z, pos_a, pos_b, unk_a, unk_b, neg_a, neg_b, eps):
    """The cross-entropies."""
    up, down = tl.where(z > 0, z, 0.0), tl.where(z < 0, -z, 0.0)
    a = unk_a + up * (pos_a - unk_a) + down * (neg_a - unk_a)
    b = unk_b + up * (pos_b - unk_b) + down * (neg_b - unk_b)
    p, q = sigmoid_pair(x)
    return -(a * tl.log(p + eps) + b * tl.log(q + eps)), p * q * (b / (q + eps) - a / (p + eps))


@triton.jit
def label_kernel(
    logits, labels, loss, gradient, threshold, positive_weight, other_weight, K,
    o0, o1, o2, o3, o4, o5, o6, loss_scale, gradient_scale, entries, chunk,
    FORMULA: tl.constexpr, WEIGHED: tl.constexpr,
    PER_ENTRY: tl.constexpr, WITH_GRADIENT: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """One program a chunk."""
    program = tl.program_id(0).to(tl.int64)
    total = tl.zeros([BLOCK], tl.float32)
    for start in range(0, chunk, BLOCK):
        at = program * chunk + start + tl.arange(0, BLOCK)
        inside = at < entries
        x = tl.load(logits + at, mask=inside, other=0.0).to(tl.float32)
        z = tl.load(labels + at, mask=inside, other=0).to(tl.float32)
        bad = (z < -1.0) | (z > 1.0) | (z != z)
        if FORMULA == 0:
            value, derivative = entropy(x, z, o0, o1, o2)
        elif FORMULA == 1:
            value, derivative = hill(x, z, o0, o1, o2)
        elif FORMULA == 2:
            value, derivative = focal(x, z, o0, o1, o2, o3, o4, o5)
        elif FORMULA == 3:
            value, derivative = robust(x, z, o0, o1, o2, o3, o4, o5)
        elif FORMULA == 4:
            value, derivative = large(x, z, o0, tl.load(threshold).to(tl.float32))
        elif FORMULA == 5:
            value, derivative = weighed_asymmetric(x, z, o0, o1, o2, o3, o4, o5, o6)
        else:
            value, derivative = weighted_bce(x, z, o0, o1, o2, o3, o4, o5, o6)
        if WEIGHED:
            k = at % K
            other = tl.load(other_weight + k, mask=inside, other=0.0)
            positive = tl.load(positive_weight + k, mask=inside, other=0.0)
            weight = other + tl.where(z > 0, z, 0.0) * (positive - other)
            value *= weight
            derivative *= weight
        value = tl.where(bad, float("nan"), value)
        if PER_ENTRY:
            tl.store(loss + at, value * loss_scale, mask=inside)
        else:
            total += tl.where(inside, value, 0.0)
        if WITH_GRADIENT:
            result = tl.where(bad, float("nan"), derivative * gradient_scale)
            tl.store(gradient + at, result.to(gradient.dtype.element_ty), mask=inside)
    if not PER_ENTRY:
        tl.store(loss + program, tl.sum(total, axis=0) * loss_scale)


def forward(
    logits: Tensor,
    labels: Tensor,
    threshold: Tensor | None,
    positive_weight: Tensor | None,
    other_weight: Tensor | None,
    formula: int,
    options: list[float],
    reduction: int,
    with_gradient: bool,
) -> tuple[Tensor, Tensor]:
    """The loss and, with_gradient, its gradient as csrc/ops.h stores it."""
    check_supported(logits)
    absent = logits.new_empty(1)
    tensors = [absent if tensor is None else tensor for tensor in (threshold, positive_weight, other_weight)]
    finite = [min(max(float(option), -_INFINITE), _INFINITE) for option in options]
    others = (*tensors, max(logits.shape[-1], 1), *finite, *[0.0] * (OPTIONS - len(finite)))
    constants = {"FORMULA": formula, "WEIGHED": positive_weight is not None}
    return run_elementwise(label_kernel, logits, labels, others, reduction, 1.0, with_gradient, **constants)
