"""What says that the folders of a directory are not its labels: annotations in other places, or names that say none."""

import re
from collections.abc import Sequence
from pathlib import Path

from mlcfast.data.readers.beside import KINDS
from mlcfast.data.readers.comments import OF_IMAGE
from mlcfast.data.readers.folder_names import refuse_no_labels
from mlcfast.data.readers.folder_tables import OTHER_ENDINGS, are_pieces, refuse_other_files, refuse_tables_within
from mlcfast.data.readers.image_files import IMAGE_ENDINGS, image_beside, images_below, unread_below, walked
from mlcfast.data.readers.image_folders import (
    NO_LABELS,
    folders_of_images,
    folders_of_labels,
    is_of_programs,
    part_in,
    parts_of,
)
from mlcfast.data.readers.lists import BOXES
from mlcfast.data.readers.part_columns import part_of
from mlcfast.data.readers.refused import refuse_archive
from mlcfast.data.readers.sheet import read_text
from mlcfast.data.splits import TRAIN, is_split_word
from mlcfast.errors import UsageError

# Layouts that would pass for folders named by labels: what gives them away, whose they are and what to do.
TOOLS = (
    ("ann/*.json", "Supervisely's, whose images are in no folder img beside it", "put them there"),
    ("*/ann/*.json", "Supervisely's, whose images are in no folder img beside it", "put them there"),
    ("*/*_labels_metadata.json", "BigEarthNet's", "write a table of the patches' images and their labels"),
    (
        "labels/*.txt",
        "not as YOLO's are, a class number and a box a line for an image in `images`",
        "write it so, or put files of tags beside their images",
    ),
    ("label_2/*.txt", "KITTI's", "write a table of the images and their labels"),
    ("*/label_2/*.txt", "KITTI's", "write a table of the images and their labels"),
    ("labelTxt*/*.txt", "DOTA's", "write YOLO's or MS-COCO's form, or a table of the images and their labels"),
    ("gtFine/*/*/*.json", "Cityscapes'", "write a table of the images and their labels"),
)
# Annotations that may stand in a folder of their own, beside that of the images.
APART = {ending: kind for ending, kind in KINDS.items() if kind[0] in ("voc", "labelme")}
PROSE = re.compile(
    r"readme|licen[cs]e|changelog|requirements|(notes?|todo|authors|citation|credits)\.txt$", re.IGNORECASE
)
TABLES = (".csv", ".tsv")
SAYS = re.compile(r"^(label|annot)|labels?$|labels?[_ -]|annotations?$", re.IGNORECASE)
SAYS_NO_LABELS = re.compile(r"list$|names?$|classes$|index(es)?$|split", re.IGNORECASE)
SHOWN = 4  # files that may be meant
NOTES = (".json", ".jsonl", ".ndjson", ".xml", ".csv", ".tsv", ".txt", ".mat", ".xlsx", ".parquet")


def refuse_labels_elsewhere(path: Path, folders: Sequence[Path]) -> None:
    """UsageError where the labels of a directory are not the names of its folders, those that hold images.

    So it is with known tools' annotations, with files that may be some in folders of their own, with folders that are
    called as those of images are, with a single one, which would be the label of all, and with folders of one name in
    several of them.
    """
    for pattern, tool, remedy in TOOLS:
        held = min(path.glob(pattern), default=None)
        if held is not None and not (held.suffix in APART and APART[held.suffix][1](held)):
            _refuse_lists(path, held)
            raise UsageError(f"{path}: {held.relative_to(path)} is {tool}: {remedy}")
    notes = notes_without_images(path)
    if notes and not (len(folders) == 1 and notes[0].is_relative_to(folders[0])):
        noted, *others = notes[:SHOWN]
        form = next((form for ending, (form, knows) in APART.items() if noted.suffix == ending and knows(noted)), None)
        more = [str(other.relative_to(path)) for other in others if other.suffix == noted.suffix in TABLES]
        remedy = "name it, or its folder" if not more else "name the one that does"
        remedy = f"set data.format to {form}" if form else _beside(path, noted) or remedy
        remedy = _of_parts(path, [noted, *others]) or _of_pieces(path, notes) or remedy if more else remedy
        shown = " or ".join([str(noted.relative_to(path)), *([] if form else more)])
        raise UsageError(
            f"{path}: {shown} may hold the labels: {remedy}, or set data.format to folders if the folders of images "
            "are the labels"
        )
    if not folders:
        _refuse_empty(path)
    labels = folders_of_labels(folders) or list(folders)
    unsaid = next((folder for folder in labels if folder.name.lower() in NO_LABELS), None)
    if unsaid is not None:
        raise UsageError(
            f"{path}: no labels found: {unsaid.name!r} is a folder of images, not a label; if its own folders are the "
            f"labels, name {unsaid}, else name the file of the labels{_texts_in(path)}"
        )
    if len({folder.name for folder in labels}) == 1 and not is_split_word(labels[0].name):
        raise UsageError(
            f"{path}: {labels[0].name!r} is the only folder of images, so all of them would have that label: name "
            f"{labels[0]} if its own folders are the labels, or the file of the labels, or set data.format to folders"
            f"{_texts_in(path)}"
        )
    refuse_tables_within(path, labels)
    in_parts = parts_of(folders).labelled or any(is_split_word(folder.name) for folder in folders)
    twice = None if in_parts else _inner_twice(labels)
    if twice is not None:
        raise UsageError(
            f"{path}: {twice[0].relative_to(path)} and {twice[1].relative_to(path)} are called alike, so the labels "
            f"may be {labels[0].name!r} or {twice[0].name!r}: name the directory above the labels, or set data.format "
            "to folders if it is this one"
        )
    refuse_no_labels(path, labels)
    refuse_other_files(path, labels)


