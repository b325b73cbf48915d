"""What the label-query attention costs on a GPU by count, beside SDPA: kernels, bytes, FLOP, and the time they predict.

Nothing runs on a GPU. The real code is traced on tensors without memory as the planner traces it, an operator that
allocates or computes counts as one kernel, and a kernel takes as long as its bytes at the card's memory rate or its
FLOP at the rate of matrix products, whichever is longer, but never less than launching takes. `python -m
tests.ops.launches` prints the table of docs/attention.md.
"""

import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from bench.baselines.attention import sdpa, sdpa_repeated
from bench.cases.attention import HEADS, PUBLISHED
from mlcfast.ops import label_query_attention
from mlcfast.planning.cuda_emulation import cuda_kernels
from mlcfast.planning.empty_tensors import EmptyTensors, is_composite
from mlcfast.planning.tracker import _bodies, convolution_backward_flops

K, DROPOUT = 80, 0.1
PRODUCTS = ("mm", "addmm", "addmm_", "bmm", "baddbmm", "baddbmm_", "matmul", "linear")
NOTHING = ("empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided", "_unsafe_view")
UNREAD = ("new_zeros", "zeros_like", "zero_")  # write without reading
ATTENTION = {  # torch's fused kernels -> matrix products of K·N·W they compute
    "_scaled_dot_product_flash_attention": 2,
    "_scaled_dot_product_flash_attention_backward": 5,
    "_scaled_dot_product_efficient_attention": 2,
    "_scaled_dot_product_efficient_attention_backward": 5,
}


class Card(NamedTuple):
    """Bytes and FLOP (bf16 matrix products) a second, and seconds a kernel takes at least; none of it measured here."""

    name: str
    bytes: float
    flops: float
    kernel: float


CARDS = (Card("RTX 3060", 320e9, 17e12, 2.5e-6), Card("H100", 2.7e12, 500e12, 2.2e-6))


class Kernel(NamedTuple):
    """One launch."""

    name: str
    bytes: int
    flops: int

    def seconds(self, card: Card) -> float:
        """Predicted."""
        return max(self.bytes / card.bytes, self.flops / card.flops, card.kernel)


class Launches(TorchDispatchMode):
    """Lists the kernels that operators within it would launch; the bodies of our own operators are entered."""

    def __init__(self) -> None:
        super().__init__()
        self.kernels: list[Kernel] = []
        self._bodies = _bodies()

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        """Run an operator and take it down, unless it only allocates or views."""
        kwargs = kwargs or {}
        if func in self._bodies or is_composite(func):
            with self:
                return self._bodies.get(func, func.decompose)(*args, **kwargs)
        out = func(*args, **kwargs)
        name, aliases = func._schema.name.split("::")[1], [value.alias_info for value in func._schema.returns]
        computes = out is not None and isinstance(tree_leaves(out)[0], Tensor) and name not in NOTHING
        if computes and any(a is None or a.is_write for a in aliases):
            read = args[1:] if kwargs.get("beta") == 0 or name in UNREAD else args
            tensors = [leaf for leaf in tree_leaves((read, out)) if isinstance(leaf, Tensor)]
            self.kernels.append(Kernel(name, sum(map(_bytes, tensors)), _flops(name, args, out)))
        return out


def _bytes(tensor: Tensor) -> int:
    """An expanded tensor is read once."""
    return min(tensor.numel() * tensor.element_size(), tensor.untyped_storage().nbytes())


def _flops(name: str, args: tuple, out: Any) -> int:
    tensors = [arg for arg in args if isinstance(arg, Tensor)]
    if name in PRODUCTS:
        left, right = tensors[:2] if name == "linear" else tensors[-2:]
        return 2 * left.numel() * right.shape[0 if name == "linear" else -1]
    if name == "convolution":
        return 2 * out.numel() * args[1][0].numel()
    if name == "convolution_backward":
        return convolution_backward_flops(*args)
    if name in ATTENTION:
        query, key = tensors[1:3] if name.endswith("backward") else tensors[:2]
        return 2 * ATTENTION[name] * query.numel() * key.shape[2]
    return 0


