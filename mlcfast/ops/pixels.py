"""What the published augmentation and resize do to an 8-bit RGB image, compiled for the CPU.

An image is a contiguous uint8 tensor (H, W, 3). The definition of each is Pillow's, whose bytes it gives, from memory
a quarter smaller (Pillow keeps a fourth byte a pixel) and with the processor's vectors. There are no others: where
`available()` is False, Pillow is to be used.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from mlcfast.ops.backend import requested
from mlcfast.ops.library import LIBRARY, MISSING


def _define(schema: str, fake: Callable) -> Callable:
    LIBRARY.define(schema)
    name = schema.partition("(")[0]
    torch.library.register_fake(f"mlcfast::{name}", fake, lib=LIBRARY)
    return getattr(torch.ops.mlcfast, name).default


_resize = _define(
    "pixels_resize(Tensor image, int height, int width) -> Tensor",
    lambda image, height, width: image.new_empty(height, width, 3),
)
_look_up = _define(
    "pixels_look_up(Tensor image, Tensor tables) -> Tensor", lambda image, tables: torch.empty_like(image)
)
_count = _define("pixels_count(Tensor image) -> Tensor", lambda image: image.new_empty(3, 256, dtype=torch.int64))
LIBRARY.define("pixels_grey_sum(Tensor image) -> int")
_move = _define("pixels_move(Tensor image, float[] matrix) -> Tensor", lambda image, matrix: torch.empty_like(image))
_blend = _define(
    "pixels_blend(Tensor image, bool with_grey, float factor) -> Tensor",
    lambda image, with_grey, factor: torch.empty_like(image),
)


def available() -> bool:
    """Whether the compiled library is here and has them, and MLCFAST_BACKEND is not reference."""
    return (
        not MISSING["cpu"]
        and requested() != "reference"
        and torch._C._dispatch_has_kernel_for_dispatch_key("mlcfast::pixels_resize", "CPU")
    )


def resize(image: Tensor, height: int, width: int) -> Tensor:
    """(H, W, 3) -> (height, width, 3), bilinear with antialiasing, the aspect ratio not kept (Image.resize)."""
    return _resize(image, height, width)


def look_up(image: Tensor, tables: Tensor) -> Tensor:
    """Each channel's value v replaced by tables[channel, v]; tables: (3, 256) uint8 (Image.point)."""
    return _look_up(image, tables)


def count(image: Tensor) -> Tensor:
    """How often each value occurs in red, green and blue: (3, 256) int64."""
    return _count(image)


def mean_grey(image: Tensor) -> float:
    """The mean of the image in grey, as Image.convert("L") has it."""
    return torch.ops.mlcfast.pixels_grey_sum(image) / max(1, image.numel() // 3)


def move(image: Tensor, matrix: Sequence[float]) -> Tensor:
    """An affine change with the nearest pixel, black outside; matrix: (a, b, c, d, e, f) of Image.transform.

    The result's pixel (x, y) is the one at (a·x + b·y + c, d·x + e·y + f).
    """
    return _move(image, list(matrix))


def saturate(image: Tensor, factor: float) -> Tensor:
    """From grey at 0 over the image at 1 to stronger colours (ImageEnhance.Color)."""
    return _blend(image, True, factor)


def sharpen(image: Tensor, factor: float) -> Tensor:
    """From a smoothed image at 0 over the image at 1 to a sharper one (ImageEnhance.Sharpness)."""
    return _blend(image, False, factor)
