"""Runs a model over a loader; scores and labels of all ranks in data-set order, and the metrics of them."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from torch import Tensor
from torch.utils.data import DataLoader
from tqdm import tqdm

from mlcfast.data import FeatureLoader
from mlcfast.engine import all_gather_objects, all_reduce_max
from mlcfast.metrics import figures, multilabel_report

TOGETHER = 4  # batches on the device for which the weights are exchanged once


class Predicts(Protocol):
    """An engine or a Predictor."""

    def predict(self, images: Tensor) -> Tensor:
        """Probabilities (B, K)."""


@dataclass(frozen=True)
class EvaluationResult:
    """What a model gives for M images with K labels.

    scores: (M, K) probabilities; labels: (M, K), 1 positive, 0 or −1 not; names: the K labels.
    """

    scores: np.ndarray
    labels: np.ndarray
    names: Sequence[str]

    @cached_property
    def report(self) -> dict[str, Any]:
        """`multilabel_report` of it, in percent."""
        return multilabel_report(self.scores, self.labels, self.names)

    @property
    def figures(self) -> dict[str, Any]:
        """The report without what is longer than a line of the journal."""
        return figures(self.report)

    @property
    def is_finite(self) -> bool:
        """Whether every score is a number."""
        return bool(np.isfinite(self.scores).all())


def evaluate_loader(
    predictor: Predicts, loader: DataLoader | FeatureLoader, names: Sequence[str], description: str, quiet: bool
) -> EvaluationResult:
    """Probabilities and labels of every sample once, in the data set's order, on every rank; a collective."""
    return evaluate_weights_in_turn(predictor, loader, names, description, quiet, {"": nullcontext})[""]


def evaluate_weights_in_turn(
    predictor: Predicts,
    loader: DataLoader | FeatureLoader,
    names: Sequence[str],
    description: str,
    quiet: bool,
    weights: Mapping[str, Callable[[], AbstractContextManager[None]]],
) -> dict[str, EvaluationResult]:
    """As `evaluate_loader`, for several weights of one model, so that every sample is decoded once; a collective.

    weights: by name, a context in which the predictor has them; each is entered for TOGETHER batches at a time.
    """
    scores: dict[str, list[np.ndarray]] = {name: [] for name in weights}
    labels, indices = [], []
    with tqdm(loader, desc=description, leave=False, disable=True if quiet else None) as bar:
        batches = iter(bar)
        for _ in range(-(-all_reduce_max([len(loader)])[0] // TOGETHER)):  # entering a context may be a collective
            held = list(itertools.islice(batches, TOGETHER))
            labels += [targets.cpu().numpy() for _, targets, _ in held]
            indices += [index.cpu().numpy() for *_, index in held]
            for name, context in weights.items():
                with context():
                    found = [predictor.predict(images) for images, *_ in held]
                scores[name] += [each.cpu().numpy() for each in found]
    # Read to its end, which a loader's worker processes wait for.
    assert next(batches, None) is None, "a loader has as many batches as it says"
    return _gathered(scores, labels, indices, names)


def _gathered(
    scores: dict[str, list[np.ndarray]], labels: list[np.ndarray], indices: list[np.ndarray], names: Sequence[str]
) -> dict[str, EvaluationResult]:
    mine = [np.concatenate(part) if part else None for part in (*scores.values(), labels, indices)]
    parts = all_gather_objects(mine)
    *found, labelled, index = (
        np.concatenate([p for p in column if p is not None]) for column in zip(*parts, strict=True)
    )
    order = np.argsort(index, kind="stable")
    return {name: EvaluationResult(s[order], labelled[order], names) for name, s in zip(scores, found, strict=True)}
