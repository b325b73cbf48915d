"""The published recipes' random changes, on 8-bit RGB images as contiguous tensors (H, W, 3).

What is drawn, and in which order, is torchvision's; the pixels are Pillow's.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from mlcfast.data.pairs_of_changes import PairOfChanges
from mlcfast.errors import UsageError
from mlcfast.ops import pixels
from mlcfast.registry import Registry

BINS = 31  # magnitudes of an operation, of which one is used
Operation = Callable[[Tensor, float], Tensor]


def as_pixels(image: Image.Image) -> Tensor:
    """An RGB image as a tensor (H, W, 3) of its own."""
    return torch.from_numpy(np.array(image))


def as_image(image: Tensor) -> Image.Image:
    """The reverse."""
    return Image.fromarray(image.numpy())


class OnPixels:
    """What changes a tensor (H, W, 3), maybe in place; other changes take and return a PIL image."""

    def __call__(self, image: Tensor) -> Tensor:
        """The changed image, of the same size."""
        raise NotImplementedError


class Cutout(OnPixels):
    """One rectangle of `fraction` of each side in one random colour; its centre is anywhere, its rest cut off.

    with_edges: the row and column behind it belong to it too, as where Pillow draws a rectangle: 225 of 448 pixels.
    """

    def __init__(self, fraction: float = 0.5, with_edges: bool = False):
        self.fraction, self.edge = fraction, int(with_edges)

    def __call__(self, image: Tensor) -> Tensor:
        """The image with the hole."""
        height, width, _ = image.shape
        half = [int(side * self.fraction) // 2 for side in (width, height)]
        x, y = int(torch.randint(width, ())), int(torch.randint(height, ()))
        colour = torch.randint(256, (3,)).to(torch.uint8)
        left, right = max(x - half[0], 0), min(x + half[0] + self.edge, width)
        rows = image.view(height, 3 * width)[max(y - half[1], 0) : y + half[1] + self.edge]
        rows[:, 3 * left : 3 * right] = colour.repeat(right - left)
        return image


class HorizontalFlip(OnPixels):
    """Mirrors every second image."""

    def __call__(self, image: Tensor) -> Tensor:
        """The image itself, or its mirror image."""
        return image if torch.rand(1) >= 0.5 else image.flip(1)


class RandAugment(OnPixels):
    """Two of fourteen operations at magnitude 9 of 30 (arXiv 1909.13719), as torchvision's v2.RandAugment(2, 9)."""

    def __init__(self, operations: int = 2, magnitude: int = 9):
        self.operations, self.magnitude = operations, magnitude

    def __call__(self, image: Tensor) -> Tensor:
        """The image after the operations drawn."""
        for _ in range(self.operations):
            name = NAMES[int(torch.randint(len(NAMES), ()))]
            operation, magnitudes, signed = OPERATIONS[name]
            magnitude = float(magnitudes(*image.shape[:2])[self.magnitude])
            if signed and torch.rand(()) <= 0.5:
                magnitude = -magnitude
            image = operation(image, magnitude)
        return image


def _looked_up(image: Tensor, table: np.ndarray) -> Tensor:
    """table: (256,) for all channels or (3, 256)."""
    return pixels.look_up(image, torch.from_numpy(np.array(np.broadcast_to(table, (3, 256)), np.uint8, order="C")))


def _mixed(value: int, factor: float) -> np.ndarray:
    """Each of 256 values, moved from one constant by a factor, in single precision as Pillow's blend."""
    values = np.arange(256)
    moved = np.float32(value) + np.float32(factor) * (values - value).astype(np.float32)
    return np.clip(moved, 0, 255).astype(np.uint8)


def _brightness(image: Tensor, magnitude: float) -> Tensor:
    return _looked_up(image, _mixed(0, 1 + magnitude))


def _contrast(image: Tensor, magnitude: float) -> Tensor:
    """About the mean of the grey image."""
    return _looked_up(image, _mixed(int(pixels.mean_grey(image) + 0.5), 1 + magnitude))


def _colour(image: Tensor, magnitude: float) -> Tensor:
    return pixels.saturate(image, 1 + magnitude)


def _sharpness(image: Tensor, magnitude: float) -> Tensor:
    return pixels.sharpen(image, 1 + magnitude)


def _posterize(image: Tensor, magnitude: float) -> Tensor:
    return image & (256 - 2 ** (8 - int(magnitude)))


def _solarize(image: Tensor, magnitude: float) -> Tensor:
    values = np.arange(256)
    return _looked_up(image, np.where(values < 255.0 * magnitude, values, 255 - values))


