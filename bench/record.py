"""The one record: JSON lines, each written as soon as it is measured, in bench/results/<device>-<date>.jsonl.

A run begins with a row of provenance (suite "run", event "begin"). Every other row carries that run's identifier, so
that runs may share a file and rows need not repeat where they were measured. bench/README.md lists the columns.
"""

import datetime
import hashlib
import json
import platform
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

Row = dict[str, Any]
ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "bench" / "results"
KERNEL_SOURCES = ("mlcfast/ops", "csrc")
EARLIER_WORDS = {"part": "suite", "variant": "contender"}  # column names of records made before December 2026
EARLIER_SUITES = {"compiled": "resources"}


def record_path(device_name: str, day: datetime.date, folder: Path = RESULTS) -> Path:
    """Where a run on this device on this day is recorded: the name in lower case, its words joined by hyphens."""
    return folder / f"{slug(device_name)}-{day.isoformat()}.jsonl"


def slug(device_name: str) -> str:
    """The device's name as it stands in file names."""
    return re.sub(r"[^a-z0-9]+", "-", device_name.lower()).strip("-") or "device"


def append(path: Path, row: Row) -> None:
    """Write one row so that it is whole in the file before this returns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")


def read(path: Path) -> Iterator[Row]:
    """The rows of a record, earlier words replaced by today's; a line cut short by a killed process is left out."""
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            continue
        if isinstance(row, dict):
            row = {EARLIER_WORDS.get(key, key): value for key, value in row.items()}
            yield row | {"suite": EARLIER_SUITES.get(row["suite"], row["suite"])} if "suite" in row else row


def provenance(device: str) -> Row:
    """Device, threads, versions and commit ("+" after it: with uncommitted changes)."""
    return {
        "device": torch.cuda.get_device_name() if device == "cuda" else _cpu_model(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "commit": _git("rev-parse", "--short", "HEAD") + ("+" if _git("status", "--porcelain", "mlcfast") else ""),
    }


def sources_digest(root: Path = ROOT) -> str:
    """Twelve hex digits of everything kernels are made from: the operators' Python and csrc."""
    digest = hashlib.sha256()
    for folder in KERNEL_SOURCES:
        for path in sorted((root / folder).rglob("*")):
            if path.suffix in (".py", ".cpp", ".h", ".cu", ".cuh"):
                digest.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]


def setting(device: str) -> dict[str, str]:
    """What a correctness row holds for: the kernels' sources, torch, and the device with its name."""
    name = torch.cuda.get_device_name() if device == "cuda" else "cpu"
    return {"sources": sources_digest(), "torch": torch.__version__, "tested_on": name}


class Gate:
    """What may be timed: implementations that the record shows to be right, from the very sources that are here now."""

    def __init__(self, record: Path):
        self._rows = [row for row in read(record) if "passed" in row]

    def refusal(self, operator: str, backend: str, device: str) -> str | None:
        """Why this implementation may not be timed on the device: a failed case, or none tested; None if it may."""
        wanted = {"operator": operator, "backend": backend, **setting(device)}
        rows = [row for row in self._rows if all(row.get(key) == value for key, value in wanted.items())]
        rows = [row for row in rows if row.get("run") == rows[-1].get("run")]  # the newest run's word counts
        failed = [row for row in rows if not row["passed"]]
        if failed:
            return f"failed {len(failed)} of {len(rows)} correctness cases, such as {failed[0]['case']}"
        return None if rows else "no correctness case has been run"


def _cpu_model() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    fields = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    family = "/".join(fields.get(key, "?") for key in ("cpu family", "model"))
    return f"{fields.get('model name', platform.processor())} (family/model {family})"


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    except OSError:  # no git here
        return ""
    return done.stdout.strip()
