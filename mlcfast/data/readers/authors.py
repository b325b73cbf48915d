"""Sets as their authors pack them: CelebA, DeepFashion, ChestX-ray14, CUB-200-2011, Food-101, MIRFLICKR and others."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from mlcfast.data.readers.attribute_tables import read_attribute_table
from mlcfast.data.readers.chest_xray import BOXES, ENTRIES, is_chest_xray, read_chest_xray
from mlcfast.data.readers.cub import classes_by_part, is_cub
from mlcfast.data.readers.exports import json_of
from mlcfast.data.readers.image_files import images_below
from mlcfast.data.readers.lists import from_tags
from mlcfast.data.readers.mimic import TABLES as MIMIC
from mlcfast.data.readers.mimic import is_mimic, read_mimic
from mlcfast.data.readers.mirflickr import is_mirflickr, read_mirflickr
from mlcfast.data.readers.sheet import read_sheet, read_text
from mlcfast.data.readers.source import LabelSource, TableOptions
from mlcfast.data.readers.tables import read_rows
from mlcfast.data.readers.visual_genome import is_vg500, read_vg500
from mlcfast.errors import UsageError

CELEBA = ("list_attr_celeba.txt", "list_attr_celeba.csv", "list_attr_img.txt")  # the last is DeepFashion's
PARTITION = ("list_eval_partition.txt", "list_eval_partition.csv")
OF_CELEBA = {"0": "train", "1": "val", "2": "test", "train": "train", "val": "val", "test": "test"}
ANNOTATED = "val/val_annotations.txt"  # of Tiny ImageNet
Lists = dict[str, list[str]]  # labels by image


class Layout(NamedTuple):
    """A set: whether a directory is laid out as it is, and what reads it then, a source for each split.

    tables: the names of its tables in the directory, as patterns.
    """

    knows: Callable[[Path], bool]
    read: Callable[[Path, TableOptions], list[LabelSource]]
    tables: tuple[str, ...] = ()


def is_authors(folder: Path) -> bool:
    """Whether a directory is laid out as one of these sets is."""
    return any(layout.knows(folder) for layout in LAYOUTS)


def is_of_authors(table: Path) -> bool:
    """Whether a table in a directory that is_authors is one of its set's own."""
    layout = next(layout for layout in LAYOUTS if layout.knows(table.parent))
    return any(map(table.match, layout.tables))


def read_authors(folder: Path, options: TableOptions) -> list[LabelSource]:
    """Read the set that a directory holds; a source for each split. UsageError for a directory of none of them."""
    layout = next((layout for layout in LAYOUTS if layout.knows(folder)), None)
    if layout is None:
        raise UsageError(
            f"{folder}: not laid out as CelebA, DeepFashion, ChestX-ray14, CUB-200-2011, Food-101, MIRFLICKR, Tiny "
            "ImageNet, Oxford's pets, MIMIC-CXR-JPG or VG-500 are"
        )
    return layout.read(folder, options)


def _first(folder: Path, names: Sequence[str], places: Sequence[str]) -> Path | None:
    """The first file of these names in these places of a directory."""
    return next((file for place in places for name in names if (file := folder / place / name).is_file()), None)


def _is_celeba(folder: Path) -> bool:
    return _first(folder, CELEBA, ("", "Anno")) is not None


def _celeba(folder: Path, options: TableOptions) -> list[LabelSource]:
    """The attributes of all images, by the parts of list_eval_partition where it is there."""
    file = _first(folder, CELEBA, ("", "Anno"))
    assert file is not None, "as _is_celeba has seen"
    whole = read_attribute_table(file) if file.suffix == ".txt" else read_rows(read_sheet(file), options)
    places = [folder / place for place in ("img_align_celeba", "Img/img_align_celeba", "Img/img_celeba", "img_celeba")]
    places += [folder / place for place in ("Img", "images", "")]
    inside = [place / "img_align_celeba" for place in places[:2]]
    first = whole.images[0] if whole.images else ""
    root = next((place for place in [*places, *inside] if (place / first).is_file()), places[0])
    whole = dataclasses.replace(whole, format="authors", path=folder, root=root)
    divided = _first(folder, PARTITION, ("", "Anno", "Eval"))
    if divided is None:
        return [whole]
    lines = [line.replace(",", " ").split() for line in read_text(divided)[0].splitlines() if line.strip()]
    part = {line[0]: OF_CELEBA[line[1]] for line in lines if len(line) == 2 and line[1] in OF_CELEBA}
    lost = next((image for image in whole.images if image not in part), None)
    if lost is not None:
        raise UsageError(f"{divided}: does not say in which part {lost!r} is, with 0, 1 or 2 or in words")
    said = f"{divided.name} says what trains, validates and tests, with 0, 1 and 2 or in words"
    parts = dict.fromkeys(OF_CELEBA.values())
    rows = {name: [row for row, image in enumerate(whole.images) if part[image] == name] for name in parts}
    whole = dataclasses.replace(whole, assumptions=[*whole.assumptions, said])
    return [whole.taken(chosen, name) for name, chosen in rows.items() if chosen]


