"""Starts and ends the server, and writes the stand-in."""

import atexit
import functools
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from tests.warm.protocol import early_text

READ_BY_THE_FORK = ("PYTHONPATH", "PYTHONUNBUFFERED", "OMP_NUM_THREADS")

HERE = Path(__file__).parent
STAND_IN = """#!{python} -IS
import sys
sys.path.insert(0, {here!r})
import stand_in
stand_in.main({python!r}, {socket!r}, {early!r})
"""


class WarmPython:
    """A process with the libraries loaded, and an executable that stands for `python`.

    environment: of the server; callers whose environment says something else to the libraries get real interpreters.
    """

    def __init__(self, environment: Mapping[str, str]):
        # Not where pytest keeps its files: the path of a Unix socket has some hundred letters at most.
        self._place = Path(tempfile.mkdtemp(prefix="warm"))
        self.executable = self._place / "python"
        socket = self._place / "socket"
        given = {name: value for name, value in environment.items() if name not in READ_BY_THE_FORK}
        text = STAND_IN.format(
            python=sys.executable,
            here=str(HERE),
            socket=str(socket),
            early=early_text(given),
        )
        self.executable.write_text(text)
        self.executable.chmod(0o755)
        begin = f"__import__('sys').path.insert(0, {str(HERE)!r}); __import__('warm_server').main({str(socket)!r})"
        # A session of its own: Ctrl-C ends it by the end of its input, so that it can end what it has forked.
        self._server = subprocess.Popen(
            [sys.executable, "-P", "-c", begin],
            cwd="/", env=given, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip
        assert self._server.stdout is not None
        if self._server.stdout.readline() != "ready\n":
            raise RuntimeError("the process with the libraries loaded did not start")

    @functools.cached_property
    def scripts(self) -> Path:
        """A folder for the front of PATH, with `python`, `torchrun`, `deepspeed` and the others."""
        self.install(Path(sys.executable).parent, self._place / "bin")
        return self._place / "bin"

    def install(self, scripts: Path, directory: Path) -> None:
        """Write a folder of commands like `scripts`, in which `python` and what is written in Python start warm."""
        directory.mkdir()
        first = f"#!{scripts / 'python'}"
        for script in sorted(scripts.iterdir()):
            copy = directory / script.name
            if script.name in ("python", "python3", f"python3.{sys.version_info.minor}"):
                copy.symlink_to(self.executable)
            elif script.read_bytes().startswith(first.encode()):
                copy.write_text(script.read_text().replace(first, f"#!{directory / 'python'}", 1))
                copy.chmod(0o755)
            else:
                copy.symlink_to(script)

    def close(self) -> None:
        """End the server and whatever it has forked that still runs."""
        assert self._server.stdin is not None
        self._server.stdin.close()
        try:
            self._server.wait(60)
        except subprocess.TimeoutExpired:
            self._server.kill()
            self._server.wait()
            shutil.rmtree(self._place)


@functools.cache
def shared() -> WarmPython:
    """One for all tests of this process, which ends with it."""
    made = WarmPython(os.environ)
    atexit.register(made.close)
    return made
