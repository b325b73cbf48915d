"""YOLO's layout: a text file of boxes for each image, classes by number, their names in data.yaml or classes.txt."""

import dataclasses
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mlcfast.data.readers.class_names import names_in, refuse_nameless
from mlcfast.data.readers.image_files import IMAGE_ENDINGS, image_beside, images_below
from mlcfast.data.readers.lists import from_tags
from mlcfast.data.readers.sheet import read_text
from mlcfast.data.readers.source import LabelSource, TableOptions, number_of_classes
from mlcfast.data.readers.words import PARTS, SPLIT_FOLDERS
from mlcfast.data.readers.yolo_settings import label_file, labels_of, places_of, settings_in, settings_of
from mlcfast.documents import is_placed
from mlcfast.errors import UsageError

NAME_FILES = ("classes.txt", "obj.names", "classes.names", "_darknet.labels", "labels.txt")
NUMBER = r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?"
SLACK = 0.1  # by which a box may reach beyond its image, as cut or turned ones do
BOX = re.compile(rf"(\d+)(\.0+)?(\s+{NUMBER}){{4,}}", re.IGNORECASE)


def is_yolo(folder: Path) -> bool:
    """Whether a directory has YOLO's settings with names and places of images, or images and labels side by side."""
    if any({"names", "train"} <= set(settings_of(file)) for file in settings_in(folder)):
        return True
    places = (folder, *(folder / word for word in SPLIT_FOLDERS))
    if labels_of(folder) != folder and _has_boxes(labels_of(folder)):
        return True
    return any((place / "images").is_dir() and _has_boxes(place / "labels") for place in places) or _is_flat(folder)


def _is_flat(folder: Path) -> bool:
    """Whether text files of boxes stand beside the images of a directory, as LabelImg writes them, by the first.

    Names of classes must stand there too, and no folders of splits, which would be read alone.
    """
    named = any((folder / name).is_file() for name in NAME_FILES) or settings_in(folder)
    if not named or any((folder / word).is_dir() for word in SPLIT_FOLDERS):
        return False
    images = sorted(file for file in folder.iterdir() if file.suffix.lower() in IMAGE_ENDINGS)
    texts = (read_text(file)[0].strip() for image in images if (file := image.with_suffix(".txt")).is_file())
    lines = next((text for text in texts if text), "").splitlines()
    return bool(lines) and all(BOX.fullmatch(line.strip()) for line in lines if line.strip())


def _has_boxes(folder: Path) -> bool:
    """Whether the first text files of a directory hold a box, or nothing; the reader names a line that is none."""
    texts = [file for file in sorted(folder.rglob("*.txt"))[:50] if file.name not in NAME_FILES and is_placed(file)]
    lines = [line for file in texts for line in read_text(file)[0].splitlines() if line.strip()]
    return bool(texts) and (not lines or any(BOX.fullmatch(line.strip()) for line in lines))


def read_yolo(path: Path, options: TableOptions) -> list[LabelSource]:
    """Read data.yaml or a directory in YOLO's layout: a source for each split; an image has the labels of its boxes.

    An image without a text file, or with an empty one, has no label. Names come from data.yaml, or classes.txt and its
    like, in the directory or in the two above it; else the labels are the classes' numbers.
    """
    folder = path if path.is_dir() else path.parent
    settings = [path] if path.is_file() else settings_in(folder)
    if len(settings) > 1:
        raise UsageError(f"{folder}: holds {settings[0].name} and {settings[1].name}: name one of them")
    content = settings_of(settings[0]) if settings else {}
    placed = "train" in content or "val" in content
    if path.is_file() and not placed and "names" not in content:
        raise UsageError(f"{path}: not YOLO's settings, which name train, val and names: write the labels as a table")
    places, absent = places_of(settings[0], content, options) if placed else (_found(folder), [])
    if absent and not any(places.values()):
        places, placed = _instead(folder, absent), False
    if not any(places.values()):
        raise UsageError(f"{path}: no images found for YOLO's labels")
    for images in places.values():
        _refuse_dota(images)
    names, said = _names(folder, settings[0] if settings else None, path.is_file())
    sources = [_read(folder, split, images, names, said) for split, images in places.items() if images]
    warnings = [*sources[0].warnings, *absent, *_doubts(content, names, settings[0].name if settings else "")]
    left = [] if placed or "" in places else [file for file in folder.iterdir() if file.suffix.lower() in IMAGE_ENDINGS]
    warnings += (
        [f"{len(left)} images beside the folders of splits are left out, first {min(left).name}"] if left else []
    )
    return [dataclasses.replace(sources[0], warnings=warnings), *sources[1:]]


def _refuse_dota(images: Sequence[Path]) -> None:
    """UsageError where boxes of another form lie beside the images of a split, which have none of YOLO's."""
    if not images or any(label_file(image) for image in images):
        return
    beside = next((file for file in sorted(images[0].parents[1].glob("labelTxt*/*.txt"))), None)
    if beside is not None:
        raise UsageError(
            f"{beside}: DOTA's, and no image has a file of YOLO's boxes: write YOLO's or MS-COCO's form, or a table of "
            "the images and their labels"
        )


