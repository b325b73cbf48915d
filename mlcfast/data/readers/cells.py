"""What 0, −1 and a blank cell of a column of labels mean, by which of them a file holds; see docs/data.md."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from mlcfast.data.readers.names import plain_label
from mlcfast.data.readers.paths import plain_path, unit_of
from mlcfast.data.readers.source import LabelSource, TableOptions, policy_code
from mlcfast.errors import UsageError
from mlcfast.registry import hint

BLANK_CELL = 2  # beside 1, 0 and −1, which stand for themselves
SHOWN = {0: "0", -1: "-1", BLANK_CELL: "blanks"}
ABSENT, UNKNOWN, UNCERTAIN = "absent", "unknown", "uncertain"
# What the numbers behind the images of a list are, which one split of it may leave open and another not.
LIST_OF_CLASSES, LIST_OF_FLAGS, LIST_OF_BOXES = 10, 11, 12
LISTED = {
    LIST_OF_CLASSES: "class numbers",
    LIST_OF_FLAGS: "a flag for each label",
    LIST_OF_BOXES: "boxes with their classes",
}


def meanings(held: frozenset[int], options: TableOptions) -> dict[int, str]:
    """What each of `held`, some of 0, −1 and BLANK_CELL, means in a file whose labels hold these beside 1.

    1 and 0, or 1 and −1: present and absent. 1, 0 and −1: 0 is unknown, −1 absent. With blanks beside 0 or −1 a blank
    is unknown; with blanks, 0 and −1 the −1 is uncertain, as in CheXpert, and so it is beside any of them where
    data.uncertain says what that means. Blanks alone beside 1 are absent.
    """
    blank, zero, minus = (code in held for code in (BLANK_CELL, 0, -1))
    uncertain = minus and ((blank and zero) or options.uncertain != TableOptions().uncertain)
    known = {
        0: UNKNOWN if minus and not uncertain else ABSENT,
        -1: UNCERTAIN if uncertain else ABSENT,
        BLANK_CELL: UNKNOWN if zero or minus else ABSENT,
    }
    return {code: known[code] for code in known if code in held}


def states_of(
    values: np.ndarray, names: Sequence[str], path: Path, options: TableOptions
) -> tuple[np.ndarray, list[str], frozenset[int]]:
    """States (M, K) of cells that hold 1, 0, −1 or BLANK_CELL, what was assumed, and which of them beside 1 there are.

    options.cells: those of the training file, by which another split is read.
    """
    held = frozenset(code for code in SHOWN if (values == code).any())
    means = meanings(held | options.cells, options)
    states = np.where(values == 1, 1, -1).astype(np.int8)
    for code in held:
        if means[code] == UNKNOWN:
            states[values == code] = 0
    said = ["0, -1 and blanks mean what they mean in the training file"] if options.cells else []
    if -1 in held and means[-1] == UNCERTAIN:
        policies, shown = _policies(names, path, options)
        states = np.where(values == -1, policies, states).astype(np.int8)
        others = [f"{word} is {means[code]}" for code, word in ((BLANK_CELL, "blank"), (0, "0")) if code in held]
        return states, [*said, ", ".join([*others, f"-1 is uncertain and taken as {shown} (data.uncertain)"])], held
    if held >= {0, -1}:
        return states, [*said, "0 is unknown, -1 absent"], held
    return states, [*said, *([f"a blank cell is {means[BLANK_CELL]}"] if BLANK_CELL in held else [])], held


def _policies(names: Sequence[str], path: Path, options: TableOptions) -> tuple[np.ndarray, str]:
    """What an uncertain label is taken as, (K,) int8, and in words; UsageError for a policy of no label."""
    if isinstance(options.uncertain, str | float):
        return np.full(len(names), policy_code(options.uncertain), np.int8), str(options.uncertain)
    given = {plain_label(name): policy for name, policy in options.uncertain.items()}
    strange = [name for name in given if name not in names]
    if strange:
        raise UsageError(f"{path}: data.uncertain: no label {strange[0]!r}{hint(strange[0], names)}")
    taken = [given.get(name, "unknown") for name in names]
    shown = ", ".join(f"{policy} for {name}" for name, policy in given.items())
    return np.array([policy_code(policy) for policy in taken], np.int8), f"{shown}, else as unknown"


def refuse_contradictions(
    path: Path,
    images: Sequence[str],
    lines: Sequence[int],
    names: Sequence[str],
    states: np.ndarray,
    stated: np.ndarray,
) -> None:
    """UsageError where two rows of an image say present and absent of a label.

    states: (M, K); stated: (M, K) bool, where a cell says something. Where each row of an image named again has one
    1, the table has a row for each label, and its rows are to be united.
    """
    first: dict[str, int] = {}
    rows_of: dict[int, list[int]] = {}
    for row, name in enumerate(map(plain_path, images)):
        if first.setdefault(name, row) != row:
            rows_of.setdefault(first[name], [first[name]]).append(row)
    if all((states[rows] == 1).sum(axis=1).tolist() == [1] * len(rows) for rows in rows_of.values()):
        return
    for rows in rows_of.values():
        present, absent = states[rows] == 1, (states[rows] == -1) & stated[rows]
        for label in np.flatnonzero(present.any(axis=0) & absent.any(axis=0)).tolist():
            has, lacks = (lines[rows[int(said[:, label].argmax())]] for said in (present, absent))
            unit = unit_of(path)
            raise UsageError(
                f"{path}: {unit} {has} says that {images[rows[0]]!r} has the label {names[label]!r}, {unit} {lacks} "
                "that it has not: write one row for each image"
            )


def read_by_training(
    read: Callable[[TableOptions], LabelSource],
    options: TableOptions,
    training: Callable[[], frozenset[int]] | None,
) -> LabelSource:
    """A split, by `read`; a list whose numbers may be two things has class numbers where the training file has them.

    training: gives what the training file holds, None for that file itself. UsageError as `read` raises it.
    """
    try:
        return read(options)
    except UsageError:
        told = frozenset() if training is None else training() & {LIST_OF_CLASSES}
        if not told:
            raise
    return read(replace(options, cells=told))


def as_in_training(
    source: LabelSource,
    training: frozenset[int],
    options: TableOptions,
    read_by: Callable[[frozenset[int]], LabelSource],
) -> LabelSource:
    """Another split whose cells mean what they mean in the training file, which holds those of `training`.

    read_by: reads it anew by such cells. A file that holds more than that of training keeps what its own cells say,
    with a warning. UsageError for one that holds less, where by the training file none of its labels would be absent:
    it could not be evaluated with. The numbers of a list are class numbers where those of the training file are.
    """
    numbers, known = (next((code for code in LISTED if code in held), None) for held in (source.cells, training))
    if numbers is not None and known is not None and numbers != known:
        if known == LIST_OF_CLASSES:
            return read_by(training)
        alike = "write a flag for each label here, too" if known == LIST_OF_FLAGS else "write both alike"
        raise UsageError(
            f"{source.path}: its numbers are read as {LISTED[numbers]}, those of the training file as {LISTED[known]}: "
            f"{alike}, or set data.separator to ' ' if all numbers of both are classes"
        )
    own, there = meanings(source.cells, options), meanings(training, options)
    differ = [code for code, word in own.items() if there.get(code, word) != word]
    if not differ:
        return source
    united = meanings(source.cells | training, options)
    keeps = all(united[code] == word for code, word in there.items())
    if keeps and ABSENT in {united[code] for code in own}:
        return read_by(source.cells | training)
    code, (here, elsewhere) = differ[0], (_listed(held) for held in (source.cells, training))
    word = "a blank cell" if code == BLANK_CELL else SHOWN[code]
    says = (
        f"{word} is {own[code]} in this file, which holds {here}, and {there[code]} in the training file, which holds "
        f"{elsewhere}: write both alike, -1 for absent and 0 for unknown"
    )
    says += ", or say with data.uncertain what -1 means" if {0, -1} <= source.cells | training else ""
    if keeps:
        raise UsageError(f"{source.path}: {says}")
    return replace(source, warnings=[*source.warnings, says])


def _listed(held: frozenset[int]) -> str:
    *first, last = ["1", *(word for code, word in SHOWN.items() if code in held)]
    return f"{', '.join(first)} and {last}"
