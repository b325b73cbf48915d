"""Images with labels from any label file that mlcfast.data.readers knows, and the label tables of stored features."""

import csv
import io
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mlcfast.data.labels import Labels, from_lists, holds, holds_soft
from mlcfast.data.packed import ArrowImages, StreamedImages
from mlcfast.data.readers.cells import as_in_training, read_by_training
from mlcfast.data.readers.directories import folder_of_part
from mlcfast.data.readers.listed import lists_in
from mlcfast.data.readers.name_tables import names_by_id
from mlcfast.data.readers.names import plain_label, refuse_controls
from mlcfast.data.readers.other_column import other_column
from mlcfast.data.readers.part_columns import in_folders_of_parts
from mlcfast.data.readers.paths import ImageFinder, require_images
from mlcfast.data.readers.recognise import image_root, read_named
from mlcfast.data.readers.separators import SIGNS
from mlcfast.data.readers.sheet import Sheet, read_text
from mlcfast.data.readers.source import LabelSource, TableOptions
from mlcfast.data.records import LabelledImages, require_directory
from mlcfast.data.splits import rows_and_groups
from mlcfast.documents import reading
from mlcfast.errors import UsageError
from mlcfast.registry import hint

LOGGER = logging.getLogger("mlcfast")
PATH_COLUMNS = ("image", "path", "file", "file_name", "filename")
LIST_COLUMNS = ("labels", "label")
VALUES = {"-1": -1, "0": 0, "1": 1, "+1": 1}


def read_csv(
    root: str | Path,
    file: str,
    names: Sequence[str] | None = None,
    options: TableOptions | None = None,
    part: str | None = None,
    others: Sequence[str] = (),
    buffer: int | None = None,
    training: Callable[[], frozenset[int]] | None = None,
    called: Callable[[], dict[str, str]] | None = None,
) -> LabelledImages:
    """Read the images and labels of `root/file`, in any format that mlcfast.data.readers knows.

    Where there is no such file or directory, the split of that name of the data set in `root` is meant.
    names: the labels in the order wanted, those of the training file for another split; default: the columns' order,
    or the listed names sorted. Image ids are the images as written. What the reader assumed is logged. part: the rows
    that the options' split column gives to this part of the data; others: the names of the other parts. buffer: leave
    images that lie inside the file where they are, and shuffle so many together when they train. training: gives what
    the labels of the training file hold beside 1, where that is another file: a cell means here what it means there.
    called: gives the names of its labels by the ids that stand in it, by which those here may be meant.

    Raises UsageError naming file, line and column for anything else.
    """
    root, path, options = Path(root), Path(root) / file, options or TableOptions()
    require_directory(root, "data.root")
    with reading(path, within=root):
        source = read_by_training(partial(read_named, root, file), options, training)
        if source.cells and training is not None:
            source = as_in_training(
                source, training(), options, lambda cells: read_named(root, file, replace(options, cells=cells))
            )
        if names is not None and called is not None:
            source = _called_as_in_training(source, names, called)
        source = source.in_order(None if names is None else list(names))
    for line in source.assumptions:
        LOGGER.info("%s: %s", path, line)
    for line in source.warnings:
        LOGGER.warning("%s: %s", path, line)
    if not (holds(source.states, 1) or holds_soft(source.states)):
        raise UsageError(f"{path}: no image has a label")
    rows, groups = rows_and_groups(source, options, part, others)
    images, wheres = [source.images[row] for row in rows], [f"{source.unit} {source.lines[int(row)]}" for row in rows]
    if buffer is not None:
        return _streamed(source, rows, buffer, groups)
    with reading(path, within=root):
        if source.unpack is not None:
            unpacked = source.unpack()
            paths = [unpacked[row] for row in rows]
        else:
            place = source.root or image_root(path, root)
            try:
                preferred = folder_of_part(place, source.path)
                paths = require_images(place, images, path, wheres, options.allow_outside, preferred)
            except UsageError as error:
                other = other_column(source, ImageFinder(place, options.allow_outside), options)
                raise UsageError(f"{error}; {other}" if other else str(error)) from error
            if names is None and options.split_column is None and not source.split:
                for line in in_folders_of_parts(Path(place), paths):
                    LOGGER.warning("%s: %s", path, line)
    return LabelledImages(paths, source.labels[rows], source.names, images, groups=groups, cells=source.cells)


def cells_of(root: str | Path, file: str, options: TableOptions) -> frozenset[int]:
    """What the cells of labels of `root/file` hold beside 1; empty where it is not there or has no such cells."""
    try:
        return read_named(Path(root), file, options).cells
    except UsageError:
        return frozenset()


def names_of(root: str | Path, file: str, options: TableOptions) -> dict[str, str]:
    """The names of the labels of `root/file` by their ids in it; empty where it is not there or has names alone."""
    try:
        return names_by_id(read_named(Path(root), file, options))
    except UsageError:
        return {}


