"""Annotations in XML: Pascal VOC, a file for each image, and CVAT's, one file for all images."""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from mlcfast.data.labels import stacked
from mlcfast.data.readers.boxes import own_images, read_xml, text_of
from mlcfast.data.readers.image_files import holds_images, images_below, walked
from mlcfast.data.readers.lists import from_tags
from mlcfast.data.readers.paths import without_notes
from mlcfast.data.readers.sheet import read_text
from mlcfast.data.readers.source import LabelSource, TableOptions
from mlcfast.data.readers.voc_lists import class_lists, is_of_one_class, read_class_lists, refuse_class_list
from mlcfast.data.readers.words import FRACTION, SCORES, SPLIT_FOLDERS
from mlcfast.documents import read_content
from mlcfast.errors import UsageError
from mlcfast.registry import hint

LISTS = "ImageSets/Main/*.txt"
OF_YEAR = re.compile(r"VOC(19|20)\d\d", re.IGNORECASE)
OF_ANNOTATIONS = ("Annotation", "annotation", "Annotations", "annotations")
BEGINNING = b"<annotation"
SHAPES = {"box", "polygon", "polyline", "points", "mask", "ellipse", "cuboid", "skeleton", "tag"}


def is_voc(folder: Path) -> bool:
    """Whether a directory, or a split's in it, holds XML files of which the first annotates one image.

    Without XML, whether it holds lists of one class each, or sets_of_years.
    """
    files = _annotations(folder) or [file for split in SPLIT_FOLDERS for file in _annotations(folder / split)]
    return read_xml(files[0]).tag == "annotation" if files else bool(class_lists(folder) or sets_of_years(folder))


def sets_of_years(folder: Path) -> list[Path]:
    """The sets in a directory where VOC2007, VOC2012 and others so called are all that has images, divided alike."""
    sets = sorted(place for place in folder.iterdir() if OF_YEAR.fullmatch(place.name) and _annotations(place))
    divided = {frozenset({file.stem for file in place.glob(LISTS)} & {"train", "val", "trainval"}) for place in sets}
    if len(sets) < 2 or len(divided) > 1 or frozenset() in divided:
        return []
    others = (place for place in folder.glob("[!.]*") if place.is_dir() and place not in sets)
    return [] if any(map(holds_images, others)) else sets


def lists_called(folder: Path, name: str) -> list[Path]:
    """The list `ImageSets/Main/NAME.txt` of a directory, or those of its sets_of_years.

    Without those of years whose annotations are kept back, as of VOC2012's test, where another year has its own.
    """
    files = [place / "ImageSets" / "Main" / f"{name}.txt" for place in (folder, *sets_of_years(folder))]
    files = [file for file in files if file.is_file()]
    annotated = [file for file in files if len(files) > 1 and _names_any(file, _annotations(file.parents[2]))]
    return annotated or files


def read_lists(folder: Path, files: Sequence[Path], options: TableOptions) -> list[LabelSource]:
    """The source of the lists that lists_called gives of a directory."""
    if files[0].parents[2] == folder:
        return read_voc(files[0], options)
    return _as_one(folder, {file.parents[2]: read_voc(file, options) for file in files})


def _as_one(folder: Path, read: Mapping[Path, Sequence[LabelSource]]) -> list[LabelSource]:
    """The parts of several sets in a directory, those of one name as one; all have the labels of all."""
    names = sorted({name for sources in read.values() for source in sources for name in source.names})
    said = f"{' and '.join(place.name for place in read)} are read as one set"
    parts: dict[str, list[LabelSource]] = {}
    for place, sources in read.items():
        for source in sources:
            images = [f"{place.name}/{image}" for image in source.images]
            parts.setdefault(source.split, []).append(dataclasses.replace(source.in_order(names), images=images))
    return [
        dataclasses.replace(
            each[0],
            path=folder,
            root=folder,
            images=[image for source in each for image in source.images],
            lines=range(1, 1 + sum(len(source.images) for source in each)),
            states=stacked([source.states for source in each]),
            assumptions=[*dict.fromkeys(line for source in each for line in source.assumptions), said],
            warnings=[*dict.fromkeys(line for source in each for line in source.warnings)],
        )
        for each in parts.values()
    ]


def is_cvat(file: Path) -> bool:
    """Whether a file is CVAT's, which lists images and their shapes."""
    return file.suffix.lower() == ".xml" and file.is_file() and read_xml(file).tag == "annotations"


