"""A text file of tags beside each image, held to what a table's column of lists is held to."""

import dataclasses
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from mlcfast.data.readers.image_files import images_below
from mlcfast.data.readers.lists import BOXES, from_tags
from mlcfast.data.readers.marked import (
    WORDS_OF_SENTENCES,
    below_zero,
    marked,
    may_say_none,
    none_among,
    sentence_among,
)
from mlcfast.data.readers.measures import doubt_of
from mlcfast.data.readers.separators import SIGNS, separator_of
from mlcfast.data.readers.sheet import Sheet, read_text
from mlcfast.data.readers.source import LabelSource, TableOptions
from mlcfast.errors import UsageError

PLAIN = ",\n"  # what stands between tags unless the files show something else
FLAGS = re.compile(r"[01]([\s,;]+[01])*")
# Four numbers and more, of which one is beyond 1, before something else, `108 225 132 0 "F"`.
MEASURED = re.compile(r"(?=.*\d\d|.*[2-9])(-?\d+(\.\d+)?[\s,;]+){4}\S")
POINTS = re.compile(r"(-?\d+(\.\d+)?[ \t]+-?\d+(\.\d+)?\s*\n)+\s*-?\d+(\.\d+)?[ \t]+-?\d+(\.\d+)?\s*")  # two a line
TAGS_ALONE = "write the tags alone, or a table of the images and their labels, or set data.separator if they are tags"
WORD = re.compile(r"[^\W_]")


def text_beside(image: Path) -> Path | None:
    """The text file of an image: `a.txt`, or `a.jpg.txt`, else `a.caption`; None without. UsageError for both."""
    found = [file for file in (image.with_suffix(".txt"), image.with_name(f"{image.name}.txt")) if file.is_file()]
    if len(found) > 1:
        raise UsageError(f"{found[0]}: and {found[1].name} beside it are of one image: keep one of them")
    caption = image.with_suffix(".caption")
    return found[0] if found else caption if caption.is_file() else None


def read_tag_files(folder: Path, options: TableOptions) -> LabelSource:
    """Read a text file of tags beside each image, separated by commas and line breaks; images without one have none.

    Where no file holds these, another sign of lists or blanks may separate them, by the evidence that a column of lists
    would need. UsageError, which names the file, for what may be one label or several, flags, marks and scores.
    """
    images = images_below(folder)
    beside = {image: file for image in images if (file := text_beside(image)) is not None}
    texts = {file: read_text(file)[0].strip() for file in beside.values()}
    boxes = next((file for file, text in texts.items() if BOXES.fullmatch(text)), None)
    if boxes is not None:
        raise UsageError(f"{boxes}: boxes of YOLO, not tags: data.format=yolo reads them")
    measured = next((file for file, text in texts.items() if MEASURED.match(text)), None)
    if measured is not None and options.separator is None:
        line = texts[measured].splitlines()[0][:60]
        raise UsageError(
            f"{measured}: {line!r} begins with numbers, as boxes and measures do, and not tags: {TAGS_ALONE}"
        )
    sign, why = (options.separator, "") if options.separator else _sign(folder, texts)
    found = {file: _tags(text, sign) for file, text in texts.items()}
    found, more = _without_no_label(found)
    warnings = [] if options.separator else _refuse_facts(texts, found)
    names = {name for each in found.values() for name in each}
    doubt = (marked if options.separator is None else below_zero)({name for name in names if WORD.search(name)})
    if doubt is not None:
        raise UsageError(f"{_first(found, doubt[0])}: {doubt[0]!r} {doubt[1]}")
    tags = [found[beside[image]] if image in beside else [] for image in images]
    deep = next((image for image in images if image.parent != folder), None)
    said = [f"the text file beside an image lists its labels{why}", *more]
    lacking = len(images) - len(beside)
    said += [f"{lacking} images have no text file, and so no label"] if lacking else []
    said += [f"the names of folders, such as {deep.parent.relative_to(folder)}, say nothing"] if deep else []
    source = from_tags(folder, "tag_files", [str(image.relative_to(folder)) for image in images], tags, said)
    prose = next((name for name in source.names if len(name.split()) >= WORDS_OF_SENTENCES), None)
    warnings += [f"{prose!r} may be a caption's words, which are no labels"] if prose else []
    return dataclasses.replace(source, warnings=[*warnings, *may_say_none(source.names)])


