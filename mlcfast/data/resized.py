"""Caches the recipes' fixed resize: every image as uint8 (S, S, 3) in one memory-mapped file."""

import hashlib
import json
import logging
import mmap
import os
import shutil
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from mlcfast.data.bad_images import remedied
from mlcfast.data.images import load_pixels
from mlcfast.data.records import LabelledImages, fingerprint
from mlcfast.data.transforms import resize
from mlcfast.errors import RunError, UsageError
from mlcfast.files import cache_directory, locked, write_bytes

LOGGER = logging.getLogger("mlcfast")
CACHE_VERSION = 3
SUMS = ".crc32"  # of the file with a checksum an image, by which each is compared when it is read
CHUNK = 256  # images between two notes of what is done
Progress = Callable[[int, int], None]


def resized_cache_bytes(num_images: int, image_size: int) -> int:
    """The size on disk in bytes: M·S·S·3; 49.4 GB for MS-COCO 2014's 82,081 training images at 448."""
    return num_images * image_size * image_size * 3


class ResizedCache:
    """Read access to M resized images; the same pixels that decoding and resizing each file gives."""

    def __init__(self, path: str | Path, num_images: int, image_size: int):
        self.path, self.num_images, self.image_size = Path(path), num_images, image_size
        self._pixels: np.ndarray | None = None
        self._sums: np.ndarray | None = None

    @classmethod
    def build(
        cls,
        records: LabelledImages,
        image_size: int,
        workers: int = 0,
        directory: str | Path | None = None,
        progress: Progress | None = None,
    ) -> "ResizedCache":
        """Open the cache of these images at this size, made first where it is absent or out of date.

        directory: default `.mlcfast` beside the images, or a user cache folder where that is read-only; workers:
        decoding threads; progress: called with (images done, images in all). An interrupted build is taken up where
        it stopped; it takes the file's final name when complete; of several processes one builds, the others wait.
        A change of the list, the size, or of a source file's size or time makes it anew.

        Raises UsageError if the disk has no room and RunError for an image that cannot be decoded.
        """
        folder = cache_directory(os.path.dirname(records.paths[0])) if directory is None else Path(directory)
        folder.mkdir(parents=True, exist_ok=True)
        listed = hashlib.sha256(os.fsencode("\0".join(records.paths))).hexdigest()[:16]
        cache = cls(folder / f"resized-{image_size}-{listed}.uint8", len(records), image_size)
        key = f"{CACHE_VERSION}:{image_size}:{fingerprint(records.paths)}"
        with locked(cache._beside(".lock")):
            if not cache._is_complete(key):
                _Build(cache, key, records.paths, max(1, workers), progress).run()
        return cache

    def __len__(self) -> int:
        """The number of images."""
        return self.num_images

    def __getitem__(self, index: int) -> np.ndarray:
        """Image `index` as uint8 (S, S, 3), a read-only view; RunError if it is not what was written there."""
        if self._pixels is None or self._sums is None:
            self._pixels, self._sums = self._map(), np.fromfile(self._beside(SUMS), np.uint32)
        image = self._pixels[index]
        if len(self._sums) != self.num_images or zlib.crc32(image) != self._sums[index]:
            raise RunError(f"{self.path}: image {index} is damaged (its content is not what was written): delete it")
        return image

    def read(self, index: int, source: str) -> np.ndarray:
        """The same, made again from the file `source` where it is damaged, with a warning."""
        try:
            return self[index]
        except RunError as error:
            LOGGER.warning("%s, or go on: %s is read in its place", error, source)
            return resize(load_pixels(source), self.image_size)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_pixels": None, "_sums": None}  # each worker maps the file itself

    def _map(self) -> np.ndarray:
        with self.path.open("rb") as file:
            if os.fstat(file.fileno()).st_size != self._num_bytes:
                raise RunError(f"{self.path}: was cut off since the run began: start it again with --resume")
            pixels = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        return np.frombuffer(pixels, np.uint8).reshape(self.num_images, self.image_size, self.image_size, 3)

    def _beside(self, suffix: str) -> Path:
        return self.path.with_name(self.path.name + suffix)

    def _is_complete(self, key: str) -> bool:
        note = self._beside(".json")
        try:
            sizes = self.path.stat().st_size, self._beside(SUMS).stat().st_size
            return json.loads(note.read_text()) == {"key": key} and sizes == (self._num_bytes, 4 * self.num_images)
        except (OSError, ValueError):
            return False

    @property
    def _num_bytes(self) -> int:
        return resized_cache_bytes(self.num_images, self.image_size)


