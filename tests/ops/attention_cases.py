"""Inputs for the label-query attention tests. B images, K labels, N cells, D width, H heads."""

import torch
from torch import Tensor

NAMES = ("queries", "memory", "position", "in_proj_weight", "in_proj_bias", "out_proj_weight", "out_proj_bias")


def make(
    B: int,
    K: int,
    N: int,
    D: int,
    shared: bool = True,
    positions: int | None = 1,
    dtype: torch.dtype = torch.float64,
    seed: int = 0,
) -> list[Tensor | None]:
    """The seven tensors of the operator; positions: 1 for one code, B for one an image, None for none."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)

    queries = normal(K, D) if shared else normal(B, K, D)
    position = None if positions is None else normal(positions, N, D)
    return [
        queries,
        normal(B, N, D),
        position,
        normal(3 * D, D) / D**0.5,
        normal(3 * D),
        normal(D, D) / D**0.5,
        normal(D),
    ]


def learn(tensors: list[Tensor | None]) -> list[Tensor | None]:
    """Detached copies that require gradients."""
    return [None if t is None else t.detach().clone().requires_grad_() for t in tensors]


def gradients(out: Tensor, tensors: list[Tensor | None], seed: int = 1) -> list[Tensor]:
    """Gradients of a fixed random projection of `out` to the tensors present."""
    direction = torch.randn(out.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(out)
    return list(torch.autograd.grad(out, [t for t in tensors if t is not None], direction))
