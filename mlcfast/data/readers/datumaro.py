"""Datumaro's JSON, which CVAT and OpenVINO's tools write too: a file for each part of the data, in `annotations`."""

import dataclasses
import re
from pathlib import Path
from typing import Any

from mlcfast.data.readers.entries import all_have, listed
from mlcfast.data.readers.exports import json_of
from mlcfast.data.readers.lists import from_tags
from mlcfast.data.readers.refused import refuse_scores
from mlcfast.data.readers.source import LabelSource, TableOptions
from mlcfast.data.splits import is_split_word
from mlcfast.documents import refuse_special
from mlcfast.errors import UsageError

BEGINNING = 2**16  # bytes, within which a file says how it keeps its categories
OF_DATUMARO = re.compile(rb'"categories"\s*:\s*\{')  # MS-COCO's are a list
REMEDY = "keep the annotations that hold, and take their scores out, or name their key in data.ignore_columns"


def is_datumaro_file(file: Path) -> bool:
    """Whether a JSON file is Datumaro's, by its beginning: MS-COCO's, which may be large, is not read for that."""
    refuse_special(file)
    with file.open("rb") as opened:
        return OF_DATUMARO.search(opened.read(BEGINNING)) is not None


def datumaro_files(folder: Path) -> list[Path]:
    """The files of Datumaro in the `annotations` of a directory, sorted."""
    return [file for file in sorted(folder.glob("annotations/*.json")) if is_datumaro_file(file)]


def is_datumaro(folder: Path) -> bool:
    """Whether a directory is laid out as Datumaro's sets are."""
    return bool(datumaro_files(folder))


def is_datumaro_content(content: Any) -> bool:
    """Whether the content of a JSON file is Datumaro's: items, and categories by their kind."""
    return isinstance(content, dict) and isinstance(content.get("categories"), dict) and "items" in content


def read_datumaro(path: Path, options: TableOptions) -> list[LabelSource]:
    """Read the files in `annotations`, a split each, or one file; all have the labels of all.

    An image has the labels of its annotations: tags, boxes, outlines, points. UsageError names file and item.
    """
    files = datumaro_files(path) if path.is_dir() else [path]
    if not files:
        raise UsageError(f"{path}: no JSON of Datumaro in its folder annotations")
    sources = [datumaro_source(file, json_of(file), options) for file in files]
    names = list(dict.fromkeys(name for source in sources for name in source.names))
    alone = len(sources) == 1 and not is_split_word(files[0].stem)  # as `default` is
    return [
        dataclasses.replace(source.in_order(names), split="" if alone or path.is_file() else file.stem)
        for file, source in zip(files, sources, strict=True)
    ]


def datumaro_source(file: Path, content: Any, options: TableOptions) -> LabelSource:
    """The source of one file, whose images are in `images/NAME`, NAME being its own, or beside it."""
    if not is_datumaro_content(content):
        raise UsageError(f"{file}: not Datumaro's: needs items, and an object of categories")
    labels = content["categories"].get("label")
    entries = labels.get("labels") if isinstance(labels, dict) else None
    if not all_have(entries, "name") or not all_have(content["items"], "id"):
        raise UsageError(f"{file}: not Datumaro's: needs items, and names of labels under categories.label.labels")
    names = [str(entry["name"]) for entry in entries or ()]
    images, tags = [], []
    for item in content["items"]:
        images.append(_image_of(file, item))
        tags.append(_labels_of(file, item, names, options))
    used = {name for each in tags for name in each}
    parents = {str(entry.get("parent")) for entry in entries or ()} - used
    kept = [name for name in dict.fromkeys(names) if name not in parents]
    said = ["an image has the labels of its annotations, as Datumaro has them"]
    said += [f"the parent {name!r} is no label: no image has it" for name in names if name in parents]
    source = from_tags(file, "datumaro", images, tags, said).in_order(kept)
    warnings = [f"no image has the label {name!r}" for name in kept if name not in used][:5]
    above = file.parents[1] if file.parent.name == "annotations" else file.parent
    places = (above / "images" / file.stem, above / "images")
    root = next((place for place in places if place.is_dir()), above)
    return dataclasses.replace(source, warnings=warnings, root=root).merged()


def _image_of(file: Path, item: dict[str, Any]) -> str:
    """The image of an item: the path that it names, else its id, which has no ending. UsageError for a point cloud."""
    about = next((item[key] for key in ("image", "media") if isinstance(item.get(key), dict)), None)
    if about is None and item.keys() & {"point_cloud", "video", "multi_image"}:
        raise UsageError(f"{file}: item {item['id']!r} is of no image: export a set of images")
    return str((about or {}).get("path") or item["id"])


def _labels_of(file: Path, item: dict[str, Any], names: list[str], options: TableOptions) -> list[str]:
    found = []
    for annotation in listed(item.get("annotations")):
        number = annotation.get("label_id") if isinstance(annotation, dict) else None
        if number is None:
            continue
        where = f"{file}: item {item['id']!r}"
        refuse_scores(where, annotation, REMEDY, options.ignore_columns)
        if type(number) is not int or not 0 <= number < len(names):
            raise UsageError(f"{where}: label_id {number} is none of its {len(names)} labels")
        found.append(names[number])
    return list(dict.fromkeys(found))
