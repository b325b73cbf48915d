"""Where derived files are kept, and how several processes may write them without harm."""

import contextlib
import fcntl
import hashlib
import logging
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

LOGGER = logging.getLogger("mlcfast")
FOLDER = ".mlcfast"


def cache_directory(beside: str | Path) -> Path:
    """A writable folder for files derived from the directory `beside`.

    `beside/.mlcfast`, or, where that cannot be written, a folder of its own under $XDG_CACHE_HOME/mlcfast (default
    ~/.cache/mlcfast), or as a last resort under the system's temporary directory.
    """
    beside = Path(beside).resolve()
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    own = hashlib.sha256(os.fsencode(beside)).hexdigest()[:16]
    choices = [beside / FOLDER, home / "mlcfast" / own, Path(tempfile.gettempdir()) / f"mlcfast-{os.getuid()}" / own]
    for choice in choices[:-1]:
        if _is_writable(choice):
            return choice
    choices[-1].mkdir(parents=True, exist_ok=True)
    return choices[-1]


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock named by the file `path` among the processes that share its file system.

    Where the file system has no locks the block runs unlocked: what it protects is published by rename, so the cost is
    work done twice.
    """
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError as error:
            LOGGER.warning("%s: cannot lock (%s); other processes may repeat this work", path, error.strerror)
        yield


@contextlib.contextmanager
def published(path: Path) -> Iterator[Path]:
    """Give a draft path to write to and rename it to `path` when the block ends well, delete it otherwise."""
    draft = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        yield draft
        with draft.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def _is_writable(directory: Path) -> bool:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory):
            return True
    except OSError:
        return False
