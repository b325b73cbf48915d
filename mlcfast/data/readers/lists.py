"""Label files without a header: lists of files with class numbers."""

import re
from pathlib import Path

from mlcfast.data.labels import from_lists
from mlcfast.data.readers.cells import LIST_OF_BOXES, LIST_OF_CLASSES, LIST_OF_FLAGS
from mlcfast.data.readers.class_names import from_0, names_file, names_in
from mlcfast.data.readers.comments import without_comments
from mlcfast.data.readers.image_files import IMAGE_ENDINGS
from mlcfast.data.readers.measures import doubt_of
from mlcfast.data.readers.sheet import read_text
from mlcfast.data.readers.source import LabelSource, TableOptions, number_of_classes
from mlcfast.errors import UsageError

BOXES = re.compile(r"(\s*\d+(\s+-?\d*\.?\d+(e-?\d+)?){4,}\s*)+")
FIVES = re.compile(r"\.\w+(\s+\d+(,\d+){4})*\s*$")
NAMED = re.compile(r"[^\s,;]+( +\d+)*")
KERAS = "_annotations.txt"  # as Roboflow calls a list of boxes for Keras
GROUPS = re.compile(r"(\s+\d+(,\d+)+){2}\s*$")


def is_class_list(text: str) -> bool:
    """Whether each of the first lines is an image and 1, 0 or −1, as in a list of one class of Pascal VOC."""
    lines = [line.split() for line in text.splitlines()[:1000] if line.strip()]
    return (
        bool(lines)
        and all(len(each) == 2 and each[1] in ("1", "0", "-1") for each in lines)
        and "-1" in {each[1] for each in lines}
    )


def is_file_list(text: str) -> bool:
    """Whether the first line that is no comment is an image file followed by whole numbers."""
    first = next((line for line in without_comments(text)[0].splitlines() if line.strip()), "")
    entry = _entry(first)
    return entry is not None and (bool(entry[1]) or not re.search("[,;\t]", entry[0]))  # `label,a.jpg` is a header


def refuse_without_endings(path: Path, text: str) -> None:
    """UsageError where each line is a name and whole numbers, and no name is that of an image file: `0001 0 2`."""
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), start=1) if line.strip()]
    if len(lines) > 1 and all(NAMED.fullmatch(line) for _, line in lines) and any(" " in line for _, line in lines):
        number, line = next((number, line) for number, line in lines if " " in line)
        name, behind = line.split(maxsplit=1)
        raise UsageError(
            f"{path}: line {number}: {line[:60]!r} names no image file: write its ending, as in "
            f"'{name}.jpg {behind[:60]}', or a table, `image,labels`, with a semicolon between labels"
        )


def _entry(line: str) -> tuple[str, list[int]] | None:
    text = line.strip()
    words = list(re.finditer(r"[^\s,]+", text))
    if not words or words[-1].end() != len(text):
        return None
    image = len(words) - 1
    while image and words[image][0].isdecimal():
        image -= 1
    name = text[: words[image].end()]
    if "," in name and text[len(name) :].lstrip().startswith(","):
        return None  # a row of a table
    return (name, [int(word[0]) for word in words[image + 1 :]]) if name.lower().endswith(IMAGE_ENDINGS) else None


