"""Recognises what a directory of images and labels is by its layout, and reads it; what may be several is an error."""

import dataclasses
import os
import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from mlcfast.data.readers.authors import is_of_authors
from mlcfast.data.readers.beside import annotated_beside, voc_apart
from mlcfast.data.readers.cells import read_by_training
from mlcfast.data.readers.datumaro import is_datumaro_file
from mlcfast.data.readers.elsewhere import notes_without_images, refuse_labels_elsewhere
from mlcfast.data.readers.exports import json_of
from mlcfast.data.readers.folder_tables import tables_of, unread_files, unread_tables
from mlcfast.data.readers.folders import read_folders
from mlcfast.data.readers.folders_or_table import check_beside, or_folders, refuse_parts
from mlcfast.data.readers.image_files import images_below
from mlcfast.data.readers.image_folders import (
    NO_LABELS,
    folders_of_images,
    folders_of_labels,
    has_images,
    part_in,
    parts_of,
    refuse_copy,
)
from mlcfast.data.readers.label_file import read_single
from mlcfast.data.readers.lists import KERAS
from mlcfast.data.readers.name_tables import not_read
from mlcfast.data.readers.paths import without_notes
from mlcfast.data.readers.registry import known_as, read_as
from mlcfast.data.readers.sheet import read_text
from mlcfast.data.readers.side_by_side import (
    LARGEST,
    is_form,
    names_any_in,
    others_of_splits,
    parts_among,
    refuse_more,
    shows_images,
    tables_apart,
    tables_of_parts,
    with_labels,
    without_names,
)
from mlcfast.data.readers.source import LabelSource, TableOptions
from mlcfast.data.readers.table_pieces import read_together
from mlcfast.data.readers.tag_files import read_tag_files, text_beside
from mlcfast.data.readers.text_lists import is_index_alone, labelled_lists, lists_alone, refuse_other_labels
from mlcfast.data.readers.tool_exports import read_image_documents
from mlcfast.data.readers.words import SPLIT_FOLDERS
from mlcfast.data.readers.wrapped import refuse_several, tables_in
from mlcfast.data.readers.xmp import read_xmp, with_keywords, xmp_below
from mlcfast.data.readers.yolo import NAME_FILES
from mlcfast.data.splits import TRAIN, is_part, is_split_word
from mlcfast.errors import UsageError

ROBOFLOW = "_classes.csv"
ROBOFLOW_BOXES = "_annotations.csv"
ROBOFLOW_COCO = "_annotations.coco.json"
OF_BOXES = ("voc", "cvat", "yolo")  # layouts beside which JSON may label the same images


