"""What the code of Query2Label and of ML-Decoder calls RandAugment: that of the package `randaugment` 1.0.2.

It is another one than arXiv 1909.13719's, which torchvision has: the strength is drawn too, each operation happens in
half of the cases only, inversion and a small hole are among them, and what comes in from outside is grey.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from PIL import Image, ImageEnhance, ImageOps

LEVELS = 9  # of strength; an operation at level n has n/9 of its strongest form
GREY = (128, 128, 128)  # outside the image
OF_HOLE = (125, 122, 113)
Change = Callable[[Image.Image, float], Image.Image]


class PairOfChanges:
    """Two of fifteen operations one after the other, the same one maybe twice, each in half of the cases.

    Operation and level are drawn uniformly, from torch's global generator.
    """

    def __call__(self, image: Image.Image) -> Image.Image:
        """The RGB image after them."""
        for _ in range(2):
            name = NAMES[int(torch.randint(len(NAMES), ()))]
            level = int(torch.randint(1, LEVELS + 1, ()))
            if torch.rand(()) < 0.5:
                image = CHANGES[name](image, level / LEVELS)
        return image


def _either_way(most: float) -> float:
    return most if torch.rand(()) < 0.5 else -most


def _enhanced(by: Callable[[Image.Image], Any]) -> Change:
    """By one of Pillow's enhancements, weaker or stronger by up to nine tenths."""
    return lambda image, strength: by(image).enhance(1 + _either_way(0.9 * strength))


def _moved(image: Image.Image, matrix: tuple[float, ...], resample: Image.Resampling) -> Image.Image:
    return image.transform(image.size, Image.Transform.AFFINE, matrix, resample, fillcolor=GREY)


def _shear_x(image: Image.Image, strength: float) -> Image.Image:
    return _moved(image, (1, _either_way(0.3 * strength), 0, 0, 1, 0), Image.Resampling.BICUBIC)


def _shear_y(image: Image.Image, strength: float) -> Image.Image:
    return _moved(image, (1, 0, 0, _either_way(0.3 * strength), 1, 0), Image.Resampling.BICUBIC)


def _translate_x(image: Image.Image, strength: float) -> Image.Image:
    by = _either_way(_SHIFT * strength * image.width)
    return _moved(image, (1, 0, by, 0, 1, 0), Image.Resampling.NEAREST)


def _translate_y(image: Image.Image, strength: float) -> Image.Image:
    by = _either_way(_SHIFT * strength * image.height)
    return _moved(image, (1, 0, 0, 0, 1, by), Image.Resampling.NEAREST)


def _rotate(image: Image.Image, strength: float) -> Image.Image:
    """Counter-clockwise, never the other way."""
    return image.rotate(30 * strength, fillcolor=GREY)


def _posterize(image: Image.Image, strength: float) -> Image.Image:
    return ImageOps.posterize(image, round(8 - 4 * strength))


def _solarize(image: Image.Image, strength: float) -> Image.Image:
    """What is not below a threshold is inverted."""
    return ImageOps.solarize(image, math.ceil(256 * (1 - strength)))


def _hole(image: Image.Image, strength: float) -> Image.Image:
    """A grey square of up to 20 pixels, centred anywhere, its rest cut off."""
    half = round(20 * strength) // 2
    x, y = int(torch.randint(image.width, ())), int(torch.randint(image.height, ()))
    changed = image.copy()
    corners = (max(x - half, 0), max(y - half, 0), min(x + half, image.width), min(y + half, image.height))
    changed.paste(OF_HOLE, corners)
    return changed


_SHIFT = 150 / 331  # of a side, at most
CHANGES: dict[str, Change] = {
    "Invert": lambda image, _: ImageOps.invert(image),
    "Cutout": _hole,
    "Sharpness": _enhanced(ImageEnhance.Sharpness),
    "AutoContrast": lambda image, _: ImageOps.autocontrast(image),
    "Posterize": _posterize,
    "ShearX": _shear_x,
    "TranslateX": _translate_x,
    "TranslateY": _translate_y,
    "ShearY": _shear_y,
    "Rotate": _rotate,
    "Equalize": lambda image, _: ImageOps.equalize(image),
    "Contrast": _enhanced(ImageEnhance.Contrast),
    "Color": _enhanced(ImageEnhance.Color),
    "Solarize": _solarize,
    "Brightness": _enhanced(ImageEnhance.Brightness),
}
NAMES = tuple(CHANGES)
