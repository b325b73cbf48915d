"""Words of a list column that may be a label with something behind it: a score, a count, a mark of doubt."""

import re
from collections.abc import Collection, Mapping, Sequence

from mlcfast.data.readers.columns import are_scores
from mlcfast.data.readers.paths import ADDRESS
from mlcfast.data.readers.sheet import Sheet
from mlcfast.data.readers.source import BLANK
from mlcfast.data.readers.words import IMAGE_NAME, MAY_BE_NONE, NO_LABEL, SHORTENED
from mlcfast.errors import UsageError

NUMBER = r"[-+]?\d+(?:[.,]\d+)?"
# `cat:0.9`, `cat=3`, `cat (93 %)`, `cat[2]`, `cat 0.9`, `cat 93%`; the label and the number.
VALUED = re.compile(
    rf"(.+?)\s*(?:[:=@]\s*({NUMBER})\s*%?|[(\[]\s*({NUMBER})\s*%?\s*[)\]]|\s(0?[.,]\d+|1[.,]0+|{NUMBER}(?=\s*%))\s*%?)"
)
COUNTED = re.compile(r"(.+?)\s*(?:\s[xX]|\u00d7)\s*\d{1,3}|\d{1,3}\s*(?:[xX]\s|\u00d7)\s*(.+)")  # `cat x2`, `2x cat`
MAYBE = (
    r"maybe|perhaps|possible|possibly|probable|probably|likely|suspected|suspicious|uncertain|unsure|unclear|"
    r"questionable|doubtful|vielleicht|evtl\.?|eventuell|m\u00f6glich|wahrscheinlich|vermutlich|unsicher|"
    r"peut-\u00eatre|possibles?|probables?|incertain|quiz\u00e1s?|posibles?|dudoso|forse|possibile|probabile|talvez"
)
# `cat?`, `cat (?)`, `cat*`, `cat (maybe)`, `?cat`, `-cat`, `possible cat`
DOUBTED = re.compile(
    rf"(.+?)(?:\s*\(\?+\)|\s*\?+|\s*\*+|\s*[(\[]\s*(?:{MAYBE})\s*[)\]]|[\s,:_-]+(?:{MAYBE}))"
    rf"|(?:[?!~-]\s*|[(\[](?:{MAYBE})[)\]]\s*|(?:{MAYBE})[\s:_-]+)(.+)",
    re.IGNORECASE,
)
MARKED_DOUBT = re.compile(rf"[^\W\d_]\s*(\?+|\(\?+\)|[(\[]\s*({MAYBE})\s*[)\]])$", re.IGNORECASE)
ITEM = re.compile(r"(?:[-*+\u2013]|\d{1,2}[.)])\s+\S.*")  # `- cat`, `1. cat`
WITHOUT = re.compile(r"(?:no|not|without|kein|keine|ohne|sans|sin|sem|senza|geen)[ _-]+(.+)", re.IGNORECASE)
DATE = re.compile(
    r"\d{1,2}-(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)|(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)-\d{2}"
    r"|\d{4}[-/.]\d{1,2}[-/.]\d{1,2}( 00:00:00)?|\d{1,2}\.\d{1,2}\.(\d{2}|\d{4})|\d{1,2}/\d{1,2}/(\d{2}|\d{4})"
    r"|\d{1,2}\. ?(jan|feb|m\u00e4r|mrz|apr|mai|jun|jul|aug|sep|okt|nov|dez)\w*",
    re.IGNORECASE,
)
# `31_115_136`, as iMaterialist 2019 has them beside `6`; `2020_1` begins with a year.
WITH_ATTRIBUTES = re.compile(r"\d+|\d{1,3}(_\d+)+")
DITTO = frozenset({'"', "''", "\u3003", "\u201d", ",,", '-"-'})
NOTHING = NO_LABEL | BLANK
WHOLE = re.compile(r"-?\d+(\.0+)?")
MINUS = {"-1", "-1.0"}  # with which programs fill lists to one length
KEPT = "keep one of the two, or call the first otherwise if it is a label"
LONGEST_CODE = 3  # letters of labels beside which `NA` may be one
WORDS_OF_SENTENCES = 5  # from which on a label may be a sentence


