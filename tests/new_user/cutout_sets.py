"""Small data sets drawn from folders of cut-outs (PNG with transparency) and of backgrounds, for compare_heads.

    python -m tests.new_user.cutout_sets OUT --labels bird=DIR fruit=DIR,DIR … --backgrounds 'GLOB' … [--seeds S …]

Writes OUT/scenes<S>, OUT/many_small<S> and OUT/close_ups<S>. The cut-outs of each label and the backgrounds are divided
by the seed: those of the training images are in no test image. With --each every cut-out is a label of its own, so
that there may be hundreds, and only the backgrounds are divided.
"""

import argparse
import csv
import glob
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance

from tests.new_user.photos import view

SIZE = (400, 300)
COLOURS = ("red", "yellow", "green", "blue", "pale", "dark")
HUES = {"red": (345, 15), "yellow": (40, 65), "green": (75, 160), "blue": (185, 260)}  # degrees, from … to …
SHARE = 0.25  # of a cut-out's pixels must have a colour for it to count
Pieces = dict[str, list[Image.Image]]


@dataclass(frozen=True)
class Kind:
    """How many cut-outs an image has, their widths as a share of the image's, and whether colours are labels too."""

    counts: tuple[int, int]
    widths: tuple[float, float]
    colours: bool = False


KINDS = {
    "scenes": Kind((1, 4), (0.25, 0.5)),
    "many_small": Kind((3, 8), (0.1, 0.17)),
    "close_ups": Kind((1, 2), (0.45, 0.9), colours=True),
}


def colours(piece: Image.Image) -> set[str]:
    """Those of COLOURS that a share of SHARE of the opaque pixels has."""
    pixels = np.asarray(piece.convert("RGB").convert("HSV"), np.float32)[np.asarray(piece.getchannel("A")) > 127]
    hue, saturation, value = pixels[:, 0] * 360 / 255, pixels[:, 1] / 255, pixels[:, 2] / 255
    bright = (saturation > 0.35) & (value > 0.3)
    has = {"pale": (saturation < 0.25) & (value > 0.65), "dark": value < 0.25}
    for name, (low, high) in HUES.items():
        inside = (hue >= low) & (hue <= high) if low < high else (hue >= low) | (hue <= high)
        has[name] = inside & bright
    return {name for name in COLOURS if len(pixels) and has[name].mean() >= SHARE}


def draw(
    kind: Kind, count: int, random: np.random.Generator, pieces: Pieces, views: list[Image.Image]
) -> list[tuple[Image.Image, set[str]]]:
    """(image, its labels) `count` times; labels are rarer in their order, the last a third as likely as the first."""
    names = list(pieces)
    shares = np.linspace(3, 1, len(names))
    drawn = []
    for _ in range(count):
        image, present = view(views, SIZE, random), set()
        taken: list[tuple[float, float, float]] = []
        for name in random.choice(names, random.integers(kind.counts[0], kind.counts[1] + 1), p=shares / shares.sum()):
            piece = pieces[name][random.integers(len(pieces[name]))]
            taken.append(_paste(image, piece, random.uniform(*kind.widths), random, taken))
            present |= {str(name)} | (colours(piece) if kind.colours else set())
        drawn.append((image, present))
    return drawn


def _paste(
    image: Image.Image, piece: Image.Image, width: float, random: np.random.Generator, taken: Sequence[tuple]
) -> tuple[float, float, float]:
    """Paste a cut-out, turned and lit at random, away from those that are there; returns its middle and radius.

    width: of the longer side of the cut-out, as a share of the image's width, at most the image's height.
    """
    side = min(width * image.width, image.height)
    if random.random() < 0.5:
        piece = piece.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    piece = piece.rotate(random.uniform(-20, 20), Image.Resampling.BICUBIC, expand=True)
    piece = piece.crop(piece.getchannel("A").getbbox())
    scale = side / max(piece.size)
    piece = piece.resize([max(1, round(length * scale)) for length in piece.size], Image.Resampling.LANCZOS)
    light = ImageEnhance.Brightness(piece.convert("RGB")).enhance(random.uniform(0.75, 1.2))
    room = [max(0, whole - part) for whole, part in zip(image.size, piece.size, strict=True)]
    places = random.uniform(0, 1, (20, 2)) * room + np.array(piece.size) / 2
    gaps = [min([np.hypot(x - u, y - v) - radius for u, v, radius in taken], default=0.0) for x, y in places]
    x, y = places[int(np.argmax(gaps))]
    image.paste(light, (round(x - piece.width / 2), round(y - piece.height / 2)), piece.getchannel("A"))
    return x, y, max(piece.size) / 2


