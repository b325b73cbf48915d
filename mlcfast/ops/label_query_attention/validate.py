"""Checks the arguments of label_query_attention before anything runs; an error names the first that does not fit."""

from collections.abc import Callable

from torch import Tensor

from mlcfast.ops.label_query_attention.plan import PLANS


def check(
    queries: Tensor,
    memory: Tensor,
    position: Tensor | None,
    in_proj_weight: Tensor,
    in_proj_bias: Tensor,
    out_proj_weight: Tensor,
    out_proj_bias: Tensor,
    num_heads: int,
    dropout: float,
    plan: str | None,
    autocast: bool,
) -> None:
    """ValueError naming the first argument whose shape, dtype, device or value does not fit the others.

    autocast: floating dtypes may differ, because all are cast.
    """
    if memory.ndim != 3 or memory.shape[1] == 0:
        raise ValueError(f"memory must be (B, N, D) with N of at least 1, got {tuple(memory.shape)}")
    B, N, D = memory.shape
    _expect(
        "queries",
        queries,
        lambda: f"(K, {D}) or ({B}, K, {D}) with K of at least 1",
        queries.shape[-1:] == (D,) and _batch_fits(queries, B),
    )
    if position is not None:
        _expect("position", position, lambda: f"(1 or {B}, {N}, {D})", position.shape in ((1, N, D), (B, N, D)))
    _expect("in_proj_weight", in_proj_weight, lambda: f"({3 * D}, {D})", in_proj_weight.shape == (3 * D, D))
    _expect("in_proj_bias", in_proj_bias, lambda: f"({3 * D},)", in_proj_bias.shape == (3 * D,))
    _expect("out_proj_weight", out_proj_weight, lambda: f"({D}, {D})", out_proj_weight.shape == (D, D))
    _expect("out_proj_bias", out_proj_bias, lambda: f"({D},)", out_proj_bias.shape == (D,))
    if num_heads < 1 or D % num_heads:
        raise ValueError(f"num_heads {num_heads} does not divide the width {D}")
    if not 0 <= dropout <= 1:
        raise ValueError(f"dropout {dropout} is not a probability between 0 and 1")
    if plan is not None and plan not in PLANS:
        raise ValueError(f"plan {plan!r} is not one of {', '.join(PLANS)}")
    others = (queries, position, in_proj_weight, in_proj_bias, out_proj_weight, out_proj_bias)
    _check_alike(memory, dict(zip(_OTHERS, others, strict=True)), autocast)


_OTHERS = ("queries", "position", "in_proj_weight", "in_proj_bias", "out_proj_weight", "out_proj_bias")


def _batch_fits(queries: Tensor, B: int) -> bool:
    shared = queries.ndim == 2
    return (shared or (queries.ndim == 3 and queries.shape[0] == B)) and queries.shape[-2] > 0


def _expect(name: str, tensor: Tensor, wanted: Callable[[], str], fits: bool) -> None:
    """wanted: made only when needed, because a batch size written out is no longer free in a traced graph."""
    if not fits:
        raise ValueError(f"{name} must be {wanted()} to match memory, got {tuple(tensor.shape)}")


def _check_alike(memory: Tensor, others: dict[str, Tensor | None], autocast: bool) -> None:
    if not memory.is_floating_point():
        raise ValueError(f"memory must be floating point, got {memory.dtype}")
    for name, tensor in others.items():
        if tensor is not None and tensor.dtype != memory.dtype and not autocast:
            raise ValueError(f"{name} is {tensor.dtype} but memory is {memory.dtype}; cast one or use autocast")
        if tensor is not None and tensor.device != memory.device:
            raise ValueError(f"{name} is on {tensor.device} but memory is on {memory.device}")