def marked(words: Collection[str]) -> tuple[str, str] | None:
    """The first of a column's labels that may be something else, and what it may be and the remedy; None without one.

    A label with a value counts where all have one, unless the numbers are parts of names as in `GO:0008150`, and where
    the label also stands without it.
    """
    known = sorted(words)
    if are_scores(known):
        return known[0], "may be a score, as all are numbers with a fraction: list labels instead"
    below = below_zero(known)
    if below is not None:
        return below
    date = next((word for word in known if DATE.fullmatch(word)), None)
    if date is not None:
        return date, "may be a date that a spreadsheet made of a label: write the label, as text, or set data.separator"
    short = next((word for word in known if SHORTENED.fullmatch(word) or (len(word) > 2 and not word.strip("#"))), None)
    if short is not None:
        return short, "is what a spreadsheet shows in place of a cell's content: write the table anew, as text"
    if DITTO & {*known}:
        return min(DITTO & {*known}), "says that the cell above holds again: write that out"
    if known and all(ADDRESS.match(word) or IMAGE_NAME.search(word) for word in known):
        return known[0], "names a file or a page, and no label: name the column of the labels, or set data.separator"
    valued = {word: (match[1], match[2] or match[3] or match[4]) for word in known if (match := VALUED.fullmatch(word))}
    all_are = len(valued) == len(known) and not _are_names(list(valued.values()))
    value = next((word for word, (label, _) in valued.items() if all_are or label in words), None)
    value = value or next((word for word in known if _counted(word) in words), None)
    if value is not None:
        return value, (
            "may be a label or one with its value: list those that are present, or write a column for each with 1 and "
            "0, or set data.separator if it is a label"
        )
    joined = joined_numbers(known)
    if joined is not None:
        return joined
    if known and all(map(ITEM.fullmatch, known)):
        return known[0], "may be a label or an item of a list: write the labels alone, with ; between them"
    if known and all(word.startswith("'") for word in known):
        return known[0], "begins with the sign by which a spreadsheet marks text: take it out"
    signed = next((word for word in known if word.startswith("-") and f"+{word[1:]}" in words), None)
    if signed is not None:
        return signed, "may say that a label is absent: list those that are present, or write a column for each"
    ended = next((word for word in known if word.endswith(".") and word[:-1].rstrip() in words), None)
    if ended is not None:
        return ended, f"may be a label or {ended[:-1]!r} at the end of a sentence: take the point out"
    doubts = {word: match[1] or match[2] for word in known if (match := DOUBTED.fullmatch(word))}
    doubt = next((word for word, label in doubts.items() if label in words), None)
    if doubt is not None:
        return doubt, (
            f"may be a label or an uncertain {doubts[doubt]!r}: take it out, or write a column for each label with 1, "
            "0 and, for unknown, nothing, or set data.separator if it is a label"
        )
    return None


def _counted(word: str) -> str | None:
    """The label that stands with a count, `cat` of `cat x2`; None without one."""
    match = COUNTED.fullmatch(word)
    return match and (match[1] or match[2])


def may_say_none(words: Collection[str]) -> list[str]:
    """Warnings of labels that may say that an image has none or lacks one, or that nobody knows them, among others."""
    found = [word for word in words if word.lower() in MAY_BE_NONE]
    numbers = all(word.isdecimal() for word in words)
    absent = next((word for word in words if (match := WITHOUT.fullmatch(word)) and match[1] in words), None)
    said = [f"{absent!r} is read as a label of its own: if it says that one is absent, take it out"] if absent else []
    doubted = next((word for word in words if MARKED_DOUBT.search(word)), None)
    said += [f"{doubted!r} is read as a label: if it marks a doubt, take it out, or clear the cell"] if doubted else []
    counted = next((word for word in words if _counted(word)), None) if all(map(_counted, words)) else None
    said += [f"{counted!r} is read as a label: if it counts what is seen, take the number out"] if counted else []
    if not found or numbers or len(found) == len(words):
        return said
    return [
        *said,
        f"{found[0]!r} is read as a label: if it says that there is none, clear those cells, and if nobody knows them, "
        "take those rows out",
    ]


