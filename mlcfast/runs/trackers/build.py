"""Makes the trackers that `train.trackers` names."""

from collections.abc import Mapping, Sequence
from typing import Any

from mlcfast.errors import UsageError
from mlcfast.registry import Registry, check_options
from mlcfast.runs.listening import Listener
from mlcfast.runs.trackers.base import Tracker
from mlcfast.runs.trackers.courier import Courier
from mlcfast.runs.trackers.mlflow import MLflow
from mlcfast.runs.trackers.tensorboard import TensorBoard
from mlcfast.runs.trackers.wandb import WeightsAndBiases

WHAT = "train.trackers"
TRACKERS: Registry[Any] = Registry(
    WHAT, {"tensorboard": TensorBoard, "mlflow": MLflow, "wandb": WeightsAndBiases}, UsageError
)


def make_trackers(entries: Sequence[str | Mapping[str, Any]]) -> list[Listener]:
    """What hears of the run for each entry, a name or a mapping of `name` and options; nothing is contacted yet.

    UsageError where a tracker is not known, lacks its package or does not take its options.
    """
    return [made if isinstance(made, Listener) else Courier(name, made) for name, made in map(_made, entries)]


def sent_later(entries: Sequence[str | Mapping[str, Any]]) -> list[tuple[str, Tracker]]:
    """Those whose server may not have received all, by name."""
    return [(name, made) for name, made in map(_made, entries) if isinstance(made, Tracker)]


def _made(entry: str | Mapping[str, Any]) -> tuple[str, Listener | Tracker]:
    options = {"name": entry} if isinstance(entry, str) else dict(entry)
    name = options.pop("name")
    kind, what = TRACKERS.find(name), f"{WHAT}: {name}"
    if not (isinstance(kind, type) and issubclass(kind, TensorBoard | Tracker)):
        raise UsageError(f"{what} is not a class derived from mlcfast.runs.trackers.Tracker")
    check_options(kind, options, what, error=UsageError)
    if issubclass(kind, Tracker):
        kind.check_installed()
    try:
        return name, kind(**options)
    except (ValueError, TypeError) as error:
        raise UsageError(f"{what}: {error}") from error
