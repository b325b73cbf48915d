"""A contact sheet: many images at a glance."""

from collections.abc import Sequence

from PIL import Image

from mlcfast.data.images import load_rgb
from mlcfast.data.transforms import resize

GAP = 4


def contact_sheet(paths: Sequence[str], columns: int = 8, side: int = 96) -> Image.Image:
    """The images in reading order, each resized to `side` × `side` pixels, on white."""
    rows, pitch = -(-len(paths) // columns), side + GAP
    sheet = Image.new("RGB", (columns * pitch - GAP, rows * pitch - GAP), "white")
    for number, path in enumerate(paths):
        place = (number % columns * pitch, number // columns * pitch)
        sheet.paste(resize(load_rgb(path), side), place)
    return sheet
