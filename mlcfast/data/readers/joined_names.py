"""Tables that name an image and a label in one cell, `Image_Label` over `0011165.jpg_Fish`, a row for each."""

import dataclasses

from mlcfast.data.readers.columns import is_called, truth_share
from mlcfast.data.readers.image_files import IMAGE_ENDINGS
from mlcfast.data.readers.sheet import Sheet
from mlcfast.data.readers.slips import BEHIND_ENDING, image_and_label, labels_behind_names
from mlcfast.data.readers.source import BLANK, TableOptions
from mlcfast.data.readers.words import IMAGE_COLUMNS, LONG_COLUMNS, OF_CLASSES

OF_MASKS = frozenset({"encodedpixels", "encoded_pixels", "rle", "mask_rle"})  # blank where nothing is outlined
NO_MASK = "-1"  # as SIIM's tables of pneumothoraces have it
PRESENT = "present"


def with_names_apart(sheet: Sheet, options: TableOptions) -> tuple[Sheet, TableOptions]:
    """The table with a column for the image, one for the label and one that says whether it is present.

    The options then say so.
    So it is where a column is called as both and its cells hold an image's ending before the label, or where each image
    has a row for each of several labels behind its name, see labels_behind_names: then data.format `long` says so of a
    column of any name. Beside it may stand 1 and 0, or an outline, which is blank or −1 where the label is absent.
    """
    told = options.form == "long"
    whole = options.form in ("wide", "list") or (options.image_column is not None and not told)
    if whole or {*options.ignore_columns} & {*sheet.header}:
        return sheet, options
    named = [i for i, name in enumerate(sheet.header) if _is_both(name)]
    if not named and told and len(sheet.header) == 2 and labels_behind_names([row[0] for row in sheet.rows]):
        named = [0]
    beside = [i for i, _ in enumerate(sheet.header) if i not in named]
    if len(named) != 1 or len(beside) != 1 or not sheet.rows or options.label_columns:
        return sheet, options
    column, other = named[0], beside[0]
    if options.image_column not in (None, sheet.header[column]):
        return sheet, options
    both = [row[column] for row in sheet.rows]
    if not told and not all(map(BEHIND_ENDING.fullmatch, both)) and not labels_behind_names(both):
        return sheet, options
    pieces = [image_and_label(cell) for cell in both]
    outlines = is_called(sheet.header[other], OF_MASKS)
    if not all(image and label for image, label in pieces) or not (outlines or truth_share(sheet, other) == 1):
        return sheet, options
    if any(label.lower().endswith(IMAGE_ENDINGS) for _, label in pieces):
        return sheet, options
    cells = [row[other] for row in sheet.rows]
    said = [f"column {sheet.header[column]!r} names an image and a label in each row: {sheet.rows[0][column]!r}"]
    if outlines:
        minus = " or -1" if any(cell.strip() == NO_MASK for cell in cells) else ""
        cells = ["0" if cell.strip().lower() in {*BLANK, NO_MASK} else "1" for cell in cells]
        said += [f"where {sheet.header[other]!r} is blank{minus}, the label is absent"]
    rows = [[image, label, cell] for (image, label), cell in zip(pieces, cells, strict=True)]
    header, said = ["image", "label", PRESENT], [*sheet.assumptions, *said]
    sheet = dataclasses.replace(sheet, header=header, rows=rows, assumptions=said)
    return sheet, dataclasses.replace(options, form="long", image_column=None, label_columns=("label",))


def _is_both(name: str) -> bool:
    """Whether a column is called as images and labels, `ImageId_ClassId`."""
    image, _, label = name.partition("_")
    return is_called(image, IMAGE_COLUMNS) and is_called(label, (*LONG_COLUMNS, *OF_CLASSES))
