"""The folders of images in a directory, and which of them are parts of the data that hold folders of labels."""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from mlcfast.data.readers.image_files import IMAGE_ENDINGS, holds_images, is_hidden
from mlcfast.data.splits import is_split_word
from mlcfast.errors import UsageError

# Folders so called hold images, and their names say nothing of them.
NO_LABELS = {"images", "image", "imgs", "img", "jpegimages", "photos", "pictures", "data", "masks", "annotations"}
# Folders that programs fill, in lower case: of no label, unless images stand in them directly.
OF_PROGRAMS = {
    "checkpoints", "runs", "logs", "lightning_logs", "wandb", "mlruns", "tensorboard", "outputs", "__pycache__", "venv",
    "node_modules", "docs", "scripts", "src",
}  # fmt: skip
# Folders called so hold a part of the data: `train2017`, `test_images`, `images_val`, `trainA`.
OF_SPLITS = re.compile(
    r"(images?[ _-]?)?(train(ing)?|val(id(ation)?)?|eval(uation)?|test(ing)?|dev)"
    r"([ _-]?(images?|imgs?|set|data|\d{1,4}|[ab]))?",
    re.IGNORECASE,
)
# What the names of folders say whose images nobody has labelled.
OF_UNLABELLED = {"pred", "predict", "prediction", "predictions", "submission", "unlabeled", "unlabelled", "unsup"}


class Parts(NamedTuple):
    """The folders of a directory that are parts of the data.

    labelled: by what each part is called, the directory of its folders of labels; unlabelled: the folders of images
    without such.
    """

    labelled: dict[str, Path]
    unlabelled: list[Path]


def is_of_programs(folder: Path) -> bool:
    """Whether a folder is called as those that programs fill, and no image stands in it but in its own folders."""
    return folder.name.lower() in OF_PROGRAMS and not has_images(folder)


def has_images(folder: Path) -> bool:
    """Whether images stand in a folder itself."""
    return any(file.suffix.lower() in IMAGE_ENDINGS and not file.name.startswith(".") for file in folder.iterdir())


def folders_of_images(path: Path) -> list[Path]:
    """The folders of a directory that hold images at any depth, without hidden ones and programs', sorted."""
    with os.scandir(path) as entries:  # which knows what is a folder without asking for each of many images
        folders = sorted(path / entry.name for entry in entries if entry.is_dir() and not is_hidden(Path(entry.name)))
    return [folder for folder in folders if not is_of_programs(folder) and holds_images(folder)]


def part_in(name: str) -> str | None:
    """The word for a part of the data in a name, `train` in `train_annotations`; None where there is none."""
    return next((word for word in _words_in(name) if is_split_word(word)), None)


def _words_in(name: str) -> list[str]:
    return re.split(r"[ _.-]|(?<=\D)(?=\d)", name)


def parts_of(folders: Sequence[Path]) -> Parts:
    """Which folders of a directory are parts of the data with a folder of images for each label; else none are.

    folders: those that hold images. All of them must be parts, or called as what nobody has labelled: `train`,
    `seg_train`, `test_images`, `seg_pred`. What is called otherwise than `train` or another word for a split may be a
    label, `train_station`: it counts beside another part with folders of the same names, or in a folder called alike.
    """
    none = Parts({}, [])
    inner = {folder: _unwrapped(folder) for folder in folders}
    flat = [folder for folder, within in inner.items() if has_images(within)]
    named = {folder: part_in(folder.name) for folder in folders}
    if any(not named[each] and not (each in flat and OF_UNLABELLED & {*_words_in(each.name.lower())}) for each in flat):
        return none
    labelled = [folder for folder in folders if folder not in flat]
    plain = all(is_split_word(folder.name) for folder in folders)
    called = {str(folder.name if is_split_word(folder.name) else named[folder]): inner[folder] for folder in labelled}
    if not all(named[folder] for folder in labelled) or len(called) < len(labelled):
        return none
    doubtful = [each for each in labelled if not OF_SPLITS.fullmatch(each.name) and not is_split_word(each.name)]
    inside = {folder: {each.name for each in folders_of_images(inner[folder])} for folder in labelled}
    alone = [each for each in doubtful if not any(inside[each] & inside[other] for other in labelled if other != each)]
    if any(inner[each] == each for each in alone):
        return none
    several = len({*named.values()}) > 1
    return Parts(called, flat) if labelled and (plain or several) else none


def _unwrapped(folder: Path) -> Path:
    """The folder, or the only one in it where that is called alike, `train/train`, or as none of labels is."""
    inner = [] if has_images(folder) else folders_of_images(folder)
    alike = len(inner) == 1 and inner[0].name.lower() in {folder.name.lower(), *NO_LABELS}
    return _unwrapped(inner[0]) if alike else folder


def refuse_copy(path: Path, folders: Sequence[Path]) -> None:
    """UsageError where one of the folders of a directory holds folders that are called as those beside it.

    So it is where an archive holds a set twice, `yes`, `no` and `set/yes`, `set/no`.
    """
    names = {folder.name for folder in folders}
    for folder in folders:
        inner = {each.name for each in folders_of_images(folder)}
        if inner and inner <= names - {folder.name}:
            raise UsageError(
                f"{path}: the folders in {folder.name!r} are called as those beside it, {min(inner)!r} the first, as "
                f"in a copy of the set: move {folder} away, or set data.format to folders if it is a label"
            )


def folders_of_labels(folders: Sequence[Path]) -> list[Path]:
    """Those of the folders of a directory whose names may be labels: the ones in parts of the data, if it has some."""
    parts = parts_of(folders).labelled.values()
    inner = [each for part in parts for each in folders_of_images(part)]
    return inner or [each for folder in folders if is_split_word(folder.name) for each in folders_of_images(folder)]
