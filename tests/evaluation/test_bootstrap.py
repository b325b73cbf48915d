"""The bootstrap's AP is the AP of the drawn images, and its intervals cover what they should."""

import numpy as np
import pytest

from mlcfast.evaluation.bootstrap import (
    ap_differences,
    few_positive_intervals,
    mean_ap_interval,
    resample_counts,
    weighted_ap,
)
from mlcfast.metrics import average_precision


def problem(M: int, K: int, seed: int = 0, levels: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Scores that know something of the targets; `levels` makes many of them tie."""
    random = np.random.default_rng(seed)
    targets = (random.random((M, K)) < 0.2).astype(np.int8)
    scores = random.standard_normal((M, K)) + targets
    return (scores if levels is None else np.round(scores * levels) / levels), targets


@pytest.mark.parametrize("levels", [None, 2])
def test_weighted_ap_is_the_ap_of_the_drawn_images(levels):
    scores, targets = problem(60, 3, levels=levels)
    counts = resample_counts(60, 20, seed=1)
    assert (counts.sum(axis=0) == 60).all() and (counts[:, 0] == 1).all()
    for label in range(3):
        found = weighted_ap(scores[:, label], targets[:, label] == 1, counts)
        for column, drawn in zip(found, counts.T.astype(int), strict=True):
            rows = np.repeat(np.arange(60), drawn)
            expected = average_precision(scores[rows, label, None], targets[rows, label, None])[0]
            assert column == pytest.approx(expected, abs=1e-12)


def test_differences_and_their_intervals():
    scores, targets = problem(400, 4)
    worse = scores + np.random.default_rng(5).standard_normal(scores.shape)
    each, mean = ap_differences(worse, scores, targets, resamples=300)
    expected = average_precision(scores, targets) - average_precision(worse, targets)
    np.testing.assert_allclose(each.value, expected, atol=1e-12)
    assert mean.value == pytest.approx(expected.mean())
    assert (each.low < each.value).all() and (each.value < each.high).all()
    assert 0 < mean.low < mean.value < mean.high
    assert mean.high - mean.low < (each.high - each.low).mean()


def test_the_interval_of_one_model_is_that_of_its_resamples():
    scores, targets = problem(120, 3)
    targets[:20, 1] = -1
    interval = mean_ap_interval(scores, targets, resamples=40, seed=2)
    means = []
    for drawn in resample_counts(120, 40, seed=2).T.astype(int)[1:]:
        rows = np.repeat(np.arange(120), drawn)
        means.append(np.nanmean(average_precision(scores[rows], targets[rows])))
    assert interval.value == pytest.approx(average_precision(scores, targets).mean())
    around = np.array(means) - np.mean(means) + interval.value
    np.testing.assert_allclose((interval.low, interval.high), np.quantile(around, (0.025, 0.975)), atol=1e-9)


def test_the_interval_of_poor_scores_covers_what_other_sets_give():
    """Their expected mean; of 40 such sets, 0.95 each, 30 and fewer happen once in 10,000."""
    random = np.random.default_rng(0)
    found = []
    for _ in range(40):
        targets = (random.random((400, 24)) < 0.1).astype(np.int8)
        scores = (random.standard_normal(targets.shape) + 0.3 * targets).astype(np.float32)
        found.append(mean_ap_interval(scores, targets, resamples=100))
    expected = np.mean([interval.value for interval in found])
    covering = sum(interval.low <= expected <= interval.high for interval in found)
    assert covering > 30
    assert all(interval.low < interval.value < interval.high for interval in found)


def test_labels_that_few_images_have_get_an_interval():
    random = np.random.default_rng(4)
    targets = (random.random((300, 4)) < [0, 0.02, 0.5, 0.03]).astype(np.int8)
    scores = random.random((300, 4)).astype(np.float32) + 0.3 * targets
    found = few_positive_intervals(scores, targets, resamples=50)
    assert sorted(found) == [1, 3]
    counts = resample_counts(300, 50, 0)
    for k, interval in found.items():
        aps = weighted_ap(scores[:, k], targets[:, k] == 1, counts)
        assert interval.value == pytest.approx(average_precision(scores, targets)[k], abs=1e-7)
        assert (interval.low, interval.high) == pytest.approx(tuple(np.quantile(aps[1:], (0.025, 0.975))))
        assert interval.low <= interval.value <= interval.high
    few, many = targets[:, :2].repeat(300, axis=0), scores[:, :2].repeat(300, axis=0)
    assert few_positive_intervals(many, np.where(few.cumsum(axis=0) > 5, 0, few)) == {}, "too many images"


def test_a_model_against_itself_and_a_label_without_positives():
    scores, targets = problem(50, 2)
    targets[:, 1] = 0
    each, mean = ap_differences(scores, scores, targets, resamples=50)
    assert all(np.all(values == 0) for values in (*each, *mean))
    each, _ = ap_differences(scores, -scores, targets, resamples=50)
    assert each.value[0] < 0 and (each.value[1], each.low[1], each.high[1]) == (0, 0, 0)


def test_interval_covers_the_true_difference():
    """95 % intervals of two equally good models hold 0 in about 95 of 100 data sets: binomial, 5 σ below at 84."""
    covered = 0
    for seed in range(100):
        random = np.random.default_rng(seed)
        targets = (random.random((300, 1)) < 0.3).astype(np.int8)
        first, second = (random.standard_normal((300, 1)) + targets for _ in range(2))
        _, mean = ap_differences(first, second, targets, resamples=200, seed=seed)
        covered += mean.low <= 0 <= mean.high
    assert 84 <= covered <= 100


def test_shapes_are_checked():
    with pytest.raises(ValueError, match="one shape"):
        ap_differences(np.zeros((3, 2)), np.zeros((3, 2)), np.zeros((2, 2)))


def test_unknown_entries_do_not_count():
    random = np.random.default_rng(8)
    targets = random.choice([1, 0, -1], (60, 3))
    first, second = random.random((2, 60, 3))
    (values, *_), _ = ap_differences(first, second, targets, resamples=50)
    assert values == pytest.approx(average_precision(second, targets) - average_precision(first, targets), abs=1e-6)
    noise = np.where(targets == 0, random.random((60, 3)), first)
    for one, other in zip(
        ap_differences(first, second, targets, 50), ap_differences(noise, second, targets, 50), strict=True
    ):
        for left, right in zip(one, other, strict=True):
            np.testing.assert_array_equal(left, right)
