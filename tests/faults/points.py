"""A run in a process of its own that is killed, or whose disk is full, from its N-th touch of the run's directory on.

Touches are what Python's audit hook sees: opening, creating, renaming, exchanging and removing files.
"""

import errno
import os
import signal
import sys
from pathlib import Path

# With renameat2, by which best/ takes its new content's place; ctypes looks the symbol up right before it is called.
EVENTS = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.chmod", "ctypes.dlsym"}
NEED_SPACE = {"open", "os.mkdir", "os.rename"}


class Fault:
    """Counts the touches of `directory`; from number `first` on, for `count` of them, does what `kind` says.

    kind: kill ends the process before the touch; full lets what needs space fail with ENOSPC; none only counts.
    """

    def __init__(self, directory: Path, kind: str, first: int, count: int = 10**9):
        self.directory, self.kind, self.first, self.count = str(directory), kind, first, count
        self.seen: list[str] = []

    def __call__(self, event: str, arguments: tuple) -> None:
        """The audit hook."""
        if event not in EVENTS or not self._touches(event, arguments):
            return
        number = len(self.seen)
        self.seen.append(f"{event} {' '.join(map(str, arguments[:2]))}")
        if not self.first <= number < self.first + self.count:
            return
        if self.kind == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.kind == "full" and event in NEED_SPACE:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), os.fspath(arguments[0]))  # as these calls name it

    def _touches(self, event: str, arguments: tuple) -> bool:
        if event == "ctypes.dlsym":
            return "renameat2" in arguments
        if event == "open" and not (arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            return False
        return any(os.fspath(path).startswith(self.directory) for path in arguments[:2] if isinstance(path, str | Path))


def train(file: Path, overrides: list[str], resume: bool, fault: Fault, said: Path) -> None:
    """Run the configuration under the fault; `said` takes its log, its error and, after `touches`, what was counted.

    Exits with 1 for an error that a command reports in one line, and 3 for another.
    """
    import logging
    import traceback

    import torch

    from mlcfast.config import load_config
    from mlcfast.engine import Process
    from mlcfast.errors import RunError, UsageError
    from mlcfast.training import run as training

    training.draw_outcome = lambda *_: None  # what is drawn afterwards is no save, and slow
    training.report_run = lambda *_: (None, None)
    torch.set_num_threads(1)
    status = 0
    with said.open("w", encoding="utf-8") as out:
        sys.stderr = out
        logging.basicConfig(stream=out, level=logging.INFO, force=True, format="%(message)s")
        config = load_config(file, overrides)
        sys.addaudithook(fault)
        try:
            training.run(config, Process(), config.run_directory if resume else None)
        except (RunError, UsageError) as error:
            out.write(f"error: {error}\n")
            status = 1
        except OSError as error:  # as cli.run reports it
            out.write(f"error: {error.filename}: {error.strerror}\n")
            status = 1 if error.filename else 3
        except Exception:
            out.write(traceback.format_exc())
            status = 3
        fault.kind = "none"
        out.write("\n".join(["touches", *fault.seen, ""]))
    os._exit(status)
