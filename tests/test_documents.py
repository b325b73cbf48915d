"""What the documents print works: every command and block of Python in them is run, or named with the reason."""

import re
from collections.abc import Iterator

import pytest

from tests.conftest import ROOT
from tests.documents import tables
from tests.documents.arguments import RefusedError, check_command, check_option, check_settings
from tests.documents.extract import Piece, pages, pieces
from tests.documents.shown import missing_line
from tests.documents.workshop import Workshop, demo_labels, shown_files
from tests.warm.protocol import FORK_OR_FAIL

PAGES = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in pages(ROOT)}
PIECES = {name: pieces(name, page) for name, page in PAGES.items()}
ALL = [piece for found in PIECES.values() for piece in found]


def of_kind(*kinds: str) -> list[Piece]:
    return [piece for piece in ALL if piece.kind in kinds]


def problems(found: list[Piece]) -> list[str]:
    """A line for each piece that its command would refuse, or that is neither run nor named in NOT_RUN."""
    lines = []
    for piece in found:
        text = tables.substituted(piece.text)
        try:
            if piece.kind == "shell" and not check_command(text) and not tables.not_run(piece.text):
                lines.append(f"{piece.where}: neither run nor named in NOT_RUN: {piece.text}")
            elif piece.kind == "setting":
                check_settings(text)
            elif piece.kind == "option":
                check_option(text)
        except RefusedError as reason:
            lines.append(f"{piece.where}: {piece.text}: {reason}")
    return lines


@pytest.mark.parametrize("document", PAGES)
def test_every_line_is_what_its_command_takes(document):
    assert not problems(PIECES[document])


@pytest.fixture(scope="session")
def workshop(tmp_path_factory) -> Iterator[Workshop]:
    """With the run that all pages share: the one that the README's first command leaves."""
    made = Workshop(tmp_path_factory.mktemp("checkout"), shown_files(of_kind("text")))
    made.run(f"{FORK_OR_FAIL}=1 python -c pass", check=True)  # or all lines would take some seconds more
    made.run("./launch.sh", check=True)
    yield made
    made.close()


@pytest.mark.slow
@pytest.mark.parametrize(
    "document", [name for name in PAGES if any(p.kind in ("shell", "python") for p in PIECES[name])]
)
def test_every_line_runs(workshop, document):
    """In the page's order; what fails is listed with the end of what it said."""
    failed = []
    for piece in PIECES[document]:
        if piece.kind == "shell" and not tables.not_run(piece.text):
            done = workshop.run(piece.text)
        elif piece.kind == "python":
            done = workshop.run_python(prelude(piece) + piece.text)
        else:
            continue
        if done.returncode:
            failed.append(f"{piece.where}: {piece.text}\nended with {done.returncode}: {done.stdout[-1500:]}")
    assert not failed, "\n".join(failed)


def prelude(piece: Piece) -> str:
    return "".join(
        entry.code for entry in tables.PRELUDES if entry.document == piece.document and entry.line in piece.text
    )


@pytest.mark.slow
@pytest.mark.parametrize("shown", [entry for entry in tables.SHOWN if entry.command], ids=lambda entry: entry.document)
def test_output_is_shown_as_it_is_printed(workshop, shown):
    done = workshop.run(shown.command)
    assert done.returncode == 0, done.stdout[-2000:]
    (block,) = [p.text for p in of_kind("text") if p.document == shown.document and p.text.startswith(shown.first_line)]
    missing = missing_line(block, done.stdout, demo_labels())
    assert missing is None, f"{shown.document}: nothing like {missing!r} in\n{done.stdout}"


def test_every_block_of_text_is_compared_with_something():
    shown = (piece for piece in of_kind("text") if piece.document != tables.MINIATURES)
    printed = {(piece.document, piece.text.splitlines()[0]) for piece in shown}
    assert printed == {entry[:2] for entry in tables.SHOWN}
    lines = {piece.text for piece in of_kind("shell")}
    assert not [entry.command for entry in tables.SHOWN if entry.command and entry.command not in lines]


def test_the_hostfile_is_one(tmp_path):
    from deepspeed.launcher.runner import fetch_hostfile

    (tmp_path / "hostfile").write_text(shown_files(of_kind("text"))["hostfile"])
    assert fetch_hostfile(str(tmp_path / "hostfile")) == {"node1": 2, "node2": 2}


