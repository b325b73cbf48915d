"""Columns of 1 and 0 beside a column that lists labels, and cells that hold a flag for each label."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from mlcfast.data.readers.columns import (
    box_columns,
    ignored_columns,
    is_about,
    is_blank,
    is_called,
    is_index,
    is_truth,
    truth,
    truth_share,
)
from mlcfast.data.readers.facts import is_of_work
from mlcfast.data.readers.paths import plain_path
from mlcfast.data.readers.separators import IN_BRACKETS, OF_SET, SIGNS
from mlcfast.data.readers.sheet import Sheet
from mlcfast.data.readers.source import BLANK, TableOptions
from mlcfast.data.readers.words import (
    ASSERTING,
    CONFIDENCE_COLUMNS,
    LIST_COLUMNS,
    LONG_COLUMNS,
    MOST_FLAGS,
    NEGATING,
    OF_IMAGES_TOO,
    OF_JUDGEMENT,
    STATES,
)
from mlcfast.errors import UsageError

SHOWN = 60  # letters of a cell
VERDICTS = ASSERTING | NEGATING | frozenset(CONFIDENCE_COLUMNS)
# Words for 1 and 0, and in how many columns they must be all that there is.
PAIRS = {
    ("present", "absent"): 1,
    ("t", "f"): 1,
    ("positive", "negative"): 2,
    ("pos", "neg"): 2,
    ("checked", "unchecked"): 2,
}
OF_IMAGE = re.compile(r"(is|has|in|needs|contains|was|should)[_\s-]|(is|has|needs|contains)[A-Z]")
OR_LABEL = ", or set data.label_columns to [{}] if it is a label"


def flags_beside(sheet: Sheet, column: int, others: Sequence[int], options: TableOptions) -> list[str]:
    """A warning of the one or two columns of 1 and 0 beside a column that is called as a list and plainly holds labels.

    Columns called as `is_public` or `reviewed` are not counted. UsageError where either may hold the labels, and for a
    column that may say whether those of a row hold.
    """
    flags = _flags_beside(sheet, column, others, options)
    if not flags:
        return []
    _refuse_verdicts(sheet, [i for i in flags if is_called(sheet.header[i], VERDICTS - OF_IMAGES_TOO)], OR_LABEL)
    listed, shown = sheet.header[column], ", ".join(repr(sheet.header[i]) for i in flags[:3])
    more = f" and {len(flags) - 3} more" if len(flags) > 3 else ""
    names = ",".join(sheet.header[i] for i in flags[:3]) + (",…" if more else "")
    counted = [i for i in flags if not _says_of_image(sheet.header[i])]
    if (
        is_called(listed, (*LIST_COLUMNS, *LONG_COLUMNS))
        and len(counted) <= MOST_FLAGS
        and _holds_labels(sheet, column)
    ):
        return [
            f"column {listed!r} lists the labels, and {shown}{more}, of 1 and 0, {'are' if flags[1:] else 'is'} not "
            f"read: if {'those are labels' if flags[1:] else 'it is a label'}, set data.label_columns to [{names}]"
        ]
    raise UsageError(
        f"{sheet.path}: the labels may be listed in column {listed!r} or be the columns {shown}{more}: "
        f"set data.label_columns to [{listed}] or to [{names}]"
    )


def flags_of_rows(
    sheet: Sheet, image: int, column: int, others: Sequence[int], options: TableOptions, told: int | None
) -> list[str]:
    """A warning of columns of 1 and 0 that say one thing in all rows of an image, in a table with a row for each label.

    told: the column that says whether a row's label is present, None without one. UsageError for a column that may say
    that, too, or otherwise differs between the rows of an image.
    """
    flags = [i for i in _flags_beside(sheet, column, others, options) if i != told]
    if told is None:
        alike = [i for i in flags if not is_called(sheet.header[i], VERDICTS) and _is_of_image(sheet, image, i)]
        _refuse_verdicts(sheet, [i for i in flags if i not in alike], OR_LABEL)
        return flags_beside(sheet, column, alike, options)
    _refuse_verdicts(sheet, [i for i in flags if is_called(sheet.header[i], NEGATING)])
    return []


def _refuse_verdicts(sheet: Sheet, flags: Sequence[int], more: str = "") -> None:
    """UsageError for the first of columns that may say whether the labels of a row hold; more: another remedy."""
    if flags:
        name = sheet.header[flags[0]]
        raise UsageError(
            f"{sheet.path}: column {name!r} may say whether the image has the label of its row: write a row for each "
            "image and label with a column 'present' of 1 and 0 in its place, or name it in data.ignore_columns if the "
            f"labels of all rows are present{more.format(name)}"
        )


def _flags_beside(sheet: Sheet, column: int, others: Sequence[int], options: TableOptions) -> list[int]:
    """The columns of 1 and 0 beside one that lists labels; none where the user named the labels' columns."""
    if options.label_columns:
        return []
    left = ignored_columns(sheet, options) | box_columns(sheet)
    beside = [i for i in others if i not in left and i != column and not is_index(sheet, i)]
    return [i for i in beside if not is_about(sheet.header[i]) and _looks_like_flags(sheet, i)]


