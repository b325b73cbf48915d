"""YOLO's settings, `data.yaml` or Darknet's `obj.data`: the classes' names, and where the images of each split are.

Such files are written on one machine and read on another: what they name is looked for beside them by its end.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mlcfast.data.readers.boxes import read_yaml
from mlcfast.data.readers.class_names import names_in
from mlcfast.data.readers.image_files import images_below
from mlcfast.data.readers.sheet import read_text
from mlcfast.data.readers.source import TableOptions
from mlcfast.data.readers.words import PARTS
from mlcfast.documents import is_placed
from mlcfast.errors import UsageError

LINE = re.compile(r"([a-z_]+)\s*=\s*(.+)")
SETTINGS = ("data.yaml", "data.yml", "dataset.yaml")


def settings_of(file: Path, as_written: bool = False) -> dict[str, Any]:
    """The content of such a file; as_written: with all scalars of YAML as text. UsageError for anything else."""
    return _darknet(file) if file.suffix.lower() == ".data" else read_yaml(file, as_written)


def _darknet(file: Path) -> dict[str, Any]:
    """Darknet's `train = data/train.txt`, a line for each key, with the content of its file of names."""
    lines = [line.strip() for line in read_text(file)[0].splitlines() if line.strip() and line.strip()[0] != "#"]
    pairs = [LINE.fullmatch(line) for line in lines]
    held: dict[str, Any] = {pair[1]: pair[2].strip() for pair in pairs if pair}
    if None in pairs or not {"train", "names"} <= held.keys():
        raise UsageError(f"{file}: not Darknet's settings, lines such as `train = train.txt` and `names = obj.names`")
    place = _beside(file.parent, held["names"])
    if place is None:
        raise UsageError(f"{file}: names {held['names']}: no such file beside it")
    return held | {"names": names_in(place)[0]}


def settings_in(folder: Path) -> list[Path]:
    """The files of settings in a directory, one, or those that differ; those of other programs are passed over."""
    found = [folder / name for name in SETTINGS if (folder / name).is_file()]
    if found:
        first = read_yaml(found[0])
        if any(read_yaml(file) != first for file in found[1:]):
            return found
        return [found[0], *(file for file in _others(folder) if _differ(settings_of(file), first))]
    return _others(folder)


def _others(folder: Path) -> list[Path]:
    """Settings under other names, sorted."""
    files = sorted(file for file in folder.iterdir() if file.suffix in (".yaml", ".yml", ".data"))
    return [file for file in files if file.name not in SETTINGS and _has_names(file)]


def _differ(other: dict[str, Any], settings: dict[str, Any]) -> bool:
    """Whether other settings name images and other classes; those of the same classes may name a part of the images."""
    names = [
        list(each.values()) if isinstance(each, dict) else each for each in (other["names"], settings.get("names"))
    ]
    return bool({"train", "val"} & other.keys()) and names[0] != names[1]


def _has_names(file: Path) -> bool:
    try:
        return "names" in settings_of(file)
    except UsageError:
        return False  # some other program's


def labels_of(folder: Path) -> Path:
    """Where the labels of a folder of images are: `labels` for the last `images` of its path; itself without one."""
    parts = folder.parts
    place = max((number for number, part in enumerate(parts) if part == "images"), default=None)
    return folder if place is None else Path(*parts[:place], "labels", *parts[place + 1 :])


def label_file(image: Path) -> Path | None:
    """The text file of an image: in the folder of its labels, or beside it."""
    choices = [folder / f"{image.stem}.txt" for folder in (labels_of(image.parent), image.parent)]
    return next((file for file in choices if is_placed(file)), None)


def places_of(
    settings: Path, content: dict[str, Any], options: TableOptions
) -> tuple[dict[str, list[Path]], list[str]]:
    """The images of each split that settings name, and what they name that is not there, or elsewhere.

    An entry is a directory, a list of images in a text file, or a list of such. Roboflow's files name a test split also
    where none was exported.
    """
    places: dict[str, list[Path]] = {}
    absent = []
    for split, words in PARTS.items():
        given = next((content[word] for word in words if content.get(word)), None)
        places[split] = []
        for entry in given if isinstance(given, list) else [given] if given else []:
            path = str(content.get("path") or "")
            place = _at(settings, path, str(entry), options)
            if place is None:
                absent.append(f"{settings}: {split} {entry}: no such directory or file beside it")
                continue
            images, moved = (
                (images_below(place), "") if place.is_dir() else _listed(place, settings.parent, path, options)
            )
            absent += [] if images else [f"{settings}: {split} {entry}: no images in it"]
            absent += [f"{settings}: {split} {entry}: not on this machine: {place} is read"] if _is_moved(entry) else []
            absent += [moved] if moved else []
            places[split] += images
    return places, absent


def _at(settings: Path, path: str, entry: str, options: TableOptions) -> Path | None:
    """Where an entry lies. Roboflow writes `../train/images` for what is beside the file.

    Of a list, or what is absolute on another machine, the longest end that names something beside the file.
    """
    base, plain = settings.parent, re.sub(r"^(\.\./)+", "", entry)
    places = (base / path / entry, base / entry, base / plain)
    place = next((choice for choice in places if choice.exists()), None)
    if place is None and (_is_moved(entry) or entry.endswith(".txt")):
        place = _beside(base, entry)
    if place and not options.allow_outside and not place.resolve().is_relative_to(base.resolve()):
        raise UsageError(f"{settings}: {entry!r} lies outside {base}: data.allow_outside=true allows that")
    return place


def _beside(base: Path, entry: str, there: Callable[[Path], object] = Path.exists) -> Path | None:
    """What the longest end of a path names in a directory; None where none names anything, or it goes upwards."""
    parts = Path(entry).parts
    ends = [base / Path(*parts[number:]) for number in range(len(parts))] if ".." not in parts else []
    return next((end for end in ends if there(end)), None)


def _is_moved(entry: str) -> bool:
    return Path(entry).is_absolute() and not Path(entry).exists()


def _listed(place: Path, base: Path, path: str, options: TableOptions) -> tuple[list[Path], str]:
    """The images that a list names, from its own directory or that of the settings on, and what was assumed of them.

    Where the first is not there, nor its file of boxes, all are looked for by their end, without as many folders
    before it.
    """
    lines = [line.strip().replace("\\", "/") for line in read_text(place)[0].splitlines() if line.strip()]
    for folder in dict.fromkeys((place.parent, base / path, base)):
        if lines and _is_known(folder / lines[0]):
            return _inside([folder / line for line in lines], place, base, options), ""
    found = _beside(base, lines[0]) or _beside(base, lines[0], label_file) if lines else None
    if found is None:
        return [place.parent / line for line in lines], ""
    left = len(Path(lines[0]).parts) - len(found.relative_to(base).parts)
    images = [base.joinpath(*Path(line).parts[left:]) for line in lines]
    moved = f"{place}: names images in {Path(*Path(lines[0]).parts[:left])}, which is not there: {base} is taken for it"
    return _inside(images, place, base, options), moved


def _is_known(image: Path) -> bool:
    return image.is_file() or label_file(image) is not None


def _inside(images: list[Path], place: Path, base: Path, options: TableOptions) -> list[Path]:
    outside = next(
        (each for each in images if ".." in each.parts and not each.resolve().is_relative_to(base.resolve())), None
    )
    if outside is not None and not options.allow_outside:
        raise UsageError(f"{place}: {outside} lies outside {base}: data.allow_outside=true allows that")
    return images
