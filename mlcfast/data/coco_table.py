"""An annotation file of MS-COCO's form as a table of its images and labels."""

import json
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mlcfast.data.labels import Labels, count, from_entries, placed
from mlcfast.data.readers.names import nearly_equal, plain_label, refuse_controls, respelt
from mlcfast.data.readers.paths import plain_path
from mlcfast.data.readers.refused import refuse_other_tools, refuse_scores
from mlcfast.data.readers.words import SCORES
from mlcfast.documents import parse_json, read_content
from mlcfast.errors import UsageError

LARGE = 2**24  # bytes
OUTLINE = re.compile(rb'("segmentation"\s*:\s*)\[[\[\]0-9eE+\-.,\s]*\]')
# Keys of an annotation under which a score may stand, itself or in an object.
MAY_BE_SCORED = frozenset({*SCORES, "attributes"})

LISTS = {"images": "image", "categories": "category", "annotations": "annotation"}  # and what each entry is
ENTRY = {
    "images": '{"id": 1, "file_name": "0001.jpg"} for each image',
    "categories": '{"id": 1, "name": "cat"} for each category',
    "annotations": '{"image_id": 1, "category_id": 1} for each label of an image',
}
SHOWN = 5  # keys and ids in a message
# Lists whose entries need a key, in the order in which they are read.
LACKED = {
    "id": ("images", "categories"),
    "file_name": ("images",),
    "name": ("categories",),
    "image_id": ("annotations",),
    "category_id": ("annotations",),
}


class CocoTable(NamedTuple):
    """An annotation file as a table: labels (M, K) of the M images' files and ids, and the K names."""

    labels: Labels
    files: list[str]
    image_ids: list[str]
    names: list[str]
    warnings: list[str]
    said: list[str]


def content_of(annotations: Path) -> Any:
    """The content of a JSON file, of a large one without the outlines of its objects; UsageError for no valid JSON."""
    content = read_content(annotations)
    try:
        return parse_json(_without_outlines(content))
    except ValueError:
        try:
            return parse_json(content)  # whose error counts lines and characters as they are
        except ValueError as error:
            raise UsageError(f"{annotations}: not valid JSON: {error}") from error


def parse_annotations(annotations: Path, content: Any, ignored: Collection[str] = ()) -> CocoTable:
    """The table of an annotation file; content: as content_of gives it, None where it is not yet known.

    ignored: keys of annotations that say no score. UsageError, in one line, for what is not MS-COCO's.
    """
    content = content_of(annotations) if content is None else content
    try:
        return _table(content, annotations, ignored)
    except KeyError as error:
        if error.args[0] in LISTS and error.args[0] not in content:
            said = _lacks_list(content, error.args[0])
            raise UsageError(f"{annotations}: not an MS-COCO annotation file: {said}") from error
        says = f"{_that_lacks(content, str(error.args[0]))} lacks {error}: write it"
        raise UsageError(f"{annotations}: not an MS-COCO annotation file: {says}") from error
    except (TypeError, AssertionError, AttributeError) as error:
        raise UsageError(f"{annotations}: not an MS-COCO annotation file: {error}") from error


def _lacks_list(content: Mapping[str, Any], key: str) -> str:
    """What to do where one of LISTS is missing: which stand there, and what its entries must be."""
    there = ", ".join(map(repr, [*content][:SHOWN])) or "nothing"
    used = {each.get("category_id"): None for each in content.get("annotations") or () if isinstance(each, dict)}
    ids = [str(each) for each in used if each is not None][:SHOWN]
    said = f" (the annotations refer to {', '.join(ids)})" if key == "categories" and ids else ""
    return f"it holds {there} and lacks {key!r}: write that list beside them, {ENTRY[key]}{said}"


