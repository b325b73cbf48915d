"""The two styles of the demo set's scenes, each with its labels.

digits: few, large digits, ten labels. clutter: many small digits in several colours among scraps of others, a label for
each digit in each colour.
"""

from dataclasses import dataclass

DIGITS = {
    1: "zero",
    2: "one",
    3: "two",
    5: "three",
    6: "four",
    8: "five",
    13: "six",
    21: "seven",
    34: "eight",
    90: "nine",
}
COLOURS = {
    "red": (225, 55, 45),
    "green": (60, 185, 70),
    "blue": (75, 115, 245),
    "yellow": (240, 210, 70),
}


@dataclass(frozen=True)
class SceneStyle:
    """What makes the scenes easy or hard, in one place; ranges are (least, most), drawn uniformly.

    Lengths are fractions of the scene's side; contrast is the share of the way from the background's brightness to
    black or white; overlap is the share of the smaller of two boxes that may be covered; light is the background's
    brightness and noise a standard deviation, both in grey levels. colours: names of COLOURS. With them all inks are
    shades of these, contrast is not used, and a class is a digit in a colour.
    """

    classes: tuple[int, int] = (1, 4)
    repeat: float = 0.25  # chance that a class appears twice
    height: tuple[float, float] = (0.28, 0.46)
    rotation: tuple[float, float] = (-12.0, 12.0)
    slant: tuple[float, float] = (-0.15, 0.15)
    contrast: tuple[float, float] = (0.55, 1.0)
    overlap: float = 0.12
    fragments: tuple[int, int] = (0, 2)
    lines: tuple[int, int] = (0, 3)
    blobs: tuple[int, int] = (1, 3)
    noise: float = 7.0
    light: tuple[float, float] = (40.0, 215.0)
    colours: tuple[str, ...] = ()

    @property
    def categories(self) -> dict[int, tuple[str, str]]:
        """Name and group of each class, in the order of the classes, by its id in the annotation files.

        Class d, or d × colours + c, is the digit d in the colour c; ids have gaps, as MS-COCO's have.
        """
        if not self.colours:
            return {number: (name, "digit") for number, name in DIGITS.items()}
        return {
            len(self.colours) * number + place: (f"{colour} {name}", name)
            for number, name in DIGITS.items()
            for place, colour in enumerate(self.colours)
        }


STYLES = {
    "digits": SceneStyle(),
    "clutter": SceneStyle(
        classes=(3, 6),
        repeat=0.15,
        height=(0.16, 0.24),
        overlap=0.06,
        fragments=(2, 5),
        lines=(1, 3),
        light=(25.0, 100.0),
        colours=tuple(COLOURS),
    ),
}