def _called_as_in_training(
    source: LabelSource, names: Sequence[str], called: Callable[[], dict[str, str]]
) -> LabelSource:
    """The source with the names that its labels have in training, where no table beside it gives them these."""
    if {*source.names} <= {*names} or (source.also and {*source.also} <= {*names}):
        return source
    of_ids = called()
    also = [of_ids.get(name, name) for name in source.names]
    return replace(source, also=tuple(also)) if of_ids and len({*also}) == len(also) else source


def _streamed(source: LabelSource, rows: np.ndarray, buffer: int, groups: list[str] | None) -> StreamedImages:
    if source.packed is None:
        raise UsageError(
            f"{source.path}: data.stream reads images inside .tar or Parquet files; this names image files"
        )
    images, packed = [source.images[row] for row in rows], source.packed.taken(rows)
    packed = packed.keeping(buffer) if isinstance(packed, ArrowImages) else packed
    paths = [f"{source.path}/{image}" for image in images]
    parts = (paths, source.labels[rows], source.names, images, packed, buffer)
    return StreamedImages(*parts, groups=groups, cells=source.cells)


class StoredLabels(NamedTuple):
    """The labels of stored features: (M, K) int8, with what else their file says of them.

    names: of the labels, images: the cells of the image column; both empty where the file has none. columns: the M
    cells of the columns that were asked for and that it has.
    """

    labels: Labels
    names: list[str]
    images: list[str]
    columns: dict[str, list[str]]


def read_label_table(
    path: Path, names: Sequence[str] | None = None, told: Sequence[str] = (), separator: str | None = None
) -> StoredLabels:
    """The label table of stored features; told: columns that are no labels, such as the patient; separator: in lists.

    A column for each label holds 1, 0 or −1, or one called labels lists names, separated by `;` or as in any
    other table.
    """
    header, rows = _read(path)
    columns = {name: [row[header.index(name)] for row in rows] for name in told if name in header}
    kept = [i for i, name in enumerate(header) if name not in columns]
    header, rows = [header[i] for i in kept], [[row[i] for i in kept] for row in rows]
    image = next((header.index(name) for name in PATH_COLUMNS if name in header), None)
    listed = [i for i, name in enumerate(header) if name in LIST_COLUMNS and i != image]
    if listed and len(header) == 1 + (image is not None):
        labels, names = _from_lists(path, header[listed[0]], [row[listed[0]] for row in rows], names, separator)
    else:
        labels, names = _from_columns(path, header, rows, image, names)
    return StoredLabels(labels, names, [] if image is None else [row[image] for row in rows], columns)


def _read(path: Path) -> tuple[list[str], list[list[str]]]:
    text, said = read_text(path)
    for line in said:
        LOGGER.info("%s: %s", path, line)
    try:
        header, *rows = ([cell.strip() for cell in row] for row in csv.reader(io.StringIO(text, newline="")) if row)
        header = [plain_label(name) for name in header]
    except (ValueError, csv.Error) as error:
        raise UsageError(f"{path}: not a CSV file with a header in UTF-8: {error}") from error
    if not rows:
        raise UsageError(f"{path}: no images below the header")
    repeated = sorted({name for name in header if header.count(name) > 1})
    if repeated:
        raise UsageError(f"{path}: the header repeats {repeated[0]!r}: rename one of the columns, or take it out")
    for number, row in enumerate(rows, start=1):
        if len(row) != len(header):
            raise UsageError(f"{path}: row {number} has {len(row)} cells, the header {len(header)}")
    return header, rows


def _from_lists(
    path: Path, column: str, cells: list[str], names: Sequence[str] | None, separator: str | None
) -> tuple[Labels, list[str]]:
    sheet = Sheet(path, [column], [[cell] for cell in cells], range(2, 2 + len(cells)), [])
    other = any(sign in cell for cell in cells for sign in (*SIGNS, "[", "{", "<"))
    *_, found, said, warnings = lists_in(sheet, 0, separator or (None if other else ";"))
    for line in said:
        LOGGER.info("%s: %s", path, line)
    for line in warnings:
        LOGGER.warning("%s: %s", path, line)
    lists = [list(dict.fromkeys(map(plain_label, each))) for each in found]
    known = list(names) if names is not None else sorted({name for row in lists for name in row})
    if not known:
        raise UsageError(f"{path}: no image has a label")
    refuse_controls(path, known)
    columns = {name: column for column, name in enumerate(known)}
    for number, row in enumerate(lists, start=1):
        for name in row:
            if name not in columns:
                near = hint(name, known)
                raise UsageError(
                    f"{path}: row {number} has the label {name!r}, which is not in the training file{near}"
                )
    return from_lists([[columns[name] for name in row] for row in lists], len(known), fill=0), known


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
            remedy = "data.ignore_columns, data.group or data.split_column"
            raise UsageError(
                f"{path}: row {number + 1}, column {column!r}: {value!r} must be 1, 0 or -1; "
                f"a column that is no label goes to {remedy}"
            ) from error
    if not (labels == 1).any():
        raise UsageError(f"{path}: no image has a label")
    refuse_controls(path, wanted)
    return labels, wanted
