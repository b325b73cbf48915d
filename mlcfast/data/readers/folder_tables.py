"""Label files within the folders that may be labels: one for each part of a set, or what nobody reads."""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from mlcfast.data.readers.image_files import is_hidden
from mlcfast.data.readers.image_folders import part_in
from mlcfast.data.readers.sheet import read_sheet
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
    """Whether tables are several, have one header of LEAST_COLUMNS, and none is called as a part of the data is."""
    if len(tables) < 2 or any(file.suffix.lower() not in (".csv", ".tsv") or part_in(file.stem) for file in tables):
        return False
    header = read_sheet(tables[0]).header
    return len(header) >= LEAST_COLUMNS and all(read_sheet(file).header == header for file in tables[1:])


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
