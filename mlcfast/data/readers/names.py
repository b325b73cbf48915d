"""Names of labels that look alike: one spelling of each, and warnings of names that differ in little."""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from mlcfast.data.labels import Labels, SparseLabels, from_entries, pairs
from mlcfast.data.readers.source import LabelSource, merge_states
from mlcfast.errors import UsageError

# Characters without a width, which tables bring along from web pages and word processors. The two joiners of Persian
# and Hindi words and of emoji stay where they join something.
INVISIBLE = re.compile("[\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff]")
JOINS_NOTHING = re.compile("(?:^|(?<=[\x00-\x7f]))[\u200c\u200d]|[\u200c\u200d](?=[\x00-\x7f]|$)")
# Small letters of Cyrillic and Greek that look like Latin ones.
TWINS = str.maketrans("\u0430\u0435\u043e\u0440\u0441\u0443\u0445\u0456\u0455\u03bf\u03b1", "aeopcyxisoa")
JOINTS = re.compile(r"(?<=[^\W\d_])[-_]+(?=[^\W\d_])")  # of words
GARBLED = re.compile("\ufffd|[\u00c2\u00c3][\u0080-\u00aa\u00ac-\u00ba\u00bc-\u00bf]|\u00e2\u20ac")
BREAKS = re.compile("[\t-\r\x1c-\x1f\x85\u2028\u2029]")  # of lines and pages, and between cells
# What would move the cursor of a terminal, colour it or ring its bell, and names no label.
CONTROLS = re.compile("[\x00-\x08\x0e-\x1b\x7f]")
BLANKS = re.compile("[\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]")  # those of typesetters and of Chinese


def plain_label(name: str) -> str:
    """A label in one spelling: composed letters (NFC), no characters without a width, plain blanks."""
    if BREAKS.search(name):
        name = " ".join(name.split())
    if name.isascii():
        return name.strip()
    name = JOINS_NOTHING.sub("", INVISIBLE.sub("", name))
    return unicodedata.normalize("NFC", plain_blanks(name)).strip()


def plain_blanks(text: str) -> str:
    """A text whose blanks are those of the keyboard."""
    return text if text.isascii() else BLANKS.sub(" ", text)


def respelt(names: Sequence[str]) -> list[str]:
    """What plain_label changes of these labels, in words; empty where it changes none."""
    changed = [(name, plain_label(name)) for name in names if plain_label(name) != name]
    if not changed:
        return []
    more = f"; so are {len(changed) - 1} more" if len(changed) > 1 else ""
    old, new = changed[0]
    return [f"the label {old!a} is read as {new!r}: composed letters, plain blanks, nothing invisible{more}"]


def refuse_controls(place: Path, names: Iterable[str], where: Callable[[str], str] = lambda name: "") -> None:
    """UsageError for the first of names that holds a control character, such as those that colour a terminal.

    where: gives the line of a name, or another place in the file, for the message.
    """
    for name in names:
        sign = CONTROLS.search(name)
        if sign is not None:
            remedy = "rename it" if place.is_dir() else "take it out"
            shown = f"the label {name!a} holds the control character {sign[0]!a}"
            raise UsageError(f"{place}: {where(name)}{shown}: {remedy}")


def refuse_halves(source: LabelSource) -> None:
    """UsageError for a label that cannot be written as text: the name of a folder in no UTF-8, JSON's half a letter."""
    for name in source.names:
        try:
            name.encode()
        except UnicodeEncodeError as error:
            remedy = "rename it" if source.path.is_dir() else "write it anew"
            raise UsageError(f"{source.path}: the label {name!a} is not UTF-8 and cannot be shown: {remedy}") from error


def with_plain_labels(source: LabelSource) -> LabelSource:
    """The source with its labels in one spelling, those that become the same united, and what that changed."""
    plain = [plain_label(name) for name in source.names]
    refuse_controls(source.path, plain, lambda name: _place_of(source, plain.index(name)))
    if plain == source.names:
        return source
    if "" in plain:
        raise UsageError(f"{source.path}: a label consists of invisible characters, {source.names[plain.index('')]!a}")
    names = list(dict.fromkeys(plain))
    states, said = source.states, respelt(source.names)
    if len(names) < len(plain):
        place = {name: column for column, name in enumerate(names)}
        states = _united(states, [place[name] for name in plain], len(names))
        twice = Counter(plain).most_common(1)[0][0]
        said.append(f"labels that become the same are one, such as {twice!r}")
    return replace(source, names=names, states=states, also=(), assumptions=[*source.assumptions, *said])


def _place_of(source: LabelSource, column: int) -> str:
    """Where a file first says that an image has a label, for a message; "" for a directory and for names of columns."""
    row, label = pairs(source.states)
    rows = row[label == column]
    if source.path.is_dir() or source.format in ("wide", "attributes") or not len(rows):
        return ""
    return f"{source.unit} {source.lines[int(rows[0])]}: "


def _united(labels: Labels, places: Sequence[int], width: int) -> Labels:
    """The table (M, width) in which the columns with one place are one: present where one of them is."""
    if isinstance(labels, SparseLabels):
        order = np.argsort(labels.values == 1, kind="stable")  # of entries at one place the last one counts
        rows, columns = labels.row_numbers()[order], np.asarray(places)[labels.columns[order]]
        return from_entries(rows, columns, (len(labels), width), labels.values[order], labels.fill)
    matrix = np.empty((len(labels), width), np.int8)
    filled: set[int] = set()
    for column, place in enumerate(places):
        if place in filled:
            merge_states(matrix[:, place], labels[:, column])
        else:
            matrix[:, place] = labels[:, column]
        filled.add(place)
    return matrix


def garbled(names: Iterable[str]) -> list[str]:
    """A warning of names in which a program has lost letters, or has read UTF-8 as Windows-1252."""
    found = next((name for name in names if not name.isascii() and GARBLED.search(name)), None)
    if found is None:
        return []
    return [f"the label {found!r} holds letters that another program did not read rightly: write the table anew"]


def nearly_equal(names: Iterable[str], what: str) -> list[str]:
    """A warning of names that look alike, as slips of the keyboard do; what: they are.

    They differ in capitals, in blanks or in `_` and `-` between letters (`traffic_light`), a fraction of 0 (`1.0`), or
    in letters of Cyrillic and Greek that Latin has too.
    """
    seen: dict[str, str] = {}
    pairs = []
    for name in dict.fromkeys(names):
        key = JOINTS.sub("", "".join(name.casefold().translate(TWINS).split())).removesuffix(".0")
        if seen.setdefault(key, name) != name:
            pairs.append((seen[key], name))
    if not pairs:
        return []
    more = f", and {len(pairs) - 1} more such pairs" if len(pairs) > 1 else ""
    return [f"{what} {pairs[0][0]!r} and {pairs[0][1]!r} look alike, and are two{more}"]
