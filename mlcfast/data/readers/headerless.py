"""Tables without a header whose columns are known by what they hold: those of Vertex AI, Make Sense and RetinaNet."""

import json
import re
from collections import Counter
from collections.abc import Sequence

from mlcfast.data.readers.image_files import ENDING, IMAGE_ENDINGS
from mlcfast.data.readers.words import SPLIT_FOLDERS

Rows = list[tuple[int, list[str]]]  # each with its line
SETS = {"TRAIN", "TRAINING", "VALIDATION", "VALIDATE", "TEST", "UNASSIGNED"}  # of Vertex AI, once AutoML Vision
WORDS = re.compile(rf"([^\s,;]+{ENDING})(?:\s*:|(?=\s|$))\s*(\S.*)?", re.IGNORECASE)
OTHER = re.compile(r"[/\\]|\.[a-z]{3,4}(\s|$)|\d\.\d", re.IGNORECASE)
OF_WORDS = "there is no header: read as an image and its labels, with {} between"
NUMBER = re.compile(r"-?(\d+\.?\d*|\.\d+)(e-?\d+)?", re.IGNORECASE)


def with_header(rows: Rows) -> tuple[list[str], Rows, str] | None:
    """The header that these rows of a table lack, the rows that fit it, and what was assumed; None for others."""
    for form in (_vertex, _make_sense, _retinanet, _words, _ragged):
        found = form(rows)
        if found is not None:
            return found
    return None


def listed_words(text: str) -> tuple[list[str], Rows, str] | None:
    """The header and the rows of `a.jpg cat,dog`: an image and its labels, with a comma or a tab between some.

    None for another text, for one in which numbers stand beside words, as those of boxes do, and for a mask or a
    fraction behind the image.
    """
    first = text.lstrip().partition("\n")[0].strip()
    if WORDS.fullmatch(first) is None or not any(sign in text for sign in ",;\t"):
        return None
    rows: Rows = []
    for number, line in enumerate(text.splitlines(), start=1):
        match = WORDS.fullmatch(line.strip())
        if match is None and line.strip():
            return None
        if match is not None:
            behind = match[2] or ""
            if OTHER.search(behind) or '"' in behind or any(map(NUMBER.fullmatch, re.split(r"[\s,;|]+", behind))):
                return None
            rows.append((number, [match[1], behind]))
    return (["image", "labels"], rows, _of_words(first)) if any(behind for _, (_, behind) in rows) else None


def _vertex(rows: Rows) -> tuple[list[str], Rows, str] | None:
    """`TRAIN,gs://bucket/a.jpg,cat,dog`, the set left out or not, or one label and the corners of its box behind it."""
    with_set = [row[0].upper() in SETS for _, row in rows]
    places = [int(told) for told in with_set]
    names = [row[place] if len(row) > place else "" for place, (_, row) in zip(places, rows, strict=True)]
    if not all(
        _is_image(name) and (told or name.startswith("gs://")) for told, name in zip(with_set, names, strict=True)
    ):
        return None
    behind = [[cell for cell in row[place + 1 :] if cell] for place, (_, row) in zip(places, rows, strict=True)]
    filled = [cells for cells in behind if cells]
    boxes = bool(filled) and all(len(cells) > 4 and _are_numbers(cells[1:]) for cells in filled)
    tags = [cells[:1] if boxes else cells for cells in behind]
    parts = [row[0] if told else "" for told, (_, row) in zip(with_set, rows, strict=True)]
    sets = any(with_set)
    table = [
        (number, [*([part] if sets else []), name, json.dumps(each)])
        for (number, _), part, name, each in zip(rows, parts, names, tags, strict=True)
    ]
    said = "there is no header: read as Vertex AI's table of images and their labels"
    return [*(["split"] if sets else []), "image", "labels"], table, said


def _make_sense(rows: Rows) -> tuple[list[str], Rows, str] | None:
    """`cat,10,20,30,40,a.jpg,640,480`."""
    if not all(len(row) == 8 and row[0] and _is_image(row[5]) and _are_numbers(row[1:5] + row[6:]) for _, row in rows):
        return None
    return (
        ["label", "x", "y", "w", "h", "image", "width", "height"],
        rows,
        "there is no header: read as Make Sense's boxes",
    )


def _retinanet(rows: Rows) -> tuple[list[str], Rows, str] | None:
    """`a.jpg,1,2,3,4,cat`, and `a.jpg,,,,,` for an image without a box; class numbers are left to other readers."""
    if not all(len(row) == 6 and _is_image(row[0]) for _, row in rows):
        return None
    filled = [row for _, row in rows if any(row[1:])]
    if not filled:
        return None
    if not all(_are_numbers(row[1:5]) and row[5] for row in filled) or all(NUMBER.fullmatch(row[5]) for row in filled):
        return None
    header = ["image", "xmin", "ymin", "xmax", "ymax", "class"]
    return header, rows, "there is no header: read as images, boxes and their classes, as RetinaNet has them"


def _words(rows: Rows) -> tuple[list[str], Rows, str] | None:
    """`a.jpg cat dog`, an image and its labels in one cell; not where a file follows, as a mask is, or a fraction."""
    if len(rows[0][1]) > 1:
        return None
    found = [WORDS.fullmatch(row[0]) for _, row in rows if len(row) == 1]
    if len(found) < len(rows) or not all(found):
        return None
    lines = [(number, each[1], each[2] or "") for (number, _), each in zip(rows, found, strict=True) if each]
    if not any(labels for *_, labels in lines) or any(OTHER.search(labels) for *_, labels in lines):
        return None
    table = [(number, [image, labels]) for number, image, labels in lines]
    return ["image", "labels"], table, _of_words(rows[0][1][0])


def _of_words(line: str) -> str:
    found = WORDS.fullmatch(line)
    return OF_WORDS.format("a colon" if found and line[found.end(1) :].lstrip().startswith(":") else "blanks")


def _ragged(rows: Rows) -> tuple[list[str], Rows, str] | None:
    """`a.jpg,cat,dog` and `b.jpg,cat`: an image and as many labels as it has, words, a cell each."""
    if not _is_image(rows[0][1][0]):
        return None
    sizes = Counter(len(row) for _, row in rows)
    if 10 * max(sizes.values()) > 9 * len(rows) or not all(_is_image(row[0]) for _, row in rows):
        return None  # else one row may lack a cell, or have one too many
    behind = [cell for _, row in rows for cell in row[1:] if cell]
    if not behind or any(
        OTHER.search(cell) or NUMBER.fullmatch(cell) or cell.lower() in SPLIT_FOLDERS for cell in behind
    ):
        return None
    table = [(number, [row[0], json.dumps([cell for cell in row[1:] if cell])]) for number, row in rows]
    return ["image", "labels"], table, "there is no header: read as an image and its labels, one in each cell"


def _is_image(name: str) -> bool:
    return name.lower().endswith(IMAGE_ENDINGS)


def _are_numbers(cells: Sequence[str]) -> bool:
    return all(map(NUMBER.fullmatch, cells))
