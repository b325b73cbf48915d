"""Parquet and Arrow files, and data sets that Hugging Face's `save_to_disk` wrote; read with pyarrow alone."""

import contextlib
import dataclasses
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mlcfast.data.readers.columns import IMAGE_COLUMNS, LIST_COLUMNS
from mlcfast.data.readers.exports import json_of, sheet_of
from mlcfast.data.readers.source import LabelSource, TableOptions
from mlcfast.data.readers.tables import read_rows
from mlcfast.data.readers.unpacked import by_split, unpack
from mlcfast.errors import UsageError

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
    opened = [_Table(file) for file in files]
    features = features or opened[0].features
    embedded = [name for name, kind in opened[0].columns.items() if kind != "plain"]
    image = options.image_column if options.image_column in embedded else None
    if image is None and options.image_column is None and embedded:
        if len(embedded) > 1:
            shown = " and ".join(map(repr, embedded[:2]))
            raise UsageError(f"{path}: {shown} both hold images: name one with data.image_column")
        image = embedded[0]
    values = {name: [x for table in opened for x in table.values(name)] for name in opened[0].plain}
    count = sum(table.rows for table in opened)
    classes = {name: names for name in values if (names := _class_names(features.get(name)))}
    for name, names in classes.items():
        named = [_named(value, names, path, name) for value in values[name]]
        if name.lower() in LIST_COLUMNS:  # a class is one label, whatever blanks its name holds
            named = [[value] if isinstance(value, str) else value for value in named]
        values[name] = named
    if image is not None:
        values = {image: _image_names([x for table in opened for x in table.names(image)], count), **values}
        options = dataclasses.replace(options, image_column=image)
    rows = [dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)]
    if not rows:
        raise UsageError(f"{path}: no images: it is empty")
    source = read_rows(sheet_of(path, rows, range(1, count + 1)), options)
    names = next((names for names in classes.values() if set(source.names) <= set(names)), None)
    source = dataclasses.replace(source.in_order(names if source.format == "list" else None), format=form, split=split)
    if image is None:
        return dataclasses.replace(source, root=path if path.is_dir() else path.parent)

    def contents() -> Iterator[bytes | None]:
        for table in opened:
            yield from table.contents(image)

    return dataclasses.replace(source, unpack=lambda: unpack(files, source.images, contents))


def _image_names(names: Sequence[str | None], count: int) -> list[str]:
    """What the images are called: their own names where each has one of its own, else the number of their row."""
    known = [name for name in names if name]
    return known if len(set(known)) == count else [f"{row:08d}" for row in range(1, count + 1)]


def _class_names(feature: Any) -> list[str] | None:
    """The names of a feature of classes, or of lists of them."""
    if isinstance(feature, list) and feature:
        return _class_names(feature[0])
    if not isinstance(feature, dict):
        return None
    return feature.get("names") if feature.get("_type") == "ClassLabel" else _class_names(feature.get("feature"))


def _named(value: Any, names: Sequence[str], path: Path, column: str) -> Any:
    if isinstance(value, list):
        return [_named(each, names, path, column) for each in value]
    if value is None or value == -1:  # not annotated
        return None
    if not 0 <= int(value) < len(names):
        raise UsageError(f"{path}: column {column!r}: class {value}, but there are {len(names)} names")
    return names[int(value)]


class _Table:
    """One file: its columns, and their values without reading images before they are asked for.

    columns: each one's kind: `plain`, `bytes`, or `struct` of the bytes and the path of an image.
    """

    def __init__(self, file: Path):
        self.file = file
        with _reading(file) as pyarrow:
            self._open(pyarrow)
        self.columns = {field.name: self._kind(pyarrow, field) for field in self.schema}
        self.plain = [name for name, kind in self.columns.items() if kind == "plain"]

    def _open(self, pyarrow: Any) -> None:
        from pyarrow import parquet

        if self.file.suffix == ".parquet":
            self.parquet = parquet.ParquetFile(self.file)
            self.schema, self.rows = self.parquet.schema_arrow, self.parquet.metadata.num_rows
            return
        mapped = pyarrow.memory_map(str(self.file))
        try:
            self.table = pyarrow.ipc.open_file(mapped).read_all()
        except pyarrow.ArrowInvalid:  # what save_to_disk writes is a stream
            self.table = pyarrow.ipc.open_stream(pyarrow.memory_map(str(self.file))).read_all()
        self.parquet, self.schema, self.rows = None, self.table.schema, self.table.num_rows

    @staticmethod
    def _kind(pyarrow: Any, field: Any) -> str:
        if pyarrow.types.is_struct(field.type) and {child.name for child in field.type} == {"bytes", "path"}:
            return "struct"
        raw = pyarrow.types.is_binary(field.type) or pyarrow.types.is_large_binary(field.type)
        return "bytes" if raw and field.name.lower() in IMAGE_COLUMNS else "plain"

    @property
    def features(self) -> dict[str, Any]:
        """Hugging Face's description of the columns, where the file has one."""
        note = (self.schema.metadata or {}).get(b"huggingface")
        return json.loads(note).get("info", {}).get("features") or {} if note else {}

    def values(self, name: str) -> list[Any]:
        """The values of a plain column."""
        with _reading(self.file):
            return (self.parquet.read([name]) if self.parquet else self.table.select([name])).column(0).to_pylist()

    def names(self, name: str) -> list[str | None]:
        """The names of the images in a column, None where there are none."""
        if self.columns[name] == "bytes":
            return [None] * self.rows
        with _reading(self.file):
            if self.parquet:
                return [(each or {}).get("path") for each in self.parquet.read([f"{name}.path"]).column(0).to_pylist()]
            return [each.as_py() for chunk in self.table.column(name).chunks for each in chunk.field("path")]

    def contents(self, name: str) -> Iterator[bytes | None]:
        """The bytes of the images in a column, a batch in memory at a time."""
        with _reading(self.file):
            source = self.parquet.iter_batches(64, columns=[name]) if self.parquet else self.table.to_batches(64)
            for batch in source:
                column = batch.column(0) if self.parquet else batch.column(self.table.column_names.index(name))
                held = column.field("bytes") if self.columns[name] == "struct" else column
                yield from (each.as_py() for each in held)


@contextlib.contextmanager
def _reading(file: Path) -> Iterator[Any]:
    """Gives pyarrow, and turns its errors, or its absence, into one line that names the file."""
    try:
        import pyarrow  # an extra, which tables of text do not need
    except ImportError as error:
        raise UsageError(f"{file}: needs pyarrow: pip install 'mlcfast[parquet]'") from error
    try:
        yield pyarrow
    except (pyarrow.ArrowException, OSError) as error:
        raise UsageError(f"{file}: cannot be read: {' '.join(str(error).split())}") from error
