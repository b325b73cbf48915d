"""Whether blanks separate the labels of a cell or belong to their names."""

from collections import Counter
from collections.abc import Collection, Mapping

from mlcfast.data.readers.marked import marked
from mlcfast.errors import UsageError

# Words that join the last two of several labels, in English, German, French, Spanish, Portuguese, Dutch and Swedish.
JOINING = ("and", "or", "und", "oder", "et", "ou", "y", "o", "e", "en", "och")
ROWS_OF_PHRASE = 5  # in which a text stands on average, if it may be one label
ROWS_OF_COMMA = 2  # likewise, where none of its parts between commas stands alone
TEXTS_OF_COMMA = 4  # so many without a part in common that the comma may belong to them, though none recurs
LISTS_OF_WORD = 5  # so many different ones that a word stands in on average, if it may be one label of several
OF_SENTENCES = {*JOINING, "a", "an", "the", "of", "on", "in", "at", "with", "is", "de", "la", "der", "die", "mit"}
# The labels of Planet's Amazon set, which are known to be single words.
PLANET = {
    "agriculture", "artisinal_mine", "bare_ground", "blooming", "blow_down", "clear", "cloudy", "conventional_mine",
    "cultivation", "habitation", "haze", "partly_cloudy", "primary", "road", "selective_logging", "slash_burn", "water",
}  # fmt: skip


def blank_or_none(cells: Mapping[str, int], where: str) -> tuple[str, str]:
    """Whether blanks separate labels or belong to them, where there is evidence; else UsageError.

    cells: each with its number of rows. Numbers and the labels of Planet's set hold no blanks; and where all words of
    several cells also stand alone, they are labels of their own. That words recur is no evidence, `traffic light` and
    `traffic sign` are two labels, but that a few cells recur as they are is, see _are_phrases, and that words recur
    in many combinations, see _are_combinations.
    """
    several = {cell for cell in cells if " " in cell}
    words, alone = {word for cell in several for word in cell.split()}, {cell for cell in cells if " " not in cell}
    if not several:
        return "", ""
    if all(word.removeprefix("-").isdecimal() for word in words | alone):
        return " ", ""
    if words | alone <= PLANET:
        return " ", ": all are labels of Planet's set"
    if words <= alone and len(several) > 1:
        return " ", ": each of the words also stands alone"
    valued = marked(set(cells))
    if valued is not None:
        raise UsageError(f"{where}: {valued[0]!r} {valued[1]}")
    if _are_phrases(cells, several, alone):
        return "", f", one in each: {len(cells)} texts recur in {sum(cells.values())} rows, so that blanks are in names"
    if _are_combinations(cells):
        return " ", ": the words recur in many combinations"
    example = next(cell for cell in cells if " " in cell)
    joint = next((f" {word} " for word in JOINING if any(f" {word} " in cell for cell in several)), None)
    if joint is not None:
        example = next(cell for cell in cells if joint in cell)
        raise UsageError(
            f"{where}: {example!r} may be one label or {example.count(joint) + 1}: set data.separator to {joint!r} for "
            "several, to ';' for one"
        )
    raise UsageError(
        f"{where}: {example!r} may be one label or {len(example.split())}: "
        "set data.separator to ' ' for several, to ';' for one"
    )


def _are_phrases(cells: Mapping[str, int], several: Collection[str], alone: Collection[str]) -> bool:
    """Whether a few texts recur in many rows, and their words seldom in another text or alone: then each is a label.

    A label would stand in several combinations, or alone.
    """
    if sum(cells.values()) < ROWS_OF_PHRASE * len(cells):
        return False
    times = Counter(word for cell in cells for word in {*cell.split()})
    own = sum(any(times[word] == 1 for word in cell.split()) for cell in several)
    beside = sum(any(word in alone for word in cell.split()) for cell in several)
    whole = any(all(word in alone for word in cell.split()) for cell in several)
    return not whole and 4 * own >= 3 * len(several) and 4 * beside <= len(several)


def _are_combinations(cells: Collection[str]) -> bool:
    """Whether texts of up to five words and more share nearly all of their words, each among many others.

    Sentences repeat a word in one text, and hold words such as `the`.
    """
    texts = [cell.split() for cell in cells]
    sizes = [len(words) for words in texts]
    times = Counter(word for words in texts for word in {*words})
    single = sum(count == 1 for count in times.values())
    sentences = any(len({*words}) < len(words) for words in texts) or not OF_SENTENCES.isdisjoint(times)
    mixed = max(sizes) > 4 and max(sizes) - min(sizes) > 2 and 10 * single <= len(times)
    return mixed and not sentences and sum(sizes) >= LISTS_OF_WORD * len(times)


def first_list(cells: Collection[str], sign: str = " ") -> str:
    """The first of cells that may list labels with a blank, or another sign, between them; "" where none does.

    It consists of words that all stand alone in other cells, or of numbers. Between blanks all cells may also be such
    lists together.
    """
    single = {cell for cell in cells if sign not in cell}
    several = [cell for cell in cells if sign in cell]
    words_of = {cell: [word.strip() for word in cell.split(sign) if word.strip()] for cell in several}
    whole = sign == " " and bool(several) and _are_lists(cells)
    for cell, words in words_of.items():
        if len(words) > 1 and (whole or single.issuperset(words) or all(map(str.isdecimal, words))):
            return cell
    return ""


def _are_lists(cells: Collection[str]) -> bool:
    """Whether cells hold labels of Planet's set alone, or words in many combinations."""
    return {word for cell in cells for word in cell.split()} <= PLANET or _are_combinations(cells)
