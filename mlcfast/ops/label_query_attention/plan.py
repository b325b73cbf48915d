"""Chooses the form of the attention for a shape, and its kernels; docs/notes.md has the measurements behind it."""

from typing import NamedTuple

import torch

from mlcfast.ops.backend import has_triton, passed_over, requested

ROWS_KEPT = 3  # a cell
ROWS_POOLED = 2  # a cell
PLANS = {"folded": (True, True), "mixed": (True, False), "projected": (False, False)}


class Plan(NamedTuple):
    """form: a key of PLANS (fold the keys, fold the values); keep: every intermediate is kept; triton: softmax and
    dropout are one kernel.
    """

    form: str
    keep: bool
    triton: bool = False


def choose(
    shared: bool, K: int, N: int, D: int, H: int, device_type: str, dtype: torch.dtype, form: str | None = None
) -> Plan:
    """The plan for a shape; `form` overrides the form, MLCFAST_BACKEND=native leaves Triton out.

    On the CPU memory is plentiful and arithmetic dear, so every intermediate is kept and multiplications decide. On a
    GPU every intermediate is kept where the K·H pooled rows of an image are not much more than the 2·N keys and values
    that ordinary attention would keep.
    """
    on_cpu = device_type == "cpu"
    keep = on_cpu or K * H <= ROWS_KEPT * N
    plan = Plan(form or form_for(shared, K, N, D, H, on_cpu), keep)
    name = requested()
    if name == "native" or (name == "auto" and (on_cpu or dtype == torch.float64)):
        return plan
    reason = "float64" if dtype == torch.float64 else None if has_triton(device_type) else f"{device_type} tensors here"
    if reason is None:
        return Plan(plan.form, keep, triton=True)
    passed_over(f"label_query_attention: no Triton kernels for {reason}; torch's operations run instead")
    return plan


def form_for(shared: bool, K: int, N: int, D: int, H: int, on_cpu: bool) -> str:
    """The cheapest form but, on a GPU, where both folded sides have K·H rows an image and those are more than twice N.

    Projected values keep (K·H − N)·D fewer numbers there and move six times as many fewer, for a tenth more
    multiplications at Swin-L's shape.
    """
    form = cheapest(shared, K, N, D, H)
    crowded = not (on_cpu or shared) and K * H > ROWS_POOLED * N
    return "mixed" if form == "folded" and crowded else form


def cheapest(shared: bool, K: int, N: int, D: int, H: int) -> str:
    """The form with the fewest multiplications an image; the backward pass doubles every term of the forward pass."""
    counts = multiplications(shared, K, N, D, H)
    best = "folded"
    for form in ("mixed", "projected"):  # written out: torch.compile traces this
        best = form if counts[form] < counts[best] else best
    return best


def multiplications(shared: bool, K: int, N: int, D: int, H: int) -> dict[str, int]:
    """Form -> multiplications an image in the forward pass, without the projections of queries and output.

    keys     folded K·H·N·D (+ K·D² for queries per image)    projected N·D² + K·N·D
    values   folded K·H·N·D + K·D²                            projected N·D² + K·N·D
    """
    folded_keys = K * H * N * D + (0 if shared else K * D * D)
    folded_values, projected = K * H * N * D + K * D * D, N * D * D + K * N * D
    return {
        "folded": folded_keys + folded_values,
        "mixed": folded_keys + projected,
        "projected": 2 * projected,
    }
