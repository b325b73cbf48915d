"""MS-COCO's layout: `ROOT/SPLIT/` holds the images, `ROOT/annotations/instances_SPLIT.json` their annotations."""

import contextlib
import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from pycocotools.coco import COCO

from mlcfast.data.disk import cache_directory, locked, published
from mlcfast.data.records import LabelledImages, require_directory, require_files
from mlcfast.errors import UsageError

CACHE_VERSION = 1


class _Table(NamedTuple):
    """An annotation file as a label matrix."""

    labels: np.ndarray
    files: list[str]
    image_ids: list[str]
    names: list[str]


def read_coco(root: str | Path, split: str | Mapping[str, str], keep_unlabelled: bool = False) -> LabelledImages:
    """Read one split of a data set in MS-COCO's layout.

    split: a name such as "train2014", or {"images": folder, "annotations": file} relative to `root`. An image has a
    label when any annotation, crowds included, gives it that category. Labels are in the order of the file's
    categories, images in the order of its images; images without a label are left out unless `keep_unlabelled`
    (MS-COCO 2014 then has 82,081 and 40,137). The parsed label matrix is cached by the file's content.

    Raises UsageError, naming the file and what is wrong, for a missing directory, file or image, a file that is not
    MS-COCO JSON, ids that refer to nothing, and a set without categories, images or labels.
    """
    root = Path(root)
    require_directory(root, "data.root")
    images, annotations = _locations(root, split)
    if not annotations.is_file():
        raise UsageError(f"{annotations}: no such annotation file")
    require_directory(images, f"the images of {annotations.name}")
    table = _cached(annotations)
    records = LabelledImages(
        require_files(images, table.files, annotations), table.labels, table.names, table.image_ids
    )
    labelled = np.flatnonzero(table.labels.any(axis=1))
    if not len(labelled):
        raise UsageError(f"{annotations}: no image has a label")
    return records if keep_unlabelled else records.subset(labelled)


def _locations(root: Path, split: str | Mapping[str, str]) -> tuple[Path, Path]:
    if isinstance(split, str):
        return root / split, root / "annotations" / f"instances_{split}.json"
    return root / split["images"], root / split["annotations"]


def _cached(annotations: Path) -> _Table:
    with annotations.open("rb") as file:
        key = f"{CACHE_VERSION}:{hashlib.file_digest(file, 'sha256').hexdigest()}"
    cache = cache_directory(annotations.parent) / f"{annotations.stem}.labels.npz"
    with locked(cache.with_suffix(".lock")):
        table = _load(cache, key)
        if table is None:
            table = _parse(annotations)
            _save(cache, key, table)
    return table


def _load(cache: Path, key: str) -> _Table | None:
    """The cached table; None where it is absent, of another content or damaged."""
    try:
        with np.load(cache, allow_pickle=False) as arrays:
            texts = json.loads(arrays["texts"].tobytes())
            labels = arrays["labels"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    if texts.pop("key") != key or labels.shape != (len(texts["files"]), len(texts["names"])):
        return None
    return _Table(labels, **texts)


def _save(cache: Path, key: str, table: _Table) -> None:
    texts = {"key": key, "files": table.files, "image_ids": table.image_ids, "names": table.names}
    with published(cache) as draft, draft.open("wb") as file:
        np.savez(file, labels=table.labels, texts=np.frombuffer(json.dumps(texts).encode(), np.uint8))


def _parse(annotations: Path) -> _Table:
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            coco = COCO(str(annotations))
        return _table(coco, annotations)
    except json.JSONDecodeError as error:
        raise UsageError(f"{annotations}: not valid JSON: {error}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{annotations}: not valid JSON: not UTF-8 text") from error
    except KeyError as error:
        raise UsageError(f"{annotations}: not an MS-COCO annotation file: an entry lacks {error}") from error
    except (TypeError, AssertionError, AttributeError) as error:
        raise UsageError(f"{annotations}: not an MS-COCO annotation file: {error}") from error


def _table(coco: COCO, annotations: Path) -> _Table:
    images, categories = coco.dataset["images"], coco.dataset["categories"]
    for what, entries, index in (("images", images, coco.imgs), ("categories", categories, coco.cats)):
        if not entries:
            raise UsageError(f"{annotations}: the list of {what} is empty")
        if len(entries) != len(index):
            raise UsageError(f"{annotations}: {len(entries) - len(index)} {what} repeat an id")
    rows = {image["id"]: row for row, image in enumerate(images)}
    columns = {category["id"]: column for column, category in enumerate(categories)}
    labels = np.zeros((len(rows), len(columns)), np.int8)
    for annotation in coco.dataset["annotations"]:
        for key, known in (("image_id", rows), ("category_id", columns)):
            if annotation[key] not in known:
                where = f"annotation {annotation['id']} refers to {key} {annotation[key]}"
                raise UsageError(f"{annotations}: {where}, which the file does not define")
        labels[rows[annotation["image_id"]], columns[annotation["category_id"]]] = 1
    files = [image["file_name"] for image in images]
    return _Table(labels, files, [str(i) for i in rows], [category["name"] for category in categories])
