"""Finds the column of image files where the one that was taken for it names none."""

from mlcfast.data.readers.paths import ImageFinder
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
    sheet = read_sheet(source.path, options)
    for column, name in enumerate(sheet.header):
        cells = [cell for cell in sheet.counts(column) if cell.lower() not in BLANK][:LOOKED_AT]
        if cells and name and all(_is_found(finder, cell) for cell in cells):
            return f"column {name!r} names images that are there: set data.image_column to {name}"
    return ""


def _is_found(finder: ImageFinder, cell: str) -> bool:
    try:
        return finder.find(cell, "") is not None
    except UsageError:
        return False
