"""CPU time of a training image, from its file or the resized cache, beside the transforms as people write them.

One process, one thread, a batch of 16 at a time, each way in turn; medians. Without a folder 64 JPEGs of 640 × 480 are
made. Plain: Pillow, torchvision's Resize and RandAugment, a cutout, ToTensor, Normalize, in float32; ours hands bytes
on, which the device normalises.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor
from torch.utils.data import default_collate
from torchvision import transforms

from mlcfast.config import IMAGENET_MEAN, IMAGENET_STD
from mlcfast.data import ImageDataset, LabelledImages, ResizedCache, TrainTransform
from mlcfast.data.loader import _collate

SIZE, BATCH = 448, 16
Way = Callable[[Sequence[int]], list[Tensor]]


def make_photographs(folder: Path, count: int = 64) -> None:
    """Smooth shapes under some noise, about 100 kB each at quality 90, every third upright."""
    random = np.random.default_rng(0)
    for number in range(count):
        width, height = (480, 640) if number % 3 == 0 else (640, 480)
        coarse = Image.fromarray(random.integers(0, 256, (12, 16, 3), np.uint8))
        smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC)).astype(float)
        noisy = smooth + random.normal(0, 9, (height, width, 1))
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(folder / f"{number:03}.jpg", quality=90)


def cutout(image: Image.Image) -> Image.Image:
    """A hole of half the side in a random colour."""
    x, y, half = np.random.uniform(SIZE), np.random.uniform(SIZE), SIZE // 4
    corners = (max(0, x - half), max(0, y - half), min(SIZE, x + half), min(SIZE, y + half))
    image = image.copy()
    ImageDraw.Draw(image).rectangle(corners, tuple(np.random.randint(0, 256, 3).tolist()))
    return image


def plain(paths: Sequence[str]) -> Way:
    """The published transforms, written with torchvision."""
    to_float = (transforms.ToTensor(), transforms.Normalize(IMAGENET_MEAN, IMAGENET_STD))
    transform = transforms.Compose([transforms.Resize((SIZE, SIZE)), cutout, transforms.RandAugment(), *to_float])
    return lambda chosen: default_collate([(transform(Image.open(paths[i]).convert("RGB")), i) for i in chosen])


def ours(paths: Sequence[str], cache: Path | None) -> Way:
    """What a worker of the loader does, with the resized cache if a folder for it is given."""
    images = LabelledImages(list(paths), np.zeros((len(paths), 80), np.int8), [*map(str, range(80))], list(paths))
    resized = ResizedCache.build(images, SIZE, directory=cache) if cache else None
    dataset, epoch = ImageDataset(images, TrainTransform(SIZE).pixels, 0, resized), iter(range(10**9))

    def batch(chosen: Sequence[int]) -> list[Tensor]:
        now = next(epoch)
        return _collate([dataset[now, i] for i in chosen])

    return batch


def milliseconds(ways: dict[str, Way], images: int, rounds: int) -> dict[str, float]:
    """CPU time an image of each way, the median of the rounds after the first."""
    batches = [range(first, min(first + BATCH, images)) for first in range(0, images, BATCH)]
    spent: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds + 1):
        for name, way in ways.items():
            began = time.process_time()
            for chosen in batches:
                way(chosen)
            spent[name].append((time.process_time() - began) / images * 1e3)
    return {name: statistics.median(times[1:]) for name, times in spent.items()}


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser("python -m tests.data.data_path", description=__doc__)
    parser.add_argument("rounds", type=int, nargs="?", default=9)
    parser.add_argument("folder", type=Path, nargs="?", help="JPEGs of your own; made where it is not given")
    return parser


def main() -> None:
    """Print milliseconds an image and how many times longer the plain way takes."""
    args = build_parser().parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as work:
        folder = args.folder or Path(work)
        if args.folder is None:
            make_photographs(folder)
        paths = [str(path) for path in sorted(folder.glob("*.jpg"))]
        ways = {"plain": plain(paths), "ours": ours(paths, None), "ours, cached": ours(paths, Path(work) / "cache")}
        found = milliseconds(ways, len(paths), args.rounds)
    for name, spent in found.items():
        sys.stdout.write(f"{name:13}{spent:7.2f} ms an image{found['plain'] / spent:8.2f} ×\n")


if __name__ == "__main__":
    main()
