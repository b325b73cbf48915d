"""What may be timed: implementations that the record shows to be right, from the very sources that are here now."""

import hashlib
from pathlib import Path

import torch

from bench.record import read

ROOT = Path(__file__).resolve().parents[1]
KERNEL_SOURCES = ("mlcfast/ops", "csrc")


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
    """The verdicts of a record's correctness rows."""

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
