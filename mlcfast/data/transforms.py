"""The published recipes' transforms: 8-bit RGB image in, normalised (3, S, S) float32 tensor out."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from mlcfast.config import IMAGENET_MEAN, IMAGENET_STD
from mlcfast.data.augment import AUGMENTATIONS, OnPixels, as_image, as_pixels
from mlcfast.errors import UsageError
from mlcfast.ops import pixels
from mlcfast.registry import as_callable

Pixels = np.ndarray | Image.Image  # uint8 (H, W, 3), or an RGB image


def resize(image: Pixels, image_size: int) -> np.ndarray:
    """Every recipe's first step, bilinear with antialiasing, the aspect ratio not kept; returns a new uint8 (S, S, 3).

    Rows are resampled first, then columns, each rounded to bytes: the pixels of Pillow up to 12. Pillow 13 goes the
    other way for many upright images, of which a byte in four then differs by 1; it resizes where the compiled library
    is not there.
    """
    array = np.asarray(image)
    if array.shape[:2] == (image_size, image_size):
        return array.copy()
    if pixels.available():
        own = array if array.flags.writeable else array.copy()  # of others torch warns
        return pixels.resize(torch.from_numpy(own), image_size, image_size).numpy()
    picture = Image.fromarray(array)
    return np.array(picture.resize((image_size, image_size), Image.Resampling.BILINEAR))


class Normalise:
    """(x / 255 − mean) / std per channel, as one multiplication and one addition, on whatever device the bytes are."""

    def __init__(self, mean: Sequence[float] = IMAGENET_MEAN, std: Sequence[float] = IMAGENET_STD):
        self.scale = 1 / (255 * torch.tensor(std))
        self.shift = -torch.tensor(mean) / torch.tensor(std)
        self._placed: dict[torch.device, tuple[Tensor, Tensor]] = {}

    def __call__(self, pixels: Tensor) -> Tensor:
        """uint8 (B, 3, H, W) to float32 of that shape in channels-last memory.

        On the CPU product and sum are rounded one after the other. A GPU does both in one kernel that reads bytes and
        rounds once, if its compiler joins them: the results differ by a unit in the last place at most.
        """
        if pixels.device.type != "cpu":
            return self.in_one(pixels)
        # A row of pixels at a time: three values a pixel are too few for the processor's vectors.
        scale, shift = (value.repeat(pixels.shape[3]) for value in (self.scale, self.shift))
        rows = pixels.permute(0, 2, 3, 1).flatten(2).to(torch.float32).mul_(scale).add_(shift)
        return rows.unflatten(2, (-1, 3)).permute(0, 3, 1, 2)

    def in_one(self, pixels: Tensor) -> Tensor:
        """The same by one operation, which reads bytes and writes float32."""
        if pixels.device not in self._placed:
            scale, shift = (value.view(3, 1, 1).to(pixels.device) for value in (self.scale, self.shift))
            self._placed[pixels.device] = scale, shift
        scale, shift = self._placed[pixels.device]
        return torch.addcmul(shift, pixels, scale).contiguous(memory_format=torch.channels_last)


class EvalTransform:
    """Resize and normalise: (x / 255 − mean) / std, per channel."""

    def __init__(self, image_size: int, mean: Sequence[float] = IMAGENET_MEAN, std: Sequence[float] = IMAGENET_STD):
        self.image_size, self.normalise = image_size, Normalise(mean, std)

    def __call__(self, image: Pixels) -> Tensor:
        """An RGB image of any size to (3, S, S) float32."""
        return self.normalise(self.pixels(image)[None])[0].contiguous()

    def pixels(self, image: Pixels) -> Tensor:
        """The same before it is normalised: uint8 (3, S, S), whose channels lie side by side in memory."""
        return self.changed(torch.from_numpy(resize(image, self.image_size))).permute(2, 0, 1)

    def changed(self, image: Tensor) -> Tensor:
        """An image (S, S, 3) as it is."""
        return image


class TrainTransform(EvalTransform):
    """Resize, augment by name (see AUGMENTATIONS) and normalise; randomness comes from torch's global generator.

    augment: a name, or `package.module:name` of a function or class that takes no arguments and gives what changes an
    image: one callable from RGB image to RGB image of the same size, or a sequence of them. Raises UsageError for an
    unknown name and for what cannot be called.
    """

    def __init__(
        self,
        image_size: int,
        augment: str = "published",
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
    ):
        super().__init__(image_size, mean, std)
        self.changes = _changes(augment)

    def changed(self, image: Tensor) -> Tensor:
        """An image (S, S, 3) after the random changes."""
        for change in self.changes:
            image = change(image) if isinstance(change, OnPixels) else as_pixels(change(as_image(image)))
        return image


def _changes(augment: str) -> tuple[Callable[[Any], Any], ...]:
    make = as_callable(AUGMENTATIONS.find(augment), "data.augment", UsageError)
    try:
        made = make()
    except TypeError as error:
        raise UsageError(f"data.augment {augment}: called without arguments: {error}") from error
    changes = tuple(made) if isinstance(made, Sequence) else (made,)
    return tuple(as_callable(change, f"data.augment {augment}", UsageError) for change in changes)
