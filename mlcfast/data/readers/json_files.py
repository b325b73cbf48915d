"""JSON that names images and their labels in other ways than MS-COCO's: lists, records, MMPretrain's, LabelMe's."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mlcfast.data.readers.boxes import own_images
from mlcfast.data.readers.columns import IMAGE_COLUMNS, LIST_COLUMNS
from mlcfast.data.readers.datumaro import datumaro_source, is_datumaro_content
from mlcfast.data.readers.exports import json_of, read_rows_of_json
from mlcfast.data.readers.image_files import IMAGE_ENDINGS, image_beside
from mlcfast.data.readers.json_shapes import has_images_as_keys, images_by_label, may_be_either, records_in
from mlcfast.data.readers.kili import is_kili, read_kili
from mlcfast.data.readers.label_studio import STUDIO_IMAGES, is_task, read_label_studio
from mlcfast.data.readers.lists import from_tags
from mlcfast.data.readers.measures import doubt_of
from mlcfast.data.readers.paths import ABSOLUTE, plain_path, without_notes
from mlcfast.data.readers.refused import refuse_other_tools
from mlcfast.data.readers.source import LabelSource, TableOptions
from mlcfast.data.readers.tool_exports import DOCUMENTS, read_tool_export
from mlcfast.data.readers.words import SCORES, SPLIT_FOLDERS
from mlcfast.errors import UsageError

LARGEST = 2**26  # bytes of a file that is looked into to see whose it is: LabelMe's may hold the image
# Keys under which other tools keep a record's words, where it has none of those that tables give to lists.
WORDS = ("choice", "choices", "annotation", "annotations")
KNOWN = (
    "MS-COCO annotations, a list of Label Studio's tasks, a list of records with a file name, MMPretrain's data_list, "
    'or {"image.jpg": ["label", ...]}'
)


def read_json(path: Path, content: Any, options: TableOptions) -> LabelSource:
    """Read what a JSON file holds that is not MS-COCO's; UsageError names the shapes there are."""
    exported = read_tool_export(path, content, DOCUMENTS)
    if exported is not None:
        return exported
    if is_datumaro_content(content):
        return datumaro_source(path, content, options)
    if is_kili(content):
        return read_kili(path, content)
    refuse_other_tools(path, content)
    if _is_labelme(content):
        return read_labelme(path)[0]
    if isinstance(content, list):
        return _read_entries(path, content, options)
    if isinstance(content, dict) and isinstance(content.get("data_list"), list):
        return read_mmpretrain(path, content)
    named = isinstance(content, dict) and content and all(name.lower().endswith(IMAGE_ENDINGS) for name in content)
    if named or has_images_as_keys(content, path.parent):
        return _read_by_image(path, content, options)
    found = records_in(content)
    if found is not None:
        return _read_records(path, found[0], _told(path, found[0], options), f"read as {found[1]}")
    by_label = images_by_label(content)
    if by_label is not None:
        rows = [{"image": name, "labels": held} for name, held in by_label.items()]
        return _read_records(path, rows, options, "each key is a label, what it holds the images")
    if may_be_either(content):
        raise UsageError(
            f"{path}: its keys may be images and its lists their labels, or the other way round: write the images with "
            "their endings, such as .jpg, or put the file beside them"
        )
    _refuse_map(path, content)
    raise UsageError(f"{path}: none of {KNOWN}: export the labels as one of these, or as a CSV table")


def _refuse_map(path: Path, content: Any) -> None:
    """UsageError for an object of words, `{"1": "pink primrose"}`, which names classes or images without endings."""
    if isinstance(content, dict) and content and all(isinstance(value, str) for value in content.values()):
        key, value = next(iter(content.items()))
        raise UsageError(
            f"{path}: {key!r} may be a class with its name, {value!r}, or an image with its label: name the directory "
            "whose folders are the labels, or write the images with their endings, such as .jpg"
        )


def _read_by_image(path: Path, content: dict[str, Any], options: TableOptions) -> LabelSource:
    """Read `{"a.jpg": ["cat"]}`. UsageError for what an image holds that is no label: a size, a box, an age."""
    told = options.label_columns or options.separator is not None
    for number, (name, held) in enumerate(content.items(), start=1):
        strange = _fact_in(held)
        if strange is not None and not told:
            where = f"{path}: entry {number}: {name!r} holds {strange}"
            raise UsageError(f"{where}, which is no label: write a list of its labels there, or 1 and 0 for each label")
    warnings = [] if told else _refuse_measures(path, content)
    rows = [{"image": name, "labels": held} for name, held in content.items()]
    source = _read_records(path, rows, options, "each key is an image, what it holds the labels")
    return dataclasses.replace(source, warnings=[*source.warnings, *warnings])


