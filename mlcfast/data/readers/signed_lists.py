"""Lists without a header of images with 1, −1 and perhaps 0 for each label, as VireoFood-172 has its ingredients."""

from itertools import pairwise
from pathlib import Path

import numpy as np

from mlcfast.data.readers.cells import LIST_OF_FLAGS
from mlcfast.data.readers.class_names import names_beside
from mlcfast.data.readers.image_files import IMAGE_ENDINGS
from mlcfast.data.readers.sheet import read_text
from mlcfast.data.readers.source import LabelSource, TableOptions
from mlcfast.errors import UsageError

SIGNS = {"1": 1, "-1": -1, "0": 0}
LOOKED_AT = 1000  # lines


def is_signed_list(text: str) -> bool:
    """Whether each of the first lines is an image file and as many of 1, −1 and 0 as others, two or more, some −1.

    Where −1 stands at the end of lines alone, it may as well fill up a list of classes 0 and 1.
    """
    lines = [line.split() for line in text.splitlines()[:LOOKED_AT] if line.strip()]
    return (
        bool(lines)
        and len({len(words) for words in lines}) == 1
        and len(lines[0]) > 2
        and all(words[0].lower().endswith(IMAGE_ENDINGS) and {*words[1:]} <= {*SIGNS} for words in lines)
        and any(("-1", other) in pairwise(words[1:]) for words in lines for other in ("0", "1"))
    )


def read_signed_list(path: Path, options: TableOptions) -> LabelSource:
    """Read it: 1 is present, −1 absent, 0 unknown. The labels are named in the options or in a file beside it."""
    text, said = read_text(path)
    lines = [(number, line.split()) for number, line in enumerate(text.splitlines(), start=1) if line.strip()]
    given, counted = (list(options.label_columns), []) if options.label_columns else names_beside(path)
    count = len(lines[0][1]) - 1
    names = [name for name in given if name]
    if len(names) != count:
        held = f"{len(names)} names are given" if names else "nothing names them"
        raise UsageError(
            f"{path}: line {lines[0][0]}: {count} numbers say with 1, -1 and 0 which labels an image has, and {held}: "
            "name the labels in data.label_columns, or, one a line, in classes.txt beside the file"
        )
    states = np.zeros((len(lines), count), np.int8)
    for row, (number, words) in enumerate(lines):
        if len(words) != count + 1 or not {*words[1:]} <= {*SIGNS}:
            raise UsageError(f"{path}: line {number}: needs an image and {count} of 1, -1 and 0")
        states[row] = [SIGNS[word] for word in words[1:]]
    said = [*said, "1 is present, -1 absent" + (", 0 unknown" if (states == 0).any() else ""), *counted]
    images, numbers = [words[0] for _, words in lines], [number for number, _ in lines]
    kind = frozenset({LIST_OF_FLAGS})
    return LabelSource(path, "file_list", images, numbers, names, states, said, cells=kind).merged()
