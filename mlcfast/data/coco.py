"""MS-COCO's layout: `ROOT/SPLIT/` holds the images, `ROOT/annotations/instances_SPLIT.json` their annotations."""

import hashlib
import json
import logging
import re
import time
import zipfile
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mlcfast.data.labels import Labels, count, from_entries, holds, placed, read_table, table_arrays, zero_as_absent
from mlcfast.data.readers.exports import text_of_cell
from mlcfast.data.readers.names import nearly_equal, plain_label, respelt
from mlcfast.data.readers.paths import IMAGE_ENDINGS, plain_path, require_images
from mlcfast.data.readers.refused import refuse_other_tools, refuse_scores
from mlcfast.data.readers.source import LabelSource, TableOptions
from mlcfast.data.readers.words import SCORES
from mlcfast.data.records import LabelledImages, require_directory
from mlcfast.data.splits import rows_and_groups
from mlcfast.documents import parse_json, reading
from mlcfast.errors import UsageError
from mlcfast.files import cache_directory, locked, published
from mlcfast.registry import hint, hint_path

CACHE_VERSION = 7
LARGE = 2**24  # bytes
OUTLINE = re.compile(rb'("segmentation"\s*:\s*)\[[\[\]0-9eE+\-.,\s]*\]')
# Keys of an annotation under which a score may stand, itself or in an object.
MAY_BE_SCORED = frozenset({*SCORES, "attributes"})
LOGGER = logging.getLogger("mlcfast")


class _Table(NamedTuple):
    """An annotation file as a label matrix."""

    labels: Labels
    files: list[str]
    image_ids: list[str]
    names: list[str]
    warnings: list[str]
    said: list[str]


def read_coco(
    root: str | Path,
    split: str | Mapping[str, str],
    keep_unlabelled: bool = False,
    allow_outside: bool = False,
    options: TableOptions | None = None,
    part: str | None = None,
    others: Sequence[str] = (),
) -> LabelledImages:
    """Read one split of a data set in MS-COCO's layout.

    split: a name such as "train2014", or {"images": folder, "annotations": file} relative to `root`; see images_folder
    for where a named split's images may be. An image has a
    label when any annotation, crowds included, gives it that category. Labels are in the order of the file's
    categories, images in the order of its images; images without a label are left out unless `keep_unlabelled`
    (MS-COCO 2014 then has 82,081 and 40,137). The parsed label matrix is cached by the file's content. options, part,
    others: which fields of an image say its split and its group, and which part is meant, as in read_csv.

    Raises UsageError, naming the file and what is wrong, for a missing directory, file or image, a file that is not
    MS-COCO JSON, ids that refer to nothing, and a set without categories, images or labels.
    """
    root = Path(root)
    require_directory(root, "data.root")
    given = {} if isinstance(split, str) else split
    annotations = root / given["annotations"] if "annotations" in given else annotation_file(root, str(split))
    if not annotations.is_file():
        raise UsageError(f"{annotations}: no such annotation file{hint_path(annotations)}")
    beside = (root / "images").is_dir() or any(file.suffix.lower() in IMAGE_ENDINGS for file in root.iterdir())
    if given or not beside:  # a missing folder is named before minutes are spent on the annotations
        require_directory(root / given.get("images", str(split)), f"the images of {annotations.name}")
    with reading(annotations, within=root):
        options = options or TableOptions()
        table = _cached(annotations, options)
        source = _source_of(annotations, table, options)
        rows, groups = rows_and_groups(source, options, part, others)
        images = root / given["images"] if given else images_folder(root, str(split), table.files)
        require_directory(images, f"the images of {annotations.name}")
        for warning in table.warnings:
            LOGGER.warning("%s: %s", annotations, warning)
        for line in table.said:
            LOGGER.info("%s: %s", annotations, line)
        files, ids = ([values[row] for row in rows] for values in (table.files, table.image_ids))
        wheres = [f"image {number}" for number in ids]
        paths = require_images(images, files, annotations, wheres, allow_outside)
    labels = table.labels if len(rows) == len(table.files) else table.labels[rows]
    records = LabelledImages(paths, labels, table.names, ids, groups=groups)
    labelled = np.flatnonzero(count(labels, 1, axis=1))
    if not len(labelled):
        raise UsageError(f"{annotations}: no image has a label")
    if keep_unlabelled or len(labelled) == len(records):
        return records
    LOGGER.info(
        "%s: %d of %d images have no label and are left out: data.keep_unlabelled=true keeps them",
        annotations,
        len(records) - len(labelled),
        len(records),
    )
    return records.subset(labelled)