def _is_food(folder: Path) -> bool:
    return (folder / "meta" / "train.json").is_file() and (folder / "images").is_dir()


def _food(folder: Path, options: TableOptions) -> list[LabelSource]:
    """`meta/train.json`: images without their endings, by their label."""
    parts = {split: _of_labels(folder / "meta" / f"{split}.json") for split in ("train", "test")}
    return _sources(folder, folder / "images", parts, "meta says which images train and test")


def _of_labels(file: Path) -> Lists:
    content = json_of(file) if file.is_file() else {}
    held = content.items() if isinstance(content, dict) else [("", None)]
    found: Lists = {}
    for label, images in held:
        if not isinstance(images, list):
            raise UsageError(f"{file}: not Food-101's: needs a list of images for each label")
        for image in images:
            found.setdefault(f"{image}.jpg", []).append(label)
    return found


def _is_tiny(folder: Path) -> bool:
    return (folder / ANNOTATED).is_file() and (folder / "train").is_dir()


def _tiny(folder: Path, options: TableOptions) -> list[LabelSource]:
    """`train/n01443537/images`, and a line for each image of val: its file, its label and the corners of a box."""
    train = {
        image.relative_to(folder).as_posix(): [image.relative_to(folder).parts[1]]
        for image in images_below(folder / "train")
    }
    val: Lists = {}
    for number, line in enumerate(read_text(folder / ANNOTATED)[0].splitlines(), start=1):
        words = line.split()
        if words and len(words) < 2:
            raise UsageError(f"{folder / ANNOTATED}: line {number}: {line[:60]!r} is not an image and its label")
        if words:
            val.setdefault(f"val/images/{words[0]}", []).append(words[1])
    left = len(images_below(folder / "test")) if (folder / "test").is_dir() else 0
    said = "the labels are the names of the folders of train, and the second words of val_annotations.txt"
    warnings = [f"the folder 'test' holds {left} images without labels: they are left out"] if left else []
    return _sources(folder, folder, {"train": train, "val": val}, said, warnings)


def _is_pets(folder: Path) -> bool:
    return all((folder / "annotations" / f"{name}.txt").is_file() for name in ("list", "trainval"))


def _pets(folder: Path, options: TableOptions) -> list[LabelSource]:
    """`Abyssinian_1 1 1 1`: an image without its ending, which begins with its breed, and three numbers."""
    parts = {"train": _breeds(folder / "annotations" / "trainval.txt")}
    if (folder / "annotations" / "test.txt").is_file():
        parts["test"] = _breeds(folder / "annotations" / "test.txt")
    said = "the labels are the breeds, which the names of the images begin with; trainval.txt is train"
    return _sources(folder, folder / "images", parts, said)


def _breeds(file: Path) -> Lists:
    found: Lists = {}
    for number, line in enumerate(read_text(file)[0].splitlines(), start=1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        breed, _, count = words[0].rpartition("_")
        if len(words) != 4 or not breed or not count.isdecimal():
            raise UsageError(f"{file}: line {number}: {line[:60]!r} is not an image of a breed and three numbers")
        found[f"{words[0]}.jpg"] = [breed]
    return found


def _sources(
    folder: Path, root: Path, parts: Mapping[str, Lists], said: str, warnings: Sequence[str] = ()
) -> list[LabelSource]:
    names = sorted({label for held in parts.values() for labels in held.values() for label in labels})
    sources = [
        dataclasses.replace(
            from_tags(folder, "authors", list(held), list(held.values()), [said]).in_order(names),
            root=root,
            split=split,
        )
        for split, held in parts.items()
        if held
    ]
    if not sources:
        raise UsageError(f"{folder}: no images are named for any label")
    return [dataclasses.replace(sources[0], warnings=[*sources[0].warnings, *warnings]), *sources[1:]]


def _cub_in(folder: Path) -> Path:
    """The directory, or that of its archive in it, beside which lies a list of attributes."""
    return folder / "CUB_200_2011" if is_cub(folder / "CUB_200_2011") else folder


def _cub(folder: Path, options: TableOptions) -> list[LabelSource]:
    """`images.txt` and other lists that say what a number stands for, see mlcfast.data.readers.cub."""
    folder = _cub_in(folder)
    parts, said, warnings = classes_by_part(folder)
    root = folder / "images" if (folder / "images").is_dir() else folder
    return _sources(folder, root, parts, said, warnings)


LAYOUTS = (
    Layout(_is_celeba, _celeba, ("list_*",)),
    Layout(is_chest_xray, read_chest_xray, (ENTRIES, BOXES)),
    Layout(_is_food, _food),
    Layout(_is_tiny, _tiny),
    Layout(_is_pets, _pets),
    Layout(lambda folder: is_cub(_cub_in(folder)), _cub),
    Layout(is_mirflickr, read_mirflickr),
    Layout(is_mimic, read_mimic, (MIMIC,)),
    Layout(is_vg500, lambda folder, options: read_vg500(folder)),
)
