"""A list column of Arrow files as labels, without a Python object for each entry.

The columns beside it are read as a table's, so that what holds the images and what the labels is decided as for any
table; the lists alone take this way. What only the table's reader can tell apart, or must refuse, is left to it.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from mlcfast.data.labels import Labels, from_runs
from mlcfast.data.readers.columns import (
    image_column,
    labels_first,
    refuse_blank_images,
    with_folders,
)
from mlcfast.data.readers.flags import flags_beside
from mlcfast.data.readers.listed import natural_order, of_blanks
from mlcfast.data.readers.marked import marked, may_say_none, sentence_among
from mlcfast.data.readers.sheet import Sheet
from mlcfast.data.readers.source import BLANK, LabelSource, TableOptions
from mlcfast.data.readers.tables import shape_of, told_columns, with_told_columns
from mlcfast.data.readers.words import BROKEN, ENTITY, NO_LABEL

FLAGS = set("01 \t\n,;|'\"[]()")  # a table's reader asks whether such cells are classes or a flag for each
CELL = '["·"]'  # stands for every list while the columns are told apart: none is a file, a flag or a class number


def read_list_column(
    sheet: Sheet, lists: Mapping[str, Iterable[Any]], classes: Mapping[str, Sequence[str]], options: TableOptions
) -> LabelSource | None:
    """The source of a table whose list column is one of `lists`; None where the table's own reader has to decide.

    sheet: the table with CELL in the columns of `lists`; lists: by column, the chunks that hold its M lists, Arrow's
    ListArrays; classes: the names of a column's classes, where its numbers stand for some.
    """
    if len(options.label_columns) > 1 or options.separator is not None:
        return None
    image, told = image_column(sheet, options), told_columns(sheet, options)
    refuse_blank_images(sheet, image)
    sheet, folders = with_folders(sheet, image, options)
    others = [i for i, _ in enumerate(sheet.header) if i not in (image, *folders, *told.values())]
    _, column = shape_of(sheet, image, others, options)
    if column is None or sheet.header[column] not in lists:
        return None
    name = sheet.header[column]
    found = _labels(lists[name], classes.get(name), len(sheet.rows))
    if found is None:
        return None
    states, names, more, warnings = found
    said = [*sheet.assumptions, f"column {name!r} lists the labels", *more]
    left = [own for i, own in enumerate(sheet.header) if i not in (image, column, *told.values()) and own]
    said += [f"columns that are no labels: {', '.join(left)}"] if left else []
    warnings += [*may_say_none(names), *flags_beside(sheet, column, others, options)]
    images = [row[image] for row in sheet.rows]
    parts = (sheet.path, "list", images, sheet.numbers, names, states, said, warnings)
    source = LabelSource(*parts, header=labels_first(sheet, column)).merged()
    return with_told_columns(source, sheet, image, told, options)


def _labels(
    chunks: Iterable[Any], classes: Sequence[str] | None, count: int
) -> tuple[Labels, list[str], list[str], list[str]] | None:
    """States (M, K) and names of the labels, sorted, and what is said and warned of lists without any.

    None for values that may be flags or something else than labels, words for no label beside others, and class
    numbers without a name.
    """
    parts, blank = [], 0
    for chunk in chunks:
        parts.append(_numbered(chunk))
        blank += chunk.null_count
    unfilled = sum(int((counts == 0).sum()) for counts, _, _ in parts)
    texts = sorted({text for _, _, words in parts for text in words if text is not None})
    if classes is None and not set("".join(texts)) - FLAGS:
        return None
    if classes is not None:
        if not all(text.lstrip("-").isdecimal() and -1 <= int(text) < len(classes) for text in texts):
            return None
        named = {text: "" if int(text) < 0 else classes[int(text)].strip() for text in texts}  # −1: not annotated
    else:
        named = {text: text.strip() for text in texts}
    dropped = {text for text in texts if not named[text] or (classes is not None and int(text) < 0)}
    nothing = {text for text in texts if named[text].lower() in NO_LABEL | BLANK} - dropped
    broken = any(BROKEN.search(text) or ENTITY.search(text) for text in texts)
    found = dict.fromkeys((named[text] for text in texts if text not in dropped | nothing), 1)
    if broken or marked(found.keys()) or (classes is None and sentence_among(found)):
        return None
    names = sorted({named[text] for text in texts if text not in dropped | nothing}, key=natural_order)
    place = {own: number for number, own in enumerate(names)}
    code = (
        {text: place.get(named[text], -1) for text in texts} | dict.fromkeys(nothing, -2) | dict.fromkeys(dropped, -1)
    )
    runs, without = [], 0
    parts.reverse()
    while parts:  # each is let go of when its entries are known
        counts, numbers, words = parts.pop()
        columns = np.array([-1 if word is None else code[word] for word in words], np.int32)[numbers]
        rows = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
        kept = columns >= 0
        empty = np.unique(rows[columns == -2])
        if len(empty) and np.isin(rows[kept], empty).any():
            return None
        without += len(empty)
        runs.append((np.bincount(rows[kept], minlength=len(counts)), columns[kept]))
    said, warnings = of_blanks(blank, unfilled - blank + without)
    said = [*([f"{named[min(nothing)]!r} is taken as no label, in {without} rows"] if nothing else []), *said]
    return from_runs(runs, (count, len(names))), names, said, warnings


def _numbered(chunk: Any) -> tuple[np.ndarray, np.ndarray, list[str | None]]:
    """How long each list of a chunk is, the number of the word of each entry, and the words, None for a null."""
    import pyarrow.compute as compute

    lengths = compute.fill_null(compute.list_value_length(chunk), 0).to_numpy(zero_copy_only=False)
    encoded = compute.list_flatten(chunk)
    if not hasattr(encoded, "dictionary"):
        encoded = encoded.dictionary_encode(null_encoding="encode")
    words = [None if word is None else _word(word) for word in encoded.dictionary.to_pylist()]
    numbers = compute.fill_null(encoded.indices, len(words)).to_numpy(zero_copy_only=False)
    return lengths, numbers, [*words, None]


def _word(value: Any) -> str:
    return str(int(value)) if isinstance(value, bool | int) else str(value)
