"""Tables that name the classes which another table has by their ids: iMet's labels.csv, Open Images' descriptions."""

import csv
import io
import itertools
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from mlcfast.data.readers.columns import plain_column
from mlcfast.data.readers.exports import json_of
from mlcfast.data.readers.image_files import IMAGE_ENDINGS, images_below
from mlcfast.data.readers.image_folders import part_in
from mlcfast.data.readers.names import CONTROLS, plain_label
from mlcfast.data.readers.names_of_others import OF_CLASSES, other_thing
from mlcfast.data.readers.paths import plain_path
from mlcfast.data.readers.sheet import read_text
from mlcfast.data.readers.source import LabelSource, TableOptions
from mlcfast.data.readers.words import SPLIT_FOLDERS
from mlcfast.data.readers.wrapped import tables_in
from mlcfast.errors import UsageError

MOST = 100  # tables and JSON files of a folder; more are one for each image
LARGEST = 2**22  # bytes of a file that is looked into: Open Images' 20,638 names take half of one MiB
LOOKED_AT = 64  # rows, by which most tables of other things are told
FORMS = ("list", "long")  # of tables whose cells hold the ids
OF_MACHINES = re.compile(r"/[a-z]/\w+|n\d{8}")  # Freebase's and WordNet's ids, which are nothing else
ID = re.compile(r"\S*\d\S*")
LETTER = re.compile(r"[^\W\d_]")
# What columns of ids and of names are called, as plain_column has it; in the group, those of nothing but classes.
CALLED = re.compile(
    rf"({OF_CLASSES}|synset|wnid|mid|display)?(?:s|es)?(?:ids?|idx|index|number|no|num|code|(names?|description|text))?"
)
SAYS = re.compile(rf"(?<![a-z])({OF_CLASSES}|synset|names?(?![a-z]))", re.IGNORECASE)  # a file called so names classes


def not_read(file: Path) -> str:
    """What is said of a table beside that of the labels, unless the labels have their names from it."""
    return f"{file.name} names no image: it is not read"


