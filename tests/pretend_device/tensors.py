"""Tensors that say they are on `cuda:0`, their values on the host, and the rules by which operators take them.

The rules are a GPU's: no operator takes tensors of the device together with tensors of the host, but for 0-d ones and
indices; nothing reads a value without `.cpu()`, `.item()` or `.tolist()`. Stricter than a GPU, which would wait or race
in silence: a copy with `non_blocking` needs pinned memory on the host's side.
"""

import weakref
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

from mlcfast.ops.groupwise_linear import op as groupwise_linear
from mlcfast.ops.label_query_attention import op as label_query_attention

HOST, DEVICE = torch.device("cpu"), torch.device("cuda", 0)
aten = torch.ops.aten
COPIES = (aten._to_copy.default, aten.copy_.default)
INDEXING = (aten.index.Tensor, aten.index_put.default, aten.index_put_.default, aten._index_put_impl_.default)
# Operators whose body is Python and runs on the device: its own operators come under the rules as well.
BODIES = {
    "mlcfast::label_query_attention": label_query_attention._forward._init_fn,
    "mlcfast::label_query_attention_backward": label_query_attention._backward._init_fn,
    "mlcfast::normed_groupwise_linear": groupwise_linear._forward._init_fn,
    "mlcfast::normed_groupwise_linear_backward": groupwise_linear._backward._init_fn,
}
_pinned: dict[int, weakref.ref] = {}  # storages of the host by address


def is_pinned(tensor: Tensor) -> bool:
    """Whether a tensor of the host lies in memory that `pin` made."""
    return not isinstance(tensor, DeviceTensor) and tensor.untyped_storage()._cdata in _pinned


def pin(tensor: Tensor) -> Tensor:
    """A copy in pinned memory, or the tensor itself where it is pinned."""
    if is_pinned(tensor):
        return tensor
    copy = tensor.clone()
    storage = copy.untyped_storage()
    key = storage._cdata
    _pinned[key] = weakref.ref(storage, lambda _: _pinned.pop(key, None))
    return copy


class DeviceTensor(Tensor):
    """Says it is on `cuda:0`; `held` has its values, laid out alike, on the host."""

    held: Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, held: Tensor) -> "DeviceTensor":
        """`held`: without gradient; this tensor changes as it does."""
        layout = {} if held.is_sparse else {"strides": held.stride(), "storage_offset": held.storage_offset()}
        made = Tensor._make_wrapper_subclass(cls, held.shape, dtype=held.dtype, device=DEVICE, **layout)
        made.held = held
        return made

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        """Where no `Rules` are active: in a thread of their own."""
        return run(func, args, kwargs or {})

    @property
    def data(self) -> Tensor:  # type: ignore[override]
        """As torch's."""
        return self.detach()

    @data.setter
    def data(self, value: "DeviceTensor") -> None:
        Tensor.data.__set__(self, value)
        self.held = value.held

    @property
    def is_sparse(self) -> bool:  # type: ignore[override]
        """As torch's, which asks the type of the wrapper."""
        return self.held.is_sparse

    def data_ptr(self) -> int:
        """An address; nothing may be read there."""
        return self.held.data_ptr()

    def numpy(self, *_: Any, **__: Any) -> Any:
        """What torch says of a GPU's tensors."""
        raise TypeError(f"can't convert {DEVICE} device type tensor to numpy. Use Tensor.cpu() first.")

    __array__ = numpy

    def tolist(self) -> Any:
        """Waits for the device, as torch's does."""
        return self.cpu().tolist()

    def __deepcopy__(self, memo: dict) -> Tensor:
        copy = self.detach().clone().requires_grad_(self.requires_grad)
        if isinstance(self, torch.nn.Parameter):
            copy = torch.nn.Parameter(copy, self.requires_grad)
        return memo.setdefault(id(self), copy)

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise TypeError("a tensor of the pretended device is not pickled: .cpu() it first")

    def __repr__(self, **_: Any) -> str:
        return f"DeviceTensor({self.held!r})"


class Rules(TorchDispatchMode):
    """Within it operators make tensors of the device where they are asked to."""

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        """Run an operator by the rules."""
        body = BODIES.get(func._schema.name)
        if body is None:
            return run(func, args, kwargs or {})
        with self:
            return body(*args, **(kwargs or {}))


def run(func: Any, args: tuple, kwargs: dict[str, Any]) -> Any:
    """The operator on the values, if the rules allow it; RuntimeError says which they broke."""
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
    ours = [tensor for tensor in tensors if isinstance(tensor, DeviceTensor)]
    wanted = torch.device(kwargs["device"]) if kwargs.get("device") is not None else None
    if not ours and (wanted is None or wanted.type != DEVICE.type):
        return func(*args, **kwargs)
    if func in COPIES:
        _check_copy(func, args, kwargs, wanted)
    elif ours:
        _check_together(func, args, tensors)
    plain_args, plain_kwargs = tree_map_only(DeviceTensor, lambda tensor: tensor.held, (args, kwargs))
    if wanted is not None:
        plain_kwargs["device"] = HOST
    if func.namespace == "mlcfast" and func._overloadname == "triton":  # the same operator, its kernels for the host
        func = getattr(torch.ops.mlcfast, func._schema.name.split("::")[1]).default
    out = func(*plain_args, **plain_kwargs)
    to_host = (wanted or DEVICE).type == "cpu" or (func is aten.copy_.default and not isinstance(args[0], DeviceTensor))
    return out if to_host else _wrapped(func, out, ours)


def _check_copy(func: Any, args: tuple, kwargs: dict[str, Any], wanted: torch.device | None) -> None:
    if func is aten._to_copy.default:
        host, crosses = args[0], wanted is not None and (wanted.type == "cpu") is isinstance(args[0], DeviceTensor)
        racing = kwargs.get("non_blocking", False)
    else:
        host, crosses = args[1], isinstance(args[0], DeviceTensor) is not isinstance(args[1], DeviceTensor)
        host = args[0] if isinstance(host, DeviceTensor) else host
        racing = args[2] if len(args) > 2 else kwargs.get("non_blocking", False)
    if crosses and racing and not is_pinned(host):
        raise RuntimeError(f"{func}: non_blocking, but the host's memory is not pinned")


def _check_together(func: Any, args: tuple, tensors: list[Tensor]) -> None:
    if func in INDEXING:
        tensors = [leaf for leaf in tree_leaves((args[0], args[2:])) if isinstance(leaf, Tensor)]
    if any(tensor.ndim and not isinstance(tensor, DeviceTensor) for tensor in tensors):
        raise RuntimeError(f"Expected all tensors to be on the same device, but {func} got {DEVICE} and {HOST}")


def _wrapped(func: Any, out: Any, ours: list[DeviceTensor]) -> Any:
    """What the operator returned as tensors of the device; an argument that it returned is that argument."""
    by_value = {id(tensor.held): tensor for tensor in ours}
    for tensor in ours:
        if tensor.shape != tensor.held.shape or (not tensor.is_sparse and tensor.stride() != tensor.held.stride()):
            raise NotImplementedError(f"{func} lays a tensor out anew in place: the pretended device cannot follow")

    def wrapped(tensor: Tensor) -> Tensor:
        return by_value[id(tensor)] if id(tensor) in by_value else DeviceTensor(tensor)

    return tree_map_only(Tensor, wrapped, out)
