"""Mixes the images of a batch with each other, on the device where they are: mixup, CutMix and SpliceMix.

Shapes: B images of a micro-batch, in random order already, so that an image's partner is found by its place; K labels;
S image side. A label is 1 present, 0 unknown or absent, −1 known to be absent.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from numpy.random import Generator
from torch import Tensor

from mlcfast.errors import UsageError
from mlcfast.registry import Registry, as_callable, check_options

GRIDS = ((1, 2), (2, 2), (2, 3))  # rows and columns, or the other way round
GRID_SHARES = (0.3, 0.4, 0.3)
DROPPED = 0.3  # of the batches leave cells of their grid empty
IMAGES_A_SPLICE = 4  # of a micro-batch, to which one mixed image is added


class Mix(Protocol):
    """What `data.mix` names; its random draws are numpy's, so that no device is waited for.

    soft: whether labels become shares in [0, 1] of what was mixed.
    """

    soft: bool

    def __call__(self, images: Tensor, labels: Tensor, random: Generator) -> tuple[Tensor, Tensor]:
        """images (B, 3, S, S), labels (B, K) -> the same or more of both, the first B of them of the batch's images."""

    def images(self, micro_batch: int) -> int:
        """How many images are trained on for a micro-batch of that many."""


class Pairs(ABC):
    """Each image with its partner from the other end of the batch, in shares that are drawn once a batch.

    alpha: of the Beta(alpha, alpha) distribution of the shares, above 0; share: of the batches that are mixed.
    """

    soft = True

    def __init__(self, alpha: float, share: float = 1.0):
        if not (alpha > 0 and 0 < share <= 1):
            raise ValueError(f"alpha {alpha:g} must be above 0 and share {share:g} above 0 and at most 1")
        self.alpha, self.share = alpha, share

    def images(self, micro_batch: int) -> int:
        """As many as there are."""
        return micro_batch

    def __call__(self, images: Tensor, labels: Tensor, random: Generator) -> tuple[Tensor, Tensor]:
        """See Mix."""
        if random.random() >= self.share:
            return images, labels
        images, kept = self.mixed(images, random.beta(self.alpha, self.alpha), random)
        present = labels.clamp(min=0).to(torch.float32)
        return images, torch.lerp(present.flip(0), present, kept)

    @abstractmethod
    def mixed(self, images: Tensor, kept: float, random: Generator) -> tuple[Tensor, float]:
        """New images, and the share of its own that each really has; kept: the share that was drawn."""


class MixUp(Pairs):
    """Weighted means of two images and of their labels (arXiv 1710.09412, whose alpha for ImageNet is 0.2)."""

    def __init__(self, alpha: float = 0.2, share: float = 1.0):
        super().__init__(alpha, share)

    def mixed(self, images: Tensor, kept: float, random: Generator) -> tuple[Tensor, float]:
        """See Pairs."""
        return torch.lerp(images.flip(0), images, kept), kept


class CutMix(Pairs):
    """A rectangle of one image in another, labels by area (arXiv 1905.04899, whose alpha is 1).

    An object may lie outside what is left of it: the labels are as wrong as the paper's are.
    """

    def __init__(self, alpha: float = 1.0, share: float = 1.0):
        super().__init__(alpha, share)

    def mixed(self, images: Tensor, kept: float, random: Generator) -> tuple[Tensor, float]:
        """See Pairs; the rectangle's centre is drawn evenly, and what of it lies outside is cut off."""
        height, width = images.shape[-2:]
        side = math.sqrt(1 - kept)
        (top, bottom), (left, right) = (_cut(length, side, random) for length in (height, width))
        images = images.clone(memory_format=torch.preserve_format)
        images[..., top:bottom, left:right] = images.flip(0)[..., top:bottom, left:right]
        return images, 1 - (bottom - top) * (right - left) / (height * width)


