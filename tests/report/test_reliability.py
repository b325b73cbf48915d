"""The reliability of scores: tenths counted by hand, the temperature that made them worse found again, odd inputs."""

import numpy as np
import pytest

from mlcfast.report.page import render
from mlcfast.report.reliability import (
    calibration_error,
    diagram,
    logits_of,
    reliability,
    temperature_of,
    tempered,
    tenths,
)
from tests.report.records import Page, mixed_names, record_of


def honest(entries: int = 200_000) -> tuple[np.ndarray, np.ndarray]:
    """Scores that are right, and what they speak of."""
    random = np.random.default_rng(0)
    scores = random.random(entries).astype(np.float32)
    return scores, random.random(entries) < scores


def test_tenths_are_those_counted_one_by_one():
    random = np.random.default_rng(1)
    scores = np.concatenate([random.random(500), [0.0, 1.0, 0.1, 0.95, 0.3]]).astype(np.float32)
    present = random.random(505) < 0.4
    found, error = tenths(scores, present), 0.0
    for n in range(10):
        own = [i for i in range(505) if n == min(int(scores[i] * 10), 9)]
        score, share = np.mean([scores[i] for i in own]), np.mean([present[i] for i in own])
        assert found[n].entries == len(own) and found[n][1:] == pytest.approx((score, share), rel=1e-6)
        error += len(own) / 505 * abs(score - share)
    assert calibration_error(found) == pytest.approx(error, rel=1e-6)


@pytest.mark.parametrize("made", [0.4, 1.0, 2.5])
def test_the_temperature_that_was_put_in_is_found(made):
    scores, present = honest()
    worse = tempered(scores, 1 / made).astype(np.float32)
    found = temperature_of(worse, present)
    assert found == pytest.approx(made, rel=0.03)

    def cost(temperature: float) -> float:
        signed = np.where(present, 1, -1) * logits_of(worse) / temperature
        return float(np.mean(np.log1p(np.exp(-signed))))

    assert cost(found) <= min(cost(1.02 * found), cost(found / 1.02))
    about = reliability(worse[:, None], present[:, None].astype(np.int8))
    assert about["error_with_temperature"] < 1 and (made == 1) == (about["error"] < 1)


def test_unknown_entries_say_nothing():
    scores, present = np.array([[0.9, 0.2], [0.6, 0.8]], np.float32), np.array([[1, 0], [-1, 1]], np.int8)
    assert sum(row["entries"] for row in reliability(scores, present)["tenths"]) == 3


@pytest.mark.parametrize("scores", [np.zeros((3, 2)), np.ones((3, 2)), np.full((3, 2), 0.5), np.zeros((0, 2))])
@pytest.mark.parametrize("label", [0, 1])
def test_scores_without_a_shade_are_finite(scores, label):
    about = reliability(scores.astype(np.float32), np.full(scores.shape, label, np.int8))
    assert np.isfinite([about["error"], about["temperature"], about["error_with_temperature"]]).all()
    assert "figure" in diagram(scores.astype(np.float32), np.full(scores.shape, label, np.int8))


def test_the_page_has_it():
    record = record_of(mixed_names(5))
    text = render(record)
    Page(text)
    about = reliability(record.scores, record.labels)
    assert f"scores are off by {about['error']:.1f} points on average" in text and "as scores should be" in text
