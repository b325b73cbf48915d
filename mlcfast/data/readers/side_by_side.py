"""Several files of labels in one directory: tables of the parts of the data, or files of which one must be named."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from mlcfast.data.readers.columns import IMAGE_COLUMNS, LIST_COLUMNS, is_about, is_called
from mlcfast.data.readers.image_files import ENDING, IMAGE_ENDINGS, images_below
from mlcfast.data.readers.image_folders import part_in
from mlcfast.data.readers.name_tables import not_read, without_name_tables
from mlcfast.data.readers.part_columns import part_of
from mlcfast.data.readers.paths import plain_path
from mlcfast.data.readers.sheet import read_sheet, read_text
from mlcfast.data.readers.source import LabelSource
from mlcfast.data.readers.words import OF_PEOPLE
from mlcfast.data.readers.wrapped import tables_in
from mlcfast.data.splits import TRAIN, is_part, is_split_word
from mlcfast.errors import UsageError

IMAGE_FILE = re.compile(ENDING, re.IGNORECASE)
FORM = "sample_submission"  # as Kaggle calls a table of labels that are none, also `stage_2_sample_submission`
LARGEST = 2**24  # bytes of a file that says the labels of one image, or is looked into
OF_NAMES = {"classes", "class_names", "class_list", "class_dict"}  # stems of tables that may name the classes alone
LABEL_FOLDERS = ("labels", "annotations")  # folders of label files beside those of images
SHOWN = 5


def shows_images(file: Path) -> bool:
    """Whether a file holds the ending of an image's name, or is a table with a column called as those are; or empty."""
    text = read_text(file)[0].strip()
    header = text.split("\n")[0].lower().strip() if file.suffix.lower() in (".csv", ".tsv") else ""
    called = {*IMAGE_COLUMNS, *LIST_COLUMNS} - {"id", "name"}
    return not text or IMAGE_FILE.search(text) is not None or not called.isdisjoint(re.split(r"[,;\t\"]+", header))


def is_form(file: Path) -> bool:
    """Whether a file is called as Kaggle's forms for predictions are."""
    return FORM in file.name.lower()


def tables_of_parts(tables: Sequence[Path]) -> dict[str, Path]:
    """The tables of a directory by the part that their names say, `train` in `train_labels.csv`; nothing for others.

    All must be called alike but for that word, each part must have one, and training too; it may lack the word, as
    annotations.csv does beside annotations_test.csv.
    """
    called = [(part_in(file.stem), file) for file in tables]
    parts = {part: file for part, file in called if part is not None}
    rest = {(file.stem.replace(part, "", 1), file.suffix.lower()) for part, file in parts.items()}
    if len(rest) == 1 and parts and not any(is_part(part, TRAIN) for part in parts):
        plain = [file for part, file in called if part is None]
        stem, suffix = next(iter(rest))
        if len(plain) == 1 and plain[0].stem == stem.strip(" _-.") and plain[0].suffix.lower() == suffix:
            parts = {TRAIN: plain[0], **parts}
    trains = any(is_part(part, TRAIN) for part in parts)
    return parts if 1 < len(parts) == len(tables) and len(rest) == 1 and trains else {}


def parts_among(tables: Sequence[Path]) -> tuple[dict[str, Path], list[Path]]:
    """The tables of a directory by their part, as tables_of_parts has them, and the further ones that are there.

    Beside further ones those count whose names are a word for a part alone, `train.csv`: training and each part once.
    """
    parts = tables_of_parts(tables)
    if parts or len(tables) < 2:
        return parts, []
    called = [file for file in tables if is_split_word(file.stem)]
    meant = {part_of(file.stem) for file in called}
    if len(meant) < len(called) or TRAIN not in meant:
        return {}, []
    return {file.stem: file for file in called}, [file for file in tables if file not in called]


