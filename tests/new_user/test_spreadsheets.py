"""Spreadsheets as people save them: the right labels, or one line that says which cell of which line is wrong."""

import codecs
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mlcfast.data import read_csv
from mlcfast.errors import UsageError

LABELS = ["bridge", "star", "temple"]
NAMES = [f"{number:02d} photo.jpg" for number in range(8)]
TRUTH = np.array([[1, 0, 0], [0, 0, 1], [1, 0, 1], [0, 0, 0], [0, 1, 0], [1, 1, 0], [0, 0, 1], [1, 0, 0]], np.int8)
ROWS = [["image", *LABELS], *([f"photos/{n}", *map(str, row)] for n, row in zip(NAMES, TRUTH.tolist(), strict=True))]


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """Eight photographs, whose content nobody reads here."""
    folder = tmp_path_factory.mktemp("mine")
    (folder / "photos").mkdir()
    for name in NAMES:
        (folder / "photos" / name).touch()
    return folder


def joined(rows: list[list[str]], sign: str = ",", end: str = "\n") -> str:
    return "".join(sign.join(row) + end for row in rows)


def with_words(yes: str, no: str) -> str:
    words = {"1": yes, "0": no}
    return joined([ROWS[0], *([row[0], *(words[cell] for cell in row[1:])] for row in ROWS[1:])])


def listed(header: str, sign: str, further: str = "") -> str:
    rows = []
    for row in ROWS[1:]:
        cell = sign.join(name for name, cell in zip(LABELS, row[1:], strict=True) if cell == "1")
        rows.append(f'{row[0]},"{cell}"{further}\n')
    return header + "\n" + "".join(rows)


def renamed(change: Callable[[str], str], header: str = "image") -> str:
    return joined([[header, *LABELS], *([change(row[0]), *row[1:]] for row in ROWS[1:])])


def beside(header: str, cell: Callable[[int], str], at: int = 4) -> str:
    rows = [[*row[:at], header if number == 0 else cell(number), *row[at:]] for number, row in enumerate(ROWS)]
    return joined(rows)


def changed(line: int, column: int, cell: str) -> str:
    """The plain table with another cell in a line, the header being line 1, and a column, the image's being 1."""
    rows = [list(row) for row in ROWS]
    rows[line - 1][column - 1] = cell
    return joined(rows)


READ: dict[str, str | bytes | Callable[[Path], str]] = {
    "as exported by a program": joined(ROWS),
    "byte order mark": codecs.BOM_UTF8 + joined(ROWS).encode(),
    "lines of Windows": joined(ROWS, end="\r\n"),
    "Excel's Unicode text": codecs.BOM_UTF16_LE + joined(ROWS, "\t").encode("utf-16-le"),
    "semicolons": joined(ROWS, ";"),
    "tabs": joined(ROWS, "\t"),
    "a column called filename": renamed(str, "filename"),
    "a column called Path": renamed(str, "Path"),
    "a column called file": renamed(str, "file"),
    "label columns in another order": joined([[row[0], row[3], row[1], row[2]] for row in ROWS]),
    "blank for 0": with_words("1", ""),
    "TRUE and FALSE": with_words("TRUE", "FALSE"),
    "yes and no": with_words("yes", "no"),
    "an x": with_words("x", ""),
    "a capital X": with_words("X", ""),
    "1.0 and 0.0": with_words("1.0", "0.0"),
    "decimal commas": joined([ROWS[0], *([row[0], *(f"{cell},0" for cell in row[1:])] for row in ROWS[1:])], ";"),
    "a column of notes": beside("notes", lambda n: "nice light" if n % 3 else ""),
    "a numbered column": beside("id", str, at=0),
    "an unnamed index": beside("", lambda n: str(n - 1), at=0),
    "a blank last column": beside("", lambda _: ""),
    "blank last rows": joined(ROWS) + ",,,\n,,,\n",
    "a blank row amid": joined([*ROWS[:3], ["", "", "", ""], *ROWS[3:]]),
    "labels listed": listed("image,labels", ";"),
    "labels listed with commas": listed("image,labels", ","),
    "labels listed with bars": listed("image,labels", "|"),
    "labels listed with commas and blanks": listed("image,labels", ", "),
    "Labels with a capital": listed("Image,Labels", ";"),
    "labels and a further column": listed("image,labels,photographer", ";", ",Ada"),
    "backslashes": renamed(lambda name: name.replace("/", "\\")),
    "names without their folder": renamed(lambda name: name.removeprefix("photos/")),
    "names without their ending": renamed(lambda name: name.removesuffix(".jpg")),
    "whole paths": lambda root: renamed(lambda name: str(root / name)),
    "blanks around cells": joined([[f" {cell} " for cell in row] for row in ROWS]),
}  # fmt: skip


@pytest.mark.parametrize("name", READ)
def test_the_labels_are_those_that_were_meant(root, name):
    content = READ[name]
    content = content(root) if callable(content) else content
    (root / "labels.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    records = read_csv(root, "labels.csv")
    assert sorted(records.names) == LABELS
    assert [Path(path).name for path in records.paths] == NAMES
    assert (records.labels[:, [records.names.index(label) for label in LABELS]] == TRUTH).all()


NOTED = '"first line\nsecond line"'  # a cell of two lines is one row of a spreadsheet
REFUSED = {
    "a word that says neither": (changed(4, 3, "maybe"), "line 4, column 'star': 'maybe' must be 1, 0, -1 or blank"),
    "a number that is none": (changed(9, 4, "2"), "line 9, column 'temple': '2' must be 1, 0, -1 or blank"),
    "below a cell of two lines": (
        joined([[*ROWS[0], "note"], [*ROWS[1], NOTED], *([*row, ""] for row in ROWS[2:4]), [ROWS[4][0], *"?00", ""]]),
        "line 5, column 'bridge': '?' must be",
    ),
    "below a blank row": (
        joined([*ROWS[:2], ["", "", "", ""], *ROWS[2:4], [ROWS[4][0], "0", "peut-être", "0"], *ROWS[5:]]),
        "line 6, column 'star': 'peut-être' must be",
    ),
    "a photograph that is not there": (changed(3, 1, "photos/99 photo.jpg"), "are missing, first line 3"),
    "a cell too few": (joined([*ROWS[:5], ROWS[5][:2], *ROWS[6:]]), "line 6 has 2 cells, the header 4"),
    "a label beside none": (listed("image,labels", ";").replace("temple", "star;none", 1), "line 3, column 'labels'"),
    "a column twice": (joined([["image", "star", "star", "temple"], *ROWS[1:]]), "the header repeats 'star'"),
    "no labels at all": (joined([row[:1] for row in ROWS]), "the header has no label column"),
    "only a header": (joined(ROWS[:1]), "no images below the header"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_wrong_is_named_as_the_spreadsheet_counts_it(root, name):
    content, says = REFUSED[name]
    (root / "labels.csv").write_text(content)
    with pytest.raises(UsageError) as caught:
        read_csv(root, "labels.csv")
    message = str(caught.value)
    assert f"{root}/labels.csv" in message and says in message and "\n" not in message


def test_a_photograph_named_twice_is_one_with_the_labels_of_both(root, caplog):
    caplog.set_level("WARNING", "mlcfast")
    (root / "labels.csv").write_text(joined([*ROWS, [ROWS[1][0], "0", "1", "0"]]))
    records = read_csv(root, "labels.csv")
    assert len(records) == 8 and records.labels[0].tolist() == [1, 1, 0]
    assert "1 rows name an image again, first 'photos/00 photo.jpg' in line 10: merged" in caplog.text
