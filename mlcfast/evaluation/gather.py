"""Runs a model over a loader and gathers the scores and labels of all ranks in data-set order, with their metrics."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, Protocol

import numpy as np
from torch import Tensor
from torch.utils.data import DataLoader
from tqdm import tqdm

from mlcfast.data import FeatureLoader
from mlcfast.engine import all_gather_objects
from mlcfast.evaluation.score_store import ScoreStore
from mlcfast.metrics import LabelParts, assembled_report, best_f1_thresholds, figures, label_counts, multilabel_report

MOST_HELD = 2**26  # images × labels whose scores are held in memory, and by every rank
SHOWN_ENTRIES = 2**22  # of more than those: images × labels that are kept to be looked at
LABELS_AT_ONCE = 128  # that ranks exchange together


class Predicts(Protocol):
    """An engine or a Predictor."""

    def predict(self, images: Tensor) -> Tensor:
        """Probabilities (B, K)."""


class Measured(NamedTuple):
    """What was worked out of all images where not all are held: multilabel_report, thresholds (K,), all finite."""

    report: dict[str, Any]
    thresholds: np.ndarray
    is_finite: bool


@dataclass(frozen=True)
class EvaluationResult:
    """A model's scores for M images with K labels, beside the labels and the metrics.

    scores: (M, K) probabilities; labels: (M, K), 1 positive, 0 or −1 not; names: the K labels; loss: the loss that is
    trained with, of these images; None where it has no value on them. Beyond MOST_HELD entries scores and labels are of
    the m images numbered `rows` alone, spread evenly, and `measured` is of all M.
    """

    scores: np.ndarray
    labels: np.ndarray
    names: Sequence[str]
    loss: float | None = None
    rows: np.ndarray | None = None
    measured: Measured | None = None

    @cached_property
    def report(self) -> dict[str, Any]:
        """`multilabel_report` of it, in percent."""
        if self.measured and not self.is_finite:
            raise ValueError("a score is not a finite number")
        return self.measured.report if self.measured else multilabel_report(self.scores, self.labels, self.names)

    @cached_property
    def thresholds(self) -> np.ndarray:
        """`best_f1_thresholds` of it, (K,)."""
        return self.measured.thresholds if self.measured else best_f1_thresholds(self.scores, self.labels)

    @property
    def figures(self) -> dict[str, Any]:
        """The report's single numbers, as one line of the journal holds them, and the loss."""
        return figures(self.report) | ({} if self.loss is None else {"loss": self.loss})

    @property
    def is_finite(self) -> bool:
        """Whether every score is a number."""
        return self.measured.is_finite if self.measured else bool(np.isfinite(self.scores).all())


def evaluate_loader(
    predictor: Predicts,
    loader: DataLoader | FeatureLoader,
    names: Sequence[str],
    description: str,
    quiet: bool,
    most_held: int = MOST_HELD,
) -> EvaluationResult:
    """Probabilities and labels of every sample once, in the data set's order, on every rank; a collective.

    Beyond most_held entries they go through a file of each rank, and are exchanged a block of labels at a time.
    """
    batches = _predicted(predictor, tqdm(loader, desc=description, leave=False, disable=True if quiet else None))
    images = len(getattr(loader, "dataset", ()))
    if images * len(names) > most_held:
        return _streamed(batches, images, names)
    parts = all_gather_objects(_joined(batches))
    scores, labels, index = (np.concatenate([part[i] for part in parts if part]) for i in range(3))
    order = np.argsort(index, kind="stable")
    return EvaluationResult(scores[order], labels[order], names)


Batches = Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]


def _predicted(predictor: Predicts, loader: Any) -> Batches:
    """Scores (m, K), labels (m, K) and index (m,) of this rank's batches."""
    for images, targets, index in loader:
        yield predictor.predict(images).cpu().numpy(), targets.cpu().numpy(), index.cpu().numpy()


def _joined(batches: Batches) -> list[np.ndarray] | None:
    parts = list(batches)
    return [np.concatenate(part) for part in zip(*parts, strict=True)] if parts else None


def _streamed(batches: Batches, images: int, names: Sequence[str]) -> EvaluationResult:
    """The result of more entries than are held."""
    K, shown, finite = len(names), [], True
    wanted = np.unique(np.linspace(0, images - 1, max(1, SHOWN_ENTRIES // K)).astype(np.int64))
    states = {-1: False, 0: False}
    with ScoreStore(K) as store:
        for scores, targets, index in batches:
            finite = finite and bool(np.isfinite(scores).all())
            states = {state: seen or bool((targets == state).any()) for state, seen in states.items()}
            store.append(scores, targets)
            kept = np.isin(index, wanted)
            shown.append((scores[kept], targets[kept], index[kept]))
        store.flush()
        about = all_gather_objects((finite, states, _joined(iter(shown))))
        finite = all(each for each, _, _ in about)
        open_zeros = all(any(each[state] for _, each, _ in about) for state in states)
        held = _report(store, images, names, open_zeros) if finite else ({}, np.full(K, 0.5))
    scores, targets, index = (np.concatenate([part[i] for _, _, part in about if part]) for i in range(3))
    order = np.argsort(index, kind="stable")
    return EvaluationResult(scores[order], targets[order], names, rows=index[order], measured=Measured(*held, finite))


def _report(
    store: ScoreStore, images: int, names: Sequence[str], open_zeros: bool
) -> tuple[dict[str, Any], np.ndarray]:
    """The report and the thresholds of all ranks' images; open_zeros: 0 says nothing, since −1 is in use too."""
    K = len(names)
    counts = np.zeros((2, 4, K), np.int64)
    for scores_KR, targets_KR in store.of_images():
        counts += label_counts(scores_KR, targets_KR == 1, _known(targets_KR, open_zeros))
    counts = np.sum(all_gather_objects(counts), axis=0)
    found = []
    for first in range(0, K, LABELS_AT_ONCE):
        parts = all_gather_objects(store.of_labels(first, min(first + LABELS_AT_ONCE, K)))
        scores_kM, targets_kM = (np.concatenate(each, axis=1) for each in zip(*parts, strict=True))
        found.append(LabelParts.of(scores_kM, targets_kM == 1, _known(targets_kM, open_zeros), thresholds=True))
    parts_K = LabelParts(*map(np.concatenate, zip(*found, strict=True)))
    return assembled_report(images, names, parts_K, counts), parts_K.thresholds


def _known(targets: np.ndarray, open_zeros: bool) -> np.ndarray:
    return targets != 0 if open_zeros else np.ones(targets.shape, bool)
