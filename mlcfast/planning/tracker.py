"""Counts the bytes alive on the GPU while a training step runs on fake tensors."""

import functools
import weakref
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from mlcfast.ops.groupwise_linear import op as groupwise_linear
from mlcfast.ops.label_query_attention import op as label_query_attention
from mlcfast.planning.empty_tensors import PlainMode, is_composite

ALLOCATION = 512  # bytes: torch's CUDA allocator hands out multiples of it


def _bodies() -> dict[Any, Callable]:
    """Operators whose Python body is run in place of their fake kernel, so that its temporaries are seen as well."""
    operators = {
        "label_query_attention": label_query_attention._forward,
        "label_query_attention_backward": label_query_attention._backward,
        "normed_groupwise_linear": groupwise_linear._forward,
        "normed_groupwise_linear_backward": groupwise_linear._backward,
    }
    return {getattr(torch.ops.mlcfast, name).default: operator._init_fn for name, operator in operators.items()}


def convolution_backward_flops(grad: Tensor, x: Tensor, weight: Tensor, *rest: Any, **kwargs: Any) -> int:
    """FLOP of the gradients that are asked for, each as many as the forward pass took.

    rest: as aten's convolution_backward has it. torch 2.14's own counter forgets the groups in the weight's gradient,
    and takes a depth-wise convolution for a dense one.
    """
    transposed, output_mask = rest[4], rest[7]
    return 2 * (x if transposed else grad).numel() * weight[0].numel() * sum(output_mask[:2])


@functools.cache
def flop_counters() -> dict[Any, Callable]:
    """What counts the FLOP of an operator, by the operator."""
    from torch.utils.flop_counter import flop_registry  # which imports Triton, of no use to a run that is not planned

    return {**flop_registry, torch.ops.aten.convolution_backward: convolution_backward_flops}


class LiveMemory(PlainMode):
    """Counts the storages that operators allocate within it, until each is freed.

    live: bytes by kind; peak: the largest sum so far; at_peak: `live` then; flops: of matrix products, convolutions and
    attention. `kind` is what new storages count as; the caller changes it as the step goes from forward to backward.
    answer: what runs an operator, given it, its arguments and its keyword arguments; by default the operator itself.
    """

    def __init__(self, answer: Callable[[Any, tuple, dict[str, Any]], Any] | None = None) -> None:
        super().__init__()
        self._answer = answer or (lambda func, args, kwargs: func(*args, **kwargs))
        self.kind = "activations"
        self.live: dict[str, int] = {"activations": 0, "temporary": 0, "gradients": 0}
        self.peak, self.at_peak, self.flops = 0, dict(self.live), 0
        self._held: dict[int, tuple[str, int, weakref.ref]] = {}
        self._left_out: dict[int, Tensor] = {}
        self._bodies = _bodies()
        self._known: dict[Any, tuple[Callable | None, Callable | None]] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run an operator and hold what it returns."""
        kwargs = kwargs or {}
        try:
            body, count = self._known[func]
        except KeyError:
            body, count = self._known[func] = self._look_up(func)
        if body is None:
            out = self._answer(func, args, kwargs)
        else:
            with self:
                out = body(*args, **kwargs)
        if isinstance(out, Tensor):
            self._hold(out)
        else:
            for leaf in tree_leaves(out):
                if isinstance(leaf, Tensor):
                    self._hold(leaf)
        if count is not None:
            self.flops += count(*args, **kwargs, out_val=out)
        return out

    def _look_up(self, func: Any) -> tuple[Callable | None, Callable | None]:
        """What is run in an operator's place, and what counts its floating-point operations, if anything."""
        body = func.decompose if is_composite(func) else self._bodies.get(func)
        return body, flop_counters().get(func._overloadpacket)

    def leave_out(self, tensors: Iterable[Tensor]) -> None:
        """Never count these, nor views of them."""
        self._left_out.update({tensor.untyped_storage()._cdata: tensor for tensor in tensors})

    def relabel(self, tensor: Tensor, kind: str) -> None:
        """Count a held tensor as another kind from now on."""
        key = tensor.untyped_storage()._cdata
        if key in self._held:
            old, size, reference = self._held[key]
            self._held[key] = (kind, size, reference)
            self.live[old] -= size
            self.live[kind] += size

    def _hold(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self._held or key in self._left_out:
            return
        size = -(-storage.nbytes() // ALLOCATION) * ALLOCATION
        self._held[key] = (self.kind, size, weakref.ref(storage, lambda _: self._release(key)))
        self.live[self.kind] += size
        total = sum(self.live.values())
        if total > self.peak:
            self.peak, self.at_peak = total, dict(self.live)

    def _release(self, key: int) -> None:
        kind, size, _ = self._held.pop(key)
        self.live[kind] -= size
