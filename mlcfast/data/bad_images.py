"""Finding the images that cannot be decoded before training begins."""

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mlcfast.data.images import load_rgb
from mlcfast.data.records import LabelledImages, fingerprint
from mlcfast.errors import MissingImageError, RunError, UsageError
from mlcfast.files import cache_directory, locked, published

CHUNK = 256
REMEDY = "replace it, or leave such images out with data.bad_images=skip"


@contextlib.contextmanager
def remedied(path: str) -> Iterator[None]:
    """Let a RunError about reading the image file `path` say what to do; as it is for one inside another file."""
    try:
        yield
    except RunError as error:
        if os.path.isfile(path) and str(error).startswith(f"{path}: "):
            raise RunError(f"{error}: {REMEDY}") from error
        raise


@contextlib.contextmanager
def missing_explained(policy: str) -> Iterator[None]:
    """Let the readers' error about missing image files say that the policy `skip` is not for them."""
    try:
        yield
    except MissingImageError as error:
        if policy == "skip":
            raise UsageError(
                f"{error}: data.bad_images=skip leaves out damaged files alone: take their rows out"
            ) from error
        raise


def find_bad_images(
    records: LabelledImages, workers: int = 0, progress: Callable[[int, int], None] | None = None
) -> list[tuple[str, str]]:
    """Decode every image once and return (path, reason) of those that fail, in the list's order.

    workers: decoding threads; progress: called with (images done, images in all). The result is kept on disk until
    the list or a file's size or time changes. Raises RunError if a file is missing.
    """
    folder = cache_directory(Path(records.paths[0]).parent)
    listed = hashlib.sha256(os.fsencode("\0".join(records.paths))).hexdigest()[:16]
    cache, key = folder / f"bad-images-{listed}.json", fingerprint(records.paths)
    with locked(cache.with_suffix(".lock")):
        bad = _load(cache, key)
        if bad is None:
            bad = _decode_all(records.paths, max(1, workers), progress)
            with published(cache) as draft:
                draft.write_text(json.dumps({"key": key, "bad": bad}))
    return bad


def _load(cache: Path, key: str) -> list[tuple[str, str]] | None:
    try:
        content = json.loads(cache.read_text())
        return [(path, reason) for path, reason in content["bad"]] if content["key"] == key else None
    except (OSError, ValueError, KeyError):
        return None


def _decode_all(paths: list[str], workers: int, progress: Callable[[int, int], None] | None) -> list[tuple[str, str]]:
    bad: list[tuple[str, str]] = []
    with ThreadPoolExecutor(workers) as pool:
        for start in range(0, len(paths), CHUNK):
            chunk = paths[start : start + CHUNK]
            bad += [(path, reason) for path, reason in zip(chunk, pool.map(_reason, chunk), strict=True) if reason]
            if progress:
                progress(start + len(chunk), len(paths))
    return bad


def _reason(path: str) -> str | None:
    try:
        load_rgb(path)
    except RunError as error:
        return str(error).removeprefix(f"{path}: ")
    return None