def read_directory(path: Path, options: TableOptions) -> list[LabelSource]:
    """Recognised, in this order: MS-COCO's in `annotations`, Roboflow's files and metadata in the directory or in its
    splits' folders, the layouts of the registry, a single table in either, lists in .txt, a .txt of tags beside each
    image, or an XMP file with keywords, a folder of images for each label. UsageError if it is nothing of these, or
    several."""
    from mlcfast.data.coco import coco_source, images_folder

    coco = sorted(path.glob("annotations/instances_*.json"))
    splits = [file.stem.removeprefix("instances_") for file in coco]
    if not coco:  # `train_annotations.json` or, alone, a file of any name
        files = [f for f in sorted(path.glob("annotations/*.json")) if not re.search("caption|keypoint", f.stem)]
        files = [file for file in files if not is_datumaro_file(file)]
        coco = [file for file in files if part_in(file.stem)] or (files if len(files) == 1 else [])
        splits = [part_in(file.stem) or "images" for file in coco]
    if coco:
        sources = [coco_source(file, options) for file in coco]
        places = [images_folder(path, split, s.images) for s, split in zip(sources, splits, strict=True)]
        places = [
            path if not place.is_dir() and _name_folders(path, source.images) else place
            for place, source in zip(places, sources, strict=True)
        ]
        return [at(*each) for each in zip(sources, places, splits, strict=True)]
    layouts = known_as(path)
    names = [ROBOFLOW, ROBOFLOW_BOXES, "metadata.csv", "metadata.jsonl"]
    names += [] if "yolo" in layouts else [KERAS]  # where YOLO's settings and boxes are, they are meant
    for place in ([path], [path / split for split in SPLIT_FOLDERS]):
        roboflow = sorted(file for folder in place for file in folder.glob(ROBOFLOW_COCO))
        if roboflow:
            sources = [at(coco_source(file, options), file.parent, file.parent.name) for file in roboflow]
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
            sources = _of_named(path, found, options)
            refuse_more(path, found, sources, others_of_splits(path, (*names, ROBOFLOW_COCO), SPLIT_FOLDERS))
            return sources
    forms = [file for file in tables_in(path) if is_form(file)]
    listed = [file for file in tables_in(path) if is_index_alone(file)]
    tables, unread = _of_images(path, [file for file in tables_in(path) if file not in (*forms, *listed)])
    unread += [f"{file.name} is a form for predictions: it is not read" for file in forms]
    unread += [f"{file.name} names images and no labels: it is not read" for file in listed]
    own = [file for file in tables if layouts == ["authors"] and is_of_authors(file)]
    beside = [file.name for file in tables if file.suffix.lower() in (".csv", ".tsv") and file not in own]
    if len(layouts) > 1 or (layouts and beside):
        shown = " or as ".join([*layouts, *(f"the table {name}" for name in beside)])
        raise UsageError(f"{path}: may be read as {shown}: set data.format, or name the file of the labels")
    if layouts:
        sources = [at(source, path) for source in read_as(path, dataclasses.replace(options, form=layouts[0]))]
        refuse_more(path, [path], sources, tables if layouts[0] in OF_BOXES else [])
        return sources
    tables, of_names = without_names(tables)
    parts, further = parts_among(tables)
    if parts and (not further or len(with_labels(parts)[0]) > 1):
        return _of_parts(path, parts, options, [*unread, *of_names], further)
    apart = tables_apart(path)
    if apart and not labelled_lists(path):
        sources = _of_parts(path, apart, options, unread)
        check_beside(path, sources[0].path, *sources)
        return sources
    try:
        trained = _training_alone(path, parts, further, options) if parts else None
        source = trained or _of_tables(path, tables, options)
    except UsageError as error:
        raise (error if options.label_columns else or_folders(path, error)) from error
    if source is not None:
        if not options.label_columns:
            check_beside(path, tables[0] if trained is None else source.path, source)
        return [at(dataclasses.replace(source, warnings=[*source.warnings, *unread, *of_names]), path)]
    of_splits = [_of_split(path, path / split, options) for split in SPLIT_FOLDERS]
    found_in = [source for source in of_splits if source is not None]
    if found_in:
        for found_one in found_in if not options.label_columns else ():
            check_beside(path, found_one.path, found_one)
        first, *more = found_in
        return [dataclasses.replace(first, warnings=[*first.warnings, *of_names]), *more]
    first, *more = _of_lists(path, options) or _read_images(path, options)
    return [dataclasses.replace(first, warnings=[*first.warnings, *unread]), *more]


def _of_images(path: Path, tables: list[Path]) -> tuple[list[Path], list[str]]:
    """The tables of a directory that may be of its images, and warnings of others where its folders hold the images.

    Others name no image, neither with an ending nor without, and have no column called as those of tables are. A large
    file may.
    """
    small = [file for file in tables if file.stat().st_size <= LARGEST and not shows_images(file)]
    if not small or len(folders_of_images(path)) < (2 if len(small) == len(tables) else 1):
        return tables, []
    stems = {image.stem for image in images_below(path)}
    others = [file for file in small if stems.isdisjoint(re.split(r"[\s,;:\"'\[\](){}|/\\]+", read_text(file)[0]))]
    said = [not_read(file) for file in others]
    return [file for file in tables if file not in others], said


def _of_tables(folder: Path, tables: Sequence[Path], options: TableOptions) -> LabelSource | None:
    """What the label files of a directory say, one table or a JSON file for each image; None without any."""
    small = len(tables) > 1 and all(f.suffix.lower() == ".json" and f.stat().st_size <= LARGEST for f in tables)
    of_images = read_image_documents(folder, ((file, json_of(file)) for file in tables)) if small else None
    if of_images is not None:
        return of_images
    together = read_together(folder, tables, options)
    if together is not None:
        return together
    if len(tables) > 1:
        shown = ", ".join(file.name for file in tables[:5])
        raise UsageError(
            f"{folder}: holds several label files, {shown}: name one of them, or one in data.train and one in data.val"
        )
    return read_single(tables[0], options) if tables else None