def _refuse_lists(path: Path, file: Path) -> None:
    """UsageError for a list of images, as those of parts are, beside a folder whose own folders may be the labels."""
    first = (
        next((line for line in read_text(file)[0].splitlines() if line.strip()), "") if file.suffix == ".txt" else ""
    )
    place = next((folder for folder in folders_of_images(path) if folder.name.lower() in NO_LABELS), path / "images")
    if OF_IMAGE.match(first) is not None and place.is_dir():
        raise UsageError(
            f"{path}: {file.relative_to(path)} lists images, {first.split()[0]!r} the first: name {place} if its "
            "folders are the labels, or the list if it holds them"
        )


def _of_parts(path: Path, files: Sequence[Path]) -> str:
    """What to do with tables of which each is called as a part of the data, training among them; "" for others."""
    parts = {part_of(part_in(file.stem) or ""): file.relative_to(path) for file in files}
    if TRAIN not in parts or None in parts or len(parts) < len(files):
        return ""
    part, other = next((part, file) for part, file in sorted(parts.items(), reverse=True) if part != TRAIN)
    return f"name {parts[TRAIN]} and {other} in data.train and data.{part}, each for its part"


def _of_pieces(path: Path, files: Sequence[Path]) -> str:
    """What to do with tables of one folder that have one header; "" for others."""
    tables = [file for file in files if file.suffix.lower() in TABLES]
    if len({file.parent for file in tables}) > 1 or not are_pieces(tables):
        return ""
    return f"name {tables[0].parent.relative_to(path)}, whose tables have one header, and the images' folder"


def _beside(path: Path, file: Path) -> str:
    """What to do with a text that is called as an image in another folder is; "" for another file."""
    if file.suffix.lower() != ".txt" or file.stem not in {image.stem for image in images_below(path)}:
        return ""
    if BOXES.fullmatch(read_text(file)[0]):
        return "call its folder `labels`, and that of the images `images`, as YOLO's layout has them"
    return "put it and the others beside their images, where they are read as tags"


def _inner_twice(labels: Sequence[Path]) -> tuple[Path, Path] | None:
    """Folders of images of one name in two of the folders that may be labels; None where there are none."""
    first: dict[str, Path] = {}
    for folder in labels:
        for inner in folders_of_images(folder):
            if first.setdefault(inner.name, inner) != inner:
                return first[inner.name], inner
    return None


def notes_without_images(path: Path) -> list[Path]:
    """The files that may be annotations in folders below the directory without images in them or below them.

    Those come first that are called as labels are, and last those that are called as lists and names are.
    """
    pictured: set[Path] = set()
    noted: list[Path] = []
    for folder, names in walked(path):
        if any(name.lower().endswith(IMAGE_ENDINGS) for name in names):
            pictured |= {folder, *folder.parents}
        noted += [folder / name for name in names if name.lower().endswith(NOTES) and not PROSE.match(name)]
    aside = {folder for folder in path.iterdir() if folder.is_dir() and is_of_programs(folder)}
    noted = [file for file in noted if not aside & {*file.parents}]
    noted = [file for file in noted if file.parent not in pictured and file.parent != path]
    return sorted(noted, key=_likeness)


def _likeness(file: Path) -> tuple[bool, ...]:
    """What sorts files that may hold labels, the likeliest first."""
    part = part_of(part_in(file.stem) or "")
    read = file.suffix.lower() not in OTHER_ENDINGS
    return not read, not SAYS.search(file.stem), SAYS_NO_LABELS.search(file.stem) is not None, part not in (None, TRAIN)


def _refuse_empty(path: Path) -> None:
    """UsageError for a directory without folders of images.

    It names an archive, a spreadsheet or pictures of kinds that are not read, if there are such, else what was looked
    for.
    """
    for file in sorted(path.iterdir()):
        refuse_archive(file)
        if file.suffix.lower() in (".xlsx", ".xls", ".ods"):
            raise UsageError(f"{file}: a spreadsheet's own format: save the table as CSV")
    for unread in unread_below(path):
        raise UsageError(f"{path}: no images in it: {unread}")
    raise UsageError(
        f"{path}: no labels found: looked for annotations/instances_*.json, _classes.csv, metadata.jsonl, a CSV table, "
        f"a .txt or an XMP file with keywords beside each image, and a folder of images for each label{_texts_in(path)}"
    )


def _texts_in(path: Path) -> str:
    """The end of an error: a directory's files that may hold labels, of no single image, and no names of classes."""
    files = [file for file in sorted(path.iterdir()) if file.suffix.lower() in (".txt", *OTHER_ENDINGS)]
    texts = [file for file in files if file.is_file() and not PROSE.match(file.name) and not image_beside(file)]
    shown = [repr(file.name) for file in texts if not re.search("class|caption", file.stem, re.IGNORECASE)]
    return f"; if {' or '.join(shown[:SHOWN])} holds the labels, name it" if shown else ""
