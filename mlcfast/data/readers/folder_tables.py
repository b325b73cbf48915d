"""Label files within the folders that may be labels: one for each part of a set, or what nobody reads."""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from mlcfast.data.readers.columns import plain_column
from mlcfast.data.readers.image_files import is_hidden
from mlcfast.data.readers.image_folders import part_in
from mlcfast.data.readers.sheet import Sheet, read_sheet
from mlcfast.errors import UsageError

ENDINGS = {".csv", ".tsv", ".xls", ".xlsx", ".ods", ".parquet", ".json", ".jsonl"}
# Other files that may hold labels, which this project does not read in a directory.
OTHER_ENDINGS = {
    ".tab",
    ".xls",
    ".xlsx",
    ".ods",
    ".numbers",
    ".mat",
    ".npy",
    ".h5",
    ".hdf5",
    ".pkl",
    ".sqlite",
    ".dat",
    ".hvecs",
}
BY_NAME = {*OTHER_ENDINGS, "", ".gz", ".zip", ".npz", ".xml", ".yaml", ".yml", ".html", ".db"}  # if they are called so
SAYS_LABELS = re.compile(
    r"(.*[ _.-])?(labels?|annot(ation)?s?|metadata|tags|ground[ _.-]?truth|imagelabels)([ _.-].*|\d.*)?", re.IGNORECASE
)
LEAST_COLUMNS = 3  # of a header that stands in several tables by no chance
MOST = 3  # files of such endings in a folder; more are one for each image
# What tables are called that hold other images than those to train on, or no labels, or another version of them.
APART = re.compile(
    r"(?<![a-z])(hold|held|eval|predict|preds?(?![a-z])|pseudo|excl|old(?![a-z])|(un)?seen|galler|quer(y|ies)|public|"
    r"private|benchmark|blacklist|submission|folds?(?![a-z])|v(ersion)?[ _.-]?\d)",
    re.IGNORECASE,
)
OF_ITS_CLASS = re.compile(r"GT-\d+")  # as GTSRB's folders hold: where the sign is in each image of the folder


def refuse_tables_within(path: Path, labels: Sequence[Path]) -> None:
    """UsageError where each of several folders that may be labels holds a label file, as the parts of a set do.

    The file may also lie above the folder, below `path`.
    """
    table = _first(labels[0], path) if len(labels) > 1 else None
    if table is not None and all(_first(folder, path) for folder in labels):
        raise UsageError(
            f"{path}: may be read as folders, each a label, {labels[0].name!r} among them, or by a label file in each, "
            f"{table} the first: set data.format to folders, or name the file"
        )


def _first(folder: Path, above: Path) -> Path | None:
    """The first table in a folder, the folders in it, or those that it lies in, below `above`."""
    outer = [each for each in folder.parents if each.is_relative_to(above) and each != above]
    return next(tables_of(folder), None) or next((table for each in outer for table in _tables_in(each)), None)


def are_pieces(tables: Sequence[Path]) -> bool:
    """Whether tables are several, have one header of LEAST_COLUMNS, and their names say that they are of one set.

    They must be called alike but for a number, `part1` and `part2`, or each as a label, or as its own images begin, and
    none as a part of the data is, or as APART says.
    """
    if len(tables) < 2 or any(file.suffix.lower() not in (".csv", ".tsv") for file in tables):
        return False
    stems = [file.stem for file in tables]
    if any(part_in(stem) or APART.search(stem) for stem in stems):
        return False
    header = read_sheet(tables[0]).header
    if len(header) < LEAST_COLUMNS or any(read_sheet(file).header != header for file in tables[1:]):
        return False
    numbered = all(re.search(r"\d", stem) for stem in stems) and len({re.sub(r"\d+", "0", stem) for stem in stems}) == 1
    return numbered or all(_is_called_as_its_own(read_sheet(file)) for file in tables)


def _is_called_as_its_own(sheet: Sheet) -> bool:
    """Whether a table is called as one of its labels, or as all of its images begin, `pier/1.jpg` or `pier_1.jpg`."""
    stem = sheet.path.stem
    if plain_column(stem) in map(plain_column, sheet.header):
        return True
    begins = re.compile(rf"(.*[/\\])?{re.escape(stem)}([^a-z]|$)", re.IGNORECASE)
    return bool(sheet.rows) and any(all(map(begins.match, column)) for column in zip(*sheet.rows, strict=True))


def refuse_other_files(path: Path, labels: Sequence[Path]) -> None:
    """UsageError for a file beside the folders whose name says that it holds the labels."""
    files = _held(path, lambda entry: Path(entry.name).suffix.lower() in BY_NAME and entry.is_file())
    said = next((file for file in files if SAYS_LABELS.fullmatch(file.stem.removesuffix(".csv"))), None)
    if said is not None:
        raise UsageError(
            f"{path}: may be read as folders, each a label, {labels[0].name!r} among them, or by {said.name}: set "
            f"data.format to folders, or name {said}"
        )


def unread_files(path: Path) -> list[str]:
    """Warnings of files beside folders of labels that may hold labels and are not read."""
    files = _held(path, lambda entry: Path(entry.name).suffix.lower() in OTHER_ENDINGS and entry.is_file())
    return [f"{file.name} is not read: name it if it holds the labels" for file in files if file.name[0] not in "._~"]


def unread_tables(labels: Sequence[Path]) -> list[str]:
    """A warning of label files in the folders that are read as labels."""
    found = [table for folder in labels for table in tables_of(folder, most=None)]
    return [f"{len(found)} files in the folders of the labels are not read, first {found[0]}"] if found else []


def tables_of(folder: Path, most: int | None = MOST) -> Iterator[Path]:
    """The tables in a folder or the folders in it, of each that holds no more than `most`."""
    for place in (folder, *_held(folder, lambda entry: entry.is_dir() and not is_hidden(Path(entry.name)))):
        yield from _tables_in(place, most)


def _tables_in(folder: Path, most: int | None = MOST) -> list[Path]:
    files = _held(folder, lambda entry: _may_be_table(Path(entry.name)) and entry.is_file())
    return files if most is None or len(files) <= most else []


def _may_be_table(file: Path) -> bool:
    told = file.suffix.lower() in ENDINGS or (file.suffix.lower() == ".txt" and SAYS_LABELS.fullmatch(file.stem))
    return bool(told) and not OF_ITS_CLASS.fullmatch(file.stem) and file.name[0] not in "._~"


def _held(folder: Path, wanted: Callable[[os.DirEntry[str]], bool]) -> list[Path]:
    with os.scandir(folder) as entries:
        return sorted(folder / entry.name for entry in entries if wanted(entry))
