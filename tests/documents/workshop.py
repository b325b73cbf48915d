"""A scratch directory laid out as a reader's checkout after the installation, in which printed lines are run."""

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

from PIL import Image

from mlcfast.data.demo_styles import STYLES
from tests.documents.arguments import ROOT, shortened
from tests.documents.tables import CONFIGURATIONS, DEMO_IMAGES, SHOWN, substituted
from tests.warm import WarmPython

LINKED = ("tests", "mlcfast", "bench")
COPIED = ("launch.sh", "setup.py", "pyproject.toml", "csrc")
INSTALLED = ("lib", "lib64", "include", "share", "pyvenv.cfg")
TIMEOUT = 600  # seconds for a line; on a busy machine a line of several runs has taken 200


class Workshop:
    """Runs each line once, however often it is printed; a later page goes on with what an earlier one left.

    directory: where everything is written. `python` and the commands beside it start with the libraries loaded.
    """

    def __init__(self, directory: Path, blocks: dict[str, str]):
        """blocks: what SHOWN's files hold, by file."""
        self.directory = directory
        self._done: dict[str, subprocess.CompletedProcess] = {}
        # As it is now: what tests import later sets variables too, and then `python` would not start warm.
        self._given = {name: value for name, value in os.environ.items() if not name.startswith(("MLCFAST", "TRITON"))}
        self._python = WarmPython(self._environment())
        self._install()
        self._configure()
        for words in ("datasets/demo", "datasets/clutter --style clutter"):
            self.run(f"python -m mlcfast.demo_data {words} --images {DEMO_IMAGES}", check=True)
        self._put_data(blocks)

    def close(self) -> None:
        """No line can be run any more."""
        self._python.close()

    def run(self, line: str, check: bool = False) -> subprocess.CompletedProcess:
        """A shell line with its substitutions; stdout holds stderr too. check: AssertionError unless it ends with 0."""
        # Two launchers on one machine may not share a port, and another test may hold the default one.
        text = substituted(line).replace("deepspeed --num_gpus", f"deepspeed --master_port {free_port()} --num_gpus")
        return self._once(line, ["bash", "-e", "-o", "pipefail", "-c", text], check)

    def run_python(self, code: str) -> subprocess.CompletedProcess:
        """A block of Python as a program of its own, for which the folder `datasets` is no package of that name."""
        return self._once(code, ["python", "-P", "-c", code], check=False)

    def _once(self, key: str, words: list[str], check: bool) -> subprocess.CompletedProcess:
        if key not in self._done:
            self._done[key] = subprocess.run(
                words, cwd=self.directory, env=self._environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT, text=True, timeout=TIMEOUT, check=False,
            )  # fmt: skip
        done = self._done[key]
        assert done.returncode == 0 or not check, f"{key}\n{done.stdout[-2000:]}"
        return done

    def _environment(self) -> dict[str, str]:
        """As after `source .venv/bin/activate`; nothing is downloaded, and a process keeps to one core."""
        return self._given | {
            "PATH": f"{self.directory}/.venv/bin{os.pathsep}{self._given['PATH']}",
            "PYTHONPATH": str(ROOT),
            "HF_HUB_OFFLINE": "1",
            "OMP_NUM_THREADS": "1",
            "PET_MASTER_PORT": str(free_port()),  # torchrun's
        }

    def _install(self) -> None:
        """The checkout, with `.venv` as launch.sh leaves it: that it has nothing to install is what it is told."""
        for name in LINKED:
            (self.directory / name).symlink_to(ROOT / name)
        for name in COPIED:
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            copy(ROOT / name, self.directory / name)
        venv = self.directory / ".venv"
        venv.mkdir()
        for name in INSTALLED:
            if (Path(sys.prefix) / name).exists():
                (venv / name).symlink_to(Path(sys.prefix) / name)
        self._python.install(Path(sys.prefix) / "bin", venv / "bin")
        fingerprint = (
            """eval "$(sed -n '/^fingerprint()/,/^}/p' launch.sh)"; echo "$(fingerprint) all,test" >.venv/ready"""
        )
        subprocess.run(["bash", "-c", fingerprint], cwd=self.directory, check=True)

    def _configure(self) -> None:
        (self.directory / "configs").mkdir()
        for path in sorted((ROOT / "configs").glob("*.yaml")):
            text = shortened(path, CONFIGURATIONS.get(path.name, {}))
            (self.directory / "configs" / path.name).write_text(text, encoding="utf-8")

    def _put_data(self, blocks: dict[str, str]) -> None:
        """The reader's own images: a demo set in MS-COCO's layout with the README's table, and loose photographs."""
        mine, demo = self.directory / "mine", self.directory / "datasets" / "clutter"
        shutil.copytree(demo, mine, ignore=shutil.ignore_patterns("demo.json", ".*"))
        scenes = sorted((demo / "test").glob("*.jpg"))
        for name in ("mine/images/0001.jpg", "photos/a.jpg", "photos/b.jpg", "holiday/c.jpg", "photo.jpg"):
            place = self.directory / name
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(scenes.pop(), place)
        for name in ("more/d.png", "more/beach/e.png"):
            place = self.directory / name
            place.parent.mkdir(parents=True, exist_ok=True)
            with Image.open(scenes.pop()) as image:
                image.save(place)
        for name, text in blocks.items():
            (self.directory / name).write_text(text, encoding="utf-8")


def free_port() -> int:
    """A port of this machine that nobody listens on just now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def shown_files(blocks: list) -> dict[str, str]:
    """What the pages' blocks of text put into files, by file."""
    held = {(piece.document, piece.text.splitlines()[0]): piece.text for piece in blocks}
    return {entry.file: held[entry[:2]] for entry in SHOWN if entry.file}


def demo_labels() -> list[str]:
    """The names of the demo's labels, which stand in the README's output in the order of their precision."""
    return [name for name, _ in STYLES["clutter"].categories.values()]
