"""Tensors without memory that operators take in microseconds, so that tracing a step costs little.

torch's own FakeTensorMode does the same in some 100 µs an operator. A network repeats its blocks, and a block in slices
repeats its operators: here torch is asked once about an operator on given shapes, and its answer remembered.
"""

import ctypes
import functools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map_only, tree_unflatten

# What the storages of all empty tensors point to; nothing ever reads or writes it. The constructor of such storages is
# torch's own, used by its CUDA graphs as well (torch 2.11 to 2.15).
_NOWHERE = ctypes.create_string_buffer(64)
_ADDRESS = ctypes.addressof(_NOWHERE)
_CPU = torch.device("cpu")
# Operators whose meta kernel does not say how a device lays the result out.
_OF_A_DEVICE = {torch.ops.aten.convolution, torch.ops.aten.convolution_backward}


@dataclass(frozen=True, slots=True)
class _Made:
    """A tensor that an operator returned: its metadata, and which of the answer's storages it lies in."""

    shape: tuple[int, ...]
    stride: tuple[int, ...]
    dtype: torch.dtype
    offset: int
    storage: int


@dataclass(frozen=True, slots=True)
class _Answer:
    """What an operator returns: leaves, with `_Made` for tensors, their structure, and the bytes of each storage."""

    leaves: tuple[Any, ...]
    structure: Any
    storages: tuple[int, ...]


class PlainMode(TorchDispatchMode):
    """A mode whose __torch_dispatch__ torch calls as it is: nothing is compiled within it.

    torch 2.14 (utils/_python_dispatch.py) wraps that method so that Dynamo leaves it alone, which every operator pays
    for. Versions without the switch ignore it.
    """

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False


@functools.cache
def is_composite(func: Any) -> bool:
    """Whether an operator is made of others, such as `to` and `reshape`, which copy or not as the arguments have it.

    Below autograd, where operators of our own run, torch hands them to a mode as they are. What returns no tensor, as
    a size, is not among them.
    """
    returns_tensors = any("Tensor" in str(value.type) for value in func._schema.returns)
    return returns_tensors and torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), "CompositeImplicitAutograd")


