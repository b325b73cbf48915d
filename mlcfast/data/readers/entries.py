"""Entries of the JSON that labelling tools write: what they hold under a key, and images with lists of labels."""

from collections.abc import Callable
from typing import Any, NamedTuple

# Images with their labels; None in place of a list where nobody annotated the image.
Tags = list[tuple[str, list[str] | None]]


class Tool(NamedTuple):
    """An export: what it was read as, in words, and what reads its content; None for that of another tool."""

    said: str
    read: Callable[[Any], Tags | None]


def all_have(entries: Any, *keys: str) -> bool:
    """Whether this is a list of objects, at least one, that all have these keys."""
    return (
        isinstance(entries, list)
        and bool(entries)
        and all(isinstance(e, dict) and e.keys() >= {*keys} for e in entries)
    )


def objects(value: Any, key: str) -> bool:
    """Whether this is a list, possibly empty, of objects that all have this key."""
    return value == [] or all_have(value, key)


def listed(value: Any) -> list[Any]:
    """A list as it is, nothing as an empty one, anything else as a list of one."""
    return value if isinstance(value, list) else [] if value is None else [value]


def words(value: Any) -> list[str]:
    """Words or numbers, one or several, as text."""
    return [str(each) for each in listed(value) if isinstance(each, str | int)]


def values(entries: Any, key: str) -> list[str]:
    """What objects have under a key, where that is a word or a number."""
    return [word for entry in listed(entries) if isinstance(entry, dict) for word in words(entry.get(key))]


def from_root(address: str) -> str:
    """An address in the cloud as a path that is absolute on another machine."""
    return "/" + address.partition("://")[2] if "://" in address else address
