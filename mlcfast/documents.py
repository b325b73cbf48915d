"""Reads files that others wrote, as plain data of a bounded size; an error names the file and what is wrong."""

import contextlib
import json
import struct
import tarfile
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode

from mlcfast.errors import UsageError

MOST_CHARACTERS = 2**18  # of YAML, which takes up to three seconds to read then
MOST_NODES = 2**17  # of YAML, each alias counted with all that it stands for
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
        if str(within or place) in str(error):
            raise
        raise UsageError(f"{place}: {error}") from error
    except OSError as error:
        raise UsageError(f"{error.filename or place}: cannot be read: {error.strerror or error}") from error
    except UNFORESEEN as error:
        said = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise UsageError(f"{place}: damaged, or not of the form it seems to be ({said})") from error


def parse_yaml(text: str) -> Any:
    """The plain data of a YAML document.

    ValueError, in one line, for what is not valid, larger than MOST_CHARACTERS, refers to itself, or would unfold to
    more than MOST_NODES: a few lines of aliases to aliases may stand for more than any memory holds.
    """
    if len(text) > MOST_CHARACTERS:
        raise ValueError(f"{len(text)} characters of YAML: at most {MOST_CHARACTERS} are read")
    try:
        loader = yaml.SafeLoader(text)
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
    """The data of a JSON document; ValueError, in one line, for what is not valid or nested too deeply."""
    try:
        return json.loads(content)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    except UnicodeDecodeError as error:
        raise ValueError("not UTF-8 text") from error


def _require_few(node: Node) -> None:
    sizes: dict[int, int] = {}

    def size_of(node: Node) -> int:
        """The nodes that this one unfolds to; 0 marks one that is being counted."""
        if isinstance(node, ScalarNode):
            return 1
        if id(node) not in sizes:
            sizes[id(node)] = 0
            held = [part for pair in node.value for part in pair] if isinstance(node, MappingNode) else node.value
            sizes[id(node)] = 1 + sum(map(size_of, held))
        if not sizes[id(node)]:
            raise ValueError("an alias refers to what holds it")
        return sizes[id(node)]

    if size_of(node) > MOST_NODES:
        raise ValueError(f"its aliases stand for more than {MOST_NODES} values")
