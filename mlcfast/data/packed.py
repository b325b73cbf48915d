"""Images that lie inside other files, read where they lie, and the order in which a run streams them.

Shapes: M images. A block is a run of images that lie one after the other and are read together.
"""

import os
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from mlcfast.data.images import load_pixels
from mlcfast.data.records import LabelledImages
from mlcfast.errors import RunError

IMAGES_A_BLOCK = 256


class PackedImages(Protocol):
    """The contents of M images; block: (M,) int64, the block each is in."""

    @property
    def block(self) -> np.ndarray:
        """(M,) int64, rising from image to image as they lie in the files."""

    def read(self, index: int) -> bytes:
        """The content of an image; RunError where its file has changed or cannot be read."""

    def taken(self, indices: np.ndarray) -> "PackedImages":
        """The images at these positions, in this order."""


def contents(packed: PackedImages) -> Iterator[bytes]:
    """The contents of all images, in order."""
    return (packed.read(index) for index in range(len(packed.block)))


@dataclass(frozen=True)
class TarImages:
    """Images in tar files: files, and for each image, (M,) int64, the file by number, where it begins and its bytes."""

    files: Sequence[Path]
    file: np.ndarray
    begin: np.ndarray
    size: np.ndarray
    block: np.ndarray
    _opened: dict[int, int] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def of(cls, files: Sequence[Path], places: Sequence[tuple[int, int, int]]) -> "TarImages":
        """places: for each image its file's number, its first byte and its bytes, file by file."""
        file, begin, size = np.array(places, np.int64).reshape(-1, 3).T
        number = np.arange(len(file)) - np.searchsorted(file, file)  # within its file
        new = np.append(True, (file[1:] != file[:-1]) | (number[1:] % IMAGES_A_BLOCK == 0))[: len(file)]
        return cls(files, file, begin, size, np.cumsum(new) - 1)

    def read(self, index: int) -> bytes:
        """The content of an image; RunError where its file cannot be read, or ends before."""
        number, size = int(self.file[index]), int(self.size[index])
        path = self.files[number]
        try:
            if number not in self._opened:
                self._opened[number] = os.open(path, os.O_RDONLY)
            content = os.pread(self._opened[number], size, int(self.begin[index]))  # workers share the descriptor
        except OSError as error:
            raise RunError(f"{path}: cannot be read: {error.strerror}") from error
        if len(content) < size:
            raise RunError(f"{path}: ends before its image {index}: it has changed since it was opened")
        return content

    def taken(self, indices: np.ndarray) -> "TarImages":
        """The images at these positions, in this order."""
        parts = {name: getattr(self, name)[indices] for name in ("file", "begin", "size", "block")}
        return replace(self, **parts)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_opened": {}}  # a descriptor means nothing elsewhere


@dataclass(frozen=True)
class ArrowImages:
    """Images in Parquet or Arrow files, whose groups of rows are read whole and kept while they are in use.

    tables: with `group(number, column)`, the contents of a group of rows; column: of the images; table, group, row:
    (M,) int64, where each image lies; block: (M,), its group counted over all tables.
    """

    tables: Sequence[Any]
    column: str
    table: np.ndarray
    group: np.ndarray
    row: np.ndarray
    block: np.ndarray
    groups_kept: int = 8
    _held: "OrderedDict[int, Any]" = field(default_factory=OrderedDict, compare=False, repr=False)

    @classmethod
    def of(cls, tables: Sequence[Any], column: str, sizes: Sequence[Sequence[int]]) -> "ArrowImages":
        """sizes: of each table, the rows of each of its groups."""
        flat = [(t, g, rows) for t, groups in enumerate(sizes) for g, rows in enumerate(groups)]
        table, group, rows = np.array(flat, np.int64).reshape(-1, 3).T
        block = np.repeat(np.arange(len(flat)), rows)
        row = np.arange(len(block)) - np.repeat(np.cumsum(rows) - rows, rows)
        return cls(tables, column, table[block], group[block], row, block)

    def read(self, index: int) -> bytes:
        """The content of an image, empty for none; RunError where its file cannot be read."""
        block = int(self.block[index])
        if block not in self._held:
            while len(self._held) >= self.groups_kept:
                self._held.popitem(last=False)
            self._held[block] = self.tables[int(self.table[index])].group(int(self.group[index]), self.column)
        self._held.move_to_end(block)
        return self._held[block][int(self.row[index])].as_py() or b""

    def taken(self, indices: np.ndarray) -> "ArrowImages":
        """The images at these positions, in this order."""
        parts = {name: getattr(self, name)[indices] for name in ("table", "group", "row", "block")}
        return replace(self, **parts)

    def keeping(self, images: int) -> "ArrowImages":
        """The same, keeping about as many groups as `images` that follow each other, block after block, lie in."""
        in_a_group = len(self.block) // max(1, len(np.unique(self.block)))
        return replace(self, groups_kept=images // max(1, in_a_group) + 2)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_held": OrderedDict()}


@dataclass(frozen=True)
class StreamedImages(LabelledImages):
    """M images with K labels each, which are read from the files that hold them; paths name file and image.

    buffer: how many images are shuffled together when they train.
    """

    packed: PackedImages
    buffer: int

    def subset(self, indices: Sequence[int] | np.ndarray) -> "StreamedImages":
        """The images at these positions, in this order; they stay where they are."""
        kept = super().subset(indices)
        packed = self.packed.taken(np.asarray(indices, dtype=np.int64))
        parts = (kept.paths, kept.labels, kept.names, kept.image_ids, packed, self.buffer)
        return StreamedImages(*parts, groups=kept.groups, cells=kept.cells)

    def load_pixels(self, index: int) -> np.ndarray:
        """An image, decoded to RGB, as uint8 (H, W, 3); RunError says why not."""
        return load_pixels(self.paths[index], self.packed.read(index))


def stream_order(block: np.ndarray, buffer: int, seed: int, epoch: int) -> np.ndarray:
    """The order (M,) int64 in which an epoch streams M images: a pure function of its arguments, each image once.

    block: (M,), as in PackedImages. The blocks come in random order and the images of a block as they lie; of the
    sequence that results, each `buffer` images that follow each other are shuffled. So no more than these are under way
    at a time, and every file is read in runs. Where the buffers begin is random too.
    """
    random = np.random.RandomState(np.random.MT19937(np.random.SeedSequence((seed, epoch))))  # frozen by NumPy
    _, number = np.unique(block, return_inverse=True)
    rank = random.permutation(int(np.max(number, initial=-1)) + 1)
    order = np.argsort(rank[number], kind="stable")
    window = (np.arange(len(order)) + random.randint(max(1, buffer))) // max(1, buffer)
    return order[np.lexsort((random.random_sample(len(order)), window))]