def tensors(model: str, B: int, shared: bool) -> list[Tensor]:
    """The operator's seven, in bf16; the position does not learn. Call it within EmptyTensors."""
    D, N = PUBLISHED[model]
    shapes = ((K, D) if shared else (B, K, D), (B, N, D), (1, N, D), (3 * D, D), (3 * D,), (D, D), (D,))
    made = [torch.empty(shape, dtype=torch.bfloat16) for shape in shapes]
    return [tensor.requires_grad_(place != 2) for place, tensor in enumerate(made)]


def counted(attention: Any, model: str, B: int, shared: bool, autocast: bool = False) -> tuple[list, list]:
    """Kernels of the forward and of the backward pass of one layer; autocast: fp32 parameters, memory in bf16."""
    with EmptyTensors(), cuda_kernels():
        given = tensors(model, B, shared)
        if autocast:
            kinds = [torch.bfloat16 if place == 1 else torch.float32 for place in range(len(given))]
            given = [t.detach().to(kind).requires_grad_(t.requires_grad) for t, kind in zip(given, kinds, strict=True)]
        passes = Launches(), Launches()
        with passes[0], torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            out = attention(*given, HEADS, DROPOUT)
            out = out[0] if isinstance(out, tuple) else out
        grad = torch.empty_like(out)
        with passes[1]:
            out.backward(grad)
    return passes[0].kernels, passes[1].kernels


def rows() -> Iterator[tuple[Any, ...]]:
    """Model, B, queries, then for ours and for the better form of SDPA: launches, GFLOP, MB, predicted ms a card."""
    for B in (16, 64):
        for model in dict.fromkeys(m for m in PUBLISHED if m != "Q2L-TResL_22k-448"):
            for shared in (True, False):
                forms = (label_query_attention,), (sdpa, sdpa_repeated) if shared else (sdpa,)
                yield model, B, shared, *(best([counted(f, model, B, shared) for f in each]) for each in forms)


def best(counts: list[tuple[list, list]]) -> dict[str, Any]:
    """The figures of the form that is predicted to be the fastest on the first card."""
    found = []
    for forward, backward in counts:
        kernels = [*forward, *backward]
        figures = {"launches": (len(forward), len(backward)), "bytes": sum(k.bytes for k in kernels)}
        seconds = [sum(k.seconds(card) for k in kernels) for card in CARDS]
        found.append(figures | {"flops": sum(k.flops for k in kernels), "seconds": seconds})
    return min(found, key=lambda figures: figures["seconds"][0])


def line(model: str, B: int, shared: bool, ours: dict[str, Any], theirs: dict[str, Any]) -> str:
    """A row of the table: ours / theirs in each column."""
    cells = [f"{'{} + {}'.format(*ours['launches'])} / {'{} + {}'.format(*theirs['launches'])}"]
    cells += [f"{ours[key] / unit:.0f} / {theirs[key] / unit:.0f}" for key, unit in (("flops", 1e9), ("bytes", 1e6))]
    times = zip(ours["seconds"], theirs["seconds"], strict=True)
    cells += [f"{1e3 * mine:.2f} / {1e3 * other:.2f}" for mine, other in times]
    return f"| {model} | {B} | {'shared' if shared else 'an image'} | {' | '.join(cells)} |"


def main() -> None:
    """Print the table."""
    titles = ("model", "B", "queries", "kernels", "GFLOP", "MB", *(f"{card.name}, ms" for card in CARDS))
    sys.stdout.write(f"| {' | '.join(titles)} |\n|{'---|' * len(titles)}\n")
    sys.stdout.writelines(f"{line(*row)}\n" for row in rows())


if __name__ == "__main__":
    main()
