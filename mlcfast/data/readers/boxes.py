"""Helpers of the readers of box annotations: safe YAML and XML."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from mlcfast.documents import parse_yaml, read_content
from mlcfast.errors import UsageError

PADDING = b"\0 \t\r\n"


def read_xml(file: Path, padded: bool = False) -> Element:
    """The root of an XML file. UsageError for one that is damaged, or that declares a document type or entities.

    Annotations need neither, and entities could name other files or grow without bound. padded: whether zero bytes and
    blanks around it are no damage; in UTF-16, of whose letters zero bytes are halves, they are.
    """
    builder, parser = TreeBuilder(), expat.ParserCreate()

    def refuse(*_: Any) -> None:
        raise UsageError(f"{file}: declares a document type, which annotations do not need: it is not read")

    parser.StartElementHandler, parser.EndElementHandler = builder.start, builder.end
    parser.CharacterDataHandler, parser.StartDoctypeDeclHandler = builder.data, refuse
    try:
        content = read_content(file)
        parser.Parse(content.strip(PADDING) if padded and b"\0" not in content[:64].strip(PADDING) else content, True)
        return builder.close()
    except OSError as error:
        raise UsageError(f"{file}: cannot be read: {error.strerror}") from error
    except (expat.ExpatError, AssertionError, ValueError, LookupError) as error:
        remedy = "write the file anew"
        if not _is_utf8(file):
            remedy = (
                "its letters are not UTF-8's: save it as UTF-8, or name their encoding in its first line, <?xml …?>"
            )
        raise UsageError(f"{file}: not valid XML: {error}: {remedy}") from error


def _is_utf8(file: Path) -> bool:
    try:
        return bool(file.read_bytes().decode() or True)
    except UnicodeDecodeError:
        return False


def own_images(named: Sequence[tuple[Path, str]], stems: Collection[str]) -> list[str]:
    """Where files of annotations name other images than those of their own names: a warning that the latter hold.

    So it is where all have an image of their own name, and what they say inside is one image for several of them, as in
    copies of one file. UsageError where nothing tells which holds; empty where no file names another.

    named: files and the images there are that they name; stems: names without their endings of all images there are, in
    lower case.
    """
    has = [file.stem.lower() in stems for file, _ in named]
    other = [
        (file, image)
        for (file, image), own in zip(named, has, strict=True)
        if own and Path(image).stem.lower() != file.stem.lower()
    ]
    if not other:
        return []
    file, image = other[0]
    if not all(has) or len({name.lower() for _, name in named}) == len(named):
        raise UsageError(
            f"{file}: names the image {image!r}, but there is one called {file.stem!r} too: write that in it, or "
            "give the file the name of its image"
        )
    return [
        f"{len(other)} files name another image than their own, and several the same, first {file.name} ({image!r}): "
        "each is read as that of the image of its own name"
    ]


def text_of(element: Element, tag: str) -> str:
    """The text of an element's first child of this name, without blanks around it; "" where there is none."""
    return (element.findtext(tag) or "").strip()


def read_yaml(file: Path, as_written: bool = False) -> dict[str, Any]:
    """The keys of a YAML file, as_written with all values as text; UsageError for anything else."""
    try:
        content = parse_yaml(read_content(file).decode("utf-8-sig"), as_written)
    except OSError as error:
        raise UsageError(f"{file}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise UsageError(f"{file}: not valid YAML: {error}") from error
    if not isinstance(content, dict):
        raise UsageError(f"{file}: expected `key: value` lines at the top level")
    return content
