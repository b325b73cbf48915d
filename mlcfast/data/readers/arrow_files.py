"""One Parquet or Arrow file: its columns, and its images a group of rows at a time."""

import contextlib
import functools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mlcfast.data.readers.kinds import refuse_other_kinds
from mlcfast.data.readers.words import IMAGE_COLUMNS
from mlcfast.documents import refuse_special
from mlcfast.errors import UsageError

LISTS_AT_ONCE = 2**16  # rows
ROWS_AT_ONCE = 64  # of images in an Arrow file


class ArrowTable:
    """One file: its columns, and their values without reading images before they are asked for.

    columns: each one's kind: `plain`, `bytes`, or `struct` of the bytes and the path of an image.
    """

    def __init__(self, file: Path):
        self.file = file
        with reading_arrow(file) as pyarrow:
            self._open(pyarrow)
        self.columns = {field.name: self._kind(pyarrow, field) for field in self.schema}
        self.plain = [name for name, kind in self.columns.items() if kind == "plain"]
        types = {name: self.schema.field(name).type for name in self.plain}
        self.lists = [name for name, kind in types.items() if self._lists_words(pyarrow, kind)]
        self.nested = any(pyarrow.types.is_struct(kind) or pyarrow.types.is_map(kind) for kind in types.values())

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

    @staticmethod
    def _lists_words(pyarrow: Any, kind: Any) -> bool:
        """Whether a type is a list of texts or whole numbers."""
        known = pyarrow.types
        if not (known.is_list(kind) or known.is_large_list(kind)):
            return False
        held = kind.value_type.value_type if known.is_dictionary(kind.value_type) else kind.value_type
        return known.is_string(held) or known.is_large_string(held) or known.is_integer(held)

    @property
    def features(self) -> dict[str, Any]:
        """Hugging Face's description of the columns, where the file has one."""
        note = (self.schema.metadata or {}).get(b"huggingface")
        return json.loads(note).get("info", {}).get("features") or {} if note else {}

    def values(self, name: str) -> list[Any]:
        """The values of a plain column."""
        with reading_arrow(self.file):
            return (self.parquet.read([name]) if self.parquet else self.table.select([name])).column(0).to_pylist()

    def chunks(self, name: str) -> Iterator[Any]:
        """The arrays of a plain column, one in memory at a time."""
        with reading_arrow(self.file):
            if not self.parquet:
                yield from self.table.column(name).chunks
                return
            for batch in self.parquet.iter_batches(LISTS_AT_ONCE, columns=[name]):
                yield batch.column(0)

    def names(self, name: str) -> list[str | None]:
        """The names of the images in a column, None where there are none."""
        if self.columns[name] == "bytes":
            return [None] * self.rows
        with reading_arrow(self.file):
            if self.parquet:
                return [(each or {}).get("path") for each in self.parquet.read([f"{name}.path"]).column(0).to_pylist()]
            return [each.as_py() for chunk in self.table.column(name).chunks for each in chunk.field("path")]

    def contents(self, name: str) -> Iterator[bytes | None]:
        """The bytes of the images in a column, a batch in memory at a time."""
        with reading_arrow(self.file):
            source = self.parquet.iter_batches(ROWS_AT_ONCE, columns=[name]) if self.parquet else self._batches
            for batch in source:
                column = batch.column(0) if self.parquet else batch.column(self.table.column_names.index(name))
                held = column.field("bytes") if self.columns[name] == "struct" else column
                yield from (each.as_py() for each in held)

    @property
    def groups(self) -> list[int]:
        """The rows of each group that is read whole."""
        if self.parquet:
            about = self.parquet.metadata
            return [about.row_group(number).num_rows for number in range(about.num_row_groups)]
        return [len(batch) for batch in self._batches]

    def group(self, number: int, name: str) -> Any:
        """The bytes of the images of a group of rows, as an Arrow array."""
        with reading_arrow(self.file) as pyarrow:
            if self.parquet:
                column = self.parquet.read_row_group(number, columns=[name], use_threads=False).column(0)
                column = pyarrow.concat_arrays(column.chunks)
            else:
                column = self._batches[number].column(self.table.column_names.index(name))
            return column.field("bytes") if self.columns[name] == "struct" else column

    @functools.cached_property
    def _batches(self) -> list[Any]:
        return self.table.to_batches(ROWS_AT_ONCE)

    def __getstate__(self) -> dict[str, Any]:
        return {"file": self.file}  # opened anew where it goes

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["file"])  # type: ignore[misc]  # as it was opened before


@contextlib.contextmanager
def reading_arrow(file: Path) -> Iterator[Any]:
    """Gives pyarrow, and turns its errors, or its absence, into one line that names the file."""
    try:
        import pyarrow  # an extra, which tables of text do not need
    except ImportError as error:
        raise UsageError(f"{file}: needs pyarrow: pip install 'mlcfast[parquet]'") from error
    refuse_special(file)
    try:
        yield pyarrow
    except (pyarrow.ArrowException, OSError) as error:
        _refuse_other_kinds(file)
        raise UsageError(f"{file}: cannot be read: {' '.join(str(error).split())}") from error


def _refuse_other_kinds(file: Path) -> None:
    """UsageError where the file is known to be something else than its name says."""
    try:
        with file.open("rb") as opened:
            begin = opened.read(4096)
    except OSError:
        return
    if not begin.startswith((b"PAR1", b"ARROW1")):
        refuse_other_kinds(file, begin)
