"""Keywords in XMP files beside images, as digiKam, darktable, Bridge and Lightroom write them: `a.xmp`, `a.jpg.xmp`."""

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from xml.etree.ElementTree import Element

from mlcfast.data.readers.boxes import read_xml
from mlcfast.data.readers.image_files import images_below
from mlcfast.data.readers.lists import from_tags
from mlcfast.data.readers.names import plain_label
from mlcfast.data.readers.source import LabelSource
from mlcfast.errors import UsageError


def xmp_beside(image: Path) -> Path | None:
    """The XMP file of an image; None without. UsageError for two."""
    found = [file for file in (image.with_suffix(".xmp"), image.with_name(f"{image.name}.xmp")) if file.is_file()]
    if len(found) > 1:
        raise UsageError(f"{found[0]}: and {found[1].name} beside it are of one image: keep one of them")
    return found[0] if found else None


def first_xmp(images: Iterable[Path]) -> Path | None:
    """The first XMP file of some images; None without one."""
    return next((file for image in images if (file := xmp_beside(image)) is not None), None)


def read_xmp(folder: Path) -> LabelSource:
    """The keywords of each image, `dc:subject` in its file; images without a file are left out, and said."""
    images = images_below(folder)
    files = {image: file for image in images if (file := xmp_beside(image)) is not None}
    if not files:
        raise UsageError(f"{folder}: holds no XMP file beside an image, such as a.xmp or a.jpg.xmp beside a.jpg")
    tags = [_keywords(file) for file in files.values()]
    if not any(tags):
        raise UsageError(f"{next(iter(files.values()))}: holds no keywords (dc:subject), nor do others: write them")
    said = ["an image has the keywords of the XMP file beside it (dc:subject)"]
    left = [image for image in images if image not in files]
    warned = (
        [f"{len(left)} images have no XMP file, first {left[0].relative_to(folder)}: they are left out"] if left else []
    )
    names = [str(image.relative_to(folder)) for image in files]
    return dataclasses.replace(from_tags(folder, "xmp", names, tags, said), root=folder, warnings=warned)


def _keywords(file: Path) -> list[str]:
    root = read_xml(file)
    entries = [entry for subject in root.iter() if _name(subject) == "subject" for entry in subject.iter()]
    found = [plain_label((entry.text or "").strip()) for entry in entries if _name(entry) == "li"]
    return list(dict.fromkeys(filter(None, found)))


def _name(element: Element) -> str:
    """An element's name without the prefix of its namespace."""
    return element.tag.rpartition(":")[2]
