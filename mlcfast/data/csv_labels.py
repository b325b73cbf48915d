"""CSV data sets: one row an image, with one column per label or one column that lists the labels."""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mlcfast.data.records import LabelledImages, require_directory, require_files
from mlcfast.errors import UsageError

PATH_COLUMNS = ("image", "path", "file", "file_name", "filename")
LIST_COLUMNS = ("labels", "label")
VALUES = {"-1": -1, "0": 0, "1": 1, "+1": 1}


def read_csv(root: str | Path, file: str, names: Sequence[str] | None = None) -> LabelledImages:
    """Read `root/file`: a header, then one row an image.

    The image column is called image, path, file, file_name or filename (else it is the first) and holds paths
    relative to `root`. The rest is either one column called labels with names separated by `;`, or one column per
    label with 1 (present), 0 (absent, or unknown under partial labels) or −1 (known to be absent).

    names: the labels in the order wanted, those of the training file for another split; default: the columns' order,
    or the listed names sorted. Image ids are the paths as written.

    Raises UsageError naming file, row and column for anything else.
    """
    root, path = Path(root), Path(root) / file
    require_directory(root, "data.root")
    labels, names, ids = read_label_table(path, names, image_column=0)
    return LabelledImages(require_files(root, ids, path), labels, names, ids)


def read_label_table(
    path: Path, names: Sequence[str] | None = None, image_column: int | None = None
) -> tuple[np.ndarray, list[str], list[str]]:
    """The labels (M, K) int8 of a CSV file as in `read_csv`, their names and the image column's cells.

    image_column: where no column has one of its names; None is no image column, then there are no cells.
    """
    header, rows = _read(path)
    image = next((header.index(name) for name in PATH_COLUMNS if name in header), image_column)
    listed = [i for i, name in enumerate(header) if name in LIST_COLUMNS and i != image]
    if listed and len(header) == 1 + (image is not None):
        labels, names = _from_lists(path, [row[listed[0]] for row in rows], names)
    else:
        labels, names = _from_columns(path, header, rows, image, names)
    return labels, names, [] if image is None else [row[image] for row in rows]


def _read(path: Path) -> tuple[list[str], list[list[str]]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            header, *rows = ([cell.strip() for cell in row] for row in csv.reader(file) if row)
    except OSError as error:
        raise UsageError(f"{path}: cannot read the CSV file: {error.strerror}") from error
    except (ValueError, csv.Error) as error:
        raise UsageError(f"{path}: not a CSV file with a header in UTF-8: {error}") from error
    if not rows:
        raise UsageError(f"{path}: no images below the header")
    repeated = sorted({name for name in header if header.count(name) > 1})
    if repeated:
        raise UsageError(f"{path}: the header repeats {repeated[0]!r}")
    for number, row in enumerate(rows, start=1):
        if len(row) != len(header):
            raise UsageError(f"{path}: row {number} has {len(row)} cells, the header {len(header)}")
    return header, rows


def _from_lists(path: Path, cells: list[str], names: Sequence[str] | None) -> tuple[np.ndarray, list[str]]:
    lists = [[name.strip() for name in cell.split(";") if name.strip()] for cell in cells]
    known = list(names) if names is not None else sorted({name for row in lists for name in row})
    if not known:
        raise UsageError(f"{path}: no image has a label")
    columns = {name: column for column, name in enumerate(known)}
    labels = np.zeros((len(lists), len(known)), np.int8)
    for number, row in enumerate(lists, start=1):
        for name in row:
            if name not in columns:
                raise UsageError(f"{path}: row {number} has the label {name!r}, which the training file has not")
            labels[number - 1, columns[name]] = 1
    return labels, known


def _from_columns(
    path: Path, header: list[str], rows: list[list[str]], image: int | None, names: Sequence[str] | None
) -> tuple[np.ndarray, list[str]]:
    own = [name for i, name in enumerate(header) if i != image]
    if not own:
        raise UsageError(f"{path}: the header has no label column")
    wanted = own if names is None else list(names)
    if set(own) != set(wanted):
        raise UsageError(f"{path}: the label columns differ in {sorted(set(own) ^ set(wanted))[0]!r} from training")
    columns = [header.index(name) for name in wanted]
    labels = np.zeros((len(rows), len(wanted)), np.int8)
    for number, row in enumerate(rows):
        try:
            labels[number] = [VALUES[row[column]] for column in columns]
        except KeyError as error:
            column = next(name for name in wanted if row[header.index(name)] not in VALUES)
            value = error.args[0]
            raise UsageError(f"{path}: row {number + 1}, column {column!r}: {value!r} is none of 1, 0, -1") from error
    if not (labels == 1).any():
        raise UsageError(f"{path}: no image has a label")
    return labels, wanted