def without_name_tables(tables: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """The tables of a directory without those that name classes and no image there, and these.

    All are kept where no other table is there, nor in the folders of parts; so is one called as a part.
    """
    few = [file for file in tables if part_in(file.stem) is None] if len(tables) <= MOST else []
    named = {file: names for file in few if (names := names_in_table(file))}
    alone = len(named) == len(tables)
    if not named or (alone and not any(tables_in(tables[0].parent / part) for part in SPLIT_FOLDERS)):
        return list(tables), []
    stems = {image.stem for image in images_below(tables[0].parent)}
    found = [file for file, names in named.items() if stems.isdisjoint([*names, *names.values()])]
    return [file for file in tables if file not in found], found


def names_in_table(file: Path) -> dict[str, str]:
    """The names of classes by their ids, where a table or an object of JSON holds nothing else; empty for another file.

    Each id has a digit, each name a letter, and not all names could be ids. Unless the ids are OF_MACHINES, the column
    of ids is called as one of classes, or as any of numbers in a file called so with a column of names, and no name
    stands there twice, if both columns do not say what they hold; without a header the ids count from 0 or 1.
    """
    if file.suffix.lower() not in (".csv", ".tsv", ".json") or not file.is_file() or file.stat().st_size > LARGEST:
        return {}
    rows = _rows(file)
    called = _called(rows)
    header = len(called) == 2
    body = rows[1:] if header else rows
    for first, second in ((0, 1), (1, 0)):
        ids = [row[first] for row in body]
        if not ids or len({*ids}) < len(ids) or not _are_ids(ids):
            continue
        names = [plain_label(row[second]) for row in body]
        certain = all(map(OF_MACHINES.fullmatch, ids))
        of_class = header and called[first][1] is not None
        named = certain or (of_class and called[second][2] is not None)
        if not named and len({*names}) < len(names):
            continue
        says = SAYS.search(file.stem) is not None and (called[second][2] is not None if header else _count(ids))
        if (certain or says or of_class) and all(map(LETTER.search, names)) and not _are_ids(names):
            return dict(zip(ids, names, strict=True))
    return {}


def _rows(file: Path) -> list[list[str]]:
    """The two columns of a table, or the entries of an object; nothing of another file, or of one of images."""
    try:
        rows = _pairs_of_json(file) if file.suffix.lower() == ".json" else _pairs_of_text(file)
    except (UsageError, csv.Error):
        return []
    return [] if any(cell.lower().endswith(IMAGE_ENDINGS) for row in rows[:2] for cell in row) else rows


def _called(rows: Sequence[Sequence[str]]) -> list[re.Match[str]]:
    """What the two columns are called as, where the first row is a header."""
    columns = [CALLED.fullmatch(plain_column(name)) for name in rows[0]] if rows else []
    return [match for match in columns if match is not None and match[0]]


def _count(ids: Sequence[str]) -> bool:
    return any({*ids} == {*map(str, range(first, first + len(ids)))} for first in (0, 1))


def _are_ids(cells: Iterable[str]) -> bool:
    return all(ID.fullmatch(cell) or OF_MACHINES.fullmatch(cell) for cell in cells)


def _pairs_of_json(file: Path) -> list[list[str]]:
    """`{"0": "cat"}` or `{"cat": 0}`; nothing of other content."""
    content = json_of(file)
    held = list(content.items()) if isinstance(content, dict) else []
    return [[key, str(value)] for key, value in held] if all(type(value) in (str, int) for _, value in held) else []


def _pairs_of_text(file: Path) -> list[list[str]]:
    """The rows of a table of two columns, but for pandas' index before them; nothing of another."""
    text = read_text(file)[0]
    first = text.partition("\n")[0]
    delimiter = next((sign for sign in "\t;" if sign in first), ",")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    begun = list(itertools.islice(reader, LOOKED_AT))
    if not _may_be_names(begun):
        return []
    rows = [[cell.strip() for cell in row] for row in itertools.chain(begun, reader)]
    rows = [row for row in rows if any(row)]
    if rows and len(rows[0]) == 3 and not rows[0][0]:
        rows = [row[1:] for row in rows]
    return [] if any(len(row) != 2 for row in rows) else rows


def _may_be_names(begun: Sequence[Sequence[str]]) -> bool:
    """Whether the rows that a table begins with hold an id and a word each, but for the header."""
    body = [row[-2:] for row in begun[1:] if any(map(str.strip, row))]
    pairs = list(zip(*body, strict=True)) if all(len(row) == 2 for row in body) else []
    ids = [cells for cells in pairs if len({*cells}) == len(cells) and _are_ids(map(str.strip, cells))]
    return len(begun) < LOOKED_AT or (bool(ids) and any(all(map(LETTER.search, cells)) for cells in pairs))


def names_by_id(source: LabelSource) -> dict[str, str]:
    """The names that another table gave to the labels, by their ids; empty where they keep these, or have none."""
    return dict(zip(source.also, source.names, strict=True)) if source.also and _are_ids(source.also) else {}


def with_names(sources: Sequence[LabelSource], options: TableOptions) -> list[LabelSource]:
    """The splits of a table of ids with the names of another beside it, where just one reading of that is possible.

    It must name each label, no two alike, and no image. Tables that name some, or two of them alike, or that may be of
    another thing are a warning, and so are numbers that one may count otherwise. `data.label_columns` keeps the ids,
    and so does a split that is read in the order of ids, see LabelSource.in_order.
    """
    first = sources[0]
    ids = list(dict.fromkeys(name for source in sources for name in source.names))
    if first.format not in FORMS or not first.path.is_file() or not ids or not _are_ids(ids):
        return list(sources)
    found = {file: names_in_table(file) for file in _beside(first.path)}
    found = {file: names for file, names in found.items() if not names.keys().isdisjoint(ids)}
    stems = {_stem(image) for source in sources for image in source.images} if found else set()
    found = {file: names for file, names in found.items() if stems.isdisjoint({*names, *names.values()} - {*ids})}
    doubts = {file: _doubt(names, ids) or _of_another(file, first) for file, names in found.items()}
    fitting = [file for file, doubt in doubts.items() if not doubt]
    if not fitting:
        called = _also(sources, next(iter(found.values()))) if len(found) == 1 else sources
        return _told(called, [f"{file.name} {doubt}: the labels keep their ids" for file, doubt in doubts.items()])
    file, names = fitting[0], found[fitting[0]]
    other = next((each for each in fitting if any(found[each][one] != names[one] for one in ids)), None)
    if other is not None:
        both = f"{file.name} and {other.name} name the labels otherwise than each other"
        return _told(sources, [f"{both}: they keep their ids"])
    kept = "by data.label_columns" if options.label_columns else _miscounted(names, ids)
    if kept:
        return _told(_also(sources, names), [f"{file.name} names the labels: they keep their ids {kept}"])
    said = f"the labels have their names from {file.name}, {ids[0]!r} is {names[ids[0]]!r}"
    return [
        replace(
            source,
            names=[names[each] for each in source.names],
            also=tuple(source.names),
            assumptions=[*source.assumptions, said],
            warnings=[line for line in source.warnings if line != not_read(file)],
        )
        for source in sources
    ]


def _also(sources: Sequence[LabelSource], names: dict[str, str]) -> list[LabelSource]:
    """The sources with the names that their labels may have, those without one their ids; none where two are alike."""
    called = [tuple(names.get(each, each) for each in source.names) for source in sources]
    return [
        replace(source, also=also if len({*also}) == len(also) else ())
        for source, also in zip(sources, called, strict=True)
    ]


def _miscounted(names: dict[str, str], ids: Sequence[str]) -> str:
    """Why names by number may be those of the numbers beside, or of another thing that is counted as the labels are.

    The former where half of them and not the outermost are labels, the latter where the labels count to less than half.
    """
    if not _count([*names]):
        return ""
    if 2 * len(ids) < len(names):
        said = f"as they count to {max(map(int, ids))}, and its names to {max(map(int, names))}"
        return f"{said}, so that these may be of another thing" if _count(ids) else ""
    start = 0 if "0" in names else 1
    outermost = str(0 if start == 0 else len(names))
    said = f"as no image has {outermost!r}, so that they may count from {1 - start} and the names from {start}"
    return said if outermost not in ids else ""


def _beside(path: Path) -> list[Path]:
    """The files beside a table, or in the folder above where its own is that of a part of the data."""
    folder = path.parent.parent if path.parent.name.lower() in SPLIT_FOLDERS else path.parent
    tables = tables_in(folder)
    return [file for file in tables if file != path] if len(tables) <= MOST else []


def _stem(image: str) -> str:
    name = plain_path(image).rpartition("/")[2]
    return name.rpartition(".")[0] or name


def _doubt(names: dict[str, str], ids: Sequence[str]) -> str:
    """Why a table cannot name the labels; "" where it can."""
    lost = next((each for each in ids if each not in names), None)
    if lost is not None:
        return f"names some of the labels, and not {lost!r}"
    first: dict[str, str] = {}
    twice = next((each for each in ids if first.setdefault(names[each], each) != each), None)
    if twice is not None:
        return f"names two labels {names[twice]!r}, {first[names[twice]]!r} and {twice!r}"
    strange = next((each for each in ids if CONTROLS.search(names[each])), None)
    return "" if strange is None else f"names {strange!r} with a control character"


def _of_another(file: Path, source: LabelSource) -> str:
    """Why a table may name the numbers of another thing than the labels; "" if not."""
    rows = _rows(file)
    header = rows[0] if len(_called(rows)) == 2 else []
    certain = all(map(OF_MACHINES.fullmatch, source.names))
    thing = other_thing([file.stem, *header], source.header, certain)
    return f"may be of {thing!r} (write classes.csv, `label,name`, if it is not)" if thing else ""


def _told(sources: Sequence[LabelSource], warnings: Sequence[str]) -> list[LabelSource]:
    return [replace(sources[0], warnings=[*sources[0].warnings, *warnings]), *sources[1:]]
