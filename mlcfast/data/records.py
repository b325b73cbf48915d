"""The image list every reader returns: paths, label matrix, label names."""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mlcfast.data.images import load_pixels
from mlcfast.data.labels import Labels, SparseLabels, placed
from mlcfast.errors import RunError, UsageError
from mlcfast.registry import hint, hint_path


@dataclass(frozen=True)
class LabelledImages:
    """M images with K labels each.

    paths: M file paths; labels: (M, K) int8, 1 positive, 0 absent or unknown, −1 observed negative, 2 to
    100 soft (labels.soft_code), a matrix or, where that would be large and nearly empty, SparseLabels; names: the K
    label names in column order; image_ids: M identifiers, the annotation file's own as text; groups: M names of what
    must not be torn apart, such as the patient, where data.group says which column has them; cells: what the labels of
    the file hold beside 1, by which the other splits are read (LabelSource.cells).
    """

    paths: list[str]
    labels: Labels
    names: list[str]
    image_ids: list[str]
    groups: list[str] | None = field(default=None, kw_only=True)
    cells: frozenset[int] = field(default=frozenset(), kw_only=True)

    def __post_init__(self) -> None:
        """ValueError where lengths, type or values do not go together; readers of a user's own are checked so."""
        M, K = len(self.paths), len(self.names)
        if self.labels.shape != (M, K) or len(self.image_ids) != M:
            counts = f"labels {self.labels.shape} for {M} paths, {len(self.image_ids)} ids and {K} names"
            raise ValueError(f"labels must be (paths, names) and image_ids one a path: {counts}")
        if self.labels.dtype != np.int8:
            raise ValueError(f"labels must be int8, not {self.labels.dtype}")

    def __len__(self) -> int:
        """M, the number of images."""
        return len(self.paths)

    def load_pixels(self, index: int) -> np.ndarray:
        """An image, decoded to RGB, as uint8 (H, W, 3); RunError says why not."""
        return load_pixels(self.paths[index])

    def subset(self, indices: Sequence[int] | np.ndarray) -> "LabelledImages":
        """The images at these positions, in this order."""
        chosen = np.asarray(indices, dtype=np.int64)
        paths, ids = ([values[i] for i in chosen] for values in (self.paths, self.image_ids))
        groups = None if self.groups is None else [self.groups[i] for i in chosen]
        return LabelledImages(paths, self.labels[chosen], self.names, ids, groups=groups, cells=self.cells)

    def with_names(self, names: list[str], what: str) -> "LabelledImages":
        """The same images with the label columns of `names`, in that order; UsageError where the sets differ."""
        if set(names) != set(self.names):
            odd = sorted(set(names) ^ set(self.names))
            near = hint(odd[0], odd[1:])
            raise UsageError(f"{what}: other labels than those of the training images, {odd[0]!r} among them{near}")
        place = {name: column for column, name in enumerate(names)}
        labels = placed(
            self.labels,
            [place[name] for name in self.names],
            len(names),
            self.labels.fill if isinstance(self.labels, SparseLabels) else 0,
        )
        return LabelledImages(self.paths, labels, list(names), self.image_ids)

    def sorted_by_id_text(self) -> "LabelledImages":
        """The images in the order of their ids as text ("10" before "9"), which the single-positive protocol needs."""
        return self.subset(sorted(range(len(self)), key=self.image_ids.__getitem__))


def require_directory(path: Path, what: str) -> None:
    """Raise UsageError unless `path` is a directory; `what` says which one it should be."""
    if not path.is_dir():
        if path.exists():
            raise UsageError(f"{path}: not a directory ({what})")
        raise UsageError(f"{path}: no such directory ({what}){hint_path(path)}")


def fingerprint(paths: Sequence[str]) -> str:
    """A digest of the paths in order and of each file's size and time of change; RunError names one that is gone."""
    digest = hashlib.sha256()
    for path in paths:
        try:
            status = os.stat(path)
        except OSError as error:
            raise RunError(f"{path}: {error.strerror}") from error
        digest.update(os.fsencode(f"{path}\0{status.st_size}\0{status.st_mtime_ns}\0"))
    return digest.hexdigest()
