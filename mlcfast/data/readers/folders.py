"""A folder of images for each label, in a directory or in a folder for each split."""

import dataclasses
import filecmp
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from mlcfast.data.readers.image_files import images_below, is_hidden
from mlcfast.data.readers.image_folders import folders_of_images, has_images, is_of_programs, parts_of
from mlcfast.data.readers.lists import from_tags
from mlcfast.data.readers.source import LabelSource
from mlcfast.data.readers.words import MAY_BE_NONE, NO_LABEL
from mlcfast.data.splits import is_split_word
from mlcfast.errors import UsageError


def read_folders(path: Path) -> list[LabelSource]:
    """Read a folder for each label, in `path` or, where all its folders are parts of the data, in each of those.

    The same image in several folders has all of their labels; files are the same where name and content agree. Parts
    whose images stand in no folder of a label, as those of a test whose labels are kept back, are left out, and said.
    UsageError for an image beside the folders.
    """
    folders = folders_of_images(path)
    parts = parts_of(folders)
    if not parts.labelled:
        _refuse_flat(path, folders)
        return [_read(path)]
    first, *more = [_read(folder, split) for split, folder in parts.labelled.items()]
    aside = {folder.name for folder in path.iterdir() if folder.is_dir() and is_of_programs(folder)}
    left = [
        f"the folder {folder.name!r} holds {len(images_below(folder))} images in no folder of a label: they are left "
        "out"
        for folder in parts.unlabelled
    ]
    return [dataclasses.replace(first, warnings=[*first.warnings, *_of_programs(aside), *left]), *more]


def _refuse_flat(path: Path, folders: Sequence[Path]) -> None:
    """UsageError where all folders of images are splits, and none has a folder for a label."""
    if folders and all(is_split_word(folder.name) and has_images(folder) for folder in folders):
        shown, image = " and ".join(repr(folder.name) for folder in folders[:2]), images_below(folders[0])[0]
        raise UsageError(
            f"{path}: no labels found: images stand directly in {shown}, such as {image.relative_to(path)}: name the "
            "file of the labels, or put the images of each label into a folder of its name"
        )


def _read(folder: Path, split: str = "") -> LabelSource:
    places = [place for place in sorted(folder.iterdir()) if place.is_dir() and not is_hidden(Path(place.name))]
    linked = next((place for place in places if place.is_symlink()), None)
    if linked is not None:
        raise UsageError(f"{linked}: a link to a folder, which is not followed: put the folder itself in its place")
    aside = {place.name for place in places if is_of_programs(place)}
    labels: dict[Path, list[str]] = {}
    named: dict[str, list[Path]] = {}
    for image in images_below(folder):
        label, *inside = image.relative_to(folder).parts
        if not inside:
            raise UsageError(f"{image}: an image beside the folders of the labels: move it into one, or away")
        if label in aside:
            continue
        alike = named.setdefault(image.name, [])
        first = next((other for other in alike if filecmp.cmp(other, image, shallow=False)), None)
        if first is None:
            alike.append(image)
        labels.setdefault(first or image, []).append(label)
    several = sum(len(set(each)) > 1 for each in labels.values())
    said, folders = ["each folder is a label"], {label for each in labels.values() for label in each}
    warnings = [f"{next(iter(folders))!r} is the only folder: every image has its label"] if len(folders) == 1 else []
    warnings += _doubts(folder, labels, folders)
    warnings += _of_programs(aside)
    empty = [place.name for place in places if place.name not in folders | aside]
    warnings += [f"the folder {empty[0]!r} holds no images: it is no label ({len(empty)} in all)"] if empty else []
    said += [f"{several} images stand in several folders and have all of their labels"] if several else []
    images = [str(image.relative_to(folder)) for image in labels]
    source = from_tags(folder, "folders", images, list(labels.values()), said)
    return dataclasses.replace(source, warnings=warnings, root=folder, split=split)


def _of_programs(aside: Iterable[str]) -> list[str]:
    """Warnings of folders that are taken for programs'."""
    return [
        f"the folder {name!r} is taken for a program's, and is no label: rename it if it is" for name in sorted(aside)
    ]


UNSORTED = NO_LABEL | MAY_BE_NONE | {"unsorted", "unsup", "thumbnails", "thumbs", "backup", "backups"}


COPY = re.compile(r"(.+?)( - copy( ?\(\d+\))?|[ _-]copy| ?\(\d+\))", re.IGNORECASE)  # as Windows calls one


def _doubts(folder: Path, images: Iterable[Path], labels: set[str]) -> list[str]:
    """Warnings of folders within those of the labels, and of labels that are made of others."""
    doubts = []
    deep = next((image for image in images if len(image.relative_to(folder).parts) > 2), None)
    if deep is not None:
        label, inner, *_ = deep.relative_to(folder).parts
        doubts.append(
            f"folders within those of the labels, such as {label}/{inner}, say nothing: name {label!r} if they do"
        )
    unsorted = sorted(name for name in labels if name.lower() in UNSORTED)
    doubts += [f"the folder {name!r} is a label like any other: move it away if it is none" for name in unsorted]
    copies = [name for name in sorted(labels) if (of := COPY.fullmatch(name)) and of[1] in labels]
    doubts += [f"the folder {name!r} is a label of its own, though it is called as a copy is" for name in copies]
    made = [name for name in sorted(labels) if _are_all(re.split(r"[,;+&_ -]+", name), labels)]
    return doubts + [f"the folder {name!r} is a label of its own, though its parts are labels too" for name in made[:1]]


def _are_all(words: list[str], known: set[str]) -> bool:
    return len(words) > 1 and set(words) <= known
