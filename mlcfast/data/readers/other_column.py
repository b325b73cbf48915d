"""Finds the column of image files where the one that was taken for it names none."""

from mlcfast.data.readers.paths import ImageFinder, is_address
from mlcfast.data.readers.sheet import read_sheet
from mlcfast.data.readers.source import BLANK, LabelSource, TableOptions
from mlcfast.errors import UsageError

LOOKED_AT = 20  # cells of each column


def other_column(source: LabelSource, finder: ImageFinder, options: TableOptions) -> str:
    """What to say of a text table whose images are not found, if the cells of another column name files; else ""."""
    if source.format not in ("wide", "list", "long") or source.path.suffix.lower() not in (".csv", ".tsv", ".txt"):
        return ""
    if any(_is_found(finder, image) for image in source.images[:LOOKED_AT]):
        return ""
    sheet, address = read_sheet(source.path, options), is_address(source.images[0])
    for column, name in enumerate(sheet.header):
        cells = [cell for cell in sheet.counts(column) if cell.lower() not in BLANK][:LOOKED_AT]
        there = sum(_is_found(finder, cell) for cell in cells) if name else 0
        if cells and (there == len(cells) or (address and 2 * there >= len(cells))):
            return f"column {name!r} names images that are there: set data.image_column to {name}"
    return ""


def _is_found(finder: ImageFinder, cell: str) -> bool:
    try:
        return finder.find(cell, "") is not None
    except UsageError:
        return False