def annotation_file(root: Path, split: str) -> Path:
    """The annotations of a named split: `annotations/instances_SPLIT.json`, or SPLIT.json where only that is there."""
    plain, named = (root / "annotations" / f"{word}{split}.json" for word in ("", "instances_"))
    return plain if plain.is_file() and not named.is_file() else named


def images_folder(root: Path, split: str, files: Sequence[str]) -> Path:
    """Where the images of a split are: in `root/SPLIT`, as MS-COCO's; else in images/SPLIT, images or the root itself.

    The first of these that holds the first of the files; `root/SPLIT` where none does.
    """
    places = (root / split, root / "images" / split, root / "images", root)
    return next((place for place in places if files and (place / files[0]).is_file()), root / split)


def is_cached(annotations: Path) -> bool:
    """Whether an annotation file has been read and not changed since; it then is MS-COCO's."""
    seen = _identity(annotations)
    return bool(seen) and _load(_cache_of(annotations), "seen", seen) is not None


def _cache_of(annotations: Path) -> Path:
    return cache_directory(annotations.parent) / f"{annotations.stem}.labels.npz"


def _cached(annotations: Path, options: TableOptions, content: Any = None) -> _Table:
    """The table of an annotation file, from the cache if it is there; content: that of the file, if it is known.

    It is parsed anew where the options name keys that are to be ignored, such as the scores of predictions.
    """
    if options.ignore_columns:
        return _parse(annotations, content, options.ignore_columns)
    seen = _identity(annotations)
    cache = _cache_of(annotations)
    with locked(cache.with_suffix(".lock")):
        table = _load(cache, "seen", seen) if seen else None  # to digest the content of a large file takes a second
        if table is None:
            with annotations.open("rb") as file:
                key = f"{CACHE_VERSION}:{hashlib.file_digest(file, 'sha256').hexdigest()}"
            table = _load(cache, "key", key) or _parse(annotations, content)
            _save(cache, {"key": key, "seen": seen}, table)
    return table


def _identity(file: Path) -> list[int]:
    """What changes whenever a file's content does, if only because nobody can set the time of change (ctime).

    Empty for one changed in the last second: its clock may be coarser than what happened since.
    """
    status = file.stat()
    if time.time_ns() - status.st_ctime_ns < 10**9:
        return []
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]


def _load(cache: Path, mark: str, value: Any) -> _Table | None:
    """The cached table; None where it is absent, damaged, or of a file of which this mark has another value."""
    try:
        with np.load(cache, allow_pickle=False) as arrays:
            texts = json.loads(arrays["texts"].tobytes())
            held = texts.pop(mark, None)
            texts = {name: texts[name] for name in _Table._fields[1:]}
            labels = read_table(arrays)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    if held != value or labels.shape != (len(texts["files"]), len(texts["names"])):
        return None
    return _Table(labels, **texts)


def _save(cache: Path, marks: dict[str, Any], table: _Table) -> None:
    texts = {
        **marks,
        "files": table.files,
        "image_ids": table.image_ids,
        "names": table.names,
        "warnings": table.warnings,
        "said": table.said,
    }
    with published(cache) as draft, draft.open("wb") as file:
        np.savez(file, **table_arrays(table.labels), texts=np.frombuffer(json.dumps(texts).encode(), np.uint8))


def coco_source(annotations: Path, options: TableOptions, content: Any = None) -> LabelSource:
    """The labels of one annotation file, for `inspect`; see read_coco. content: as content_of gives it, if known."""
    table = _cached(annotations, options, content)
    states = table.labels if holds(table.labels, -1) else zero_as_absent(table.labels)
    return _source_of(annotations, table._replace(labels=states), options)


