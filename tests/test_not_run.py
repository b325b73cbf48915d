"""The list at the end of a run of the tests: only hardware may be on it, and nothing runs unseen."""

import os
import subprocess
import sys

import pytest

from tests.conftest import ROOT
from tests.not_run import ELSEWHERE, ran_elsewhere

CASES = """
import pytest
from tests.not_run import *

@pytest.mark.skip(reason="needs a GPU of compute capability 8.0")
def test_waits(): pass

@pytest.mark.skip(reason="needs a processor with AVX2")
def test_waits_too(): pass

def test_runs(): pass

@pytest.mark.interpreted
def test_belongs_elsewhere(): raise AssertionError
"""
PACKAGE = '\ndef test_wants():\n    pytest.importorskip("a_package_that_is_not_there")\n'


def run_tests(directory, text: str, *options: str) -> subprocess.CompletedProcess:
    """The cases in a pytest of their own, with this project's hooks."""
    (directory / "conftest.py").write_text("from tests.not_run import *\n")
    (directory / "pytest.ini").write_text("[pytest]\nmarkers = interpreted: elsewhere\n")
    (directory / "test_cases.py").write_text(text)
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(directory), *options],
        cwd=directory, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_what_waits_for_hardware_is_listed(tmp_path):
    done = run_tests(tmp_path, CASES, "--only-hardware")
    assert done.returncode == 0, done.stdout
    assert "1: needs a GPU of compute capability 8.0\n" in done.stdout
    assert "1: needs a processor with AVX2\n" in done.stdout
    assert "1 passed, 2 skipped" in done.stdout


def test_what_could_be_installed_is_told_apart(tmp_path):
    strict, lenient = (run_tests(tmp_path, CASES + PACKAGE, *options) for options in (["--only-hardware"], []))
    assert (strict.returncode, lenient.returncode) == (1, 0)
    for done in (strict, lenient):
        (line,) = [line for line in done.stdout.splitlines() if line.startswith("1: could not import")]
        assert line.endswith("(no hardware: this can be installed)")


def test_nothing_skipped_is_said(tmp_path):
    done = run_tests(tmp_path, "def test_runs(): pass\n")
    assert done.returncode == 0 and "nothing was skipped" in done.stdout


def test_tests_of_another_process_are_counted(pytestconfig):
    stash = pytestconfig.stash[ELSEWHERE]
    try:
        assert ran_elsewhere(pytestconfig, "a test", "....\n21 passed, 3 deselected in 5.00s") == 21
        assert stash.pop("a test") == 21
    finally:
        stash.pop("a test", None)


@pytest.mark.parametrize("last", ["1 failed, 20 passed in 5s", "20 passed, 1 skipped in 5s", "no tests ran in 1s"])
def test_another_process_must_run_all_its_tests(pytestconfig, last):
    with pytest.raises(AssertionError):
        ran_elsewhere(pytestconfig, "a test", last)
