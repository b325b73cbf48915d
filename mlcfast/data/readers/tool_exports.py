"""Exports of labelling tools that say an image's labels in JSON of their own: one function from content to tags each.

Such a function gives the images with their lists of labels, or None where the content is not its tool's.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mlcfast.data.readers.lists import from_tags
from mlcfast.data.readers.sheet import Sheet
from mlcfast.data.readers.source import LabelSource
from mlcfast.errors import UsageError

ANSWERS = ("accept", "reject", "ignore")  # Prodigy's
Tags = list[tuple[str, list[str]]]


class Tool(NamedTuple):
    """An export: what it was read as, in words, and what reads it."""

    said: str
    read: Callable[[Any], Tags | None]


def _imaterialist(content: Any) -> Tags | None:
    """`images` and `annotations` with a list of labelId, tied by imageId."""
    if not isinstance(content, dict) or not _all_have(content.get("annotations"), "labelId", "imageId"):
        return None
    listed = _listed(content.get("images"))
    known = [str(image["imageId"]) for image in listed] if _all_have(listed, "imageId") else []
    tags: dict[str, list[str]] = {image: [] for image in known}
    for annotation in content["annotations"]:
        labels = annotation["labelId"]
        tags.setdefault(str(annotation["imageId"]), []).extend(
            map(str, labels if isinstance(labels, list) else [labels])
        )
    return list(tags.items())


def _fiftyone(content: Any) -> Tags | None:
    """FiftyOne's classification set: `classes`, and `labels` of one or several numbers of them by image."""
    if not isinstance(content, dict) or not isinstance(content.get("labels"), dict):
        return None
    classes, labels = content.get("classes"), content["labels"]
    if not isinstance(classes, list) or not classes:
        return None
    numbers = {image: _listed(held) for image, held in labels.items()}
    if not all(type(k) is int and 0 <= k < len(classes) for each in numbers.values() for k in each):
        return None
    return [(image, [str(classes[k]) for k in each]) for image, each in numbers.items()]


def _superannotate(content: Any) -> Tags | None:
    """SuperAnnotate's, of a project, an entry for each image, or of one image: classes of instances, and tags."""
    if not isinstance(content, dict):
        return None
    entries = {name: entry for name, entry in content.items() if not name.startswith("___")}
    if isinstance(content.get("metadata"), dict) and isinstance(content["metadata"].get("name"), str):
        entries = {content["metadata"]["name"]: content}
    if not entries or not all(isinstance(e, dict) and isinstance(e.get("instances"), list) for e in entries.values()):
        return None
    return [
        (name, [*_values(entry["instances"], "className"), *_words(entry.get("tags"))])
        for name, entry in entries.items()
    ]


def _darwin(content: Any) -> Tags | None:
    """V7 Darwin's, a file for each image: names of its annotations."""
    item = content.get("item") if isinstance(content, dict) else None
    if not isinstance(item, dict) or not isinstance(item.get("name"), str):
        return None
    folder = str(item.get("path") or "").strip("/")
    name = f"{folder}/{item['name']}" if folder else item["name"]
    return [(name, _values(content.get("annotations"), "name"))]


def _createml(content: Any) -> Tags | None:
    """Create ML's: a list of images with annotations that each have a label."""
    if not _all_have(content):
        return None
    images = [entry.get("image", entry.get("imagefilename")) for entry in content]
    held = [entry.get("annotations", entry.get("annotation")) for entry in content]
    boxes = [each for each in held if each != []]
    if not all(isinstance(image, str) for image in images) or not boxes:
        return None
    if not all(_all_have(each, "label", "coordinates") for each in boxes):
        return None
    return [(image, _values(each, "label")) for image, each in zip(images, held, strict=True)]


def _vertex(content: Any) -> Tags | None:
    """A manifest of Google's Vertex AI: an object for each image, with classificationAnnotations."""
    if not _all_have(content, "imageGcsUri"):
        return None
    keys = ("classificationAnnotations", "boundingBoxAnnotations", "classificationAnnotation")
    held = [[each for key in keys for each in _listed(row.get(key))] for row in content]
    return [
        (_from_root(str(row["imageGcsUri"])), _values(each, "displayName"))
        for row, each in zip(content, held, strict=True)
    ]


def _sagemaker(content: Any) -> Tags | None:
    """A manifest of Amazon's SageMaker: an object for each image, with class numbers and their names beside them."""
    if not _all_have(content, "source-ref"):
        return None
    found = []
    for row in content:
        names: list[str] = []
        for key, about in row.items():
            if key.endswith("-metadata") and isinstance(about, dict):
                names += _sagemaker_names(row.get(key.removesuffix("-metadata")), about)
        found.append((_from_root(str(row["source-ref"])), list(dict.fromkeys(names))))
    return found


