"""Makes CPU fake tensors allocate like CUDA: flash attention, fused dropout, autocast's fp32 list.

Only what differs in memory is replaced: attention, dropout, autocast's fp32 list, the choice of the attention op, and
the layers that are one Triton kernel there.
"""

import functools
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._pytree import tree_map_only

from mlcfast.ops.backend import fuses
from mlcfast.ops.label_query_attention import op as label_query_attention
from mlcfast.ops.label_query_attention.plan import Plan, choose

HALF = (torch.bfloat16, torch.float16)
# Normalisations and softmaxes that autocast runs in fp32 on CUDA but not on the CPU (torch.amp's documentation).
FP32 = (
    (F, "layer_norm"),
    (F, "group_norm"),
    (F, "softmax"),
    (F, "log_softmax"),
    (torch, "softmax"),
    (torch, "log_softmax"),
    (Tensor, "softmax"),
)
LAYERS = ("layer_norm", "quick_gelu")  # of mlcfast.ops


def _widening(function: Callable) -> Callable:
    """The function with its half-precision tensors in fp32 under autocast."""

    def widened(tensor: Tensor) -> Tensor:
        return tensor.float() if tensor.dtype in HALF else tensor

    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Tensor:
        if torch.is_autocast_enabled("cpu"):
            args, kwargs = tree_map_only(Tensor, widened, (args, kwargs))
        return function(*args, **kwargs)

    return run


def _dropout(x: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """The fused kernel, which keeps a mask of one byte an element."""
    return torch.native_dropout(x, p, True)[0] if training and p > 0 else x


def _attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    **options: Any,
) -> Tensor:
    """Flash attention for half precision without a mask, as far as its backward pass fits the card's shared memory.

    That is up to a head width of 192, or 256 without dropout (torch's sdp_utils.cpp); the memory-efficient kernel
    takes the rest.
    """
    if torch.is_autocast_enabled("cpu"):
        query, key, value = (x.to(torch.get_autocast_dtype("cpu")) for x in (query, key, value))
    width = query.shape[-1]
    narrow = width <= 192 or (224 < width <= 256 and dropout_p == 0)
    if attn_mask is None and narrow and query.dtype in HALF and width % 8 == 0:
        flash = torch.ops.aten._scaled_dot_product_flash_attention
        return flash(query, key, value, dropout_p, is_causal, return_debug_mask=False, scale=scale)[0]
    if attn_mask is not None:
        attn_mask = attn_mask.expand(*query.shape[:3], key.shape[2])
    efficient = torch.ops.aten._scaled_dot_product_efficient_attention
    return efficient(query, key, value, attn_mask, torch.is_grad_enabled(), dropout_p, is_causal, scale=scale)[0]


def _choose_on_cuda(shared: bool, K: int, N: int, D: int, H: int, device_type: str, *rest: Any) -> Plan:
    return choose(shared, K, N, D, H, "cuda", *rest)


def _fuses_on_cuda(tensor: Tensor) -> bool:
    return fuses(tensor, "cuda")


@contextmanager
def cuda_kernels() -> Iterator[None]:
    """Context in which operators treat CPU tensors as CUDA tensors on a card of compute capability 8.6."""
    with ExitStack() as stack:
        for owner, name in FP32:
            stack.enter_context(mock.patch.object(owner, name, _widening(getattr(owner, name))))
        stack.enter_context(mock.patch.object(F, "scaled_dot_product_attention", _attention))
        stack.enter_context(mock.patch.object(F, "dropout", _dropout))
        for layer in LAYERS:
            stack.enter_context(mock.patch(f"mlcfast.ops.{layer}.fuses", _fuses_on_cuda))
        stack.enter_context(mock.patch.object(label_query_attention, "choose", _choose_on_cuda))
        yield
