"""Label tables: a matrix or, where that would be large and nearly all of one value, only the other entries.

Shapes: M images, K labels, N entries that are stored, m rows of a batch.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, TypeAlias

import numpy as np

DENSE_ENTRIES = 2**24  # images × labels up to which a matrix is kept whatever it holds: 16 MiB
SPARSE_SHARE = 1 / 8  # of the entries; beyond it a matrix is as small
AT_ONCE = 2**22  # entries made dense together where all rows are gone through
ROWS_AT_ONCE = 2**16  # rows of a sparse table that are moved together
HUNDREDTHS = 100  # in which a soft label is kept


@dataclass(frozen=True, eq=False)
class SparseLabels:
    """A table (M, K) of int8 whose entries are `fill` but for the N that are stored, row by row (CSR).

    starts: (M + 1,) int64, where each row begins in columns and values; columns: (N,) int32, rising within a row;
    values: (N,) int8; width: K. `labels[rows]` is the table of these rows and `labels.dense(rows)` their matrix.
    NumPy cannot make it dense unasked: that is a TypeError.
    """

    starts: np.ndarray
    columns: np.ndarray
    values: np.ndarray
    width: int
    fill: int = -1

    def __post_init__(self) -> None:
        """ValueError where the arrays do not go together."""
        starts, N = self.starts, len(self.columns)
        ordered = len(starts) > 0 and starts[0] == 0 and starts[-1] == N and bool((np.diff(starts) >= 0).all())
        if not ordered or len(self.values) != N:
            raise ValueError(f"starts must rise from 0 to {N}, the number of columns and of values")
        if N and not (self.columns.min() >= 0 and self.columns.max() < self.width):
            raise ValueError(f"columns must be in 0 to {self.width - 1}")

    @property
    def shape(self) -> tuple[int, int]:
        """(M, K)."""
        return len(self), self.width

    @property
    def dtype(self) -> np.dtype:
        """int8, of the entries."""
        return np.dtype(np.int8)

    def __len__(self) -> int:
        """M."""
        return len(self.starts) - 1

    def __array__(self, *_: Any, **__: Any) -> NoReturn:
        raise TypeError(
            f"labels of {len(self)} × {self.width} are kept sparse: take `dense` of the rows that are needed"
        )

    def __getitem__(self, rows: Any) -> "SparseLabels":
        """The table of some rows: indices (m,), a mask (M,) or a slice."""
        if isinstance(rows, tuple | int | np.integer):
            raise TypeError("rows are taken from sparse labels by indices, a mask or a slice; one row is rows[[i]]")
        chosen = np.arange(len(self))[rows] if isinstance(rows, slice) else np.asarray(rows)
        chosen = np.flatnonzero(chosen) if chosen.dtype == bool else chosen.astype(np.int64, copy=False)
        starts = np.concatenate(([0], np.cumsum(self.starts[chosen + 1] - self.starts[chosen])))
        columns, values = np.empty(starts[-1], np.int32), np.empty(starts[-1], np.int8)
        for first in range(0, len(chosen), ROWS_AT_ONCE):
            rows = chosen[first : first + ROWS_AT_ONCE]
            entries, _ = self._entries(rows)
            moved = slice(starts[first], starts[first + len(rows)])
            columns[moved], values[moved] = self.columns[entries], self.values[entries]
        return SparseLabels(starts, columns, values, self.width, self.fill)

    def dense(self, rows: Any = slice(None)) -> np.ndarray:
        """The matrix (m, K) int8 of some rows, indices (m,) or a slice; of all of them without one."""
        chosen = np.arange(len(self))[rows] if isinstance(rows, slice) else np.asarray(rows, dtype=np.int64)
        entries, counts = self._entries(chosen)
        matrix = np.full((len(chosen), self.width), self.fill, np.int8)
        matrix[np.repeat(np.arange(len(chosen)), counts), self.columns[entries]] = self.values[entries]
        return matrix

    def _entries(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where the entries of these rows are stored, in order, and how many each row has."""
        begins = self.starts[rows]
        counts = self.starts[rows + 1] - begins
        ends = np.cumsum(counts)
        total = int(ends[-1]) if len(ends) else 0
        return np.arange(total) + np.repeat(begins - (ends - counts), counts), counts

    def row_numbers(self) -> np.ndarray:
        """The row of each stored entry, (N,) int64."""
        return np.repeat(np.arange(len(self)), np.diff(self.starts))


Labels: TypeAlias = np.ndarray | SparseLabels


def from_entries(
    rows: np.ndarray, columns: np.ndarray, shape: tuple[int, int], values: np.ndarray | int = 1, fill: int = -1
) -> Labels:
    """A table with these entries, `fill` elsewhere, in the storage that suits it.

    rows, columns: (N,), in any order; values: (N,), or one for all. An entry that is named again has its last value.
    """
    values = np.broadcast_to(np.asarray(values, np.int8), (len(rows),))
    if _is_small_or_full(shape, len(rows)):
        matrix = np.full(shape, fill, np.int8)
        matrix[rows, columns] = values
        return matrix
    return _sparse(rows, columns, shape, values, fill)


