"""Limits what an untrusted card can make this program build: a model as large as its weight file, no download."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.nn.modules import module as registration

from mlcfast.errors import UsageError
from mlcfast.models.card import LARGEST_SIDE

LARGEST_NUMBER = 2**20  # of any size or count in a card
LARGEST_OPTION = 2**16  # of a backbone's, such as a depth: timm makes lists of that many entries before any layer
MOST_MODULES = 100_000
SLACK = 2**20  # parameters and buffers that a weight file need not hold, such as positions


def check_arguments(arguments: dict[str, Any], card: Path) -> None:
    """UsageError, which names the card, unless the keyword arguments of `build_model` are of plausible size and kind.

    Weights are those of the file beside the card: it may not name others, which might have to be downloaded.
    """
    if not isinstance(arguments.get("head"), str) or not isinstance(arguments.get("backbone"), str):
        raise UsageError(f"{card}: not a model card: model: it names no head and backbone")
    if arguments.get("weights", "none") != "none":
        raise UsageError(f"{card}: model.weights must be none: a card's weights are in the file beside it")
    side = arguments.get("image_size", 0)
    if not isinstance(side, int) or not 0 <= side <= LARGEST_SIDE:
        raise UsageError(f"{card}: model.image_size {side!r} is not from 0 to {LARGEST_SIDE}")
    for name, value in _numbers("model", arguments):
        largest = LARGEST_OPTION if name.startswith("model.backbone_options.") else LARGEST_NUMBER
        if not abs(value) <= largest:
            raise UsageError(f"{card}: {name} is {value:g}: numbers up to {largest} are taken")


def _numbers(name: str, value: Any) -> Iterator[tuple[str, float]]:
    if isinstance(value, int | float):
        yield name, value
    elif isinstance(value, dict | list):
        for key, each in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _numbers(f"{name}.{key}", each)


@contextlib.contextmanager
def built_for(file: Path, card: Path) -> Iterator[None]:
    """Limit models built within the block to about as many entries as the weight file has bytes.

    UsageError, which names the card, as soon as more are registered: before they are filled, and without an end to wait
    for. Not for several threads at once.
    """
    left = {"entries": file.stat().st_size + SLACK, "modules": MOST_MODULES}

    def take(what: str, number: int) -> None:
        left[what] -= number
        if left[what] < 0:
            raise UsageError(f"{card}: describes a larger model than the weights in {file.name} are for")

    def count_tensor(module: nn.Module, name: str, tensor: Tensor | None) -> None:
        take("entries", 0 if tensor is None else tensor.numel())

    def count_module(module: nn.Module, name: str, child: nn.Module | None) -> None:
        take("modules", 1)

    with contextlib.ExitStack() as hooks:
        for register, count in (
            (registration.register_module_parameter_registration_hook, count_tensor),
            (registration.register_module_buffer_registration_hook, count_tensor),
            (registration.register_module_module_registration_hook, count_module),
        ):
            hooks.callback(register(count).remove)
        yield
