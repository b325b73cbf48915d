"""Feature sets: pooled features (N, D) and labels (N, K) of each split as files, read through a memory map.

`mlcfast.features` writes ROOT/SPLIT/features.npy, labels.npy or labels.npz and features.json (label names, image ids
and paths); labels may also be a .csv or .parquet table. Files of other origin lie flat in ROOT: SPLIT_features*.npy
with SPLIT_labels.npy (or .npz, .csv, .parquet) or formatted_SPLIT_labels.npy (the names of arXiv 2106.09708's code),
and optionally label_names.txt, a name a line. What split or group a row belongs to stands in a column of the table, or
in `columns` of features.json, the N cells of each by its name.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mlcfast.data.label_files import label_file, load_array, read_stored_labels
from mlcfast.data.readers.source import LabelSource, TableOptions
from mlcfast.data.records import LabelledImages, require_directory
from mlcfast.data.splits import rows_and_groups
from mlcfast.documents import parse_json, reading
from mlcfast.errors import UsageError

ROWS_AT_ONCE = 4096
NOTE = "features.json"
DTYPES = (np.float16, np.float32)
MAKE_THEM = ": python -m mlcfast.features CONFIG --out {} makes them, CONFIG being one of images and their backbone"


@dataclass(frozen=True)
class LabelledFeatures(LabelledImages):
    """M feature vectors with K labels each; paths are those of the images they were made of, "" where not known.

    features: (N, D) float16 or float32, memory-mapped; rows: (M,) int64, the row of each of the M samples.
    """

    features: np.ndarray
    rows: np.ndarray

    def subset(self, indices: Sequence[int] | np.ndarray) -> "LabelledFeatures":
        """The samples at these positions, in this order; the features stay where they are."""
        kept = super().subset(indices)
        rows = self.rows[np.asarray(indices, dtype=np.int64)]
        parts = (kept.paths, kept.labels, kept.names, kept.image_ids, self.features, rows)
        return LabelledFeatures(*parts, groups=kept.groups)


def read_features(
    root: str | Path,
    split: str,
    names: Sequence[str] | None = None,
    options: TableOptions | None = None,
    part: str | None = None,
    others: Sequence[str] = (),
) -> LabelledFeatures:
    """Read one split of a feature set; see the module for the files.

    names: the labels of the training split, which a CSV file may list in another order. Label values are 1, 0 (absent,
    or unknown under partial labels) and −1. Where no image ids are stored, they are the rows' numbers. options, part,
    others: the columns of splits and groups, the part that is meant and the names of the others, as in read_csv.

    Raises UsageError in one line, naming file and row, for files that are absent, not of these types, of differing
    length, for features that are not finite and for other label values.
    """
    root = Path(root)
    if not root.exists():
        raise UsageError(f"{root}: no such directory (data.root){MAKE_THEM.format(root)}")
    require_directory(root, "data.root")
    with reading(root / split, within=root):
        options = options or TableOptions()
        whole, source = _read(root, split, names, options)
        rows, groups = rows_and_groups(source, options, part, others)
    return replace(whole.subset(rows), groups=groups) if part is not None else replace(whole, groups=groups)


def _read(
    root: Path, split: str, names: Sequence[str] | None, options: TableOptions
) -> tuple[LabelledFeatures, LabelSource]:
    file = _feature_file(root, split)
    features = open_matrix(file)
    _check_finite(features, file)
    labels_at = label_file(root, split)
    labels, own_names, ids, columns = read_stored_labels(labels_at, names, options)
    if len(labels) != len(features):
        raise UsageError(f"{labels_at}: {len(labels)} rows of labels for {len(features)} rows of features in {file}")
    note = _read_note(file.parent / NOTE) if file.parent != root else {}
    for key, held in note.items():
        if key in ("names", "image_ids", "paths") and not (
            isinstance(held, list) and all(isinstance(each, str) for each in held)
        ):
            raise UsageError(f"{file.parent / NOTE}: {key} is no list of texts")
    found = note.get("names") or own_names or _names_beside(root) or [str(k) for k in range(labels.shape[1])]
    if len(found) != labels.shape[1]:
        raise UsageError(f"{labels_at}: {labels.shape[1]} columns of labels for {len(found)} label names")
    ids = note.get("image_ids") or ids or [f"{row:08d}" for row in range(len(labels))]
    paths = note.get("paths") or [""] * len(labels)
    columns = _noted_columns(note, file.parent / NOTE, len(labels)) | columns
    source = LabelSource(labels_at, "features", ids, range(1, len(labels) + 1), found, labels, columns=columns)
    return LabelledFeatures(paths, labels, found, ids, features, np.arange(len(labels))), source


def _noted_columns(note: dict[str, Any], file: Path, count: int) -> dict[str, list[str]]:
    """What features.json says of its `count` rows beside their names."""
    held = note.get("columns") or {}
    alike = isinstance(held, dict) and all(isinstance(cells, list) and len(cells) == count for cells in held.values())
    if not alike:
        raise UsageError(f"{file}: columns must be lists of {count} cells, one for each row of features")
    return {name: ["" if cell is None else str(cell) for cell in cells] for name, cells in held.items()}


def feature_width(root: str | Path, split: str) -> int:
    """D, from the header of the split's feature file."""
    return open_matrix(_feature_file(Path(root), split)).shape[1]


def open_matrix(file: Path) -> np.ndarray:
    """Map a .npy file of shape (N, D) and dtype float16 or float32; UsageError for anything else."""
    matrix = load_array(file, mmap_mode="c")  # copy-on-write: torch wants memory that could be written
    if matrix.ndim != 2 or not matrix.size or matrix.dtype not in DTYPES:
        raise UsageError(f"{file}: features must be a float16 or float32 matrix, not {matrix.dtype} {matrix.shape}")
    return matrix


def finite_rows(features: np.ndarray) -> Iterator[np.ndarray]:
    """For each of the pieces of `features` in turn, whether its rows are finite."""
    for start in range(0, len(features), ROWS_AT_ONCE):
        yield np.isfinite(features[start : start + ROWS_AT_ONCE]).all(axis=1)


def _feature_file(root: Path, split: str) -> Path:
    own = root / split / "features.npy"
    if own.is_file():
        return own
    found = sorted(root.glob(f"{split}_features*.npy"))
    if not found:
        hint = "" if root.exists() else MAKE_THEM.format(root)
        raise UsageError(
            f"{root}: no features of {split}: neither {split}/features.npy nor {split}_features*.npy{hint}"
        )
    if len(found) > 1:
        raise UsageError(f"{root}: several features of {split}: {', '.join(file.name for file in found)}; leave one")
    return found[0]


def _check_finite(features: np.ndarray, file: Path) -> None:
    for number, finite in enumerate(finite_rows(features)):
        if not finite.all():
            row = number * ROWS_AT_ONCE + int(np.argmin(finite))
            raise UsageError(f"{file}: row {row} (counted from 0) holds a value that is not finite")


def _names_beside(root: Path) -> list[str]:
    file = root / "label_names.txt"
    return file.read_text(encoding="utf-8").splitlines() if file.is_file() else []


def _read_note(file: Path) -> dict[str, Any]:
    try:
        note = parse_json(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise UsageError(f"{file}: not valid JSON: {error}") from error
    if not isinstance(note, dict):
        raise UsageError(f"{file}: not a JSON object")
    return note
