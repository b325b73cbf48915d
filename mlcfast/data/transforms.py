"""The published recipes' transforms: 8-bit RGB image in, normalised (3, S, S) float32 tensor out."""

from collections.abc import Callable, Sequence

import torch
from PIL import Image
from torch import Tensor, nn
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from mlcfast.config import IMAGENET_MEAN, IMAGENET_STD
from mlcfast.errors import UsageError
from mlcfast.registry import Registry, as_callable


class Cutout(nn.Module):
    """One rectangle of `fraction` of each side in one random colour; its centre is anywhere, its rest cut off."""

    def __init__(self, fraction: float = 0.5):
        super().__init__()
        self.fraction = fraction

    def forward(self, image: Image.Image) -> Image.Image:
        """Return a copy of the image with the hole."""
        half = [int(side * self.fraction) // 2 for side in image.size]
        centre = [int(torch.randint(side, ())) for side in image.size]
        colour = tuple(torch.randint(256, (3,)).tolist())
        left, top = (max(c - h, 0) for c, h in zip(centre, half, strict=True))
        right, bottom = (min(c + h, side) for c, h, side in zip(centre, half, image.size, strict=True))
        image = image.copy()
        image.paste(colour, (left, top, right, bottom))
        return image


# The recipes' random parts, between the resize and the normalisation. `published` is Query2Label's (arXiv 2107.10834),
# `flip` that of learning from single positive labels (arXiv 2106.09708).
AUGMENTATIONS: Registry[Callable[[], object]] = Registry(
    "data.augment",
    {
        "published": lambda: (Cutout(0.5), v2.RandAugment(num_ops=2, magnitude=9)),
        "flip": lambda: (v2.RandomHorizontalFlip(0.5),),
        "none": lambda: (),
    },
    UsageError,
)


def resize(image: Image.Image, image_size: int) -> Image.Image:
    """Both sides to `image_size`, bilinear with antialiasing, the aspect ratio not kept: every recipe's first step."""
    return F.resize(image, [image_size, image_size], interpolation=v2.InterpolationMode.BILINEAR, antialias=True)


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

    def __call__(self, image: Image.Image) -> Tensor:
        """An RGB image of any size to (3, S, S) float32."""
        return self.normalise(self.pixels(image)[None])[0].contiguous()

    def pixels(self, image: Image.Image) -> Tensor:
        """The same before it is normalised: uint8 (3, S, S), whose channels lie side by side in memory."""
        return F.pil_to_tensor(self.resized(image))

    def resized(self, image: Image.Image) -> Image.Image:
        """An RGB image of S × S pixels."""
        return resize(image, self.image_size)


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

    def resized(self, image: Image.Image) -> Image.Image:
        """An RGB image of S × S pixels, after the random changes."""
        image = resize(image, self.image_size)
        for change in self.changes:
            image = change(image)
        return image


def _changes(augment: str) -> tuple[Callable[[Image.Image], Image.Image], ...]:
    made = as_callable(AUGMENTATIONS.find(augment), "data.augment", UsageError)()
    changes = tuple(made) if isinstance(made, Sequence) else (made,)
    return tuple(as_callable(change, f"data.augment {augment}", UsageError) for change in changes)
