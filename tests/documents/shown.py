"""Compares a block of output in a document with what the command printed: its shape, not its numbers."""

import re
from collections.abc import Iterable

NUMBER = r"[-+]?\d[\d,]*(?:\.\d+)?"
LEFT_OUT = "…"
FEW_IMAGES = rf"(?:\s+no image has it|\s+{NUMBER} to {NUMBER} \(95 %\): {NUMBER} images have it)?"


def missing_line(shown: str, printed: str, labels: Iterable[str]) -> str | None:
    """The first line of `shown` whose like is not in `printed` behind the like of the line before; None if all are.

    Numbers stand for any numbers, a line of `…` for any lines, and labels with a number each, however many, for any
    labels with a number each, also where a smaller set has few images of one. Blanks are as wide as they happen to be.
    """
    lines = iter(printed.splitlines())
    for line in shown.splitlines():
        wanted = re.compile(_pattern(line, set(labels)))
        if line.strip() != LEFT_OUT and not any(wanted.fullmatch(candidate.strip()) for candidate in lines):
            return line
    return None


def _pattern(line: str, labels: set[str]) -> str:
    """A regular expression for the like of a line."""
    name = "|".join(map(re.escape, sorted(labels)))
    pairs = rf"(?:{name})\s+{NUMBER}(?:\s+(?:{name})\s+{NUMBER})*"
    parts: list[str] = []
    words = line.split()
    while words:
        long = next((n for n in range(len(words) - 1, 0, -1) if " ".join(words[:n]) in labels), 0)
        if long and re.fullmatch(NUMBER, words[long]):
            del words[: long + 1]
            if not parts or parts[-1] != pairs:
                parts.append(pairs)
        else:
            word = words.pop(0)
            parts.append(NUMBER if re.fullmatch(NUMBER, word) else re.escape(word))
    return r"\s+".join(parts) + (FEW_IMAGES if parts == [pairs] else "")
