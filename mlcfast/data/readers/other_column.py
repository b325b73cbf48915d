"""Finds the column of image files where the one that was taken for it names none."""

from mlcfast.data.readers.paths import ImageFinder, is_address
from mlcfast.data.readers.sheet import Sheet, read_sheet
from mlcfast.data.readers.source import BLANK, LabelSource, TableOptions
from mlcfast.errors import UsageError

LOOKED_AT = 20  # cells of each column
LARGEST = 2**24  # bytes of another table that is looked into


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
    return _other_table(source, sheet, finder, options)


def _other_table(source: LabelSource, sheet: Sheet, finder: ImageFinder, options: TableOptions) -> str:
    """What to say where a table beside it names images, each with one of the cells taken for such; else "".

    Yelp's labels are those of restaurants, and another table says of which each photograph is.
    """
    names = [name for column, name in enumerate(sheet.header) if source.images[0] in sheet.counts(column)]
    for file in sorted(source.path.parent.glob(f"*{source.path.suffix}")):
        if file == source.path or file.stat().st_size > LARGEST:
            continue
        other = read_sheet(file, options)
        shared = next((name for name in names if name in other.header), None)
        for column, name in enumerate(other.header) if shared else ():
            cells = [*other.counts(column)][:LOOKED_AT]
            if name != shared and cells and all(_is_found(finder, cell) for cell in cells):
                return (
                    f"column {name!r} of {file.name} names images that are there, each with its {shared!r}: write a "
                    "table of these images with the labels of that"
                )
    return ""


def _is_found(finder: ImageFinder, cell: str) -> bool:
    try:
        return finder.find(cell, "") is not None
    except UsageError:
        return False
