"""Parquet and Arrow files, and data sets that Hugging Face's `save_to_disk` wrote; read with pyarrow alone."""

import bisect
import dataclasses
import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from mlcfast.data.packed import ArrowImages
from mlcfast.data.readers.arrow_files import ArrowTable
from mlcfast.data.readers.arrow_lists import CELL, read_list_column
from mlcfast.data.readers.arrow_unknown import without_unknown
from mlcfast.data.readers.columns import is_called
from mlcfast.data.readers.exports import json_of, refuse_scored_row, sheet_of, text_of_cell
from mlcfast.data.readers.paths import plain_path
from mlcfast.data.readers.sheet import Sheet
from mlcfast.data.readers.source import LabelSource, TableOptions
from mlcfast.data.readers.tables import read_rows
from mlcfast.data.readers.unpacked import by_split, missing_shards, unpack
from mlcfast.data.readers.words import LIST_COLUMNS, OF_LABELS, SCORES
from mlcfast.errors import UsageError

HOLDERS = ("classifications", "detections", "polylines", "keypoints")  # FiftyOne's, each a list with `label`
ENDINGS = (".parquet", ".arrow", ".feather")


def is_arrow(path: Path) -> bool:
    """Whether a directory holds Parquet or Arrow files, in it, in `data` or in a folder for each split."""
    return not is_saved(path) and bool(by_split(path, ENDINGS))


def is_saved(path: Path) -> bool:
    """Whether a directory was written by `save_to_disk`, of a Dataset or a DatasetDict."""
    return (path / "dataset_dict.json").is_file() or (path / "state.json").is_file()


def read_arrow(path: Path, options: TableOptions) -> list[LabelSource]:
    """Read .parquet, .arrow or .feather, a file or a directory of them: a source for each split."""
    splits = by_split(path, ENDINGS)
    if not splits:
        raise UsageError(f"{path}: holds no {', '.join(ENDINGS)}")
    return [_source(path, "parquet", split, files, {}, options) for split, files in splits.items()]


def columns_of(path: Path, wanted: Callable[[str], bool]) -> Sheet | None:
    """The columns of a file, or of a directory's only split, that are no lists and whose names are wanted, as text.

    None where there are none, or several splits.
    """
    splits = by_split(path, ENDINGS)
    if len(splits) != 1:
        return None
    opened = [ArrowTable(file) for file in next(iter(splits.values()))]
    names = [name for name in opened[0].plain if name not in opened[0].lists and wanted(name)]
    cells = [[text_of_cell(value) for table in opened for value in table.values(name)] for name in names]
    rows = [list(row) for row in zip(*cells, strict=True)]
    return Sheet(path, names, rows, range(1, len(rows) + 1), [], "") if names else None


def read_saved(path: Path, options: TableOptions) -> list[LabelSource]:
    """Read what `save_to_disk` wrote: a source for each split; classes have the names that the data set gives them."""
    if (path / "dataset_dict.json").is_file():
        splits = _entries(path / "dataset_dict.json", "splits")
        return [dataclasses.replace(read_saved(path / str(name), options)[0], split=str(name)) for name in splits]
    entries = _entries(path / "state.json", "_data_files")
    files = [path / str(entry["filename"]) for entry in entries if isinstance(entry, dict) and "filename" in entry]
    about = json_of(path / "dataset_info.json")
    features = about.get("features") if isinstance(about, dict) else None
    if not files or len(files) != len(entries):
        raise UsageError(f"{path / 'state.json'}: does not name the data files")
    return [_source(path, "huggingface", "", files, features if isinstance(features, dict) else {}, options)]


def _entries(file: Path, key: str) -> list[Any]:
    """The list that a JSON object has under a key; UsageError where it has none."""
    content = json_of(file)
    found = content.get(key) if isinstance(content, dict) else None
    if not isinstance(found, list) or not found:
        raise UsageError(f"{file}: has no list {key!r}: not what save_to_disk writes")
    return found


