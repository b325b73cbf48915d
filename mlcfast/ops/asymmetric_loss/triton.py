"""The asymmetric loss in Triton: loss and gradient in one pass over the logits.

Forward, y in [0, 1]: L = −log_a · w with log_a = y log max(p, eps) + (1−y) log max(q, eps), q = min(not_p + clip, 1),
w = d^γ, d = y not_p + (1−y) max(p − clip, 0), γ = y γ+ + (1−y) γ−.
Backward: dL/dx = −(log_a' w + log_a w'), log_a' = y p not_p / a_pos − (1−y) p not_p / a_neg where neither clamp holds,
w' = γ d^(γ−1) d', d' = p not_p ((1−y)[p ≥ clip] − y); 0 at d = 0, and left out when the focal weight is detached.
"""

import triton
import triton.language as tl
from torch import Tensor

from mlcfast.ops.asymmetric_loss.reference import AsymmetricOptions
from mlcfast.ops.triton_elementwise import run_elementwise
from mlcfast.ops.triton_launch import check_supported, sigmoid_pair


@triton.jit
def _power(d, EXPONENT: tl.constexpr):
    """d^EXPONENT by multiplication: to the rounding of each factor, where exp(EXPONENT log d) is not."""
    result = d * 0.0 + 1.0
    for _ in tl.static_range(EXPONENT):
        result *= d
    return result


@triton.jit
def asymmetric_entry(x, label, gamma_neg, gamma_pos, clip, eps, POWER_NEG: tl.constexpr, POWER_POS: tl.constexpr):
    """Loss, its slope with the focal weight held constant, and the weight's own part of the slope.

    POWER_NEG, POWER_POS: gamma − 1, at least 0, of integer exponents, whose powers are then products; −1 for others.
    """
    y = tl.where(label > 0, label, 0.0)
    p, not_p = sigmoid_pair(x)
    slope = p * not_p
    shifted = not_p + clip
    q = tl.where(shifted > 1.0, 1.0, shifted)
    a_pos = tl.where(p < eps, eps, p)
    a_neg = tl.where(q < eps, eps, q)
    log_a = y * tl.log(a_pos) + (1.0 - y) * tl.log(a_neg)
    below = p - clip
    d = y * not_p + (1.0 - y) * tl.where(below < 0, 0.0, below)
    gamma = y * gamma_pos + (1.0 - y) * gamma_neg
    opened = d > 1e-37  # nearer to 0 the quotient below would overflow
    safe = tl.where(opened, d, 1.0)
    powered = tl.exp(gamma * tl.log(safe))
    quotient = powered / safe
    if POWER_NEG >= 0:
        side = tl.where(y > 0, _power(d, POWER_POS), _power(d, POWER_NEG))
        hard = (y == 0) | (y == 1)
        quotient = tl.where(hard, side, quotient)
        powered = tl.where(hard, tl.where(gamma > 0, side * d, 1.0), powered)
    weight = tl.where(opened, powered, tl.where(gamma > 0, 0.0, 1.0) + d)
    log_slope = y * tl.where(p < eps, 0.0, slope / a_pos)
    log_slope -= (1.0 - y) * tl.where((q < eps) | (shifted > 1.0), 0.0, slope / a_neg)
    d_slope = (1.0 - y) * tl.where(below < 0, 0.0, slope) - y * slope
    return -log_a * weight, -log_slope * weight, -log_a * tl.where(opened, gamma * quotient * d_slope, 0.0)


@triton.jit
def weighed_asymmetric(x, z, o0, o1, o2, o3, o4, o5, o6):
    """Loss and slope by the options in their order, as label_loss's kernel, which has room for seven, passes them."""
    value, fixed, moved = asymmetric_entry(x, z, o0, o1, o2, o3, -1, -1)
    return value, fixed + (1.0 - o4) * moved


@triton.jit
def asymmetric_kernel(
    logits, labels, loss, gradient, gamma_neg, gamma_pos, clip, eps, loss_scale, gradient_scale, entries, chunk,
    POWER_NEG: tl.constexpr, POWER_POS: tl.constexpr, DETACH: tl.constexpr,
    PER_ENTRY: tl.constexpr, WITH_GRADIENT: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """One program a chunk: see the module for the mathematics."""
    program = tl.program_id(0).to(tl.int64)
    total = tl.zeros([BLOCK], tl.float32)
    for start in range(0, chunk, BLOCK):
        at = program * chunk + start + tl.arange(0, BLOCK)
        inside = at < entries
        x = tl.load(logits + at, mask=inside, other=0.0).to(tl.float32)
        label = tl.load(labels + at, mask=inside, other=0).to(tl.float32)
        bad = (label < -1.0) | (label > 1.0) | (label != label)
        value, fixed, moved = asymmetric_entry(x, label, gamma_neg, gamma_pos, clip, eps, POWER_NEG, POWER_POS)
        value = tl.where(bad, float("nan"), value)
        if PER_ENTRY:
            tl.store(loss + at, value * loss_scale, mask=inside)
        else:
            total += tl.where(inside, value, 0.0)
        if WITH_GRADIENT:
            derivative = fixed if DETACH else fixed + moved
            result = tl.where(bad, float("nan"), derivative * gradient_scale)
            tl.store(gradient + at, result.to(gradient.dtype.element_ty), mask=inside)
    if not PER_ENTRY:
        tl.store(loss + program, tl.sum(total, axis=0) * loss_scale)


def forward(
    logits: Tensor, targets: Tensor, options: list[float], reduction: int, scale: float, with_gradient: bool
) -> tuple[Tensor, Tensor]:
    """The loss and, with_gradient, its gradient as csrc/ops.h stores it; options: those of AsymmetricOptions."""
    check_supported(logits)
    *numbers, detach = AsymmetricOptions(*options)
    integers = all(gamma <= 8 and gamma == int(gamma) for gamma in numbers[:2])
    powers = [max(int(gamma) - 1, 0) if integers else -1 for gamma in numbers[:2]]
    constants = {"POWER_NEG": powers[0], "POWER_POS": powers[1], "DETACH": bool(detach)}
    others = tuple(numbers)
    return run_elementwise(asymmetric_kernel, logits, targets, others, reduction, scale, with_gradient, **constants)
