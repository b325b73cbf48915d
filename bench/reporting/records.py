"""The records of bench/results, gathered by device: which run of it a row comes from, and which rows are the newest."""

from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.record import RESULTS, read

Row = dict[str, Any]


@dataclass
class Device:
    """What was measured on one device: `runs`, the first row of each by its identifier, and all other rows."""

    name: str
    runs: dict[str, Row] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)

    @property
    def is_gpu(self) -> bool:
        """Whether this is a GPU."""
        return self.last_run["tested_on"] != "cpu"

    @property
    def last_run(self) -> Row:
        """The first row of the newest run."""
        return self.runs[max(self.runs)]

    @property
    def slug(self) -> str:
        """The name as it stands in file names."""
        words = "".join(letter if letter.isalnum() else " " for letter in self.name.lower()).split()
        return "-".join(words) or "device"

    def part(self, name: str) -> list[Row]:
        """The measured rows of a part, those of the newest run last."""
        return [row for row in self.rows if row["part"] == name and "event" not in row]

    def events(self) -> dict[str, Row]:
        """How each part ended when it was last run."""
        ended = [row for row in self.rows if "event" in row and row["part"] != "run"]
        return {row["part"]: row for row in sorted(ended, key=_run)}

    def ceilings(self) -> dict[str, float]:
        """Ceiling -> bytes or FLOP a second, from the newest run that measured it."""
        return {row["ceiling"]: row["per_second"] for row in self.part("ceilings") if "per_second" in row}


def load(folder: Path = RESULTS) -> list[Device]:
    """The devices of all records in the folder, GPUs first, the one measured last before the others."""
    devices: dict[str, Device] = {}
    for path in sorted(folder.glob("*.jsonl")):
        names: dict[str, str] = {}
        for row in _record(path):
            if _begins(row):
                names[row["run"]] = row["device"]
                devices.setdefault(row["device"], Device(row["device"])).runs[row["run"]] = row
            elif row.get("run") in names and "part" in row:
                devices[names[row["run"]]].rows.append(row)
    for device in devices.values():
        device.rows.sort(key=_run)
    return sorted(devices.values(), key=lambda device: (device.is_gpu, max(device.runs)), reverse=True)


def newest(rows: Iterable[Row], key: Callable[[Row], Hashable]) -> dict[Hashable, list[Row]]:
    """key -> the rows of the newest run that has any, so that what stands side by side was timed side by side."""
    groups: dict[Hashable, list[Row]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return {name: [row for row in group if row["run"] == max(map(_run, group))] for name, group in groups.items()}


def _record(path: Path) -> Iterator[Row]:
    """The rows of a run's record; none where the file's first row does not begin a run."""
    rows = (row for row in read(path) if isinstance(row, dict))
    first = next(rows, {})
    if _begins(first):
        yield first
        yield from rows


def _begins(row: Row) -> bool:
    return row.get("part") == "run" and row.get("event") == "begin"


def _run(row: Row) -> str:
    return row["run"]