def read_voc(path: Path, options: TableOptions) -> list[LabelSource]:
    """Read a directory of XML files in Pascal VOC's form, or one such file; an image has the labels of its objects.

    Splits are the lists in ImageSets/Main, or folders called train, val and test; all have the labels of all. Where
    neither they nor the directory hold files, those of all its folders are read. A list itself may be named too, such
    as trainval, which is no split beside train and val. Without XML the lists of one class each are read. Of
    sets_of_years the lists of one name are one split.
    """
    years = sets_of_years(path) if path.is_dir() and not _annotations(path) else []
    if years:
        return _as_one(path, {place: read_voc(place, options) for place in years})
    if path.suffix.lower() == ".xml":
        return [_source(path, path.parent, "", [path], _labels([path], options))]
    if path.is_file():
        refuse_class_list(path)
    folder = path if path.is_dir() else path.parents[2]
    found = {split: _annotations(folder / split) for split in SPLIT_FOLDERS}
    found = {split: files for split, files in found.items() if files} or {
        "": _annotations(folder) or sorted(folder.rglob("*.xml"))
    }
    labels = _labels([file for files in found.values() for file in files], options)
    of_classes = {} if labels else class_lists(folder, "" if path.is_dir() else path.stem)
    if of_classes:
        return read_class_lists(folder, of_classes)
    if not labels:
        raise UsageError(f"{path}: no XML files of Pascal VOC, in it or in Annotations")
    lists: list[Path] = []
    left: list[str] = []
    if "" in found:
        lists = sorted(folder.glob(LISTS)) if path.is_dir() else [path]
        lists = [file for file in lists if not is_of_one_class(file)]
        names = {file.stem for file in lists}
        lists = [file for file in lists if file.stem != "trainval" or not {"train", "val"} <= names]
        files = found[""]
        unknown = [file for file in lists if path.is_dir() and not _names_any(file, files)]
        left = [f"{file.name} names images without XML files: it is left out" for file in unknown]
        found = {file.stem: _listed(file, files) for file in lists if file not in unknown} or found
    sources = [_source(folder, folder, split, files, labels) for split, files in found.items()]
    if path.is_dir() and not lists:
        left = [line for each in sources for place in _places_of(each) for line in without_notes(place, each.images)]
    sources[0] = dataclasses.replace(sources[0], warnings=[*sources[0].warnings, *left])
    return sources


def _places_of(source: LabelSource) -> list[Path]:
    """The directories of a source's images."""
    root = source.root or source.path
    return [place for place in sorted({(root / image).parent for image in source.images}) if place.is_dir()]


def _annotations(folder: Path) -> list[Path]:
    places = (folder / "Annotations", folder / "annotations", folder)
    return next((files for place in places if (files := sorted(place.glob("*.xml")))), []) or _without_endings(folder)


def _without_endings(folder: Path) -> list[Path]:
    """The XML files of a folder of annotations, at any depth, where none has an ending, as in Stanford's dogs."""
    for place in (folder / name for name in OF_ANNOTATIONS):
        files = [below / name for below, names in (walked(place) if place.is_dir() else ()) for name in names]
        if (
            files
            and not any(file.suffix for file in files)
            and read_content(files[0])[:99].strip().startswith(BEGINNING)
        ):
            return files
    return []


def _names_any(listed: Path, files: Sequence[Path]) -> bool:
    """Whether a list names an image of one of the files; that of a test whose annotations are kept back does not."""
    return not {file.stem for file in files}.isdisjoint(read_text(listed)[0].split())


def _listed(listed: Path, files: Sequence[Path]) -> list[Path]:
    """The XML files of the images that a list of ImageSets/Main names."""
    known = {file.stem: file for file in files}
    lines = [line.split()[0] for line in read_text(listed)[0].splitlines() if line.strip()]
    missing = next((name for name in lines if name not in known), None)
    if missing is not None:
        raise UsageError(f"{listed}: {missing}: no such XML file in {files[0].parent}")
    return [known[name] for name in lines]


