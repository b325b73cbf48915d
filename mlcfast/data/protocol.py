"""The published protocol of learning from single positive labels (arXiv 2106.09708), draw for draw."""

import numpy as np

from mlcfast.data.labels import Labels, SparseLabels, rows_at_once, sparse_like, stacked


def observe_single_positive(labels: Labels, seed: int = 1200, positives: int = 1, negatives: int = 0) -> Labels:
    """Keep `positives` labels that are 1 and `negatives` that are 0 of each image, chosen uniformly.

    labels: (M, K) in {0, 1}, rows in the order of the image ids as text. Returns (M, K) int8, sparse if they are: 1
    observed positive, −1 observed negative, 0 unknown. −1 as a number keeps all; an image with fewer keeps all it has,
    one without any nothing.
    Of each row the indices of the positives are shuffled, then those of the negatives, even if none of them is kept: so
    the published code uses its RandomState, and the choice of one row depends on the rows before.

    Raises ValueError, naming the row, for other values, and for counts below −1.
    """
    labels = labels if isinstance(labels, SparseLabels) else np.asarray(labels)
    _check(labels, positives, negatives)
    random = np.random.RandomState(seed)
    if not isinstance(labels, SparseLabels):
        return _observed(labels, random, positives, negatives)
    size = rows_at_once(labels.width)
    begins = range(0, max(len(labels), 1), size)
    parts = (_observed(labels.dense(slice(i, i + size)), random, positives, negatives) for i in begins)
    return stacked([sparse_like(labels, part) for part in parts])


def _observed(labels: np.ndarray, random: np.random.RandomState, positives: int, negatives: int) -> np.ndarray:
    observed = np.zeros(labels.shape, np.int8)
    for row, observed_row in zip(labels, observed, strict=True):
        for value, mark, most in ((1, 1, positives), (0, -1, negatives)):
            indices = np.flatnonzero(row == value)
            random.shuffle(indices)
            observed_row[indices if most == -1 else indices[:most]] = mark
    return observed


def split_train_val(n: int, fraction: float = 0.2, seed: int = 1200) -> tuple[np.ndarray, np.ndarray]:
    """Indices (train, val) of n images, each sorted, int64; val holds round(fraction·n), the permutation's last.

    Raises ValueError unless both parts get at least one image.
    """
    size = int(np.round(fraction * n))
    if not 0 < size < n:
        raise ValueError(f"a fraction of {fraction} of {n} images leaves train or val empty")
    order = np.random.RandomState(seed).permutation(n)
    return np.sort(order[:-size]), np.sort(order[-size:])


def _check(labels: Labels, positives: int, negatives: int) -> None:
    if len(labels.shape) != 2:
        raise ValueError(f"labels must be a matrix (M, K), not of shape {labels.shape}")
    if min(positives, negatives) < -1:
        raise ValueError(f"positives {positives} and negatives {negatives} must be −1 (all) or at least 0")
    strange = _strange(labels)
    if strange is not None:
        row, column, value = strange
        raise ValueError(f"labels[{row}, {column}] is {value}: full labels are 0 or 1")


def _strange(labels: Labels) -> tuple[int, int, int] | None:
    """Row, column and value of the first entry that is neither 0 nor 1."""
    if not isinstance(labels, SparseLabels):
        places = np.argwhere((labels != 0) & (labels != 1))
        return (*places[0].tolist(), labels[tuple(places[0])]) if len(places) else None
    wrong = np.flatnonzero((labels.values != 0) & (labels.values != 1))
    if labels.fill not in (0, 1):
        raise ValueError(f"most labels are {labels.fill}: full labels are 0 or 1")
    return (labels.row_numbers()[wrong[0]], labels.columns[wrong[0]], labels.values[wrong[0]]) if len(wrong) else None
