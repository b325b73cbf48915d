"""Which form of the attention runs for a shape, and who implements it; docs/notes.md has the measurements behind it."""

from typing import NamedTuple

import torch

from mlcfast.ops.backend import has_triton, passed_over, requested

PLANS = {"folded": (True, True), "mixed": (True, False), "projected": (False, False)}


class Plan(NamedTuple):
    """form: a key of PLANS (fold the keys, fold the values); keep: every intermediate is kept; triton: in kernels."""

    form: str
    keep: bool
    triton: bool = False


def choose(
    shared: bool, K: int, N: int, D: int, H: int, device_type: str, dtype: torch.dtype, form: str | None = None
) -> Plan:
    """The plan for a shape; `form` overrides the form, MLCFAST_BACKEND=triton | native who runs it.

    On the CPU memory is plentiful and arithmetic dear, so every intermediate is kept; on a GPU the small redone
    products cost less than their room. The kernels know the folded form only and have not been timed on a GPU, so they
    run when asked for.
    """
    plan = Plan(form or cheapest(shared, K, N, D, H), keep=device_type == "cpu")
    if requested() != "triton":
        return plan
    reason = _why_not_triton(device_type, dtype, form)
    if reason is None:
        return Plan("folded", keep=False, triton=True)
    passed_over(f"label_query_attention: no Triton kernels for {reason}; torch's matrix products run instead")
    return plan


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


def _why_not_triton(device_type: str, dtype: torch.dtype, form: str | None) -> str | None:
    if form not in (None, "folded"):
        return f"the {form} form"
    if dtype == torch.float64:
        return "float64"
    return None if has_triton(device_type) else f"{device_type} tensors here"
