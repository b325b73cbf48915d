"""The recipes' fixed resize done once: every image as uint8 (S, S, 3) in one memory-mapped file."""

import hashlib
import json
import mmap
import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from mlcfast.data.images import load_rgb
from mlcfast.data.records import LabelledImages, fingerprint
from mlcfast.data.transforms import resize
from mlcfast.errors import RunError, UsageError
from mlcfast.files import cache_directory, locked

CACHE_VERSION = 1
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
        listed = hashlib.sha256("\0".join(records.paths).encode()).hexdigest()[:16]
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
        """Image `index` as uint8 (S, S, 3), a read-only view of the file."""
        if self._pixels is None:
            self._pixels = self._map()
        return self._pixels[index]

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_pixels": None}  # each worker maps the file itself

    def _map(self) -> np.ndarray:
        with self.path.open("rb") as file:
            pixels = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        return np.frombuffer(pixels, np.uint8).reshape(self.num_images, self.image_size, self.image_size, 3)

    def _beside(self, suffix: str) -> Path:
        return self.path.with_name(self.path.name + suffix)

    def _is_complete(self, key: str) -> bool:
        note = self._beside(".json")
        try:
            size = self.path.stat().st_size
            return json.loads(note.read_text()) == {"key": key} and size == self._num_bytes
        except (OSError, ValueError):
            return False

    @property
    def _num_bytes(self) -> int:
        return resized_cache_bytes(self.num_images, self.image_size)


class _Build:
    """One making of a cache: pixels into a draft, a byte an image in a second file once its pixels are on disk."""

    def __init__(self, cache: ResizedCache, key: str, paths: list[str], workers: int, progress: Progress | None):
        self.cache, self.key, self.paths, self.workers, self.progress = cache, key, paths, workers, progress
        self.draft, self.done_file, self.draft_note = (
            cache._beside(s) for s in (".partial", ".partial.done", ".partial.json")
        )

    def run(self) -> None:
        """Decode what is missing and publish the file."""
        self.cache._beside(".json").unlink(missing_ok=True)
        self._open_draft()
        done = np.fromfile(self.done_file, np.uint8)
        todo = np.flatnonzero(done == 0)
        with self.draft.open("r+b") as file, ThreadPoolExecutor(self.workers) as pool:
            for start in range(0, len(todo), CHUNK):
                chunk = todo[start : start + CHUNK]
                self._write(pool, file.fileno(), chunk)
                done[chunk] = 1
                done.tofile(self.done_file)
                if self.progress:
                    self.progress(int(done.sum()), len(done))
        os.replace(self.draft, self.cache.path)
        os.replace(self.draft_note, self.cache._beside(".json"))
        self.done_file.unlink()

    def _open_draft(self) -> None:
        try:
            resumable = json.loads(self.draft_note.read_text()) == {"key": self.key}
            if resumable and self.draft.stat().st_size == self.cache._num_bytes:
                return
        except (OSError, ValueError):
            pass
        for path in (self.draft_note, self.draft, self.cache.path):
            path.unlink(missing_ok=True)
        self._reserve()
        np.zeros(len(self.paths), np.uint8).tofile(self.done_file)
        self.draft_note.write_text(json.dumps({"key": self.key}))

    def _reserve(self) -> None:
        needed, free = self.cache._num_bytes, shutil.disk_usage(self.draft.parent).free
        if needed > free:
            raise UsageError(
                f"{self.draft.parent}: the resized images need {needed / 1e9:.1f} GB and {free / 1e9:.1f} GB are free: "
                "set data.resized_cache to false"
            )
        with self.draft.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, needed)

    def _write(self, pool: ThreadPoolExecutor, file: int, chunk: np.ndarray) -> None:
        size, each = self.cache.image_size, resized_cache_bytes(1, self.cache.image_size)

        def write(index: int) -> None:
            pixels = resize(load_rgb(self.paths[index]), size).tobytes()
            if os.pwrite(file, pixels, index * each) != each:
                raise RunError(f"{self.draft}: cannot write the resized images: the disk is full")

        for _ in pool.map(write, chunk.tolist()):
            pass
        os.fdatasync(file)
