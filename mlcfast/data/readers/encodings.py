"""The text of a table by its bytes: UTF-8, UTF-16, or Windows-1252 where that makes sense."""

import contextlib
import re
from pathlib import Path

from mlcfast.errors import UsageError

BYTE_ORDER_MARKS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16", b"\xef\xbb\xbf": "utf-8-sig"}
MANY_BYTES = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")
LETTER = r"[^\W\d_]"
ACCENTED = r"[\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u00ff]"
# What Windows-1252 makes of Cyrillic, Greek, Polish, Chinese and Japanese text and of the Macintosh's letters.
NOT_WESTERN = re.compile(
    "|".join((
        rf"{ACCENTED}{{3}}",
        rf"(?<!{LETTER})(?![\u00de\u00fe]){ACCENTED}{{2}}(?!{LETTER})",  # a word of nothing else, but for Icelandic
        rf"{LETTER}[\u00a2-\u00a9\u00ac\u00af\u00b1\u00b3\u00b6\u00b8\u00b9\u00bf]{LETTER}",  # signs within words
        rf"{LETTER}[\u00a2\u00a4-\u00a8\u00ac\u00af\u00b1\u00b6\u00b8]",
        r"[\u00a1-\u00bf]{2}|[\u00c2\u00c3][\u00a1-\u00aa\u00ac-\u00ba\u00bc-\u00bf]",
        rf"(?<!\w)\u201d\w|{LETTER}[\u2020-\u2022\u2030\u2039\u203a\u02c6\u02dc\u2122\u201a\u201e]{LETTER}",
        r"[\u2018-\u201d\u2020-\u2022\u2030\u2039\u02c6\u02dc\u2122\u201a\u201e][\u00a2-\u00be]|\u2039\u203a",
        rf"(?<!\w)[\u2030\u2122\u02c6\u02dc\u203a]{LETTER}",
        rf"\u0192{LETTER}|{LETTER}\u0192",
        r"[a-z][\u0160\u0178\u017d]|[A-Z][\u0160\u0178\u017d][a-z]",  # a capital within a word
        rf"[\u0160\u0178\u017d]{ACCENTED}(?![A-Z])|\u0153(?!{LETTER})|(?<!\w)[\u00b1\u00b3\u00b6\u00b9]{LETTER}",
        r"\u00ec[a-z]|\u00e8[kjhw]|\u00f8[\u00e0-\u00fd]|\u00f5(?!e)|\u00f9\u00f2",  # of Czech and Hungarian
    ))
)  # fmt: skip


def decoded(path: Path, content: bytes) -> tuple[str, list[str]]:
    """The text of a file and what was assumed of its encoding; UsageError, which names line and remedy, for none."""
    if content[:1024].count(0) > 0 and content[:2] not in BYTE_ORDER_MARKS:
        return _without_mark(path, content)
    encoding = next((name for mark, name in BYTE_ORDER_MARKS.items() if content.startswith(mark)), "utf-8")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        if encoding == "utf-16":
            raise UsageError(f"{path}: starts as {encoding} and is not: save it as UTF-8") from error
        return _western(path, content.removeprefix(b"\xef\xbb\xbf"))
    if "\0" in text:
        raise UsageError(f"{path}: not a text file: save it as CSV in UTF-8")
    return text, []


def _western(path: Path, content: bytes) -> tuple[str, list[str]]:
    """The text of bytes that are not UTF-8, as Windows-1252.

    UsageError where most letters are UTF-8's, where lines end as on the old Macintosh, and for what makes no sense.
    """
    as_read = content.decode("utf-8", errors="surrogateescape")
    stray = next(place for place, sign in enumerate(as_read) if "\udc80" <= sign <= "\udcff")
    line, byte = 1 + as_read.count("\n", 0, stray), f"0x{ord(as_read[stray]) - 0xDC00:02x}"
    whole = len(MANY_BYTES.findall(content))
    if whole > sum("\udc80" <= sign <= "\udcff" for sign in as_read) and not _is_east_asian(content):
        around = as_read[:stray].split("\n")[-1][-20:]
        raise UsageError(
            f"{path}: line {line}: the byte {byte} behind {around!r} is not UTF-8, as other letters of the file "
            "are: write that letter anew, and save it as UTF-8"
        )
    if b"\r" in content and b"\n" not in content:
        raise UsageError(
            f"{path}: line {1 + as_read.count(chr(13), 0, stray)}: the byte {byte} is not UTF-8, and lines end as on "
            "the Macintosh, whose letters have other bytes than those of Windows: save it as UTF-8"
        )
    try:
        text = content.decode("cp1252")
    except UnicodeDecodeError as error:
        line = 1 + content.count(b"\n", 0, error.start)
        raise UsageError(f"{path}: line {line}: neither UTF-8, UTF-16 nor Windows-1252: save it as UTF-8") from error
    strange = NOT_WESTERN.search(text)
    if strange is not None:
        line = 1 + text.count("\n", 0, strange.start())
        shown = text[: strange.end()].split("\n")[-1][-20:]
        raise UsageError(
            f"{path}: line {line}: {shown!r} makes no sense as Windows-1252, nor is it UTF-8: save it as UTF-8"
        )
    words = [word for word in re.findall(r"[^\s,;|]+", text) if not word.isascii()]
    shown = ", ".join(repr(word[:40]) for word in list(dict.fromkeys(words))[:3])
    return text, ["the text is read as Windows-1252, because it is not UTF-8" + (f": {shown}" if shown else "")]


def _is_east_asian(content: bytes) -> bool:
    """Whether bytes are Chinese, Korean or Japanese of two bytes a letter: some such letters look like UTF-8's."""
    for encoding in ("gb2312", "euc_kr", "euc_jp"):
        with contextlib.suppress(UnicodeDecodeError):
            return bool(content.decode(encoding))
    return False


def _without_mark(path: Path, content: bytes) -> tuple[str, list[str]]:
    """The text of UTF-16 without its mark: the zero bytes of its Latin letters all stand on one side of a pair."""
    zeros = [content[:4096][side::2].count(0) for side in (0, 1)]
    if min(zeros) == 0 and max(zeros) * 10 >= len(content[:4096]):
        try:
            text = content.decode("utf-16-be" if zeros[0] else "utf-16-le")
            if "\n" in text or "\r" in text:
                return text, ["the text is read as UTF-16, though it has no byte order mark"]
        except UnicodeDecodeError:
            pass
    raise UsageError(f"{path}: not a text file: save it as CSV in UTF-8")