def _is_of_image(sheet: Sheet, image: int, column: int) -> bool:
    """Whether all rows of an image say the same in a column."""
    first: dict[str, str] = {}
    return all(first.setdefault(plain_path(row[image]), row[column]) == row[column] for row in sheet.rows)


def _says_of_image(name: str) -> bool:
    return is_called(name, OF_JUDGEMENT | OF_IMAGES_TOO) or is_of_work(name) or OF_IMAGE.match(name) is not None


def _holds_labels(sheet: Sheet, column: int) -> bool:
    """Whether a column holds lists, or two words or more of which one recurs."""
    cells = {cell: times for cell, times in sheet.counts(column).items() if cell.lower() not in BLANK}
    if any(IN_BRACKETS.fullmatch(cell) or any(sign in cell for sign in SIGNS) for cell in cells):
        return True
    words: Counter[str] = Counter()
    for cell, times in cells.items():
        for word in cell.split():
            words[word] += times
    return 1 < len(words) < words.total() and not all(cell.lower() in STATES for cell in cells)


def _looks_like_flags(sheet: Sheet, column: int) -> bool:
    """Whether a column holds 1 and 0 but for some slips that are no numbers, or other words for them."""
    words = {cell.lower() for cell in sheet.counts(column)} - BLANK
    if len(words) > 1 and words <= STATES:
        return True
    if truth_share(sheet, column) < 0.5:
        return False
    strange = [cell for cell in sheet.counts(column) if not is_truth(sheet, cell)]
    return not any(re.fullmatch(r"[+-]?[\d.,]+", cell) for cell in strange)


def only_truths(sheet: Sheet, column: int, others: Sequence[int]) -> bool:
    """Whether a column called as a list holds 1 and 0 beside other such columns: then it is a label of that name."""
    alike = [i for i in others if all(is_truth(sheet, cell) for cell in sheet.counts(i))]
    return column in alike and len(alike) > 1


def is_blank_beside(sheet: Sheet, column: int, others: Sequence[int]) -> bool:
    """Whether a column holds nothing at all, and another of `others` holds 1 and 0, which then are the labels."""
    return is_blank(sheet, column) and any(
        not is_blank(sheet, i) and all(is_truth(sheet, cell) for cell in sheet.counts(i)) for i in others
    )


def blank_among(sheet: Sheet, columns: Sequence[int], options: TableOptions) -> list[int]:
    """The columns of labels that are blank throughout, where others, or the training file, hold 0 or −1.

    A blank is unknown there. Where it is absent, such a column may be a label that no image has. One that
    data.uncertain names is a label.
    """
    told = options.uncertain if isinstance(options.uncertain, Mapping) else ()
    blank = [i for i in columns if is_blank(sheet, i) and sheet.header[i] not in told]
    filled = [i for i in columns if i not in blank]
    stated = {truth(sheet, cell) for i in filled for cell in sheet.counts(i)} if blank else set()
    return blank if filled and not {0, -1}.isdisjoint(stated | options.cells) else []


