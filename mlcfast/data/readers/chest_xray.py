"""ChestX-ray14 as the NIH gives it out: Data_Entry_2017.csv, lists of what trains and tests, and folders of images."""

import dataclasses
from pathlib import Path

from mlcfast.data.readers.sheet import read_sheet, read_text
from mlcfast.data.readers.source import LabelSource, TableOptions
from mlcfast.data.readers.tables import read_rows
from mlcfast.errors import UsageError

ENTRIES = "Data_Entry_2017*.csv"  # the second edition has _v2020 in its name
BOXES = "BBox_List_2017*.csv"  # of some images; their labels stand in the table too
LISTS = {"train": "train_val_list.txt", "test": "test_list.txt"}


def entries_of(folder: Path) -> Path | None:
    """The table of a directory's images and findings; None without one, UsageError for two."""
    found = sorted(folder.glob(ENTRIES))
    if len(found) > 1:
        raise UsageError(f"{folder}: holds {found[0].name} and {found[1].name}: keep one of them")
    return found[0] if found else None


def is_chest_xray(folder: Path) -> bool:
    """Whether a directory holds the table, and beside it one of the lists or folders of images."""
    beside = any((folder / name).is_file() for name in LISTS.values()) or any(folder.glob(BOXES))
    return entries_of(folder) is not None and (beside or (folder / "images_001").is_dir())


def read_chest_xray(folder: Path, options: TableOptions) -> list[LabelSource]:
    """The findings of all images, a source for each list that is there, or one without a list.

    Images that no list names are left out, and so are names of images that the table has not; both are said.
    """
    table = entries_of(folder)
    assert table is not None, "as is_chest_xray has seen"
    whole = read_rows(read_sheet(table, options), options)
    whole = dataclasses.replace(whole, format="authors", path=folder, root=folder)
    lists = {part: folder / name for part, name in LISTS.items() if (folder / name).is_file()}
    if not lists:
        return [whole]
    rows = {image: row for row, image in enumerate(whole.images)}
    named = {part: [line.strip() for line in read_text(file)[0].split("\n")] for part, file in lists.items()}
    chosen = {part: [rows[image] for image in images if image in rows] for part, images in named.items()}
    said = f"{' and '.join(file.name for file in lists.values())} say which images train and test"
    warnings = _not_in_both(table, whole, named)
    whole = dataclasses.replace(whole, assumptions=[*whole.assumptions, said])
    parts = [whole.taken(held, part) for part, held in chosen.items() if held]
    if not parts:
        raise UsageError(f"{next(iter(lists.values()))}: names no image of {table.name}: take the lists out, or mend")
    return [dataclasses.replace(parts[0], warnings=[*parts[0].warnings, *warnings]), *parts[1:]]


def _not_in_both(table: Path, whole: LabelSource, named: dict[str, list[str]]) -> list[str]:
    """Warnings of images that only the table, or only the lists name."""
    listed = {image for images in named.values() for image in images if image}
    unlisted = [image for image in whole.images if image not in listed]
    unknown = sorted(listed - {*whole.images})
    said = [f"{len(unlisted)} images are in no list, first {unlisted[0]}: they are left out"] if unlisted else []
    lost = f"{len(unknown)} images of the lists are not in {table.name}, first {unknown[0] if unknown else ''}"
    return [*said, f"{lost}: they are left out"] if unknown else said
