"""MLflow's own server, a reader of Weights & Biases' offline files, and trackers that fail: what the tests need."""

import contextlib
import os
import struct
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from mlcfast.runs.directory import RunDirectory  # noqa: F401  a class that is no tracker
from mlcfast.runs.trackers import Tracker

READY = 120  # seconds within which the server answers, on a machine that has other work


class MLflowServer:
    """`mlflow server` on a store under `place`; it can be stopped and started again on the same port and store."""

    def __init__(self, place: Path, port: int):
        self.place, self.port, self.process = place, port, None
        self.uri = f"http://127.0.0.1:{port}"

    def start(self) -> None:
        """Returns once it answers."""
        words = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port)]
        words += ["--backend-store-uri", f"sqlite:///{self.place / 'store.db'}", "--workers", "1"]
        words += ["--artifacts-destination", str(self.place / "artifacts")]
        quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        log = (self.place / "server.log").open("ab")
        self.process = subprocess.Popen(words, env=os.environ | quiet, cwd=self.place, stdout=log, stderr=log)
        until = time.monotonic() + READY
        while not self._answers():
            assert self.process.poll() is None and time.monotonic() < until, (self.place / "server.log").read_text()
            time.sleep(0.2)

    def stop(self) -> None:
        """Returns once it is gone."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait(60)
        self.process = None

    def _answers(self) -> bool:
        with contextlib.suppress(OSError, urllib.error.URLError), urllib.request.urlopen(f"{self.uri}/health") as said:
            return said.status == 200
        return False


def offline_records(folder: Path) -> list:
    """The records of an offline run's `.wandb` file, once it is whole: it is written beside the process."""
    (file,) = folder.glob("*.wandb")
    until = time.monotonic() + READY
    while not (found := list(_records(file.read_bytes()))) or found[-1].WhichOneof("record_type") != "exit":
        assert time.monotonic() < until, f"{file} has no end"
        time.sleep(0.1)
    return found


def _records(content: bytes) -> Iterator:
    """A header of 7 bytes, then blocks of 32 KiB as LevelDB writes its log, as wandb 0.31 writes them.

    A chunk is a checksum (4 bytes), its length (2) and kind (1: whole; 2, 3, 4: first, middle, last part of a record).
    """
    from wandb.proto.wandb_internal_pb2 import Record

    at, parts = 7, b""
    while at + 7 <= len(content):
        if 32768 - at % 32768 < 7:
            at += 32768 - at % 32768
            continue
        _, size, kind = struct.unpack_from("<IHB", content, at)
        if at + 7 + size > len(content):  # it is being written
            return
        parts += content[at + 7 : at + 7 + size]
        at += 7 + size
        if kind in (1, 4):
            yield Record.FromString(parts)
            parts = b""


class Remembering(Tracker):
    """Keeps what it is sent; class attributes, since a run makes its own."""

    lines: ClassVar[list] = []
    files: ClassVar[list] = []
    opened: ClassVar[list] = []
    closed: ClassVar[list] = []

    def open(self, run):
        self.opened.append(run)

    def scalars(self, batch):
        self.lines.extend(batch)

    def file(self, path):
        self.files.append(path.name)

    def model(self, directory):
        self.files.append(directory.name)

    def close(self, finished):
        self.closed.append(finished)


class Raising(Tracker):
    """Fails in every call."""

    def open(self, run):
        raise RuntimeError("no such luck\nat all")


class Hanging(Tracker):
    """Never comes back."""

    SECONDS = 3600

    def open(self, run):
        time.sleep(self.SECONDS)


class Choosy(Tracker):
    """Takes an option."""

    def __init__(self, colour: str = "red"):
        if colour not in ("red", "blue"):
            raise ValueError(f"colour must be red or blue, not {colour!r}")
        self.colour = colour
