"""The labels in a cell that lists some: what stands between them, and the lists that programs print."""

import ast
import csv
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence

from mlcfast.data.readers.blanks import JOINING, ROWS_OF_COMMA, TEXTS_OF_COMMA, blank_or_none
from mlcfast.data.readers.names import plain_blanks
from mlcfast.data.readers.sheet import Sheet
from mlcfast.data.readers.source import BLANK
from mlcfast.data.readers.words import NO_LABEL
from mlcfast.errors import UsageError

TAGS = re.compile(r"(<[^<>]+>\s*)+")
IN_BRACKETS = re.compile(r"(<[^<>]+>\s*)+|\[.*\]|\(.*\)|\{.*\}|(frozenset|set|array|tensor)\(.*\)", re.DOTALL)
EMPTY = re.compile(r"[\[({]\s*[\])}]")  # a list, or an object, without anything
# What Python prints of a set that is empty or frozen, and of NumPy's arrays.
OF_SET = re.compile(r"(?:frozenset|set|array|tensor)\((.*?)(?:,\s*dtype=[^)]*)?\)", re.DOTALL)
OF_NUMPY = re.compile(r"\[\s*\d+\.?(\s+\d+\.?)*\s*\]")
OF_SCALARS = re.compile(r"\bnp\.(?:u?int|float|str)\d*_?\(([^()]*)\)")  # `np.int64(3)`, within a list of Python's
OF_POSTGRES = re.compile(r"\{([^{}:'\"]|\"[^\"]*\")*\}")
OF_R = re.compile(r"c\(.*\)|character\(0\)", re.DOTALL)
QUOTED = re.compile(r"b?(['\"]).+\1|[\u201c\u201e].+[\u201c\u201d]|\u2018.+\u2019|\u00ab.+\u00bb")
NAN = re.compile(r"(?<=[\[(,])\s*nan\s*(?=[\]),])")  # what pandas writes for nothing, in a list that is Python's
# With FileMaker's breaks, bullets, and Arabic and Chinese signs.
SIGNS = "|;,\n\x0b\x1d\u2028\u2029\t\u2022\u060c\u061b\u3001\uff0c\uff1b\uff5c"
JOINED = re.compile(r"(and|or|und|oder|et|ou|en|och)\s")
# Signs which may separate labels and as well be a part of them.
RARE_SIGNS = (
    *(f" {word} " for word in JOINING), "/", "+", "&", "~", "#", "^", "@", "\u00a6", "\\n", " \u00b7 ", "\u30fb",
)  # fmt: skip
COMPOUND_SIGNS = (  # which are more often a part
    "-", "_", ":", ".", "*", ">", "__", "::", "..", "->", "=>", "\\", "%", "!", "=", "$", "<br>", "<br/>", "<br />",
)  # fmt: skip
# What the name of a column ends in that lists several labels, so that a comma separates them.
SEVERAL = re.compile(
    r"(labels|tags|targets|classes|categories|attributes|keywords|findings|genres|names|ids|objects)$", re.IGNORECASE
)
LONGEST = 60  # letters of a cell that a message shows


def separator_of(sheet: Sheet, column: int) -> tuple[str, str]:
    """The sign between a cell's labels and the evidence for it; "" for JSON and Python lists and for single labels."""
    nothing = NO_LABEL | BLANK
    filled = (cell for cell in sheet.counts(column) if cell.lower() not in nothing and not EMPTY.fullmatch(cell))
    spelt = {plain_blanks(cell): cell for cell in filled}
    cells = list(spelt)
    where = f"{sheet.path}: column {sheet.header[column]!r}"
    vector = next((cell for cell in cells if OF_R.fullmatch(cell)), None)
    if vector is not None:
        raise UsageError(f"{where}: {vector!r} is a vector of R: write it with paste(x, collapse = ';')")
    bracketed = [cell for cell in cells if IN_BRACKETS.fullmatch(cell)]
    if bracketed and len(bracketed) == len(cells):
        return "", ", each in < and >" if all(TAGS.fullmatch(cell) for cell in cells) else ""
    if any(cell.startswith(("[", "{", "<")) or OF_SET.fullmatch(cell) for cell in bracketed):
        other = next(cell for cell in cells if not IN_BRACKETS.fullmatch(cell))
        raise UsageError(
            f"{where}: {bracketed[0]!r} is a list in brackets and {other!r} is not: "
            "write all cells alike, or name what stands between labels with data.separator"
        )
    found = [sign for sign in SIGNS if any(sign in cell for cell in cells)]
    if len(found) > 1:
        shown = " and ".join(repr(sign) for sign in found)
        lines = [sheet.line(column, spelt[next(cell for cell in cells if sign in cell)]) for sign in found]
        raise UsageError(
            f"{where} holds {shown}: name one with data.separator, or write all alike; see "
            f"line{'s' if len(set(lines)) > 1 else ''} {' and '.join(map(str, dict.fromkeys(lines)))}"
        )
    if found:
        _refuse_words_together(cells, found[0], where)
        _refuse_more_signs(sheet, column, spelt, found[0])
        if found[0] == "," and SEVERAL.search(sheet.header[column]) is None:
            _refuse_comma_within({cell: sheet.counts(column)[spelt[cell]] for cell in cells}, where)
        return found[0], ""
    _refuse_rare_signs(cells, where)
    return blank_or_none({cell: sheet.counts(column)[spelt[cell]] for cell in cells}, where)


