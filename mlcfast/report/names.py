"""Label names where there is little room: their middle left out, and still different where they are."""

from collections import defaultdict
from collections.abc import Callable, Sequence

Measure = Callable[[str], float]  # a text's width, in whatever unit the room is given
HEAD = 3  # letters before the first … where the end of a name, or its beginning, is that of others


def shortened(text: str, width: float, measured: Measure) -> str:
    """The text, its middle replaced by … where it is wider than `width`: names often differ at their ends."""
    if len(text) <= 3 or measured(text) <= width:
        return text
    return _longest(len(text) - 1, width, measured, lambda kept: _ends(text, kept))


def told_apart(
    names: Sequence[str], width: float, measured: Measure, numbers: Sequence[int] | None = None
) -> list[str]:
    """The names shortened to `width`; those that this would make equal keep the part by which they differ.

    Names that no such part tells apart have their number before them; numbers: those of the names, 1, 2, … without.
    """
    numbers = range(1, len(names) + 1) if numbers is None else numbers
    short = [shortened(name, width, measured) for name in names]
    for places in _equal(names, short):
        differ = _in_common([names[place] for place in places])
        for place in places:
            short[place] = _from(names[place], differ, width, measured)
    for places in _equal(names, short):
        for place in places:
            number = f"{numbers[place]}: "
            short[place] = number + shortened(names[place], width - measured(number), measured)
    return short


def _equal(names: Sequence[str], short: Sequence[str]) -> list[list[int]]:
    """The places of different names that are short for one text, text by text."""
    places = defaultdict(list)
    for place, text in enumerate(short):
        places[text].append(place)
    return [held for held in places.values() if len({names[place] for place in held}) > 1]


def _in_common(names: Sequence[str]) -> int:
    """How many letters all names begin with."""
    letters = enumerate(zip(*names, strict=False))
    return next((place for place, each in letters if len(set(each)) > 1), min(map(len, names)))


def _ends(text: str, kept: int) -> str:
    return f"{text[: kept - kept // 2]}…{text[len(text) - kept // 2 :]}"


def _from(text: str, start: int, width: float, measured: Measure) -> str:
    """The first letters, and those from about `start` on as far as there is room."""
    start = max(0, min(start, len(text) - 1))

    def around(kept: int) -> str:
        first = max(HEAD, start - max(0, kept - (len(text) - start)))  # from further ahead where the end is near
        end = text[first : first + kept]
        return f"{text[:HEAD]}…{end}" + ("…" if first + kept < len(text) else "")

    return _longest(len(text), width, measured, around)


def _longest(most: int, width: float, measured: Measure, written: Callable[[int], str]) -> str:
    """What `written` makes of the largest number of letters that is no wider than `width`; of two, however wide."""
    fits = min(2, most)
    while fits < most:
        kept = (fits + most + 1) // 2
        fits, most = (kept, most) if measured(written(kept)) <= width else (fits, kept - 1)
    return written(fits)
