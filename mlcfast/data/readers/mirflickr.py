"""MIRFLICKR-25000 as it is packed: `im1.jpg` and on, and for each label a list of the numbers of its images."""

import dataclasses
import re
from pathlib import Path

from mlcfast.data.readers.lists import from_tags
from mlcfast.data.readers.sheet import read_text
from mlcfast.data.readers.source import LabelSource, TableOptions
from mlcfast.documents import is_placed
from mlcfast.errors import UsageError
from mlcfast.registry import hint

LISTS = ("annotations", "mirflickr25k_annotations_v080", "mirflickr/annotations")
IMAGES = ("mirflickr", "mirflickr25k", "images", "")
IMAGE = re.compile(r"im([1-9]\d*)\.jpg")
OF_AN_IMAGE = re.compile(r"im\d|\d+$")  # begins the name of a file that tells of one image
RELEVANT = "_r1"  # behind a label of which a picture is mainly


def is_mirflickr(folder: Path) -> bool:
    """Whether a directory holds lists of numbers by label, and images that are called by number."""
    return _images(folder) is not None and bool(_lists(folder))


def read_mirflickr(folder: Path, options: TableOptions) -> list[LabelSource]:
    """Read the images of the directory with the labels whose lists name them; no list is no label.

    `data.label_columns` chooses among the labels. UsageError for a label that has no list.
    """
    root, files = _images(folder), _lists(folder)
    assert root is not None and files, "as is_mirflickr has seen"
    place, lists = next(iter(files)).parent, {file.stem: numbers for file, numbers in files.items()}
    for name in options.label_columns:
        if name not in lists:
            shown = ", ".join([*lists][:12])
            raise UsageError(f"{place}: no list {name}.txt; there are those of {shown}{hint(name, lists)}")
    chosen = {name: lists[name] for name in options.label_columns or lists}
    found = (IMAGE.fullmatch(file.name) for file in root.iterdir())
    numbers = {int(match[1]) for match in found if match} | {number for each in lists.values() for number in each}
    tags: dict[int, list[str]] = {number: [] for number in sorted(numbers)}
    for name, each in chosen.items():
        for number in dict.fromkeys(each):
            tags[number].append(name)
    images = [f"im{number}.jpg" for number in tags]
    said = f"each list in {place.relative_to(folder)} is a label, and its numbers those of images, 1 of im1.jpg"
    source = from_tags(folder, "authors", images, list(tags.values()), [said])
    source = source.in_order(sorted(chosen))  # with those whose list is empty
    relevant = [name for name in chosen if name.removesuffix(RELEVANT) in chosen and name.endswith(RELEVANT)]
    warnings = [
        f"{name!r}, of images that are mainly of {name.removesuffix(RELEVANT)!r}, is a label of its own, one of "
        f"{len(relevant)} such: name those that are meant in data.label_columns"
        for name in relevant[:1]
    ]
    return [dataclasses.replace(source, root=root, warnings=[*source.warnings, *warnings])]


def refuse_numbers(path: Path, text: str) -> None:
    """UsageError for a list of the images of one label by their numbers, a number a line and each once."""
    numbers = text.split()
    if len(numbers) > 1 and _are_numbers(text) and len({*numbers}) == len(numbers):
        raise UsageError(
            f"{path}: a number a line, {numbers[0]} the first, and no labels: if it lists the images of the label "
            f"{path.stem!r}, as MIRFLICKR's lists do, name the directory that holds the images and all lists, else "
            "write a table of images and labels, `image,label`"
        )


def _are_numbers(text: str) -> bool:
    """Whether a text is a whole number a line."""
    return all(line.strip().isdecimal() for line in text.splitlines() if line.strip())


def _images(folder: Path) -> Path | None:
    """Where the images are; None where there are none."""
    places = (folder / name for name in IMAGES if (folder / name).is_dir())
    return next((place for place in places if any(place.glob("im[1-9]*.jpg"))), None)


def _lists(folder: Path) -> dict[Path, list[int]]:
    """The lists in a directory's folder of annotations, sorted, with their numbers.

    Empty where another file that is no readme lies there, where a file is called as an image, whose classes may be its
    numbers, where one holds 0, which no image is called by, and where all are empty.
    """
    place = next((folder / name for name in LISTS if (folder / name).is_dir()), None)
    within = [] if place is None else sorted(place.iterdir())
    files = [file for file in within if is_placed(file) and not file.name.lower().startswith("readme")]
    if any(file.suffix != ".txt" or OF_AN_IMAGE.match(file.stem) for file in files):
        return {}
    texts = {file: read_text(file)[0] for file in files}
    if not all(map(_are_numbers, texts.values())):
        return {}
    lists = {file: [int(word) for word in text.split()] for file, text in texts.items()}
    numbers = [number for each in lists.values() for number in each]
    return lists if numbers and min(numbers) > 0 else {}
