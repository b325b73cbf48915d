"""What a file is that is named as a table and holds none, by its first bytes, and how to get a table from it."""

import re
from pathlib import Path

from mlcfast.errors import UsageError

AS_CSV = "save the table as CSV in UTF-8"
UNPACK = "unpack it"
# What files begin with, what they are then, and what to do.
BEGINNINGS = (
    (b"PK\x03\x04", "a spreadsheet's own format (.xlsx, .ods, .numbers) or a ZIP archive", f"{AS_CSV}, or {UNPACK}"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "Excel's own format of old (.xls)", AS_CSV),
    (b"\x1f\x8b", "packed with gzip, or R's own format (.rds, .RData)", f"{UNPACK}, or write it with R's write.csv"),
    (b"BZh", "packed with bzip2", UNPACK),
    (b"\xfd7zXZ\x00", "packed with xz", UNPACK),
    (b"\x28\xb5\x2f\xfd", "packed with zstd", UNPACK),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", UNPACK),
    (b"Rar!\x1a\x07", "a RAR archive", UNPACK),
    (b"<stata_dta>", "Stata's own format (.dta)", "write it with Stata's `export delimited`"),
    (b"$FL2", "SPSS's own format (.sav)", "write it with SPSS's `SAVE TRANSLATE /TYPE=CSV`"),
    (b"SQLite format 3\x00", "a database of SQLite", "write its table with `.mode csv` and `.output`"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file (.h5, .mat)", "write its labels as CSV"),
    (b"MATLAB 5.0 MAT", "MATLAB's own format (.mat)", "write it with writetable"),
    (b"\x93NUMPY", "an array of NumPy", "write a table with an image and its labels in each row"),
    (b"\x80\x03", "a pickle of Python", "write it with pandas' to_csv"),
    (b"\x80\x04", "a pickle of Python", "write it with pandas' to_csv"),
    (b"\x80\x05", "a pickle of Python", "write it with pandas' to_csv"),
    (b"PAR1\x15", "a Parquet file", "name it .parquet"),
    (b"ARROW1\x00", "an Arrow file", "name it .arrow"),
    (b"%PDF-", "a PDF document", "ask its author for the table as CSV"),
    (b"{\\rtf", "a text of a word processor (.rtf)", "save it as plain text in UTF-8"),
    (b"\xff\xd8\xff", "an image", "name the file of the labels"),
    (b"\x89PNG\r\n", "an image", "name the file of the labels"),
    (b"\x00\x05\x16\x07", "what macOS keeps beside a file", "name the file without ._ before its name"),
    (b"version https://git-lfs", "a pointer of Git LFS in place of the file", "fetch the file with `git lfs pull`"),
)
PAGE = re.compile(rb"\s*(<!--.*?-->\s*)*<(!doctype html|html|head|body|table|meta|script)\b", re.IGNORECASE | re.DOTALL)
WORKBOOK = re.compile(rb"\s*<\?xml.*?(<\?mso-application|<Workbook|<workbook)", re.DOTALL)
# Tables of other programs, which the command that wrote them may write as text.
ENDINGS = {
    ".xlsx": "a spreadsheet's own format", ".xls": "a spreadsheet's own format", ".xlsm": "a spreadsheet's own format",
    ".xlsb": "a spreadsheet's own format", ".ods": "a spreadsheet's own format",
    ".numbers": "a spreadsheet's own format", ".dta": "Stata's own format", ".sav": "SPSS's own format",
    ".sas7bdat": "SAS's own format", ".rds": "R's own format", ".rdata": "R's own format",
    ".mat": "MATLAB's own format", ".pkl": "a pickle of Python",
    ".pickle": "a pickle of Python", ".hvecs": "vectors in INRIA's format, as Corel5k and IAPR TC-12 have",
}  # fmt: skip


def refuse_other_kinds(path: Path, content: bytes) -> None:
    """UsageError where a file is known to be no text table, by its name or its content: what it is, and the remedy."""
    found = next(((what, remedy) for beginning, what, remedy in BEGINNINGS if content.startswith(beginning)), None)
    ending = path.suffix.lower()
    if ending in ENDINGS and (found is not None or b"\0" in content[:1024]):
        raise UsageError(f"{path}: {ENDINGS[ending]}: save the table as CSV")
    if found is not None:
        raise UsageError(f"{path}: {found[0]}: {found[1]}")
    begin = content[:4096].removeprefix(b"\xef\xbb\xbf")
    if WORKBOOK.match(begin):
        raise UsageError(f"{path}: a spreadsheet's own format, in XML: {AS_CSV}")
    if PAGE.match(begin):
        raise UsageError(
            f"{path}: a web page (HTML), which some programs write as a spreadsheet, and servers for a file: open it "
            f"and {AS_CSV}, or download the file anew"
        )


def refuse_other_texts(path: Path, text: str) -> None:
    """UsageError where the text of a table is JSON or XML."""
    if re.match(r"\s*(\{|\[\s*[\[{\"])", text):
        raise UsageError(f"{path}: JSON, not a table: name it .json, or .jsonl where each line is an object")
    if re.match(r"\s*<\?xml", text):
        raise UsageError(f"{path}: XML, not a table: name it .xml")
