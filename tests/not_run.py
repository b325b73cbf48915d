"""What a run of the tests says at its end: which did not run and why, and how many ran in a process of their own.

The run may be shared out among several processes by pytest-xdist: each hands what it took down to the one that reports.
"""

import os
import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

import pytest

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
ELSEWHERE = pytest.StashKey[dict[str, int]]()  # tests that passed in other processes, by what those are
LEFT_TO_IT = pytest.StashKey[int]()  # tests marked `interpreted` that were collected here and left out
# How a test says that it waits for hardware.
HARDWARE = re.compile(r"needs (a|one|two|several|\d+) .*\b(GPUs?|processor)\b")


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--only-hardware`, for a machine that has everything but the hardware."""
    text = "end with 1 if a test was skipped for want of anything but hardware"
    parser.addoption("--only-hardware", action="store_true", help=text)


def pytest_configure(config: pytest.Config) -> None:
    """Nothing has run elsewhere yet."""
    config.stash[ELSEWHERE], config.stash[LEFT_TO_IT] = {}, 0


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave tests marked `interpreted` to the process that a test starts for them: they are no skips of this one."""
    if not INTERPRETED:
        here = [item for item in items if item.get_closest_marker("interpreted") is None]
        config.stash[LEFT_TO_IT] = len(items) - len(here)
        items[:] = here


def ran_elsewhere(config: pytest.Config, where: str, output: str) -> int:
    """Take down how many tests passed in another process, from the last line that pytest printed there.

    AssertionError if it counts anything but passed and deselected ones.
    """
    last = output.splitlines()[-1].split(" in ")[0]
    counts = {word: int(number) for number, word in re.findall(r"(\d+) ([a-z]+)", last)}
    assert set(counts) <= {"passed", "deselected", "warning", "warnings"} and counts.get("passed"), output[-4000:]
    config.stash[ELSEWHERE][where] = counts["passed"]
    return counts["passed"]


def reasons(reports: Iterable[pytest.TestReport | pytest.CollectReport]) -> dict[str, int]:
    """How many tests, or files of tests, were skipped for each reason."""
    texts = (report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr) for report in reports)
    return dict(Counter(text.removeprefix("Skipped: ") for text in texts))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """The list of what was not run."""
    found = reasons(terminalreporter.stats.get("skipped", []))
    terminalreporter.section("not run")
    for reason, count in sorted(found.items()):
        kind = "" if HARDWARE.search(reason) else "  (no hardware: this can be installed)"
        terminalreporter.line(f"{count}: {reason}{kind}")
    if not found:
        terminalreporter.line("nothing was skipped")
    for where, count in config.stash[ELSEWHERE].items():
        terminalreporter.line(f"{count} more passed in {where}, a process of its own")


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take over what a process of pytest-xdist took down; one that has crashed hands on nothing."""
    node.config.stash[ELSEWHERE].update(getattr(node, "workeroutput", {}).get("elsewhere", {}))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """With `--only-hardware` a skip for another reason is a failure."""
    if hasattr(session.config, "workeroutput"):  # a process of pytest-xdist, which reports nothing itself
        session.config.workeroutput["elsewhere"] = session.config.stash[ELSEWHERE]
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    skipped = reasons(reporter.stats.get("skipped", [])) if reporter else {}
    wrong = [reason for reason in skipped if not HARDWARE.search(reason)]
    if session.config.getoption("--only-hardware") and wrong and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
