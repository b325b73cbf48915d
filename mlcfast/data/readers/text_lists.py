"""Text files of a directory that list its images with their labels: `train.txt`, `labels.txt`."""

import re
from collections.abc import Sequence
from pathlib import Path

from mlcfast.data.readers.attribute_tables import is_attribute_table
from mlcfast.data.readers.beside import annotated_beside
from mlcfast.data.readers.comments import without_comments
from mlcfast.data.readers.elsewhere import PROSE
from mlcfast.data.readers.folders_or_table import may_be_labels
from mlcfast.data.readers.headerless import OTHER
from mlcfast.data.readers.image_files import ENDING, IMAGE_ENDINGS, images_below
from mlcfast.data.readers.paths import plain_path
from mlcfast.data.readers.sheet import read_text
from mlcfast.data.readers.tag_files import text_beside
from mlcfast.data.readers.words import IMAGE_COLUMNS
from mlcfast.errors import UsageError

LINE = re.compile(rf"[^,;\t]*?{ENDING}(?:\s*[,;:\t]\s*|\s+|$)(.*)", re.IGNORECASE)
HEADER = {*IMAGE_COLUMNS, "image\\label"} - {"id", "name"}  # the last is of UC Merced's and AID's tables
LOOKED_AT = 1000  # lines of a file


def labelled_lists(folder: Path) -> list[Path]:
    """The .txt files in a directory whose lines name an image and labels, or which are tables with a header; sorted."""
    return [file for file in _texts(folder) if _names_labels(read_text(file)[0])]


def lists_alone(folder: Path) -> list[Path]:
    """The .txt files in a directory, sorted, that name images and nothing else of them."""
    return [file for file in _texts(folder) if names_images_alone(file)]


def names_images_alone(file: Path) -> bool:
    """Whether each line of a text names an image, and none its labels."""
    text = read_text(file)[0]
    return not _names_labels(text) and bool(_named(text))


def is_index_alone(file: Path) -> bool:
    """Whether a .lst names images alone, and no labels."""
    return file.suffix.lower() == ".lst" and names_images_alone(file)


def unread_lists(folder: Path, images: Sequence[str]) -> list[str]:
    """A warning of the .txt files in a directory that list some of these images, with or without endings, alone."""
    texts = _texts(folder)
    if not texts:
        return []
    names = {plain_path(name) for name in images}
    names |= {name.rpartition("/")[2] for name in names}
    names |= {name.rpartition(".")[0] for name in names}
    lines = {file: [line.strip() for line in read_text(file)[0].splitlines()[:LOOKED_AT]] for file in texts}
    found = [file.name for file, held in lines.items() if any(held) and names.issuperset(filter(None, held))]
    several = len(found) > 1
    said = (
        f"{', '.join(found)} {'list' if several else 'lists'} images alone, and {'are' if several else 'is'} not read"
    )
    return (
        [f"{said}: if they are parts of the data, write a column of their names for data.split_column"] if found else []
    )


def _texts(folder: Path) -> list[Path]:
    """The .txt files that are of no single image, nor called as a readme is."""
    if not folder.is_dir():
        return []
    names = sorted(place.name for place in folder.iterdir() if not place.name.startswith("."))
    images = {name for name in names if name.lower().endswith(IMAGE_ENDINGS)}
    of_images = images | {name.rpartition(".")[0] for name in images}
    texts = [folder / name for name in names if name.lower().endswith(".txt") and not PROSE.match(name)]
    return [file for file in texts if file.stem not in of_images and file.is_file()]


def _named(text: str) -> list[str]:
    """What follows the image's name in each of the first lines; empty unless all of these name one."""
    lines = [line.strip() for line in without_comments(text)[0].splitlines()[:LOOKED_AT] if line.strip()]
    found = [LINE.match(line) for line in lines]
    return [match[1] for match in found if match] if all(found) else []


def _names_labels(text: str) -> bool:
    behind = [each for each in _named(text) if each]
    if behind:
        return not any(map(OTHER.search, behind))
    first, *below = [line for line in text.splitlines()[:LOOKED_AT] if line.strip()] or [""]
    header = [name.strip(" \"'").lower() for name in re.split(r"[,;\t]", first)]
    return is_attribute_table(text) or bool(below and len(header) > 1 and not HEADER.isdisjoint(header))


def refuse_other_labels(path: Path, listed: Sequence[Path]) -> None:
    """UsageError where the labels of a directory may also be other than what these lists of it say.

    They may be its folders, or files beside the images.
    """
    if not listed:
        return
    name, folders = listed[0].name, may_be_labels(path)
    if folders:
        raise UsageError(
            f"{path}: may be read as folders, each a label, {folders[0].name!r} among them, or by {name}: set "
            f"data.format to folders, or name {listed[0]}"
        )
    annotated = annotated_beside(path)
    texts = (text for image in images_below(path) if (text := text_beside(image)) is not None)
    form, file = annotated if annotated is not None else ("tag_files", next(texts, None))
    if file is not None:
        shown = f"{form}, by {file.relative_to(path)}, or by {name}"
        raise UsageError(f"{path}: may be read as {shown}: set data.format to {form}, or name {listed[0]}")