def tables_apart(folder: Path) -> dict[str, Path]:
    """The tables of parts of the data in a folder of a directory's labels, `labels/train.csv`; nothing for others.

    No table may stand in the directory itself, and no image in that folder.
    """
    places = [folder / name for name in LABEL_FOLDERS if (folder / name).is_dir()]
    if len(places) != 1 or tables_in(folder) or images_below(places[0]):
        return {}
    return tables_of_parts(tables_in(places[0]))


def with_labels(parts: dict[str, Path]) -> tuple[dict[str, Path], list[str]]:
    """The tables of parts without one for tests whose header lacks a column of that for training, and what is said.

    Kaggle's `test.csv` has no labels. A column that says who looked, or another fact of the image, may be lacking where
    the table for tests has more than the images and such facts.
    """
    train = next(file for part, file in parts.items() if is_part(part, TRAIN))
    test = next((part for part in parts if is_part(part, "test")), None)
    if test is None or not {train.suffix.lower(), parts[test].suffix.lower()} <= {".csv", ".tsv"}:
        return parts, []
    header, there = read_sheet(train).header, {*read_sheet(parts[test]).header}
    lacking = [name for name in header if name not in there]
    if any(not (is_called(name, IMAGE_COLUMNS) or _is_fact(name)) for name in there):
        lacking = [name for name in lacking if not _is_fact(name)]
    if not lacking or any(name.lower().endswith(IMAGE_ENDINGS) for name in header):  # or it has no header
        return parts, []
    said = f"{parts[test].name} has no column {lacking[0]!r} as {train.name} has: it is not read"
    return {part: file for part, file in parts.items() if part != test}, [said]


def _is_fact(name: str) -> bool:
    return is_about(name) or is_called(name, OF_PEOPLE)


def without_names(tables: Sequence[Path]) -> tuple[list[Path], list[str]]:
    """The tables of a directory without those that name classes and no image, `classes.csv`, where others are there."""
    tables, named = without_name_tables(tables)
    more = [file for file in tables if file.stem.lower() in OF_NAMES and not shows_images(file)]
    named += more if len(more) < len(tables) else []
    return [file for file in tables if file not in named], [not_read(file) for file in named]


def refuse_more(path: Path, read: Iterable[Path], sources: Sequence[LabelSource], among: Sequence[Path]) -> None:
    """UsageError where further files of a directory name its images, or those of what would be read.

    read: the files of the sources, or the directory itself; among: the files that may be others, see `tables_in`.
    """
    taken = list(read)
    others = [file for file in among if file not in taken and not is_form(file)]
    if not others:
        return
    stems = {image.stem.lower() for image in images_below(path)}
    stems |= {Path(plain_path(image)).stem.lower() for source in sources for image in source.images}
    others = [file for file in others if _names_any(file, stems)]
    if others:
        first = sources[0].format if path in taken else taken[0].relative_to(path)
        shown = " or as ".join(map(str, [first, *(file.relative_to(path) for file in others[: SHOWN - 1])]))
        more = " and so on" if len(others) >= SHOWN else ""
        raise UsageError(f"{path}: may be read as {shown}{more}: name the file of the labels, or set data.format")


def names_any_in(file: Path, folder: Path) -> bool:
    """Whether a file names one of the images below a folder; a large one is not looked into, and may."""
    return _names_any(file, {image.stem.lower() for image in images_below(folder)})


def _names_any(file: Path, stems: set[str]) -> bool:
    """Whether a file names one of some images; a large one is not looked into, and may."""
    if file.stat().st_size > LARGEST:
        return True
    text = read_text(file)[0].lower()
    words = {Path(word.strip()).stem for word in re.split(r"[\",;:\t\r\n/\\\[\]{}|']+", text)}
    return bool(text.strip()) and shows_images(file) and not stems.isdisjoint(words)


def others_of_splits(path: Path, names: Sequence[str], folders: Sequence[str]) -> list[Path]:
    """The tables of a directory, and files of the given names in the folders of its splits."""
    below = [path / folder / name for folder in folders for name in names]
    return [*tables_in(path), *(file for file in below if file.is_file())]