class _Build:
    """One making of a cache: pixels into a draft; a second file says whose are on the disk, with their checksums."""

    def __init__(self, cache: ResizedCache, key: str, paths: list[str], workers: int, progress: Progress | None):
        self.cache, self.key, self.paths, self.workers, self.progress = cache, key, paths, workers, progress
        self.draft, self.done_file, self.draft_note = (
            cache._beside(s) for s in (".partial", ".partial.done", ".partial.json")
        )

    def run(self) -> None:
        """Decode what is missing and publish the file."""
        self.cache._beside(".json").unlink(missing_ok=True)
        done = self._open_draft()
        todo = np.flatnonzero(done[0] == 0)
        with self.draft.open("r+b") as file, ThreadPoolExecutor(self.workers) as pool:
            for start in range(0, len(todo), CHUNK):
                chunk = todo[start : start + CHUNK]
                done[1, chunk] = self._write(pool, file.fileno(), chunk)
                done[0, chunk] = 1
                write_bytes(self.done_file, done.tobytes())
                if self.progress:
                    self.progress(int(done[0].sum()), len(self.paths))
        write_bytes(self.cache._beside(SUMS), done[1].tobytes())
        os.replace(self.draft, self.cache.path)
        os.replace(self.draft_note, self.cache._beside(".json"))
        self.done_file.unlink()

    def _open_draft(self) -> np.ndarray:
        """(2, M) uint32 of an earlier draft that can be gone on with, or of a new one: 1 where done, and checksums."""
        try:
            resumable = json.loads(self.draft_note.read_text()) == {"key": self.key}
            if resumable and self.draft.stat().st_size == self.cache._num_bytes:
                return np.fromfile(self.done_file, np.uint32).reshape(2, len(self.paths))
        except (OSError, ValueError):
            pass
        for path in (self.draft_note, self.draft, self.cache.path):
            path.unlink(missing_ok=True)
        self._reserve()
        done = np.zeros((2, len(self.paths)), np.uint32)
        write_bytes(self.done_file, done.tobytes())
        self.draft_note.write_text(json.dumps({"key": self.key}))
        return done

    def _reserve(self) -> None:
        needed, free = self.cache._num_bytes, shutil.disk_usage(self.draft.parent).free
        if needed > free:
            raise UsageError(
                f"{self.draft.parent}: the resized images need {needed / 1e9:.1f} GB and {free / 1e9:.1f} GB are free: "
                "set data.resized_cache to false"
            )
        with self.draft.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, needed)

    def _write(self, pool: ThreadPoolExecutor, file: int, chunk: np.ndarray) -> list[int]:
        """Have these images' pixels on the disk; returns their checksums."""
        size, each = self.cache.image_size, resized_cache_bytes(1, self.cache.image_size)

        def write(index: int) -> int:
            with remedied(self.paths[index]):
                pixels = resize(load_pixels(self.paths[index]), size).tobytes()
            if os.pwrite(file, pixels, index * each) != each:
                raise RunError(f"{self.draft}: cannot write the resized images: the disk is full")
            return zlib.crc32(pixels)

        sums = list(pool.map(write, chunk.tolist()))
        os.fdatasync(file)
        return sums
