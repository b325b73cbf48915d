"""MXNet's lists of images, `.lst`, as SageMaker takes them too: an index, numbers and the image, between tabs."""

import re
from pathlib import Path

from mlcfast.data.labels import from_lists
from mlcfast.data.readers.class_names import from_0, names_beside
from mlcfast.data.readers.image_files import IMAGE_ENDINGS
from mlcfast.data.readers.sheet import read_text
from mlcfast.data.readers.source import LabelSource, TableOptions, number_of_classes
from mlcfast.errors import UsageError

NUMBER = r"-?\d+(?:\.\d+)?(?:e-?\d+)?"
LINE = re.compile(rf"(\d+)((?:\t{NUMBER})+)\t([^\t]+)", re.IGNORECASE)
HEAD, BOX = 2, 5  # the least numbers that stand before an image's boxes, and of a box: its class and four corners


def is_record_list(text: str) -> bool:
    """Whether the first line is an index, numbers and an image file, between tabs."""
    first = next((line for line in text.splitlines() if line.strip()), "")
    line = LINE.fullmatch(first.strip())
    return line is not None and line[3].lower().endswith(IMAGE_ENDINGS)


def read_record_list(path: Path, options: TableOptions) -> LabelSource:
    """Read `index number… image`: one number is a class, several of 0 and 1 a flag for each, or they are boxes.

    Boxes follow two numbers that say how many stand before them and how many each has, its class the first. Names are
    those of `data.label_columns` or of classes.txt and its like beside the file, else the numbers. UsageError for
    other numbers, and for another number of names.
    """
    text, said = read_text(path)
    images, values, numbers = [], [], []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        entry = LINE.fullmatch(line.strip())
        if entry is None:
            raise UsageError(
                f"{path}: line {number}: {line[:60]!r} is not an index, numbers and an image, between tabs"
            )
        images.append(entry[3])
        values.append([float(value) for value in entry[2].split()])
        numbers.append(number)
    listed, count, shape = _classes(path, values, numbers)
    given, counted = names_beside(path) if not options.label_columns else (list(options.label_columns), [])
    given = [name for name in given if name] if "flag" in shape else given
    names = given or [str(number) for number in range(count)]
    if len(names) < count or ("flag" in shape and len(names) != count):
        raise UsageError(f"{path}: {len(names)} names for its labels, but the file holds {count}: name each once")
    names, listed = from_0(path, numbers, names, listed)
    states = from_lists(listed, len(names))
    said = [*said, f"MXNet's list of images: {shape}", *counted]
    return LabelSource(path, "file_list", images, numbers, names, states, said).merged()


def _classes(path: Path, values: list[list[float]], numbers: list[int]) -> tuple[list[list[int]], int, str]:
    """The classes of each image, how many classes there are, and what the numbers are taken for."""
    flags = {len(each) for each in values} == {max(len(values[0]), 2)}
    if flags and all(value in (0, 1) for each in values for value in each):
        listed = [[k for k, value in enumerate(each) if value] for each in values]
        return listed, len(values[0]), "a flag for each class"
    single = all(len(each) == 1 for each in values)
    held = [each if single else _boxed(each) for each in values]
    for number, each in zip(numbers, held, strict=True):
        if each is None or any(value < 0 or not value.is_integer() for value in each):
            says = "the number is no class number" if single else "its numbers are neither flags of 0 and 1 nor boxes"
            raise UsageError(
                f"{path}: line {number}: {says}: write a table of images and labels, `image,cat,dog` or `image,labels`"
            )
    listed = [list(dict.fromkeys(map(int, each or []))) for each in held]
    count = number_of_classes(path, [k for each in listed for k in each])
    return listed, count, "the number is a class" if single else "the classes of its boxes"


def _boxed(values: list[float]) -> list[float] | None:
    """The classes of an image's boxes; None where its numbers are none, whose corners are parts of the image's size."""
    if len(values) < HEAD or not all(value.is_integer() for value in values[:HEAD]):
        return None
    head, size = int(values[0]), int(values[1])
    if not HEAD <= head <= len(values) or size < BOX or (len(values) - head) % size:
        return None
    boxes = [values[place : place + size] for place in range(head, len(values), size)]
    return [box[0] for box in boxes] if all(0 <= part <= 1 for box in boxes for part in box[1:BOX]) else None
