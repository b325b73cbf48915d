"""NUS-WIDE's layout: lists of images, and a file for each label with a line of 1 or 0 for each of them."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mlcfast.data.labels import from_entries
from mlcfast.data.readers.sheet import read_text
from mlcfast.data.readers.source import LabelSource
from mlcfast.errors import UsageError

Part = tuple[str | None, str]
LABELS = re.compile(r"Labels_(.+?)(_Train|_Test)?\.txt")
NAMES = "Concepts81.txt"
# Splits with the endings of their label files, and the lists of their images.
PARTS: dict[str, Part] = {"train": ("_Train", "TrainImagelist.txt"), "test": ("_Test", "TestImagelist.txt")}
WHOLE: Part = (None, "Imagelist.txt")
PLACES = ("Flickr", "images", "Images", "")  # of the images


def is_nus_wide(folder: Path) -> bool:
    """Whether a directory has files of one label each, and beside them lists of their images."""
    return bool(_files(folder)) and bool(list(folder.glob("ImageList/*.txt")))


def read_nus_wide(folder: Path) -> list[LabelSource]:
    """Read `ImageList` and `Groundtruth`: the splits train and test where there are files for them, else all images.

    Labels are in the order of Concepts81.txt, if that is there, else sorted. UsageError for a file that has another
    number of lines than its list of images, or other lines than 1 and 0.
    """
    files = _files(folder)
    of_parts = {split: part for split, part in PARTS.items() if any(ending == part[0] for _, ending in files)}
    if not files:
        raise UsageError(f"{folder}: no Groundtruth/*/Labels_*.txt, which NUS-WIDE's layout has")
    return [_source(folder, split, part, files) for split, part in (of_parts or {"": WHOLE}).items()]


def _files(folder: Path) -> dict[tuple[str, str | None], Path]:
    """The files of labels, by label and ending."""
    found = ((LABELS.fullmatch(file.name), file) for file in sorted(folder.glob("Groundtruth/*/Labels_*.txt")))
    return {(match[1], match[2]): file for match, file in found if match}


def _source(folder: Path, split: str, part: Part, files: dict[tuple[str, str | None], Path]) -> LabelSource:
    ending, listed = part
    of_labels = {label: file for (label, its), file in files.items() if its == ending}
    place = folder / "ImageList" / listed
    images = [line.strip().replace("\\", "/") for line in read_text(place)[0].splitlines() if line.strip()]
    if not images:
        raise UsageError(f"{place}: no images: it is empty")
    names, said = _in_order(folder, list(of_labels))
    rows, columns = [], []
    for column, name in enumerate(names):
        having = _rows(of_labels[name], images, place)
        rows.append(having)
        columns.append(np.full(len(having), column))
    states = from_entries(np.concatenate(rows), np.concatenate(columns), (len(images), len(names)))
    root = next((folder / at for at in PLACES if (folder / at / images[0]).is_file()), folder)
    lines = range(1, len(images) + 1)
    return LabelSource(folder, "nus_wide", images, lines, names, states, said, root=root, split=split)


def _in_order(folder: Path, names: Sequence[str]) -> tuple[list[str], list[str]]:
    """The labels in the order of Concepts81.txt, and what was assumed."""
    file = next(folder.rglob(NAMES), None)
    known = [line.strip() for line in read_text(file)[0].splitlines()] if file else []
    if not set(names) <= set(known):
        return sorted(names), ["the labels are those that have files, sorted"]
    return [name for name in known if name in names], [f"the labels are in the order of {NAMES}"]


def _rows(file: Path, images: Sequence[str], listed: Path) -> np.ndarray:
    """The rows that have a label."""
    cells = read_text(file)[0].split()
    strange = next((cell for cell in cells if cell not in ("0", "1")), None)
    if strange is not None:
        raise UsageError(f"{file}: line {cells.index(strange) + 1}: {strange!r} must be 1 or 0")
    if len(cells) != len(images):
        raise UsageError(f"{file}: {len(cells)} lines, but {listed.name} names {len(images)} images")
    return np.flatnonzero(np.array(cells) == "1")
