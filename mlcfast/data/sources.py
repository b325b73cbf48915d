"""The image files meant by what a user types: files, directories and patterns."""

import glob
import os
from collections.abc import Iterable, Iterator
from typing import NamedTuple

SUFFIXES = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm", ".avif", ".jp2",
)  # fmt: skip
# Photographs that people have and that no decoder here reads; others of unknown kinds in a directory are left alone.
UNREAD = (".heic", ".heif", ".cr2", ".cr3", ".nef", ".arw", ".dng")


class Source(NamedTuple):
    """A file to decode, or what is wrong with it already."""

    path: str
    error: str | None = None


def find_images(arguments: Iterable[str]) -> Iterator[Source]:
    """The images of each argument in turn.

    A file is taken whatever its name. A directory stands for the files below it, at any depth, whose names end as
    images do (SUFFIXES), sorted; hidden ones are left out, links to files are followed and links to directories are
    not, so that no loop is entered. Photographs of kinds that are not read (UNREAD) are sources with their error.
    Another argument with *, ? or [ is a pattern, ** for any depth. What names nothing is a source with its error.
    """
    for argument in arguments:
        if os.path.isdir(argument):
            yield from _in_directory(argument)
        elif os.path.lexists(argument) or not glob.has_magic(argument):
            yield Source(argument)
        else:
            yield from _matching(argument)


def _matching(pattern: str) -> Iterator[Source]:
    found = sorted(glob.glob(pattern, recursive=True))
    if not found:
        yield Source(pattern, "no file matches this pattern")
    for path in found:
        if not os.path.isdir(path):
            yield Source(path)
        elif "**" not in pattern:  # which reaches the directory's files itself
            yield from _in_directory(path)


def _in_directory(root: str) -> Iterator[Source]:
    failures: list[OSError] = []
    empty = True
    for folder, folders, files in os.walk(root, onerror=failures.append):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if name.lower().endswith(SUFFIXES) and not name.startswith("."):
                empty = False
                yield Source(os.path.join(folder, name))
            elif name.lower().endswith(UNREAD) and not name.startswith("."):
                empty = False
                kind = os.path.splitext(name)[1].lstrip(".").upper()
                yield Source(os.path.join(folder, name), f"{kind} is not read here: save it as JPEG or PNG")
    for failure in failures:
        yield Source(str(failure.filename), f"cannot read the directory: {failure.strerror}")
    if empty and not failures:
        yield Source(root, "no images in this directory")
