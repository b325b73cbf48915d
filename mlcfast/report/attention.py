"""Draws where a label looks: cross-attention maps over their image, as a grid of panels.

Shapes: L labels drawn, K labels, H × W the feature map's grid, h × w the image's pixels.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mlcfast.data.images import load_rgb
from mlcfast.errors import RunError
from mlcfast.report.names import shortened
from mlcfast.report.text import drawn_name, measure, new_figure, place_axes, write

COLUMNS, MOST, PANEL = 4, 11, 480  # labels a picture without a choice; a panel's largest side in pixels
COLOURS = "cividis"  # from dark blue to yellow, told apart by colour-blind readers and in grey
STRENGTH = 0.75  # how much of the map covers the image where attention is highest
CLEAR = 2.0  # times its mean that a map's highest is at least; a flatter one says little and is drawn fainter
WIDTH, GAP, HEAD, BAR = 2.3, 0.15, 0.5, 0.95  # in inches: a panel, between panels, its title, the scale at the right
LETTERS, LEADING, DPI = 10, 0.19, 110  # a title's size in points, inches from line to line


def upsample(maps: np.ndarray, height: int, width: int) -> np.ndarray:
    """Maps (L, H, W) bilinearly to (L, height, width) float32, each with the sum 1 over its pixels.

    The model squeezes the image to a square before it looks, so the grid covers the image edge to edge.
    """
    sized = [Image.fromarray(m.astype(np.float32)).resize((width, height), Image.Resampling.BILINEAR) for m in maps]
    dense = np.stack([np.asarray(m) for m in sized])
    return dense / dense.sum(axis=(1, 2), keepdims=True)


def mass_in_boxes(density: np.ndarray, boxes: Sequence[Sequence[float]]) -> tuple[float, float]:
    """(share of the attention, share of the area) inside the union of boxes (left, top, width, height) in pixels.

    density: (h, w) with the sum 1.
    """
    inside = np.zeros(density.shape, bool)
    for left, top, width, height in boxes:
        inside[round(top) : round(top + height), round(left) : round(left + width)] = True
    return float(density[inside].sum()), float(inside.mean())


def overlay(pixels: np.ndarray, density: np.ndarray) -> np.ndarray:
    """The image uint8 (h, w, 3) with the map (h, w) laid over it: the more attention, the more of the map's colour.

    A map whose highest is below CLEAR times its mean is fainter, down to nothing where all is alike.
    """
    from matplotlib import colormaps

    level = density / max(float(density.max()), 1e-12)
    colour = colormaps[COLOURS](level)[..., :3] * 255
    strength = STRENGTH * np.clip((_peak(density) - 1) / (CLEAR - 1), 0, 1)
    alpha = (strength * (0.3 + 0.7 * level**0.7))[..., None]
    return (pixels * (1 - alpha) + colour * alpha).astype(np.uint8)


def _peak(density: np.ndarray) -> float:
    """How many times its mean the highest of a map (h, w) is: 1 where all is alike."""
    return float(density.max()) / max(float(density.mean()), 1e-12)


def gradient(stops: int = 6) -> str:
    """The colours from no to most attention, as CSS lists them."""
    from matplotlib import colormaps

    colours = (255 * colormaps[COLOURS](np.linspace(0, 1, stops))[:, :3]).astype(int)
    return ",".join("#" + "".join(f"{channel:02x}" for channel in colour) for colour in colours)


def draw_attention(
    file: Path, image: Image.Image, maps: np.ndarray, names: Sequence[str], scores: Sequence[float], more: int = 0
) -> None:
    """Write a PNG: the image, then a panel for each of the maps (L, H, W), each on its own scale up to its highest.

    names, scores: of the L labels. Above a panel: the name, the score, and how many times its mean over the image the
    highest is, 1 for a label that looks everywhere alike. more: labels found that are not drawn; they are counted.
    """
    attention_figure(image, maps, names, scores, more).savefig(file, dpi=DPI)


def attention_figure(
    image: Image.Image, maps: np.ndarray, names: Sequence[str], scores: Sequence[float], more: int = 0
) -> Any:
    """The figure that `draw_attention` writes, of the same arguments."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    image = image.copy()
    image.thumbnail((PANEL, PANEL))
    pixels = np.asarray(image)
    densities = upsample(maps, *pixels.shape[:2])
    columns = min(COLUMNS, len(maps) + 1)
    rows = -(-(len(maps) + 1) // columns)
    high = WIDTH * float(np.clip(pixels.shape[0] / pixels.shape[1], 0.4, 2.5))
    figure = new_figure(columns * (WIDTH + GAP) + GAP + BAR, rows * (HEAD + high) + GAP, DPI)
    measured = measure(figure, LETTERS)

    def panel(number: int, picture: np.ndarray, title: str, below: str) -> None:
        row, column = divmod(number, columns)
        left, top = GAP + column * (WIDTH + GAP), GAP / 2 + row * (HEAD + high)
        write(figure, left, top, shortened(title, WIDTH, measured), LETTERS)
        write(figure, left, top + LEADING, below, LETTERS)
        axis = place_axes(figure, left, top + HEAD - GAP / 2, WIDTH, high)
        axis.axis("off")
        axis.set_anchor("NW")
        axis.imshow(picture)

    panel(0, pixels, "image", f"{more:,} more labels found" if more else "")
    for number, (density, name, score) in enumerate(zip(densities, names, scores, strict=True), start=1):
        panel(number, overlay(pixels, density), name, f"{score:.2f}, peak {_peak(density):.1f} × mean")
    whole, tall = figure.get_size_inches()
    axis = place_axes(figure, whole - BAR + GAP / 2, HEAD, 0.14, min(tall - HEAD - GAP, 3.0))
    figure.colorbar(ScalarMappable(Normalize(0, 100), COLOURS), cax=axis)
    axis.set_ylabel("attention (% of its peak)", fontsize=8)
    axis.tick_params(labelsize=8)
    return figure


class AttentionWriter:
    """Writes the PNGs of a series of images into one directory, each under a name of its own."""

    def __init__(self, directory: Path, names: Sequence[str], chosen: Sequence[int] | None = None):
        """names: the model's K labels; chosen: the labels to draw, those found in the image if None."""
        self.directory, self.names, self.chosen = directory, names, chosen
        self.taken: set[str] = set()
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunError(f"{directory}: cannot be written: {error.strerror}") from error

    def write(self, image: str, scores: np.ndarray, maps: np.ndarray | None, found: Sequence[int]) -> str:
        """Draw scores (K,) and maps (K, H, W) of an image file; returns the PNG's path.

        found: the labels that the image has; where that is none the best label is drawn. maps: None for an image that
        another process draws, to which the same name falls.
        """
        file = self.directory / self._free_name(Path(image).stem)
        if maps is None:
            return str(file)
        drawn = list(self.chosen or found[:MOST] or [int(np.argmax(scores))])
        names = [drawn_name(self.names[k], k + 1) for k in drawn]
        more = 0 if self.chosen else max(0, len(found) - MOST)
        draw_attention(file, load_rgb(image), maps[drawn], names, scores[drawn].tolist(), more)
        return str(file)

    def _free_name(self, stem: str) -> str:
        number, name = 1, f"{stem}.png"
        while name in self.taken:
            number += 1
            name = f"{stem}-{number}.png"
        self.taken.add(name)
        return name