def sentence_among(words: Mapping[str, int]) -> str:
    """The first of labels that look like captions, "" where they do not; words: each with its number of images.

    Half of them must be of five words and more, nine in ten of these of one image alone, and two at least.
    """
    long = [word for word in words if word.count(" ") + 1 >= WORDS_OF_SENTENCES]
    alone = [word for word in long if words[word] == 1]
    return long[0] if len(long) > 1 and 2 * len(long) >= len(words) and 10 * len(alone) >= 9 * len(long) else ""


def joined_numbers(words: Collection[str]) -> tuple[str, str] | None:
    """The first of class numbers with others behind it, where the rest are class numbers alone; None without one."""
    joined = min((word for word in words if "_" in word), default="")
    if not joined or not all(map(WITH_ATTRIBUTES.fullmatch, words)) or not any(map(str.isdecimal, words)):
        return None
    return joined, (
        f"may be a label or class {joined.partition('_')[0]} with the numbers of its attributes: write the class "
        "alone, or set data.separator to '_' if each number is a label, to ';' if all of it is one"
    )


def below_zero(words: Collection[str]) -> tuple[str, str] | None:
    """The first number below 0 where all words are whole numbers, or −1, and what it may be; None without one."""
    numbers = all(WHOLE.fullmatch(word) for word in words)
    below = next((word for word in sorted(words) if word in MINUS or (numbers and word.startswith("-"))), None)
    if below is None:
        return None
    return below, "may be a class or say that there is none or that nobody looked: leave it out, or the row"


def refuse_marked(
    sheet: Sheet, column: int, found: tuple[str, str] | None, by_cell: Mapping[str, Collection[str]]
) -> None:
    """UsageError for what `marked` or `below_zero` found among the labels of a column; by_cell: those of its cells."""
    if found is not None:
        word, says = found
        number = sheet.line(column, next(cell for cell, names in by_cell.items() if word in names))
        raise UsageError(f"{sheet.path}: {sheet.unit} {number}, column {sheet.header[column]!r}: {word!r} {says}")


def none_among(names: Sequence[str]) -> str:
    """The word by which a list says that there is no label; "" without. ValueError where it stands beside others."""
    words = [name for name in names if name.lower() in NOTHING]
    if not words:
        return ""
    if len(names) > 1:
        other = next((name for name in names if name not in words), words[-1])
        raise ValueError(f"{words[0]!r} means no label, but {other!r} stands beside it: {KEPT}")
    return words[0]


def of_blank_words(words: Mapping[str, int], names: Collection[str]) -> tuple[list[str], list[str]]:
    """What is said, and warned of, where cells hold a word that counts as a blank one, `NA`.

    words: each with its number of rows; names: the labels. It is a warning where these are all as short and of
    capitals, as `EU` and `AS` are.
    """
    said = [f"{word!r} counts as a blank cell, in {times} rows" for word, times in words.items()]
    said = [f"{line}: if it is a label, call it otherwise" for line in said]
    codes = len(names) > 1 and all(name.isalpha() and name.isupper() and len(name) <= LONGEST_CODE for name in names)
    return ([], said) if codes and any(word.isupper() and word.isalpha() for word in words) else (said, [])


def _are_names(values: Collection[tuple[str, str]]) -> bool:
    """Whether the numbers behind labels are parts of them: of four digits or more, or with a 0 before."""
    numbers: dict[str, bool] = {}
    for label, number in values:
        long = number.isdecimal() and (len(number) >= 4 or (number.startswith("0") and len(number) > 1))
        numbers[label] = numbers.get(label, False) or long
    return all(numbers.values())
