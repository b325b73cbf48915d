"""Supervisely's projects: a folder for each data set, with images in `img` and a JSON file for each in `ann`."""

import dataclasses
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mlcfast.data.readers.entries import objects
from mlcfast.data.readers.exports import json_of
from mlcfast.data.readers.image_files import is_hidden
from mlcfast.data.readers.image_folders import part_in
from mlcfast.data.readers.lists import from_tags
from mlcfast.data.readers.paths import without_notes
from mlcfast.data.readers.source import LabelSource, TableOptions
from mlcfast.errors import UsageError

Noted = tuple[str, list[str], list[tuple[str, str]]]  # an image, its labels, and tags with a value


def is_supervisely(folder: Path) -> bool:
    """Whether a directory is a project of Supervisely, or one of its data sets, by the first annotation of an image."""
    file = next((file for place in datasets(folder) for file in sorted((place / "ann").glob("*.json"))[:1]), None)
    try:
        return file is not None and _is_annotation(json_of(file))
    except UsageError:
        return False


def datasets(folder: Path) -> list[Path]:
    """The data sets of a project: its folders, or itself, that hold both `img` and `ann`."""
    with os.scandir(folder) as entries:  # which knows what is a folder without asking for each of many images
        names = sorted(entry.name for entry in entries if entry.is_dir() and not is_hidden(Path(entry.name)))
    places = [folder, *(folder / name for name in names)]
    return [place for place in places if (place / "ann").is_dir() and (place / "img").is_dir()]


def _is_annotation(content: Any) -> bool:
    return isinstance(content, dict) and content.keys() >= {"size", "objects", "tags"} and "frames" not in content


def read_supervisely(path: Path, options: TableOptions) -> list[LabelSource]:
    """Read a project: an image has the classes of its objects and its own tags; all splits have the labels of all.

    Data sets called as parts of the data are its splits; others are read as one. A tag with a value says no label,
    with a warning, unless no image has another label and all such tags have one name: then the values are the labels.
    UsageError names the file of anything else.
    """
    found = {place: [_noted(file) for file in sorted((place / "ann").glob("*.json"))] for place in datasets(path)}
    if not any(found.values()):
        raise UsageError(f"{path}: no project of Supervisely: looked for folders with img and ann")
    parts = {place: part_in(place.name) if place != path else None for place in found}
    split = len(found) > 1 and all(parts.values()) and len({*parts.values()}) == len(found)
    valued = Counter(name for noted in found.values() for _, _, tags in noted for name, _ in tags)
    answers = len(valued) == 1 and not any(labels for noted in found.values() for _, labels, _ in noted)
    said = ["an image has the classes of its objects and its tags, as Supervisely has them"]
    said += [f"the values of the tag {next(iter(valued))!r} are the labels"] if answers else []
    unread = [] if answers else valued.items()
    doubts = [f"{count} tags {name!r} have a value: they are no labels" for name, count in unread]
    united = ", ".join(place.name for place in list(found)[:5]) if len(found) > 1 and not split else ""
    doubts += [f"the data sets {united} are read as one: name one of them if one tests"] if united else []
    groups = [[place] for place in found] if split else [list(found)]
    sources = []
    for places in groups:
        noted = [(place, each) for place in places for each in found[place]]
        images = [(place / "img" / image).relative_to(path).as_posix() for place, (image, _, _) in noted]
        tags = [labels if not answers else [value for _, value in told] for _, (_, labels, told) in noted]
        source = from_tags(path, "supervisely", images, tags, said)
        left = [line for place in places for line in without_notes(place / "img", source.images)]
        name = str(parts[places[0]]) if split else ""
        sources.append(dataclasses.replace(source, root=path, split=name, warnings=left))
    return _with_all_labels(sources, doubts)


def _with_all_labels(sources: Sequence[LabelSource], warnings: list[str]) -> list[LabelSource]:
    names = sorted({name for source in sources for name in source.names})
    first, *more = [source.in_order(names) for source in sources]
    if not names:
        raise UsageError(f"{first.path}: no image has an object or a tag")
    return [dataclasses.replace(first, warnings=[*warnings, *first.warnings]), *more]


def _noted(file: Path) -> Noted:
    """The image of an annotation file, `a.jpg` of `a.jpg.json`, with its labels and its tags that have a value."""
    content = json_of(file)
    if not _is_annotation(content) or not objects(content["objects"], "classTitle"):
        raise UsageError(
            f"{file}: not Supervisely's annotation of an image: needs size, tags, and objects with classTitle"
        )
    tags = [tag if isinstance(tag, dict) else {"name": tag} for tag in content["tags"]]
    plain = [str(tag["name"]) for tag in tags if tag.get("value") in (None, "")]
    labels = [str(each["classTitle"]) for each in content["objects"]] + plain
    valued = [(str(tag["name"]), str(tag["value"])) for tag in tags if tag.get("value") not in (None, "")]
    image = file.name.removesuffix(".json")
    return image, list(dict.fromkeys(labels)), valued
