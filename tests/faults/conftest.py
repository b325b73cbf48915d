"""The long form of a fault test, asked for by a variable MLCFAST_…, writes what it counted into docs/reliability.md."""

import datetime
import os
import re
from collections import Counter

import pytest
import torch

from tests.conftest import ROOT

PAGE = ROOT / "docs" / "reliability.md"
TALLY = pytest.StashKey[Counter]()
HEADER = "| What was run | Result |\n|---|---|\n"


def pytest_configure(config: pytest.Config) -> None:
    """Nothing is counted yet."""
    config.stash[TALLY] = Counter()


@pytest.fixture(scope="session")
def tally(request) -> Counter:
    """How often something was tried and held, by what that is; each test adds to it."""
    return request.config.stash[TALLY]


def long_form(arguments: list[str], environment: dict[str, str]) -> str | None:
    """The command of the long form that these arguments of pytest and this environment ask for; None for any other."""
    files = [word for word in arguments if not word.startswith("-")]
    found = re.search(r"`(MLCFAST_\w+)=", (ROOT / files[0]).read_text(encoding="utf-8")) if len(files) == 1 else None
    if found is None or found[1] not in environment:
        return None
    return f"{found[1]}={environment[found[1]]} pytest {files[0]}"


def with_result(page: str, command: str, result: str) -> str:
    """The page with this result in the table of what was run, in place of an earlier one of the command if any."""
    row = f"| `{command}` | {result} |\n"
    earlier = re.compile(rf"^\| `{re.escape(command)}` \| .*\n", re.MULTILINE)
    before, header, table = page.partition(HEADER)
    assert header, "the page has no table of what was run"
    if earlier.search(table):
        return before + header + earlier.sub(lambda _: row, table)
    return before + header + row + table


def sentence(tally: Counter, failed: int) -> str:
    """What was counted, in words, with the day and torch's version."""
    counted = "; ".join(f"{number:,} {what}" for what, number in tally.items()) or "nothing held"
    wrong = f"; {failed} tests failed" if failed else ""
    return f"{counted}{wrong} ({datetime.date.today()}, torch {torch.__version__.partition('+')[0]})"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Write the row of a long form that ran by itself and whole."""
    command = long_form([str(word) for word in config.invocation_params.args if word != "-q"], dict(os.environ))
    if command is None or "PYTEST_XDIST_WORKER" in os.environ:
        return
    failed = sum(len(terminalreporter.stats.get(kind, [])) for kind in ("failed", "error"))
    text = with_result(PAGE.read_text(encoding="utf-8"), command, sentence(config.stash[TALLY], failed))
    PAGE.write_text(text, encoding="utf-8")
    terminalreporter.write_line(f"{PAGE.relative_to(ROOT)}: the row of `{command}` is written")