def _refuse_words_together(cells: Sequence[str], sign: str, where: str) -> None:
    """UsageError where a cell without the sign, such as `cat dog` beside `cat;dog`, consists of other labels alone."""
    beside = {piece.strip() for cell in cells if sign in cell for piece in cell.split(sign)}
    alone = dict.fromkeys(cell for cell in cells if sign not in cell and cell not in beside)
    labels = beside | set(alone)
    for cell in alone:
        for other in (" ", *RARE_SIGNS, *COMPOUND_SIGNS):
            pieces = [piece.strip() for piece in cell.split(other)] if other in cell else []
            pieces = [piece for piece in pieces if piece]
            if len(pieces) > 1 and set(pieces) <= labels:
                raise UsageError(
                    f"{where}: {cell!r} may be one label or {len(pieces)}: write {sign!r} between several, as other "
                    f"cells do, or set data.separator to {sign!r} if it is one"
                )


def _refuse_comma_within(cells: Mapping[str, int], where: str) -> None:
    """UsageError where a comma may be a part of names, `Aster, blue`: texts recur, or are several, and no piece tells.

    A piece would by standing alone, behind a comma in two texts, or by being a number. cells: each with its number of
    rows.
    """
    lists = {cell: [piece.strip() for piece in cell.split(",")] for cell in cells if "," in cell}
    pieces = {piece for each in lists.values() for piece in each}
    behind = Counter(piece for each in lists.values() for piece in each[1:])
    before = {each[0] for each in lists.values()}
    alone = not pieces.isdisjoint(cells) or all(map(str.isdecimal, pieces))
    mixed = not before.isdisjoint(behind) or max(behind.values()) > 1 or "" in behind
    blank = all(cell.count(", ") == cell.count(",") for cell in lists)
    few = sum(cells.values()) >= ROWS_OF_COMMA * len(cells) and max(cells[cell] for cell in lists) > 1
    if blank and not alone and not mixed and (few or len(lists) >= TEXTS_OF_COMMA):
        cell = next(iter(lists))
        raise UsageError(
            f"{where}: {cell!r} may be one label or {len(lists[cell])}: set data.separator to ',' for several, to ';' "
            "for one"
        )


def _refuse_more_signs(sheet: Sheet, column: int, spelt: Mapping[str, str], sign: str) -> None:
    """UsageError where another sign stands between labels of a list, `cat, dog and bird`, or a bracket around them.

    spelt: the column's cells by what they are with plain blanks.
    """
    lists = {cell: [piece for each in cell.split(sign) if (piece := each.strip())] for cell in spelt}
    labels = {piece for pieces in lists.values() for piece in pieces}
    several = {cell: pieces for cell, pieces in lists.items() if len(pieces) > 1}
    apart = {piece: found for piece in labels for other in RARE_SIGNS if (found := _apart(piece, other))}
    parts = {piece for piece, found in apart.items() if labels.issuperset(found)}
    for cell, pieces in several.items():
        opened = "(" in cell and next((piece for piece in pieces if piece.count("(") > piece.count(")")), None)
        if opened and any(piece.count(")") > piece.count("(") for piece in pieces):
            where = f"{sheet.path}: {sheet.unit} {sheet.line(column, spelt[cell])}, column {sheet.header[column]!r}"
            raise UsageError(
                f"{where}: {opened!r} opens a bracket that it does not close: write another sign than {sign!r} within "
                f"brackets, or set data.separator to {sign!r} if that is a label"
            )
        piece = next((piece for piece in pieces if piece in parts), "")
        piece = piece or (pieces[-1] if JOINED.match(pieces[-1]) else "")
        if piece:
            where = f"{sheet.path}: {sheet.unit} {sheet.line(column, spelt[cell])}, column {sheet.header[column]!r}"
            raise UsageError(
                f"{where}: {piece!r} may be one label or {'several' if piece in parts else 'end a list'}: write "
                f"{sign!r} between labels, and nothing else, or set data.separator to {sign!r} if it is one"
            )


