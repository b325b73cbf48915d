"""Columns of a table, and folders, that say which part of the data each image is in."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath

from mlcfast.data.readers.columns import is_called
from mlcfast.data.readers.words import OF_LABELS, PARTS, SHORT_PARTS, TRUTH

# What columns are called that divide the data; they come before others where several do.
SPLIT_COLUMNS = frozenset(
    {"split", "split_name", "data_split", "set", "subset", "partition", "phase", "dataset", "usage", "train_test"}
)
# Columns of 1 and 0, or true and false, by the part that 1 means.
OF_ONE_PART = {
    "val": frozenset({"is_valid", "is_val", "is_validation"}), "test": frozenset({"is_test", "is_testing"}),
    "train": frozenset({"is_train", "is_training"}),
}  # fmt: skip

Counts = Mapping[str, int]  # how often each cell of a column stands in it


def part_of(word: str) -> str | None:
    """Which part of the data a word means, `train`, `val` or `test`; None for another."""
    word = SHORT_PARTS.get(word.lower(), word.lower())
    return next((part for part, words in PARTS.items() if word in words), None)


def dividing_columns(columns: Mapping[str, Counts]) -> dict[str, dict[str, str]]:
    """The columns that divide the data, by name: the cell that means each part but training.

    Every cell must name a part, training and another one among them. A column of 1 and 0 counts where it is called as
    OF_ONE_PART has them and at most two thirds of the rows are not for training: `is_valid` may else mean a good image.
    Where several divide, those called as SPLIT_COLUMNS are taken. A column called as labels are divides nothing.
    """
    own = {name: cells for name, cells in columns.items() if not is_called(name, OF_LABELS)}
    found = {name: parts for name, cells in own.items() if (parts := _parts(name, cells))}
    called = {name: parts for name, parts in found.items() if is_called(name, SPLIT_COLUMNS)}
    return called or found


def says_one_part(name: str) -> bool:
    """Whether a column is called as those of 1 and 0 are that divide the data."""
    return any(is_called(name, names) for names in OF_ONE_PART.values())


def may_be_sibling(name: str, columns: Mapping[str, Counts]) -> bool:
    """Whether a column of 1 and 0 may be a label: others are of 1 and 0 too, or no other is called as labels are."""
    beside = {other: cells for other, cells in columns.items() if other != name}
    true = {other for other, cells in beside.items() if all(cell.lower() in TRUTH for cell in cells if cell)}
    return any(any(beside[other]) for other in true) or not any(is_called(x, OF_LABELS) for x in {*beside} - true)


def _parts(name: str, cells: Counts) -> dict[str, str]:
    meant = {part_of(cell): cell for cell in reversed([*cells])}  # the first of several words for one part
    if None not in meant and {"train"} < {*meant}:
        return {part: meant[part] for part in ("val", "test") if part in meant}
    part = next((part for part, names in OF_ONE_PART.items() if is_called(name, names)), None)
    truths = {TRUTH.get(cell.lower()): cell for cell in cells}
    if part is None or len(cells) != 2 or {*truths} != {0, 1}:
        return {}
    held, kept = (truths[0], truths[1]) if part == "train" else (truths[1], truths[0])
    return {"val" if part == "train" else part: held} if cells[held] <= 2 * cells[kept] else {}


def undivided(columns: Mapping[str, Counts]) -> list[str]:
    """A warning of columns that divide the data and that nobody named, so that all of their rows may train."""
    found = dividing_columns(columns)
    parts = " and ".join(dict.fromkeys(part for held in found.values() for part in held))
    if len(found) > 1:
        shown = " and ".join(map(repr, found))
        one = "write one column of all parts for" if any(map(says_one_part, found)) else "name one of them in"
        return [
            f"columns {shown} say which images train and which are for {parts}, and are not used: {one} "
            "data.split_column"
        ]
    return [
        f"column {name!r} says which images train and which are for {parts}, and is not used: name it in "
        "data.split_column"
        for name in found
    ]


def in_folders_of_parts(root: Path, paths: Sequence[str | None]) -> list[str]:
    """A warning of images of one table that lie in folders for training and for tests, `images_tr` and `images_test`.

    Each must lie in such a folder; paths: of the images, None for one that is missing.
    """
    held: dict[str, dict[str, int]] = {}
    parts_of: dict[str, tuple[str, str] | None] = {}
    for path in filter(None, paths):
        folder = path.rpartition("/")[0]
        if folder not in parts_of:
            parts_of[folder] = _part_among(PurePath(folder).relative_to(root).parts) if _is_in(folder, root) else None
        named = parts_of[folder]
        if named is None:
            return []
        part, name = named
        held.setdefault(part, {}).setdefault(name, 0)
        held[part][name] += 1
    if not {"train", "test"} <= {*held}:
        return []
    shown = " and ".join(f"{next(iter(held[part]))!r} ({sum(held[part].values())})" for part in held)
    return [
        f"the images lie in folders called as parts of the data are, {shown}, and are read as one: write a column of "
        "their parts for data.split_column, or a table of each"
    ]


def _is_in(folder: str, root: Path) -> bool:
    return PurePath(folder).is_relative_to(root)


def _part_among(folders: Sequence[str]) -> tuple[str, str] | None:
    """The part that one of the folders is called by, and that folder; None where none is."""
    for name in folders:
        part = next((part for word in re.split(r"[ _.-]|(?<=\D)(?=\d)", name) if (part := part_of(word))), None)
        if part is not None:
            return part, name
    return None