def _fact_in(held: Any) -> str | None:
    """What an image's entry holds that is neither a list of labels, nor a label, nor 1 and 0 by label; else None."""
    if isinstance(held, dict) and not any(str(key).lower() in LIST_COLUMNS for key in held):
        return next((f"{key!r}: {value!r}" for key, value in held.items() if value not in (0, 1, -1, None)), None)
    numbers = [each for each in held if isinstance(each, float)] if isinstance(held, list) else []
    return next((f"the number {number}" for number in numbers if not number.is_integer()), None)


def _refuse_measures(path: Path, content: dict[str, Any]) -> list[str]:
    """A warning where the numbers of images may be no classes; UsageError where that is so likely that it is asked."""
    lists = {name: held if isinstance(held, list) else [held] for name, held in content.items() if held is not None}
    if not lists or not all(type(each) is int for held in lists.values() for each in held):
        return []
    doubt = doubt_of([*lists.values()])
    if doubt is None:
        return []
    number, (name, held) = next(
        (place, item) for place, item in enumerate(content.items(), start=1) if lists.get(item[0])
    )
    says = doubt.of(f"entry {number}: {name!r} holds {held}, which")
    if doubt.must_ask:
        raise UsageError(f"{path}: {says}, else name the file of the labels")
    return [says]


def _read_records(path: Path, rows: list[dict[str, Any]], options: TableOptions, said: str) -> LabelSource:
    source = read_rows_of_json(path, rows, list(range(1, len(rows) + 1)), options)
    return dataclasses.replace(source, assumptions=[*source.assumptions, said])


def _read_entries(path: Path, entries: list[Any], options: TableOptions) -> LabelSource:
    """Label Studio's tasks, or records as a line of metadata.jsonl has them."""
    if not entries:
        raise UsageError(f"{path}: no images: its list is empty")
    strange = next((number for number, entry in enumerate(entries, start=1) if not isinstance(entry, dict)), None)
    if strange is not None:
        shown = repr(str(entries[strange - 1])[:60])
        raise UsageError(
            f"{path}: entry {strange}: {shown} names no image: write an object with an image and its labels"
        )
    if any(map(is_task, entries)):
        return read_label_studio(path, entries, options)
    return read_rows_of_json(path, entries, list(range(1, len(entries) + 1)), _told(path, entries, options))


def _told(path: Path, records: Sequence[dict[str, Any]], options: TableOptions) -> TableOptions:
    """The options with the keys of images and of words that tables do not know, where the records have no others."""
    keys = {str(key) for record in records for key in record}
    lower = {key.lower() for key in keys}
    if options.image_column is None and not lower & {*IMAGE_COLUMNS}:
        image = next((key for key in (*STUDIO_IMAGES, "imagefilename") if key in keys), None)
        options = dataclasses.replace(options, image_column=image)
    known = [key for key in WORDS if key in keys and all(_are_words(record.get(key)) for record in records)]
    if options.label_columns or not known:
        return options
    both = [*known, *sorted(key for key in keys if key.lower() in LIST_COLUMNS)]
    if len(both) > 1:
        raise UsageError(
            f"{path}: {both[0]!r} and {both[1]!r} may both list the labels: name one with data.label_columns"
        )
    return dataclasses.replace(options, label_columns=(known[0],))


def _are_words(value: object) -> bool:
    held = value if isinstance(value, list) else [value]
    return all(each is None or isinstance(each, str) for each in held)


def read_mmpretrain(path: Path, content: dict[str, Any]) -> LabelSource:
    """Read MMPretrain's annotations: `data_list` of `img_path` and `gt_label`, names in `metainfo.classes`.

    gt_label: one class number or several. Without classes the labels are the numbers. UsageError names the entry.
    """
    images, lists = [], []
    given = content.get("metainfo") or {}
    names = [str(name) for name in given.get("classes") or ()] if isinstance(given, dict) else []
    for number, entry in enumerate(content["data_list"]):
        image, labels = (entry.get("img_path"), entry.get("gt_label")) if isinstance(entry, dict) else (None, None)
        classes: list[Any] = labels if isinstance(labels, list) else [labels]
        if not isinstance(image, str) or not all(_is_class(k, len(names)) for k in classes):
            raise UsageError(
                f"{path}: data_list[{number}]: needs img_path and gt_label, class numbers of metainfo.classes"
            )
        images.append(image)
        lists.append(classes)
    if not images:
        raise UsageError(f"{path}: no images: data_list is empty")
    _refuse_flags(path, images, lists)
    tags = [list(dict.fromkeys(names[k] if names else str(k) for k in classes)) for classes in lists]
    source = from_tags(path, "metadata", images, tags, ["read as MMPretrain's data_list"])
    return source.in_order(names or None).merged()


def is_labelme(folder: Path) -> bool:
    """Whether a directory, or a split's in it, holds LabelMe's JSON, a file for each image, by the first of them."""
    found = {split: sorted((folder / split).glob("*.json")) for split in (*SPLIT_FOLDERS, "")}
    first = next((file for files in found.values() for file in files), None)
    return first is not None and is_labelme_file(first)


