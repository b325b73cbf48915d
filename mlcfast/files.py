"""Files written whole or not at all, digests that show damage, locks, and where derived files are kept."""

import contextlib
import ctypes
import hashlib
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from mlcfast.errors import RunError

LOGGER = logging.getLogger("mlcfast")
FOLDER = ".mlcfast"
CHUNK = 2**24  # bytes read, written and hashed at a time
DIGEST = "sha256"  # the key of a sealed document's own digest
AT_CWD, EXCHANGE = -100, 2  # of Linux's renameat2


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all, in UTF-8; a file name in it that is not UTF-8 keeps its bytes."""
    write_bytes(path, text.encode("utf-8", "surrogateescape"))


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file whole or not at all; OSError names it."""
    draft = path.with_name(path.name + ".partial")
    with errors_name(path):
        draft.write_bytes(content)
        _publish(draft, path)


@contextlib.contextmanager
def errors_name(path: Path) -> Iterator[None]:
    """Within the block what fails for the disk's sake is an OSError that names `path`.

    The errors of writing and of fsync name none.
    """
    try:
        yield
    except OSError as error:
        error.filename = str(path)
        raise


def publish_directory(draft: Path, target: Path) -> None:
    """Give a finished directory its name in one step, in the place of one that has it already.

    Where the system cannot exchange two directories at once the old one is gone for a moment. OSError names the target.
    """
    with errors_name(target):
        sync(draft)
        if target.exists() and _exchange(draft, target):
            sync(target.parent)
            shutil.rmtree(draft, ignore_errors=True)  # what is left of it is cleared at the next draft
            return
        shutil.rmtree(target, ignore_errors=True)
        os.replace(draft, target)
        sync(target.parent)


def remove_directory(place: Path) -> None:
    """Remove a directory that others may look for: its name is gone in one step, what is in it thereafter.

    What an interruption leaves is a hidden draft beside it. Where a full disk lets nothing be renamed, it is removed as
    it is.
    """
    draft = place.with_name(f".{place.name}.partial")
    shutil.rmtree(draft, ignore_errors=True)
    try:
        os.replace(place, draft)
    except OSError:
        draft = place
    shutil.rmtree(draft, ignore_errors=True)


