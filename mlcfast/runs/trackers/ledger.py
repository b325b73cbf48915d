"""What a tracker has received of a run: kept in the run's directory, so that a resumed run sends only what is new."""

import contextlib
import json
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mlcfast.files import write_text


@dataclass
class Ledger:
    """trackers/NAME.json of a run's directory.

    key: of this run, unlike any other's; place: where it is sent; sent: by stream, the highest step of which a line was
    received; files: by name, the digest of what was received.
    """

    place: str
    key: str = field(default_factory=lambda: secrets.token_hex(8))
    sent: dict[str, int] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path, place: str) -> "Ledger":
        """As it was written; an empty one, of a new key, where there is none, it is damaged, or of another place."""
        with contextlib.suppress(OSError, ValueError, TypeError):
            held = cls(**json.loads(path.read_text(encoding="utf-8")))
            if held.place == place:
                return held
        return cls(place)

    def write(self, path: Path) -> None:
        """Keep it; where the disk is full, it is kept in memory alone."""
        with contextlib.suppress(OSError):
            path.parent.mkdir(exist_ok=True)
            write_text(path, json.dumps(asdict(self)))

    def lacks(self, line: Mapping[str, Any]) -> bool:
        """Whether this line of metrics.jsonl has not been received.

        A resumed run repeats the steps after its checkpoint. They were received, and the same numbers come out again:
        each step counts once.
        """
        return line["step"] > self.sent.get(stream_of(line), -1)

    def note(self, lines: Iterable[Mapping[str, Any]]) -> None:
        """These lines have been received."""
        for line in lines:
            self.sent[stream_of(line)] = line["step"]


def stream_of(line: Mapping[str, Any]) -> str:
    """`event`, or `event/weights` for lines that come once for the raw weights and once for their average."""
    return f"{line['event']}/{line['weights']}" if "weights" in line else line["event"]