def read_file_list(path: Path, options: TableOptions) -> LabelSource:
    """Read `image number …`: the numbers are classes, a flag for each class, or boxes `x,y,x,y,class` between blanks.

    They are flags where a comma stands behind the image, or where every line holds as many of 0 and 1 as there are
    names. Names are those of `data.label_columns`, or of NAME_FILES beside the file, else the numbers. UsageError where
    every line holds equally many of 0 and 1 and nothing tells which they are.
    """
    text, said = read_text(path)
    text, left = without_comments(text)
    said += left
    images, lists, numbers = [], [], []
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            entry = _entry(line) or _entry(line.rstrip(", \t\r"))  # `a.jpg,` has no label
            if entry is None:
                raise UsageError(f"{path}: line {number}: {line[:60]!r} is not an image followed by whole numbers")
            images.append(entry[0])
            lists.append(entry[1])
            numbers.append(number)
    named = None if options.label_columns else names_file(path)
    given, counted = names_in(named) if named else (list(options.label_columns), [])
    classes = LIST_OF_CLASSES in options.cells  # as in the training file
    boxes = not classes and _are_boxes(path, text, lists, given, options)
    said += _without_area(lists) if boxes else []
    lists = [list(dict.fromkeys(each[4::5])) for each in lists] if boxes else lists
    flags = (
        not boxes and not classes and _are_flags(path, lists, "," in text, [name for name in given if name], options)
    )
    plain = not boxes and not flags and options.separator is None
    if plain:
        _refuse_other_numbers(path, lists, numbers)
    warnings = _refuse_measures(path, lists, numbers) if plain and not given else []
    count = len(lists[0]) if flags else number_of_classes(path, [k for each in lists for k in each])
    given = [name for name in given if name] if flags else given
    names = given or [str(number) for number in range(count)]
    if flags and len(names) != count:
        raise UsageError(f"{path}: {len(names)} names for its labels, but the file holds {count} flags an image")
    if len(names) < count:
        _refuse_unnamed(path, lists, numbers, names, named.name if named else "data.label_columns")
    listed = [[k for k, flag in enumerate(each) if flag] for each in lists] if flags else lists
    names, listed = from_0(path, numbers, names, listed)
    states = from_lists(listed, len(names))
    warnings += _without_image(names, {k for each in listed for k in each}) if given else []
    shape = "the numbers are boxes, each with its class behind" if boxes else "the numbers are classes"
    shape = "a flag for each class" if flags else shape
    said = [*said, shape, *counted]
    kind = frozenset({LIST_OF_BOXES if boxes else LIST_OF_FLAGS if flags else LIST_OF_CLASSES})
    return LabelSource(path, "file_list", images, numbers, names, states, said, warnings, cells=kind).merged()


def _without_image(names: list[str], held: set[int]) -> list[str]:
    """Warnings of names that no image has; where the first is one, the numbers may count from 1."""
    unused = [name for k, name in enumerate(names) if k not in held][:5]
    warnings = [f"no image has the label {name!r}" for name in unused]
    if held and 0 not in held:
        warnings[0] += ", class 0: if the numbers count from 1, subtract 1 from each"
    return warnings


def _refuse_measures(path: Path, lists: list[list[int]], lines: list[int]) -> list[str]:
    """A warning of numbers that may be no classes; UsageError where that is so likely that it must be asked."""
    doubt = doubt_of(lists)
    if doubt is None:
        return []
    row = next(row for row, each in enumerate(lists) if each)
    shown = " ".join(map(str, lists[row]))
    says = doubt.of(f"line {lines[row]}: {shown!r}")
    if doubt.must_ask:
        raise UsageError(f"{path}: {says}, or name them in classes.txt beside the file; else write a table of labels")
    return [f"{says}, else write a table of the images and their labels"]


def _refuse_unnamed(path: Path, lists: list[list[int]], lines: list[int], names: list[str], where: str) -> None:
    """UsageError for the first line with a class that has no name; where: what the names stand in."""
    row = next(row for row, each in enumerate(lists) if max(each, default=-1) >= len(names))
    held = {number for each in lists for number in each}
    first = 0 if names[0] else 1  # see names_in
    count = f"{where} has {len(names) - first} names, for classes from {first} on"
    says = f"line {lines[row]}: class {max(lists[row])}, but {count}"
    remedy = "name it there, or mend the line"
    if max(held) == len(names) and 0 not in held and not first:
        remedy = "if the first name is class 1 here, subtract 1 from each number, else name the class there"
    raise UsageError(f"{path}: {says}: {remedy}")


def _are_flags(path: Path, lists: list[list[int]], comma: bool, given: list[str], options: TableOptions) -> bool:
    lengths = {len(each) for each in lists}
    alike = len(lengths) == 1 and min(lengths) > 1 and all(value in (0, 1) for each in lists for value in each)
    if not alike or options.separator is not None:
        return False
    if comma or len(given) == min(lengths):
        return True
    raise UsageError(
        f"{path}: line 1: 0 and 1 may be classes or a flag for each class: name the {min(lengths)} labels in "
        "data.label_columns, or in classes.txt beside the file, for flags, or set data.separator to ' ' for classes"
    )


