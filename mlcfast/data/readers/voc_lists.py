"""Pascal VOC's lists of one class each, `ImageSets/Main/cat_train.txt`, where they stand without the annotations."""

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from mlcfast.data.readers.image_files import ENDING
from mlcfast.data.readers.lists import is_class_list
from mlcfast.data.readers.sheet import read_text
from mlcfast.data.readers.source import LabelSource
from mlcfast.errors import UsageError

LISTS = "ImageSets/Main/*_*.txt"
PAIR = re.compile(rf".*{ENDING}[\s,]+\S.*\.xml", re.IGNORECASE)
STATES = {"1": 1, "-1": -1, "0": 0}


def class_lists(folder: Path, part: str = "") -> dict[str, dict[str, Path]]:
    """The lists of one class in a directory, by the part of the data and the class, which their names hold.

    part: the only one that is wanted; UsageError, which names those there are, where it is not among them.
    """
    files = [file for file in sorted(folder.glob(LISTS)) if is_of_one_class(file)]
    if not any(is_class_list(read_text(file)[0]) for file in files):  # by a -1, which images with classes have not
        return {}
    found: dict[str, dict[str, Path]] = {}
    for file in files:
        name, _, part_of_file = file.stem.rpartition("_")
        found.setdefault(part_of_file, {})[name] = file
    if part and found:
        if part not in found:
            raise UsageError(
                f"{folder / 'ImageSets' / 'Main' / part}.txt: no list of one class ends in _{part}, as cat_{part}.txt "
                f"would: there are those of {', '.join(found)}"
            )
        return {part: found[part]}
    if {"train", "val"} <= found.keys():  # of which trainval is made
        found.pop("trainval", None)
    return found


def is_of_one_class(listed: Path) -> bool:
    """Whether a list of ImageSets/Main says 1, 0 or -1 of its first image, as cat_train.txt does."""
    first = read_text(listed)[0].strip().split("\n")[0].split()
    return len(first) == 2 and first[1] in STATES


def refuse_class_list(path: Path) -> None:
    """UsageError for a list of one class, which says nothing of others."""
    if is_class_list(read_text(path)[0]):
        raise UsageError(
            f"{path}: says of images whether they have one label, as in Pascal VOC's ImageSets/Main: name the "
            "directory of the data set, which has the labels of all, or write a table with a column for each label"
        )


def refuse_pairs(path: Path) -> None:
    """UsageError for a list of images with their XML files, `img/a.jpg xml/a.xml`, as Caffe's SSD takes it."""
    first = next((line for line in read_text(path)[0].splitlines() if line.strip()), "")
    if PAIR.fullmatch(first.strip()):
        raise UsageError(
            f"{path}: line 1: {first.strip()[:60]!r} is an image and its file of Pascal VOC: name the directory that "
            "holds both, with data.format voc, which reads all such files in it"
        )


def read_class_lists(folder: Path, lists: Mapping[str, Mapping[str, Path]]) -> list[LabelSource]:
    """The source of each part: 1 is present, −1 absent, 0 a difficult object, and unknown.

    An image that a class does not list is unknown in it. UsageError names file and line of anything else.
    """
    names = sorted({name for files in lists.values() for name in files})
    root = next((place for place in (folder / "JPEGImages", folder / "images") if place.is_dir()), folder)
    sources = []
    for part, files in lists.items():
        held = {name: _states(file) for name, file in files.items()}
        images = sorted({image for each in held.values() for image in each})
        states = np.array([[held.get(name, {}).get(image, 0) for name in names] for image in images], np.int8)
        said = ["1 is present, -1 absent, and 0, a difficult object, unknown, in a list for each label"]
        parts = (images, range(1, len(images) + 1), names, states, said)
        sources.append(LabelSource(folder, "voc", *parts, root=root, split=part))
    return sources


def _states(file: Path) -> dict[str, int]:
    found: dict[str, int] = {}
    for number, line in enumerate(read_text(file)[0].splitlines(), start=1):
        image, *words = line.split() or [""]
        if not image:
            continue
        if len(words) != 1 or words[0] not in STATES:
            raise UsageError(f"{file}: line {number}: {line[:60]!r} is not an image and 1, 0 or -1")
        if found.setdefault(image, STATES[words[0]]) != STATES[words[0]]:
            raise UsageError(f"{file}: line {number}: {image!r} stood before with another number: keep one of them")
    return found
