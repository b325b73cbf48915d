"""Recognises what a label file or a directory is and reads it; what could be several things is an error."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from mlcfast.data.labels import stacked
from mlcfast.data.readers.beside import annotated_beside
from mlcfast.data.readers.boxes import read_xml
from mlcfast.data.readers.exports import (
    is_label_studio,
    json_of,
    read_label_studio_sheet,
    read_metadata,
)
from mlcfast.data.readers.folders import folders_of_images, read_folders
from mlcfast.data.readers.json_files import read_json
from mlcfast.data.readers.lists import (
    is_attribute_table,
    is_class_list,
    is_file_list,
    read_attribute_table,
    read_file_list,
    read_tag_files,
)
from mlcfast.data.readers.names import nearly_equal, with_plain_labels
from mlcfast.data.readers.paths import images_below
from mlcfast.data.readers.registry import known_as, read_as
from mlcfast.data.readers.sheet import read_sheet, read_text
from mlcfast.data.readers.source import LabelSource, TableOptions
from mlcfast.data.readers.tables import read_rows
from mlcfast.data.readers.tool_exports import DOCUMENTS, read_image_documents, read_tool_export
from mlcfast.data.readers.yolo import NAME_FILES
from mlcfast.data.splits import is_part, is_split_word
from mlcfast.documents import reading
from mlcfast.errors import UsageError
from mlcfast.registry import hint

ROBOFLOW = "_classes.csv"
VOC_LISTS = Path("ImageSets", "Main")
SPLITS = ("train", "valid", "val", "validation", "test")
# Folders so called hold images, and their names say nothing of them.
NO_LABELS = {"images", "image", "imgs", "img", "jpegimages", "photos", "pictures", "data", "masks", "annotations"}
# Layouts that would pass for folders named by labels: what gives them away, whose they are and what to do.
LABELS_ELSEWHERE = (
    ("ann/*.json", "Supervisely's", "export the project as MS-COCO or Pascal VOC"),
    ("*/*_labels_metadata.json", "BigEarthNet's", "write a table of the patches' images and their labels"),
)
LARGEST = 2**24  # bytes of a file that says the labels of one image
BY_ENDING = {
    ".parquet": "parquet", ".arrow": "parquet", ".feather": "parquet", ".tar": "webdataset", ".yaml": "yolo",
    ".yml": "yolo", ".npz": "probabilities",
}  # fmt: skip


def read_labels(path: Path, options: TableOptions) -> LabelSource:
    """Read a label file by what it holds, or a directory by its layout; UsageError where it has several splits."""
    source, *more = read_all(path, options)
    if more:
        named = ", ".join(each.split for each in (source, *more) if each.split)
        raise UsageError(f"{path}: holds several splits: name one of them{': ' if named else ''}{named}")
    return source


def read_named(root: Path, name: str, options: TableOptions) -> LabelSource:
    """Read the file or directory `root/name`; where there is none, the split of that name of the data set in `root`."""
    path, listed = root / name, root / VOC_LISTS / f"{name}.txt"
    if options.form in ("auto", "voc") and listed.is_file() and not path.exists():
        (source,) = read_as(listed, dataclasses.replace(options, form="voc"))
        return _at(_with_settled_names(source), root)
    if path.exists() or not root.is_dir() or (options.form == "auto" and not known_as(root)):
        return read_labels(path, options)
    sources = read_all(root, options)
    exact = [source for source in sources if source.split == name]
    fitting = exact or [source for source in sources if source.split and is_part(source.split, name)]
    if len(fitting) != 1:
        shown = ", ".join(source.split or "one without a name" for source in sources)
        near = hint(name, [source.split for source in sources])
        raise UsageError(f"{root}: no split {name!r}, and no file of that name; there is {shown}{near}")
    return fitting[0]


def read_all(path: Path, options: TableOptions) -> list[LabelSource]:
    """The sources of a file or a directory, a split each; of a directory they say where their images are."""
    in_layout = options.form == "coco" and path.is_dir()
    with reading(path, within=path.parent):
        if options.form != "auto" and not in_layout:
            sources = [_at(source, path) if path.is_dir() else source for source in read_as(path, options)]
        else:
            sources = _read_directory(path, options) if path.is_dir() else _read_file(path, options)
    return [_with_settled_names(source) for source in sources]


def _with_settled_names(source: LabelSource) -> LabelSource:
    source = with_plain_labels(source)
    alike = [line for line in nearly_equal(source.names, "the labels") if line not in source.warnings]
    return dataclasses.replace(source, warnings=[*source.warnings, *alike])


def _read_file(path: Path, options: TableOptions) -> list[LabelSource]:
    ending = path.suffix.lower()
    if ending == ".json":
        return [_read_json(path, options)]
    if ending in (".jsonl", ".ndjson", ".manifest"):
        return [read_metadata(path, options)]
    if ending in BY_ENDING or ending == ".xml":
        form = BY_ENDING.get(ending) or ("voc" if read_xml(path).tag == "annotation" else "cvat")
        return read_as(path, dataclasses.replace(options, form=form))
    if ending in (".xlsx", ".xls", ".ods"):
        raise UsageError(f"{path}: a spreadsheet's own format: save the table as CSV")
    if path.parent.parts[-2:] == VOC_LISTS.parts:
        return read_as(path, dataclasses.replace(options, form="voc"))
    text, _ = read_text(path)
    if is_attribute_table(text):
        return [read_attribute_table(path)]
    if is_file_list(text):
        return [read_file_list(path, options)]
    if is_class_list(text):
        raise UsageError(
            f"{path}: says of images whether they have one label, as in Pascal VOC's ImageSets/Main: name the "
            "directory of the data set, which has the labels of all, or write a table with a column for each label"
        )
    sheet = read_sheet(path)
    return [read_label_studio_sheet(sheet, options) if is_label_studio(sheet) else read_rows(sheet, options)]


def image_root(path: Path, root: Path) -> Path:
    """Where the images of a label file are: beside Roboflow's _classes.csv and metadata files, else in the root."""
    beside = path.name == ROBOFLOW or path.stem == "metadata"
    return path if path.is_dir() else path.parent if beside else root


