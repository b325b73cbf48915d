"""MS-COCO's layout: `ROOT/SPLIT/` holds the images, `ROOT/annotations/instances_SPLIT.json` their annotations."""

import hashlib
import json
import logging
import time
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mlcfast.data.coco_table import CocoTable, content_of, first_of_each_file, parse_annotations
from mlcfast.data.labels import count, holds, read_table, table_arrays, zero_as_absent
from mlcfast.data.readers.exports import text_of_cell
from mlcfast.data.readers.image_files import IMAGE_ENDINGS
from mlcfast.data.readers.paths import ABSOLUTE, require_images
from mlcfast.data.readers.source import LabelSource, TableOptions
from mlcfast.data.records import LabelledImages, require_directory
from mlcfast.data.splits import rows_and_groups
from mlcfast.documents import reading, refuse_special
from mlcfast.errors import UsageError
from mlcfast.files import cache_directory, locked, published
from mlcfast.registry import hint, hint_path

CACHE_VERSION = 7
LOGGER = logging.getLogger("mlcfast")


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
        annotations = root / str(split) if str(split).endswith(".json") else annotations  # as the user has named it
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

    The first of these that holds the first of the files; of an absolute name the longest end that one of them holds
    counts, as it may be of another machine. `root/SPLIT` where none does.
    """
    places = (root / split, root / "images" / split, root / "images", root)
    plain = files[0].replace("\\", "/") if files else ""
    drive = ABSOLUTE.match(plain)
    parts = plain[len(drive[0]) :].split("/") if drive else []
    ends = ["/".join(parts[number:]) for number in range(len(parts)) if ".." not in parts[number:]] or files[:1]
    held = (place for end in ends for place in places if (place / end).is_file())
    return next(held, root / split)


def is_cached(annotations: Path) -> bool:
    """Whether an annotation file has been read and not changed since; it then is MS-COCO's."""
    seen = _identity(annotations)
    return bool(seen) and _load(_cache_of(annotations), "seen", seen) is not None


def _cache_of(annotations: Path) -> Path:
    return cache_directory(annotations.parent) / f"{annotations.stem}.labels.npz"


def _cached(annotations: Path, options: TableOptions, content: Any = None) -> CocoTable:
    """The table of an annotation file, from the cache if it is there; content: that of the file, if it is known.

    It is parsed anew where the options name keys that are to be ignored, such as the scores of predictions.
    """
    if options.ignore_columns:
        return parse_annotations(annotations, content, options.ignore_columns)
    refuse_special(annotations)
    seen = _identity(annotations)
    cache = _cache_of(annotations)
    with locked(cache.with_suffix(".lock")):
        table = _load(cache, "seen", seen) if seen else None  # to digest the content of a large file takes a second
        if table is None:
            with annotations.open("rb") as file:
                key = f"{CACHE_VERSION}:{hashlib.file_digest(file, 'sha256').hexdigest()}"
            table = _load(cache, "key", key) or parse_annotations(annotations, content)
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


def _load(cache: Path, mark: str, value: Any) -> CocoTable | None:
    """The cached table; None where it is absent, damaged, or of a file of which this mark has another value."""
    try:
        with np.load(cache, allow_pickle=False) as arrays:
            texts = json.loads(arrays["texts"].tobytes())
            held = texts.pop(mark, None)
            texts = {name: texts[name] for name in CocoTable._fields[1:]}
            labels = read_table(arrays)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    if held != value or labels.shape != (len(texts["files"]), len(texts["names"])):
        return None
    return CocoTable(labels, **texts)


def _save(cache: Path, marks: dict[str, Any], table: CocoTable) -> None:
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


def _source_of(annotations: Path, table: CocoTable, options: TableOptions) -> LabelSource:
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
    images = list(first_of_each_file(content_of(annotations)["images"]).values()) if named else []
    for option, name in named.items():
        if not any(name in image for image in images):
            there = list(dict.fromkeys(key for image in images for key in image))
            raise UsageError(
                f"{annotations}: {option}: its images have no field {name!r}; there are {', '.join(there[:12])}"
                f"{hint(name, there)}"
            )
    return {name: [text_of_cell(image.get(name)) for image in images] for name in named.values()}
