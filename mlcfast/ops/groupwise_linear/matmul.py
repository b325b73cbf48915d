"""LayerNorm and the group-wise linear head as one operation: the normalised x exists for a slice of the batch only.

Per row x of label query g, with v = W∘γ for each of its m labels (rows of W):
    logit = r Σ v (x − μ) + Σ W β + b,   μ = mean x,  r = (var x + eps)^-1/2.
Taking μ off after the product, r (Σ v x − μ Σ v), would save a pass and lose digits: 3× the error where μ is three
standard deviations.
Backward, with h the logits' gradient, x̂ = r (x − μ), u = Σ_m h (v − mean v) and s = Σ_d u x̂:
    dx = r (u − x̂ s / D);   T[m] = Σ_b h x̂;   dW = T∘γ + (Σ_b h) β;   dγ = Σ W∘T;   dβ = Σ W (Σ_b h).
Kept between the passes: x itself, μ and r. Half precision is widened a slice of the batch at a time.
"""

import torch
from torch import Tensor

SLICE_BYTES = 32 << 20


def forward(x: Tensor, weight: Tensor, bias: Tensor, gamma: Tensor, beta: Tensor, eps: float) -> list[Tensor]:
    """x (B, G, D), weight (G, m, D), bias (G, m), the rest wide as the result: logits (B, G, m), μ and r (B, G)."""
    B, G, _ = x.shape
    logits = weight.new_empty(B, G, weight.shape[1])
    mean, rstd = weight.new_empty(B, G), weight.new_empty(B, G)
    scaled = weight * gamma
    constant = (weight * beta).sum(2) + bias
    for images in slices(x):
        wide = x[images].to(weight.dtype)
        variance, mean[images] = torch.var_mean(wide, dim=2, correction=0)
        rstd[images] = (variance + eps).rsqrt_()
        centred = wide - mean[images].unsqueeze(2)
        products = torch.bmm(centred.transpose(0, 1), scaled.mT).transpose(0, 1)
        logits[images] = products * rstd[images].unsqueeze(2) + constant
    return [logits, mean, rstd]


def backward(
    grad: Tensor, x: Tensor, weight: Tensor, gamma: Tensor, beta: Tensor, mean: Tensor, rstd: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Logits' gradient (B, G, m) -> dx, dW (G, m, D), db (G, m), dγ, dβ (D,)."""
    D = x.shape[2]
    scaled = weight * gamma
    scaled -= scaled.mean(2, keepdim=True)
    grad_x = torch.empty_like(x)
    moments = torch.zeros_like(weight)  # T
    for images in slices(x):
        normal = (x[images].to(weight.dtype) - mean[images].unsqueeze(2)) * rstd[images].unsqueeze(2)
        h = grad[images].transpose(0, 1)  # (G, b, m)
        moments += torch.bmm(h.mT, normal.transpose(0, 1))
        u = torch.bmm(h, scaled).transpose(0, 1)
        s = (u * normal).sum(2, keepdim=True)
        grad_x[images] = u.addcmul_(normal, s, value=-1 / D).mul_(rstd[images].unsqueeze(2))
    summed = grad.sum(0)
    grad_weight = moments * gamma + summed.unsqueeze(2) * beta
    grad_gamma = (weight * moments).sum((0, 1))
    return grad_x, grad_weight, summed, grad_gamma, (weight * summed.unsqueeze(2)).sum((0, 1))


def slices(x: Tensor) -> list[slice]:
    """The batch in pieces of about SLICE_BYTES in fp32, one image at least."""
    B, G, D = x.shape
    step = max(1, SLICE_BYTES // max(1, 4 * G * D))
    return [slice(start, min(start + step, B)) for start in range(0, B, step)]
