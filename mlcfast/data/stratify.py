"""Divides images with several labels in two, so that both parts hold each label in the same proportion.

Iterative stratification (Sechidis, Tsoumakas, Vlahavas: On the Stratification of Multi-Label Data, 2011): the label
with the fewest images left goes first, and each of its images goes to the part that lacks most of them, then to the
part that lacks most images. Here an image may stand for a whole group, which is then never torn apart.

Shapes: M images, K labels, U units (groups, or single images), N pairs of a unit and a label it has.
"""

from collections.abc import Sequence

import numpy as np

from mlcfast.data.labels import Labels, pairs
from mlcfast.errors import counted


def stratified_split(
    labels: Labels, share: float, seed: int, groups: Sequence[str] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Indices (train, val) of M images, each sorted, int64; val holds about share·M of them.

    labels: (M, K), of which only 1 counts; groups: M names, images of one name stay on one side. The same arguments
    give the same parts on every machine. Raises ValueError where a part would be empty.
    """
    M = len(labels)
    unit_M = np.arange(M) if groups is None else np.unique(np.asarray(groups, dtype=str), return_inverse=True)[1]
    side_U = _assign(unit_M, labels, share, seed)
    validates = side_U[unit_M] == 1 if M else np.zeros(0, bool)
    if not validates.any() or validates.all():
        units = counted(len(side_U), "group") if groups is not None else counted(M, "image")
        raise ValueError(f"a share of {share:g} of {units} leaves training or validation empty")
    return np.flatnonzero(~validates), np.flatnonzero(validates)


def _assign(unit_M: np.ndarray, labels: Labels, share: float, seed: int) -> np.ndarray:
    """The side of each unit, (U,): 0 train, 1 val."""
    size_U = np.bincount(unit_M)
    unit_N, label_N, count_N = _pairs(unit_M, labels)
    U, K = len(size_U), labels.shape[1]
    of_unit = np.searchsorted(unit_N, np.arange(U + 1))
    by_label = np.argsort(label_N, kind="stable")
    of_label = np.searchsorted(label_N[by_label], np.arange(K + 1))
    left_K = np.bincount(label_N, weights=count_N, minlength=K)
    # RandomState's permutation is frozen by NumPy's promise; a Generator's may change between versions.
    rank_U = np.random.RandomState(np.random.MT19937(np.random.SeedSequence(seed))).permutation(U)
    wanted = np.array([1 - share, share])
    lacking_2K, lacking_2 = wanted[:, None] * left_K, wanted * len(unit_M)
    side_U = np.full(U, -1, np.int8)

    def put(unit: int, label: int | None) -> None:
        first, second = lacking_2 if label is None else lacking_2K[:, label]
        if abs(first - second) < 1e-9:
            first, second = lacking_2
        side = int(second > first)
        pairs = slice(of_unit[unit], of_unit[unit + 1])
        lacking_2K[side, label_N[pairs]] -= count_N[pairs]
        left_K[label_N[pairs]] -= count_N[pairs]
        lacking_2[side] -= size_U[unit]
        side_U[unit] = side

    while left_K.any():
        label = int(np.argmin(np.where(left_K > 0, left_K, np.inf)))
        members = by_label[of_label[label] : of_label[label + 1]]
        order = np.lexsort((rank_U[unit_N[members]], -count_N[members]))  # a group with many of it first
        for unit in unit_N[members][order]:
            if side_U[unit] < 0:
                put(unit, label)
    rest = np.flatnonzero(side_U < 0)
    for unit in rest[np.lexsort((rank_U[rest], -size_U[rest]))]:
        put(unit, None)
    return side_U


def _pairs(unit_M: np.ndarray, labels: Labels) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Each unit with each label it has, sorted, and how many of its images have it; all (N,)."""
    rows, columns = pairs(labels)
    keys, counts = np.unique(unit_M[rows] * np.int64(labels.shape[1]) + columns, return_counts=True)
    units, names = np.divmod(keys, labels.shape[1])
    return units, names, counts