def _at(source: LabelSource, root: Path, split: str = "") -> LabelSource:
    """The source with the place of its images and the name of its split, where its reader did not say them."""
    return dataclasses.replace(source, root=source.root or root, split=source.split or split)


def _read_directory(path: Path, options: TableOptions) -> list[LabelSource]:
    """Recognised, in this order: annotations/instances_*.json, Roboflow's files and metadata in the directory or in its
    splits' folders, the layouts of the registry, a single table, a .txt of tags beside each image, a folder of images
    for each label. UsageError if it is nothing of these, or several."""
    from mlcfast.data.coco import coco_source, images_folder

    coco = sorted(path.glob("annotations/instances_*.json"))
    if coco:
        splits = [file.stem.removeprefix("instances_") for file in coco]
        sources = [coco_source(file, options) for file in coco]
        return [_at(s, images_folder(path, split, s.images), split) for s, split in zip(sources, splits, strict=True)]
    for place in ([path], [path / split for split in SPLITS]):
        roboflow = sorted(file for folder in place for file in folder.glob("_annotations.coco.json"))
        if roboflow:
            return [_at(coco_source(file, options), file.parent, file.parent.name) for file in roboflow]
        known = [folder / name for folder in place for name in (ROBOFLOW, "metadata.csv", "metadata.jsonl")]
        found = [file for file in known if file.is_file()]
        twice = next(
            (file for file in found if file.name == "metadata.jsonl" and file.with_suffix(".csv") in found), None
        )
        if twice:
            raise UsageError(f"{twice.parent}: holds metadata.csv and metadata.jsonl: name one of them")
        if found:
            return [_at(read_labels(file, options), file.parent, file.parent.name) for file in found]
    tables = sorted(file for file in path.iterdir() if file.suffix.lower() in (".csv", ".tsv", ".json"))
    layouts = known_as(path)
    beside = [file.name for file in tables if file.suffix.lower() != ".json"] if layouts else []
    if len(layouts) > 1 or beside:
        shown = " or as ".join([*layouts, *(f"the table {name}" for name in beside)])
        raise UsageError(f"{path}: may be read as {shown}: set data.format, or name the file of the labels")
    if layouts:
        return [_at(source, path) for source in read_as(path, dataclasses.replace(options, form=layouts[0]))]
    small = len(tables) > 1 and all(f.suffix.lower() == ".json" and f.stat().st_size <= LARGEST for f in tables)
    of_images = read_image_documents(path, ((file, json_of(file)) for file in tables)) if small else None
    if of_images is not None:
        return [_at(of_images, path)]
    if len(tables) > 1:
        shown = ", ".join(file.name for file in tables[:5])
        raise UsageError(f"{path}: holds several label files, {shown}: name one of them")
    if tables:
        return [_at(read_labels(tables[0], options), path)]
    return _read_images(path, options)


