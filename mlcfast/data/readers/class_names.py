"""Files that name the classes, one a line; some write the number of a class before or behind its name."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from mlcfast.data.readers.image_files import IMAGE_ENDINGS
from mlcfast.data.readers.names import refuse_controls
from mlcfast.data.readers.sheet import read_text
from mlcfast.documents import is_placed
from mlcfast.errors import UsageError

NAME_FILES = ("classes.txt", "labels.txt", "class_names.txt", "_classes.txt")
NUMBER_FIRST = re.compile(r"(\d+)(?:\s*[:;,=)]\s*|\.\s+|\s+-\s+|\s+)(\D.*)")
NUMBER_LAST = re.compile(r"(.*[^\d\s:;,=])(?:\s*[:;,=]\s*|\s+)(\d+)")


def names_beside(path: Path) -> tuple[list[str], list[str]]:
    """What names_in gives of a file of NAME_FILES beside a file; empty without one."""
    file = names_file(path)
    return names_in(file) if file else ([], [])


def names_file(path: Path) -> Path | None:
    """The file of NAME_FILES beside a file; None without one. A `labels.txt` that lists images is none."""
    beside = (path.with_name(name) for name in NAME_FILES)
    return next((file for file in beside if is_placed(file) and file != path and not _lists_images(file)), None)


def _lists_images(file: Path) -> bool:
    """Whether the first line of a file begins with an image file."""
    words = read_text(file)[0].split(maxsplit=1)
    return bool(words) and words[0].rstrip(",;").lower().endswith(IMAGE_ENDINGS)


def names_in(file: Path) -> tuple[list[str], list[str]]:
    """The names of classes by number, and what is said of the numbers that stand in the file, if any do.

    A line names a class, the first the class 0. Where each also holds a number, and these are 0 to K − 1 or 1 to K,
    they count and are no part of the names; in the second case the name of class 0 is blank, see refuse_nameless.
    UsageError for a blank line above others, which may move their numbers or not, and for numbers that begin at 0 or 1
    and are no such count, and for a control character.
    """
    lines = [line.strip() for line in read_text(file)[0].rstrip().splitlines()]
    refuse_controls(file, lines, lambda line: f"line {lines.index(line) + 1}: ")
    if "" in lines:
        where = f"{file}: line {lines.index('') + 1} is blank"
        raise UsageError(f"{where}: a line names a class, the first the class 0: name one there, or take the line out")
    numbered = _numbered(lines)
    if not numbered:
        return lines, []
    numbers, names = [number for number, _ in numbered], [name for _, name in numbered]
    first = min(numbers)
    if sorted(numbers) != list(range(first, first + len(names))):
        line = next(k for k, number in enumerate(numbers) if number in numbers[:k] or number >= first + len(names))
        raise UsageError(
            f"{file}: line {line + 1}: {lines[line]!r} numbers its class, but the {len(names)} lines do not number "
            f"theirs {first} to {first + len(names) - 1}, each once: write these numbers, or the names alone"
        )
    held = dict(zip(numbers, names, strict=True))
    said = f"the names in {file.name} stand beside the numbers of their classes, {first} to {max(numbers)}"
    return [held.get(number, "") for number in range(max(numbers) + 1)], [said]


def _numbered(lines: Sequence[str]) -> list[tuple[int, str]]:
    """The number and the name in each line; empty unless each has both, no two one name, the least number 0 or 1."""
    for form, number, name in ((NUMBER_FIRST, 1, 2), (NUMBER_LAST, 2, 1)):
        matches = [form.fullmatch(line) for line in lines]
        found = [(int(match[number]), match[name].strip()) for match in matches if match]
        names = {own for _, own in found if re.search(r"[^\W\d_]", own)}
        if found and len(found) == len(names) == len(lines) and min(found)[0] in (0, 1):
            return found
    return []


def refuse_nameless(where: str, names: Sequence[str], numbers: Iterable[int]) -> None:
    """UsageError for class 0 where the file of names counts from 1; where: what the message begins with."""
    if names and not names[0] and 0 in numbers:
        raise UsageError(
            f"{where}: class 0, but the names' own numbers begin at 1: number both alike, or write the names alone, "
            "that of class 0 first"
        )


def from_0(
    path: Path, lines: Sequence[int], names: list[str], listed: list[list[int]]
) -> tuple[list[str], list[list[int]]]:
    """Names and lists of classes as they are where names count from 0, else one less; lines: where each list stands."""
    if not names or names[0]:
        return names, listed
    for line, each in zip(lines, listed, strict=True):
        refuse_nameless(f"{path}: line {line}", names, each)
    return names[1:], [[number - 1 for number in each] for each in listed]
