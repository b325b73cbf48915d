"""Label-query attention as others have it: torch's SDPA by every backend, nn.MultiheadAttention and torch.compile.

Every contender, ours too, takes the operator's tensors and the head count.
"""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from bench.baselines.losses import compiled
from mlcfast.ops import label_query_attention
from mlcfast.ops.label_query_attention.plan import PLANS

BACKENDS = {
    "flash": SDPBackend.FLASH_ATTENTION,
    "efficient": SDPBackend.EFFICIENT_ATTENTION,
    "cudnn": SDPBackend.CUDNN_ATTENTION,
    "math": SDPBackend.MATH,
}


def sdpa(queries, memory, position, in_weight, in_bias, out_weight, out_bias, num_heads, dropout=0.0) -> Tensor:
    """The projections of nn.MultiheadAttention around F.scaled_dot_product_attention; shared queries projected once."""
    B, N, D = memory.shape
    K = queries.shape[-2]
    (wq, wk, wv), (bq, bk, bv) = in_weight.chunk(3), in_bias.chunk(3)
    q = F.linear(queries, wq, bq).expand(B, K, D).view(B, K, num_heads, -1).transpose(1, 2)
    k = F.linear(memory + position, wk, bk).view(B, N, num_heads, -1).transpose(1, 2)
    v = F.linear(memory, wv, bv).view(B, N, num_heads, -1).transpose(1, 2)
    mixed = F.scaled_dot_product_attention(q, k, v, dropout_p=dropout)
    return F.linear(mixed.transpose(1, 2).reshape(B, K, D), out_weight, out_bias)


def sdpa_repeated(queries, memory, *others) -> Tensor:
    """The same with queries repeated for every image before their projection, as published code passes them."""
    return sdpa(queries.expand(len(memory), *queries.shape[-2:]), memory, *others)


def multihead(queries, memory, position, in_weight, in_bias, out_weight, out_bias, num_heads, dropout=0.0) -> Tensor:
    """nn.MultiheadAttention's own function as published code calls it: need_weights left on."""
    B, D = len(memory), memory.shape[2]
    q = queries.expand(B, -1, D).transpose(0, 1)
    k, v = (memory + position).transpose(0, 1), memory.transpose(0, 1)
    out, _ = F.multi_head_attention_forward(
        q, k, v, D, num_heads, in_weight, in_bias, None, None, False, dropout, out_weight, out_bias,
        training=dropout > 0,
    )  # fmt: skip
    return out.transpose(0, 1)


def reassociated(queries, memory, position, in_weight, in_bias, out_weight, out_bias, num_heads, dropout=0.0) -> Tensor:
    """The folded form in plain torch and autograd, for torch.compile."""
    D, K = memory.shape[2], queries.shape[-2]
    (wq, wk, wv), (bq, _, bv) = in_weight.chunk(3), in_bias.chunk(3)
    q = F.linear(queries, wq, bq).unflatten(-1, (num_heads, -1)) / math.sqrt(D // num_heads)
    folded = torch.einsum("...khw,hwd->...khd", q, wk.unflatten(0, (num_heads, -1))).flatten(-3, -2)
    weights = torch.softmax((memory + position) @ folded.mT, dim=1)
    kept = F.dropout(weights, dropout) if dropout > 0 else weights
    pooled = (kept.mT @ memory).unflatten(1, (K, num_heads))
    context = torch.einsum("bkhd,hwd->bkhw", pooled, wv.unflatten(0, (num_heads, -1)))
    context = context + kept.sum(1).unflatten(1, (K, num_heads)).unsqueeze(-1) * bv.unflatten(0, (num_heads, -1))
    return F.linear(context.flatten(2), out_weight, out_bias)


def contenders(device: str, with_compiled: bool) -> dict[str, Callable[..., Tensor]]:
    """Name to function; SDPA once for every backend of the device, the op by its rule and by every plan."""
    names = BACKENDS if device == "cuda" else {}
    table = {f"sdpa_{name}": _with_backend(backend) for name, backend in names.items()}
    table |= {} if table else {"sdpa": sdpa, "sdpa_repeated": sdpa_repeated}
    table |= {"multihead": multihead} | ({"reassociated": reassociated} if device == "cuda" else {})
    table |= {"ours": _ours()} | {f"ours_{plan}": _ours(plan) for plan in PLANS}
    return table | ({"compiled": compiled(reassociated)} if with_compiled else {})


def _ours(plan: str | None = None) -> Callable[..., Tensor]:
    return lambda *arguments: label_query_attention(*arguments, plan=plan)[0]


def _with_backend(backend: SDPBackend) -> Callable[..., Tensor]:
    def attention(*arguments) -> Tensor:
        with sdpa_kernel(backend):
            return sdpa(*arguments)

    return attention
