"""The image files of a directory: which they are, by their endings, and which files are kept aside or not read."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from mlcfast.data.sources import SUFFIXES, UNREAD

IMAGE_ENDINGS = SUFFIXES
ENDING = f"(?:{'|'.join(map(re.escape, IMAGE_ENDINGS))})"  # of an image file, as a pattern
# Pictures and papers that no decoder here reads: they are left out of a directory, and said.
UNREAD_ENDINGS = (
    *UNREAD, ".rw2", ".orf", ".raf", ".raw", ".jxl", ".svg", ".psd", ".eps", ".pdf", ".dcm", ".mp4", ".mov", ".avi",
)  # fmt: skip
KEPT_ASIDE = {"__MACOSX", "@eaDir"}  # folders of copies and previews, macOS' and Synology's


def images_below(folder: Path) -> list[Path]:
    """The image files of a directory, at any depth, sorted; without hidden ones and programs' own copies."""
    return sorted(place / name for place, names in walked(folder) for name in names if _is_image(name))


def holds_images(folder: Path) -> bool:
    """Whether a directory has an image at any depth."""
    return any(_is_image(name) for _, names in walked(folder) for name in names)


def _is_image(name: str) -> bool:
    return name.lower().endswith(IMAGE_ENDINGS)


def image_beside(file: Path) -> Path | None:
    """The image in a file's folder that has its name but for the ending; None where there is none."""
    endings = (*IMAGE_ENDINGS, *map(str.upper, IMAGE_ENDINGS))
    return next((image for ending in endings if (image := file.with_suffix(ending)).is_file()), None)


def walked(folder: Path) -> Iterator[tuple[Path, list[str]]]:
    """Each directory at or below one with the names of its files, both sorted; without what is_hidden is true of."""
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not is_hidden(Path(name)))
        yield Path(place), sorted(name for name in files if not name.startswith("."))


def unread_below(folder: Path) -> list[str]:
    """A warning of the files of a directory, at any depth, that may be meant as images and are of kinds not read."""
    unread = [
        (place / name).relative_to(folder)
        for place, names in walked(folder)
        for name in names
        if name.lower().endswith(UNREAD_ENDINGS)
    ]
    if not unread:
        return []
    kinds = ", ".join(sorted({file.suffix.lower() for file in unread}))
    said = f"{len(unread)} files are of kinds that are not read ({kinds}), first {unread[0]}"
    return [f"{said}: save those that are images as JPEG or PNG"]


def is_hidden(path: Path) -> bool:
    """Whether a file, or a folder it is in, is hidden or a program's own copy; path: from the data set's folder on."""
    return any(part.startswith(".") or part in KEPT_ASIDE for part in path.parts)
