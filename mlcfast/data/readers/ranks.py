"""Columns that name an animal's or a plant's place among all, of which each may be the label: class, order, family."""

from collections.abc import Sequence

from mlcfast.data.readers.columns import is_called, truth_share
from mlcfast.data.readers.sheet import Sheet
from mlcfast.data.readers.source import TableOptions
from mlcfast.data.readers.words import KINDS, RANKS
from mlcfast.errors import UsageError

LEAST = 3  # columns called as ranks are, of which one alone is called as one of labels


def refuse_ranks(sheet: Sheet, others: Sequence[int], options: TableOptions) -> None:
    """UsageError where a column `class` stands beside `order` and `family`, and nobody said which holds the labels."""
    if options.label_columns:
        return
    ranks = [sheet.header[i] for i in others if is_called(sheet.header[i], RANKS) and truth_share(sheet, i) < 0.5]
    own = next((name for name in ranks if name.lower() == "class"), None)
    if own is None or len(ranks) < LEAST or own in options.ignore_columns:
        return
    beside = ", ".join(repr(name) for name in ranks if name != own)
    kinds = [sheet.header[i] for i in others if is_called(sheet.header[i], KINDS)]
    shown = ", ".join(f"[{name}]" for name in [own, *kinds])
    raise UsageError(
        f"{sheet.path}: column {own!r} stands beside {beside}, as ranks of animals and plants do: set "
        f"data.label_columns to the one that holds the labels, {shown}"
    )
