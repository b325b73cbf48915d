"""Exports of labelling tools that say an image's labels in JSON of their own: one function from content to tags each.

Such a function gives the images with their lists of labels, or None where the content is not its tool's.
"""

import dataclasses
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from mlcfast.data.readers.entries import Tags, Tool, all_have, from_root, listed, objects, values, words
from mlcfast.data.readers.lists import from_tags
from mlcfast.data.readers.platforms import PLATFORMS, ROWS, dataloop, vott
from mlcfast.data.readers.refused import PREDICTIONS
from mlcfast.data.readers.sheet import Sheet
from mlcfast.data.readers.source import LabelSource
from mlcfast.data.readers.words import SCORES
from mlcfast.errors import UsageError

ANSWERS = ("accept", "reject", "ignore")  # Prodigy's
UNTOUCHED = {"notstarted", "skipped"}  # SuperAnnotate's, of an image that nobody annotated


def _imaterialist(content: Any) -> Tags | None:
    """`images` and `annotations` with a list of labelId, tied by imageId."""
    if not isinstance(content, dict) or not all_have(content.get("annotations"), "labelId", "imageId"):
        return None
    images = listed(content.get("images"))
    known = [str(image["imageId"]) for image in images] if all_have(images, "imageId") else []
    tags: dict[str, list[str]] = {image: [] for image in known}
    for annotation in content["annotations"]:
        labels = annotation["labelId"]
        tags.setdefault(str(annotation["imageId"]), []).extend(
            map(str, labels if isinstance(labels, list) else [labels])
        )
    return list(tags.items())


def _fiftyone(content: Any) -> Tags | None:
    """FiftyOne's sets: `classes`, and `labels` by image: one or several of their numbers, or objects with one each.

    Without classes these are the labels themselves, one of which recurs; in a map of class numbers to names none does.
    """
    if not isinstance(content, dict) or not isinstance(content.get("labels"), dict):
        return None
    classes, labels = content.get("classes"), content["labels"]
    if classes is not None and not (isinstance(classes, list) and classes):
        return None
    if classes is None and content.keys() - {"classes", "labels"}:
        return None
    if any(_are_scored([e for e in listed(held) if isinstance(e, dict)]) for held in labels.values()):
        raise UsageError(f"FiftyOne's detections with a confidence, which are predictions: {PREDICTIONS}")
    numbers: dict[str, list[Any]] = {
        image: [each.get("label") if isinstance(each, dict) else each for each in listed(held)]
        for image, held in labels.items()
    }
    if classes is None:
        held = [each for labels_of in numbers.values() for each in labels_of]
        return list(numbers.items()) if all(isinstance(k, str) for k in held) and len({*held}) < len(held) else None
    if not all(type(k) is int and 0 <= k < len(classes) for each in numbers.values() for k in each):
        return None
    return [(image, [str(classes[k]) for k in each]) for image, each in numbers.items()]


def _superannotate(content: Any) -> Tags | None:
    """SuperAnnotate's, of a project, by image or a list, or of one image: classes of instances, and tags."""
    if isinstance(content, dict) and not isinstance(content.get("metadata"), dict):
        entries = [(name, entry) for name, entry in content.items() if not name.startswith("___")]
    elif all_have(listed(content), "metadata", "instances"):
        entries = [(str(entry["metadata"].get("name")), entry) for entry in listed(content)]
    else:
        return None
    if not entries or not all(isinstance(e, dict) and isinstance(e.get("instances"), list) for _, e in entries):
        return None
    return [(name, _superannotate_image(entry)) for name, entry in entries]


def _superannotate_image(entry: dict[str, Any]) -> list[str] | None:
    labels = [*values(entry["instances"], "className"), *words(entry.get("tags"))]
    about = entry.get("metadata")
    untouched = isinstance(about, dict) and str(about.get("status")).lower() in UNTOUCHED
    return None if untouched and not labels else labels


