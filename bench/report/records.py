"""The records of bench/results, gathered by device: which run of it a row comes from, and which rows are the newest."""

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field
from operator import itemgetter
from pathlib import Path

from bench.record import RESULTS, Row, read

run_of = itemgetter("run")


@dataclass
class Device:
    """What was measured on one device: `runs`, the first row of each by its identifier, and all other rows."""

    name: str
    runs: dict[str, Row] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)

    @property
    def is_gpu(self) -> bool:
        """Whether this is a GPU."""
        return self.runs[max(self.runs)]["tested_on"] != "cpu"

    def suite(self, name: str) -> list[Row]:
        """The measured rows of a suite, those of the newest run last."""
        return [row for row in self.rows if row["suite"] == name and "event" not in row]

    def events(self) -> dict[str, Row]:
        """How each suite ended when it was last run."""
        return {row["suite"]: row for row in self.rows if "event" in row and row["suite"] != "run"}

    def ceilings(self) -> dict[str, float]:
        """Ceiling -> bytes or FLOP a second, from the newest run that measured it."""
        return {row["ceiling"]: row["per_second"] for row in self.suite("ceilings") if "per_second" in row}

    def caption(self, rows: Iterable[Row]) -> str:
        """The device, and torch and commit of the runs that the rows come from."""
        commits: dict[str, dict[str, None]] = {}
        for name in sorted({row["run"] for row in rows}):
            begin = self.runs[name]
            commits.setdefault(begin["torch"], {})[begin["commit"] or "unknown"] = None
        return f"{self.name}; " + "; ".join(f"torch {torch}, commit {', '.join(c)}" for torch, c in commits.items())


def load(folder: Path = RESULTS) -> list[Device]:
    """The devices of all records in the folder, GPUs first, the newest before others; rows of no run are left out."""
    devices: dict[str, Device] = {}
    for path in sorted(folder.glob("*.jsonl")):
        names: dict[str, str] = {}
        for row in read(path):
            if row.get("suite") == "run" and row.get("event") == "begin":
                names[row["run"]] = row["device"]
                devices.setdefault(row["device"], Device(row["device"])).runs[row["run"]] = row
            elif row.get("run") in names and "suite" in row:
                devices[names[row["run"]]].rows.append(row)
    for device in devices.values():
        device.rows.sort(key=run_of)
    return sorted(devices.values(), key=lambda device: (device.is_gpu, max(device.runs)), reverse=True)


def newest(rows: Iterable[Row], key: Callable[[Row], Hashable]) -> dict[Hashable, list[Row]]:
    """key -> the rows of the newest run that has any, so that what stands side by side was timed side by side."""
    groups: dict[Hashable, list[Row]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return {name: [row for row in group if row["run"] == max(map(run_of, group))] for name, group in groups.items()}
