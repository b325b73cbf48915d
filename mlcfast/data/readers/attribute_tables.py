"""Tables of attributes without a header of columns: CelebA's, whose second line names them, and DeepFashion's."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mlcfast.data.readers.cells import refuse_contradictions
from mlcfast.data.readers.sheet import read_text
from mlcfast.data.readers.source import LabelSource
from mlcfast.errors import UsageError

DEEP_FASHION = ["image_name", "attribute_labels"]  # in place of names, which stand in the file NAMED_IN beside it
NAMED_IN = "list_attr_cloth.txt"


def is_attribute_table(text: str) -> bool:
    """Whether a text is one of them: a line with the number of images, one of names, then rows of 1 and −1."""
    lines = text.splitlines()
    counted = re.fullmatch(r"[1-9]\d*", lines[0].strip()) if len(lines) > 2 else None  # `0001` is an image
    return counted is not None and bool(re.search(r"\s-?1(\s|$)", lines[2]))


def read_attribute_table(path: Path) -> LabelSource:
    """Read CelebA's list_attr form, where 1 is present and −1 absent, or DeepFashion's, where 0 is unknown, too.

    UsageError for a row with another number of values, and where DeepFashion's names are not beside its table.
    """
    text, said = read_text(path)
    lines = text.splitlines()
    named = lines[1].split()
    fashion = named == DEEP_FASHION
    names = _names_beside(path, lines[2].split()[1:]) if fashion else named
    values_of = {"1": 1, "-1": -1, **({"0": 0} if fashion else {})}
    images, states, numbers = [], [], []
    for number, line in enumerate(lines[2:], start=3):
        image, *values = line.split() or [""]
        if not image:
            continue
        if len(values) != len(names) or any(value not in values_of for value in values):
            raise UsageError(f"{path}: line {number}: {len(names)} values of 1 or -1 must follow the image")
        images.append(image)
        states.append(np.array([values_of[value] for value in values], np.int8))
        numbers.append(number)
    matrix = np.stack(states)
    refuse_contradictions(path, images, numbers, names, matrix, matrix != 0)
    said += [f"the labels are named in {NAMED_IN}"] if fashion else []
    said.append("-1 is absent, 0 unknown" if (matrix == 0).any() else "-1 is absent")
    return LabelSource(path, "attributes", images, numbers, names, matrix, said).merged()


def _names_beside(path: Path, values: Sequence[str]) -> list[str]:
    """The names of DeepFashion's attributes in the file beside their table: a line each, with its kind behind blanks.

    values: those of the first image. UsageError where there are not as many names.
    """
    file = path.parent / NAMED_IN
    if not file.is_file():
        raise UsageError(
            f"{path}: DeepFashion's, whose {len(values)} attributes are named in {NAMED_IN}: put that file beside it"
        )
    lines = [line.split() for line in read_text(file)[0].splitlines()[2:] if line.strip()]
    names = [" ".join(words[:-1]) for words in lines]
    if len(names) != len(values) or not all(names):
        raise UsageError(f"{file}: {len(names)} names, one a line with its kind behind it, of {len(values)} attributes")
    return names
