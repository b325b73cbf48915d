"""Runs a model over a loader and gathers the scores and labels of all ranks in data-set order, with their metrics."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from torch import Tensor
from torch.utils.data import DataLoader
from tqdm import tqdm

from mlcfast.data import FeatureLoader
from mlcfast.engine import all_gather_objects
from mlcfast.metrics import figures, multilabel_report


class Predicts(Protocol):
    """An engine or a Predictor."""

    def predict(self, images: Tensor) -> Tensor:
        """Probabilities (B, K)."""


@dataclass(frozen=True)
class EvaluationResult:
    """A model's scores for M images with K labels, beside the labels and the metrics.

    scores: (M, K) probabilities; labels: (M, K), 1 positive, 0 or −1 not; names: the K labels; loss: the loss that is
    trained with, of these images; None where it has no value on them.
    """

    scores: np.ndarray
    labels: np.ndarray
    names: Sequence[str]
    loss: float | None = None

    @cached_property
    def report(self) -> dict[str, Any]:
        """`multilabel_report` of it, in percent."""
        return multilabel_report(self.scores, self.labels, self.names)

    @property
    def figures(self) -> dict[str, Any]:
        """The report's single numbers, as one line of the journal holds them, and the loss."""
        return figures(self.report) | ({} if self.loss is None else {"loss": self.loss})

    @property
    def is_finite(self) -> bool:
        """Whether every score is a number."""
        return bool(np.isfinite(self.scores).all())


def evaluate_loader(
    predictor: Predicts, loader: DataLoader | FeatureLoader, names: Sequence[str], description: str, quiet: bool
) -> EvaluationResult:
    """Probabilities and labels of every sample once, in the data set's order, on every rank; a collective."""
    scores, labels, indices = [], [], []
    for images, targets, index in tqdm(loader, desc=description, leave=False, disable=True if quiet else None):
        scores.append(predictor.predict(images).cpu().numpy())
        labels.append(targets.cpu().numpy())
        indices.append(index.cpu().numpy())
    parts = all_gather_objects([np.concatenate(part) if part else None for part in (scores, labels, indices)])
    whole = [np.concatenate([part[i] for part in parts if part[i] is not None]) for i in range(3)]
    order = np.argsort(whole[2], kind="stable")
    return EvaluationResult(whole[0][order], whole[1][order], names)