def _of_parts(
    path: Path, parts: dict[str, Path], options: TableOptions, unread: Sequence[str], further: Sequence[Path] = ()
) -> list[LabelSource]:
    """The sources of tables such as train.csv and val.csv; images may lie in the folders that have these names.

    further: tables beside them that are not read, which is said.
    """
    parts, without = with_labels(parts)
    read = " and ".join(file.name for file in parts.values())
    without += [f"{file.name} is not read, as {read} are: name it if it holds the labels" for file in further]
    sources: list[LabelSource] = []

    def training() -> frozenset[int]:
        return next((source.cells for source in sources if is_part(source.split, TRAIN)), frozenset())

    for part, file in parts.items():
        source = read_by_training(partial(read_single, file), options, training)
        folder = called(path / part, path)
        sources.append(in_either(at(source, path, part), path, folder))
    if part_in(sources[0].path.stem) is None and sources[1:]:  # `t.csv` may hold what t_test.csv does
        _refuse_shared(path, sources)
        said = f"{sources[0].path.name} is taken for training, as {sources[1].path.name} is for {sources[1].split}"
        without = [*without, said]
    first = dataclasses.replace(sources[0], warnings=[*sources[0].warnings, *unread, *without])
    return [first, *sources[1:]]


def _of_named(path: Path, found: Sequence[Path], options: TableOptions) -> list[LabelSource]:
    """The sources of Roboflow's tables and metadata files; UsageError for one without labels beside `train.csv`."""
    try:
        return [at(read_single(file, options), file.parent, file.parent.name) for file in found]
    except UsageError as error:
        parts = parts_among(tables_in(path))[0] if found[0].parent == path else {}
        train = next((file for part, file in parts.items() if is_part(part, TRAIN)), None)
        if train is None or options.label_columns:
            raise
        shown = f"{found[0].name} or as {train.name}"
        raise UsageError(f"{path}: may be read as {shown}: name the file of the labels") from error


def _training_alone(
    path: Path, parts: dict[str, Path], further: Sequence[Path], options: TableOptions
) -> LabelSource | None:
    """What `train.csv` says where further tables name no image; None where it holds no labels that are read.

    UsageError for a further table that names one of its images, or of those there: it may hold the labels.
    """
    labelled, without = with_labels(parts)
    (file,) = labelled.values()
    try:
        source = read_single(file, options)
    except UsageError:
        return None
    refuse_more(path, [file], [source], further)
    return dataclasses.replace(source, warnings=[*source.warnings, *without, *map(not_read, further)])


def _of_lists(path: Path, options: TableOptions) -> list[LabelSource]:
    """What the lists of a directory say, `labels.txt`, or `train.txt` and `val.txt`; none without any."""
    listed = labelled_lists(path)
    if not listed:
        return []
    refuse_other_labels(path, listed)
    unread = [f"{file.name} names images and no labels: it is not read" for file in lists_alone(path)]
    parts = tables_of_parts(listed)
    if parts:
        return _of_parts(path, parts, options, unread)
    source = _of_tables(path, listed, options)
    assert source is not None, "there is one"
    return [at(dataclasses.replace(source, warnings=[*source.warnings, *unread]), path)]


def _refuse_shared(path: Path, sources: Sequence[LabelSource]) -> None:
    """UsageError where tables of parts of the data name an image of the first, which then may be all of it."""
    known = {*sources[0].images}
    shared = next((each for each in sources[1:] if not known.isdisjoint(each.images)), None)
    if shared is not None:
        raise UsageError(
            f"{path}: holds several label files, {sources[0].path.name}, {shared.path.name}: name one of them, or one "
            "in data.train and one in data.val"
        )


def _of_split(path: Path, folder: Path, options: TableOptions) -> LabelSource | None:
    """What the label file in a split's folder says; its images are in that folder, or named from `path` on."""
    source = _of_tables(folder, tables_in(folder), options)
    return source and in_either(at(source, folder, folder.name), folder, path)


