"""Recognises what a label file or a directory is and reads it; what could be several things is an error."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mlcfast.data.readers.exports import is_label_studio, read_label_studio, read_label_studio_sheet, read_metadata
from mlcfast.data.readers.lists import (
    is_attribute_table,
    is_file_list,
    read_attribute_table,
    read_file_list,
    read_folders,
    read_tag_files,
)
from mlcfast.data.readers.paths import IMAGE_ENDINGS
from mlcfast.data.readers.sheet import read_sheet, read_text
from mlcfast.data.readers.source import LabelSource, TableOptions
from mlcfast.data.readers.tables import read_rows
from mlcfast.errors import UsageError

ROBOFLOW = "_classes.csv"
SPLITS = ("train", "valid", "val", "validation", "test")
# Folders so called hold images, and their names say nothing of them.
NO_LABELS = {"images", "image", "imgs", "img", "jpegimages", "photos", "pictures", "data", "masks", "annotations"}


def read_labels(path: Path, options: TableOptions) -> LabelSource:
    """Read a label file by what it holds, or a directory by its layout (see read_directory)."""
    if path.is_dir():
        (source, *more) = [source for source, _ in read_directory(path, options)]
        if more:
            raise UsageError(f"{path}: holds several splits: name one of them")
        return source
    if path.suffix.lower() == ".json":
        return _read_json(path, options)
    if path.suffix.lower() in (".jsonl", ".ndjson"):
        return read_metadata(path, options)
    if path.suffix.lower() in (".xlsx", ".xls", ".ods"):
        raise UsageError(f"{path}: a spreadsheet's own format: save the table as CSV")
    text, _ = read_text(path)
    if is_attribute_table(text):
        return read_attribute_table(path)
    if is_file_list(text):
        return read_file_list(path, options)
    sheet = read_sheet(path)
    return read_label_studio_sheet(sheet, options) if is_label_studio(sheet) else read_rows(sheet, options)


def image_root(path: Path, root: Path) -> Path:
    """Where the images of a label file are: beside Roboflow's _classes.csv and metadata files, else in the root."""
    beside = path.name == ROBOFLOW or path.stem == "metadata"
    return path if path.is_dir() else path.parent if beside else root


def read_directory(path: Path, options: TableOptions) -> list[tuple[LabelSource, Path]]:
    """The sources of a directory, a split each, with the root of their images.

    Recognised: annotations/instances_*.json, _classes.csv or metadata.csv/.jsonl (in it or in its splits' folders),
    a single table, a .txt of tags beside each image, a folder of images for each label. UsageError if it is nothing of
    these, or several.
    """
    from mlcfast.data.coco import coco_source

    coco = sorted(path.glob("annotations/instances_*.json"))
    if coco:
        return [(coco_source(file), path / file.stem.removeprefix("instances_")) for file in coco]
    for place in ([path], [path / split for split in SPLITS]):
        roboflow = sorted(file for folder in place for file in folder.glob("_annotations.coco.json"))
        if roboflow:
            return [(coco_source(file), file.parent) for file in roboflow]
        known = [folder / name for folder in place for name in (ROBOFLOW, "metadata.csv", "metadata.jsonl")]
        found = [file for file in known if file.is_file()]
        if found:
            return [(read_labels(file, options), file.parent) for file in found]
    tables = sorted(file for file in path.iterdir() if file.suffix.lower() in (".csv", ".tsv", ".json"))
    if len(tables) > 1:
        shown = ", ".join(file.name for file in tables[:5])
        raise UsageError(f"{path}: holds several label files, {shown}: name one of them")
    if tables:
        return [(read_labels(tables[0], options), path)]
    return _read_images(path, options)


def _read_images(path: Path, options: TableOptions) -> list[tuple[LabelSource, Path]]:
    beside = any(file.with_suffix(".txt").is_file() for file in path.rglob("*") if file.suffix.lower() in IMAGE_ENDINGS)
    folders = [folder for folder in path.iterdir() if folder.is_dir() and _has_images(folder)]
    if beside:
        return [(read_tag_files(path, options), path)]
    splits = [folder for folder in folders if folder.name.lower() in SPLITS]
    if splits and len(splits) == len(folders):
        return [(read_folders(folder), folder) for folder in sorted(splits)]
    if not folders:
        raise UsageError(
            f"{path}: no labels found: looked for annotations/instances_*.json, {ROBOFLOW}, metadata.jsonl, a CSV "
            "table, a .txt beside each image and a folder of images for each label"
        )
    unsaid = [folder.name for folder in folders if folder.name.lower() in NO_LABELS]
    if unsaid:
        raise UsageError(
            f"{path}: no labels found: {unsaid[0]!r} is a folder of images, not a label; if its own folders are the "
            f"labels, name {path / unsaid[0]}, else name the file of the labels"
        )
    return [(read_folders(path), path)]


def _has_images(folder: Path) -> bool:
    return any(file.suffix.lower() in IMAGE_ENDINGS for file in folder.rglob("*"))


def _read_json(path: Path, options: TableOptions) -> LabelSource:
    from mlcfast.data.coco import coco_source

    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise UsageError(f"{path}: not valid JSON: {error}") from error
    if isinstance(content, dict) and "images" in content:
        return coco_source(path)
    if isinstance(content, list):
        return read_label_studio(path, content, options)
    raise UsageError(f"{path}: neither MS-COCO annotations nor a list of Label Studio's tasks")


def combined(sources: Sequence[LabelSource]) -> LabelSource:
    """Several splits as one source, their labels united in the order in which they first appear."""
    if len(sources) == 1:
        return sources[0]
    names = list(dict.fromkeys(name for source in sources for name in source.names))
    ordered = [source.in_order(names) for source in sources]
    first = ordered[0]
    return dataclasses.replace(
        first,
        images=[f"{source.path.stem}/{image}" for source in ordered for image in source.images],
        lines=[line for source in ordered for line in source.lines],
        names=names,
        states=np.concatenate([source.states for source in ordered]),
        assumptions=list(dict.fromkeys(line for source in ordered for line in source.assumptions)),
        warnings=[f"{source.path.name}: {line}" for source in ordered for line in source.warnings],
    )