def _auto_contrast(image: Tensor, _: float) -> Tensor:
    """Each channel stretched to the whole range."""
    tables = np.tile(np.arange(256), (3, 1))
    for table, counts in zip(tables, pixels.count(image).numpy(), strict=True):
        low, high = np.flatnonzero(counts)[[0, -1]].tolist()
        if high > low:
            scale = 255.0 / (high - low)
            table[:] = np.clip((np.arange(256) * scale - low * scale).astype(int), 0, 255)
    return _looked_up(image, tables)


def _equalize(image: Tensor, _: float) -> Tensor:
    """Each channel's values spread as evenly as they occur."""
    tables = np.tile(np.arange(256), (3, 1))
    for table, counts in zip(tables, pixels.count(image).numpy(), strict=True):
        present = counts[counts > 0]
        step = int(present.sum() - present[-1]) // 255
        if len(present) > 1 and step:
            before = np.cumsum(counts) - counts
            table[:] = np.minimum((step // 2 + before) // step, 255)
    return _looked_up(image, tables)


def _shear_x(image: Tensor, magnitude: float) -> Tensor:
    return pixels.move(image, (1, _slope(magnitude), 0, 0, 1, 0))


def _shear_y(image: Tensor, magnitude: float) -> Tensor:
    return pixels.move(image, (1, 0, 0, _slope(magnitude), 1, 0))


def _slope(magnitude: float) -> float:
    """By way of degrees, as torchvision goes."""
    return math.tan(math.radians(math.degrees(math.atan(magnitude))))


def _translate_x(image: Tensor, magnitude: float) -> Tensor:
    return pixels.move(image, (1, 0, -int(magnitude), 0, 1, 0))


def _translate_y(image: Tensor, magnitude: float) -> Tensor:
    return pixels.move(image, (1, 0, 0, 0, 1, -int(magnitude)))


def _rotate(image: Tensor, degrees: float) -> Tensor:
    """Counter-clockwise about the centre."""
    angle, (height, width, _) = -math.radians(degrees % 360), image.shape
    cos, sin = round(math.cos(angle), 15), round(math.sin(angle), 15)
    x, y = width / 2, height / 2
    return pixels.move(image, (cos, sin, x - (cos * x + sin * y), -sin, cos, y - (-sin * x + cos * y)))


def _up_to(most: float) -> Callable[[int, int], Tensor]:
    return lambda height, width: torch.linspace(0.0, most, BINS)


def _nothing(image: Tensor, _: float) -> Tensor:
    return image


_SHIFT = 150 / 331  # of a side, at most
# Name -> the operation, its magnitudes for an image of that height and width, whether their sign is drawn.
OPERATIONS: dict[str, tuple[Operation, Callable[[int, int], Tensor], bool]] = {
    "Identity": (_nothing, _up_to(0), False),
    "ShearX": (_shear_x, _up_to(0.3), True),
    "ShearY": (_shear_y, _up_to(0.3), True),
    "TranslateX": (_translate_x, lambda height, width: torch.linspace(0.0, _SHIFT * width, BINS), True),
    "TranslateY": (_translate_y, lambda height, width: torch.linspace(0.0, _SHIFT * height, BINS), True),
    "Rotate": (_rotate, _up_to(30), True),
    "Brightness": (_brightness, _up_to(0.9), True),
    "Color": (_colour, _up_to(0.9), True),
    "Contrast": (_contrast, _up_to(0.9), True),
    "Sharpness": (_sharpness, _up_to(0.9), True),
    "Posterize": (_posterize, lambda *_: (8 - torch.arange(BINS) / ((BINS - 1) / 4)).round(), False),
    "Solarize": (_solarize, lambda *_: torch.linspace(1.0, 0.0, BINS), False),
    "AutoContrast": (_auto_contrast, _up_to(0), False),
    "Equalize": (_equalize, _up_to(0), False),
}
NAMES = tuple(OPERATIONS)


def _published() -> tuple[Any, ...]:
    """Without the compiled library torchvision's, which does the same in more time."""
    if pixels.available():
        return Cutout(0.5), RandAugment()
    from torchvision.transforms import v2  # takes seconds

    return Cutout(0.5), v2.RandAugment(num_ops=2, magnitude=9)


# The recipes' random parts, between the resize and the normalisation. `published` is what the papers of Query2Label
# (arXiv 2107.10834) and ML-Decoder name, `query2label` what their code means to do, `flip` that of learning from single
# positive labels (arXiv 2106.09708).
AUGMENTATIONS: Registry[Callable[[], object]] = Registry(
    "data.augment",
    {
        "published": _published,
        "query2label": lambda: (Cutout(0.5, with_edges=True), PairOfChanges()),
        "flip": lambda: (HorizontalFlip(),),
        "none": lambda: (),
    },
    UsageError,
)
