"""Takes out of a Markdown page what a reader might type or compare: commands, settings, Python and expected output."""

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# A code span that begins with one of these is a command. What else is in code spans are names, files and formulas.
PROGRAMS = (
    "./launch.sh", "python", "mlcfast", "torchrun", "deepspeed", "srun", "sbatch", "pytest", "ruff", "pre-commit",
    "pip", "source", "git", "curl", "wget", "docker", "apt", "apt-get", "conda", "make", "bash",
)  # fmt: skip
RUN_WHOLE = ("extending.md",)  # its blocks are two files, with which tests/test_extending.py trains
SHELL, PYTHON, TEXT, SETTINGS = ("sh", "bash"), ("python",), ("text",), ("yaml",)
FENCE = re.compile(r"^([ \t]*)(`{3,})([^\n`]*)\n(.*?)^[ \t]*\2[ \t]*$", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"(?<!`)`([^`]+)`(?!`)")
OPTION = re.compile(r"(--[a-z][a-z-]*)( .*)?")
SETTING = re.compile(r"[a-z]\w*(?:\.[a-z]\w*)+(?:=|: )\S.*|[a-z]+: \{.*\}")
COMMENT = re.compile(r"""((?:[^'"#\\]|\\.|'[^']*'|"[^"]*")*?)(?:(?:^|(?<=\s))#.*)?$""")


@dataclass(frozen=True)
class Piece:
    """Something a reader might type or compare, where it stands, and its kind.

    kind: shell, python or text for what blocks hold, also shell for a command within a sentence, and setting or option
    for `section.key=value` and `--option` within one. text: a shell line without its comment, continued lines joined; a
    whole block of Python or of text; or the words of a code span.
    """

    document: str
    line: int
    kind: str
    text: str

    @property
    def where(self) -> str:
        """The document and its line, as compilers write it."""
        return f"{self.document}:{self.line}"


def pages(root: Path) -> list[Path]:
    """The documents whose every line is run: README.md, CONTRIBUTING.md and docs/*.md but for RUN_WHOLE."""
    docs = [page for page in sorted((root / "docs").glob("*.md")) if page.name not in RUN_WHOLE]
    return [root / "README.md", root / "CONTRIBUTING.md", *docs]


def pieces(name: str, page: str) -> list[Piece]:
    """Every piece of a page in its order. ValueError for a block that does not say what it holds."""
    blocks = [piece for fence in FENCE.finditer(page) for piece in _block(name, page, fence)]
    prose = FENCE.sub(lambda fence: re.sub(r"[^\n]", " ", fence[0]), page)
    spans = [piece for span in SPAN.finditer(prose) if (piece := _span(name, prose, span))]
    return sorted([*blocks, *spans], key=lambda piece: piece.line)


def _block(name: str, page: str, fence: re.Match) -> Iterator[Piece]:
    language, body = fence[3].strip(), textwrap.dedent(fence[4])
    first = page.count("\n", 0, fence.start(4)) + 1
    if language in SHELL:
        yield from _shell_lines(name, first, body)
    elif language in SETTINGS:
        for number, line in enumerate(body.splitlines(), first):
            yield Piece(name, number, "setting", COMMENT.match(line.strip())[1].strip())
    elif language in (*PYTHON, *TEXT):
        yield Piece(name, first, "python" if language in PYTHON else "text", body)
    else:
        known = ", ".join((*SHELL, *PYTHON, *TEXT, *SETTINGS))
        raise ValueError(
            f"{name}:{first - 1}: a block of {repr(language) if language else 'no language'}; the tests know {known}"
        )


def _shell_lines(name: str, first: int, body: str) -> Iterator[Piece]:
    """Each command of a block of shell. A comment is no command, nor are the batch system's directives."""
    pending, begun = "", first
    for number, line in enumerate(body.splitlines(), first):
        begun = begun if pending else number
        if line.endswith("\\"):
            pending += line[:-1].strip() + " "
            continue
        command = COMMENT.match(pending + line.strip())[1].strip()
        pending = ""
        if command:
            yield Piece(name, begun, "shell", command)


def _span(name: str, prose: str, span: re.Match) -> Piece | None:
    text = " ".join(span[1].split()).replace("\\|", "|")
    line = prose.count("\n", 0, span.start()) + 1
    words = text.split()
    words = words[1:] if re.match(r"[A-Z_]+=", words[0]) else words
    if words and words[0] in PROGRAMS and (len(words) > 1 or words[0].startswith("./")):
        return Piece(name, line, "shell", text)
    if OPTION.fullmatch(text):
        return Piece(name, line, "option", text)
    return Piece(name, line, "setting", text) if SETTING.fullmatch(text) else None