def _darwin(content: Any) -> Tags | None:
    """V7 Darwin's, a file for each image: names of its annotations."""
    item = content.get("item") if isinstance(content, dict) else None
    if not isinstance(item, dict) or not isinstance(item.get("name"), str):
        return None
    folder = str(item.get("path") or "").strip("/")
    name = f"{folder}/{item['name']}" if folder else item["name"]
    return [(name, values(content.get("annotations"), "name"))]


def _createml(content: Any) -> Tags | None:
    """Create ML's: a list of images with annotations that each have a label, and no score."""
    if not all_have(content):
        return None
    images = [entry.get("image", entry.get("imagefilename")) for entry in content]
    held = [entry.get("annotations", entry.get("annotation")) for entry in content]
    boxes = [each for each in held if each != []]
    if not all(isinstance(image, str) for image in images) or not boxes:
        return None
    if not all(all_have(each, "label") for each in boxes) or any(map(_are_scored, boxes)):
        return None
    return [(image, values(each, "label")) for image, each in zip(images, held, strict=True)]


def _vertex(content: Any) -> Tags | None:
    """A manifest of Google's Vertex AI: an object for each image, with classificationAnnotations."""
    if not all_have(content, "imageGcsUri"):
        return None
    keys = ("classificationAnnotations", "boundingBoxAnnotations", "classificationAnnotation")
    held = [[each for key in keys for each in listed(row.get(key))] for row in content]
    return [
        (from_root(str(row["imageGcsUri"])), values(each, "displayName"))
        for row, each in zip(content, held, strict=True)
    ]


def _sagemaker(content: Any) -> Tags | None:
    """A manifest of Amazon's SageMaker: an object for each image, with class numbers and their names beside them."""
    if not all_have(content, "source-ref"):
        return None
    return [(from_root(str(row["source-ref"])), _sagemaker_row(row)) for row in content]


def _sagemaker_row(row: dict[str, Any]) -> list[str] | None:
    """The labels of a row; None where all jobs failed or there is none."""
    abouts = {key: about for key, about in row.items() if key.endswith("-metadata") and isinstance(about, dict)}
    done = {key: about for key, about in abouts.items() if "failure-reason" not in about}
    names = [
        name for key, about in done.items() for name in _sagemaker_names(row.get(key.removesuffix("-metadata")), about)
    ]
    return list(dict.fromkeys(names)) if done else None


def _sagemaker_names(held: Any, about: dict[str, Any]) -> list[str]:
    if isinstance(about.get("class-name"), str):
        return [about["class-name"]]
    known = about.get("class-map")
    boxes = listed(held.get("annotations")) if isinstance(held, dict) else None
    numbers = values(boxes, "class_id") if boxes is not None else words(held)
    return [str(known.get(number, number)) for number in numbers] if isinstance(known, dict) else []


def _azure(content: Any) -> Tags | None:
    """Azure Machine Learning's boxes: an object for each image, with a list of objects that each have a label."""
    if not all_have(content, "image_url", "label"):
        return None
    held = [row["label"] for row in content]
    if not any(held) or not all(objects(each, "label") and not _are_scored(each) for each in held):
        return None
    return [(str(row["image_url"]), values(each, "label")) for row, each in zip(content, held, strict=True)]


def _are_scored(entries: list[dict[str, Any]]) -> bool:
    return any(entry.get(key) is not None for entry in entries for key in SCORES)


DOCUMENTS = (
    Tool("iMaterialist's labels by imageId", _imaterialist),
    Tool("FiftyOne's labels by image", _fiftyone),
    Tool("SuperAnnotate's instances and tags", _superannotate),
    Tool("V7 Darwin's annotations", _darwin),
    Tool("Create ML's annotations", _createml),
    *PLATFORMS,
)
MANIFESTS = (
    Tool("Vertex AI's annotations", _vertex),
    Tool("SageMaker's class map", _sagemaker),
    Tool("Azure's boxes", _azure),
    *ROWS,
)
OF_ONE_IMAGE = (_darwin, _superannotate, dataloop, vott)


