"""Warnings of tables in which a few cells, or one column, decide what 0, −1 and a blank mean in all others."""

from collections.abc import Callable, Sequence

import numpy as np

from mlcfast.data.readers.cells import BLANK_CELL
from mlcfast.data.readers.source import TableOptions

# Some labels of CheXpert, whose −1 is uncertain, and of which programs have filled the blanks with 0.
CHEXPERT = {"atelectasis", "cardiomegaly", "consolidation", "edema", "pleural effusion"}
FEW = 10  # times as many blanks as zeros, of which the zeros may then be slips


def doubtful_cells(
    values: np.ndarray, states: np.ndarray, names: Sequence[str], place: Callable[[int], str], options: TableOptions
) -> list[str]:
    """Warnings of cells that may mean something else than they are read as.

    values: (M, K) of 1, 0, −1 and BLANK_CELL; states: (M, K) what they were read as; place: the line of a row. None
    where the user told what −1 means, or the training file decides.
    """
    if options.cells or options.uncertain != TableOptions().uncertain:
        return []
    held = {code: values == code for code in (1, 0, -1, BLANK_CELL)}
    count = {code: int(cells.sum()) for code, cells in held.items()}

    def first(code: int) -> str:
        row, column = np.argwhere(held[code])[0]
        return f"{place(int(row))}, column {names[column]!r}"

    if count[0] and count[-1] and not count[BLANK_CELL]:
        zeros, minuses = held[0].any(axis=0), held[-1].any(axis=0)
        one, other = np.flatnonzero(zeros & ~minuses), np.flatnonzero(minuses & ~zeros)
        if len(one) and len(other) and not (zeros & minuses).any():
            return [
                f"column {names[one[0]]!r} holds 0 and no -1, column {names[other[0]]!r} -1 and no 0, and 0 is read as "
                "unknown: write both alike, 0 for absent, or set data.uncertain if -1 is uncertain"
            ]
        if count[-1] < count[1] or {name.lower() for name in names} >= CHEXPERT:
            return [
                f"-1 stands in {count[-1]} cells, first {first(-1)}, and makes 0 unknown, in {count[0]}: if 0 is "
                "absent, say with data.uncertain what -1 is, by label where unknown, or mend cells that are slips"
            ]
    if count[0] and count[BLANK_CELL] and not count[-1] and FEW * count[0] <= count[BLANK_CELL] and count[0] < count[1]:
        return [
            f"0 stands in {count[0]} cells, first {first(0)}, and makes a blank unknown, in {count[BLANK_CELL]}: if a "
            "blank is absent, write 0 there too"
        ]
    return _without_negatives(states, names)


def _without_negatives(states: np.ndarray, names: Sequence[str]) -> list[str]:
    """A warning of labels that no image is known to lack, as all that do not have them are unknown, beside others."""
    absent, unknown = (states == -1).any(axis=0), (states == 0).any(axis=0)
    lacking = np.flatnonzero(~absent & unknown & (states == 1).any(axis=0))
    if not len(lacking) or not absent.any():
        return []
    more = f", nor {len(lacking) - 1} more" if len(lacking) > 1 else ""
    return [
        f"no image is known to be without {names[lacking[0]]!r}{more}, as all that do not have it are unknown: write 0 "
        "where it is absent"
    ]
