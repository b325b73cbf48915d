"""Confidence intervals of the difference between two models' average precisions, by a paired bootstrap; numpy only.

Shapes: M images, K labels, R resamples, P positives of a label.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from mlcfast.metrics import known_entries

RESAMPLES, LEVEL = 1000, 0.95
MOST_RESAMPLED = 2**20  # images × labels that are resampled without being asked to
FEW_POSITIVES = 20  # images with a label, up to which its AP is given with an interval
MOST_IMAGES, MOST_ENTRIES = 2**16, 2**21  # and images × such labels, up to which they are resampled


class Interval(NamedTuple):
    """A value with its bootstrap interval; arrays (K,) for one of each label."""

    value: Any
    low: Any
    high: Any


def ap_differences(
    first: np.ndarray, second: np.ndarray, targets: np.ndarray, resamples: int = RESAMPLES, seed: int = 0
) -> tuple[Interval, Interval]:
    """second − first in plain average precision: (of each label (K,), of their mean), with 95 % percentile intervals.

    first, second: scores (M, K) of two models for the same images; targets: (M, K), as average_precision takes them.
    Each resample draws M images with replacement, the same ones for both models and all labels. A label without
    positives, in the data or a resample, has AP 0 there. Raises ValueError for shapes that are not one (M, K).
    """
    if not first.shape == second.shape == targets.shape or first.ndim != 2:
        shapes = f"{first.shape}, {second.shape} and {targets.shape}"
        raise ValueError(f"scores and targets must have one shape (images, labels), not {shapes}")
    M, K = targets.shape
    counts_MR = resample_counts(M, resamples, seed)
    positives, known = targets == 1, known_entries(targets)
    whole = known.all()

    def difference(k: int) -> np.ndarray:
        rows = slice(None) if whole else known[:, k]
        hits, counts = positives[rows, k], counts_MR[rows]
        return weighted_ap(second[rows, k], hits, counts) - weighted_ap(first[rows, k], hits, counts)

    differences_KR = np.stack([difference(k) for k in range(K)])
    observed_K, resampled_KR = differences_KR[:, 0], differences_KR[:, 1:]
    return _interval(observed_K, resampled_KR), _interval(observed_K.mean(), resampled_KR.mean(axis=0))


def mean_ap_interval(scores: np.ndarray, targets: np.ndarray, resamples: int = RESAMPLES, seed: int = 0) -> Interval:
    """The mean average precision with a 95 % interval; scores, targets (M, K) as for ap_differences.

    An image that is drawn twice beside itself raises an average precision, the more the worse the scores are: with many
    labels the resamples lie above the value. They are shifted back to it, and the interval is that of the percentiles.
    """
    counts_MR = resample_counts(len(scores), resamples, seed)
    means_R = sum(_resampled_aps(scores, targets, counts_MR, range(scores.shape[1]))) / scores.shape[1]
    return _interval(means_R[0], np.clip(means_R[1:] - means_R[1:].mean() + means_R[0], 0, 1))


def percent_interval(scores: np.ndarray, targets: np.ndarray) -> tuple[float, float] | None:
    """The 95 % interval of the mAP in percent; None where there are so many entries that it would take long."""
    if scores.size > MOST_RESAMPLED:
        return None
    interval = mean_ap_interval(scores, targets)
    return 100 * float(interval.low), 100 * float(interval.high)


def few_positive_intervals(
    scores: np.ndarray, targets: np.ndarray, resamples: int = RESAMPLES, seed: int = 0
) -> dict[int, Interval]:
    """The AP of each label, by number, that some but at most FEW_POSITIVES images have, with its 95 % interval.

    scores, targets: (M, K) as for ap_differences. Empty for more than MOST_IMAGES images or MOST_ENTRIES entries.
    """
    support = (targets == 1).sum(axis=0)
    few = np.flatnonzero((support > 0) & (support <= FEW_POSITIVES)).tolist()
    if not few or len(scores) > MOST_IMAGES or len(few) * len(scores) > MOST_ENTRIES:
        return {}
    aps = _resampled_aps(scores, targets, resample_counts(len(scores), resamples, seed), few)
    return {k: _interval(aps_R[0], aps_R[1:]) for k, aps_R in zip(few, aps, strict=True)}


def _resampled_aps(
    scores: np.ndarray, targets: np.ndarray, counts_MR: np.ndarray, labels: Iterable[int]
) -> Iterator[np.ndarray]:
    """The AP of each of these labels in each resample of its known images, (R,)."""
    positives, known = targets == 1, known_entries(targets)
    for k in labels:
        rows = known[:, k]
        yield weighted_ap(scores[rows, k], positives[rows, k], counts_MR[rows])


def report_intervals(scores: np.ndarray, targets: np.ndarray, names: Sequence[str]) -> dict[str, Any]:
    """What a report says beside its figures: `mAP_interval`, or None, and `intervals` of rare labels, in percent."""
    interval = percent_interval(scores, targets)
    few = few_positive_intervals(scores, targets)
    within = {names[k]: [100 * float(each.low), 100 * float(each.high)] for k, each in few.items()}
    return {"mAP_interval": None if interval is None else list(interval), "intervals": within}


def resample_counts(images: int, resamples: int, seed: int) -> np.ndarray:
    """How often each image is drawn, (M, 1 + R) float32; column 0 is the data itself, every image once."""
    random = np.random.default_rng(seed)
    counts = np.ones((images, 1 + resamples), np.float32)
    for column in range(1, 1 + resamples):
        counts[:, column] = np.bincount(random.integers(images, size=images), minlength=images)
    return counts


def weighted_ap(scores_M: np.ndarray, positives_M: np.ndarray, counts_MR: np.ndarray) -> np.ndarray:
    """AP of one label in each resample, (R,): Σ_j TP_j·(TP_1 + … + TP_j)/(N_1 + … + N_j) / Σ_j TP_j.

    j runs over the positives' distinct scores from the highest; TP_j and N_j count the positives and the images, drawn
    as often as counts_MR says, from this score up to but without the next higher one.
    """
    thresholds = np.unique(scores_M[positives_M])[::-1]
    if not len(thresholds):
        return np.zeros(counts_MR.shape[1])
    order = np.argsort(-scores_M, kind="stable")
    ends = np.searchsorted(-scores_M[order], -thresholds, side="right")
    accepted = order[: ends[-1]]
    starts = np.concatenate(([0], ends[:-1]))
    images_JR = np.add.reduceat(counts_MR[accepted], starts, axis=0)
    hits = positives_M[accepted]
    first_hits = np.searchsorted(np.flatnonzero(hits), starts)
    hits_JR = np.add.reduceat(counts_MR[accepted[hits]], first_hits, axis=0)
    cumulative_JR = np.cumsum(hits_JR, axis=0, dtype=np.float64)
    precision_JR = cumulative_JR / np.maximum(np.cumsum(images_JR, axis=0, dtype=np.float64), 1)
    return (precision_JR * hits_JR).sum(axis=0) / np.maximum(cumulative_JR[-1], 1)


def _interval(observed: Any, resampled: np.ndarray) -> Interval:
    """resampled: (…, R)."""
    low, high = np.quantile(resampled, ((1 - LEVEL) / 2, (1 + LEVEL) / 2), axis=-1)
    return Interval(observed, low, high)