def _read_images(path: Path, options: TableOptions) -> list[LabelSource]:
    annotated = annotated_beside(path)
    if annotated is not None:
        form, file = annotated
        named = form == "yolo" and any((path / name).is_file() for name in NAME_FILES)
        if not named and file.parent.name.lower() not in NO_LABELS and not is_split_word(file.parent.name):
            shown = f"folders, each a label, or as {form}, by {file.relative_to(path)}"
            raise UsageError(f"{path}: may be read as {shown}: set data.format to folders or to {form}")
        return [_at(source, path) for source in read_as(path, dataclasses.replace(options, form=form))]
    if any(image.with_suffix(".txt").is_file() for image in images_below(path)):
        return [_at(read_tag_files(path, options), path)]
    folders = folders_of_images(path)
    splits = [folder for folder in folders if is_split_word(folder.name)]
    if 0 < len(splits) < len(folders):
        other = next(folder for folder in folders if folder not in splits)
        raise UsageError(
            f"{path}: {splits[0].name!r} may be a split or a label, as {other.name!r} beside it is: name the directory "
            "that holds the folders of the labels, or set data.format to folders"
        )
    if not folders:
        raise UsageError(
            f"{path}: no labels found: looked for annotations/instances_*.json, {ROBOFLOW}, metadata.jsonl, a CSV "
            "table, a .txt beside each image and a folder of images for each label"
        )
    for pattern, tool, remedy in LABELS_ELSEWHERE:
        held = next(path.glob(pattern), None)
        if held is not None:
            raise UsageError(f"{path}: {held.relative_to(path)} is {tool}: {remedy}")
    labels = [inner for folder in splits for inner in folders_of_images(folder)] or folders
    unsaid = next((folder for folder in labels if folder.name.lower() in NO_LABELS), None)
    if unsaid is not None:
        raise UsageError(
            f"{path}: no labels found: {unsaid.name!r} is a folder of images, not a label; if its own folders are the "
            f"labels, name {unsaid}, else name the file of the labels"
        )
    return read_folders(path)


def _read_json(path: Path, options: TableOptions) -> LabelSource:
    from mlcfast.data.coco import coco_source

    content = json_of(path)
    if isinstance(content, dict) and "images" in content:
        return read_tool_export(path, content, DOCUMENTS) or coco_source(path, options)
    return read_json(path, content, options)


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
        states=stacked([source.states for source in ordered]),
        assumptions=list(dict.fromkeys(line for source in ordered for line in source.assumptions)),
        warnings=[f"{source.path.name}: {line}" for source in ordered for line in source.warnings],
    )
