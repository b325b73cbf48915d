"""Label tables as files beside stored features: .npy for a matrix, .npz for a sparse one, as scipy.sparse.save_npz."""

import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mlcfast.data.csv_labels import StoredLabels, read_label_table
from mlcfast.data.labels import Labels, SparseLabels, absent_as_zero
from mlcfast.data.readers.arrow import read_arrow
from mlcfast.data.readers.names import with_plain_labels
from mlcfast.data.readers.source import TableOptions
from mlcfast.errors import UsageError
from mlcfast.files import published
from mlcfast.registry import hint_path

ENDINGS = (".npy", ".npz", ".csv", ".parquet")


def label_file(root: Path, split: str) -> Path:
    """The file that holds a split's labels; UsageError lists the names looked for."""
    names = [f"{place}{ending}" for place in (f"{split}/labels", f"{split}_labels") for ending in ENDINGS]
    names.append(f"formatted_{split}_labels.npy")
    for name in names:
        if (root / name).is_file():
            return root / name
    raise UsageError(f"{root}: no labels of {split}: none of {', '.join(names)}")


def write_labels(directory: Path, labels: Labels) -> None:
    """Write labels.npy or, of a sparse table, labels.npz into a directory, whole or not at all."""
    sparse = isinstance(labels, SparseLabels)
    with published(directory / ("labels.npz" if sparse else "labels.npy")) as draft, draft.open("wb") as file:
        if not isinstance(labels, SparseLabels):
            np.save(file, labels)
            return
        table = absent_as_zero(labels)
        assert isinstance(table, SparseLabels), "as it was"
        np.savez(
            file,
            format=np.array(b"csr"),
            shape=np.array(table.shape),
            data=table.values,
            indices=table.columns,
            indptr=table.starts,
        )


def read_stored_labels(file: Path, names: Sequence[str] | None, options: TableOptions) -> StoredLabels:
    """The N rows of a label file.

    names: those of the training split, which a table may list in another order. options: which of a table's columns are
    no labels: that of the split, that of the group and those to ignore. UsageError names file and row.
    """
    if file.suffix == ".csv":
        told = (options.split_column, options.group, *options.ignore_columns)
        return read_label_table(file, names, [name for name in told if name], options.separator)
    if file.suffix == ".parquet":
        told_of = TableOptions(
            form="parquet",
            split_column=options.split_column,
            group=options.group,
            ignore_columns=options.ignore_columns,
        )
        (source,) = read_arrow(file, told_of)
        source = with_plain_labels(source).in_order(None if names is None else list(names))
        return StoredLabels(source.labels, source.names, source.images, source.columns)
    if file.suffix == ".npz":
        return StoredLabels(_read_sparse(file), [], [], {})
    labels = load_array(file)
    if labels.ndim != 2 or not labels.size or labels.dtype.kind not in "biuf":
        raise UsageError(f"{file}: labels must be a matrix of numbers, not {labels.dtype} {labels.shape}")
    strange = np.argwhere(~np.isin(labels, (-1, 0, 1)))
    if len(strange):
        row, column = strange[0]
        value = labels[row, column]
        raise UsageError(f"{file}: row {row} (counted from 0), column {column}: {value:g} must be 1, 0 or -1")
    return StoredLabels(labels.astype(np.int8), [], [], {})


def _read_sparse(file: Path) -> SparseLabels:
    """What `write_labels` or scipy.sparse.save_npz wrote of a CSR matrix; entries not stored are 0."""
    wrong = f"{file}: not a sparse matrix in rows, as scipy.sparse.save_npz writes a csr_array"
    try:
        with np.load(file, allow_pickle=False) as held:
            form, shape = held["format"].item(), [int(size) for size in held["shape"]]
            values, columns, starts = held["data"], held["indices"], held["indptr"]
    except OSError as error:
        raise UsageError(f"{file}: cannot be read: {error.strerror or error}{hint_path(file)}") from error
    except (ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise UsageError(f"{wrong}: {error}") from error
    if form not in (b"csr", "csr") or len(shape) != 2 or len(starts) != shape[0] + 1 or values.dtype.kind not in "biuf":
        raise UsageError(wrong)
    strange = np.flatnonzero(~np.isin(values, (-1, 0, 1)))
    if len(strange):
        row = int(np.searchsorted(starts, strange[0], side="right")) - 1
        value = values[strange[0]]
        raise UsageError(f"{file}: row {row} (counted from 0): {value:g} must be 1, 0 or -1")
    try:
        return SparseLabels(starts.astype(np.int64), columns.astype(np.int32), values.astype(np.int8), shape[1], fill=0)
    except (ValueError, IndexError) as error:
        raise UsageError(f"{wrong}: {error}") from error


def load_array(file: Path, mmap_mode: str | None = None) -> np.ndarray:
    """The array of a .npy file; UsageError where it cannot be read or is none."""
    try:
        return np.load(file, allow_pickle=False, mmap_mode=mmap_mode)  # type: ignore[arg-type]  # one of NumPy's words
    except OSError as error:
        raise UsageError(f"{file}: cannot be read: {error.strerror or error}{hint_path(file)}") from error
    except (ValueError, EOFError) as error:
        raise UsageError(f"{file}: not a .npy file of numbers: {error}") from error
