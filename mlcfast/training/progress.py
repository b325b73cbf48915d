"""The counters of a run, and the protocols of what stores its best model and of what follows its training."""

import math
from dataclasses import dataclass, field
from typing import Any, Protocol

from torch import Tensor

from mlcfast.evaluation.gather import EvaluationResult


@dataclass
class Progress:
    """The trainer's counters; with the engine's state and the configuration, all a resumed run needs.

    seed, global_batch, images and stream_buffer, 0 without data.stream, decide the order of samples: a run resumes only
    with the same ones.
    """

    seed: int
    global_batch: int
    images: int
    step: int = 0
    epoch: int = 0
    samples: int = 0  # consumed of this epoch, over all ranks
    best: float = -math.inf
    best_epoch: int = -1
    skipped: int = 0
    skipped_in_a_row: int = 0
    rows: list[dict[str, Any]] = field(default_factory=list)
    stream_buffer: int = 0
    form: str = ""  # how engine.compile=auto decided to execute the model; "" before it has


class KeepsBest(Protocol):
    """What stores the best model."""

    def keep(
        self, weights: dict[str, Tensor], which: str, result: EvaluationResult, step: int, beside: dict[str, bytes]
    ) -> None:
        """Store the weights of the model by name, which they are (raw or ema), their validation result and files."""


class Follower(Protocol):
    """What is kept beside the weights during training: statistics of hidden positives, or pseudo-labels."""

    def columns(self, epoch: int) -> dict[str, float]:
        """Columns for the row of epoch `epoch`, from 0, of summary.csv; a collective."""

    def beside_best(self, weights: dict[str, Tensor]) -> dict[str, bytes]:
        """Files that belong to the best weights, by name; weights: of the whole training module."""

    def end_epoch(self, epoch: int, epochs: int) -> None:
        """Called after epoch `epoch`, where it is evaluated once its best weights are kept; a collective."""