def read_tool_export(path: Path, content: Any, tools: Sequence[Tool]) -> LabelSource | None:
    """The source of what one of these tools wrote; None where none did. UsageError where nobody labelled anything."""
    for tool in tools:
        found = tool.read(content)
        if found is not None:
            return _source(path, found, f"read as {tool.said}")
    return None


def read_image_documents(folder: Path, documents: Iterable[tuple[Path, Any]]) -> LabelSource | None:
    """The source of a directory with a file of one tool for each image; None where it holds others.

    documents: the files with their contents, of which the first decides.
    """
    found: Tags = []
    for file, content in documents:
        tags = next((tags for read in OF_ONE_IMAGE if (tags := read(content)) is not None), None)
        if tags is None or len(tags) > 1:
            if found:
                raise UsageError(f"{file}: not of the same tool as the files before it: keep them apart")
            return None
        found += tags
    return _source(folder, found, "a file for each image, by its annotations")


def _source(path: Path, found: Tags, said: str) -> LabelSource:
    """The source of what was found, without the images that nobody annotated, of which a warning counts them."""
    done = [(number, image, labels) for number, (image, labels) in enumerate(found, start=1) if labels is not None]
    if not any(labels for _, _, labels in done):
        raise UsageError(f"{path}: no image has a label: {said}")
    left = len(found) - len(done)
    tags = [list(dict.fromkeys(labels)) for _, _, labels in done]
    source = from_tags(path, "metadata", [image for _, image, _ in done], tags, [said])
    warnings = [f"nobody annotated {left} of {len(found)} images: they are left out"] if left else []
    return dataclasses.replace(source, lines=[number for number, _, _ in done], warnings=warnings).merged()


def read_regions(sheet: Sheet) -> LabelSource:
    """Read VGG Image Annotator's table, a row for each region with JSON in its cells, as its JSON is read."""
    header = [name.lstrip("#") for name in sheet.header]
    if "filename" not in header:
        raise UsageError(
            f"{sheet.path}: VGG Image Annotator's table needs a column 'filename': export it anew, or as JSON"
        )
    content: dict[str, dict[str, Any]] = {}
    first: list[int] = []
    for number, row in zip(sheet.numbers, sheet.rows, strict=True):
        cells = dict(zip(header, row, strict=True))
        if cells["filename"] not in content:
            first.append(number)
        entry = content.setdefault(cells["filename"], {"filename": cells["filename"], "regions": []})
        try:
            entry["regions"].append({"region_attributes": json.loads(cells["region_attributes"] or "{}")})
            entry["file_attributes"] = json.loads(cells.get("file_attributes") or "{}")
        except ValueError as error:
            raise UsageError(f"{sheet.path}: line {number}: attributes that are no JSON: {error}") from error
    source = read_tool_export(sheet.path, content, DOCUMENTS)
    assert source is not None
    assumptions = [*sheet.assumptions, *source.assumptions]
    return dataclasses.replace(source, lines=first, assumptions=assumptions)


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
        tags = [[*words(row.get("accept")), *values(row.get("spans"), "label")] for _, row in kept]
        cells, header = [[name, json.dumps(each)] for name, each in zip(names, tags, strict=True)], ["labels"]
    return Sheet(path, ["image", *header], cells, [number for number, _ in kept], said, "")


def _prodigy_image(path: Path, number: int, row: dict[str, Any]) -> str:
    """The file of a task, whose content may stand in its place."""
    name = row["path"] if row["image"].startswith("data:") and isinstance(row.get("path"), str) else row["image"]
    if name.startswith("data:"):
        raise UsageError(f"{path}: line {number}: the image itself stands in the file: name its file under path")
    return str(name)