def _cut(length: int, side: float, random: Generator) -> tuple[int, int]:
    centre, half = int(random.integers(length)), int(length * side) // 2
    return max(centre - half, 0), min(centre + half, length)


class SpliceMix:
    """Adds a quarter more images, each a grid of shrunk ones with the labels of all of them (arXiv 2311.15200).

    One grid a batch: 1×2, 2×2 or 2×3 with probability 0.3, 0.4 and 0.3, lying or standing; in three batches of ten some
    of its cells, at least one and not all, are left empty, and their labels out. Cells are shrunk bilinearly, corner to
    corner. Labels stay hard: present where a kept cell has it, absent where all are known to lack it.
    """

    soft = False

    def images(self, micro_batch: int) -> int:
        """A quarter more, rounded down."""
        return micro_batch + micro_batch // IMAGES_A_SPLICE

    def __call__(self, images: Tensor, labels: Tensor, random: Generator) -> tuple[Tensor, Tensor]:
        """See Mix."""
        B, (height, width) = len(images), images.shape[-2:]
        rows, columns = GRIDS[random.choice(len(GRIDS), p=GRID_SHARES)]
        if rows != columns and random.random() < 0.5:
            rows, columns = columns, rows
        count, cells = B // IMAGES_A_SPLICE, rows * columns
        if not count:
            return images, labels
        empty = int(random.integers(1, cells)) if random.random() < DROPPED else 0
        rounds = -(-count * cells // B)
        chosen = [i for _ in range(rounds) for i in random.permutation(B).tolist()][: count * cells]
        parts = torch.stack([images[i] for i in chosen])
        parts = F.interpolate(parts, (height // rows, width // columns), mode="bilinear", align_corners=True)
        found = torch.stack([labels[i] for i in chosen])
        for image in range(count) if empty else ():
            for cell in random.permutation(cells)[:empty].tolist():
                parts[image * cells + cell].zero_()
                found[image * cells + cell].fill_(-1)
        grid = parts.unflatten(0, (count, rows, columns)).permute(0, 3, 1, 4, 2, 5).flatten(4).flatten(2, 3)
        if grid.shape[-2:] != (height, width):
            grid = F.interpolate(grid, (height, width), mode="bilinear", align_corners=True)
        added = found.unflatten(0, (count, cells)).amax(1)
        whole = torch.cat([images, grid.to(images.dtype)])
        return whole.contiguous(memory_format=torch.channels_last), torch.cat([labels, added])


def mixed(mix: Mix, images: Tensor, labels: Tensor, random: Generator) -> tuple[Tensor, Tensor]:
    """What `mix` makes of a micro-batch; UsageError for another number of images or labels than it says."""
    promised = mix.images(len(images))
    after, targets = mix(images, labels, random)
    if not len(after) == len(targets) == promised:
        made = f"{len(after)} images and {len(targets)} rows of labels of a micro-batch of {len(images)}"
        raise UsageError(f"data.mix: {type(mix).__name__} made {made}, and its images() says {promised}")
    return after, targets


MIXES: Registry[Callable[..., Mix]] = Registry(
    "data.mix", {"mixup": MixUp, "cutmix": CutMix, "splicemix": SpliceMix}, UsageError
)


def make_mix(name: str, options: dict[str, Any]) -> Mix | None:
    """What `data.mix` names, None for none; UsageError for an unknown name and for options that do not fit."""
    if name == "none":
        if options:
            raise UsageError("data.mix_options: there is no data.mix that they could be of")
        return None
    what = f"data.mix {name}"
    make = as_callable(MIXES.find(name), what, UsageError)
    check_options(make, options, what, error=UsageError)
    try:
        mix = make(**options)
    except (TypeError, ValueError) as error:
        raise UsageError(f"{what}: {error}") from error
    if not (callable(mix) and callable(getattr(mix, "images", None)) and hasattr(mix, "soft")):
        raise UsageError(f"{what} gives a {type(mix).__name__}, not what mixes a batch (docs/extending.md)")
    return mix