def _refuse_facts(texts: Mapping[Path, str], found: Mapping[Path, Sequence[str]]) -> list[str]:
    """A warning of numbers that may be no classes; UsageError where they, points or captions are meant more likely.

    texts: of each file; found: the tags in it.
    """
    points = next((file for file, text in texts.items() if POINTS.fullmatch(text)), None)
    if points is not None and all(POINTS.fullmatch(text) for text in texts.values() if text):
        line = texts[points].splitlines()[0][:60]
        raise UsageError(
            f"{points}: {line!r} and the lines below are numbers, as points are, and not tags: {TAGS_ALONE}"
        )
    sentence = sentence_among(Counter(name for names in found.values() for name in {*names}))
    if sentence:
        raise UsageError(
            f"{_first(found, sentence)}: {sentence!r} and others like it may be captions or texts in the images, which "
            f"are no labels: {TAGS_ALONE}"
        )
    if not all(name.isdecimal() for names in found.values() for name in names):
        return []
    doubt = doubt_of([[*map(int, names)] for names in found.values()])
    if doubt is None:
        return []
    file, names = next((file, names) for file, names in found.items() if names)
    says = doubt.of(repr(" ".join(names)))
    if doubt.must_ask:
        raise UsageError(f"{file}: {says}, else name the file of the labels")
    return [f"{file.name}: {says}"]


def _tags(text: str, sign: str) -> list[str]:
    pieces = text.split() if sign == " " else re.split(f"[{PLAIN}]" if sign in PLAIN else f"{re.escape(sign)}|\n", text)
    return list(dict.fromkeys(tag.strip() for tag in pieces if tag.strip()))


def _first(found: Mapping[Path, Sequence[str]], name: str) -> Path:
    return next(file for file, names in found.items() if name in names)


def _sign(folder: Path, texts: Mapping[Path, str]) -> tuple[str, str]:
    """What separates the tags, and the words that say so where it is neither a comma nor a line break."""
    filled = {file: text for file, text in texts.items() if text}
    for file, text in filled.items():
        if text[0] + text[-1] in ("[]", "{}"):
            raise UsageError(f"{file}: {text[:60]!r} is a list in brackets: write the tags alone, a comma between them")
    lengths = {len(re.findall("[01]", text)) for text in filled.values() if FLAGS.fullmatch(text)}
    if filled and len(lengths) == 1 and all(FLAGS.fullmatch(text) for text in filled.values()):
        file, text = next(iter(filled.items()))
        raise UsageError(
            f"{file}: {text!r} may be classes or a flag for each label: write the names of those that are present, or "
            f"set data.separator to {',' if ',' in text else ' '!r} for classes"
        )
    plain = any(sign in text for text in filled.values() for sign in PLAIN)
    others: dict[str, Path] = {}
    for file, text in filled.items():
        for piece in _tags(text, PLAIN[0]):
            for sign in [sign for sign in SIGNS if sign in piece and len(_words(piece, sign)) > 1]:
                others.setdefault(sign, file)
                if plain:
                    raise UsageError(
                        f"{file}: {piece!r} may be one label or {len(_words(piece, sign))}: write a comma between "
                        "several, as other files do, or set data.separator to ',' if it is one"
                    )
    if len(others) > 1:
        (first, _), (second, file), *_ = others.items()
        raise UsageError(f"{file}: holds {second!r}, others {first!r}: write commas, or name one with data.separator")
    if others:
        sign = next(iter(others))
        return sign, f", separated by {sign!r}"
    sign, why = _as_column(folder, filled)
    return (sign, f", separated by {sign!r}{why}") if sign == " " else (PLAIN[0], why)


def _words(piece: str, sign: str) -> list[str]:
    """What stands between a sign, but for faces such as `;d`."""
    found = [each.strip() for each in piece.split(sign)]
    return [each for each in found if WORD.search(each) and (len(each) > 1 or not each.isascii())]


def _as_column(folder: Path, filled: Mapping[Path, str]) -> tuple[str, str]:
    """What separates the texts as cells of a column of lists, see separator_of; its error names the file instead."""
    signs = str.maketrans("", "", SIGNS.replace(",", ""))
    cells = {file: ",".join(_tags(text, PLAIN[0])).translate(signs) for file, text in filled.items()}
    column = "text"
    sheet = Sheet(folder, [column], [[cell] for cell in cells.values()], range(1, len(cells) + 1), [], "")
    try:
        return separator_of(sheet, 0)
    except UsageError as error:
        file = next((file for file, cell in cells.items() if f": {cell!r} " in str(error)), folder)
        raise UsageError(str(error).replace(f"{folder}: column {column!r}", str(file), 1)) from error


def _without_no_label(found: Mapping[Path, list[str]]) -> tuple[dict[Path, list[str]], list[str]]:
    """The tags without words that say that there is none, and what is said of them; UsageError beside other tags."""
    kept, alone = {}, []
    for file, names in found.items():
        try:
            word = none_among(names)
        except ValueError as error:
            raise UsageError(f"{file}: {error}") from error
        kept[file] = [] if word else names
        alone += [word] if word else []
    return kept, [f"{alone[0]!r} is taken as no label, in {len(alone)} files"] if alone else []
