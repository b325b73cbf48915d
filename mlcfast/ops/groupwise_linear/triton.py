"""LayerNorm and the group-wise linear head in one pass over x, forward and backward, for a label a query.

Forward   μ, r and Σ v (x − μ) from one row in registers; letters as in matmul.py.
Backward  a program takes a label and every so-manyth image: v stays in registers, x is read once and dx written once,
          T = Σ_b h x̂ is summed in registers; the sums over a label's programs and over labels are left to torch.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

PROGRAMS_PER_MULTIPROCESSOR = 4


def warps(block: int) -> int:
    """Of a program with rows of up to `block` entries: 16 a thread and more, in 8 warps, spilled on capability 12.0."""
    return 8 if block <= 2048 else 16


@triton.jit
def groupwise_linear_kernel(x, weight, bias, gamma, beta, logits, mean, rstd, G, D, eps, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    label = row % G
    depth = tl.arange(0, BLOCK)
    inside = depth < D
    features = tl.load(x + row * D + depth, mask=inside, other=0.0).to(tl.float32)
    mu = tl.sum(features, 0) / D
    centred = tl.where(inside, features - mu, 0.0)
    r = tl.rsqrt(tl.sum(centred * centred, 0) / D + eps)
    w = tl.load(weight + label * D + depth, mask=inside, other=0.0)
    g = tl.load(gamma + depth, mask=inside, other=0.0)
    constant = tl.sum(w * tl.load(beta + depth, mask=inside, other=0.0), 0) + tl.load(bias + label)
    tl.store(logits + row, r * tl.sum(centred * w * g, 0) + constant)
    tl.store(mean + row, mu)
    tl.store(rstd + row, r)


@triton.jit
def groupwise_linear_backward_kernel(grad, x, weight, gamma, mean, rstd, grad_x, moments, B, G, D, BLOCK: tl.constexpr):
    label, split = tl.program_id(0).to(tl.int64), tl.program_id(1)
    depth = tl.arange(0, BLOCK)
    inside = depth < D
    v = tl.load(weight + label * D + depth, mask=inside, other=0.0)
    v *= tl.load(gamma + depth, mask=inside, other=0.0)
    v = tl.where(inside, v - tl.sum(v, 0) / D, 0.0)
    total = tl.zeros((BLOCK,), tl.float32)
    for image in range(split, B, tl.num_programs(1)):
        row = image * G + label
        r, h = tl.load(rstd + row), tl.load(grad + row)
        features = tl.load(x + row * D + depth, mask=inside, other=0.0).to(tl.float32)
        normal = tl.where(inside, (features - tl.load(mean + row)) * r, 0.0)
        total += h * normal
        tl.store(grad_x + row * D + depth, r * h * (v - normal * tl.sum(v * normal, 0) / D), mask=inside)
    tl.store(moments + (split * G + label) * D + depth, total, mask=inside)


def forward(x: Tensor, weight: Tensor, bias: Tensor, gamma: Tensor, beta: Tensor, eps: float) -> list[Tensor]:
    """As matmul.forward, for m = 1 and fp32 parameters."""
    B, G, D = x.shape
    logits, mean, rstd = (weight.new_empty(B, G) for _ in range(3))
    parameters = (weight.contiguous(), bias.contiguous(), gamma.contiguous(), beta.contiguous())
    block = triton.next_power_of_2(D)
    groupwise_linear_kernel[(B * G,)](
        x.contiguous(), *parameters, logits, mean, rstd, G, D, eps, BLOCK=block, num_warps=warps(block)
    )
    return [logits.unsqueeze(2), mean, rstd]


def backward(
    grad: Tensor, x: Tensor, weight: Tensor, gamma: Tensor, beta: Tensor, mean: Tensor, rstd: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """As matmul.backward, for m = 1 and fp32 parameters."""
    B, G, D = x.shape
    grad, x, weight = grad.contiguous(), x.contiguous(), weight.contiguous()
    splits = _splits(x, B, G)
    block = triton.next_power_of_2(D)
    grad_x, moments = torch.empty_like(x), weight.new_empty(splits, G, 1, D)
    groupwise_linear_backward_kernel[(G, splits)](
        grad, x, weight, gamma.contiguous(), mean, rstd, grad_x, moments, B, G, D,
        BLOCK=block, num_warps=warps(block),
    )  # fmt: skip
    moments, summed = moments.sum(0), grad.sum(0)
    grad_gamma, grad_beta = (weight * moments).sum((0, 1)), (weight * summed.unsqueeze(2)).sum((0, 1))
    return grad_x, moments * gamma + summed.unsqueeze(2) * beta, summed, grad_gamma, grad_beta


def _splits(x: Tensor, B: int, G: int) -> int:
    """Programs a label: enough to fill the device, no more than images."""
    count = torch.cuda.get_device_properties(x.device).multi_processor_count if x.is_cuda else 1
    return max(1, min(B, -(-PROGRAMS_PER_MULTIPROCESSOR * count // G)))