def _refuse_other_numbers(path: Path, lists: list[list[int]], lines: list[int]) -> None:
    """UsageError where numbers are no list of classes: a count with boxes behind it, or a number twice in a line.

    `a.jpg 2 10 20 30 40 50 60 70 80`, as OpenCV takes it; flags of which one is 2; a colour, a type and a direction,
    which are classes of three kinds.
    """
    filled = [each for each in lists if each]
    counted = [size for size in (4, 5) if all(len(each) == 1 + size * each[0] for each in filled)]
    if counted and any(each[0] for each in filled):
        raise UsageError(
            f"{path}: line {lines[0]}: the first number says how many groups of {counted[0]} follow, so these are "
            "boxes: write a table, `image,xmin,ymin,xmax,ymax,class`, or set data.separator to ' ' if all are classes"
        )
    row = next((row for row, each in enumerate(lists) if len({*each}) < len(each)), None)
    if row is not None:
        twice = next(number for number in lists[row] if lists[row].count(number) > 1)
        raise UsageError(
            f"{path}: line {lines[row]}: the number {twice} stands twice, so these may be a flag for each label, "
            "numbers of several kinds, or boxes: write a table with a column for each, or set data.separator to ' ' if "
            "all are classes"
        )


def _are_boxes(path: Path, text: str, lists: list[list[int]], given: list[str], options: TableOptions) -> bool:
    """Whether the numbers are boxes, `left,top,right,bottom,class` between blanks, as keras-yolo3 lists them.

    Most must have an area: some are clipped or mirrored. UsageError where five numbers in every line may be five
    classes too, unless the names that are given or the file's own name tell, and where several groups of numbers, each
    with commas within, are no such boxes.
    """
    filled = [each for each in lists if each]
    fives, told = _in_fives(text), options.separator
    if not filled or (told is not None and told != " ") or (max(map(max, filled)) <= 1 and path.name != KERAS):
        return False
    if fives and (told or path.name == KERAS or _only_boxes_fit(filled, given)):
        return True
    grouped = next((place for place, line in enumerate(text.splitlines(), start=1) if GROUPS.search(line)), 0)
    if grouped and not fives:
        strange = next(n for n, line in enumerate(text.splitlines(), 1) if line.strip() and not FIVES.search(line))
        raise UsageError(
            f"{path}: line {strange}: not `image left,top,right,bottom,class …`, as line {grouped} has it: write each "
            "box as five whole numbers, or set data.separator to ',' if all numbers are classes"
        )
    whole = all(len(each) % 5 == 0 for each in filled)
    boxes = [each[place : place + 5] for each in filled for place in range(0, len(each), 5)] if whole else []
    if 2 * sum(map(_has_area, boxes)) <= len(boxes):
        if not fives:
            return False
        if grouped:
            raise UsageError(
                f"{path}: line {grouped}: fives of numbers, of which most are no boxes `left,top,right,bottom,class`: "
                "set data.separator to ' ' if they are all the same, to ',' if all numbers are classes"
            )
    if fives and any(len(each) > 5 for each in filled):
        return True
    if told or not (fives or all(map(_has_area, boxes))):
        return False
    raise UsageError(
        f"{path}: line 1: each five numbers may be classes or a box and its class: set data.separator to ',' for "
        "classes" + (", to ' ' for boxes" if fives else "; of boxes write a table, `image,xmin,ymin,xmax,ymax,class`")
    )


def _has_area(box: list[int]) -> bool:
    return box[0] < box[2] and box[1] < box[3]


def _only_boxes_fit(filled: list[list[int]], given: list[str]) -> bool:
    """Whether there are names for the fifth numbers, and not for all."""
    return 0 < len(given) <= max(map(max, filled)) and max(max(each[4::5], default=-1) for each in filled) < len(given)


def _without_area(lists: list[list[int]]) -> list[str]:
    """What is said of boxes that are clipped to nothing or mirrored."""
    boxes = [each[place : place + 5] for each in lists for place in range(0, len(each), 5)]
    flat = sum(not _has_area(box) for box in boxes)
    return [f"{flat} of {len(boxes)} boxes end before they begin: their classes count"] if flat else []


def _in_fives(text: str) -> bool:
    """Whether blanks stand between fives of numbers, and commas within them."""
    return all(FIVES.search(line) for line in text.splitlines() if line.strip())


def from_tags(path: Path, form: str, images: list[str], tags: list[list[str]], said: list[str]) -> LabelSource:
    """The source of M images with their lists of labels; labels are sorted, what is not listed is absent."""
    tags = [[tag for tag in each if tag] for each in tags]
    names = sorted({tag for each in tags for tag in each})
    column = {name: position for position, name in enumerate(names)}
    states = from_lists([[column[tag] for tag in each] for each in tags], len(names))
    return LabelSource(path, form, images, list(range(1, len(images) + 1)), names, states, said)
