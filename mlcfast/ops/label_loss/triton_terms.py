"""What the Triton kernels of the later losses share: logarithms and powers of a probability, taken of its logit.

p = σ(x), q = σ(−x), up = −log p, down = −log q, as in csrc/label_formulas.h.
"""

import triton
import triton.language as tl


@triton.jit
def log1p_unit(x):
    """log(1 + x) for x in [0, 1], to full relative accuracy."""
    u = 1.0 + x
    same = u == 1.0
    return tl.where(same, x, tl.log(u) * (x / tl.where(same, 1.0, u - 1.0)))


@triton.jit
def expm1_nonpositive(x):
    """exp(x) − 1 for x ≤ 0, to full relative accuracy."""
    u = tl.exp(x)
    between = (u > 1e-30) & (u != 1.0)
    safe = tl.where(between, u, 0.5)
    return tl.where(between, (u - 1.0) * (x / tl.log(safe)), tl.where(u == 1.0, x, u - 1.0))


@triton.jit
def logit_terms(x):
    """(p, q, up, down) of a logit."""
    e = tl.exp(-tl.abs(x))
    small = e / (1.0 + e)
    large = 1.0 - small  # near 1 rounded once, which its powers multiply
    tail = log1p_unit(e)
    p, q = tl.where(x < 0, small, large), tl.where(x < 0, large, small)
    return p, q, tail + tl.where(x < 0, -x, 0.0), tail + tl.where(x < 0, 0.0, x)


@triton.jit
def focal_power(q, down, gamma):
    """q^γ, 1 for γ = 0."""
    return tl.where(gamma == 0, 1.0 + q * 0.0, tl.where(gamma == 2, q * q, tl.exp(-gamma * down)))


@triton.jit
def bounded(x):
    """At most 1e30, so that 0 times it is 0; a NaN stays."""
    return tl.where(x > 1e30, 1e30, x)
