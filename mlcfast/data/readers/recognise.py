"""Recognises what a label file or a directory is and reads it; what could be several things is an error."""

import dataclasses
import os
import re
from collections.abc import Sequence
from pathlib import Path

from mlcfast.data.labels import stacked
from mlcfast.data.readers.authors import is_authors
from mlcfast.data.readers.beside import annotated_beside, voc_apart
from mlcfast.data.readers.boxes import read_xml
from mlcfast.data.readers.elsewhere import refuse_labels_elsewhere
from mlcfast.data.readers.exports import has_objects_in_lines, json_of, read_metadata
from mlcfast.data.readers.folders import read_folders
from mlcfast.data.readers.folders_or_table import check_beside, or_folders, refuse_parts
from mlcfast.data.readers.image_folders import NO_LABELS, folders_of_images, part_in, parts_of, refuse_copy
from mlcfast.data.readers.json_files import read_json
from mlcfast.data.readers.label_studio import is_label_studio, read_label_studio_sheet
from mlcfast.data.readers.lists import (
    KERAS,
    is_attribute_table,
    is_file_list,
    read_attribute_table,
    read_file_list,
)
from mlcfast.data.readers.names import garbled, nearly_equal, with_plain_labels
from mlcfast.data.readers.paths import images_below, unread_below, without_notes
from mlcfast.data.readers.record_lists import is_record_list, read_record_list
from mlcfast.data.readers.refused import refuse_archive, refuse_other_tools
from mlcfast.data.readers.registry import known_as, read_as
from mlcfast.data.readers.sheet import read_sheet, read_text
from mlcfast.data.readers.side_by_side import (
    FORM,
    LARGEST,
    others_of_splits,
    refuse_more,
    shows_images,
    tables_of_parts,
    with_labels,
    without_names,
)
from mlcfast.data.readers.source import LabelSource, TableOptions
from mlcfast.data.readers.tables import read_rows
from mlcfast.data.readers.tag_files import read_tag_files, text_beside
from mlcfast.data.readers.tool_exports import DOCUMENTS, read_image_documents, read_tool_export
from mlcfast.data.readers.voc_lists import refuse_class_list, refuse_pairs
from mlcfast.data.readers.words import SPLIT_FOLDERS
from mlcfast.data.readers.wrapped import refuse_several, tables_in, within
from mlcfast.data.readers.yolo import NAME_FILES
from mlcfast.data.splits import is_part, is_split_word
from mlcfast.documents import reading
from mlcfast.errors import UsageError
from mlcfast.registry import hint