def _apart(text: str, sign: str) -> list[str]:
    """The pieces of a text between which a sign stands; empty where it does not, or one of them is."""
    if sign not in text:
        return []
    pieces = [piece.strip() for piece in text.split(sign)]
    return pieces if all(pieces) else []


def _refuse_rare_signs(cells: Sequence[str], where: str) -> None:
    """UsageError where `cat/dog` stands beside `cat` or `dog`, or `cat-dog` beside both: a label of its own, or two."""
    alone = set(cells)
    tight = next((cell for cell in cells if re.fullmatch(r"(#[^\s#]+){2,}", cell)), None)
    if tight is not None:
        raise UsageError(f"{where}: {tight!r} holds {tight.count('#')} tags: write {tight[1:].replace('#', ';')!r}")
    for cell in dict.fromkeys(cells):
        for sign in (*RARE_SIGNS, *COMPOUND_SIGNS):
            pieces = [piece.strip() for piece in cell.split(sign)] if sign in cell else []
            apart = alone & set(pieces) if sign in RARE_SIGNS else set(pieces) <= alone
            if len(pieces) > 1 and all(pieces) and apart:
                raise UsageError(
                    f"{where}: {cell!r} may be one label or {len(pieces)}: set data.separator to {sign!r} for several, "
                    "to ';' for one"
                )


def labels_in(sheet: Sheet, column: int, cell: str, separator: str) -> list[str]:
    """The labels in a cell, each once; separator: "" for a list in brackets or one label. UsageError names the line."""
    try:
        return _labels_in(cell, separator)
    except ValueError as error:
        where = f"{sheet.unit} {sheet.line(column, cell)}, column {sheet.header[column]!r}"
        raise UsageError(f"{sheet.path}: {where}: {error}") from error


def _labels_in(cell: str, separator: str) -> list[str]:
    """The labels in a cell; ValueError says what is wrong with it."""
    if cell.lower() in BLANK - NO_LABEL or EMPTY.fullmatch(cell):
        return []
    if separator == "" and TAGS.fullmatch(cell):
        return list(dict.fromkeys(name.strip() for name in re.findall("<([^<>]+)>", cell) if name.strip()))
    if separator == "" and re.search(r"['\"]\s+['\"]", cell):
        raise ValueError(f"{_shown(cell)} has no commas between its labels: write the list with commas")
    if separator == "" and IN_BRACKETS.fullmatch(cell):
        if OF_NUMPY.fullmatch(cell):  # whole numbers as NumPy prints them, without commas
            return list(dict.fromkeys(number.rstrip(".") for number in cell[1:-1].split()))
        if OF_POSTGRES.fullmatch(cell):
            names = [name.strip() for name in next(csv.reader([cell[1:-1]], skipinitialspace=True), [])]
            return [name for name in dict.fromkeys(names) if name and name != "NULL"]
        of_set = OF_SET.fullmatch(cell)
        held = OF_SCALARS.sub(r"\1", (of_set[1] or "[]") if of_set else cell)
        for parse, text in ((json.loads, held), (ast.literal_eval, held), (ast.literal_eval, NAN.sub("None", held))):
            try:
                names = [_name(value) for value in _values(parse(text)) if value is not None]
                return [name for name in dict.fromkeys(names) if name]
            except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
                continue
        raise ValueError(f'{_shown(cell)} is no list of labels: write it as ["cat", "dog"]')
    pieces = cell.split(separator if separator != " " else None) if separator else [cell]
    names = list(dict.fromkeys(name for piece in pieces if (name := piece.strip())))
    if not cell.isascii() or "'" in cell or '"' in cell:
        quoted = next((name for name in (cell, *names) if QUOTED.fullmatch(name)), None)
        if quoted is not None:
            raise ValueError(f"the quotes are a part of {quoted}: write it without, or as CSV quotes")
    return names


def _shown(cell: str) -> str:
    return repr(cell if len(cell) <= LONGEST else f"{cell[:LONGEST]}…")


def _values(held: object) -> list[object]:
    """The members of a list; of `('cat')`, which is none to Python, the one. TypeError for labels with values."""
    if isinstance(held, list | tuple | set):
        return list(held)
    if isinstance(held, str):
        return [held]
    raise TypeError


def _name(value: object) -> str:
    """A label in a list, also of an object that holds nothing else; TypeError for what is none, as a list within it."""
    if isinstance(value, dict) and [*value] == ["label"]:
        value = value["label"]
    if isinstance(value, list | dict | tuple | set):
        raise TypeError
    return (value.decode() if isinstance(value, bytes) else str(value)).strip()