def is_labelme_file(file: Path) -> bool:
    """Whether a JSON file annotates one image as LabelMe does."""
    try:
        content = json_of(file) if file.stat().st_size <= LARGEST else None
    except UsageError:
        return False
    return _is_labelme(content)


def _is_labelme(content: Any) -> bool:
    return isinstance(content, dict) and isinstance(content.get("imagePath"), str) and "shapes" in content


def read_labelme(path: Path) -> list[LabelSource]:
    """Read a directory of LabelMe's JSON, or one file: an image has the labels of its shapes and of its set flags.

    Splits are folders called train, val and test; all have the labels of all.
    """
    found = _by_split(path) if path.is_dir() else {"": [path]}
    images = {split: [_labelme_image(file, _root(path, split)) for file in files] for split, files in found.items()}
    warned = {split: _with_own_images(_root(path, split), found[split], each) for split, each in images.items()}
    names = sorted({name for each in images.values() for _, tags, _ in each for name in tags})
    said = ["an image has the labels of its shapes and of its flags that are set"]
    sources = []
    for split, each in images.items():
        source = from_tags(path, "labelme", [image for image, _, _ in each], [tags for _, tags, _ in each], said)
        scored = sum(count for _, _, count in each)
        warning = f"{scored} shapes have a model's score: they count like any other, so take out those that are wrong"
        left = without_notes(_root(path, split), source.images) if path.is_dir() else []
        source = dataclasses.replace(source, warnings=[*([warning] if scored else []), *warned[split], *left])
        sources.append(dataclasses.replace(source.in_order(names).merged(), root=_root(path, split), split=split))
    return sources


def _with_own_images(root: Path, files: Sequence[Path], found: list[tuple[str, list[str], int]]) -> list[str]:
    """Put the image beside a file of LabelMe, and of its name, for one that it names and that is not there.

    Returns warnings of these, and of files that name another image than their own, see own_images.
    """
    named: list[tuple[Path, str]] = []
    moved: list[str] = []
    own: dict[int, str] = {}
    for place, (file, (image, _, _)) in enumerate(zip(files, found, strict=True)):
        plain = Path(image.replace("\\", "/"))
        there = (root / plain).is_file()
        beside = image_beside(file) if not there or plain.stem != file.stem else None
        if beside is not None:
            own[place] = beside.relative_to(root).as_posix()
        if there:
            named.append((file, plain.name))
        elif beside is not None:
            moved.append(f"{file.name} ({image!r})")
    stems = {files[place].stem.lower() for place in own}
    stems |= {file.stem.lower() for file, image in named if Path(image).stem == file.stem}
    warnings = own_images(named, stems)
    if moved:
        said = f"{len(moved)} files name images that are not there, first {moved[0]}"
        warnings.append(f"{said}: those of their own names beside them are read")
    for place, image in own.items():
        found[place] = image, *found[place][1:]
    return warnings


def _by_split(folder: Path) -> dict[str, list[Path]]:
    found = {split: sorted((folder / split).glob("*.json")) for split in SPLIT_FOLDERS}
    return {split: files for split, files in found.items() if files} or {
        "": sorted(folder.glob("*.json")) or sorted(folder.rglob("*.json"))
    }


def _root(path: Path, split: str) -> Path:
    return path / split if path.is_dir() else path.parent


def _labelme_image(file: Path, root: Path) -> tuple[str, list[str], int]:
    """The image that a file of LabelMe names, relative to `root`, its labels and how many shapes a model scored."""
    content = json_of(file)
    content = content if isinstance(content, dict) else {}
    image, shapes, flags = content.get("imagePath"), content.get("shapes"), content.get("flags") or {}
    if not isinstance(image, str) or not isinstance(shapes, list) or not isinstance(flags, dict):
        raise UsageError(f"{file}: not LabelMe's: needs imagePath and a list of shapes")
    labels = [shape.get("label") for shape in shapes if isinstance(shape, dict)]
    labels += [name for name, is_set in flags.items() if is_set]
    if file.parent != root and not ABSOLUTE.match(image.replace("\\", "/")):
        image = plain_path(f"./{file.parent.relative_to(root).as_posix()}/{image}")
    scored = sum(isinstance(shape.get(key), float) for shape in shapes if isinstance(shape, dict) for key in SCORES)
    return image, list(dict.fromkeys(str(name).strip() for name in labels if name is not None)), scored


def _refuse_flags(path: Path, images: Sequence[str], lists: Sequence[Sequence[Any]]) -> None:
    """UsageError for lists of 0 and 1 of which one holds a number twice, as a flag for each class does."""
    if {str(value) for each in lists for value in each} <= {"0", "1"}:
        row = next((row for row, each in enumerate(lists) if len(set(each)) < len(each)), None)
        if row is not None:
            raise UsageError(
                f"{path}: {images[row]!r}: {list(lists[row])} looks like a flag for each label, not like a list of "
                "labels: write the names of those that are present"
            )


def _is_class(label: object, classes: int) -> bool:
    return isinstance(label, int) and not isinstance(label, bool) and 0 <= label < (classes or 2**17)
