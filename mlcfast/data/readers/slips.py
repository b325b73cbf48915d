"""Slips of tables that hide what they say: names of rows, two headers, a table on its side, two facts in one cell."""

import re
from collections.abc import Sequence
from pathlib import Path

from mlcfast.data.readers.image_files import ENDING, IMAGE_ENDINGS
from mlcfast.errors import UsageError

Numbered = Sequence[tuple[int, list[str]]]  # the rows of a table, each with its line

OF_IMAGES = re.compile(r"image|img|file|path|photo|picture|bild|foto", re.IGNORECASE)
FRACTION = re.compile(r"[+-]?\d+\.\d*[1-9]\d*")
BEHIND_ENDING = re.compile(rf"(.+{ENDING})_(.+)", re.IGNORECASE)  # a label: `a.jpg_Fish`
NUMBERS = re.compile(r"\d+")
NUMBER = re.compile(r"[+-]?[\d.,]*")


def with_row_names(header: list[str], body: Numbered) -> list[str] | None:
    """The header with a blank name before it where R wrote the rows' numbers without one; None where it did not.

    Each row then has one cell more than the header and begins with its number, and only so is the column of images
    called as one.
    """
    if any(len(row) != len(header) + 1 for _, row in body) or not all(header):
        return None
    counted = [row[0] for _, row in body] == [str(number) for number in range(1, len(body) + 1)]
    images = [i for i, cell in enumerate(body[0][1]) if cell.lower().endswith(IMAGE_ENDINGS)]
    if not counted or len(images) != 1:
        return None
    moved, unmoved = header[images[0] - 1], header[images[0]] if images[0] < len(header) else ""
    return ["", *header] if OF_IMAGES.search(moved) and not OF_IMAGES.search(unmoved) else None


def refuse_images_in_header(path: Path, line: int, header: Sequence[str], body: Numbered) -> None:
    """UsageError where the first line is a row, or where the table stands on its side.

    line: the header's; body: the rows below it.
    """
    images = [name for name in header if name.lower().endswith(IMAGE_ENDINGS)]
    if not images:
        return
    if images == list(header[1:]) and not NUMBER.fullmatch(header[0]):
        raise UsageError(
            f"{path}: line {line} names images, {images[0]!r} the first, so that each has a column: transpose the "
            "table, so that each has a row"
        )
    lengths = {len(header), *(len(row) for _, row in body)}
    if len(lengths) > 1 and header[0] == images[0]:
        example = f"{header[0]}{',' if header[1:] else ''}{';'.join(header[1:])}"
        raise UsageError(
            f"{path}: line {line} names the image {images[0]!r}, where the header should be, and lines have "
            f"{min(lengths)} to {max(lengths)} cells: write a first line `image,labels`, and below it the labels of an "
            f"image in one cell, {example!r}"
        )
    boxes = len(header) == 6 and all(map(NUMBER.fullmatch, header[1:5]))
    example = "image,xmin,ymin,xmax,ymax,class" if boxes else "image,cat,dog"
    raise UsageError(
        f"{path}: line {line} names the image {images[0]!r}, where the header should be: write a first line such as "
        f"`{example}`, with a name for each of the {len(header)} columns"
    )


def refuse_numbers_in_header(path: Path, header: Sequence[str], body: Numbered) -> None:
    """UsageError where the first line is a row: where it holds numbers with a fraction, as the lines below it do."""
    numbers = [place for place, name in enumerate(header) if FRACTION.fullmatch(name)]
    rows = [row for _, row in body if len(row) == len(header)]
    if numbers and rows and all(NUMBER.fullmatch(row[place]) for row in rows for place in numbers):
        last = "label" if not NUMBER.fullmatch(header[-1]) else "…"
        raise UsageError(
            f"{path}: line 1 holds the number {header[numbers[0]]}, as the lines below it do, and is a row, where "
            f"names of columns should be: write a first line such as `image,…,{last}`, with a name for each of the "
            f"{len(header)} columns"
        )


