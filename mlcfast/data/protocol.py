"""The published protocol of learning from single positive labels (arXiv 2106.09708), draw for draw."""

import numpy as np


def observe_single_positive(labels: np.ndarray, seed: int = 1200, positives: int = 1, negatives: int = 0) -> np.ndarray:
    """Keep `positives` labels that are 1 and `negatives` that are 0 of each image, chosen uniformly.

    labels: (M, K) in {0, 1}, rows in the order of the image ids as text. Returns (M, K) int8: 1 observed positive,
    −1 observed negative, 0 unknown. −1 as a number keeps all; an image with fewer keeps all it has. Of each row the
    indices of the positives are shuffled, then those of the negatives, even if none of them is kept: so the published
    code uses its RandomState, and the choice of one row depends on the rows before.

    Raises ValueError, naming the row, for other values, an image without a positive and counts below −1.
    """
    labels = np.asarray(labels)
    _check(labels, positives, negatives)
    random = np.random.RandomState(seed)
    observed = np.zeros(labels.shape, np.int8)
    for row, observed_row in zip(labels, observed, strict=True):
        for value, mark, count in ((1, 1, positives), (0, -1, negatives)):
            indices = np.flatnonzero(row == value)
            random.shuffle(indices)
            observed_row[indices if count == -1 else indices[:count]] = mark
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


def _check(labels: np.ndarray, positives: int, negatives: int) -> None:
    if labels.ndim != 2:
        raise ValueError(f"labels must be a matrix (M, K), not of shape {labels.shape}")
    if min(positives, negatives) < -1:
        raise ValueError(f"positives {positives} and negatives {negatives} must be −1 (all) or at least 0")
    strange = np.argwhere((labels != 0) & (labels != 1))
    if len(strange):
        row, column = strange[0]
        raise ValueError(f"labels[{row}, {column}] is {labels[row, column]}: full labels are 0 or 1")
    empty = np.flatnonzero(~(labels == 1).any(axis=1))
    if len(empty):
        raise ValueError(f"labels[{empty[0]}] has no positive ({len(empty)} rows in all): leave such images out")
