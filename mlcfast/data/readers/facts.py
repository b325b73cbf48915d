"""Columns of 1 and 0 that may be no labels, as they are called as facts of an image, or of the work on it."""

from collections.abc import Sequence

from mlcfast.data.readers.columns import is_about, is_called, plain_column, words_of
from mlcfast.data.readers.words import (
    AROUND_PARTS,
    AROUND_WORK,
    BEHIND_IS,
    LIST_COLUMNS,
    MAY_BE_ABOUT,
    OF_JUDGEMENT,
    OF_PEOPLE,
    OF_TIMES,
    OF_WORK,
    PATTERNS,
    SPLIT_FOLDERS,
    TIMES_OF_DAY,
    VEHICLES,
)

LEAST_LETTERS = 3  # names of one letter, of which x and y are then labels as others are
# Words that may be labels as well, and those that make them labels by standing beside them.
COMPANY = {"train": VEHICLES, "day": TIMES_OF_DAY, "checked": PATTERNS}


def is_of_work(name: str) -> bool:
    """Whether a column is called as one that says how far the work on an image is: `is_labelled`, `checked by`."""
    words = words_of(name)
    left = [word for word in words if word not in AROUND_WORK]
    if words == ["read"] or not words:
        return False
    if not left:  # `has_labels`
        return words[0] == "has"
    return left[1:] == [] and (left[0] in OF_WORK or (words[0] in ("is", "was") and left[0] in BEHIND_IS))


def is_of_part(name: str) -> bool:
    """Whether a column is called as one that says which part of the data an image is in: `in_test_set`, `training`."""
    words = words_of(name)
    parts = [word for word in words if word in SPLIT_FOLDERS]
    return words != ["train"] and len(parts) == 1 and all(word in AROUND_PARTS for word in words if word not in parts)


def may_be_fact(name: str, header: Sequence[str]) -> bool:
    """Whether a column is called as a fact of the image, of how sure someone was, of the work on it or of its time.

    header: the names of all columns, of which some tell that it is a label: `checked` beside `striped`.
    """
    company = COMPANY.get(name.lower(), frozenset())
    if not company.isdisjoint(each.lower() for each in header):
        return False
    called = is_about(name) or is_called(name, OF_JUDGEMENT) or is_called(name, OF_PEOPLE - MAY_BE_ABOUT)
    counts = name.lower() == "n" and sum(len(each) == 1 for each in header) == 1  # `Y` and `N` are answers
    return called or counts or plain_column(name) in OF_TIMES or is_of_work(name) or is_of_part(name)


def may_be_facts(names: Sequence[str]) -> list[str]:
    """A warning of labels that may say something else of the image: `frame`, or `label` beside others."""
    known = {name.lower() for name in names}
    letters = sum(len(name) == 1 for name in known) >= LEAST_LETTERS
    found = [name for name in names if name.lower() in MAY_BE_ABOUT and not (letters and len(name) == 1)]
    found = [name for name in found if known.isdisjoint(COMPANY.get(name.lower(), ()))]
    found += [name for name in names if len(names) > 1 and is_called(name, (*LIST_COLUMNS, "positive"))]
    shown, several = ", ".join(map(repr, found)), len(found) > 1
    said = f"columns {shown} are read as labels: if one" if several else f"column {shown} is read as a label: if it"
    return [f"{said} is none, name it in data.ignore_columns"] if found else []
