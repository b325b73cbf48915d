"""Helpers of the readers of box annotations: safe YAML and XML."""

from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from mlcfast.documents import parse_yaml
from mlcfast.errors import UsageError


def read_xml(file: Path) -> Element:
    """The root of an XML file. UsageError for one that is damaged, or that declares a document type or entities.

    Annotations need neither, and entities could name other files or grow without bound.
    """
    builder, parser = TreeBuilder(), expat.ParserCreate()

    def refuse(*_: Any) -> None:
        raise UsageError(f"{file}: declares a document type, which annotations do not need: it is not read")

    parser.StartElementHandler, parser.EndElementHandler = builder.start, builder.end
    parser.CharacterDataHandler, parser.StartDoctypeDeclHandler = builder.data, refuse
    try:
        parser.Parse(file.read_bytes(), True)
        return builder.close()
    except OSError as error:
        raise UsageError(f"{file}: cannot be read: {error.strerror}") from error
    except (expat.ExpatError, AssertionError, ValueError, LookupError) as error:
        raise UsageError(f"{file}: not valid XML: {error}") from error


def text_of(element: Element, tag: str) -> str:
    """The text of an element's first child of this name, without blanks around it; "" where there is none."""
    return (element.findtext(tag) or "").strip()


def read_yaml(file: Path, as_written: bool = False) -> dict[str, Any]:
    """The keys of a YAML file, as_written with all values as text; UsageError for anything else."""
    try:
        content = parse_yaml(file.read_text(encoding="utf-8-sig"), as_written)
    except OSError as error:
        raise UsageError(f"{file}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise UsageError(f"{file}: not valid YAML: {error}") from error
    if not isinstance(content, dict):
        raise UsageError(f"{file}: expected `key: value` lines at the top level")
    return content
