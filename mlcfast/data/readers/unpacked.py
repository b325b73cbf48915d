"""Images that lie inside other files, Parquet, Arrow or tar, as files of their own in the cache."""

import hashlib
import itertools
import logging
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from mlcfast.data.readers.image_files import IMAGE_ENDINGS
from mlcfast.data.readers.words import SPLIT_FOLDERS
from mlcfast.data.records import fingerprint
from mlcfast.errors import UsageError
from mlcfast.files import cache_directory, locked

LOGGER = logging.getLogger("mlcfast")
# `train-00000-of-00002`, and as the hub named it until 2023, with a part of a checksum behind.
SHARD = re.compile(r"(.+?)[-_.]?(\d+(-of-\d+(-[0-9a-f]{8,})?)?)?")

OF_HOW_MANY = re.compile(r"(.+?)(\d+)-of-(\d+)(-[0-9a-f]{8,})?")


def missing_shards(files: Sequence[Path]) -> list[str]:
    """A warning of shards that the names of others, `train-00000-of-00002`, say to be and that are not read."""
    found: dict[tuple[Path, str, str], list[str]] = {}
    for file in files:
        match = OF_HOW_MANY.fullmatch(file.name.removesuffix(file.suffix))
        if match:
            found.setdefault((file.parent, match[1], match[3]), []).append(match[2])
    warnings = []
    for (folder, begin, total), own in found.items():
        numbers = {*map(int, own)}
        missing = int(total) - len(numbers)
        if missing > 0:
            from_1 = int(total) in numbers
            first = next(number for number in itertools.count(int(from_1)) if number not in numbers)
            name = f"{begin}{first:0{len(own[0])}}-of-{total}"
            remedy = (
                "name the directory" if any(folder.glob(f"{name}*")) else "fetch them, for these are not all images"
            )
            warnings.append(f"{missing} of {int(total)} shards are not read, first {name}: {remedy}")
    return warnings


def unpack(files: Sequence[Path], names: Sequence[str], contents: Callable[[], Iterable[bytes | None]]) -> list[str]:
    """Write the M images that `contents` gives in order, unless that was done before; returns their paths.

    files: those that hold them, by which the cache is found again; names: the images', of which only the ending is
    taken. The folder lies in `.mlcfast` beside the first file. UsageError for an image without content.
    """
    key = hashlib.sha256(fingerprint([str(file) for file in files]).encode()).hexdigest()[:16]
    folder = cache_directory(files[0].parent) / "unpacked" / key
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{number:08d}{_ending(name)}" for number, name in enumerate(names)]
    with locked(folder / ".lock"):
        if not (folder / ".complete").is_file():
            LOGGER.info("%s: writing its %d images to %s", files[0].parent, len(paths), folder)
            for path, name, content in zip(paths, names, contents(), strict=True):
                if not content:
                    raise UsageError(f"{files[0]}: image {name!r} is empty")
                path.write_bytes(content)
            (folder / ".complete").touch()
    return [str(path) for path in paths]


def _ending(name: str) -> str:
    return next((ending for ending in IMAGE_ENDINGS if name.lower().endswith(ending)), "")


def by_split(path: Path, endings: Sequence[str]) -> dict[str, list[Path]]:
    """The files of a directory by split, or the one file: `train-00000-of-00002.parquet` and its like belong to train.

    They lie in the directory, in `data` below it, or in a folder for each split; empty where there are none.
    """
    if path.is_file():
        return {"": [path]}
    for place in (path, path / "data"):
        files = sorted(file for ending in endings for file in place.glob(f"*{ending}"))
        splits: dict[str, list[Path]] = {}
        for file in files:
            match = SHARD.fullmatch(file.name.removesuffix(file.suffix))
            splits.setdefault(match[1] if match else "", []).append(file)
        if splits:
            return {"": files} if len(splits) == 1 else splits
    folders = {name: by_split(path / name, endings) for name in SPLIT_FOLDERS if (path / name).is_dir()}
    return {name: [file for files in found.values() for file in files] for name, found in folders.items() if found}
