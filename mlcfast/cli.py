"""Runs a command: failures as one line, `--debug` for the traceback, exit statuses 0, 1, 2 and 130.

Where `python -m mlcfast.COMMAND` is what runs, importing this module also makes one line of a package that the command
imports and that is not installed, and of Ctrl-C while it is imported; and the garbage collector rests until `run`.
"""

import argparse
import contextlib
import csv
import gc
import importlib
import io
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import NoReturn

from mlcfast import ancestors  # noqa: F401  # notes them, before anything that takes seconds to import
from mlcfast.errors import RunError, UsageError, dead_worker, missing_extra, printable

# Read by OpenMP when torch is loaded, so every command imports this module first. Threads without work then sleep
# instead of spinning, which costs a machine that also does other work far more than it gains (docs/notes.md).
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
# Read by torch when it first allocates on a GPU: segments that grow leave fewer holes between blocks of many sizes.
if "PYTORCH_CUDA_ALLOC_CONF" not in os.environ:  # the older name of the same
    os.environ.setdefault("PYTORCH_ALLOC_CONF", "expandable_segments:True")


FIRST_SPEAKS = 10.0  # seconds in which the first rank of a machine may say an error before another's end stops it

REQUIRED = "the following arguments are required: "  # argparse's words


class Parser(argparse.ArgumentParser):
    """An argument parser with an example in its help, `--debug`, and usage errors on one line."""

    def __init__(self, module: str, description: str, example: str):
        super().__init__(
            prog=f"python -m mlcfast.{module}",
            description=description,
            epilog=f"example:\n  {example}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        self.add_argument("--debug", action="store_true", help="show the traceback of an error")
        self.add_argument("--local_rank", "--local-rank", type=int, help=argparse.SUPPRESS)  # put there by launchers

    def error(self, message: str) -> NoReturn:
        """Print the message on one line and exit with status 2."""
        head, names = message.partition(REQUIRED)[1:]
        if head:  # argparse also counts what may be left out, where options and settings are mixed
            spare = {action.metavar or action.dest for action in self._actions if action.nargs == "*"}
            message = head + ", ".join(name for name in names.split(", ") if name not in spare)
        self.exit(2, f"error: {message} (see {self.prog} --help)\n")


def at_least(smallest: int) -> Callable[[str], int]:
    """An argparse type: a whole number from `smallest` on."""

    def whole_number(text: str) -> int:
        if not text.isdecimal() or int(text) < smallest:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least {smallest}")
        return int(text)

    return whole_number


def probability(text: str) -> float:
    """An argparse type: a number in [0, 1]."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to 1")
    return value


def names(text: str) -> list[str]:
    """An argparse type: names between commas; a name that holds a comma stands in double quotes, as in CSV."""
    try:
        (found,) = csv.reader([text], strict=True, skipinitialspace=True)
    except csv.Error:
        found = []
    if not found or not all(found):
        raise argparse.ArgumentTypeError(f"""{text!r} is no list of names such as A,B or '"A, with a comma",B'""")
    return found


@contextlib.contextmanager
def loading() -> Iterator[None]:
    """Imports go on in here without the garbage collector, which afterwards leaves aside what they made.

    What torch and timm load is here to stay: some 400,000 objects, which the collector would go through again and again
    while they are made, and once more when the process ends. A short command takes two fifths less time without.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def load(modules: Sequence[str]) -> None:
    """Import what is not there yet; the collector works from here on, if it has rested since this module's import."""
    missing = [name for name in modules if name not in sys.modules]
    if missing or not gc.isenabled():
        with loading():
            for name in missing:
                importlib.import_module(name)


def run(
    parser: Parser,
    work: Callable[[argparse.Namespace], int | None],
    argv: Sequence[str] | None = None,
    needs: Sequence[str] = (),
) -> int:
    """Parse `argv`, call `work` with the result and turn what it raises into one line on stderr.

    needs: modules that take seconds to import and that `work` uses; help and errors of usage do not wait for them.

    Returns the exit status: what `work` returned (None is 0), 2 for a UsageError and for a package that an extra would
    bring, 1 for any other exception, 130 after Ctrl-C.
    """
    if not gc.isenabled():
        gc.freeze()  # parsing may end the process
    args = parser.parse_intermixed_args(argv)  # settings may also follow an option
    if isinstance(sys.stdout, io.TextIOWrapper):  # a name of other bytes than UTF-8 is shown with these as \udcff
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        load(needs)
        return work(args) or 0
    except BrokenPipeError:
        # The reader went away (`… | head`); keep the interpreter from complaining again when it flushes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        if args.debug:
            raise
        return _report("interrupted", 130)
    except (UsageError, RunError) as error:
        if args.debug:
            raise
        status = 2 if isinstance(error, UsageError) else 1
        rank, local_rank = _place_among_ranks(os.environ)
        if status == 2 and local_rank:  # raised on every rank of a machine alike, said by the first of them
            time.sleep(FIRST_SPEAKS)  # a launcher ends all with the first that ends; it ends this one here
            return status
        where = f"rank {rank}: " if status == 2 and rank else ""  # the first of all may not have it: other files
        return _report(f"error: {where}{error}", status)
    except Exception as error:
        if args.debug:
            raise
        if isinstance(error, OSError) and error.filename is not None:
            return _report(f"error: {error.filename}: {error.strerror}", 1)
        if died := dead_worker(error):
            return _report(f"error: {died}", 1)
        missing = missing_extra(error, parser.prog.rpartition(".")[2]) if isinstance(error, ImportError) else None
        if missing:
            return _report(f"error: {missing}", 2)
        return _report(f"error: {type(error).__name__}: {error} (--debug shows the traceback)", 1)


def _place_among_ranks(environment: Mapping[str, str]) -> tuple[int, int]:
    """This process's rank in its run and on its machine, as in engine.discover, which would need torch."""
    names = ("SLURM_PROCID", "SLURM_LOCALID")
    if "RANK" in environment and "WORLD_SIZE" in environment:
        names = ("RANK", "LOCAL_RANK")
    elif environment.get("SLURM_STEP_NUM_TASKS", "1") == "1":
        return 0, 0
    rank, local_rank = (environment.get(name, "0") for name in names)
    return (int(rank), int(local_rank)) if rank.isdecimal() and local_rank.isdecimal() else (0, 0)


def _report(message: str, status: int) -> int:
    print(printable(" ".join(message.split())), file=sys.stderr)
    return status


def _end_in_one_line(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """The excepthook of a command: one line for a package that an extra would bring, and for Ctrl-C during imports."""
    missing = missing_extra(error, _command_that_runs()) if isinstance(error, ImportError) else None
    if "--debug" not in sys.argv and missing is not None:
        sys.exit(_report(f"error: {missing}", 2))
    if "--debug" not in sys.argv and isinstance(error, KeyboardInterrupt):
        sys.exit(_report("interrupted", 130))
    sys.__excepthook__(kind, error, trace)


def _command_that_runs() -> str:
    """`train` in `python -m mlcfast.train`; nothing in any other program, `mlcfast train` included."""
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    package, *names = (spec.name if spec else "").removesuffix(".__main__").split(".")
    return names[0] if package == "mlcfast" and names else ""


if _command_that_runs():  # before the command imports what it needs
    sys.excepthook = _end_in_one_line
    gc.disable()  # as `loading` does
