"""Exports of annotation platforms: one function from content to images with labels each, as in tool_exports."""

from typing import Any
from urllib.parse import unquote

from mlcfast.data.readers.columns import TRUTH
from mlcfast.data.readers.entries import Tags, Tool, all_have, listed, objects, values, words
from mlcfast.errors import UsageError

VIA_OWN = {"caption", "public_domain", "image_url"}  # attributes that VGG Image Annotator gives every file


def _via(content: Any) -> Tags | None:
    """VGG Image Annotator's project or annotations: the values of the one attribute that regions or files have."""
    held = content.get("_via_img_metadata", content) if isinstance(content, dict) else None
    entries = list(held.values()) if isinstance(held, dict) else None
    if not isinstance(entries, list) or not all_have(entries, "filename", "regions"):
        return None
    found = [(str(entry["filename"]), _via_attributes(entry)) for entry in entries]
    named = list(dict.fromkeys(name for _, each in found for name, _ in each))
    if len(named) > 1:
        raise UsageError(
            f"regions and files have the attributes {named[0]!r} and {named[1]!r}: keep the one that says the labels "
            "and export again"
        )
    if not named and any(entry["regions"] for entry in entries):
        raise UsageError(
            "VGG Image Annotator's outlines, of which none has an attribute, and so no label: give them one and export "
            "again, or, if all are of one class, write a table of the images, `image,cat`, with 1 and 0"
        )
    return [(image, [label for _, label in each]) for image, each in found]


def _via_attributes(entry: dict[str, Any]) -> list[tuple[str, str]]:
    """The attributes of an image and its regions with their values, of check boxes those that are set."""
    regions = entry["regions"]
    boxes = list(regions.values()) if isinstance(regions, dict) else listed(regions)
    held = [box.get("region_attributes") for box in boxes if isinstance(box, dict)]
    given = entry.get("file_attributes")
    held += [{name: each for name, each in given.items() if name not in VIA_OWN}] if isinstance(given, dict) else []
    return [
        (name, label)
        for attributes in held
        if isinstance(attributes, dict)
        for name, value in attributes.items()
        for label in ([each for each in value if value[each]] if isinstance(value, dict) else words(value))
        if label.strip()
    ]


def _scalabel(content: Any) -> Tags | None:
    """Scalabel's frames, as BDD100K has them: a name, and labels that each have a category."""
    frames: Any = content.get("frames") if isinstance(content, dict) else content
    if not all_have(frames, "name"):
        return None
    held = [frame.get("labels") or [] for frame in frames]
    if not any(held) or not all(objects(each, "category") for each in held):
        return None
    return [(str(frame["name"]), values(each, "category")) for frame, each in zip(frames, held, strict=True)]


def _visual_genome(content: Any) -> Tags | None:
    """Visual Genome's objects.json: numbers of images, and objects that each have names."""
    if not all_have(content, "image_id", "objects") or not all(objects(e["objects"], "names") for e in content):
        return None
    return [(f"{entry['image_id']}.jpg", values(entry["objects"], "names")) for entry in content]


def _labelbox(content: Any) -> Tags | None:
    """Labelbox's rows: the names of objects and the answers to questions, in all labels of all projects."""
    if not all_have(content, "data_row", "projects"):
        return None
    return [(_labelbox_image(row["data_row"]), _labelbox_row(row)) for row in content]


def _labelbox_image(about: dict[str, Any]) -> str:
    named = next((about[key] for key in ("external_id", "global_key", "row_data") if about.get(key)), None)
    if not isinstance(named, str):
        raise UsageError("a row of Labelbox names no image: export it with external_id")
    return named