def test_no_entry_of_the_tables_is_left_over():
    """Each matches a line of today's documents."""
    lines = [piece.text for piece in of_kind("shell", "setting")]
    blocks = of_kind("python")
    left = [str(entry) for entry in tables.NOT_RUN if not any(map(entry.matches, lines))]
    left += [str(entry) for entry in tables.SUBSTITUTIONS if not any(entry.old in line for line in lines)]
    left += [
        str(entry)
        for entry in tables.PRELUDES
        if not any(entry.document == block.document and entry.line in block.text for block in blocks)
    ]
    left += [name for name in tables.CONFIGURATIONS if not (ROOT / "configs" / name).exists()]
    assert not left


def planted() -> list[tuple[str, int, str]]:
    """The README once for each option and setting of its commands, that one misspelt; with its line and new name."""
    copies = []
    for piece in PIECES["README.md"]:
        words = re.findall(
            r"(?<= )(?:--[a-z][\w-]*|[a-z]\w*\.[a-z]\w*(?==))", piece.text if piece.kind == "shell" else ""
        )
        for word in words:
            lines = PAGES["README.md"].splitlines(keepends=True)
            wrong = word[:-1] + "q" + word[-1]
            lines[piece.line - 1] = lines[piece.line - 1].replace(word, wrong)
            copies.append(("".join(lines), piece.line, wrong))
    return copies


def test_a_misspelt_option_in_the_readme_is_found():
    copies = planted()
    assert len(copies) > 15
    for page, line, wrong in copies:
        found = problems([piece for piece in pieces("README.md", page) if piece.line == line])
        assert [text for text in found if text.startswith(f"README.md:{line}: ") and wrong in text], wrong


@pytest.mark.parametrize(
    ("block", "says"),
    [
        ("```sh\npython -m mlcfast.trian configs/demo.yaml\n```\n", "No module named 'mlcfast.trian'"),
        ("```sh\npython -m mlcfast.train configs/dmeo.yaml\n```\n", "cannot read the configuration"),
        ("```sh\nnewtool --do configs/demo.yaml\n```\n", "neither run nor named"),
        ("Or `pip install something`.\n", "neither run nor named"),
        ("Set `loss.name=rolle`.\n", "rolle"),
        ("See `--top-n 3`.\n", "no command has the option"),
        ("```sh\nmlcfast predict best \\\n  photos --top-k 0  # none\n```\n", "--top-k"),
        ("Type `python -m bench.run --mintues 3`.\n", "--mintues"),
    ],
)
def test_a_wrong_line_is_found(block, says):
    (found,) = problems(pieces("page.md", f"# Page\n\n{block}"))
    assert says in found


def test_a_block_that_does_not_say_what_it_holds_is_an_error():
    with pytest.raises(ValueError, match=r"page\.md:3: a block of no language"):
        pieces("page.md", "# Page\n\n```\nmlcfast --help\n```\n")


def test_comments_and_continued_lines_of_a_shell_block():
    page = "```sh\n# first\necho 'a # b'   # then\n\n./launch.sh test \\\n    tests/ops\n```\n"
    found = pieces("page.md", page)
    assert [(piece.line, piece.text) for piece in found] == [(3, "echo 'a # b'"), (5, "./launch.sh test tests/ops")]


def test_what_is_shown_is_compared_by_its_shape():
    labels = ["one", "two", "red one"]
    printed = "start\none 12.00\ntwo  3.5\nmAP 7.25\n"
    assert missing_line("x.jpg  red one 0.9\n", "x.jpg  two 0.10  red one 0.05\n", labels) is None
    assert missing_line("red one 0.9\n", "green one 0.1\n", labels) == "red one 0.9"
    assert missing_line("…\ntwo 88.74\nmAP 95.19\n", printed, labels) is None
    assert missing_line("mAP 95.19\ntwo 88.74\n", printed, labels) == "two 88.74"
    assert missing_line("photo.jpg  one 0.9\n", "photo.jpg  two 0.10  one 0.05\n", labels) is None
    assert missing_line("mAP 95.19\n", "mAP nan\n", labels) == "mAP 95.19"
    few = "two 5.00  0.0 to 51.1 (95 %): 2 images have it\none 0.00  no image has it\n"
    assert missing_line("two 57.52\nred one 69.31\n", few, labels) is None
    assert missing_line("two 57.52\n", "two 5.00  anything else\n", labels) == "two 57.52"