def _source(
    path: Path, form: str, split: str, files: Sequence[Path], features: dict[str, Any], options: TableOptions
) -> LabelSource:
    opened = [ArrowTable(file) for file in files]
    features = features or opened[0].features
    for name in SCORES:
        held = itertools.chain.from_iterable(table.values(name) for table in opened if name in table.plain)
        for number, score in enumerate(held, start=1):
            refuse_scored_row(f"{path}: row {number}", {name: score}, options)
    embedded = [name for name, kind in opened[0].columns.items() if kind != "plain"]
    image = options.image_column if options.image_column in embedded else None
    if image is None and options.image_column is None and embedded:
        if len(embedded) > 1:
            shown = " and ".join(map(repr, embedded[:2]))
            raise UsageError(f"{path}: {shown} both hold images: name one with data.image_column")
        image = embedded[0]
    classes = {name: names for name in opened[0].plain if (names := _class_names(features.get(name)))}
    options = _told_by_classes(path, opened[0], classes, options)
    within = {name: inner for name in opened[0].plain if (inner := _classes_within(features.get(name)))}
    source = _by_lists(path, opened, classes, image, options) or _by_rows(path, opened, classes, within, image, options)
    names = next((names for names in classes.values() if set(source.names) <= set(names)), None)
    listed = source.format == "list"
    source = source.in_order(names if listed else None)
    source = without_unknown(source, opened, classes, options) if listed else source
    source = dataclasses.replace(source, format=form, split=split, warnings=[*source.warnings, *missing_shards(files)])
    if image is None:
        return dataclasses.replace(source, root=path if path.is_dir() else path.parent)
    packed = ArrowImages.of(opened, image, [table.groups for table in opened])

    def contents() -> Iterator[bytes | None]:
        for table in opened:
            yield from table.contents(image)

    return dataclasses.replace(source, unpack=lambda: unpack(files, source.images, contents), packed=packed)


def _by_lists(
    path: Path, opened: Sequence[ArrowTable], classes: dict[str, list[str]], image: str | None, options: TableOptions
) -> LabelSource | None:
    """The source where one column holds lists and nothing but the table's own reader is needed to say which."""
    lists = {name: _chunks(opened, name) for name in opened[0].lists}
    rows = sum(table.rows for table in opened)
    if not lists or not rows or opened[0].nested or not set(classes) <= set(lists):
        return None
    if not options.label_columns and sum(is_called(name, OF_LABELS) for name in lists) > 1:
        return None  # whether one numbers the other is seen of the lists themselves
    cells = {}
    if image is not None:
        names = _image_names([x for table in opened for x in table.names(image)], rows)
        cells[image] = [text_of_cell(name) for name in names]
        options = dataclasses.replace(options, image_column=image)
    for name in opened[0].plain:
        values = itertools.repeat(CELL, rows) if name in lists else (x for table in opened for x in table.values(name))
        cells[name] = [x if x is CELL else text_of_cell(x) for x in values]
    table = [list(row) for row in zip(*cells.values(), strict=True)]
    sheet = Sheet(path, list(cells), table, range(1, rows + 1), [], "")
    del cells
    return read_list_column(sheet, lists, classes, options)


def _chunks(opened: Sequence[ArrowTable], name: str) -> Iterator[Any]:
    for table in opened:
        yield from table.chunks(name)


def _by_rows(
    path: Path,
    opened: Sequence[ArrowTable],
    classes: dict[str, list[str]],
    within: dict[str, dict[str, list[str]]],
    image: str | None,
    options: TableOptions,
) -> LabelSource:
    """The source as of a table of text; within: the names of the classes in objects, by column and key."""
    values = {name: _unnested([x for table in opened for x in table.values(name)]) for name in opened[0].plain}
    for name, inner in within.items():
        values[name] = [_named_within(value, inner, opened, row, name) for row, value in enumerate(values[name])]
    count = sum(table.rows for table in opened)
    for name, names in classes.items():
        named = [_named(value, names, opened, row, name) for row, value in enumerate(values[name])]
        # A class is one label, whatever blanks its name holds.
        if name.lower() in LIST_COLUMNS or [*options.label_columns] == [name]:
            named = [[value] if isinstance(value, str) else value for value in named]
        values[name] = named
    if image is not None:
        values = {image: _image_names([x for table in opened for x in table.names(image)], count), **values}
        options = dataclasses.replace(options, image_column=image)
    rows = [dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)]
    if not rows:
        raise UsageError(f"{path}: no images: it is empty")
    return read_rows(sheet_of(path, rows, range(1, count + 1)), options)


