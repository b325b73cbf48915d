"""What a tracker is: the calls that show a run on a server, each of which may take its time, fail and come again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from mlcfast.errors import EXTRA_OF, UsageError


class Scalars(NamedTuple):
    """The numbers of one line of metrics.jsonl: its step, when it was written (seconds since 1970), values by name."""

    step: int
    time: float
    values: Mapping[str, float]


@dataclass(frozen=True)
class TrackedRun:
    """The run as a tracker is told of it.

    directory: runs/NAME; name: its name; settings: the resolved configuration by dotted key; key: hexadecimal digits,
    unlike any other run's and the same whenever this one goes on.
    """

    directory: Path
    name: str
    settings: Mapping[str, Any]
    key: str


class Tracker:
    """Shows a run somewhere else. The options of `train.trackers` are the parameters of its constructor.

    Every other call comes from one thread beside training, so that it may wait for a network. What raises is called
    again later with the same arguments: it must not matter that the first call was received after all.
    """

    needs: ClassVar[Sequence[str]] = ()  # packages that `open` imports, of mlcfast/errors.py's EXTRA_OF
    note = ""  # a sentence for the log at the run's end
    place = ""  # where it is shown: a run that goes on with another place begins there anew, from its first step
    remedy = ""  # the command that sends what was not delivered, if it is not `python -m mlcfast.track RUN`

    @classmethod
    def check_installed(cls) -> None:
        """UsageError, which says what to install, where a package of `needs` is not there."""
        for package in cls.needs:
            found = find_spec(package)
            if found is None or found.origin is None:  # the latter for a folder of that name, such as wandb's own
                extra = EXTRA_OF[package]
                raise UsageError(f"train.trackers: {package} is not installed: pip install 'mlcfast[{extra}]'")

    def open(self, run: TrackedRun) -> None:
        """Begin the run of run.key or, where there is one, go on with it. Called again after any call has failed."""
        raise NotImplementedError

    def scalars(self, batch: Sequence[Scalars]) -> None:
        """Numbers in the order in which they were recorded, of at most 500 lines; no step is given twice."""
        raise NotImplementedError

    def file(self, path: Path) -> None:
        """A picture (.png), the report (.html), or another file of the run's directory."""

    def model(self, directory: Path) -> None:
        """The run's best/: model.safetensors, its card model.json and what lies beside them."""

    def close(self, finished: bool) -> None:
        """The run is over; finished: as it should be, else stopped or failed, and it may be resumed."""