def _found(folder: Path) -> dict[str, list[Path]]:
    """The images of each split by the names of the directories; one split, of no name, where they name none."""
    if folder.name == "images":
        return {"": images_below(folder)}
    places = {}
    for split, words in PARTS.items():
        choices = [choice for word in words for choice in (folder / "images" / word, folder / word)]
        places[split] = next((found for choice in choices if (found := _in(choice))), [])
    return places if any(places.values()) else {"": _in(folder)}


def _instead(folder: Path, absent: list[str]) -> dict[str, list[Path]]:
    """The images of each split where settings name none that is there, by the directories that hold files of boxes.

    Says so in `absent`; UsageError with the first of these where there are none.
    """
    places = _found(folder)
    if not any(label_file(image) for images in places.values() for image in images):
        below = images_below(folder)
        folders = {image.parent for image in below if label_file(image)}
        places = {"": [image for image in below if image.parent in folders]}
    if not any(places.values()):
        raise UsageError(f"{absent[0]}: put it there, or write where the images are")
    absent.append(f"the images in {folder} that have files of boxes are read instead")
    return places


def _in(folder: Path) -> list[Path]:
    return images_below(folder / "images" if (folder / "images").is_dir() else folder) if folder.is_dir() else []


def _names(folder: Path, settings: Path | None, chosen: bool) -> tuple[list[str], list[str]]:
    """The classes' names, by number, and what was assumed of them: those of the first directory that has any.

    UsageError where two files of it name the classes differently; the settings decide where the user chose them.
    """
    for place in (folder, folder.parent, folder.parent.parent):
        files = [settings] if settings and place == folder else settings_in(place)
        found = [(file, names) for file in files if (names := settings_of(file, as_written=True).get("names"))]
        known: list[tuple[Path, tuple[list[str], list[str]]]]
        known = [(file, (_listed(file, names), [])) for file, names in found]  # a class may be called no, or 1.0
        lists = [place / name for name in NAME_FILES if is_placed(place / name)]
        lists += [file for below in ("*", "*/*") for file in _names_below(folder, below)] if place == folder else []
        known += [(file, names_in(file)) for file in lists]
        for file, (names, _) in [] if chosen and found else known[1:]:
            if names != known[0][1][0]:
                shown = f"{known[0][0].relative_to(place)} and {file.relative_to(place)}"
                raise UsageError(f"{place}: {shown} name the classes differently: keep the one that is right")
        if known:
            names, counted = known[0][1]
            return names, [f"the labels are named in {known[0][0].name}", *counted]
    return [], ["no data.yaml or classes.txt names the classes: the labels are their numbers"]


def _names_below(folder: Path, below: str) -> list[Path]:
    """Files of names in the folders of a directory, such as those of its splits and labels."""
    return [file for name in NAME_FILES for file in sorted(folder.glob(f"{below}/{name}")) if name != NAME_FILES[-1]]


def _listed(file: Path, names: Any) -> list[str]:
    """Names as a list or as a mapping of numbers, which must then count from 0."""
    if isinstance(names, dict):
        lacking = next((number for number in range(len(names)) if str(number) not in names), None)
        if lacking is not None:
            raise UsageError(f"{file}: names must be numbered 0 to {len(names) - 1}: there is no {lacking}")
        names = [names[str(number)] for number in range(len(names))]
    if not isinstance(names, list):
        raise UsageError(f"{file}: names must be a list, not {names!r}")
    counted = 1 if file.suffix.lower() == ".data" and names[:1] == [""] else 0  # see names_in
    named = [isinstance(name, str) and name != "" for name in names]
    strange = next((number for number in range(counted, len(names)) if not named[number]), None)
    if strange is not None:
        raise UsageError(f"{file}: names: class {strange} has no name, but {names[strange]!r}: write one")
    return names


def _doubts(settings: dict[str, Any], names: list[str], file: str) -> list[str]:
    """Warnings of settings whose count of classes is another, and of classes of one name; file: what they stand in."""
    count, again = settings.get("nc"), [name for name, times in Counter(names).items() if times > 1]
    named = sum(map(bool, names))
    differs = bool(names) and count not in (None, named)
    doubts = [f"{file}: nc says {count} classes, names has {named}: the names count"] if differs else []
    return doubts + [f"several classes are called {name!r}: they are one label" for name in again[:1]]


