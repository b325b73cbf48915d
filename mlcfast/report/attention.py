"""Where a label looks: cross-attention maps over their image, as a grid of panels.

Shapes: L labels drawn, K labels, H × W the feature map's grid, h × w the image's pixels.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from mlcfast.data.images import load_rgb
from mlcfast.errors import RunError

COLUMNS, MOST, PANEL = 4, 11, 480  # labels a picture without a choice; a panel's largest side in pixels
COLOURS = "cividis"  # from dark blue to yellow, told apart by colour-blind readers and in grey
STRENGTH = 0.75  # how much of the map covers the image where attention is highest


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
    """The image uint8 (h, w, 3) with the map (h, w) laid over it: the more attention, the more of the map's colour."""
    from matplotlib import colormaps

    level = density / max(float(density.max()), 1e-12)
    colour = colormaps[COLOURS](level)[..., :3] * 255
    alpha = (STRENGTH * (0.3 + 0.7 * level**0.7))[..., None]
    return (pixels * (1 - alpha) + colour * alpha).astype(np.uint8)


def gradient(stops: int = 6) -> str:
    """The colours from no to most attention, as CSS lists them."""
    from matplotlib import colormaps

    colours = (255 * colormaps[COLOURS](np.linspace(0, 1, stops))[:, :3]).astype(int)
    return ",".join("#" + "".join(f"{channel:02x}" for channel in colour) for colour in colours)


def draw_attention(file: Path, image: Image.Image, maps: np.ndarray, titles: Sequence[str]) -> None:
    """Write a PNG: the image, then a panel for each of the maps (L, H, W), each on its own scale up to its highest.

    Under a title: how many times its mean over the image the highest is, 1 for a label that looks everywhere alike.
    """
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure

    image = image.copy()
    image.thumbnail((PANEL, PANEL))
    pixels = np.asarray(image)
    densities = upsample(maps, *pixels.shape[:2])
    columns = min(COLUMNS, len(maps) + 1)
    rows = -(-(len(maps) + 1) // columns)
    tall = np.clip(pixels.shape[0] / pixels.shape[1], 0.4, 2.5)
    figure = Figure(figsize=(2.4 * columns + 0.9, (2.4 * tall + 0.5) * rows + 0.2), layout="constrained")
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axis in axes:
        axis.axis("off")
    axes[0].imshow(pixels)
    axes[0].set_title("image", fontsize=10)
    for axis, density, title in zip(axes[1:], densities, titles, strict=False):
        axis.imshow(overlay(pixels, density))
        axis.set_title(f"{title}\nhighest: {density.max() * density.size:.0f} × mean", fontsize=10)
    bar = figure.colorbar(ScalarMappable(Normalize(0, 100), COLOURS), ax=axes, shrink=0.8)
    bar.set_label("attention (% of its highest)")
    figure.savefig(file, dpi=110)


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

    def write(self, image: str, scores: np.ndarray, maps: np.ndarray, found: Sequence[int]) -> str:
        """Draw scores (K,) and maps (K, H, W) of an image file; returns the PNG's path.

        found: the labels that the image has; where that is none the best label is drawn.
        """
        drawn = list(self.chosen or found[:MOST] or [int(scores.argmax())])
        file = self.directory / self._free_name(Path(image).stem)
        titles = [f"{self.names[k]}  {scores[k]:.2f}" for k in drawn]
        draw_attention(file, load_rgb(image), maps[drawn], titles)
        return str(file)

    def _free_name(self, stem: str) -> str:
        number, name = 1, f"{stem}.png"
        while name in self.taken:
            number += 1
            name = f"{stem}-{number}.png"
        self.taken.add(name)
        return name
