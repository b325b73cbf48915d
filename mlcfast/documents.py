"""Reads files that others wrote, as plain data of a bounded size; an error names the file and what is wrong."""

import contextlib
import json
import os
import stat
import struct
import tarfile
import tokenize
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode

from mlcfast.errors import UsageError

MOST_CHARACTERS = 2**18  # of YAML, which takes up to three seconds to read then
MOST_NODES = 2**17  # of YAML, each alias counted with all that it stands for
BEGUN = ("true", "false", "null", "-")  # values of JSON of which a document that is cut off may end in a part
SHOWN = 20  # characters of the end of such a document
# What code that reads a file raises when the file is not what it took it for.
UNFORESEEN = (
    TypeError, AttributeError, LookupError, ValueError, ArithmeticError, AssertionError, RecursionError, EOFError,
    struct.error, tarfile.TarError, tokenize.TokenError, SyntaxError,
)  # fmt: skip


@contextlib.contextmanager
def reading(place: Path, within: Path | None = None) -> Iterator[None]:
    """Within the block an error is a UsageError that names the file or directory `place`, or one in `within`.

    A reader checks what it knows may be wrong and says so. For damage that none foresaw this keeps the rule that an
    error is one line with the file's name; --debug shows where it arose.
    """
    try:
        yield
    except UsageError as error:
        if any(each is not None and str(each) in str(error) for each in (place, within)):
            raise
        raise UsageError(f"{place}: {error}") from error
    except OSError as error:
        raise UsageError(f"{error.filename or place}: cannot be read: {error.strerror or error}") from error
    except UNFORESEEN as error:
        said = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise UsageError(f"{place}: damaged, or not of the form it seems to be ({said})") from error


def special_kind(path: Path | str) -> str:
    """What a path leads to that is neither a file nor a directory, in words; "" for those, and where nothing is.

    Opening a named pipe would wait for ever, and a device may have no end.
    """
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return ""
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
        return ""
    return "a named pipe" if stat.S_ISFIFO(mode) else "a socket" if stat.S_ISSOCK(mode) else "a device"


def is_placed(path: Path) -> bool:
    """Whether a path leads to a file, or to what read_content refuses in the place of one."""
    return path.is_file() or bool(special_kind(path))


def read_content(path: Path) -> bytes:
    """The bytes of a file; OSError where it cannot be read, UsageError for what is no file."""
    refuse_special(path)
    return path.read_bytes()


def refuse_special(path: Path) -> None:
    """UsageError for a named pipe, a socket or a device in the place of a file."""
    kind = special_kind(path)
    if kind:
        raise UsageError(f"{path}: {kind}, not a file: write what it holds to a file, and name that")


def parse_yaml(text: str, as_written: bool = False) -> Any:
    """The plain data of a YAML document; as_written: with all scalars as text, so that `no` is no truth.

    ValueError, in one line, for what is not valid, larger than MOST_CHARACTERS, refers to itself, or would unfold to
    more than MOST_NODES: a few lines of aliases to aliases may stand for more than any memory holds.
    """
    if len(text) > MOST_CHARACTERS:
        raise ValueError(f"{len(text)} characters of YAML: at most {MOST_CHARACTERS} are read")
    try:
        loader = (yaml.BaseLoader if as_written else yaml.SafeLoader)(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return None
            _require_few(node)
            return loader.construct_document(node)
        finally:
            loader.dispose()
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    except (yaml.YAMLError, ValueError, TypeError, AttributeError, KeyError, OverflowError) as error:
        raise ValueError(" ".join(str(error).split())) from error  # PyYAML's constructors raise all of these


def parse_json(content: bytes | str) -> Any:
    """The data of a JSON document.

    ValueError, in one line, for what is not valid, cut off, nested too deeply, or names a key of one object twice.
    """
    try:
        return json.loads(content, object_pairs_hook=_object_of)
    except json.JSONDecodeError as error:
        raise ValueError(_where_it_ends(error) or str(error)) from error
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    except UnicodeDecodeError as error:
        raise ValueError("not UTF-8 text") from error


def _where_it_ends(error: json.JSONDecodeError) -> str:
    """What to say of a document that is empty, or whose end is missing, as after a download that broke off; else ""."""
    text = error.doc.rstrip()
    if not text:
        return "it is empty"
    rest = text[error.pos :]
    if not error.msg.startswith("Unterminated") and not any(word.startswith(rest) for word in BEGUN):
        return ""
    line, column = text.count("\n") + 1, len(text) - (text.rfind("\n") + 1)
    where = f"line {line}, column {column}" if line > 1 else f"character {column}"
    begun = text[max(0, len(text) - SHOWN) :].replace("\n", " ")
    return f"it ends at {where}, behind {begun!r}, and is not complete: fetch or write it anew"


def _object_of(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    held = dict(pairs)
    if len(held) < len(pairs):
        _require_different([key for key, _ in pairs])
    return held


def _require_different(keys: list[str]) -> None:
    if len(set(keys)) < len(keys):
        key = Counter(keys).most_common(1)[0][0]
        raise ValueError(f"the key {key!r} stands twice in one place: keep one of them")


def _require_few(node: Node) -> None:
    sizes: dict[int, int] = {}

    def size_of(node: Node) -> int:
        """The nodes that this one unfolds to; 0 marks one that is being counted."""
        if isinstance(node, ScalarNode):
            return 1
        if id(node) not in sizes:
            sizes[id(node)] = 0
            held = [part for pair in node.value for part in pair] if isinstance(node, MappingNode) else node.value
            if isinstance(node, MappingNode):
                _require_different([key.value for key, _ in node.value if isinstance(key, ScalarNode)])
            sizes[id(node)] = 1 + sum(map(size_of, held))
        if not sizes[id(node)]:
            raise ValueError("an alias refers to what holds it")
        return sizes[id(node)]

    if size_of(node) > MOST_NODES:
        raise ValueError(f"its aliases stand for more than {MOST_NODES} values")