def _read(folder: Path, split: str, images: list[Path], names: list[str], said: list[str]) -> LabelSource:
    found = [label_file(image) for image in images]
    without = found.count(None)
    numbers = [_classes(file, names) if file else [] for file in found]
    known = names or [str(n) for n in range(number_of_classes(folder, [n for each in numbers for n in each]))]
    tags = [[known[n] for n in each] for each in numbers]
    files = [str(image.relative_to(folder)) if image.is_relative_to(folder) else str(image) for image in images]
    said = ["an image has the labels of its boxes", *said]
    if not any(image.is_file() for image in images):  # a list names them
        files, moved = _by_name(folder, images, files, without)
        said += moved
    said += [f"{without} images have no text file of boxes, and so no label"] if without else []
    warnings = _strays(images)
    source = from_tags(folder, "yolo", files, tags, said)
    source = dataclasses.replace(source, warnings=warnings, root=folder, split=split).merged()
    return source.in_order(list(dict.fromkeys(filter(None, known))))


def _by_name(folder: Path, images: list[Path], files: list[str], without: int) -> tuple[list[str], list[str]]:
    """What images are looked for by that are not where they are listed, as tools export boxes alone; and that it is so.

    without: how many of them have no file of boxes; UsageError where that is all.
    """
    if without == len(images):
        raise UsageError(
            f"{folder}: neither the {without} images that are listed, first {files[0]}, nor files of boxes for them "
            "are there: put both below it, or name the directory where they are"
        )
    names = [image.name for image in images]
    if len(set(names)) < len(names):
        return files, []
    said = f"{len(images)} images, first {files[0]}, are not where they are listed: they are looked for by name"
    return names, [said]


def _classes(file: Path, names: list[str]) -> list[int]:
    classes = []
    for number, line in enumerate(read_text(file)[0].splitlines(), start=1):
        if not line.strip():
            continue
        match = BOX.fullmatch(line.strip())
        if match is None:
            raise UsageError(
                f"{file}: line {number}: {line[:60]!r} is not a class and the numbers of its box: write its number and "
                "four numbers of 0 to 1 (or an outline's), `0 0.5 0.5 0.2 0.1`, or take the line out"
            )
        _refuse_pixels(file, number, line.split())
        if names and int(match[1]) >= len(names):
            raise UsageError(
                f"{file}: line {number}: class {match[1]}, but there are {len(names)} names: name it, counted from 0"
            )
        refuse_nameless(f"{file}: line {number}", names, [int(match[1])])
        _refuse_confidence(file, number, line.split())
        classes.append(int(match[1]))
    return list(dict.fromkeys(classes))


def _refuse_pixels(file: Path, number: int, words: Sequence[str]) -> None:
    """UsageError for a line whose four numbers behind the class are no shares of the image, 0 to 1 but for SLACK.

    They then are pixels, and the first number is the class, or a corner where the class is written last.
    """
    wrong = next((word for word in words[1:5] if not -SLACK <= float(word) <= 1 + SLACK), None)
    if wrong is not None:
        raise UsageError(
            f"{file}: line {number}: {wrong} is no share of the image; YOLO's lines are a class and its box in shares "
            "of the image's width and height, 0 to 1: divide pixels by these, and write the class first"
        )


def _refuse_confidence(file: Path, number: int, words: Sequence[str]) -> None:
    """UsageError for a line of a box with a sixth number that is a fraction: how sure a model is of it."""
    if len(words) == 6 and not float(words[5]).is_integer():
        raise UsageError(
            f"{file}: line {number}: a sixth number, {words[5]}, is a model's confidence, so this is a prediction, not "
            "a label: keep the lines that hold, without it"
        )


def _strays(images: list[Path]) -> list[str]:
    """A warning of text files whose image is not there; UsageError where none of them has one."""
    stems = {image.with_suffix("") for image in images}
    found = {file.parent: image.parent for image in images if (file := label_file(image))}
    folders = found or {labels_of(image.parent): image.parent for image in images}
    strays = [
        file
        for labels, pictures in folders.items()
        for file in sorted(labels.glob("*.txt"))
        if pictures / file.stem not in stems and file.name not in NAME_FILES and not image_beside(pictures / file.name)
    ]
    strays = [file for file in strays if _holds_boxes(file)]
    if not strays and not found:
        _refuse_deeper(folders)
    if strays and not found:
        raise UsageError(f"{strays[0]}: no image is called so, nor as any other of the {len(strays)} files of boxes")
    return [f"{len(strays)} files of boxes have no image, first {strays[0].name}"] if strays else []


def _refuse_deeper(folders: Mapping[Path, Path]) -> None:
    """UsageError where the files of boxes lie in folders of the directory of labels, and the images in none.

    folders: the directories of images by those of their labels.
    """
    for labels, pictures in folders.items():
        deeper = [file for file in sorted(labels.glob("*/**/*.txt")) if file.name not in NAME_FILES]
        first = next((file for file in deeper if _holds_boxes(file)), None)
        if first is not None:
            place = first.parent.relative_to(labels)
            raise UsageError(
                f"{first}: no image has a file of boxes, and {len(deeper)} lie deeper: put them into {labels}, or "
                f"their images into {pictures / place}"
            )


def _holds_boxes(file: Path) -> bool:
    return any(BOX.fullmatch(line.strip()) for line in read_text(file)[0].splitlines()[:1])
