"""Keywords in XMP files beside images, as digiKam, darktable, Bridge and Lightroom write them: `a.xmp`, `a.jpg.xmp`."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.etree.ElementTree import Element

from mlcfast.data.readers.boxes import read_xml
from mlcfast.data.readers.image_files import IMAGE_ENDINGS, images_below, walked
from mlcfast.data.readers.lists import from_tags
from mlcfast.data.readers.names import plain_label
from mlcfast.data.readers.source import LabelSource
from mlcfast.errors import UsageError

ENDING = ".xmp"


def xmp_below(folder: Path) -> dict[Path, list[Path]]:
    """The XMP files of each image of a directory that has any, `a.xmp` and `a.jpg.xmp`, also in capitals."""
    found: dict[Path, list[Path]] = {}
    for place, names in walked(folder):
        files: dict[str, list[Path]] = {}
        for name in names:
            if name.lower().endswith(ENDING):
                files.setdefault(name[: -len(ENDING)], []).append(place / name)
        images = [name for name in names if name.lower().endswith(IMAGE_ENDINGS)] if files else []
        held = {place / name: [*files.get(Path(name).stem, []), *files.get(name, [])] for name in images}
        found |= {image: each for image, each in held.items() if each}
    return dict(sorted(found.items()))


def with_keywords(files: Mapping[Path, Sequence[Path]]) -> list[Path]:
    """An XMP file with a keyword for each image that has one; files that cannot be read have none."""
    first = (next((file for file in each if _holds_keywords(file)), None) for each in files.values())
    return [file for file in first if file is not None]


def read_xmp(folder: Path) -> LabelSource:
    """The keywords of each image, `dc:subject` in its file; images without a file are left out, and said."""
    files: dict[Path, Path] = {}
    for image, (file, *others) in xmp_below(folder).items():
        if others:
            raise UsageError(f"{file}: and {others[0].name} beside it are of one image: keep one of them")
        files[image] = file
    if not files:
        raise UsageError(f"{folder}: holds no XMP file beside an image, such as a.xmp or a.jpg.xmp beside a.jpg")
    tags = [_keywords(file) for file in files.values()]
    if not any(tags):
        raise UsageError(f"{next(iter(files.values()))}: holds no keywords (dc:subject), nor do others: write them")
    said = ["an image has the keywords of the XMP file beside it (dc:subject)"]
    left = [image for image in images_below(folder) if image not in files]
    warned = (
        [f"{len(left)} images have no XMP file, first {left[0].relative_to(folder)}: they are left out"] if left else []
    )
    names = [str(image.relative_to(folder)) for image in files]
    return dataclasses.replace(from_tags(folder, "xmp", names, tags, said), root=folder, warnings=warned)


def _holds_keywords(file: Path) -> bool:
    try:
        return bool(_keywords(file))
    except UsageError:
        return False


def _keywords(file: Path) -> list[str]:
    root = read_xml(file, padded=True)
    entries = [entry for subject in root.iter() if _name(subject) == "subject" for entry in subject.iter()]
    found = [plain_label((entry.text or "").strip()) for entry in entries if _name(entry) == "li"]
    return list(dict.fromkeys(filter(None, found)))


def _name(element: Element) -> str:
    """An element's name without the prefix of its namespace."""
    return element.tag.rpartition(":")[2]
