"""Small data sets of three kinds, drawn on photographs: things, many small things, attributes of whole pictures."""

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter

from tests.new_user.photos import LABELS, draw_labels, photograph, real_photographs, view

SIZE = (256, 256)
ATTRIBUTES = ("blurred", "dark", "warm", "cool", "grainy", "pale", "grey", "blocky")
Views = list[Image.Image]
Drawn = tuple[Image.Image, np.ndarray]


def things(count: int, random: np.random.Generator, views: Views) -> list[Drawn]:
    """A textured shape for each label, a fifth to two fifths of the picture wide."""
    return [(photograph(present, SIZE, random, views), present) for present in draw_labels(count, random)]


def small_things(count: int, random: np.random.Generator, views: Views) -> list[Drawn]:
    """One to four labels, each with one to three shapes of a twelfth to a sixth of the picture."""
    drawn = []
    for _ in range(count):
        present = np.zeros(len(LABELS), int)
        chosen = random.choice(len(LABELS), random.integers(1, 5), replace=False)
        present[chosen] = random.integers(1, 4, len(chosen))
        drawn.append((photograph(present, SIZE, random, views, (0.04, 0.08)), np.minimum(present, 1)))
    return drawn


def attributes(count: int, random: np.random.Generator, views: Views) -> list[Drawn]:
    """Each of ATTRIBUTES on three pictures in ten."""
    present = (random.random((count, len(ATTRIBUTES))) < 0.3).astype(int)
    return [(_changed(view(views, SIZE, random), row, random), row) for row in present]


def _changed(image: Image.Image, present: np.ndarray, random: np.random.Generator) -> Image.Image:
    has = dict(zip(ATTRIBUTES, present, strict=True))
    if has["blurred"]:
        image = image.filter(ImageFilter.GaussianBlur(random.uniform(0.7, 2)))
    if has["dark"]:
        image = ImageEnhance.Brightness(image).enhance(random.uniform(0.45, 0.75))
    if has["pale"]:
        image = ImageEnhance.Contrast(image).enhance(random.uniform(0.4, 0.75))
    if has["grey"]:
        image = ImageEnhance.Color(image).enhance(random.uniform(0, 0.5))
    pixels = np.asarray(image).astype(np.float32)
    if has["warm"]:
        pixels *= np.float32([1.12, 1, 0.85])
    if has["cool"]:
        pixels *= np.float32([0.93, 1, 1.07])
    if has["grainy"]:
        pixels += random.normal(0, random.uniform(6, 18), pixels.shape).astype(np.float32)
    image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
    if has["blocky"]:
        coarse = int(random.integers(90, 170))
        image = image.resize((coarse, coarse), Image.Resampling.NEAREST).resize(SIZE, Image.Resampling.NEAREST)
    return image


KINDS: dict[str, tuple[Callable[..., list[Drawn]], tuple[str, ...]]] = {
    "things": (things, LABELS),
    "small_things": (small_things, LABELS),
    "attributes": (attributes, ATTRIBUTES),
}


def make_small_set(kind: str, folder: Path, seed: int, train_images: int = 300, test_images: int = 600) -> None:
    """Write labels.csv and test.csv with a column a label, and their images (PNG), each part drawn anew."""
    draw, names = KINDS[kind]
    views = real_photographs()
    for table, count, number in (("labels", train_images, seed), ("test", test_images, 1000 + seed)):
        (folder / table).mkdir(parents=True)
        with (folder / f"{table}.csv").open("w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file)
            rows.writerow(["image", *names])
            for at, (image, present) in enumerate(draw(count, np.random.default_rng(number), views)):
                image.save(folder / table / f"{at:04d}.png")
                rows.writerow([f"{table}/{at:04d}.png", *present])