ROBOFLOW = "_classes.csv"
ROBOFLOW_BOXES = "_annotations.csv"
ROBOFLOW_COCO = "_annotations.coco.json"
VOC_LISTS = Path("ImageSets", "Main")
ALIKE = "look alike"  # in the warning of such labels
OF_BOXES = ("voc", "cvat", "yolo")  # layouts beside which JSON may label the same images
BY_ENDING = {
    ".parquet": "parquet", ".arrow": "parquet", ".feather": "parquet", ".tar": "webdataset", ".yaml": "yolo",
    ".yml": "yolo", ".data": "yolo", ".npz": "probabilities",
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
    root = root if (root / name).exists() else within(root)
    path, listed = root / name, root / VOC_LISTS / f"{name}.txt"
    if options.form in ("auto", "voc") and listed.is_file() and not path.exists():
        (source,) = read_as(listed, dataclasses.replace(options, form="voc"))
        return _at(_with_settled_names(source), root)
    of_authors = root.is_dir() and is_authors(root)  # whose splits are more than the folders that they name
    parts = {} if options.form != "auto" or path.is_file() else tables_of_parts(without_names(tables_in(root))[0])
    by_tables = any(is_part(part, name) for part in parts)
    known = options.form != "auto" or by_tables or known_as(root)
    if (path.exists() and not of_authors and not by_tables) or not root.is_dir() or not known:
        path = _called(path, root)
        source = read_labels(path, options)
        return _in_either(source, path, root) if source.root == path else source
    sources = read_all(root, options)
    exact = [source for source in sources if source.split == name]
    fitting = exact or [source for source in sources if source.split and is_part(source.split, name)]
    if len(fitting) != 1:
        shown = ", ".join(source.split or "one without a name" for source in sources)
        near = hint(name, [source.split for source in sources])
        raise UsageError(f"{root}: no split {name!r}, and no file of that name; there is {shown}{near}")
    return fitting[0]


def _called(path: Path, root: Path) -> Path:
    """The path, or where nothing has that name the one directory beside it with another word for the same split.

    `seg_train` has one too, where no directory is called by a word alone.
    """
    if path.exists() or not root.is_dir() or path.parent != root:
        return path
    folders = [folder for folder in sorted(root.iterdir()) if folder.is_dir()]
    alike = [folder for folder in folders if is_part(folder.name, path.name)]
    alike = alike or [folder for folder in folders if is_part(part_in(folder.name) or "", path.name)]
    return alike[0] if len(alike) == 1 else path


def read_all(path: Path, options: TableOptions) -> list[LabelSource]:
    """The sources of a file or a directory, a split each; of a directory they say where their images are."""
    given, path = path, within(path)
    in_layout = options.form == "coco" and path.is_dir()
    with reading(path, within=path.parent):
        if options.form != "auto" and not in_layout:
            sources = [_at(source, path) if path.is_dir() else source for source in read_as(path, options)]
        else:
            sources = _read_directory(path, options) if path.is_dir() else _read_file(path, options)
    unread = unread_below(path) if path.is_dir() and sources[0].format in ("folders", "tag_files", "yolo") else []
    said = [] if path == given else [f"{path.relative_to(given)} is the only folder in {given}: what is in it is read"]
    assumed, warned = [*sources[0].assumptions, *said], [*sources[0].warnings, *unread]
    sources = [dataclasses.replace(sources[0], assumptions=assumed, warnings=warned), *sources[1:]]
    sources = [_with_settled_names(source) for source in sources]
    if any(ALIKE in line for source in sources for line in source.warnings):
        return sources
    alike = nearly_equal([name for source in sources for name in source.names], "the labels")
    return [dataclasses.replace(sources[0], warnings=[*sources[0].warnings, *alike]), *sources[1:]]


def _with_settled_names(source: LabelSource) -> LabelSource:
    source = with_plain_labels(source)
    alike = [line for line in nearly_equal(source.names, "the labels") if line not in source.warnings]
    return dataclasses.replace(source, warnings=[*source.warnings, *alike, *garbled(source.names)])


def _read_file(path: Path, options: TableOptions) -> list[LabelSource]:
    refuse_archive(path)
    ending = path.suffix.lower()
    if ending == ".json":
        return [_read_json(path, options)]
    if ending in (".jsonl", ".ndjson", ".manifest"):
        return [read_metadata(path, options)]
    if ending in BY_ENDING or ending == ".xml":
        form = BY_ENDING.get(ending) or ("voc" if read_xml(path).tag == "annotation" else "cvat")
        return read_as(path, dataclasses.replace(options, form=form))
    if path.parent.parts[-2:] == VOC_LISTS.parts:
        return read_as(path, dataclasses.replace(options, form="voc"))
    text, _ = read_text(path)
    if is_attribute_table(text):
        return [read_attribute_table(path)]
    if is_file_list(text):
        listed = read_file_list(path, options)
        if not listed.names:
            raise UsageError(f"{path}: lists images and no labels: name the directory or data.yaml of YOLO, or a table")
        return [listed]
    if is_record_list(text):
        return [read_record_list(path, options)]
    refuse_class_list(path)
    refuse_pairs(path)
    sheet = read_sheet(path)
    return [read_label_studio_sheet(sheet, options) if is_label_studio(sheet) else read_rows(sheet, options)]


def image_root(path: Path, root: Path) -> Path:
    """Where the images of a label file are: beside Roboflow's tables and metadata files, else in the root."""
    beside = path.name in (ROBOFLOW, ROBOFLOW_BOXES, KERAS) or path.stem == "metadata"
    return path if path.is_dir() else path.parent if beside else root


def _at(source: LabelSource, root: Path, split: str = "") -> LabelSource:
    """The source with the place of its images and the name of its split, where its reader did not say them."""
    return dataclasses.replace(source, root=source.root or root, split=source.split or split)


def _read_directory(path: Path, options: TableOptions) -> list[LabelSource]:
    """Recognised, in this order: MS-COCO's in `annotations`, Roboflow's files and metadata in the directory or in its
    splits' folders, the layouts of the registry, a single table in either, a .txt of tags beside each image, a folder
    of images for each label. UsageError if it is nothing of these, or several."""
    from mlcfast.data.coco import coco_source, images_folder

    coco = sorted(path.glob("annotations/instances_*.json"))
    splits = [file.stem.removeprefix("instances_") for file in coco]
    if not coco:  # `train_annotations.json` or, alone, a file of any name
        files = [f for f in sorted(path.glob("annotations/*.json")) if not re.search("caption|keypoint", f.stem)]
        coco = [file for file in files if part_in(file.stem)] or (files if len(files) == 1 else [])
        splits = [part_in(file.stem) or "images" for file in coco]
    if coco:
        sources = [coco_source(file, options) for file in coco]
        return [_at(s, images_folder(path, split, s.images), split) for s, split in zip(sources, splits, strict=True)]
    layouts = known_as(path)
    names = [ROBOFLOW, ROBOFLOW_BOXES, "metadata.csv", "metadata.jsonl"]
    names += [] if "yolo" in layouts else [KERAS]  # where YOLO's settings and boxes are, they are meant
    for place in ([path], [path / split for split in SPLIT_FOLDERS]):
        roboflow = sorted(file for folder in place for file in folder.glob(ROBOFLOW_COCO))
        if roboflow:
            sources = [_at(coco_source(file, options), file.parent, file.parent.name) for file in roboflow]
            refuse_more(path, roboflow, sources, others_of_splits(path, (*names, ROBOFLOW_COCO), SPLIT_FOLDERS))
            return sources
        known = [folder / name for folder in place for name in names]
        found = [file for file in known if file.is_file()]
        one: dict[Path, Path] = {}
        for file in found:
            other = one.setdefault(file.parent, file)
            if other != file:
                raise UsageError(f"{file.parent}: holds {other.name} and {file.name}: name one of them")
        if found:
            sources = [_at(read_labels(file, options), file.parent, file.parent.name) for file in found]
            refuse_more(path, found, sources, others_of_splits(path, (*names, ROBOFLOW_COCO), SPLIT_FOLDERS))
            return sources
    tables, unread = _of_images(path, [file for file in tables_in(path) if not file.name.startswith(FORM)])
    unread += [f"{file.name} is a form for predictions: it is not read" for file in sorted(path.glob(f"{FORM}*"))]
    beside = [file.name for file in tables if file.suffix.lower() in (".csv", ".tsv")] if layouts else []
    beside = beside if layouts != ["authors"] else [name for name in beside if not name.startswith("list_")]
    if len(layouts) > 1 or beside:
        shown = " or as ".join([*layouts, *(f"the table {name}" for name in beside)])
        raise UsageError(f"{path}: may be read as {shown}: set data.format, or name the file of the labels")
    if layouts:
        sources = [_at(source, path) for source in read_as(path, dataclasses.replace(options, form=layouts[0]))]
        refuse_more(path, [path], sources, tables if layouts[0] in OF_BOXES else [])
        return sources
    tables, of_names = without_names(tables)
    parts = tables_of_parts(tables)
    if parts:
        return _of_parts(path, parts, options, [*unread, *of_names])
    try:
        source = _of_tables(path, tables, options)
    except UsageError as error:
        raise or_folders(path, error) from error
    if source is not None:
        check_beside(path, tables[0], source)
        return [_at(dataclasses.replace(source, warnings=[*source.warnings, *unread, *of_names]), path)]
    of_splits = [_of_split(path, path / split, options) for split in SPLIT_FOLDERS]
    found_in = [source for source in of_splits if source is not None]
    if found_in:
        for found_one in found_in:
            check_beside(path, found_one.path, found_one)
        return found_in
    first, *more = _read_images(path, options)
    return [dataclasses.replace(first, warnings=[*first.warnings, *unread]), *more]


def _of_images(path: Path, tables: list[Path]) -> tuple[list[Path], list[str]]:
    """The tables of a directory that may be of its images, and warnings of others where its folders hold the images.

    Others name no image, neither with an ending nor without, and have no column called as those of tables are. A large
    file may.
    """
    small = [file for file in tables if file.stat().st_size <= LARGEST and not shows_images(file)]
    if not small or len(folders_of_images(path)) < 2:
        return tables, []
    stems = {image.stem for image in images_below(path)}
    others = [file for file in small if stems.isdisjoint(re.split(r"[\s,;:\"'\[\](){}|/\\]+", read_text(file)[0]))]
    said = [f"{file.name} names no image: it is not read" for file in others]
    return [file for file in tables if file not in others], said


def _of_tables(folder: Path, tables: Sequence[Path], options: TableOptions) -> LabelSource | None:
    """What the label files of a directory say, one table or a JSON file for each image; None without any."""
    small = len(tables) > 1 and all(f.suffix.lower() == ".json" and f.stat().st_size <= LARGEST for f in tables)
    of_images = read_image_documents(folder, ((file, json_of(file)) for file in tables)) if small else None
    if of_images is not None:
        return of_images
    if len(tables) > 1:
        shown = ", ".join(file.name for file in tables[:5])
        raise UsageError(
            f"{folder}: holds several label files, {shown}: name one of them, or one in data.train and one in data.val"
        )
    return read_labels(tables[0], options) if tables else None


def _of_parts(path: Path, parts: dict[str, Path], options: TableOptions, unread: Sequence[str]) -> list[LabelSource]:
    """The sources of tables such as train.csv and val.csv; images may lie in the folders that have these names."""
    parts, without = with_labels(parts)
    sources = []
    for part, file in parts.items():
        source = read_labels(file, options)
        folder = _called(path / part, path)
        sources.append(_in_either(_at(source, path, part), path, folder))
    first = dataclasses.replace(sources[0], warnings=[*sources[0].warnings, *unread, *without])
    return [first, *sources[1:]]


def _of_split(path: Path, folder: Path, options: TableOptions) -> LabelSource | None:
    """What the label file in a split's folder says; its images are in that folder, or named from `path` on."""
    source = _of_tables(folder, tables_in(folder), options)
    return source and _in_either(_at(source, folder, folder.name), folder, path)


def _in_either(source: LabelSource, folder: Path, above: Path) -> LabelSource:
    """The source with its images in its label file's folder or, where only that has the first, in the one above."""
    first = source.images[0] if source.images and source.unpack is None else ""
    only_above = not os.path.exists(folder / first) and os.path.exists(above / first)
    return dataclasses.replace(source, root=above) if only_above else source


def _read_images(path: Path, options: TableOptions) -> list[LabelSource]:
    refuse_several(path)
    annotated = annotated_beside(path)
    if annotated is not None:
        form, file = annotated
        named = form == "yolo" and any((path / name).is_file() for name in NAME_FILES)
        if not named and file.parent.name.lower() not in NO_LABELS and not is_split_word(file.parent.name):
            shown = f"folders, each a label, or as {form}, by {file.relative_to(path)}"
            raise UsageError(f"{path}: may be read as {shown}: set data.format to folders or to {form}")
        return [_at(source, path) for source in read_as(path, dataclasses.replace(options, form=form))]
    images = images_below(path)
    apart = voc_apart(path, images)
    if apart is not None:
        first, *more = read_as(path, dataclasses.replace(options, form="voc"))
        said = f"the files of Pascal VOC in {apart.relative_to(path)} annotate the images in {images[0].parent.name}"
        left = without_notes(images[0].parent, [image for each in (first, *more) for image in each.images])
        first = dataclasses.replace(first, assumptions=[*first.assumptions, said], warnings=[*first.warnings, *left])
        return [_at(first, path), *more]
    texts = [text for image in images if (text := text_beside(image)) is not None]
    folders = folders_of_images(path)
    if texts and len(folders) > 1 and 2 * len(texts) < len(images) and all(i.parent != path for i in images):
        shown = f"folders, each a label, or as tag_files, by {texts[0].relative_to(path)}"
        raise UsageError(f"{path}: may be read as {shown}: set data.format to folders or to tag_files")
    if texts:
        return [_at(read_tag_files(path, options), path)]
    refuse_copy(path, folders)
    splits = [folder for folder in folders if is_split_word(folder.name)]
    if 0 < len(splits) < len(folders) and not parts_of(folders).labelled:
        other = next(folder for folder in folders if folder not in splits)
        raise UsageError(
            f"{path}: {splits[0].name!r} may be a split or a label, as {other.name!r} beside it is: name the directory "
            "that holds the folders of the labels, or set data.format to folders"
        )
    refuse_parts(path, folders)
    refuse_labels_elsewhere(path, folders)
    return read_folders(path)


def _read_json(path: Path, options: TableOptions) -> LabelSource:
    from mlcfast.data.coco import coco_source, content_of, is_cached

    if is_cached(path):  # to parse a large file again takes seconds
        return coco_source(path, options)
    try:
        content = content_of(path)
    except UsageError as error:
        if has_objects_in_lines(path):  # as pandas writes with lines=True
            return read_metadata(path, options)
        raise error from None
    if isinstance(content, dict) and "images" in content:
        exported = read_tool_export(path, content, DOCUMENTS)
        if exported is not None:
            return exported
        refuse_other_tools(path, content)
        return coco_source(path, options, content)
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
