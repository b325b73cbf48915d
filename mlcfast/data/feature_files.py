"""Writing a feature set: rows are appended to a draft that a later process can take up, then published whole."""

import io
import json
import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from mlcfast.data.features import NOTE
from mlcfast.data.label_files import write_labels
from mlcfast.data.records import LabelledImages
from mlcfast.errors import RunError, UsageError
from mlcfast.files import published

ROWS_BETWEEN_NOTES = 512


def holds_features(directory: Path, key: str) -> bool:
    """Whether a complete feature file of this key is there; UsageError if it is of another one."""
    if not (directory / "features.npy").exists():
        return False
    if json.loads((directory / NOTE).read_text(encoding="utf-8")).get("key") != key:
        raise UsageError(f"{directory}: holds features of other images or settings: delete it or choose another --out")
    return True


class FeatureWriter:
    """Appends rows to DIRECTORY/features.npy.partial; `done` rows of an earlier process with the same key are kept.

    The rows up to the last note are on the disk whatever ends the process; those after it are computed again.
    """

    def __init__(self, directory: Path, key: str, shape: tuple[int, int], dtype: np.dtype):
        self.directory, self.key, self.shape, self.dtype = directory, key, shape, np.dtype(dtype)
        self.draft, self.progress = directory / "features.npy.partial", directory / "progress.json"
        directory.mkdir(parents=True, exist_ok=True)
        self.done = self._resumable_rows()
        if not self.done:
            self._begin()
        self.noted = self.done
        self.file = self.draft.open("r+b")
        self.file.truncate(self._bytes(self.done))
        self.file.seek(0, os.SEEK_END)

    def __enter__(self) -> "FeatureWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.file.close()

    def append(self, rows: np.ndarray, paths: Sequence[str]) -> None:
        """Add rows (m, D), made of the images `paths`; RunError for a row that is not finite, or a full disk."""
        stored = rows.astype(self.dtype)
        finite = np.isfinite(stored).all(axis=1)
        if not finite.all():
            path = paths[int(np.argmin(finite))]
            raise RunError(f"{path}: its features are not finite in {self.dtype}: try --dtype float32, precision fp32")
        self.file.write(stored.tobytes())
        self.done += len(stored)
        if self.done - self.noted >= ROWS_BETWEEN_NOTES:
            self._note()

    def publish(self, records: LabelledImages, about: dict[str, Any]) -> None:
        """Write the labels and features.json, then give the complete features their name."""
        self._note()
        write_labels(self.directory, records.labels)
        note = {"key": self.key, **about, "names": records.names, "image_ids": records.image_ids}
        with published(self.directory / NOTE) as draft:
            draft.write_text(json.dumps({**note, "paths": records.paths}), encoding="utf-8")
        os.replace(self.draft, self.directory / "features.npy")
        self.progress.unlink()

    def _resumable_rows(self) -> int:
        try:
            note = json.loads(self.progress.read_text(encoding="utf-8"))
            whole = self.draft.stat().st_size >= self._bytes(note["rows"])
            return note["rows"] if note["key"] == self.key and whole else 0
        except (OSError, ValueError, KeyError):
            return 0

    def _begin(self) -> None:
        self.progress.unlink(missing_ok=True)
        with self.draft.open("wb") as file:
            file.write(self._header())

    def _note(self) -> None:
        try:
            self.file.flush()
            os.fdatasync(self.file.fileno())
        except OSError as error:
            raise RunError(f"{self.draft}: cannot write the features: {error.strerror}") from error
        with published(self.progress) as draft:
            draft.write_text(json.dumps({"key": self.key, "rows": self.done}))
        self.noted = self.done

    def _header(self) -> bytes:
        """A .npy file's beginning, for the whole matrix."""
        begin = io.BytesIO()
        description = np.lib.format.dtype_to_descr(self.dtype)
        np.lib.format.write_array_header_1_0(begin, {"descr": description, "fortran_order": False, "shape": self.shape})
        return begin.getvalue()

    def _bytes(self, rows: int) -> int:
        return len(self._header()) + rows * self.shape[1] * self.dtype.itemsize
