"""Runs a model over a loader and gathers the scores and labels of all ranks in data-set order, with their metrics."""

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, Protocol

import numpy as np
from torch import Tensor
from torch.utils.data import DataLoader
from tqdm import tqdm

from mlcfast.data import FeatureLoader
from mlcfast.data.labels import hard_states
from mlcfast.engine import all_gather_objects, all_reduce_max
from mlcfast.evaluation.score_store import ScoreStore
from mlcfast.metrics import LabelParts, assembled_report, best_f1_thresholds, figures, label_counts, multilabel_report

MOST_HELD = 2**26  # images × labels whose scores are held in memory, and by every rank
SHOWN_ENTRIES = 2**22  # of more than those: images × labels that are kept to be looked at
LABELS_AT_ONCE = 128  # that ranks exchange together, or
BLOCK_ENTRIES = 2**24  # as many as these images × labels hold: then a rank holds 80 MiB of all ranks' entries
TOGETHER = 4  # batches on the device for which the weights are exchanged once


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
    whole = {"": nullcontext}
    return evaluate_weights_in_turn(predictor, loader, names, description, quiet, whole, most_held)[""]


def evaluate_weights_in_turn(
    predictor: Predicts,
    loader: DataLoader | FeatureLoader,
    names: Sequence[str],
    description: str,
    quiet: bool,
    weights: Mapping[str, Callable[[], AbstractContextManager[None]]],
    most_held: int = MOST_HELD,
) -> dict[str, EvaluationResult]:
    """As `evaluate_loader`, for several weights of one model, so that every sample is decoded once; a collective.

    weights: by name, a context in which the predictor has them; each is entered for TOGETHER batches at a time.
    """
    images = len(getattr(loader, "dataset", ()))
    with ExitStack() as stack, tqdm(loader, desc=description, leave=False, disable=True if quiet else None) as bar:
        large = images * len(names) > most_held
        gathered: dict[str, _Held | _Streamed] = {
            name: _Streamed(images, names, stack.enter_context(ScoreStore(len(names)))) if large else _Held(names)
            for name in weights
        }
        batches = iter(bar)
        for _ in range(-(-all_reduce_max([len(loader)])[0] // TOGETHER)):  # entering a context may be a collective
            held = list(itertools.islice(batches, TOGETHER))
            about = [(hard_states(targets.cpu().numpy()), index.cpu().numpy()) for _, targets, index in held]
            for name, context in weights.items():
                with context():
                    found = [predictor.predict(pixels) for pixels, *_ in held]
                for scores, (targets, index) in zip(found, about, strict=True):
                    gathered[name].append(scores.cpu().numpy(), targets, index)
        # Read to its end, which a loader's worker processes wait for.
        assert next(batches, None) is None, "a loader has as many batches as it says"
        return {name: each.result() for name, each in gathered.items()}


class _Held:
    """Scores (m, K), labels (m, K) and index (m,) of batches, all of them in memory."""

    def __init__(self, names: Sequence[str]):
        self.names = names
        self.parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []

    def append(self, scores: np.ndarray, targets: np.ndarray, index: np.ndarray) -> None:
        self.parts.append((scores, targets, index))

    def result(self) -> EvaluationResult:
        """The result of all ranks' batches; a collective."""
        scores, labels, index = _joined(part for part in all_gather_objects(_joined(self.parts)) if part)
        order = np.argsort(index, kind="stable")
        return EvaluationResult(scores[order], labels[order], self.names)


class _Streamed:
    """The same of more entries than are held: they go through a file, and evenly spread images alone stay in memory."""

    def __init__(self, images: int, names: Sequence[str], store: ScoreStore):
        self.images, self.names, self.finite = images, names, True
        self.wanted = np.unique(np.linspace(0, images - 1, max(1, SHOWN_ENTRIES // len(names))).astype(np.int64))
        self.states = {-1: False, 0: False}
        self.shown = _Held(names)
        self.store = store

    def append(self, scores: np.ndarray, targets: np.ndarray, index: np.ndarray) -> None:
        self.finite = self.finite and bool(np.isfinite(scores).all())
        self.states = {state: seen or bool((targets == state).any()) for state, seen in self.states.items()}
        self.store.append(scores, targets)
        kept = np.isin(index, self.wanted)
        self.shown.append(scores[kept], targets[kept], index[kept])

    def result(self) -> EvaluationResult:
        """The result of all ranks' batches; a collective."""
        self.store.flush()
        about = all_gather_objects((self.finite, self.states, _joined(self.shown.parts)))
        finite = all(each for each, _, _ in about)
        open_zeros = all(any(each[state] for _, each, _ in about) for state in self.states)
        nothing: tuple[dict[str, Any], np.ndarray] = ({}, np.full(len(self.names), 0.5))
        held = _report(self.store, self.images, self.names, open_zeros) if finite else nothing
        scores, targets, index = _joined(part for _, _, part in about if part)
        order = np.argsort(index, kind="stable")
        measured = Measured(*held, finite)
        return EvaluationResult(scores[order], targets[order], self.names, rows=index[order], measured=measured)


def _joined(parts: Iterable[Sequence[np.ndarray]]) -> list[np.ndarray]:
    """Parts of scores, labels and index one after the other; empty where there are none."""
    return [np.concatenate(part) for part in zip(*parts, strict=True)]


def _report(
    store: ScoreStore, images: int, names: Sequence[str], open_zeros: bool
) -> tuple[dict[str, Any], np.ndarray]:
    """The report and the thresholds of all ranks' images; open_zeros: 0 says nothing, since −1 is in use too."""
    K = len(names)
    counts = np.zeros((2, 4, K), np.int64)
    for scores_KR, targets_KR in store.of_images():
        counts += label_counts(scores_KR, targets_KR == 1, _known(targets_KR, open_zeros))
    counts = np.sum(all_gather_objects(counts), axis=0)
    found, together = [], max(1, min(LABELS_AT_ONCE, BLOCK_ENTRIES // max(1, images)))
    for first in range(0, K, together):
        parts = all_gather_objects(store.of_labels(first, min(first + together, K)))
        scores_kM, targets_kM = (np.concatenate(each, axis=1) for each in zip(*parts, strict=True))
        found.append(LabelParts.of(scores_kM, targets_kM == 1, _known(targets_kM, open_zeros), thresholds=True))
    parts_K = LabelParts(*map(np.concatenate, zip(*found, strict=True)))
    return assembled_report(images, names, parts_K, counts), parts_K.thresholds


def _known(targets: np.ndarray, open_zeros: bool) -> np.ndarray:
    return targets != 0 if open_zeros else np.ones(targets.shape, bool)
