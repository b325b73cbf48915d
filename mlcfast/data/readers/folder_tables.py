"""Label files within the folders that may be labels: one for each part of a set, or what nobody reads."""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from mlcfast.data.readers.paths import is_hidden
from mlcfast.errors import UsageError

ENDINGS = {".csv", ".tsv", ".xls", ".xlsx", ".ods", ".parquet", ".json", ".jsonl"}
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
    return next(_tables(folder), None) or next((table for each in outer for table in _tables_in(each)), None)


def unread_tables(labels: Sequence[Path]) -> list[str]:
    """A warning of label files in the folders that are read as labels."""
    found = [table for folder in labels for table in _tables(folder)]
    return [f"{len(found)} tables in the folders of the labels are not read, first {found[0]}"] if found else []


def _tables(folder: Path) -> Iterator[Path]:
    """The tables in a folder or the folders in it."""
    for place in (folder, *_held(folder, lambda entry: entry.is_dir() and not is_hidden(Path(entry.name)))):
        yield from _tables_in(place)


def _tables_in(folder: Path) -> list[Path]:
    files = _held(folder, lambda entry: Path(entry.name).suffix.lower() in ENDINGS and entry.is_file())
    named = [file for file in files if not OF_ITS_CLASS.fullmatch(file.stem) and file.name[0] not in "._~"]
    return named if len(files) <= MOST else []


def _held(folder: Path, wanted: Callable[[os.DirEntry[str]], bool]) -> list[Path]:
    with os.scandir(folder) as entries:
        return sorted(folder / entry.name for entry in entries if wanted(entry))
