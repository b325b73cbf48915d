"""Files of known tools that are not read: each is refused by its tool's name, with what is read in its place."""

import functools
import re
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mlcfast.data.readers.columns import LIST_COLUMNS
from mlcfast.data.readers.entries import all_have, listed
from mlcfast.data.readers.words import SCORES
from mlcfast.errors import UsageError

AS_COCO = "export the project as MS-COCO, which is read"
OF_PROJECT = "name the directory of the project, whose folders hold img and ann"
PREDICTIONS = "write a table of the images with the labels that you hold to be right"
ARCHIVES = (".zip", ".gz", ".tgz", ".bz2", ".xz", ".zst", ".7z", ".rar")
# Keys of such: `scores`, `label_scores`; an image's own `aesthetic_score` is none.
OF_SCORES = re.compile(
    rf"((labels?|class(es)?|tags?|categor(y|ies)|pred(iction)?s?)_)?({'|'.join(SCORES)})", re.IGNORECASE
)


class Other(NamedTuple):
    """Content that is refused, a document or a list of entries, by keys that the document or its first entry has.

    within: one of these keys, which must hold a list of objects; without: keys that it must not have.
    """

    keys: set[str]
    whose: str
    remedy: str
    within: str = ""
    without: tuple[str, ...] = ()


DOCUMENTS = (
    Other({"detection_categories", "images"}, "MegaDetector's detections, which are predictions", PREDICTIONS),
    Other({"name", "dataset", "created_at"}, "a release of Segments.ai", AS_COCO),
    Other({"project", "file", "view"}, "VGG Image Annotator 3's", f"{AS_COCO}, or use version 2"),
    Other(
        {"samples"}, "FiftyOne's samples", "export them as COCODetectionDataset or FiftyOneImageClassificationDataset"
    ),
    Other({"objects", "tags", "size"}, "Supervisely's, of one image", OF_PROJECT),
    Other({"classes", "tags"}, "Supervisely's settings", OF_PROJECT),
    Other(
        {"attribute_id_map", "images"},
        "WIDER Attribute's, which says of each person in a box what is seen",
        "cut the boxes out, and write a table of these images with a column for each attribute: 1, 0 and, for "
        "unspecified, nothing",
    ),
    Other({"imgHeight", "imgWidth", "objects"}, "Cityscapes'", "write a table of the images and their labels"),
)
OF_IMG2DATASET = Other(
    {"caption", "key", "status", "error_message"}, "img2dataset's captions, which are no labels",
    "write each image's labels beside its caption, as `labels`", without=LIST_COLUMNS,
)  # fmt: skip
ENTRIES = (
    OF_IMG2DATASET,
    Other({"image_id", "category_id", "score"}, "MS-COCO's results, which are predictions", PREDICTIONS),
    Other({"image_id", "category_id"}, "annotations of MS-COCO alone", "name the file that also has their images"),
    Other({"image_id", "caption"}, "captions, which are no labels", "name a file of labels", without=LIST_COLUMNS),
    Other({"image_id", "relationships"}, "Visual Genome's relationships", "name its objects.json"),
    Other({"image_id", "attributes"}, "Visual Genome's attributes", "name its objects.json", within="attributes"),
    Other({"id", "regions"}, "Visual Genome's descriptions of regions", "name its objects.json", within="regions"),
    Other({"label_hash", "data_units"}, "Encord's", AS_COCO),
    Other({"externalId", "jsonResponse"}, "labels of Kili without their assets", "export its assets with their labels"),
    Other({"Labeled Data", "Label"}, "Labelbox's former export", "export NDJSON of its present form, which is read"),
    Other({"token"}, "a table of nuImages", "write a table of the images and their labels", without=LIST_COLUMNS),
)


def refuse_other_tools(path: Path, content: Any, entries: Sequence[Other] = ENTRIES) -> None:
    """UsageError for the content of a JSON file that is one of DOCUMENTS or, a list, of `entries`."""
    first = next(iter(content), None) if isinstance(content, list) else content
    if not isinstance(first, dict):
        return
    for other in entries if isinstance(content, list) else DOCUMENTS:
        fits = other.keys <= first.keys() and not first.keys() & {*other.without}
        if fits and (not other.within or all_have(first[other.within])):
            raise UsageError(f"{path}: {other.whose}: {other.remedy}")


def refuse_answers(path: Path, header: Collection[str]) -> None:
    """UsageError for a table of Zooniverse's, which holds what each volunteer answered."""
    if {"classification_id", "subject_data", "annotations"} <= {*header}:
        raise UsageError(
            f"{path}: Zooniverse's classifications, each the answer of one volunteer: reduce them, and write a table "
            "of the images with the labels on which they agree"
        )


def refuse_archive(path: Path) -> None:
    """UsageError for a packed file."""
    if path.suffix.lower() in ARCHIVES:
        raise UsageError(f"{path}: an archive: unpack it, and name the directory or the label file in it")


def refuse_scores(where: str, entry: dict[str, Any], remedy: str, ignored: Collection[str] = ()) -> None:
    """UsageError where an entry, or an object in it, has a score that is a fraction: a model gave that label.

    where: the file and the place in it, for the message; ignored: keys of which the user said that they are none.
    """
    for key, score in _scores(entry):
        if key in ignored:
            continue
        raise UsageError(f"{where}: {key} {score} makes it a prediction, not a label: {remedy}")


@functools.cache
def _is_score(key: str) -> bool:
    return OF_SCORES.fullmatch(key) is not None


def _scores(entry: dict[str, Any]) -> Iterator[tuple[str, float]]:
    for held in (entry, *(value for value in entry.values() if isinstance(value, dict))):
        for key, value in held.items():
            if _is_score(str(key)):
                for score in listed(list(value.values()) if isinstance(value, dict) else value):
                    if isinstance(score, float) and not score.is_integer():
                        yield str(key), score
