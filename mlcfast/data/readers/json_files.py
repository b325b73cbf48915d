"""JSON that names images and their labels in other ways than MS-COCO's: lists, records, MMPretrain's, LabelMe's."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mlcfast.data.readers.columns import IMAGE_COLUMNS
from mlcfast.data.readers.exports import json_of, read_rows_of_json
from mlcfast.data.readers.label_studio import is_answer, read_label_studio
from mlcfast.data.readers.lists import from_tags
from mlcfast.data.readers.paths import ABSOLUTE, IMAGE_ENDINGS, plain_path, without_notes
from mlcfast.data.readers.refused import SCORES, refuse_other_tools
from mlcfast.data.readers.source import LabelSource, TableOptions
from mlcfast.data.readers.tool_exports import DOCUMENTS, read_tool_export
from mlcfast.errors import UsageError

SPLIT_FOLDERS = ("train", "valid", "val", "validation", "test")
LARGEST = 2**26  # bytes of a file that is looked into to see whose it is: LabelMe's may hold the image
TASK = {
    "data",
    "annotations",
    "completions",
    "annotation_id",
    "choice",
    "choices",
}  # keys that Label Studio's tasks have
KNOWN = (
    "MS-COCO annotations, a list of Label Studio's tasks, a list of records with a file name, MMPretrain's data_list, "
    'or {"image.jpg": ["label", ...]}'
)


def read_json(path: Path, content: Any, options: TableOptions) -> LabelSource:
    """Read what a JSON file holds that is not MS-COCO's; UsageError names the shapes there are."""
    exported = read_tool_export(path, content, DOCUMENTS)
    if exported is not None:
        return exported
    refuse_other_tools(path, content)
    if isinstance(content, list):
        return _read_entries(path, content, options)
    if isinstance(content, dict) and isinstance(content.get("data_list"), list):
        return read_mmpretrain(path, content)
    if isinstance(content, dict) and content and all(_is_image_with_labels(*pair) for pair in content.items()):
        return _from_words(path, list(content), list(content.values()), "each key is an image, its list the labels")
    raise UsageError(f"{path}: none of {KNOWN}: export the labels as one of these, or as a CSV table")


def _read_entries(path: Path, entries: list[Any], options: TableOptions) -> LabelSource:
    """Label Studio's tasks, or records as a line of metadata.jsonl has them."""
    records = [entry for entry in entries if isinstance(entry, dict)]
    named = [any(str(key).lower() in IMAGE_COLUMNS for key in record) for record in records]
    named_by = options.image_column and all(options.image_column in record for record in records)
    plain = len(records) == len(entries) and (named_by or all(named)) and not any(map(_is_task, records))
    if records and plain:
        return read_rows_of_json(path, records, list(range(1, len(records) + 1)), options)
    return read_label_studio(path, entries, options)


def _is_task(record: dict[str, Any]) -> bool:
    return bool(record.keys() & TASK) or any(map(is_answer, record.values()))


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
    return isinstance(content, dict) and isinstance(content.get("imagePath"), str) and "shapes" in content


def read_labelme(path: Path) -> list[LabelSource]:
    """Read a directory of LabelMe's JSON, or one file: an image has the labels of its shapes and of its set flags.

    Splits are folders called train, val and test; all have the labels of all.
    """
    found = _by_split(path) if path.is_dir() else {"": [path]}
    images = {split: [_labelme_image(file, _root(path, split)) for file in files] for split, files in found.items()}
    names = sorted({name for each in images.values() for _, tags, _ in each for name in tags})
    said = ["an image has the labels of its shapes and of its flags that are set"]
    sources = []
    for split, each in images.items():
        source = from_tags(path, "labelme", [image for image, _, _ in each], [tags for _, tags, _ in each], said)
        scored = sum(count for _, _, count in each)
        warning = f"{scored} shapes have a model's score: they count like any other, so take out those that are wrong"
        left = without_notes(_root(path, split), source.images) if path.is_dir() else []
        source = dataclasses.replace(source, warnings=[*([warning] if scored else []), *left])
        sources.append(dataclasses.replace(source.in_order(names).merged(), root=_root(path, split), split=split))
    return sources


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


def _from_words(path: Path, images: list[str], lists: Sequence[Sequence[Any]], said: str) -> LabelSource:
    _refuse_flags(path, images, lists)
    tags = [list(dict.fromkeys(str(word).strip() for word in each)) for each in lists]
    return from_tags(path, "metadata", images, tags, [said]).merged()


def _refuse_flags(path: Path, images: Sequence[str], lists: Sequence[Sequence[Any]]) -> None:
    """UsageError for lists of 0 and 1 of which one holds a number twice, as a flag for each class does."""
    if {str(value) for each in lists for value in each} <= {"0", "1"}:
        row = next((row for row, each in enumerate(lists) if len(set(each)) < len(each)), None)
        if row is not None:
            raise UsageError(
                f"{path}: {images[row]!r}: {list(lists[row])} looks like a flag for each label, not like a list of "
                "labels: write the names of those that are present"
            )


def _is_image_with_labels(name: str, labels: object) -> bool:
    return name.lower().endswith(IMAGE_ENDINGS) and isinstance(labels, list) and all(map(_is_word, labels))


def _is_word(label: object) -> bool:
    return isinstance(label, str | int) and not isinstance(label, bool)


def _is_class(label: object, classes: int) -> bool:
    return isinstance(label, int) and not isinstance(label, bool) and 0 <= label < (classes or 2**17)
