"""LabelSource, which every reader of labels returns, and TableOptions, what a user may tell a reader."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from mlcfast.data.labels import (
    Labels,
    SparseLabels,
    absent_as_zero,
    dense_rows,
    holds,
    pairs,
    placed,
    rows_at_once,
    soft_code,
    sparse_like,
    stacked,
)
from mlcfast.data.packed import PackedImages
from mlcfast.data.readers.paths import plain_path, unit_of
from mlcfast.errors import UsageError
from mlcfast.registry import hint

BLANK = {"", "nan", "na", "n/a", "null", "none", "#n/a", "<na>", "\\n"}  # cells without content, in lower case
POLICIES = {"unknown": 0, "positive": 1, "negative": -1}  # what an uncertain label may be taken as
MOST_CLASSES = 2**17  # for which a label matrix is made: a class number beyond it is a slip or worse


@dataclass(frozen=True)
class TableOptions:
    """What a user may say about a table where it could be read in several ways; None and empty leave it to the reader.

    image_column: the column of image files; label_columns: the columns that are labels, all others are then ignored;
    ignore_columns: columns that are no labels; separator: between the labels of a list column; uncertain: what −1
    means in a file that also holds 0 and blanks, see policy_code, or that by label, those not named being unknown;
    allow_outside: images may lie outside the root; split_column, group: columns that say which part of the data an
    image is in, and with which others it belongs together; form: the format by its name in `registry.FORMATS`, or auto;
    cells: what the labels of the training file hold beside 1, by which another split is read, see
    mlcfast.data.readers.cells.
    """

    image_column: str | None = None
    label_columns: tuple[str, ...] = ()
    ignore_columns: tuple[str, ...] = ()
    separator: str | None = None
    uncertain: str | float | Mapping[str, str | float] = "unknown"
    allow_outside: bool = False
    split_column: str | None = None
    group: str | None = None
    form: str = "auto"
    cells: frozenset[int] = frozenset()


@dataclass(frozen=True)
class LabelSource:
    """Labels as a file states them.

    format: the name of its shape; images: M image files as written; lines: (M,) where each stands in the file, counted
    as a spreadsheet does; names: the K labels; states: (M, K) int8, 1 positive, −1 negative, 0 unknown, a soft label by
    its code, sparse where that saves much (mlcfast.data.labels); assumptions: what the reader took for granted;
    warnings: what a user should look at; columns: the M cells of those columns that the options name and that are
    neither image nor label; root: where the images are, where the reader knows it; split: the part of the data, "" for
    the whole; packed: the M images where they lie inside the file, in which case unpack writes them to files of their
    own and returns their paths; cells: which of 0, −1 and 2, a blank, the labels hold beside 1, where their meaning
    depends on that, or what the numbers of a list are, see mlcfast.data.readers.cells; blank: columns that hold nothing
    and are no labels here, but may be in another split; also: what the K labels are called otherwise, the ids that
    the file has in place of their names or names that are in doubt, see mlcfast.data.readers.name_tables;
    header: of a table with one column of labels the names of its columns, that one's first.
    """

    path: Path
    format: str
    images: list[str]
    lines: Sequence[int]
    names: list[str]
    states: Labels
    assumptions: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    columns: dict[str, list[str]] = field(default_factory=dict)
    root: Path | None = None
    split: str = ""
    unpack: Callable[[], list[str]] | None = None
    packed: PackedImages | None = None
    cells: frozenset[int] = frozenset()
    blank: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    header: tuple[str, ...] = ()

    def column(self, name: str, option: str) -> list[str]:
        """The M cells of a column that `option` names; UsageError where the file has none, or one without content."""
        if name not in self.columns:
            raise UsageError(
                f"{self.path}: {option}: a file of this kind ({self.format}) has no column {name!r}"
                f"{hint(name, self.columns)}"
            )
        cells = self.columns[name]
        blank = next((row for row, cell in enumerate(cells) if cell.lower() in BLANK), None)
        if blank is not None:
            held = f"holds {cells[blank]!r}" if cells[blank] else "is blank"
            where = f"{self.path}: {self.unit} {self.lines[blank]}: {option}: column {name!r} {held}"
            raise UsageError(f"{where}: fill it in, or take the row out")
        return cells

    @property
    def unit(self) -> str:
        """What `lines` counts, in a word; see unit_of."""
        return unit_of(self.path)

    @property
    def labels(self) -> Labels:
        """(M, K) int8 as training takes them: with unknown labels 1, 0 unknown, −1 negative; without 1 and 0."""
        return self.states if holds(self.states, 0) else absent_as_zero(self.states)

    def taken(self, rows: Sequence[int], split: str) -> "LabelSource":
        """The images of some rows, as a split of that name."""
        return replace(
            self,
            images=[self.images[row] for row in rows],
            lines=[self.lines[row] for row in rows],
            states=self.states[list(rows)],
            columns={name: [cells[row] for row in rows] for name, cells in self.columns.items()},
            split=split,
        )

    def merged(self) -> "LabelSource":
        """The same with one row an image: an image named again gets the union of its positives, with a warning.

        `./a.jpg` and `a.jpg` are one image: see plain_path.
        """
        first: dict[str, int] = {}
        rows = [first.setdefault(plain_path(image), row) for row, image in enumerate(self.images)]
        if len(first) == len(self.images):
            return self
        kept = sorted(first.values())
        place = {row: number for number, row in enumerate(kept)}
        merged = [(row, place[target]) for row, target in enumerate(rows) if row != target]
        states = _merged(self.states, kept, merged)
        again = next(row for row, target in enumerate(rows) if row != target)
        count = len(self.images) - len(kept)
        where = "" if self.path.is_dir() else f" in {self.unit} {self.lines[again]}"
        warning = f"{count} rows name an image again, first {self.images[again]!r}{where}: merged"
        images, lines = [self.images[row] for row in kept], [self.lines[row] for row in kept]
        return replace(self, images=images, lines=lines, states=states, warnings=[*self.warnings, warning])

    def in_order(self, names: list[str] | None) -> "LabelSource":
        """The labels in another split's order; UsageError for a label that is not among `names`.

        One whose column is blank here is unknown. Where the other split calls the labels as `also` does, so does this.
        """
        if names is None or names == self.names:
            return self
        if len({*self.also} - {*names}) < len({*self.names} - {*names}) and self.also:
            return replace(self, names=list(self.also), also=()).in_order(names)
        left = {*names} & {*self.blank} - {*self.names}
        differ = sorted(set(names) ^ {*self.names, *left})
        if self.format in ("wide", "attributes") and differ:
            lacks = differ[0] not in self.names
            says = "is none of them, and is one" if lacks else "is one of them, and is none"
            near = hint(differ[0], differ[1:])
            if not near and not lacks:
                near = ": if its column is blank there, name all labels in data.label_columns"
            differs = f"the label columns differ from those of the training file: {differ[0]!r} {says} there"
            raise UsageError(f"{self.path}: {differs}{near}")
        column = {name: position for position, name in enumerate(names)}
        for position, name in enumerate(self.names):
            if name not in column:
                has_it, label = pairs(self.states)
                row = int(has_it[label == position][0]) if (label == position).any() else 0
                where = (
                    repr(self.images[row]) if self.path.is_dir() and self.images else f"{self.unit} {self.lines[row]}"
                )
                says = f"{self.path}: {where} has the label {name!r}, which is not in the training file"
                raise UsageError(f"{says}{_several(name, names) or hint(name, names)}")
        fill = 0 if left or holds(self.states, 0) else -1
        states = placed(self.states, [column[name] for name in self.names], len(names), fill)
        return replace(self, names=list(names), states=states, also=())


def _several(name: str, names: Sequence[str]) -> str:
    """What to say of a label that is several of `names` with a sign between; "" for another."""
    for sign in (" ", ",", ";", "|"):
        if sign in name and {piece.strip() for piece in name.split(sign)} <= {*names}:
            return f", but {name.split(sign)[0].strip()!r} is: set data.separator to {sign!r} if these are several"
    return ""


def policy_code(policy: str | float) -> int:
    """What an uncertain entry holds under a policy: a key of POLICIES, or the value of a soft label, also as text.

    ValueError, which lists what there is, for another one.
    """
    try:
        return POLICIES[policy] if policy in POLICIES else soft_code(float(policy))
    except ValueError:
        known = ", ".join(POLICIES)
        raise ValueError(f"{policy!r} is none of {known}, nor a value of 0.01 to 0.99 in hundredths") from None


def number_of_classes(path: Path, classes: Sequence[int]) -> int:
    """One more than the largest of the classes, which count from 0; UsageError, which names the path, beyond reason."""
    largest = max(classes, default=-1)
    if largest >= MOST_CLASSES:
        raise UsageError(f"{path}: class {largest}: at most {MOST_CLASSES} classes without names are read")
    return 1 + largest


def _merged(states: Labels, kept: Sequence[int], merged: Sequence[tuple[int, int]]) -> Labels:
    """The rows `kept`, and in them also what each row of `merged` says of the one at its place among them."""
    held = states[np.asarray(kept, np.int64)]
    if not isinstance(held, SparseLabels):
        for row, place in merged:
            merge_states(held[place], dense_rows(states, np.array([row]))[0])
        return held
    others: dict[int, list[int]] = {}
    for row, place in merged:
        others.setdefault(place, []).append(row)
    places, size = sorted(others), rows_at_once(held.width)
    parts = [held]
    for start in range(0, len(places), size):
        matrix = held.dense(places[start : start + size])
        for target, place in zip(matrix, places[start : start + size], strict=True):
            for row in dense_rows(states, np.array(others[place])):
                merge_states(target, row)
        parts.append(sparse_like(held, matrix))
    order = np.arange(len(held))
    order[places] = len(held) + np.arange(len(places))
    return stacked(parts)[order]


def merge_states(target: np.ndarray, other: np.ndarray) -> None:
    """Write into `target` what both say, arrays of states: present if either does, else soft, absent or unknown."""
    soft = np.maximum(target, other)
    hard = np.where((target == 1) | (other == 1), 1, np.where((target == -1) | (other == -1), -1, 0))
    target[:] = np.where((soft > 1) & (hard < 1), soft, hard)
