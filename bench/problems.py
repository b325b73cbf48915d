"""What every operator is tried on: published sizes and awkward ones, each with its definition in plain torch.

B images, K labels, D width. The attention's are in bench.attention_problems.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from mlcfast import ops
from mlcfast.ops.asymmetric_loss.reference import asymmetric_loss as asymmetric_reference
from mlcfast.ops.epr_loss.reference import epr_loss as epr_reference
from mlcfast.ops.groupwise_linear.reference import groupwise_linear as groupwise_reference
from mlcfast.ops.layer_norm.reference import layer_norm as norm_reference
from mlcfast.ops.pairwise_ranking.reference import pairwise_ranking as pairwise_reference
from mlcfast.ops.quick_gelu.reference import quick_gelu as gelu_reference
from mlcfast.ops.role_loss.reference import role_loss as role_reference
from mlcfast.ops.weighted_bce.reference import weighted_bce as weighted_reference

HALVES = (torch.bfloat16, torch.float16)
DTYPES = (torch.float32, *HALVES)
EXTREMES = (1e4, -1e4, torch.inf, -torch.inf, 0.0, 88.0, -88.0, 120.0)
PUBLISHED_LOSS = {"gamma_neg": 2.0, "gamma_pos": 0.0, "clip": 0.0, "eps": 1e-5, "detach_focal_weight": True}
NAN_AT = (1, 3)
FEW = 100  # entries
WEIGHTS = ((1.0, 0.0), (0.0, 0.0), (0.1, 0.9))


@dataclass
class Problem:
    """One call: the operator and its definition on the same tensors, of which those that require gradients learn.

    small: so few entries that plain torch may be exact by luck; it is drawn several times. nan_at: the entry of the
    first tensor that is NaN, which neither the result nor that entry's gradient may hide.
    """

    name: str
    dtype: torch.dtype
    ours: Callable[..., Tensor]
    definition: Callable[..., Tensor]
    make: Callable[[], list[Tensor | None]]
    small: bool = False
    nan_at: tuple[int, int] | None = None


def loss_problems(operator: str, device: str, size: str) -> Iterator[Problem]:
    """size: full (a GPU), moderate (a CPU) or tiny (Triton's interpreter)."""
    shapes = {
        "full": ((64, 80), (4096, 80), (256, 9605), (1, 1), (3, 81), (5, 9605), (0, 7)),
        "moderate": ((64, 80), (1, 1), (3, 81), (5, 9605), (0, 7)),
        "tiny": ((4, 20), (3, 81), (1, 1), (0, 7)),
    }[size]
    for dtype in DTYPES:
        for kind, call in _loss_calls(operator).items():
            for B, K in shapes:
                yield _loss_problem(f"{kind} {B}×{K}", dtype, call, partial(_logits, B, K, dtype, device))
            extreme = torch.tensor(EXTREMES * 6, device=device).view(6, 8).to(dtype)
            yield _loss_problem(f"{kind} saturated and infinite", dtype, call, extreme.clone)
            yield _loss_problem(f"{kind} strided", dtype, call, lambda d=dtype: _logits(81, 7, d, device).t())
            hidden = _loss_problem(f"{kind} NaN", dtype, call, partial(_with_nan, dtype, device))
            hidden.nan_at, hidden.small = NAN_AT, False
            yield hidden


Call = tuple[Callable[..., Tensor], Callable[..., Tensor]]


def _loss_calls(operator: str) -> dict[str, Call]:
    """kind -> (ours, definition), both called with logits, labels, an estimator's rows and true labels."""

    def both(ours: Callable, definition: Callable, arguments: Callable[..., tuple]) -> Call:
        return lambda *t: ours(*arguments(*t)), lambda *t: definition(*arguments(*t))

    def asymmetric(**options: object) -> Call:
        return tuple(lambda x, y, e, t, f=f: f(x, y, **options) for f in (ops.asymmetric_loss, asymmetric_reference))  # type: ignore[return-value]

    def index(x: Tensor) -> Tensor:
        return torch.arange(len(x), device=x.device).flip(0)

    return {
        "asymmetric_loss": {
            "defaults": asymmetric(),
            "published": asymmetric(**PUBLISHED_LOSS),
            "fractional, each entry": asymmetric(gamma_neg=2.5, gamma_pos=0.5, reduction="none"),
        },
        "weighted_bce": {
            "assume negative": both(ops.weighted_bce, weighted_reference, lambda x, y, e, t: (x, y)),
            "three weights": both(ops.weighted_bce, weighted_reference, lambda x, y, e, t: (x, y, *WEIGHTS, t)),
        },
        "pairwise_ranking": {"": both(ops.pairwise_ranking, pairwise_reference, lambda x, y, e, t: (x, y))},
        "epr_loss": {"": both(ops.epr_loss, epr_reference, lambda x, y, e, t: (x, y, 2.9))},
        "role_loss": {
            "rows": both(ops.role_loss, role_reference, lambda x, y, e, t: (x, y, e, 2.9)),
            "table": both(ops.role_loss, role_reference, lambda x, y, e, t: (x, y, e, 2.9, index(x))),
        },
    }[operator]


def _logits(B: int, K: int, dtype: torch.dtype, device: str) -> Tensor:
    return (torch.randn(B, K, device=device) * 3).to(dtype)


def _with_nan(dtype: torch.dtype, device: str) -> Tensor:
    logits = _logits(2, 5, dtype, device)
    logits[NAN_AT] = torch.nan
    return logits


def _loss_problem(name: str, dtype: torch.dtype, call: Call, logits_of: Callable[[], Tensor]) -> Problem:
    def make() -> list[Tensor | None]:
        logits = logits_of()
        shape, device = logits.shape, logits.device
        labels = (torch.rand(shape, device=device) < 0.3).to(torch.int8)
        labels = labels - ((torch.rand(shape, device=device) < 0.3) & (labels == 0)).to(torch.int8)
        rows = torch.randn(shape, device=device)
        return [logits.requires_grad_(), labels, rows.requires_grad_(), (labels > 0).to(torch.uint8)]

    return Problem(name.strip(), dtype, *call, make, small=logits_of().numel() < FEW)


def groupwise_problems(backend: str, device: str, size: str) -> Iterator[Problem]:
    """With the LayerNorm before it, as the models have it; grouped queries where there are no Triton kernels."""
    full = ((16, 80, 80, 2048), (2, 9605, 9605, 512), (4, 100, 9605, 1024))
    shapes = (full if size == "full" else ()) + ((3, 1, 1, 8), (2, 81, 81, 6), (2, 7, 20, 6))
    for dtype in DTYPES if size != "tiny" else DTYPES[:1]:
        for B, G, K, D in shapes:
            if G == K or backend == "native":
                make = partial(_head_tensors, B, G, K, D, dtype, device)
                name = f"B {B} G {G} K {K} D {D}"
                yield Problem(name, dtype, ops.groupwise_linear, groupwise_reference, make, B * K < FEW)


def _head_tensors(B: int, G: int, K: int, D: int, dtype: torch.dtype, device: str) -> list[Tensor | None]:
    x = torch.randn(B, G, D, device=device).to(dtype)
    return [x.requires_grad_(), *(torch.randn(s, device=device).requires_grad_() for s in ((K, D), (K,), (D,), (D,)))]


def elementwise_problems(operator: str, device: str, size: str) -> Iterator[Problem]:
    """layer_norm with fp32 weights, and quick_gelu."""

    def make(rows: int, C: int, dtype: torch.dtype) -> list[Tensor | None]:
        x = (torch.randn(rows, C, device=device) * 3 + 1).to(dtype).requires_grad_()
        affine = [torch.randn(C, device=device).requires_grad_() for _ in range(2)]
        return [x, *affine] if operator == "layer_norm" else [x]

    pairs = {"layer_norm": (ops.layer_norm, norm_reference), "quick_gelu": (ops.quick_gelu, gelu_reference)}
    for dtype in DTYPES:
        for rows, C in ((1, 1), (50, 48), (4096, 1024) if size == "full" else (64, 192)):
            yield Problem(f"{rows}×{C}", dtype, *pairs[operator], partial(make, rows, C, dtype), rows * C < FEW)


def problems(operator: str, backend: str, device: str, size: str) -> Iterator[Problem]:
    """All of one operator's, as far as the backend implements them."""
    from bench.attention_problems import attention_problems  # it builds on this module

    if operator == "label_query_attention":
        yield from attention_problems(backend, device, size)
    elif operator == "groupwise_linear":
        yield from groupwise_problems(backend, device, size)
    elif operator in ("layer_norm", "quick_gelu"):
        yield from elementwise_problems(operator, device, size)
    else:
        yield from loss_problems(operator, device, size)