def _is_small_or_full(shape: tuple[int, int], entries: int) -> bool:
    return shape[0] * shape[1] <= DENSE_ENTRIES or entries > SPARSE_SHARE * shape[0] * shape[1]


def _sparse(
    rows: np.ndarray, columns: np.ndarray, shape: tuple[int, int], values: np.ndarray, fill: int
) -> SparseLabels:
    M, K = shape
    keys = np.asarray(rows, np.int64) * K + columns
    if (keys[1:] <= keys[:-1]).any():
        order = np.argsort(keys, kind="stable")
        keys = keys[order]
        last = np.append(keys[1:] != keys[:-1], True)
        keys, values = keys[last], values[order][last]
    numbers, places = np.divmod(keys, K)
    starts = np.concatenate(([0], np.cumsum(np.bincount(numbers, minlength=M))))
    return SparseLabels(starts, places.astype(np.int32), np.array(values, np.int8), K, fill)


def from_runs(runs: Sequence[tuple[np.ndarray, np.ndarray]], shape: tuple[int, int], fill: int = -1) -> Labels:
    """A table with entries of 1, given a run of rows after the other: how many each row has (m,), and their columns."""
    if _is_small_or_full(shape, sum(len(columns) for _, columns in runs)):
        counts = np.concatenate([each for each, _ in runs]) if runs else np.zeros(0, np.int64)
        columns = np.concatenate([each for _, each in runs]) if runs else np.zeros(0, np.int64)
        return from_entries(np.repeat(np.arange(len(counts)), counts), columns, shape, fill=fill)
    parts = []
    for counts, columns in runs:
        rows, ones = np.repeat(np.arange(len(counts)), counts), np.broadcast_to(np.int8(1), len(columns))
        parts.append(_sparse(rows, columns, (len(counts), shape[1]), ones, fill))
    return stacked(parts)


def from_lists(lists: Sequence[Sequence[int]], width: int, fill: int = -1) -> Labels:
    """A table (M, width) with 1 in the columns that each row lists."""
    counts = np.fromiter((len(each) for each in lists), np.int64, len(lists))
    columns = np.fromiter((k for each in lists for k in each), np.int64, int(counts.sum()))
    return from_runs([(counts, columns)], (len(lists), width), fill)


def dense_rows(labels: Labels, rows: np.ndarray) -> np.ndarray:
    """The matrix (m, K) int8 of the rows `rows`, (m,) int64, in either storage."""
    return labels.dense(rows) if isinstance(labels, SparseLabels) else labels[rows]


def whole(labels: Labels) -> np.ndarray:
    """The matrix (M, K) int8, for what holds a table of images × labels anyway."""
    return labels.dense() if isinstance(labels, SparseLabels) else labels


