"""Files changed at random end in one line that names them, or are read: no traceback, no endless wait, no crash.

The quick part runs in the suite; `MLCFAST_MUTANTS=12000 pytest tests/faults/test_fuzz.py` is the long one, of 10,000
images and 2,000 other files.
"""

import os
import random
import resource
import signal
import warnings
from pathlib import Path

import pytest

from mlcfast.errors import RunError, UsageError
from tests.faults.mutants import KINDS, Kind, changed

MUTANTS = int(os.environ.get("MLCFAST_MUTANTS", "0"))
QUICK = 6  # of each kind
MOST_BYTES = 2**30  # of memory that mutants of one kind may add to the process's peak
LONGEST = 500  # characters of a line
SECONDS = 5.0  # of this process's own time, which other work on the machine does not lengthen


class EndlessError(BaseException):
    """Took longer than SECONDS."""


def complaint(kind: Kind, root: Path) -> str:
    """What is wrong with how these files are read; "" for a result and for an error of one line that names them."""

    def end(*_: object) -> None:
        raise EndlessError

    before = signal.signal(signal.SIGVTALRM, end)
    signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS)
    try:
        kind.use(root)
    except (UsageError, RunError) as error:
        message = str(error)
        if str(root) not in message:
            return f"names no file: {message}"
        return f"{len(message)} characters" if len(message) > LONGEST or "\n" in message else ""
    except EndlessError:
        return f"takes more than {SECONDS} s"
    except Exception as error:
        return f"{type(error).__name__}: {str(error)[:150]}"
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
    return ""


def number_of(name: str) -> int:
    """How many mutants of this kind: in the long form five sixths of all are images."""
    if not MUTANTS:
        return QUICK
    return MUTANTS * 5 // 6 if name == "pictures" else -(-MUTANTS // 6 // (len(KINDS) - 1))


def peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@pytest.mark.parametrize("name", KINDS)
def test_changed_files_end_in_one_line_that_names_them(tmp_path, tally, name):
    kind, complaints = KINDS[name], []
    files = kind.make(tmp_path)
    assert complaint(kind, tmp_path) == ""
    before = peak_bytes()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for number in range(number_of(name)):
            draw = random.Random(f"{name} {number}")
            file = draw.choice(files)
            whole = file.read_bytes()
            file.write_bytes(changed(whole, file.name, draw))
            said = complaint(kind, tmp_path)
            complaints += [f"mutant {number} of {file.name}: {said}"] if said else []
            file.write_bytes(whole)
    assert not complaints, f"{len(complaints)} complaints\n" + "\n".join(complaints[:20])
    assert peak_bytes() - before < MOST_BYTES
    what = "images" if name == "pictures" else "other files"
    tally[f"{what} changed at random, each with a result or one line that names it, in 5 s and 1 GiB"] += number + 1


def _raise(error: Exception) -> None:
    raise error


@pytest.mark.parametrize(
    ("use", "says"),
    [
        (lambda root: _raise(TypeError("unforeseen")), "TypeError: unforeseen"),
        (lambda root: _raise(UsageError("some file is damaged")), "names no file"),
        (lambda root: _raise(UsageError(f"{root}: damaged")), ""),
        (lambda root: None, ""),
    ],
    ids=["defect", "no file", "named", "result"],
)
def test_what_is_a_complaint(tmp_path, use, says):
    said = complaint(Kind(lambda root: [], use), tmp_path)
    assert said.startswith(says) and bool(said) == bool(says)
