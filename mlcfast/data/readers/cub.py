"""Sets laid out as CUB-200-2011 is, such as NABirds: lists that name images, classes and parts by number."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from mlcfast.data.readers.sheet import read_text
from mlcfast.data.readers.source import LabelSource
from mlcfast.errors import UsageError

CLASSES_OF_IMAGES = "image_class_labels.txt"
ATTRIBUTES = "image_attribute_labels.txt"
PARTS = {"1": "train", "0": "test"}
NOT_VISIBLE = "1"  # how sure an annotator is, in numbers up to 4: definitely

Lists = dict[str, list[str]]  # labels by image


def is_cub(folder: Path) -> bool:
    """Whether a directory is laid out as CUB-200-2011 is."""
    return all((folder / name).is_file() for name in ("images.txt", CLASSES_OF_IMAGES))


def classes_by_part(folder: Path) -> tuple[dict[str, Lists], str, list[str]]:
    """The class of each image of a part of the data, what was assumed, and warnings.

    UsageError names file and line of what does not fit: a number that images.txt or classes.txt has not.
    """
    images = numbered(folder / "images.txt")
    names = numbered(folder / "classes.txt") if (folder / "classes.txt").is_file() else {}
    divides = folder / "train_test_split.txt"
    parts = numbered(divides) if divides.is_file() else dict.fromkeys(images, "1")
    classes = numbered(folder / CLASSES_OF_IMAGES)
    found: dict[str, Lists] = {}
    for image, name in images.items():
        number = classes.get(image)
        if number is None:
            raise UsageError(f"{folder / CLASSES_OF_IMAGES}: names no class of image {image}, which is in images.txt")
        if names and number not in names:
            raise UsageError(f"{folder / CLASSES_OF_IMAGES}: class {number} of image {image} is none of classes.txt")
        if parts.get(image) not in PARTS:
            raise UsageError(f"{divides}: does not say with 1 or 0 whether image {image} trains")
        part = PARTS[parts[image]] if divides.is_file() else ""
        found.setdefault(part, {})[name] = [names.get(number, number)]
    said = f"the labels are the classes of {CLASSES_OF_IMAGES}"
    said += "; train_test_split.txt says with 1 and 0 what trains and tests" if divides.is_file() else ""
    left = len(classes.keys() - images.keys())
    warnings = [f"{left} images of {CLASSES_OF_IMAGES} are none of images.txt: they are left out"] if left else []
    more = folder / "attributes" / ATTRIBUTES
    if more.is_file():
        warnings.append(f"{more.relative_to(folder)} is not read: name it for its attributes in place of the classes")
    return found, said, warnings


def numbered(file: Path) -> dict[str, str]:
    """The lines `1 text` of a file, by their first word. UsageError for another line, and for one that stood before."""
    found: dict[str, str] = {}
    for number, line in enumerate(read_text(file)[0].splitlines(), start=1):
        key, _, text = line.strip().partition(" ")
        if not key:
            continue
        if not text or key in found:
            says = "stood before" if key in found else "is not a number or a name, and what it stands for"
            raise UsageError(f"{file}: line {number}: {line[:60]!r} {says}")
        found[key] = text.strip()
    return found


def read_attributes(file: Path) -> LabelSource:
    """Read image_attribute_labels.txt, `image attribute present certainty seconds`, with images.txt above it.

    1 is present and 0 absent, but unknown where the annotator calls it not visible; so is what is not listed.
    """
    folder = next((place for place in file.parents[:2] if (place / "images.txt").is_file()), None)
    listed = [place / "attributes.txt" for place in file.parents[:3]]
    names_in = next((place for place in listed if place.is_file()), None)
    if folder is None or names_in is None:
        raise UsageError(f"{file}: needs images.txt in the directory above it, and attributes.txt beside or above it")
    images, names = numbered(folder / "images.txt"), numbered(names_in)
    row, column = _places(images), _places(names)
    states = np.zeros((len(images), len(names)), np.int8)
    hidden = 0
    for number, line in enumerate(read_text(file)[0].splitlines(), start=1):
        words = line.split()
        if not words:
            continue
        if len(words) < 4 or words[0] not in row or words[1] not in column or words[2] not in ("0", "1"):
            raise UsageError(
                f"{file}: line {number}: {line[:60]!r} is not an image, an attribute, 1 or 0, and how sure that is"
            )
        unseen = words[2] == "0" and words[3] == NOT_VISIBLE
        hidden += unseen
        states[row[words[0]], column[words[1]]] = 0 if unseen else 1 if words[2] == "1" else -1
    said = ["the labels are attributes: 1 is present, 0 absent"]
    said += [f"0 and not visible (certainty {NOT_VISIBLE}) is unknown, in {hidden} rows"] if hidden else []
    root = folder / "images" if (folder / "images").is_dir() else folder
    lines = list(range(1, len(images) + 1))
    return LabelSource(file, "authors", list(images.values()), lines, list(names.values()), states, said, root=root)


def _places(names: Mapping[str, str]) -> dict[str, int]:
    return {name: place for place, name in enumerate(names)}