class EmptyTensors(PlainMode):
    """Within it operators return tensors on the CPU of the right shape, strides and type, and compute nothing.

    Views are views, in-place operators return their argument. What would need a value, such as `.item()`, is a
    RuntimeError. Tensors made outside keep their values; operators that are given only such tensors are run.
    """

    def __init__(self) -> None:
        super().__init__()
        self._fake = FakeTensorMode()
        self._fake.cache_enabled = False  # each question is new to it
        self._answers: dict[Any, _Answer] = {}
        self._handlers: dict[Any, Callable] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Return what the operator would return, without memory."""
        if is_composite(func):
            with self:
                return func.decompose(*args, **(kwargs or {}))
        return self.answer(func, args, kwargs or {})

    def answer(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """As within this mode, for a mode that takes its place; that one takes composite operators apart."""
        handler = self._handlers.get(func)
        if handler is None:
            handler = self._handlers[func] = self._handler(func)
        return handler(func, args, kwargs)

    def _handler(self, func: Any) -> Callable:
        """How an operator is answered, by its schema."""
        returns = func._schema.returns
        aliases = [value.alias_info for value in returns]
        if any(alias is not None and alias.is_write for alias in aliases):
            return _argument_of(func._schema)
        if (aliases and all(alias is not None for alias in aliases)) or func is torch.ops.aten._unsafe_view.default:
            return _run  # the one view whose schema does not say so
        if func in (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.is_nonzero.default):
            return _value
        return self._remembered

    def _remembered(self, func: Any, args: tuple, kwargs: dict[str, Any]) -> Any:
        key = (func, _key(args), _key(kwargs.items()) if kwargs else None)
        answer = self._answers.get(key)
        if answer is None:
            if _only_real(args, kwargs):
                return func(*args, **kwargs)
            answer = self._answers[key] = _ask(self._fake, func, args, kwargs)
        storages = [torch._C._construct_storage_from_data_pointer(_ADDRESS, _CPU, size) for size in answer.storages]
        if answer.structure is None:
            return _build(answer.leaves[0], storages)
        leaves = [_build(leaf, storages) if type(leaf) is _Made else leaf for leaf in answer.leaves]
        return tree_unflatten(leaves, answer.structure)


def _build(made: _Made, storages: list) -> Tensor:
    tensor = torch.empty(0, dtype=made.dtype)
    return tensor.set_(storages[made.storage], made.offset, made.shape, made.stride)


def _key(values: Iterable[Any]) -> tuple:
    """What the answer depends on: metadata of tensors, and all else with its type, for 1, 1.0 and True differ."""
    parts: list[Any] = []
    for value in values:
        kind = type(value)
        if isinstance(value, Tensor):
            parts.append((value.shape, value.stride(), value.dtype))
        elif kind in (list, tuple):
            parts.append((kind, _key(value)))
        else:
            parts.append((kind, value))
    return tuple(parts)


def is_empty(tensor: Tensor) -> bool:
    """Whether there is no memory behind a tensor."""
    return tensor.untyped_storage().data_ptr() == _ADDRESS


def _only_real(args: tuple, kwargs: dict[str, Any]) -> bool:
    tensors = [leaf for leaf in tree_flatten((args, kwargs))[0] if isinstance(leaf, Tensor)]
    return bool(tensors) and not any(map(is_empty, tensors))


def _ask(fake: FakeTensorMode, func: Any, args: tuple, kwargs: dict[str, Any]) -> _Answer:
    """What torch says of tensors of this metadata: its meta kernels where they can say it, four to five times faster.

    Theirs of the norms also have the statistics in fp32, as a GPU has them.
    """
    if func._overloadpacket in _OF_A_DEVICE or kwargs.get("device") is not None:
        return _answer(_fake_answer(fake, func, args, kwargs))
    try:
        meta_args, meta_kwargs = tree_map_only(Tensor, _meta, (args, kwargs))
        return _answer(func(*meta_args, **meta_kwargs))
    except NotImplementedError:
        return _answer(_fake_answer(fake, func, args, kwargs))


def _meta(tensor: Tensor) -> Tensor:
    return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device="meta")


def _fake_answer(fake: FakeTensorMode, func: Any, args: tuple, kwargs: dict[str, Any]) -> Any:
    args, kwargs = tree_map_only(Tensor, lambda tensor: FakeTensor(fake, _meta(tensor), _CPU), (args, kwargs))
    with fake:
        return func(*args, **kwargs)


def _answer(out: Any) -> _Answer:
    leaves, structure = tree_flatten(out)
    numbers: dict[int, int] = {}
    sizes: list[int] = []
    made: list[Any] = []
    for leaf in leaves:
        if isinstance(leaf, Tensor):
            storage = leaf.untyped_storage()
            number = numbers.setdefault(storage._cdata, len(sizes))
            if number == len(sizes):
                sizes.append(storage.nbytes())
            leaf = _Made(tuple(leaf.shape), leaf.stride(), leaf.dtype, int(leaf.storage_offset()), number)
        made.append(leaf)
    single = isinstance(out, Tensor)
    return _Answer(tuple(made), None if single else structure, tuple(sizes))


def _run(func: Any, args: tuple, kwargs: dict[str, Any]) -> Any:
    """A view touches no memory."""
    return func(*args, **kwargs)


def _value(func: Any, args: tuple, kwargs: dict[str, Any]) -> Any:
    if is_empty(args[0]):
        raise RuntimeError(f"{func}: the step asks for a value, and planning computes none")
    return func(*args, **kwargs)


def _argument_of(schema: Any) -> Callable:
    """An operator that writes returns the arguments it wrote to."""
    positions = {
        name: index
        for index, argument in enumerate(schema.arguments)
        if argument.alias_info is not None
        for name in argument.alias_info.before_set
    }
    wanted = [positions[name] for value in schema.returns for name in value.alias_info.before_set]
    names = [argument.name for argument in schema.arguments]

    def written(func: Any, args: tuple, kwargs: dict[str, Any]) -> Any:
        if _only_real(args, kwargs):
            return func(*args, **kwargs)
        found = tuple(args[index] if index < len(args) else kwargs[names[index]] for index in wanted)
        return found[0] if len(found) == 1 else found

    return written
