"""What hears of a run as its journal is written: trackers, and the callbacks of a program."""

from collections.abc import Mapping, Sequence
from typing import Any

from mlcfast.runs.directory import RunDirectory


class Listener:
    """Told by the journal, on the main process and in order, what it has written; does nothing of its own.

    The calls come from the training loop, which waits for them. An OSError is taken as a record that could not be
    written; any other exception ends the run.
    """

    @property
    def asks_to_stop(self) -> bool:
        """Whether the run is to end, cleanly, after the step it is at."""
        return False

    def start(self, directory: RunDirectory, step: int) -> None:
        """The run begins at `step`, or goes on from it; its directory holds config.yaml."""

    def line(self, line: Mapping[str, Any]) -> None:
        """A line of metrics.jsonl: event, step, time in seconds since 1970, and values; None is not a finite number."""

    def row(self, row: Mapping[str, Any]) -> None:
        """A row of summary.csv: an epoch has been evaluated."""

    def finish(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """The run is over as it should be: its best model, pictures and report are there. rows: one an epoch."""

    def close(self) -> None:
        """The last call, also where the run ended by an error or a signal."""


def scalars_of(line: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a line of metrics.jsonl by `event/name`, as TensorBoard shows them."""
    return {
        f"{line['event']}/{name}": value
        for name, value in line.items()
        if name not in ("event", "step", "time") and isinstance(value, int | float)
    }
