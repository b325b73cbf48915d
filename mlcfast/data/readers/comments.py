"""Lines of a list of images that begin with # and say something of it."""

import re

from mlcfast.data.readers.image_files import ENDING

OF_IMAGE = re.compile(rf"[^\s,;\t\"'][^,;\t\"']*?{ENDING}([\s,;:]|$)", re.IGNORECASE)
BETWEEN = re.compile("[,;\t]")  # cells


def without_comments(text: str) -> tuple[str, list[str]]:
    """A list of images with blank lines in place of those that begin with #, and what is said of them.

    The text as it is where the first other line begins with no image, or has as many cells as the first of them, which
    then is a header. `#1.jpg` is an image, `# 1.jpg` is a comment.
    """
    lines = text.splitlines() if "#" in text else []
    aside = {place for place, line in enumerate(lines) if _is_comment(line)}
    first = next((line.strip() for place, line in enumerate(lines) if place not in aside and line.strip()), "")
    if not aside or OF_IMAGE.match(first) is None:
        return text, []
    cells = len(BETWEEN.findall(first))
    if cells and len(BETWEEN.findall(lines[min(aside)])) == cells:
        return text, []
    shown = f"line {min(aside) + 1}: {lines[min(aside)].strip()[:60]!r}"
    plain = "\n".join("" if place in aside else line for place, line in enumerate(lines))
    return plain, [f"{len(aside)} lines begin with # and are not read, first {shown}"]


def _is_comment(line: str) -> bool:
    text = line.strip()
    return text.startswith("#") and (text[1:2].isspace() or OF_IMAGE.match(text) is None)