def _labelbox_row(row: dict[str, Any]) -> list[str] | None:
    done = [label["annotations"] for project in row["projects"].values() for label in listed(project.get("labels"))]
    names: list[str] = []
    for each in done:
        if "frames" in each:
            raise UsageError("a row of Labelbox annotates a video: export its frames as images")
        names += values(each.get("objects"), "name")
        for question in listed(each.get("classifications")):
            answers = [*listed(question.get("radio_answer")), *listed(question.get("checklist_answers"))]
            told = values(answers, "name")
            if any(word.lower() in TRUTH for word in told):
                asked = f"the answer {told[0]!r} to {question.get('name')!r} is no label"
                raise UsageError(f"{asked}: write a table with a column for each question and 1 and 0 in it")
            names += told
    return names if done else None


def _scale(content: Any) -> Tags | None:
    """Scale's tasks: the labels of annotations in the response; a task without a response is not annotated."""
    if not all_have(content, "task_id", "params"):
        return None
    answers = [task.get("response") or None for task in content]
    if not all(each is None or objects(each.get("annotations"), "label") for each in answers):
        return None
    images = [str(task["params"].get("attachment")) for task in content]
    return [
        (image, None if each is None else values(each["annotations"], "label"))
        for image, each in zip(images, answers, strict=True)
    ]


def _hasty(content: Any) -> Tags | None:
    """Hasty's project: class names of an image's labels, and its tags; new and skipped images are not annotated."""
    images = content.get("images") if isinstance(content, dict) else None
    if not isinstance(images, list) or not all_have(images, "image_name", "labels"):
        return None
    return [
        (str(image["image_name"]), _unless_new(image, [*values(image["labels"], "class_name"), *_hasty_tags(image)]))
        for image in images
    ]


def _hasty_tags(image: dict[str, Any]) -> list[str]:
    return [*words(image.get("tags")), *values(image.get("tags"), "class_name")]


def _unless_new(image: dict[str, Any], labels: list[str]) -> list[str] | None:
    return None if not labels and str(image.get("image_status")).lower() in ("new", "skipped") else labels


def _vott(content: Any) -> Tags | None:
    """Microsoft's VoTT, a project or one image: the tags of regions; an image that nobody opened is not annotated."""
    assets = content.get("assets") if isinstance(content, dict) else None
    entries = list(assets.values()) if isinstance(assets, dict) else []
    return [_vott_image(entry) for entry in entries] if all_have(entries, "asset", "regions") else None


def vott(content: Any) -> Tags | None:
    """VoTT's file of one image."""
    return [_vott_image(content)] if all_have([content], "asset", "regions") else None


def _vott_image(entry: dict[str, Any]) -> tuple[str, list[str] | None]:
    """An image and its tags, None where it is not annotated."""
    about, regions = entry["asset"], listed(entry["regions"])
    if not isinstance(about, dict) or not isinstance(about.get("name"), str):
        raise UsageError("an asset of VoTT has no name: export the project anew")
    tags = [tag for region in regions if isinstance(region, dict) for tag in words(region.get("tags"))]
    return unquote(about["name"]), None if not regions and about.get("state") == 0 else tags


def dataloop(content: Any) -> Tags | None:
    """Dataloop's, a file for each image: the labels of its annotations; one that is not annotated says so."""
    if not isinstance(content, dict) or not isinstance(content.get("filename"), str):
        return None
    held = content.get("annotations")
    if not (all_have(held, "label", "type") or (held == [] and "datasetId" in content)):
        return None
    return [(content["filename"].lstrip("/"), None if content.get("annotated") is False else values(held, "label"))]


ROWS = (
    Tool("Labelbox's objects and answers", _labelbox),
    Tool("Scale's annotations", _scale),
)
PLATFORMS = (
    Tool("VGG Image Annotator's attribute", _via),
    Tool("Scalabel's categories", _scalabel),
    Tool("Visual Genome's objects", _visual_genome),
    Tool("Hasty's labels and tags", _hasty),
    Tool("Dataloop's annotations", dataloop),
    Tool("VoTT's tags", _vott),
    Tool("VoTT's tags", vott),
    *ROWS,
)