def sync(place: Path) -> None:
    """Have a file, or the names in a directory, on the disk."""
    if os.name == "nt" and place.is_dir():  # Windows opens no directories
        return
    descriptor = os.open(place, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256_of(path: Path) -> str:
    """The digest of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def listed(files: Iterable[Path]) -> dict[str, dict[str, Any]]:
    """Name, size and digest of files of one directory, to be compared by `compare_listed`."""
    return {file.name: {"bytes": file.stat().st_size, DIGEST: sha256_of(file)} for file in files}


def compare_listed(
    directory: Path, files: Mapping[str, Mapping[str, Any]], remedy: str, error: type[Exception] = RunError
) -> None:
    """Raise `error`, which names the file and ends with `remedy`, for the first one that is missing or was changed."""
    for name, expected in files.items():
        file = directory / name
        parts = parts_of(expected)
        if parts is None:
            raise error(f"{directory}: the list of its files is damaged at {name!r}; {remedy}")
        if not file.is_file():
            raise error(f"{file}: missing; {remedy}")
        if file.stat().st_size != expected["bytes"] or any(_digest_of_segments(file, s) != d for d, s in parts):
            raise error(f"{file}: damaged (its content is not what was written); {remedy}")


def parts_of(entry: Any) -> list[tuple[str, list[Any]]] | None:
    """Digest and segments (start, bytes) of each part of a file's entry; None where it is none.

    The entry of a file that one process wrote holds a digest; several wrote one with `parts`, each with the segments
    that it covers, which together are the whole file.
    """
    try:
        if DIGEST in entry:
            return [(entry[DIGEST], [(0, int(entry["bytes"]))])]
        return [
            (part[DIGEST], [(int(start), int(size)) for start, size in part["segments"]]) for part in entry["parts"]
        ]
    except (KeyError, TypeError, ValueError):
        return None


def sealed(document: Mapping[str, Any]) -> str:
    """The document as JSON with a digest of its own content, for `unsealed`."""
    return json.dumps({**document, DIGEST: _digest_of(document)}, indent=1)


def unsealed(text: str | bytes) -> dict[str, Any]:
    """The document again; ValueError where it is no JSON object or was changed since it was sealed.

    A document without a digest is taken as it is: earlier versions wrote none, and who edits one by hand removes it.
    """
    text = text.decode("utf-8") if isinstance(text, bytes) else text
    try:
        document = json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(document, dict):
        raise ValueError("not a JSON object")
    if document.pop(DIGEST, None) is not None and sealed(document) != text:
        raise ValueError(f"changed since it was written (remove its {DIGEST!r} entry to use it all the same)")
    return document


def cache_directory(beside: str | Path) -> Path:
    """A writable folder for files derived from the directory `beside`.

    `beside/.mlcfast`, or, where that cannot be written, a folder of its own under $XDG_CACHE_HOME/mlcfast (default
    ~/.cache/mlcfast), or as a last resort under the system's temporary directory.
    """
    beside = Path(beside).resolve()
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    own = hashlib.sha256(os.fsencode(beside)).hexdigest()[:16]
    choices = [beside / FOLDER, home / "mlcfast" / own, Path(tempfile.gettempdir()) / f"mlcfast-{_user()}" / own]
    for choice in choices[:-1]:
        if _is_writable(choice):
            return choice
    choices[-1].mkdir(parents=True, exist_ok=True)
    return choices[-1]


def _user() -> int | str:
    """What tells the users of a machine apart; Windows gives each a temporary directory of their own."""
    return os.getuid() if hasattr(os, "getuid") else "files"


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock named by the file `path` among the processes that share its file system.

    Where the file system has no locks the block runs unlocked: what it protects is published by rename, so the cost is
    work done twice.
    """
    with path.open("a") as file:
        try:
            lock_file(file)
        except OSError as error:
            LOGGER.warning("%s: cannot lock (%s); other processes may repeat this work", path, error.strerror)
        yield


def lock_file(file: IO[str], wait: bool = True) -> bool:
    """Hold an exclusive lock on an open file until it is closed; BlockingIOError if another holds it and not `wait`.

    Returns whether it is held: not where the system has no such locks.
    """
    try:
        import fcntl  # not on Windows
    except ImportError:
        return False
    fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    return True


def unlock_file(file: IO[str]) -> None:
    """Let the lock of `lock_file` go; to close the file would not do where a process that was forked has it open."""
    with contextlib.suppress(ImportError, OSError):
        import fcntl  # not on Windows

        fcntl.flock(file, fcntl.LOCK_UN)


@contextlib.contextmanager
def published(path: Path) -> Iterator[Path]:
    """Give a draft path to write to and rename it to `path` when the block ends well, delete it otherwise."""
    draft = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        yield draft
        _publish(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def _is_writable(directory: Path) -> bool:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory):
            return True
    except OSError:
        return False


def _digest_of_segments(path: Path, segments: Iterable[tuple[int, int]]) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for start, size in segments:
            file.seek(start)
            while size and (chunk := file.read(min(size, CHUNK))):
                digest.update(chunk)
                size -= len(chunk)
    return digest.hexdigest()


def _digest_of(document: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


def _exchange(one: Path, other: Path) -> bool:
    """Let two paths trade their names at once; False where the system or the file system cannot."""
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None) if os.name == "posix" else None
    return rename is not None and not rename(AT_CWD, os.fsencode(one), AT_CWD, os.fsencode(other), EXCHANGE)


def _publish(draft: Path, path: Path) -> None:
    sync(draft)
    os.replace(draft, path)
