"""Keeps scores and labels on disk where memory should not hold them, to be read back by images or by labels.

Shapes: K labels, M images of this process, m of a batch, R of a chunk, k labels of a block.
"""

import tempfile
from collections.abc import Iterator
from types import TracebackType
from typing import Self

import numpy as np

from mlcfast.errors import RunError

CHUNK_ENTRIES = 2**24  # images × labels that are written together: 64 MiB of scores, 16 MiB of labels


class ScoreStore:
    """A file without a name in the directory for temporary files (TMPDIR): for every entry a float32 and an int8.

    A chunk of R images lies label by label, so that a block of labels is one read in each chunk. RunError for a disk
    that is full.
    """

    def __init__(self, labels: int):
        self.labels, self.rows = labels, max(1, CHUNK_ENTRIES // max(1, labels))
        self.chunks: list[tuple[int, int]] = []  # where each begins, and its images
        self._file = tempfile.TemporaryFile(prefix="mlcfast-scores-")  # noqa: SIM115  # closed by __exit__
        self._scores = np.empty((self.rows, labels), np.float32)
        self._targets = np.empty((self.rows, labels), np.int8)
        self._filled = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def append(self, scores: np.ndarray, targets: np.ndarray) -> None:
        """Add m images: scores (m, K) and labels (m, K)."""
        while len(scores):
            m = min(len(scores), self.rows - self._filled)
            rows = slice(self._filled, self._filled + m)
            self._scores[rows], self._targets[rows] = scores[:m], targets[:m]
            self._filled += m
            scores, targets = scores[m:], targets[m:]
            if self._filled == self.rows:
                self.flush()

    def flush(self) -> None:
        """Write what was added since the last chunk; to be called before anything is read."""
        if not self._filled:
            return
        try:
            begin = self._file.seek(0, 2)
            for rows in (self._scores[: self._filled], self._targets[: self._filled]):
                self._file.write(np.ascontiguousarray(rows.T).data)
            self._file.flush()
        except OSError as error:
            where = tempfile.gettempdir()
            raise RunError(f"{where}: cannot hold the scores: {error.strerror}: set TMPDIR to a larger disk") from error
        self.chunks.append((begin, self._filled))
        self._filled = 0

    def of_images(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Scores and labels (K, R) of a chunk of images after the other."""
        for begin, images in self.chunks:
            yield self._read(begin, images, 0, self.labels)

    def of_labels(self, first: int, end: int) -> tuple[np.ndarray, np.ndarray]:
        """Scores and labels (k, M) of the labels from `first` to before `end`, in the order they were added."""
        parts = [self._read(*chunk, first, end) for chunk in self.chunks]
        if not parts:
            return np.empty((end - first, 0), np.float32), np.empty((end - first, 0), np.int8)
        scores, targets = (np.concatenate(each, axis=1) for each in zip(*parts, strict=True))
        return scores, targets

    def _read(self, begin: int, images: int, first: int, end: int) -> tuple[np.ndarray, np.ndarray]:
        scores, targets = np.empty((end - first, images), np.float32), np.empty((end - first, images), np.int8)
        of_targets = begin + 4 * self.labels * images
        for place, array in ((begin + 4 * first * images, scores), (of_targets + first * images, targets)):
            self._file.seek(place)
            self._file.readinto(array.reshape(-1).view(np.uint8).data)
        return scores, targets