def _labels(files: Sequence[Path], options: TableOptions) -> dict[Path, tuple[str, list[str], int]]:
    """Of each file the image it names, the labels of its objects and how many are marked as difficult.

    UsageError for an object with a score that is a fraction, unless the options say that this is no label.
    """
    scores = [key for key in SCORES if key not in options.ignore_columns]
    labels = {}
    for file in files:
        root = read_xml(file)
        if root.tag != "annotation":
            raise UsageError(f"{file}: not Pascal VOC's XML: it begins with <{root.tag}>, not <annotation>")
        objects = [
            item for item in root.iter("object") if text_of(item, "deleted") != "1"
        ]  # as LabelMe's web page marks
        names = [text_of(item, "name") for item in objects]
        if "" in names:
            remedy = "write the label there, or take the object out"
            raise UsageError(f"{file}: object {names.index('') + 1} has no name: {remedy}")
        told = [(key, text_of(item, key)) for item in objects for key in scores if item.find(key) is not None]
        for key, score in told:
            if not FRACTION.fullmatch(score) or float(score).is_integer():
                continue
            raise UsageError(
                f"{file}: {key} {score} makes it a prediction, not a label: keep the objects that hold, "
                f"without it, or name {key} in data.ignore_columns"
            )
        difficult = sum(text_of(item, "difficult") == "1" for item in objects)
        labels[file] = text_of(root, "filename"), list(dict.fromkeys(names)), difficult
    return labels


def _source(
    path: Path, root: Path, split: str, files: Sequence[Path], labels: dict[Path, tuple[str, list[str], int]]
) -> LabelSource:
    below = images_below(root)
    names = {image.name.lower() for image in below}
    given = {file: labels[file][0].replace("\\", "/").rpartition("/")[2] for file in files}
    named = [(file, name) for file, name in given.items() if name.lower() in names]
    warnings = own_images(named, {image.stem.lower() for image in below})
    known = {} if warnings else dict(named)
    images = []
    for file in files:
        stem = known.get(file, file.stem)
        beside = [image for place in (file.parent, root / "JPEGImages", root / "images") for image in [place / stem]]
        there = next((image for image in beside if image.is_file() and image != file), None)
        images.append(str(there.relative_to(root)) if there else stem)
    difficult = sum(labels[file][2] for file in files)
    said = ["an image has the labels of its objects"]
    said += [f"{difficult} objects marked as difficult count like any other"] if difficult else []
    source = from_tags(path, "voc", images, [labels[file][1] for file in files], said)
    everywhere = sorted({name for _, each, _ in labels.values() for name in each})
    source = dataclasses.replace(source.in_order(everywhere).merged(), root=root, split=split)
    return dataclasses.replace(source, warnings=[*warnings, *source.warnings])


def read_cvat(path: Path, options: TableOptions) -> list[LabelSource]:
    """Read CVAT's XML for images: an image has the labels of its shapes and tags; a source for each subset.

    All labels of the task are labels, also those that no image has.
    """
    root = read_xml(path)
    if root.tag != "annotations":
        raise UsageError(f"{path}: not CVAT's XML for images: it begins with <{root.tag}>, not <annotations>")
    names = list(
        dict.fromkeys(text_of(label, "name") for label in root.iter("label") if label.find("name") is not None)
    )
    subsets: dict[str, tuple[list[str], list[list[str]]]] = {}
    for number, image in enumerate(root.iter("image"), start=1):
        if not image.get("name"):
            raise UsageError(f"{path}: image {number} has no name: write its file there, or take it out")
        labels = [str(shape.get("label")) for shape in image if shape.tag in SHAPES]
        unknown = next((label for label in labels if names and label not in names), None)
        if unknown is not None:
            raise UsageError(
                f"{path}: image {number}, {image.get('name')!r}: the label {unknown!r} is not among those of the task: "
                f"write one of them, or add it to the labels in <meta>{hint(unknown, names)}"
            )
        images, tags = subsets.setdefault(image.get("subset") or "", ([], []))
        images.append(str(image.get("name")))
        tags.append(list(dict.fromkeys(labels)))
    if not subsets:
        raise UsageError(f"{path}: no images in it; tracks of a video are not read: export it for images")
    everywhere = names or sorted({label for _, tags in subsets.values() for each in tags for label in each})
    beside = path.parent / "images" if (path.parent / "images").is_dir() else path.parent
    said = ["an image has the labels of its shapes and tags; one without any has no label"]
    return [
        dataclasses.replace(
            from_tags(path, "cvat", images, tags, said).merged().in_order(everywhere),
            root=beside,
            split=subset,
        )
        for subset, (images, tags) in subsets.items()
    ]