def halves(items: Sequence, random: np.random.Generator) -> tuple[list, list]:
    """Two parts of equal size, divided at random."""
    order = random.permutation(len(items))
    return [items[i] for i in order[: len(items) // 2]], [items[i] for i in order[len(items) // 2 :]]


def make_cutout_set(
    kind: str,
    folder: Path,
    seed: int,
    pieces: Pieces,
    views: list[Image.Image],
    images: Sequence[int] = (300, 600),
) -> None:
    """Write labels.csv and test.csv with a column a label, and their images (JPEG), of other cut-outs each.

    A label of one cut-out has it in both.
    """
    random = np.random.default_rng(seed)
    divided = {name: halves(each, random) if len(each) > 1 else (each, each) for name, each in pieces.items()}
    behind = halves(views, random)
    names = [*pieces, *(COLOURS if KINDS[kind].colours else ())]
    for part, (table, count) in enumerate(zip(("labels", "test"), images, strict=True)):
        given = {name: each[part] for name, each in divided.items()}
        (folder / table).mkdir(parents=True)
        with (folder / f"{table}.csv").open("w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file)
            rows.writerow(["image", *names])
            for at, (image, present) in enumerate(draw(KINDS[kind], count, random, given, behind[part])):
                image.save(folder / table / f"{at:04d}.jpg", quality=90)
                rows.writerow([f"{table}/{at:04d}.jpg", *(int(name in present) for name in names)])


def opened(path: Path, mode: str) -> Image.Image:
    """The picture, no larger than 800 × 800 pixels; an RGBA one without its transparent border."""
    image = Image.open(path).convert(mode)
    image = image.crop(image.getchannel("A").getbbox()) if mode == "RGBA" else image
    image.thumbnail((800, 800))
    return image


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, metavar="OUT")
    parser.add_argument("--labels", nargs="+", required=True, metavar="NAME=DIR[,DIR…]", help="PNG files in each DIR")
    parser.add_argument("--backgrounds", nargs="+", required=True, metavar="GLOB")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--each", action="store_true", help="a label for each cut-out: bird/eagle of bird=DIR")
    parser.add_argument(
        "--images", nargs=2, type=int, default=[300, 600], metavar="N", help="to train and to test with"
    )
    return parser


def work(args: argparse.Namespace) -> None:
    """Draw the sets that are not there yet."""
    pieces = {}
    for name, folders in (word.split("=", 1) for word in args.labels):
        files = [path for folder in folders.split(",") for path in sorted(Path(folder).glob("*.png"))]
        if len(files) < 2:  # one to train with, one to test with
            raise SystemExit(f"{name}: at least two PNG files are needed, and {folders} has {len(files)}")
        if args.each:
            pieces |= {f"{name}/{path.stem}": [opened(path, "RGBA")] for path in files}
        else:
            pieces[name] = [opened(path, "RGBA") for path in files]
    views = [opened(Path(path), "RGB") for pattern in args.backgrounds for path in sorted(glob.glob(pattern))]
    if len(views) < 2:
        raise SystemExit(f"at least two backgrounds are needed, and {' '.join(args.backgrounds)} has {len(views)}")
    for kind in args.kinds:
        for seed in args.seeds:
            if not (args.out / f"{kind}{seed}").exists():
                make_cutout_set(kind, args.out / f"{kind}{seed}", seed, pieces, views, args.images)


if __name__ == "__main__":
    work(build_parser().parse_args())
