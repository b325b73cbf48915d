"""A run's record: JSON lines, written as they come, each with the run and the part it belongs to.

The file is bench/results/<device>-<date>.jsonl. A run begins with one row of provenance (part "run", event "begin");
every other row carries that run's identifier, so that runs may share a file and rows need not repeat where they were.
"""

import datetime
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parent / "results"


def record_path(device_name: str, day: datetime.date, folder: Path = RESULTS) -> Path:
    """Where a run on this device on this day is recorded: the name in lower case, its words joined by hyphens."""
    slug = re.sub(r"[^a-z0-9]+", "-", device_name.lower()).strip("-") or "device"
    return folder / f"{slug}-{day.isoformat()}.jsonl"


def append(path: Path, row: dict[str, Any]) -> None:
    """Write one row so that it is whole in the file before this returns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")


def read(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a record; a last line cut short by a killed process is left out."""
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            yield json.loads(line)
        except json.JSONDecodeError:
            continue