def refuse_image_by_number_in_header(path: Path, header: Sequence[str], body: Numbered) -> None:
    """UsageError where the first line is a row: an image called as the one below, but for its digits, and its labels.

    So it is in a list of names without endings, `Train_0000` and a class. Labels are numbers, or words that recur.
    """
    first = body[0][1]
    if len(header) < 2 or header[0].isdecimal() or not NUMBERS.search(header[0]) or len(first) != len(header):
        return
    if NUMBERS.sub("0", first[0]) != NUMBERS.sub("0", header[0]):
        return
    below = [{row[place] for _, row in body if place < len(row)} for place in range(1, len(header))]
    columns = list(zip(header[1:], below, strict=True))
    numbers = all(cell.isdecimal() and all(map(str.isdecimal, held)) for cell, held in columns)
    if numbers or all(cell in held for cell, held in columns):
        raise UsageError(
            f"{path}: line 1 holds {header[0]!r} and {header[1]!r}, as the lines below it do, and is a row, where "
            "names of columns should be: write a first line such as `image,label`"
        )


def refuse_class_map(path: Path, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """UsageError where names of classes stand beside their numbers, each once, from 0 or 1 on, without a header."""
    lines = [header, *rows]
    if OF_IMAGES.search(header[0]) or any(cell.lower().endswith(IMAGE_ENDINGS) for line in lines for cell in line):
        return
    for column in (0, 1) if len(header) == 2 and len(rows) > 0 else ():
        names = [line[1 - column] for line in lines]
        numbers = sorted(int(line[column]) if line[column].isdecimal() else -1 for line in lines)
        counted = numbers in ([*range(len(lines))], [*range(1, len(lines) + 1)])
        if counted and len({*names}) == len(names) and not any(map(NUMBER.fullmatch, names)):
            raise UsageError(
                f"{path}: a map of classes to their numbers, {names[0]!r} the first, and no column names an image: "
                "name the file of the images' labels"
            )


def refuse_repeated(path: Path, header: Sequence[str], body: Numbered) -> None:
    """UsageError for a name that two columns have; where the line below holds names too, it says so."""
    repeated = sorted({name for name in header if name and header.count(name) > 1})
    if not repeated:
        return
    if all(NUMBER.fullmatch(name) for name in repeated):
        raise UsageError(
            f"{path}: line 1 repeats {repeated[0]!r}, and is a row, where names of columns should be: write a first "
            f"line such as `image,cat,dog`, with a name for each of the {len(header)} columns"
        )
    places = [place for place, name in enumerate(header) if name == repeated[0]]
    below = [body[0][1][place] for place in places]
    of_image = any(cell.lower().endswith(IMAGE_ENDINGS) for cell in body[0][1])
    names = all(below) and len(set(below)) == len(below) and not any(map(NUMBER.fullmatch, below))
    if names and len(body) > 1 and not of_image:
        raise UsageError(
            f"{path}: line 1 repeats {repeated[0]!r}, and line {body[0][0]} holds names too, {below[0]!r} and "
            f"{below[1]!r}: keep one line of names, as pandas writes it without a MultiIndex"
        )
    shown = [str(place + 1) for place in places]
    where = f"in columns {', '.join(shown[:-1])} and {shown[-1]}"
    raise UsageError(f"{path}: the header repeats {repeated[0]!r}, {where}: rename one, or take it out")


def image_and_label(name: str) -> tuple[str, str]:
    """The image and the label in a cell, cut behind the image's ending, or where it has none at the last `_`."""
    match = BEHIND_ENDING.fullmatch(name)
    image, _, label = name.rpartition("_")
    return (match[1], match[2]) if match else (image, label)


def labels_behind_names(names: Sequence[str]) -> list[str]:
    """The labels that image names end in, as in `ID_1_cat`; empty unless each image has a row for each of several."""
    pieces = [image_and_label(name) for name in names]
    labels, images = {label for _, label in pieces}, {image for image, _ in pieces}
    apart = len(labels) > 1 and len(images) > 1 and all(image and label for image, label in pieces)
    apart = apart and not any(name.lower().endswith(IMAGE_ENDINGS) for name in names)
    whole = len({*names}) == len(labels) * len(images)  # of RSNA's hemorrhages some rows stand there twice
    return sorted(labels) if apart and whole and not any(label.isdecimal() for label in labels) else []
