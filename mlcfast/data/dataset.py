"""Images and labels by index, every random choice a function of (seed, epoch, index) alone."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from mlcfast.data.bad_images import remedied
from mlcfast.data.label_rows import LabelRows
from mlcfast.data.records import LabelledImages
from mlcfast.data.resized import ResizedCache


class ImageDataset(Dataset):
    """A map-style data set over an image list.

    transform: uint8 (H, W, 3) to tensor, drawing from torch's global generator, seeded per sample and restored;
    resized_cache: the images already resized to what the transform wants, in the order of `records`.
    """

    def __init__(
        self,
        records: LabelledImages,
        transform: Callable[[np.ndarray], Tensor],
        seed: int = 0,
        resized_cache: ResizedCache | None = None,
    ):
        self.records, self.transform, self.seed, self.resized_cache = records, transform, seed, resized_cache
        self.labels = LabelRows(records.labels)

    def __len__(self) -> int:
        """The number of images."""
        return len(self.records)

    def __getitem__(self, key: int | tuple[int, int]) -> tuple[Tensor, Tensor, int]:
        """Image as the transform gives it, labels (K,) int8 and index, for an index or (epoch, index); else epoch 0.

        Raises RunError naming the file if it cannot be decoded, and how to leave it out.
        """
        epoch, index = key if isinstance(key, tuple) else (0, key)
        cache, path = self.resized_cache, self.records.paths[index]
        with remedied(path):
            image = self.records.load_pixels(index) if cache is None else cache.read(index, path)
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(sample_seed(self.seed, epoch, index))
            return self.transform(image), self.labels.one(index), index


def sample_seed(seed: int, epoch: int, index: int) -> int:
    """A 64-bit seed that any change of the three integers changes."""
    return int(np.random.SeedSequence((seed, epoch, index)).generate_state(1, np.uint64)[0])
