"""Average precision and precision/recall/F1 of multi-label scores, vectorised; numpy only.

Shapes: M images, K labels. Scores and targets may be numpy arrays or torch tensors on any device. Targets are 1 for a
label that is there. Where they hold both 0 and −1, 0 is unknown and such entries are left out of every figure; else 0
and −1 both mean that it is not there.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

TOP = 3
NESTED = ("top3", "per_label", "support", "labels_without_positives", "labels_without_negatives")


def average_precision(scores: Any, targets: Any, interpolated: bool = False) -> np.ndarray:
    """The average precision of each label, (K,) float64 in [0, 1].

    scores: (M, K) of any real dtype, compared only with each other within a label, so logits serve as well as
    probabilities. targets: (M, K), 1 positive, 0 or -1 negative, or 0 unknown where both occur.

    Plain: AP = Σ_n (R_n − R_{n−1}) P_n over the distinct scores as thresholds, as scikit-learn computes it. That is the
    mean over positives of (positives scored ≥ s) / (images scored ≥ s), s their score: only positives are looked up.
    interpolated: P_n is replaced by max_{m≥n} P_m, the monotone envelope of PASCAL VOC that the published Query2Label
    evaluation takes. Tied scores are one threshold in both; the published code breaks ties by the order of the images.
    A label without positives has AP 0 (scikit-learn's value; the published interpolated code gives NaN).

    Raises ValueError for shapes that are not one (M, K), NaN scores, and targets outside {-1, 0, 1}.
    """
    labels = _observed(*_label_major(scores, targets))
    return np.array(
        [_label_ap(np.sort(scores_M), scores_M, hits_M, interpolated) for scores_M, hits_M in labels], np.float64
    )


def known_entries(targets: np.ndarray) -> np.ndarray:
    """(M, K) bool: which targets say something; all but the zeros where both 0 and −1 occur, else all."""
    zero = targets == 0
    return ~zero if zero.any() and (targets == -1).any() else np.ones(targets.shape, bool)


def figures(report: dict[str, Any]) -> dict[str, float]:
    """The single numbers of a report, without what it says of each label."""
    return {key: value for key, value in report.items() if key not in NESTED}


def multilabel_report(
    scores: Any, targets: Any, names: Sequence[str] | None = None, threshold: float = 0.5
) -> dict[str, Any]:
    """Everything an evaluation reports, in percent.

    scores: (M, K) probabilities in [0, 1]; targets as in `average_precision`; names: K distinct label names, the
    labels' numbers if None. Keys: images, labels, unknown (entries left out), mAP, mAP_present, mAP_voc, CP, CR, CF1,
    OP, OR, OF1, top3 (the last six), per_label (name -> plain AP), support (name -> images with it),
    labels_without_positives and labels_without_negatives (names). A label is predicted where its score ≥ threshold; for
    top3 it must also be among the image's three highest that are known (ties: the label listed first), as in the
    literature's tables since ML-GCN.

    mAP and mAP_voc average over all labels, those without positives counting 0; mAP_present leaves those out, and is 0
    where no label has any. CP and CR are the means over labels of precision and recall and CF1 their harmonic mean; OP,
    OR, OF1 pool all labels. A ratio whose denominator is 0 (a label never predicted, or without positives) is 0 and
    stays in the mean.

    Raises ValueError as `average_precision` does, for scores outside [0, 1] and for names that do not fit.
    """
    scores_KM, positives_KM, known_KM = _label_major(scores, targets)
    K, M = scores_KM.shape
    names = _label_names(names, K)
    if scores_KM.size and (scores_KM.min() < 0 or scores_KM.max() > 1):
        raise ValueError("scores must be probabilities in [0, 1]: apply a sigmoid to logits first")
    parts = LabelParts.of(scores_KM, positives_KM, known_KM)
    return assembled_report(M, names, parts, label_counts(scores_KM, positives_KM, known_KM, threshold))


class LabelParts(NamedTuple):
    """What of a report each label adds, given all its images: AP plain and interpolated, thresholds; all (K,)."""

    plain: np.ndarray
    interpolated: np.ndarray
    thresholds: np.ndarray

    @classmethod
    def of(
        cls, scores_KM: np.ndarray, positives_KM: np.ndarray, known_KM: np.ndarray, thresholds: bool = False
    ) -> "LabelParts":
        """Of the labels whose scores, positives and known entries these are; thresholds: work them out too, else 0."""
        rows = []
        for scores_M, hits_M in _observed(scores_KM, positives_KM, known_KM):
            ordered_M = np.sort(scores_M)
            bound = _best_threshold(ordered_M, scores_M, hits_M) if thresholds else 0.0
            rows.append((*(_label_ap(ordered_M, scores_M, hits_M, each) for each in (False, True)), bound))
        return cls(*np.array(rows, np.float64).reshape(-1, 3).T)


def label_counts(
    scores_KM: np.ndarray, positives_KM: np.ndarray, known_KM: np.ndarray, threshold: float = 0.5
) -> np.ndarray:
    """What of a report each image adds, (2, 4, K) int64: correct, predicted, positive and known; for all and top 3.

    Counts of parts of the images add up to those of the whole.
    """
    predicted_KM = (scores_KM >= threshold) & known_KM
    among_KM = predicted_KM & _among_top(np.where(known_KM, scores_KM, -1), TOP)
    known = (np.count_nonzero(positives_KM, axis=1), np.count_nonzero(known_KM, axis=1))
    return np.array(
        [
            [np.count_nonzero(given_KM & positives_KM, axis=1), np.count_nonzero(given_KM, axis=1), *known]
            for given_KM in (predicted_KM, among_KM)
        ],
        np.int64,
    )


def assembled_report(images: int, names: Sequence[str], parts: LabelParts, counts: np.ndarray) -> dict[str, Any]:
    """The report of `multilabel_report`; counts: of all the images, as `label_counts` gives them."""
    support_K, known_K = counts[0, 2], counts[0, 3]
    present_K, plain = support_K > 0, parts.plain
    return {
        "images": images,
        "labels": len(names),
        "unknown": int(images * len(names) - known_K.sum()),
        "mAP": 100 * float(plain.mean()),
        "mAP_present": 100 * float(plain[present_K].mean()) if present_K.any() else 0.0,
        "mAP_voc": 100 * float(parts.interpolated.mean()),
        **_precision_recall(*counts[0, :3]),
        "top3": _precision_recall(*counts[1, :3]),
        "per_label": {name: 100 * float(ap) for name, ap in zip(names, plain, strict=True)},
        "support": dict(zip(names, support_K.tolist(), strict=True)),
        "labels_without_positives": [name for name, some in zip(names, present_K, strict=True) if not some],
        "labels_without_negatives": [names[k] for k in np.flatnonzero(known_K == support_K).tolist()],
    }


def _observed(
    scores_KM: np.ndarray, positives_KM: np.ndarray, known_KM: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Scores and positives of each label where it is known."""
    whole = known_KM.all()
    for scores_M, positives_M, known_M in zip(scores_KM, positives_KM, known_KM, strict=True):
        yield (scores_M, positives_M) if whole else (scores_M[known_M], positives_M[known_M])


def _label_ap(ordered_M: np.ndarray, scores_M: np.ndarray, positives_M: np.ndarray, interpolated: bool) -> float:
    """AP of one label; ordered_M holds its scores in ascending order."""
    hits = np.sort(scores_M[positives_M])
    if hits.size == 0:
        return 0.0
    true_positives, retrieved = _found_from(ordered_M, hits)
    precision = true_positives / retrieved
    if interpolated:
        precision = np.maximum.accumulate(precision)
    return float(precision.mean())


def _precision_recall(correct: np.ndarray, predicted: np.ndarray, positives: np.ndarray) -> dict[str, float]:
    values: dict[str, Any] = {}  # numbers, as numpy gives them
    for prefix, precision, recall in (
        ("C", _ratio(correct, predicted).mean(), _ratio(correct, positives).mean()),
        ("O", _ratio(correct.sum(), predicted.sum()), _ratio(correct.sum(), positives.sum())),
    ):
        f1 = _ratio(2 * precision * recall, precision + recall)
        values |= {f"{prefix}P": precision, f"{prefix}R": recall, f"{prefix}F1": f1}
    return {name: 100 * float(value) for name, value in values.items()}


def _ratio(numerator: Any, denominator: Any) -> np.ndarray:
    """numerator / denominator, 0 where the denominator is 0."""
    numerator, denominator = np.asarray(numerator, np.float64), np.asarray(denominator, np.float64)
    return np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator != 0)


