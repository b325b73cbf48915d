"""What every operator is tried on: published sizes and awkward ones, each with its definition in plain torch.

B images, K labels, N cells, D width, H heads.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from bench.attention import HEADS, PUBLISHED
from mlcfast import ops
from mlcfast.ops.asymmetric_loss.reference import asymmetric_loss as asymmetric_reference
from mlcfast.ops.epr_loss.reference import epr_loss as epr_reference
from mlcfast.ops.groupwise_linear.reference import groupwise_linear as groupwise_reference
from mlcfast.ops.label_query_attention.plan import PLANS
from mlcfast.ops.label_query_attention.reference import label_query_attention as attention_reference
from mlcfast.ops.layer_norm.reference import layer_norm as norm_reference
from mlcfast.ops.pairwise_ranking.reference import pairwise_ranking as pairwise_reference
from mlcfast.ops.quick_gelu.reference import quick_gelu as gelu_reference
from mlcfast.ops.role_loss.reference import role_loss as role_reference
from mlcfast.ops.weighted_bce.reference import weighted_bce as weighted_reference

HALVES = (torch.bfloat16, torch.float16)
DTYPES = (torch.float32, *HALVES)
EXTREMES = (1e4, -1e4, torch.inf, -torch.inf, 0.0, 88.0, -88.0, 120.0)
PUBLISHED_LOSS = {"gamma_neg": 2.0, "gamma_pos": 0.0, "clip": 0.0, "eps": 1e-5, "detach_focal_weight": True}
WEIGHTS = ((1.0, 0.0), (0.0, 0.0), (0.1, 0.9))


@dataclass
class Problem:
    """One call: the operator and its definition on the same tensors, of which those that require gradients learn."""

    name: str
    dtype: torch.dtype
    ours: Callable[..., Tensor]
    definition: Callable[..., Tensor]
    tensors: list[Tensor | None]


def loss_problems(operator: str, device: str, size: str) -> Iterator[Problem]:
    """size: full (a GPU), moderate (a CPU) or tiny (Triton's interpreter)."""
    shapes = {
        "full": ((64, 80), (4096, 80), (256, 9605), (1, 1), (3, 81), (5, 9605), (0, 7)),
        "moderate": ((64, 80), (1, 1), (3, 81), (5, 9605), (0, 7)),
        "tiny": ((4, 20), (3, 81), (1, 1), (0, 7)),
    }[size]
    for dtype in DTYPES:
        for B, K in shapes:
            for kind, call in _loss_calls(operator).items():
                yield _loss_problem(f"{kind} {B}×{K}", dtype, call, _logits(B, K, dtype, device), device)
        extreme = torch.tensor(EXTREMES * 6, device=device).view(6, 8).to(dtype)
        for kind, call in _loss_calls(operator).items():
            yield _loss_problem(f"{kind} saturated and infinite", dtype, call, extreme, device)
            strided = _logits(81, 7, dtype, device).t()
            yield _loss_problem(f"{kind} strided", dtype, call, strided, device)


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


def _loss_problem(name: str, dtype: torch.dtype, call: Call, logits: Tensor, device: str) -> Problem:
    labels = (torch.rand(logits.shape, device=device) < 0.3).to(torch.int8)
    labels = labels - ((torch.rand(logits.shape, device=device) < 0.3) & (labels == 0)).to(torch.int8)
    rows = torch.randn(logits.shape, device=device)
    tensors = [logits.requires_grad_(), labels, rows.requires_grad_(), (labels > 0).to(torch.uint8)]
    return Problem(name.strip(), dtype, *call, tensors)


def attention_problems(device: str, size: str, plans: tuple[str, ...]) -> Iterator[Problem]:
    """Every plan on published shapes and odd ones; in the interpreter, fp32 and small ones."""
    published = list(PUBLISHED.values()) if size == "full" else [(1536, 144)] if size == "moderate" else []
    dtypes = {"full": (torch.bfloat16, torch.float32), "moderate": (torch.bfloat16,), "tiny": ()}[size]
    small = ((2, 3, 7, 24, 2), (1, 1, 1, 16, 1), (2, 17, 40, 36, 2))
    shapes = [((2, 80, N, D, HEADS), dtype) for D, N in dict.fromkeys(published) for dtype in dtypes]
    shapes += [(shape, dtype) for shape in small for dtype in (DTYPES if size != "tiny" else DTYPES[:1])]
    for (B, K, N, D, H), dtype in shapes:
        for shared, position in ((True, 1), (False, B), (True, None)):
            tensors = _attention_tensors(B, K, N, D, shared, position, dtype, device)
            for plan in plans:
                words = f"{plan}, B {B} K {K} N {N} D {D}, {'shared' if shared else 'own'} queries, position {position}"
                yield Problem(words, dtype, _attention(H, plan), lambda *t, H=H: attention_reference(*t, H)[0], tensors)


def _attention(heads: int, plan: str) -> Callable[..., Tensor]:
    return lambda *tensors: ops.label_query_attention(*tensors, heads, plan=plan)[0]


def _attention_tensors(
    B: int, K: int, N: int, D: int, shared: bool, position: int | None, dtype: torch.dtype, device: str
) -> list[Tensor | None]:
    def normal(*shape: int, scale: float = 1.0) -> Tensor:
        return (torch.randn(shape, device=device) * scale).to(dtype).requires_grad_()

    queries = normal(K, D) if shared else normal(B, K, D)
    place = None if position is None else normal(position, N, D)
    weights = normal(3 * D, D, scale=D**-0.5), normal(3 * D), normal(D, D, scale=D**-0.5), normal(D)
    return [queries, normal(B, N, D), place, *weights]


def groupwise_problems(device: str, size: str) -> Iterator[Problem]:
    """With the LayerNorm before it, as the models have it; grouped queries too."""
    full = ((16, 80, 80, 2048), (2, 9605, 9605, 512), (4, 100, 9605, 1024))
    shapes = (full if size == "full" else ()) + ((3, 1, 1, 8), (2, 81, 81, 6), (2, 7, 20, 6))
    for dtype in DTYPES if size != "tiny" else DTYPES[:1]:
        for B, G, K, D in shapes:
            x = torch.randn(B, G, D, device=device).to(dtype).requires_grad_()
            rest = [torch.randn(shape, device=device).requires_grad_() for shape in ((K, D), (K,), (D,), (D,))]
            yield Problem(f"B {B} G {G} K {K} D {D}", dtype, ops.groupwise_linear, groupwise_reference, [x, *rest])


def elementwise_problems(operator: str, device: str, size: str) -> Iterator[Problem]:
    """layer_norm with fp32 weights, and quick_gelu."""
    for dtype in DTYPES:
        for rows, C in ((1, 1), (50, 48), (4096, 1024) if size == "full" else (64, 192)):
            x = (torch.randn(rows, C, device=device) * 3 + 1).to(dtype).requires_grad_()
            affine = [torch.randn(C, device=device).requires_grad_() for _ in range(2)]
            if operator == "quick_gelu":
                yield Problem(f"{rows}×{C}", dtype, ops.quick_gelu, gelu_reference, [x])
            else:
                yield Problem(f"{rows}×{C}", dtype, ops.layer_norm, norm_reference, [x, *affine])


def problems(operator: str, backend: str, device: str, size: str) -> Iterator[Problem]:
    """All of one operator's, as far as the backend implements them: Triton's attention knows the folded form alone."""
    if operator == "label_query_attention":
        yield from attention_problems(device, size, tuple(PLANS) if backend == "native" else ("folded",))
    elif operator == "groupwise_linear":
        yield from groupwise_problems(device, size)
    elif operator in ("layer_norm", "quick_gelu"):
        yield from elementwise_problems(operator, device, size)
    else:
        yield from loss_problems(operator, device, size)
