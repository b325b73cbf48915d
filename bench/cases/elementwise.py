"""What the group-wise head, LayerNorm and QuickGELU are tried on, by tests/ops and by the gate.

B images, G query groups, K labels, D width, C channels.
"""

from collections.abc import Iterator
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.cases.problem import DTYPES, FEW, Problem
from mlcfast import ops
from mlcfast.ops.groupwise_linear.reference import groupwise_linear as groupwise_reference
from mlcfast.ops.layer_norm import layer_norm_reference as norm_reference
from mlcfast.ops.quick_gelu import quick_gelu_reference as gelu_reference

HEADS = ((3, 1, 1, 8), (2, 81, 81, 6), (2, 7, 20, 6))
PUBLISHED = ((16, 80, 80, 2048), (2, 9605, 9605, 512), (4, 100, 9605, 1024))
PAIRS = {"layer_norm": (ops.layer_norm, norm_reference), "quick_gelu": (ops.quick_gelu, gelu_reference)}


def head_problems(backend: str, device: str, size: str) -> Iterator[Problem]:
    """With the LayerNorm before it, as the models have it; grouped queries where there are no Triton kernels."""
    for dtype in DTYPES if size != "tiny" else DTYPES[:1]:
        for B, G, K, D in (PUBLISHED if size == "full" else ()) + HEADS:
            if G == K or backend == "native":
                make = partial(_tensors, (B, G, D), _parameters(K, D), dtype, device)
                name = f"B {B} G {G} K {K} D {D}"
                yield Problem(name, dtype, ops.groupwise_linear, groupwise_reference, make, B * K < FEW)
    if backend == "native":
        yield from accurate_heads(device)


def accurate_heads(device: str = "cpu") -> Iterator[Problem]:
    """Under autocast to bf16, as it trains, against fp32; the mean is not zero, where a careless variance cancels."""
    B, K, D = 4, 20, 256

    def ours(*tensors: Tensor) -> Tensor:
        with torch.autocast(device, torch.bfloat16):
            return ops.groupwise_linear(*tensors)

    def plain(x: Tensor, weight: Tensor, bias: Tensor, *norm: Tensor) -> Tensor:
        if x.dtype == torch.float64:
            return groupwise_reference(x, weight, bias, *norm)
        return (F.layer_norm(x.float(), (D,), *norm) * weight).sum(2) + bias

    for dtype in DTYPES:
        make = partial(_tensors, (B, K, D), _parameters(K, D), dtype, device, 3.0, learn=False)
        yield Problem(f"autocast, B {B} K {K} D {D}", dtype, ours, plain, make, strict=True)


def problems(operator: str, backend: str, device: str, size: str) -> Iterator[Problem]:
    """layer_norm with fp32 weights, and quick_gelu."""
    for rows, C in ((1, 1), (4096, 1024) if size == "full" else (64, 192)):
        yield from _elementwise(operator, device, rows, C)
    yield from accurate(operator, device)


def accurate(operator: str, device: str = "cpu") -> Iterator[Problem]:
    """Whose largest error is held to twice plain torch's, however small that is."""
    return _elementwise(operator, device, 50, 80, strict=True)


def _elementwise(operator: str, device: str, rows: int, C: int, strict: bool = False) -> Iterator[Problem]:
    parameters, mean = (((C,), (C,)), 1.0) if operator == "layer_norm" else ((), 0.0)
    for dtype in DTYPES:
        make = partial(_tensors, (rows, C), parameters, dtype, device, mean, 3.0)
        yield Problem(f"{rows}×{C}", dtype, *PAIRS[operator], make, rows * C < FEW, largest=True, strict=strict)


def _parameters(K: int, D: int) -> tuple[tuple[int, ...], ...]:
    return (K, D), (K,), (D,), (D,)


def _tensors(
    shape: tuple[int, ...], parameters: tuple[tuple[int, ...], ...], dtype: torch.dtype, device: str,
    mean: float = 0.0, scale: float = 1.0, learn: bool = True,
) -> list[Tensor]:  # fmt: skip
    x = (torch.randn(shape, device=device) * scale + mean).to(dtype)
    return [tensor.requires_grad_(learn) for tensor in (x, *(torch.randn(each, device=device) for each in parameters))]