def _among_top(scores_KM: np.ndarray, top: int) -> np.ndarray:
    """(K, M) bool: exactly min(top, K) labels of every image, those listed first where scores tie."""
    K = scores_KM.shape[0]
    if top >= K:
        return np.ones_like(scores_KM, dtype=bool)
    last_M = np.partition(scores_KM, K - top, axis=0)[K - top]
    above_KM, tied_KM = scores_KM > last_M, scores_KM == last_M
    room_M = top - np.count_nonzero(above_KM, axis=0)
    return above_KM | (tied_KM & (np.cumsum(tied_KM, axis=0) <= room_M))


def _label_major(scores: Any, targets: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Checked scores (K, M), positives and known entries (K, M) bool, each label contiguous in memory."""
    scores, targets = _to_numpy(scores), _to_numpy(targets)
    if scores.ndim != 2 or scores.shape != targets.shape:
        raise ValueError(f"scores {scores.shape} and targets {targets.shape} must have one shape (images, labels)")
    if scores.dtype.kind not in "fiub":
        raise ValueError(f"scores of type {scores.dtype} are not real numbers")
    if np.isnan(scores).any():
        image, label = (int(index[0]) for index in np.nonzero(np.isnan(scores)))
        raise ValueError(f"the score of image {image}, label {label} is NaN")
    positives = targets == 1
    if not (positives | (targets == 0) | (targets == -1)).all():
        raise ValueError("targets must be 1 (positive), 0 or -1 (negative)")
    known = known_entries(targets)
    return np.ascontiguousarray(scores.T), np.ascontiguousarray(positives.T), np.ascontiguousarray(known.T)


def _to_numpy(values: Any) -> np.ndarray:
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        # numpy has no bfloat16; fp32 holds every one of its values.
        values = values.float() if str(values.dtype) == "torch.bfloat16" else values
    return np.asarray(values)


def _label_names(names: Sequence[str] | None, K: int) -> list[str]:
    if K == 0:
        raise ValueError("there are no labels to report on")
    names = [str(label) for label in range(K)] if names is None else list(names)
    if len(names) != K or len(set(names)) != K:
        raise ValueError(f"{len(set(names))} distinct names for {K} labels")
    return names


class Cuts(NamedTuple):
    """Every way to cut one label's C distinct scores in two, from the highest threshold down.

    thresholds (C,) float64, each halfway between the last accepted score and the next lower one (0 below the lowest);
    correct, accepted (C,): how many positives and how many images reach it; positives: how many there are.
    """

    thresholds: np.ndarray
    correct: np.ndarray
    accepted: np.ndarray
    positives: int

    @property
    def f1(self) -> np.ndarray:
        """(C,) F1 of each cut; 0 without positives."""
        return 2 * self.correct / (self.accepted + self.positives)

    @property
    def precision(self) -> np.ndarray:
        """(C,) the share of the accepted images that have the label."""
        return self.correct / self.accepted

    @property
    def recall(self) -> np.ndarray:
        """(C,) the share of the images with the label that are accepted; 0 without positives."""
        return self.correct / max(self.positives, 1)


def label_cuts(scores: Any, targets: Any) -> Iterator[Cuts]:
    """The cuts of each label; scores, targets (M, K) as in `average_precision`."""
    for scores_M, positives_M in _observed(*_label_major(scores, targets)):
        order = np.argsort(-scores_M, kind="stable")
        ordered = scores_M[order].astype(np.float64)
        # Tied scores are accepted together: only the last of each run is a possible cut.
        last = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True)) if ordered.size else np.array([], int)
        below = np.append(ordered[last[:-1] + 1], 0.0) if last.size else np.array([])
        correct = np.cumsum(positives_M[order])[last]
        yield Cuts((ordered[last] + below) / 2, correct, last + 1, int(positives_M.sum()))


def best_f1_thresholds(scores: Any, targets: Any) -> np.ndarray:
    """The threshold of each label with the best F1 when `score ≥ threshold` predicts it, (K,) float64.

    scores, targets: as in `average_precision`. A label without positives gets 0.5, as nothing is known of it.
    """
    labels = _observed(*_label_major(scores, targets))
    return np.array([_best_threshold(np.sort(scores_M), scores_M, hits_M) for scores_M, hits_M in labels], np.float64)


def _best_threshold(ordered_M: np.ndarray, scores_M: np.ndarray, positives_M: np.ndarray) -> float:
    """The best cut of one label; ordered_M as for `_label_ap`. Below its lowest positive a cut only adds negatives."""
    hits = np.sort(scores_M[positives_M])
    if hits.size == 0:
        return 0.5
    true_positives, retrieved = _found_from(ordered_M, hits)
    f1 = 2 * true_positives / (retrieved + hits.size)
    cut = hits.size - 1 - int(np.argmax(f1[::-1]))  # of equally good ones the highest
    left = ordered_M.size - int(retrieved[cut])
    below = float(ordered_M[left - 1]) if left else 0.0
    return (float(hits[cut]) + below) / 2


def _found_from(ordered_M: np.ndarray, hits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How many positives and how many images are scored at least as high as each positive; hits in ascending order."""
    true_positives = hits.size - np.searchsorted(hits, hits, side="left")
    return true_positives, ordered_M.size - np.searchsorted(ordered_M, hits, side="left")
