"""The published protocol: draw for draw."""

import numpy as np
import pytest

from mlcfast.data import observe_single_positive, split_train_val


def _published(labels, seed, positives, negatives):
    """The protocol in its plainest form: per image shuffle the positives, then the negatives, keep the first."""
    random = np.random.RandomState(seed)
    observed = np.zeros_like(labels, dtype=np.int8)
    for i in range(len(labels)):
        for value, mark, keep in [(1, 1, positives), (0, -1, negatives)]:
            candidates = np.nonzero(labels[i] == value)[0]
            random.shuffle(candidates)
            for k in candidates if keep == -1 else candidates[:keep]:
                observed[i, k] = mark
    return observed


@pytest.fixture(scope="module")
def labels():
    matrix = (np.random.RandomState(3).rand(500, 80) < 0.036).astype(np.int8)
    matrix[np.arange(500), np.arange(500) % 80] = 1
    return matrix


@pytest.mark.parametrize(("positives", "negatives"), [(1, 0), (1, 1), (2, 3), (0, 1), (-1, 0), (1, -1), (-1, -1)])
@pytest.mark.parametrize("seed", [1200, 7])
def test_equals_the_protocol(labels, seed, positives, negatives):
    observed = observe_single_positive(labels, seed, positives, negatives)
    assert observed.dtype == np.int8
    assert (observed == _published(labels, seed, positives, negatives)).all()


def test_default_is_one_positive_of_each_image(labels):
    observed = observe_single_positive(labels)
    assert set(np.unique(observed)) == {0, 1}
    assert (observed.sum(axis=1) == 1).all()
    assert (labels[observed == 1] == 1).all()
    assert (observe_single_positive(labels.astype(bool)) == observed).all()
    assert (observe_single_positive(np.asfortranarray(labels.astype(np.float64))) == observed).all()


def test_values_stay_the_same():
    labels = np.array([[1, 1, 1, 1, 0, 0], [0, 1, 1, 0, 1, 1], [1, 0, 0, 0, 0, 1]])
    assert observe_single_positive(labels).argmax(axis=1).tolist() == [0, 1, 0]
    train, val = split_train_val(10)
    assert (train.tolist(), val.tolist()) == ([0, 1, 2, 4, 5, 6, 8, 9], [3, 7])


def test_an_image_with_fewer_keeps_all(labels):
    observed = observe_single_positive(labels, positives=80, negatives=0)
    assert (observed == labels).all()


@pytest.mark.parametrize(("n", "fraction"), [(82_081, 0.2), (11, 0.5), (13, 0.5), (5, 0.2)])
def test_split_is_the_sorted_end_of_the_permutation(n, fraction):
    train, val = split_train_val(n, fraction)
    order = np.random.RandomState(1200).permutation(n)
    assert len(val) == round(fraction * n)  # both round half to even
    assert val.tolist() == sorted(order[n - len(val) :])
    assert train.tolist() == sorted(order[: n - len(val)])


def test_split_of_coco_has_the_published_sizes():
    train, val = split_train_val(82_081)
    assert (len(train), len(val)) == (65_665, 16_416)


@pytest.mark.parametrize(("n", "fraction"), [(1, 0.2), (0, 0.2), (10, 0.0), (10, 1.0), (10, 1.5)])
def test_a_split_with_an_empty_part_is_refused(n, fraction):
    with pytest.raises(ValueError, match="leaves train or val empty"):
        split_train_val(n, fraction)


def test_an_image_without_a_positive_is_left_without_one():
    labels = np.array([[1, 1, 1], [0, 0, 0], [1, 1, 1]])
    observed = observe_single_positive(labels)
    assert observed[1].tolist() == [0, 0, 0] and observed.sum(axis=1).tolist() == [1, 0, 1]


@pytest.mark.parametrize(
    ("labels", "options", "says"),
    [
        ([[1, 0], [1, 2]], {}, r"labels\[1, 1\] is 2"),
        ([[1, -1]], {}, r"labels\[0, 1\] is -1"),
        ([[1, float("nan")]], {}, r"labels\[0, 1\] is nan"),
        ([1, 0], {}, r"must be a matrix \(M, K\), not of shape \(2,\)"),
        ([[1, 0]], {"positives": -2}, "positives -2"),
    ],
)
def test_bad_labels_are_named(labels, options, says):
    with pytest.raises(ValueError, match=says):
        observe_single_positive(np.array(labels), **options)