def _read_images(path: Path, options: TableOptions) -> list[LabelSource]:
    refuse_several(path)
    annotated = annotated_beside(path)
    if annotated is not None:
        form, file = annotated
        named = form == "yolo" and any((path / name).is_file() for name in NAME_FILES)
        if not named and file.parent.name.lower() not in NO_LABELS and not is_split_word(file.parent.name):
            shown = f"folders, each a label, or as {form}, by {file.relative_to(path)}"
            raise UsageError(f"{path}: may be read as {shown}: set data.format to folders or to {form}")
        return [at(source, path) for source in read_as(path, dataclasses.replace(options, form=form))]
    images = images_below(path)
    apart = voc_apart(path, images)
    if apart is not None:
        first, *more = read_as(path, dataclasses.replace(options, form="voc"))
        said = f"the files of Pascal VOC in {apart.relative_to(path)} annotate the images in {images[0].parent.name}"
        left = without_notes(images[0].parent, [image for each in (first, *more) for image in each.images])
        first = dataclasses.replace(first, assumptions=[*first.assumptions, said], warnings=[*first.warnings, *left])
        return [at(first, path), *more]
    texts = [text for image in images if (text := text_beside(image)) is not None]
    folders = folders_of_images(path)
    if texts and len(folders) > 1 and 2 * len(texts) < len(images) and all(i.parent != path for i in images):
        shown = f"folders, each a label, or as tag_files, by {texts[0].relative_to(path)}"
        raise UsageError(f"{path}: may be read as {shown}: set data.format to folders or to tag_files")
    if texts:
        return [at(read_tag_files(path, options), path)]
    keyed = with_keywords(xmp_below(path))
    may_be_labels = len(folders) > 1 or folders_of_labels(folders)
    if keyed and 2 * len(keyed) >= len(images) and not may_be_labels and not notes_without_images(path):
        return [read_xmp(path)]
    remedy = "set data.format to xmp if they are the labels"
    held = [f"{len(keyed)} images have keywords in XMP files, first {keyed[0].relative_to(path)}"] if keyed else []
    try:
        first, *more = _read_folders(path, folders)
    except UsageError as error:
        raise (UsageError(f"{error}; {held[0]}: {remedy}") if held else error) from error
    unread = [f"{said}, not read: {remedy}" for said in held]
    return [dataclasses.replace(first, warnings=[*first.warnings, *unread]), *more]


def _read_folders(path: Path, folders: Sequence[Path]) -> list[LabelSource]:
    """What the folders of a directory say, each a label; UsageError where they may be none."""
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
    _refuse_table_within(path, folders_of_labels(folders) or folders)
    first, *more = read_folders(path)
    unread = [*unread_tables(folders_of_labels(folders) or folders), *unread_files(path)]
    return [dataclasses.replace(first, warnings=[*first.warnings, *unread]), *more]


def _name_folders(path: Path, images: Sequence[str]) -> bool:
    """Whether each image is named in a folder that a directory has, as LVIS's of both parts are in train2017."""
    named = {name.replace("\\", "/").rpartition("/")[0] for name in images}
    ends = {folder.rpartition("/")[2] for folder in named}
    return bool(ends) and not ends & {"", ".", ".."} and all((path / end).is_dir() for end in ends)


def _refuse_table_within(path: Path, folders: Sequence[Path]) -> None:
    """UsageError where one of the folders that may be labels is a data set: folders of images, and a table of these."""
    for folder in (each for each in folders if not has_images(each)):
        table = next((file for file in tables_of(folder) if not is_form(file) and names_any_in(file, folder)), None)
        if table is not None:
            raise UsageError(
                f"{path}: may be read as folders, each a label, {folders[0].name!r} among them, or by "
                f"{table.relative_to(path)}: set data.format to folders, or name {table.parent}"
            )


def at(source: LabelSource, root: Path, split: str = "") -> LabelSource:
    """The source with the place of its images and the name of its split, where its reader did not say them."""
    return dataclasses.replace(source, root=source.root or root, split=source.split or split)


def called(path: Path, root: Path) -> Path:
    """The path, or where nothing has that name the one directory beside it with another word for the same split.

    `seg_train` has one too, where no directory is called by a word alone.
    """
    if path.exists() or not root.is_dir() or path.parent != root:
        return path
    folders = [folder for folder in sorted(root.iterdir()) if folder.is_dir()]
    alike = [folder for folder in folders if is_part(folder.name, path.name)]
    alike = alike or [folder for folder in folders if is_part(part_in(folder.name) or "", path.name)]
    return alike[0] if len(alike) == 1 else path


def folder_of_part(root: Path, table: Path) -> Path | None:
    """The folder in `root`, or in its `images`, of the part of the data that a table is called by; None without.

    So it is `train` for train.csv.
    """
    part = part_in(table.stem) if table.is_file() else None
    folders = [called(place / part, place) for place in (root, root / "images")] if part else []
    return next((folder for folder in folders if folder.is_dir()), None)


def in_either(source: LabelSource, folder: Path, above: Path) -> LabelSource:
    """The source with its images in its label file's folder or, where only that has the first, in the one above."""
    first = source.images[0] if source.images and source.unpack is None else ""
    only_above = not os.path.exists(folder / first) and os.path.exists(above / first)
    return dataclasses.replace(source, root=above) if only_above else source