def _source_of(annotations: Path, table: _Table, options: TableOptions) -> LabelSource:
    lines = range(1, len(table.files) + 1)
    named = {"data.split_column": options.split_column, "data.group": options.group}
    columns = _fields(annotations, {option: name for option, name in named.items() if name is not None})
    return LabelSource(
        annotations, "coco", table.files, lines, table.names, table.labels, table.said, table.warnings, columns=columns
    )


def _fields(annotations: Path, named: Mapping[str, str]) -> dict[str, list[str]]:
    """What the images of a file hold under the names that options give, blank where one has nothing; it is parsed anew.

    UsageError lists the fields there are where no image has one of the name.
    """
    images = list(_first_of_each_file(content_of(annotations)["images"]).values()) if named else []
    for option, name in named.items():
        if not any(name in image for image in images):
            there = list(dict.fromkeys(key for image in images for key in image))
            raise UsageError(
                f"{annotations}: {option}: its images have no field {name!r}; there are {', '.join(there[:12])}"
                f"{hint(name, there)}"
            )
    return {name: [text_of_cell(image.get(name)) for image in images] for name in named.values()}


def content_of(annotations: Path) -> Any:
    """The content of a JSON file, of a large one without the outlines of its objects; UsageError for no valid JSON."""
    try:
        return parse_json(_without_outlines(annotations.read_bytes()))
    except ValueError as error:
        raise UsageError(f"{annotations}: not valid JSON: {error}") from error


def _parse(annotations: Path, content: Any, ignored: Collection[str] = ()) -> _Table:
    content = content_of(annotations) if content is None else content
    try:
        return _table(content, annotations, ignored)
    except KeyError as error:
        raise UsageError(f"{annotations}: not an MS-COCO annotation file: an entry lacks {error}") from error
    except (TypeError, AssertionError, AttributeError) as error:
        raise UsageError(f"{annotations}: not an MS-COCO annotation file: {error}") from error


def _without_outlines(content: bytes) -> bytes:
    """The content of a large file without the objects' outlines: most of it, and nothing that labels need."""
    return OUTLINE.sub(rb"\1[]", content) if len(content) > LARGE else content


def _table(content: dict[str, Any], annotations: Path, ignored: Collection[str]) -> _Table:
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
    spelt = _first_of_each_file(images)
    place = {file: row for row, file in enumerate(spelt)}
    rows = {_id(image["id"]): place[plain_path(_file_of(image))] for image in images}
    spelt_as = [str(category["name"]) for category in categories]
    names = list(dict.fromkeys(map(plain_label, spelt_as)))
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
    return _Table(labels, files, ids, names, warnings, said)


def _refuse_others(content: dict[str, Any], annotations: Path) -> None:
    """UsageError for what another tool wrote, for captions, and for a category without a name."""
    refuse_other_tools(annotations, content)
    noted = content.get("annotations") or [{}]
    if "categories" not in content and "caption" in noted[0]:
        raise UsageError(f"{annotations}: captions, which are no labels: name a file of labels, such as instances_*")
    for what in ("images", "categories", "annotations"):
        strange = next((each for each in content.get(what) or () if not isinstance(each, dict)), None)
        if strange is not None:
            raise UsageError(
                f"{annotations}: the list of {what} holds {str(strange)[:60]!r}: write an object with an id"
            )
    unnamed = next((each for each in content.get("categories") or () if each.get("name", "?") in (None, "")), None)
    if unnamed is not None:
        raise UsageError(f"{annotations}: category {unnamed.get('id')} has no name: write one")


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
                raise UsageError(f"{annotations}: {where}, which the file does not define")
            entries.append((rows[image], columns[category]))
    return entries


def _id(value: Any) -> str:
    """An id as text; 7 for the 7.0 that a program made of it."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _file_of(image: dict[str, Any]) -> str:
    """The file of an image; its address where it has no other name, as in LVIS."""
    return str(image.get("file_name") or image.get("filename") or image.get("coco_url") or image["file_name"])


def _first_of_each_file(images: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
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
