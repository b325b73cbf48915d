"""MIMIC-CXR-JPG as PhysioNet gives it out: labels of studies, a list of their images, and the parts of the data."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from mlcfast.data.readers.sheet import Sheet, read_sheet
from mlcfast.data.readers.source import LabelSource, TableOptions
from mlcfast.data.readers.tables import read_rows
from mlcfast.errors import UsageError

TABLES = "mimic-cxr-*.csv"
LABELS = ("mimic-cxr-*-chexpert.csv", "mimic-cxr-*-negbio.csv")  # by two programs; the first is what papers use
IMAGES = ("mimic-cxr-*-split.csv", "mimic-cxr-*-metadata.csv")
PARTS = ("train", "validate", "test")
NEEDED = {"labels of studies": LABELS, "images": IMAGES}
OF_STUDY = ("subject_id", "study_id")


def is_mimic(folder: Path) -> bool:
    """Whether a directory holds a table of studies' labels and one of their images."""
    return all(_tables(folder, patterns) for patterns in (LABELS, IMAGES))


def _tables(folder: Path, patterns: Sequence[str]) -> list[Path]:
    return [file for pattern in patterns for file in sorted(folder.glob(pattern))]


def read_mimic(folder: Path, options: TableOptions) -> list[LabelSource]:
    """The labels of each image's study, a source for each part of the data, or one without the table of parts.

    Its image is `files/p10/p10000032/s50414267/DICOM.jpg`. Images of a study without labels are left out, and said.
    """
    (table, *others), images = _tables(folder, LABELS), _tables(folder, IMAGES)[0]
    labels, listed = read_sheet(table, options), read_sheet(images, options)
    names = [name for name in labels.header if name not in OF_STUDY]
    studies = zip(_columns(labels, OF_STUDY), _columns(labels, names), labels.numbers, strict=True)
    by_study = {tuple(study): (cells, number) for study, cells, number in studies}
    rows, numbers, parts = [], [], []
    told = [*OF_STUDY, "dicom_id", *(["split"] if "split" in listed.header else [])]
    for subject, study, image, *part in _columns(listed, told):
        cells, number = by_study.get((subject, study), ([], 0))
        if cells:
            rows.append([f"files/p{subject[:2]}/p{subject}/s{study}/{image}.jpg", subject, study, *cells])
            numbers.append(number)
            parts += part
    if not rows:
        raise UsageError(f"{images}: names no image of the studies in {table.name}")
    sheet = Sheet(table, ["path", *OF_STUDY, *names], rows, numbers, [], "")
    whole = read_rows(sheet, dataclasses.replace(options, image_column="path"))
    left = len(listed.rows) - len(rows)
    said = [f"an image has the labels of its study, in {table.name}", f"the images are those of {images.name}"]
    said += [f"{file.name} is not read, as {table.name} is there" for file in others]
    warned = [f"{left} images are of a study without labels: they are left out"] if left else []
    whole = dataclasses.replace(
        whole, format="authors", path=folder, root=folder, assumptions=[*whole.assumptions, *said],
        warnings=[*whole.warnings, *warned],
    )  # fmt: skip
    if not parts:
        return [whole]
    unknown = next((part for part in parts if part not in PARTS), None)
    if unknown is not None:
        raise UsageError(f"{images}: {unknown!r} is no part of the data: there are {', '.join(PARTS)}")
    chosen = {part: [row for row, own in enumerate(parts) if own == part] for part in PARTS}
    first, *more = [whole.taken(held, part) for part, held in chosen.items() if held]
    return [first, *(dataclasses.replace(source, warnings=[]) for source in more)]  # which are of all parts


def explained(path: Path, error: UsageError) -> UsageError:
    """The error of a table that was named alone, or what to name in its place where it is one of these."""
    kinds = {kind: patterns for kind, patterns in NEEDED.items() if any(map(path.match, patterns))}
    if not kinds:
        return error
    lacking = [patterns[0] for patterns in NEEDED.values() if not _tables(path.parent, patterns)]
    beside = f"put {lacking[0].replace('*', '2.0.0')} beside it, and " if lacking else ""
    said = f"one of MIMIC-CXR-JPG's tables, which are read together; this one has the {next(iter(kinds))}"
    return UsageError(f"{path}: {said}: {beside}name their directory, {path.parent}")


def _columns(sheet: Sheet, names: Sequence[str]) -> list[list[str]]:
    """The cells of some columns, row by row; UsageError where the table lacks one."""
    lacking = next((name for name in names if name not in sheet.header), None)
    if lacking is not None:
        raise UsageError(f"{sheet.path}: has no column {lacking!r}, as MIMIC-CXR-JPG's tables have")
    places = [sheet.header.index(name) for name in names]
    return [[row[place] for place in places] for row in sheet.rows]
