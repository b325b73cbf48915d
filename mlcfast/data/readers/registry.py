"""Every format that `data.format` may name, with what reads it and how a directory of it is known."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from mlcfast.data.readers.arrow import is_arrow, is_saved, read_arrow, read_saved
from mlcfast.data.readers.attribute_tables import read_attribute_table
from mlcfast.data.readers.authors import is_authors, read_authors
from mlcfast.data.readers.datumaro import is_datumaro, read_datumaro
from mlcfast.data.readers.exports import json_of, read_metadata
from mlcfast.data.readers.folders import read_folders
from mlcfast.data.readers.json_files import is_labelme, read_json, read_labelme
from mlcfast.data.readers.label_studio import names_annotations, read_label_studio, read_label_studio_sheet
from mlcfast.data.readers.lists import read_file_list
from mlcfast.data.readers.nus_wide import is_nus_wide, read_nus_wide
from mlcfast.data.readers.probabilities import read_probabilities
from mlcfast.data.readers.record_lists import is_record_list, read_record_list
from mlcfast.data.readers.sheet import read_sheet, read_text
from mlcfast.data.readers.source import LabelSource, TableOptions
from mlcfast.data.readers.supervisely import is_supervisely, read_supervisely
from mlcfast.data.readers.tables import read_rows
from mlcfast.data.readers.tag_files import read_tag_files
from mlcfast.data.readers.voc import is_cvat, is_voc, read_cvat, read_voc
from mlcfast.data.readers.webdataset import is_webdataset, read_webdataset
from mlcfast.data.readers.xmp import read_xmp
from mlcfast.data.readers.yolo import is_yolo, read_yolo
from mlcfast.errors import UsageError
from mlcfast.registry import hint, hint_path

Read = Callable[[Path, TableOptions], Sequence[LabelSource]]


class Format(NamedTuple):
    """How one format is read: `read` takes a file or directory and gives a source for each split.

    files: names of the files that a directory of it holds, as patterns; empty where `read` takes the directory itself.
    knows: whether a directory holds this format, for the formats that are recognised by their layout.
    """

    read: Read
    files: tuple[str, ...] = ()
    knows: Callable[[Path], bool] | None = None


def _table(path: Path, options: TableOptions) -> list[LabelSource]:
    return [read_rows(read_sheet(path), options)]


def _file_list(path: Path, options: TableOptions) -> list[LabelSource]:
    recorded = is_record_list(read_text(path)[0])
    return [read_record_list(path, options) if recorded else read_file_list(path, options)]


def _metadata(path: Path, options: TableOptions) -> list[LabelSource]:
    if path.suffix.lower() == ".json":
        return [read_json(path, json_of(path), options)]
    return _table(path, options) if path.suffix.lower() == ".csv" else [read_metadata(path, options)]


def _label_studio(path: Path, options: TableOptions) -> list[LabelSource]:
    if path.suffix.lower() == ".json":
        tasks = json_of(path)
        if not isinstance(tasks, list):
            raise UsageError(f"{path}: not a list of Label Studio's tasks")
        return [read_label_studio(path, tasks, options)]
    sheet = read_sheet(path)
    if not names_annotations(sheet):
        raise UsageError(f"{path}: not Label Studio's export: it has no columns annotation_id and annotator")
    return [read_label_studio_sheet(sheet, options)]


def _coco(path: Path, options: TableOptions) -> list[LabelSource]:
    from mlcfast.data.coco import coco_source  # which reads with this module's neighbours

    return [coco_source(path, options)]


def _is_cvat(path: Path) -> bool:
    return any(is_cvat(file) for file in sorted(path.glob("*.xml"))[:2])


TABLES = ("*.csv", "*.tsv", "*.txt")
FORMATS: dict[str, Format] = {
    "wide": Format(_table, TABLES),
    "list": Format(_table, TABLES),
    "long": Format(_table, TABLES),
    "attributes": Format(lambda path, options: [read_attribute_table(path)], ("list_attr*.txt", "*.txt")),
    "file_list": Format(_file_list, ("*.txt", "*.csv", "*.lst")),
    "coco": Format(_coco, ("_annotations.coco.json", "*.json")),
    "label_studio": Format(_label_studio, ("*.json", "*.csv")),
    "metadata": Format(_metadata, ("metadata.jsonl", "metadata.csv")),
    "tag_files": Format(lambda path, options: [read_tag_files(path, options)]),
    "xmp": Format(lambda path, options: [read_xmp(path)]),
    "folders": Format(lambda path, options: read_folders(path)),
    "yolo": Format(read_yolo, knows=is_yolo),
    "voc": Format(read_voc, knows=is_voc),
    "cvat": Format(read_cvat, ("annotations.xml", "*.xml"), _is_cvat),
    "labelme": Format(lambda path, options: read_labelme(path), knows=is_labelme),
    "datumaro": Format(read_datumaro, knows=is_datumaro),
    "supervisely": Format(read_supervisely, knows=is_supervisely),
    "authors": Format(read_authors, knows=is_authors),
    "nus_wide": Format(lambda path, options: read_nus_wide(path), knows=is_nus_wide),
    "parquet": Format(read_arrow, knows=is_arrow),
    "huggingface": Format(read_saved, knows=is_saved),
    "webdataset": Format(read_webdataset, knows=is_webdataset),
    "probabilities": Format(lambda path, options: [read_probabilities(path)], ("*.npz",)),
}


def read_as(path: Path, options: TableOptions) -> list[LabelSource]:
    """Read a file or directory as the format that the options name; UsageError lists the formats for another name."""
    if options.form not in FORMATS:
        raise UsageError(
            f"data.format: {options.form!r} must be auto or one of {', '.join(FORMATS)}{hint(options.form, FORMATS)}"
        )
    form = FORMATS[options.form]
    if not path.exists():
        raise UsageError(f"{path}: no such file or directory{hint_path(path)}")
    if form.files and path.is_dir():
        path = _only_file(path, form.files, options.form)
    elif (
        options.form in ("tag_files", "xmp", "folders", "huggingface", "nus_wide", "authors", "supervisely")
        and not path.is_dir()
    ):
        raise UsageError(f"{path}: data.format {options.form} is a directory, not a file")
    return list(form.read(path, options))


def _only_file(folder: Path, patterns: Sequence[str], form: str) -> Path:
    for pattern in patterns:
        files = sorted(folder.glob(pattern))
        if len(files) > 1:
            shown = ", ".join(file.name for file in files[:5])
            raise UsageError(f"{folder}: holds several files that may be {form}, {shown}: name one of them")
        if files:
            return files[0]
    raise UsageError(f"{folder}: holds no file for data.format {form}: looked for {', '.join(patterns)}")


def has_splits(form: str) -> bool:
    """Whether a directory of this format may hold several splits: one that is a single file holds none."""
    return form not in FORMATS or not FORMATS[form].files or FORMATS[form].knows is not None


def known_as(folder: Path) -> list[str]:
    """The formats whose layout a directory has."""
    return [name for name, form in FORMATS.items() if form.knows is not None and form.knows(folder)]
