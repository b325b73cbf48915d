"""A newcomer's data: shapes before real photographs, and a spreadsheet of what is on each."""

import csv
import math
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance

LABELS = ("circle", "square", "triangle", "cross", "ring", "star")
SHARES = (0.4, 0.35, 0.3, 0.2, 0.15, 0.0)  # of the photographs; the stars are counted
BARE = 32  # photographs of every 300 without a label
STARS = 11  # of every 300


def draw_labels(count: int, random: np.random.Generator) -> np.ndarray:
    """(count, 6) of 1 and 0: some photographs bare, few stars, the other shapes by their shares."""
    labels = (random.random((count, len(LABELS))) < SHARES).astype(int)
    labels[~labels.any(axis=1), 0] = 1
    labels[random.permutation(count)[: max(1, BARE * count // 300)]] = 0
    dressed = np.flatnonzero(labels.any(axis=1))
    labels[random.permutation(dressed)[: max(2, STARS * count // 300)], LABELS.index("star")] = 1
    return labels


def outline(shape: str, radius: float, turn: float) -> list[tuple[float, float]]:
    """The corners of a shape around (0, 0)."""
    corners = {"square": [1.0] * 4, "triangle": [1.0] * 3, "star": [1.0, 0.4] * 5}
    reach = corners.get(shape, [1.0] * 40)
    if shape == "cross":
        arm = 0.33
        points = [(arm, 1), (arm, arm), (1, arm), (1, -arm), (arm, -arm), (arm, -1)]
        points += [(-x, -y) for x, y in points]
        return [
            (
                radius * (x * math.cos(turn) - y * math.sin(turn)),
                radius * (x * math.sin(turn) + y * math.cos(turn)),
            )
            for x, y in points
        ]
    angles = [turn + 2 * math.pi * i / len(reach) for i in range(len(reach))]
    return [(radius * r * math.cos(a), radius * r * math.sin(a)) for r, a in zip(reach, angles, strict=True)]


def photograph(
    present: np.ndarray,
    size: tuple[int, int],
    random: np.random.Generator,
    views: list[Image.Image],
    radii: tuple[float, float] = (0.1, 0.22),
) -> Image.Image:
    """A view of a real photograph with present[i] textured shapes of label i, their radii a share of the short side."""
    image = view(views, size, random)
    short = min(size)
    for label in random.permutation(np.repeat(np.arange(len(present)), present)):
        radius, turn = short * random.uniform(*radii), random.uniform(0, 2 * math.pi)
        x, y = (random.uniform(radius, side - radius) for side in size)
        mask = Image.new("L", size)
        pen = ImageDraw.Draw(mask)
        pen.polygon([(x + dx, y + dy) for dx, dy in outline(LABELS[label], radius, turn)], fill=255)
        if LABELS[label] == "ring":
            inner = radius * 0.6
            pen.ellipse((x - inner, y - inner, x + inner, y + inner), fill=0)
        paint = Image.new("RGB", size, tuple(int(value) for value in random.integers(0, 256, 3)))
        image.paste(Image.blend(paint, view(views, size, random), random.uniform(0.1, 0.35)), mask=mask)
    return image


def view(views: list[Image.Image], size: tuple[int, int], random: np.random.Generator) -> Image.Image:
    """A part of one of the photographs, brighter or darker than it is."""
    whole = views[random.integers(len(views))]
    part = random.uniform(0.3, 0.9)
    width, height = int(whole.width * part), int(whole.height * part)
    left, top = random.integers(whole.width - width), random.integers(whole.height - height)
    seen = whole.crop((left, top, left + width, top + height)).resize(size)
    return ImageEnhance.Brightness(seen).enhance(random.uniform(0.6, 1.3))


def real_photographs() -> list[Image.Image]:
    """The two that scikit-learn ships."""
    import sklearn.datasets

    folder = Path(sklearn.datasets.__file__).parent / "images"
    return [Image.open(folder / name).convert("RGB") for name in ("china.jpg", "flower.jpg")]


def make_photos(
    folder: Path, count: int = 300, size: tuple[int, int] = (800, 600), seed: int = 0, first: int = 0
) -> list[list[str]]:
    """Write `folder/photos/*.jpg` and `folder/labels.csv`; returns the table's rows, the header first."""
    random, views = np.random.default_rng(seed), real_photographs()
    (folder / "photos").mkdir(parents=True, exist_ok=True)
    rows = [["image", *LABELS]]
    for number, present in enumerate(draw_labels(count, random), start=first):
        name = f"photos/{number:04d}.jpg"
        photograph(present, size, random, views).save(folder / name, quality=85)
        rows.append([name, *map(str, present)])
    with (folder / "labels.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    return rows
