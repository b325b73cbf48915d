"""Whole numbers beside images that may be no classes: boxes, sizes, ages, years, counts."""

from collections.abc import Sequence
from typing import NamedTuple

FEW_ROWS = 10  # of which fewer do not tell whether numbers recur
FEW_CLASSES = 32  # up to which numbers that do not all occur are taken for classes without a word
OF_SIZES, OF_BOXES = 200, 100  # from which on a size and a corner of a box begin, where all lines hold equally many


class Doubt(NamedTuple):
    """What numbers may be other than classes, in words, and whether that is so likely that it must be asked."""

    says: str
    must_ask: bool

    def of(self, shown: str) -> str:
        """The words for a user, and what settles it; shown: the numbers, and where they stand."""
        return f"{shown} may be no classes ({self.says}): set data.separator to ' ' if they are"


def doubt_of(lists: Sequence[Sequence[int]]) -> Doubt | None:
    """Whether M lists of whole numbers without names may be something else than classes; None where they look so.

    Class numbers begin at 0 or 1, and most of those up to the largest occur; an image has some, not all equally many.
    Two or more numbers in every line of which most up to the largest do not occur are as likely a size, four that make
    an area a box. One in each line, nearly all different, or far apart, is as likely an age, a year or a count.
    """
    sizes = set(map(len, lists)) - {0}
    if len(sizes) != 1:
        return None
    filled = [each for each in lists if each]
    numbers = {number for each in filled for number in each}
    largest = max(numbers)
    held, sparse = f"{min(numbers)} to {largest}", 2 * len(numbers) <= largest and largest >= FEW_CLASSES
    if sizes == {1}:
        own = len(filled) >= FEW_ROWS and 10 * len(numbers) >= 9 * len(filled) and 4 * len(numbers) < 3 * largest
        says = f"one an image, {held}, {len(numbers)} different ones in {len(filled)} images, as ages or counts are"
        return Doubt(says, own) if own or sparse else None
    if sizes == {4} and largest >= FEW_CLASSES and all(each[0] < each[2] and each[1] < each[3] for each in filled):
        ascending = all(list(each) == sorted(each) for each in filled)
        if not ascending or (sparse and largest >= OF_BOXES):
            return Doubt(f"four an image, {held}, as the corners of a box are", True)
    says = f"{min(sizes)} an image, {held}, as sizes and places are"
    return Doubt(says, largest >= OF_SIZES) if sparse else None