def _sagemaker_names(held: Any, about: dict[str, Any]) -> list[str]:
    if isinstance(about.get("class-name"), str):
        return [about["class-name"]]
    known = about.get("class-map")
    boxes = _listed(held.get("annotations")) if isinstance(held, dict) else None
    numbers = _values(boxes, "class_id") if boxes is not None else _words(held)
    return [str(known.get(number, number)) for number in numbers] if isinstance(known, dict) else []


DOCUMENTS = (
    Tool("iMaterialist's labels by imageId", _imaterialist),
    Tool("FiftyOne's classes by number", _fiftyone),
    Tool("SuperAnnotate's instances and tags", _superannotate),
    Tool("V7 Darwin's annotations", _darwin),
    Tool("Create ML's annotations", _createml),
)
MANIFESTS = (Tool("Vertex AI's annotations", _vertex), Tool("SageMaker's class map", _sagemaker))


def read_tool_export(path: Path, content: Any, tools: Sequence[Tool]) -> LabelSource | None:
    """The source of what one of these tools wrote; None where none did. UsageError where nobody labelled anything."""
    for tool in tools:
        found = tool.read(content)
        if found is None:
            continue
        images, tags = _columns(found)
        if not any(tags):
            raise UsageError(f"{path}: no image has a label: read as {tool.said}")
        return from_tags(path, "metadata", images, tags, [f"read as {tool.said}"]).merged()
    return None


def read_image_documents(folder: Path, documents: Iterable[tuple[Path, Any]]) -> LabelSource | None:
    """The source of a directory with a file of V7 Darwin or SuperAnnotate for each image; None where it holds others.

    documents: the files with their contents, of which the first decides.
    """
    found: Tags = []
    for file, content in documents:
        tags = _darwin(content) or _superannotate(content)
        if tags is None or len(tags) > 1:
            if found:
                raise UsageError(f"{file}: not of the same tool as the files before it: keep them apart")
            return None
        found += tags
    return from_tags(folder, "metadata", *_columns(found), ["a file for each image, by its annotations"]).merged()


def _columns(found: Tags) -> tuple[list[str], list[list[str]]]:
    return [image for image, _ in found], [list(dict.fromkeys(labels)) for _, labels in found]


def prodigy_sheet(path: Path, rows: Sequence[dict[str, Any]], numbers: Sequence[int]) -> Sheet | None:
    """Prodigy's answers as a table with a list of labels, or with a row for each image and label; None for others.

    Ignored tasks are left out, and rejected ones too, but where a task asks for one label: a rejected one is absent.
    """
    if not all(row.get("answer") in ANSWERS and isinstance(row.get("image"), str) for row in rows):
        return None
    asked = all(isinstance(row.get("label"), str) and not {"accept", "spans"} & row.keys() for row in rows)
    wanted = ANSWERS[:2] if asked else ANSWERS[:1]
    kept = [(number, row) for number, row in zip(numbers, rows, strict=True) if row["answer"] in wanted]
    if not kept:
        raise UsageError(f"{path}: none of the {len(rows)} tasks of Prodigy was accepted")
    said, left = ["read as Prodigy's answers"], len(rows) - len(kept)
    said += [f"{left} tasks that were rejected or ignored are left out"] if left else []
    names = [_prodigy_image(path, number, row) for number, row in kept]
    if asked:
        answers = [[row["label"], str(int(row["answer"] == "accept"))] for _, row in kept]
        cells, header = [[name, *answer] for name, answer in zip(names, answers, strict=True)], ["label", "confidence"]
    else:
        tags = [[*_words(row.get("accept")), *_values(row.get("spans"), "label")] for _, row in kept]
        cells, header = [[name, json.dumps(each)] for name, each in zip(names, tags, strict=True)], ["labels"]
    return Sheet(path, ["image", *header], cells, [number for number, _ in kept], said, "")


def _prodigy_image(path: Path, number: int, row: dict[str, Any]) -> str:
    """The file of a task, whose content may stand in its place."""
    name = row["path"] if row["image"].startswith("data:") and isinstance(row.get("path"), str) else row["image"]
    if name.startswith("data:"):
        raise UsageError(f"{path}: line {number}: the image itself stands in the file: name its file under path")
    return str(name)


def _all_have(entries: Any, *keys: str) -> bool:
    """Whether this is a list of objects, at least one, that all have these keys."""
    return (
        isinstance(entries, list)
        and bool(entries)
        and all(isinstance(e, dict) and e.keys() >= {*keys} for e in entries)
    )


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _words(value: Any) -> list[str]:
    """Words or numbers, one or several, as text."""
    return [str(each) for each in _listed(value) if isinstance(each, str | int)]


def _values(entries: Any, key: str) -> list[str]:
    """What objects have under a key, where that is a word or a number."""
    return [word for entry in _listed(entries) if isinstance(entry, dict) for word in _words(entry.get(key))]


def _from_root(address: str) -> str:
    """An address in the cloud as a path that is absolute on another machine."""
    return "/" + address.partition("://")[2] if "://" in address else address
