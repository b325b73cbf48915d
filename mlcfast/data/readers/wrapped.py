"""The directory that a data set lies in, where it is the only folder of the one that was named."""

import os
from pathlib import Path

from mlcfast.data.readers.elsewhere import PROSE
from mlcfast.data.readers.image_files import IMAGE_ENDINGS
from mlcfast.data.readers.image_folders import has_images
from mlcfast.data.readers.registry import known_as
from mlcfast.data.readers.text_lists import labelled_lists
from mlcfast.data.splits import is_split_word
from mlcfast.errors import UsageError

TABLES = (".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".manifest", ".lst")
OF_LAYOUTS = {"annotations"}  # folders by which their parent is known as a data set


def tables_in(folder: Path) -> list[Path]:
    """The files of a directory that may hold labels, sorted; none where there is no such directory."""
    return sorted(file for file in folder.iterdir() if file.suffix.lower() in TABLES) if folder.is_dir() else []


def within(path: Path) -> Path:
    """The only folder of a directory that has nothing else but hidden files and readmes, as archives unpack to.

    So it is again in that folder. The directory itself where its own layout is known, where that folder is a split or
    holds images alone, which would all have its name for a label, and where it holds more; a file is itself.
    """
    seen = [place for place in (_folders_and_files(path) if path.is_dir() else []) if not PROSE.match(place.name)]
    if len(seen) != 1 or not seen[0].is_dir() or seen[0].is_symlink():
        return path
    inner = seen[0]
    if is_split_word(inner.name) or inner.name.lower() in OF_LAYOUTS or known_as(path):
        return path
    folders = any(place.is_dir() for place in _folders_and_files(inner)) and not has_images(inner)
    return within(inner) if folders or tables_in(inner) or labelled_lists(inner) or known_as(inner) else path


def refuse_several(path: Path) -> None:
    """UsageError where two folders of a directory are data sets of their own, as VOC2007 beside VOC2012."""
    sets = [folder for folder in _folders_and_files(path) if folder.is_dir() and not is_split_word(folder.name)]
    sets = [folder for folder in sets if _holds_more_than_images(folder) and known_as(folder)]
    if len(sets) > 1:
        shown = f"{sets[0].name!r} ({known_as(sets[0])[0]}) and {sets[1].name!r} ({known_as(sets[1])[0]})"
        raise UsageError(f"{path}: holds several data sets, {shown}: name one of them, {sets[0]}")


def _holds_more_than_images(folder: Path) -> bool:
    """Without which no layout is known: of a thousand folders of labels none is looked into for one."""
    with os.scandir(folder) as entries:
        return any(not entry.name.lower().endswith(IMAGE_ENDINGS) for entry in entries)


def _folders_and_files(path: Path) -> list[Path]:
    return sorted(place for place in path.iterdir() if not place.name.startswith((".", "__MACOSX")))