def _that_lacks(content: Mapping[str, Any], key: str) -> str:
    """The first entry without a key: of which list, its place there and its id."""
    for what in LACKED.get(key, ()):
        for place, entry in enumerate(content.get(what) or (), start=1):
            parts = entry.get("segments_info", (entry,)) if key == "category_id" else (entry,)
            if any(key not in part for part in parts) and not (key == "file_name" and _has_file(entry)):
                own = "" if "id" not in entry else f" (id {entry['id']})"
                return f"{LISTS[what]} {place} of {len(content[what])}{own}"
    return "an entry"


def _without_outlines(content: bytes) -> bytes:
    """The content of a large file without the objects' outlines: most of it, and nothing that labels need."""
    return OUTLINE.sub(rb"\1[]", content) if len(content) > LARGE else content


def _table(content: dict[str, Any], annotations: Path, ignored: Collection[str]) -> CocoTable:
    """Ids are compared as text: some tools write them quoted in one place and as numbers in another.

    Where the images say which categories are known to be absent, as LVIS's do, the others are unknown: 0, and −1 is
    absent. Else 0 is absent.
    """
    _refuse_others(content, annotations)
    images, categories = content["images"], content["categories"]
    for what, entries in (("images", images), ("categories", categories)):
        if not entries:
            raise UsageError(f"{annotations}: the list of {what} is empty")
        times = Counter(_id(entry["id"]) for entry in entries)
        if len(times) < len(entries):
            again, first = len(entries) - len(times), times.most_common(1)[0][0]
            remedy = "give each an id of its own, and name that in the annotations"
            raise UsageError(f"{annotations}: {again} {what} repeat an id, first {first}: {remedy}")
    spelt = first_of_each_file(images)
    place = {file: row for row, file in enumerate(spelt)}
    rows = {_id(image["id"]): place[plain_path(_file_of(image))] for image in images}
    spelt_as = [str(category["name"]) for category in categories]
    names = list(dict.fromkeys(map(plain_label, spelt_as)))
    refuse_controls(annotations, names)
    place_of = {name: column for column, name in enumerate(names)}
    columns = {_id(each["id"]): place_of[plain_label(str(each["name"]))] for each in categories}
    absent = [
        (rows[_id(image["id"])], columns[_id(each)]) for image in images for each in image.get("neg_category_ids") or ()
    ]
    if not absent and any("neg_category_ids" in image for image in images):
        raise UsageError(
            f"{annotations}: its images have neg_category_ids, all empty, so that no label is known to be absent: name "
            "categories there, or take that key out where all categories without an annotation are absent"
        )
    entries = _entries(content["annotations"], annotations, rows, columns, ignored)
    row_N, column_N = np.array(absent + entries, np.int64).reshape(-1, 2).T
    value_N = np.repeat(np.array([-1, 1], np.int8), [len(absent), len(entries)])
    labels = from_entries(row_N, column_N, (len(spelt), len(names)), value_N, fill=0)
    files, ids = [_file_of(image) for image in spelt.values()], [_id(image["id"]) for image in spelt.values()]
    labels, names, warnings, said = _without_unused(labels, names, categories)
    again = len(images) - len(spelt)
    warnings += nearly_equal(names, "the labels") + respelt(spelt_as)
    warnings += [f"{again} images name a file that another one names: merged"] if again else []
    marked = sum(bool(each.get("ignore")) for each in content["annotations"])
    warnings += [f"{marked} annotations are marked with ignore: they count like any other"] if marked else []
    warnings += ["labels that an image has not and neg_category_ids does not name are unknown"] if absent else []
    return CocoTable(labels, files, ids, names, warnings, said)


def _refuse_others(content: dict[str, Any], annotations: Path) -> None:
    """UsageError for what another tool wrote, for captions, and for a category without a name."""
    refuse_other_tools(annotations, content)
    for what in LISTS:
        entries = content.get(what, [])
        if not isinstance(entries, list):
            raise UsageError(f"{annotations}: {what!r} holds {_shown(entries)}: write a list there, [] for none")
        place, strange = next(((n, e) for n, e in enumerate(entries, start=1) if not isinstance(e, dict)), (0, None))
        if place:
            raise UsageError(
                f"{annotations}: {LISTS[what]} {place} of {len(entries)} is {_shown(strange)}: write an object with "
                "its keys, or take it out"
            )
    noted = content.get("annotations") or [{}]
    if "categories" not in content and "caption" in noted[0]:
        raise UsageError(f"{annotations}: captions, which are no labels: name a file of labels, such as instances_*")
    unnamed = next((each for each in content.get("categories") or () if each.get("name", "?") in (None, "")), None)
    if unnamed is not None:
        raise UsageError(f"{annotations}: category {unnamed.get('id')} has no name: write one")


