"""Visual Genome's images with its 500 most frequent categories, VG-500, as SSGRL's authors divided them."""

import dataclasses
import re
from pathlib import Path

from mlcfast.data.readers.exports import json_of
from mlcfast.data.readers.lists import from_tags
from mlcfast.data.readers.sheet import read_text
from mlcfast.data.readers.source import LabelSource
from mlcfast.errors import UsageError

INDEX = "vg_category_*_labels_index.json"  # category numbers by image
LISTS = {"train": "train_list_*.txt", "test": "test_list_*.txt"}  # images, one a line


def _index(folder: Path) -> Path | None:
    """The file of the categories, in a directory or in a folder of it with the lists; None without one."""
    found = sorted([*folder.glob(INDEX), *folder.glob(f"*/{INDEX}")])
    if len(found) > 1:
        raise UsageError(f"{folder}: holds {found[0].name} and {found[1].name}: keep one of them")
    return found[0] if found and all(any(found[0].parent.glob(name)) for name in LISTS.values()) else None


def is_vg500(folder: Path) -> bool:
    """Whether a directory holds the categories of images and both lists, in it or in one folder."""
    return _index(folder) is not None


def read_vg500(folder: Path) -> list[LabelSource]:
    """The images of both lists, whose labels are the numbers of their categories, all that the file's name says."""
    file = _index(folder)
    assert file is not None, "as is_vg500 has seen"
    held = json_of(file)
    if not isinstance(held, dict) or not all(_are_numbers(numbers) for numbers in held.values()):
        raise UsageError(f"{file}: not VG-500's: needs an object with a list of category numbers for each image")
    count = re.search(r"\d+", file.name)
    largest = max((number for each in held.values() for number in each), default=0)
    names = [str(number) for number in range(max(1 + largest, int(count[0]) if count is not None else 0))]
    sources = []
    for part, pattern in LISTS.items():
        listed = min(file.parent.glob(pattern))
        images = [line.strip() for line in read_text(listed)[0].splitlines() if line.strip()]
        lost = next((image for image in images if image not in held), None)
        if lost is not None:
            raise UsageError(f"{listed}: {lost!r} is no image of {file.name}")
        tags = [[str(number) for number in held[image]] for image in images]
        said = [f"{listed.name} says which images {part}", "the labels are the numbers of the categories"]
        source = from_tags(folder, "authors", images, tags, said).in_order(names)
        sources.append(dataclasses.replace(source, root=folder, split=part))
    return sources


def _are_numbers(held: object) -> bool:
    return isinstance(held, list) and all(type(number) is int and number >= 0 for number in held)
