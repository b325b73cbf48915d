"""Tables as programs write them in JSON: pandas' orientations, columns of lists, records under a key."""

from pathlib import Path
from typing import Any

from mlcfast.data.readers.entries import all_have
from mlcfast.data.readers.image_files import IMAGE_ENDINGS, images_below
from mlcfast.data.readers.words import IMAGE_COLUMNS

NAMES = {*IMAGE_COLUMNS} - {"id", "name"}  # which many other objects have too
Records = list[dict[str, Any]]


def records_in(content: Any) -> tuple[Records, str] | None:
    """The rows of a table that an object of JSON holds, and what it was read as; None for another object."""
    if not isinstance(content, dict) or not content:
        return None
    return _split(content) or _of_schema(content) or _columns(content) or _by_index(content) or _under_a_key(content)


def images_by_label(content: Any) -> dict[str, list[str]] | None:
    """The labels of each image of `{"cat": ["a.jpg", "b.jpg"]}`; None for another object, or names without endings."""
    if not isinstance(content, dict) or not content or not all(map(_are_words, content.values())):
        return None
    names = [name for held in content.values() for name in held]
    if not names or not all(name.lower().endswith(IMAGE_ENDINGS) for name in names):
        return None
    found: dict[str, list[str]] = {}
    for label, images in content.items():
        for image in images:
            found.setdefault(image, []).append(label)
    return found


def may_be_either(content: Any) -> bool:
    """Whether an object holds several lists of words or numbers, where nothing shows if they or the keys are images."""
    return isinstance(content, dict) and len(content) > 1 and all(map(_are_words_or_numbers, content.values()))


def has_images_as_keys(content: Any, folder: Path) -> bool:
    """Whether the keys of an object of lists name images below a directory, without their endings: `{"0001": [3, 7]}`.

    So it is where most of these images are keys, and fewer than a tenth are entries of the lists, as numbers may be.
    """
    if not may_be_either(content):
        return False
    stems = {image.stem for image in images_below(folder)}
    entries = stems & {str(each) for held in content.values() for each in held}
    return 10 * len(entries) < len(stems) < 2 * len(stems & content.keys())


def _are_words_or_numbers(held: Any) -> bool:
    return isinstance(held, list) and all(isinstance(each, str) or type(each) is int for each in held)


def _are_words(held: Any) -> bool:
    return isinstance(held, list) and all(isinstance(each, str) for each in held)


def _names_images(keys: Any) -> bool:
    return any(str(key).lower() in NAMES for key in keys)


def _split(content: dict[str, Any]) -> tuple[Records, str] | None:
    """`{"columns": ["image", "label"], "index": [0], "data": [["a.jpg", "cat"]]}`, pandas' orient="split"."""
    columns, data = content.get("columns"), content.get("data")
    if not isinstance(columns, list) or not isinstance(data, list) or not _names_images(columns):
        return None
    if not all(isinstance(row, list) and len(row) == len(columns) for row in data):
        return None
    return [dict(zip(map(str, columns), row, strict=True)) for row in data], "columns, and rows of their cells"


def _of_schema(content: dict[str, Any]) -> tuple[Records, str] | None:
    """`{"schema": {…}, "data": [{"index": 0, "image": "a.jpg", "label": "cat"}]}`, pandas' orient="table"."""
    rows = content.get("data")
    if {*content} != {"schema", "data"} or not isinstance(rows, list) or not rows or not all_have(rows):
        return None
    return (rows, "the rows under 'data', beside their schema") if all(map(_names_images, rows)) else None


def _columns(content: dict[str, Any]) -> tuple[Records, str] | None:
    """`{"image": {"0": "a.jpg"}, "label": {"0": "cat"}}`, pandas' own orientation, or with lists for the columns."""
    held = list(content.values())
    if not _names_images(content):
        return None
    if all(isinstance(each, dict) for each in held) and len({frozenset(each) for each in held}) == 1:
        return [{name: cells[key] for name, cells in content.items()} for key in held[0]], "a column under each key"
    if all(isinstance(each, list) for each in held) and len({len(each) for each in held}) == 1:
        rows = [dict(zip(content, row, strict=True)) for row in zip(*held, strict=True)]
        return rows, "a column under each key"
    return None


def _by_index(content: dict[str, Any]) -> tuple[Records, str] | None:
    """`{"0": {"image": "a.jpg", "label": "cat"}}`, pandas' orient="index"."""
    held = list(content.values())
    if not all(isinstance(each, dict) and _names_images(each) for each in held):
        return None
    return held, "a row under each key"


def _under_a_key(content: dict[str, Any]) -> tuple[Records, str] | None:
    """`{"version": 1, "data": [{"image": "a.jpg", "label": "cat"}]}`: the only list of objects, which name images."""
    filled = {key: held for key, held in content.items() if isinstance(held, list | dict) and held}
    key, held = next(iter(filled.items()), ("", None))
    if len(filled) != 1 or not isinstance(held, list) or not all_have(held) or not all(map(_names_images, held)):
        return None
    return held, f"the records under {key!r}"