def pairs(labels: Labels, value: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Row and column, (n,) each, of the entries that are `value`, row by row.

    ValueError for the fill of a sparse table.
    """
    if not isinstance(labels, SparseLabels):
        rows, columns = np.nonzero(labels == value)
        return rows, columns
    if value == labels.fill:
        raise ValueError(f"{value} is what most entries hold: they are not listed")
    found = labels.values == value
    return labels.row_numbers()[found], labels.columns[found]


def count(labels: Labels, value: int, axis: int) -> np.ndarray:
    """How many entries are `value`, of each label (axis 0, (K,)) or each image (axis 1, (M,)); int64."""
    if not isinstance(labels, SparseLabels):
        return np.count_nonzero(labels == value, axis=axis)
    M, K = labels.shape
    found = labels.values != value if value == labels.fill else labels.values == value
    if axis == 0:
        counts = np.bincount(labels.columns[found], minlength=K)
    else:
        counts = np.diff(np.append(0, np.cumsum(found, dtype=np.int64))[labels.starts])
    return (M if axis == 0 else K) - counts if value == labels.fill else counts


def holds(labels: Labels, value: int) -> bool:
    """Whether any entry is `value`."""
    return bool(count(labels, value, 1).any()) if isinstance(labels, SparseLabels) else bool((labels == value).any())


def soft_code(value: float) -> int:
    """What a table holds for a soft label: 2 to 100 for 0.01 to 0.99, beside the 1, 0 and −1 of hard ones.

    ValueError for a value that is none of these hundredths.
    """
    code = 1 + round(HUNDREDTHS * value)
    if not 1 < code <= HUNDREDTHS or abs(code - 1 - HUNDREDTHS * value) > 1e-6:
        raise ValueError(f"a soft label must be 0.01 to 0.99 in hundredths, such as 0.7, not {value}")
    return code


def holds_soft(labels: Labels) -> bool:
    """Whether any entry is a soft label."""
    values = labels.values if isinstance(labels, SparseLabels) else labels
    return bool(values.max(initial=0) > 1) or (isinstance(labels, SparseLabels) and labels.fill > 1)


def lacking(labels: Labels, axis: int) -> np.ndarray:
    """Which images (axis 1, (M,)) have no label, or which labels no image (axis 0, (K,)), present or soft; bool."""
    if not isinstance(labels, SparseLabels):
        return np.count_nonzero(labels >= 1, axis=axis) == 0
    found = labels.values >= 1
    if axis == 0:
        return np.bincount(labels.columns[found], minlength=labels.width) == 0
    return np.diff(np.append(0, np.cumsum(found, dtype=np.int64))[labels.starts]) == 0


def hard_states(targets: np.ndarray) -> np.ndarray:
    """Targets as metrics take them, int8 of 1, 0 and −1: a soft one is 0, neither present nor absent."""
    return targets if targets.dtype == np.int8 else np.where(np.abs(targets) < 1, 0, targets).astype(np.int8)


def absent_as_zero(labels: Labels) -> Labels:
    """The table with 0 for each −1."""
    if not isinstance(labels, SparseLabels):
        return np.maximum(labels, 0)
    values = np.maximum(labels.values, 0)
    return SparseLabels(labels.starts, labels.columns, values, labels.width, max(labels.fill, 0))


def zero_as_absent(labels: Labels) -> Labels:
    """The table of 1 and 0 with −1 for each 0."""
    if not isinstance(labels, SparseLabels):
        return np.where(labels, 1, -1).astype(np.int8)
    values = np.where(labels.values, 1, -1).astype(np.int8)
    return SparseLabels(labels.starts, labels.columns, values, labels.width, -1 if labels.fill == 0 else labels.fill)


def table_arrays(labels: Labels) -> dict[str, Any]:
    """The table as arrays for a .npz, from which `read_table` makes it again."""
    if not isinstance(labels, SparseLabels):
        return {"labels": labels}
    parts = {name: getattr(labels, name) for name in ("starts", "columns", "values")}
    return {**parts, "width": np.array(labels.width), "fill": np.array(labels.fill)}


def read_table(arrays: Mapping[str, np.ndarray]) -> Labels:
    """The table of these arrays; KeyError or ValueError where they are none."""
    if "labels" in arrays:
        return arrays["labels"]
    starts, columns, values = (arrays[name] for name in ("starts", "columns", "values"))
    return SparseLabels(starts, columns, values, int(arrays["width"]), int(arrays["fill"]))


def placed(labels: Labels, columns: Sequence[int], width: int, fill: int) -> Labels:
    """The table (M, width) with column k at columns[k], `fill` where none is; a negative place leaves a column out."""
    places = np.asarray(columns, np.int64)
    if not isinstance(labels, SparseLabels) or fill != labels.fill:
        kept = places >= 0
        matrix = np.full((len(labels), width), fill, np.int8)
        matrix[:, places[kept]] = whole(labels)[:, kept]
        return matrix
    parts = []
    for first in range(0, max(len(labels), 1), ROWS_AT_ONCE):
        part = labels[first : first + ROWS_AT_ONCE]
        moved = places[part.columns]
        kept = moved >= 0
        parts.append(_sparse(part.row_numbers()[kept], moved[kept], (len(part), width), part.values[kept], fill))
    return stacked(parts)


def stacked(tables: Sequence[Labels]) -> Labels:
    """Tables of the same labels below each other; sparse only where all are and have one fill."""
    first = tables[0]
    alike = [each for each in tables if isinstance(each, SparseLabels) and isinstance(first, SparseLabels)]
    if len(alike) < len(tables) or len({each.fill for each in alike}) > 1:
        return np.concatenate([whole(each) for each in tables])
    ends = np.cumsum([0, *(len(each.columns) for each in alike)])
    starts = [[0], *(each.starts[1:] + end for each, end in zip(alike, ends[:-1], strict=True))]
    columns, values = (np.concatenate(parts) for parts in zip(*((e.columns, e.values) for e in alike), strict=True))
    return SparseLabels(np.concatenate(starts), columns, values, alike[0].width, alike[0].fill)


def sparse_like(labels: SparseLabels, matrix: np.ndarray) -> SparseLabels:
    """A matrix (m, K) of the same labels in the same storage."""
    rows, columns = np.nonzero(matrix != labels.fill)
    starts = np.concatenate(([0], np.cumsum(np.bincount(rows, minlength=len(matrix)))))
    return SparseLabels(starts, columns.astype(np.int32), matrix[rows, columns], labels.width, labels.fill)


def rows_at_once(width: int) -> int:
    """How many rows are made dense together where all are gone through."""
    return max(1, AT_ONCE // max(1, width))