def _shown(value: Any) -> str:
    return json.dumps(value)[:60]


def _entries(
    noted: Sequence[dict[str, Any]],
    annotations: Path,
    rows: Mapping[str, int],
    columns: Mapping[str, int],
    ignored: Collection[str],
) -> list[tuple[int, int]]:
    """Row and column of each annotation, of a panoptic one those of its segments.

    UsageError for ids that the file does not define, and for scores that are not among `ignored`.
    """
    remedy = "keep the annotations that hold, and take their scores out, or name their key in data.ignore_columns"
    entries = []
    for number, annotation in enumerate(noted, start=1):
        if not MAY_BE_SCORED.isdisjoint(annotation):
            where = f"{annotations}: annotation {annotation.get('id', number)}"
            refuse_scores(where, annotation, remedy, ignored)
        image = _id(annotation["image_id"])
        for each in annotation.get("segments_info", (annotation,)):
            category = _id(each["category_id"])
            if image not in rows or category not in columns:
                key, value = ("image_id", image) if image not in rows else ("category_id", category)
                where = f"annotation {annotation.get('id', number)} refers to {key} {value}"
                what = "images" if image not in rows else "categories"
                raise UsageError(
                    f"{annotations}: {where}, which the file does not define: add it to the list of {what}, or take "
                    "the annotation out"
                )
            entries.append((rows[image], columns[category]))
    return entries


def _id(value: Any) -> str:
    """An id as text; 7 for the 7.0 that a program made of it."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _file_of(image: dict[str, Any]) -> str:
    """The file of an image; its address where it has no other name, as in LVIS."""
    return str(image.get("file_name") or image.get("filename") or image.get("coco_url") or image["file_name"])


def _has_file(image: dict[str, Any]) -> bool:
    return any(image.get(key) for key in ("filename", "coco_url"))


def first_of_each_file(images: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The entries of a list of images by their files, of several that name one file the first."""
    spelt: dict[str, dict[str, Any]] = {}
    for image in images:
        spelt.setdefault(plain_path(_file_of(image)), image)
    return spelt


def _without_unused(
    labels: Labels, names: list[str], categories: list[dict[str, Any]]
) -> tuple[Labels, list[str], list[str], list[str]]:
    """Leave out super-categories that are listed as categories and that no image has; warnings, and what was assumed.

    A category that no image of this file has may be there in the other split, so it stays. Roboflow lists the
    super-category of all, which may be called as one of them is; other categories of one name are a warning.
    """
    above = {plain_label(str(category.get("supercategory"))) for category in categories}
    unused = [name for name, some in zip(names, count(labels, 1, axis=0).tolist(), strict=True) if not some]
    dropped = [name for name in unused if name in above]
    said = [f"the super-category {name!r} is no label: no image has it" for name in dropped]
    warnings = [f"no image has the label {name!r}" for name in unused if name not in above][:5]
    times = Counter(plain_label(str(category["name"])) for category in categories)
    shared = [name for name in times if times[name] > 1]
    twice = sum(times[name] - 1 for name in shared)
    merged = [f"{twice} categories share a name with another, first {shared[0]!r}: merged"] if shared else []
    of_all = above.issuperset(shared)
    kept = [name for name in names if name not in dropped]
    place = {name: column for column, name in enumerate(kept)}
    table = placed(labels, [place.get(name, -1) for name in names], len(kept), 0)
    return table, kept, warnings + ([] if of_all else merged), said + (merged if of_all else [])