def refuse_flags(sheet: Sheet, column: int) -> None:
    """UsageError where every cell holds equally many of 0 and 1, classes or a flag for each class, or true or false."""
    cells = _flags(sheet, column)
    words = sorted({cell.lower() for cell in sheet.counts(column)} - BLANK)
    if words and not words[0].isdecimal() and all(is_truth(sheet, word) for word in words):
        name = sheet.header[column]
        raise UsageError(
            f"{sheet.path}: column {name!r}: {words[0]!r} may be a label, or say whether the image has the label "
            f"{name!r}: set data.label_columns to [{name}] for the latter, data.separator to ';' for labels"
        )
    held = [cell for cell in sheet.counts(column) if cell]
    if not cells and len(held) > 1 and all(re.fullmatch("[01]+", cell) for cell in held) and max(map(len, held)) > 2:
        raise UsageError(
            f"{sheet.path}: column {sheet.header[column]!r}: {max(held, key=len)!r} may be a class, or flags of which "
            "a program dropped the first zeros: write a column for each label, or set data.separator to ' ' for classes"
        )
    if cells:
        first = sheet.rows[0][column]
        where = f"column {sheet.header[column]!r}: {first if len(first) <= SHOWN else f'{first[:SHOWN]}…'!r}"
        if len(cells[0]) == 1:
            raise UsageError(
                f"{sheet.path}: {where} may be a class, 0 or 1, or say whether the image has the label "
                f"{sheet.header[column]!r}: set data.label_columns to [{sheet.header[column]}] for the latter, "
                "data.separator to ' ' for classes"
            )
        raise UsageError(
            f"{sheet.path}: {where} may be classes or a flag for each: name the {len(cells[0])} labels in "
            "data.label_columns for flags, or set data.separator for classes"
        )


def _flags(sheet: Sheet, column: int) -> list[list[str]]:
    """The cells of a column of which each holds equally many of 0 and 1; empty where they hold anything else."""
    apart: dict[str, list[str]] = {}
    for cell in sheet.counts(column):
        of_set = OF_SET.fullmatch(cell)
        apart[cell] = re.findall(r"[^\s,;|'\"\[\]()]+", of_set[1] or "" if of_set else cell)
        apart[cell] = [sign.removesuffix(".") for sign in apart[cell]]  # `[0. 1.]`, as NumPy prints fractions
        if not set("".join(apart[cell])) <= {"0", "1"}:
            return []
    if all(len(each) == 1 and len(each[0]) > 1 for each in apart.values()):  # 101
        apart = {cell: list(each[0]) for cell, each in apart.items()}
    lengths = {len(each) for each in apart.values()}
    single = all(sign in ("0", "1") for each in apart.values() for sign in each)
    return [apart[row[column]] for row in sheet.rows] if len(lengths) == 1 and 0 not in lengths and single else []


def with_plain_flags(sheet: Sheet, options: TableOptions) -> Sheet:
    """The table with 1 and 0 for a pair of words, such as present and absent, in the columns that hold nothing else.

    Both must occur. Two columns are needed for words that are as likely classes, and none may be called as a list.
    """
    if options.form in ("list", "long") or any(is_called(name, LIST_COLUMNS) for name in sheet.header):
        return sheet
    told = {name.lower() for name in (options.split_column, options.group) if name is not None}
    names = {i: name for i, name in enumerate(sheet.header) if not is_about(name) and name.lower() not in told}
    held = {i: {cell.lower() for cell in sheet.counts(i)} - BLANK for i in names}
    for (yes, no), least in PAIRS.items():
        columns = [i for i, words in held.items() if words and words <= {yes, no}]
        if len(columns) < least or len({word for i in columns for word in held[i]}) < 2:
            continue
        plain = {yes: "1", no: "0"}
        rows = [
            [plain.get(cell.lower(), cell) if i in columns else cell for i, cell in enumerate(row)]
            for row in sheet.rows
        ]
        said = f"{yes!r} is read as 1 and {no!r} as 0, in {len(columns)} columns"
        return replace(sheet, rows=rows, assumptions=[*sheet.assumptions, said])
    return sheet


def with_flags_apart(sheet: Sheet, options: TableOptions) -> Sheet:
    """The table with a column for each of the named labels, where one column holds a flag for each of them."""
    named, header = options.label_columns, [name.lower() for name in sheet.header]
    if len(named) < 2 or any(name.lower() in header for name in named):
        return sheet
    for column, name in enumerate(header):
        cells = _flags(sheet, column) if name in LIST_COLUMNS else []
        if cells and len(cells[0]) == len(named):
            rows = [[*row, *flags] for row, flags in zip(sheet.rows, cells, strict=True)]
            said = f"column {sheet.header[column]!r} holds a flag for each label"
            return replace(sheet, header=[*sheet.header, *named], rows=rows, assumptions=[*sheet.assumptions, said])
    return sheet