def _unnested(values: list[Any]) -> list[Any]:
    """A column's values with the labels in place of what holds them, as FiftyOne's `ground_truth` does.

    A null among objects is one without entries.
    """
    plain = [_labels_of(value) for value in values]
    return [{} if value is None else value for value in plain] if any(isinstance(x, dict) for x in plain) else plain


def _labels_of(value: Any) -> Any:
    if isinstance(value, dict):
        held = next((value[key] for key in HOLDERS if isinstance(value.get(key), list)), value.get("label", value))
        return _labels_of(held) if isinstance(held, list) else [held] if isinstance(held, str) else held
    if isinstance(value, list) and value and all(isinstance(each, dict) and "label" in each for each in value):
        return [each["label"] for each in value]
    if isinstance(value, list) and value and all(isinstance(each, dict) for each in value):
        return {key: [each.get(key) for each in value] for key in value[0]}
    return value


def _image_names(names: Sequence[str | None], count: int) -> list[str]:
    """What the images are called: their own names where each has one of its own, else the number of their row."""
    known = [name for name in names if name]
    return known if len(set(map(plain_path, known))) == count else [f"{row:08d}" for row in range(1, count + 1)]


def _class_names(feature: Any) -> list[str] | None:
    """The names of a feature of classes, or of lists of them."""
    if isinstance(feature, list) and feature:
        return _class_names(feature[0])
    if not isinstance(feature, dict):
        return None
    return feature.get("names") if feature.get("_type") == "ClassLabel" else _class_names(feature.get("feature"))


def _classes_within(feature: Any) -> dict[str, list[str]]:
    """The names of the classes among the features of an object, or of a list of objects, by their keys."""
    held = feature[0] if isinstance(feature, list) and feature else feature
    if not isinstance(held, dict):
        return {}
    if "_type" in held:
        return _classes_within(held["feature"]) if isinstance(held.get("feature"), dict | list) else {}
    return {key: names for key, inner in held.items() if (names := _class_names(inner))}


def _named_within(value: Any, inner: dict[str, list[str]], opened: Sequence[ArrowTable], row: int, column: str) -> Any:
    if not isinstance(value, dict):
        return value
    return {key: _named(held, inner[key], opened, row, column) if key in inner else held for key, held in value.items()}


def _told_by_classes(
    path: Path, table: ArrowTable, classes: dict[str, list[str]], options: TableOptions
) -> TableOptions:
    """The options with the only column of classes as that of labels, where none is called as one.

    UsageError where several columns hold classes, as `fine_label` and `coarse_label` do.
    """
    told = {*options.ignore_columns, options.split_column, options.group}
    own = [name for name in classes if name not in told]
    if options.label_columns or not own or any(name.lower() in LIST_COLUMNS for name in table.plain):
        return options
    if len(own) > 1:
        raise UsageError(
            f"{path}: the columns {own[0]!r} and {own[1]!r} both hold classes: name those that are labels in "
            "data.label_columns"
        )
    return dataclasses.replace(options, label_columns=(own[0],))


def _named(value: Any, names: Sequence[str], opened: Sequence[ArrowTable], row: int, column: str) -> Any:
    """The names of a cell's classes; row: counted from 0 over all files. UsageError for a class without a name."""
    if isinstance(value, list):
        return [_named(each, names, opened, row, column) for each in value]
    if value is None or value == -1:  # not annotated
        return None
    if not 0 <= int(value) < len(names):
        starts = [*itertools.accumulate((table.rows for table in opened), initial=0)]
        number = bisect.bisect_right(starts, row, hi=len(opened)) - 1
        raise UsageError(
            f"{opened[number].file}: row {row - starts[number] + 1}, column {column!r}: class {value}, but its "
            f"features hold {len(names)} names, 0 to {len(names) - 1}: name it there, or write -1 where it is not known"
        )
    return names[int(value)]
