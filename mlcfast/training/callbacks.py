"""What a program is told while it trains, and how it asks training to stop."""

from collections.abc import Mapping, Sequence
from typing import Any

from mlcfast.config import Config
from mlcfast.errors import RunError
from mlcfast.runs.directory import RunDirectory
from mlcfast.runs.listening import Listener
from mlcfast.training.result import TrainingResult


class Callback:
    """Derive from it and write those methods that are wanted; of several processes the main one alone calls them.

    Training waits for each call. An exception in one ends the run as RunError, which names the class; what was saved
    until then can be resumed. Values are those of the run's files: percentages for metrics, None for a number that is
    not finite.
    """

    asks_to_stop = False

    def stop(self) -> None:
        """End training, cleanly, after the step it is at.

        The step is saved, the model is evaluated, and the best model and the report are written as at the end of any
        run; `resume=True` goes on with the rest.
        """
        self.asks_to_stop = True

    def on_start(self, config: Config) -> None:
        """Before the first step; config: with every default filled in."""

    def on_step(self, step: int, values: Mapping[str, Any]) -> None:
        """Every `train.log_every` steps: epoch, loss (the mean since the last call), lr, grad_norm and so on."""

    def on_evaluation(self, step: int, values: Mapping[str, Any]) -> None:
        """After each evaluation on the validation images: mAP and so on; `weights`: which they are of, raw or ema."""

    def on_epoch(self, epoch: int, values: Mapping[str, Any]) -> None:
        """After epoch `epoch`, from 0, was evaluated: its row of summary.csv, such as raw_mAP and ema_mAP."""

    def on_end(self, result: TrainingResult) -> None:
        """After the best model and the report were written; not where the run fails or a signal ends it."""


class Called(Listener):
    """Hands what the journal records to a callback. config: what on_start is given."""

    def __init__(self, callback: Callback, config: Config):
        self.callback, self.config = callback, config

    @property
    def asks_to_stop(self) -> bool:
        """Whether the callback has called its `stop`."""
        return self.callback.asks_to_stop

    def start(self, directory: RunDirectory, step: int) -> None:
        """A callback that stopped an earlier run does not stop this one."""
        self.directory, self.callback.asks_to_stop = directory, False
        self._call("on_start", self.config)

    def line(self, line: Mapping[str, Any]) -> None:
        """A step or an evaluation; other lines are not for callbacks."""
        called = {"train": "on_step", "evaluation": "on_evaluation"}.get(line["event"])
        if called is not None:
            values = {name: value for name, value in line.items() if name not in ("event", "step", "time")}
            self._call(called, line["step"], values)

    def row(self, row: Mapping[str, Any]) -> None:
        """An epoch."""
        self._call("on_epoch", row["epoch"], dict(row))

    def finish(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """The end, with the result that `train` returns."""
        self._call("on_end", TrainingResult(self.directory.path, [dict(row) for row in rows]))

    def _call(self, method: str, *values: object) -> None:
        try:
            getattr(self.callback, method)(*values)
        except Exception as error:  # of a user's own code
            name = f"{type(self.callback).__name__}.{method}"
            raise RunError(f"callback {name}: {type(error).__name__}: {error}") from error
