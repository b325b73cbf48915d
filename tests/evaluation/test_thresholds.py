"""Thresholds for an aim: what is chosen, what is said, what is written to the model."""

import numpy as np
import pytest

from mlcfast.errors import UsageError
from mlcfast.evaluation.gather import EvaluationResult
from mlcfast.evaluation.thresholds import Aim, as_json, choose_thresholds, read_aim, thresholds_table
from mlcfast.metrics import best_f1_thresholds, label_cuts

SCORES = np.array([[0.9, 0.9, 0.2], [0.8, 0.9, 0.3], [0.7, 0.4, 0.1], [0.6, 0.4, 0.9], [0.1, 0.1, 0.5]], np.float32)
TARGETS = np.array([[1, 0, 0], [1, 1, 0], [0, 0, 0], [1, 1, 0], [0, 0, 0]], np.int8)
RESULT = EvaluationResult(SCORES, TARGETS, ["cat", "dog", "owl"])


def by_hand(scores: np.ndarray, targets: np.ndarray, aim: Aim) -> tuple[float, float]:
    """Precision and recall of the best of all thresholds that could be, one by one."""
    found = []
    for bound in sorted(set(scores)):
        given = scores >= bound
        found.append(((given & (targets == 1)).sum() / given.sum(), (given & (targets == 1)).sum() / targets.sum()))
    if aim.measure == "precision":
        reached = [each for each in found if each[0] >= aim.target]
        return max(reached or [max(found)], key=lambda each: (each[1], each[0]))
    return max(each for each in found if each[1] >= aim.target)


@pytest.mark.parametrize(
    "text", ["precision=0.6", "precision=0.9", "precision=1", "recall=0.5", "recall=0.9", "recall=1"]
)
def test_the_best_cut_that_reaches_the_aim(text):
    random, aim = np.random.default_rng(0), read_aim(text)
    scores = random.integers(0, 12, (40, 6)).astype(np.float32) / 11  # many ties
    targets = (random.random((40, 6)) < 0.3).astype(np.int8)
    for k, each in enumerate(choose_thresholds(EvaluationResult(scores, targets, list("abcdef")), aim)):
        precision, recall = by_hand(scores[:, k], targets[:, k], aim)
        assert (each.precision, each.recall) == pytest.approx((precision, recall))
        given = scores[:, k] >= each.threshold
        assert (given & (targets[:, k] == 1)).sum() / given.sum() == pytest.approx(each.precision)
        assert each.reached == ((each.precision if aim.measure == "precision" else each.recall) >= aim.target)


def test_a_label_that_cannot_reach_it_and_one_that_no_image_has_are_named():
    choices = choose_thresholds(RESULT, read_aim("precision=0.75"))
    assert [each.threshold for each in choices] == pytest.approx([0.35, 0.25, 0.5])
    assert [each.reached for each in choices] == [True, False, False]
    lines = thresholds_table(RESULT.names, choices, Aim("precision", 0.75), [0.5] * 3).splitlines()
    assert lines[1].split() == ["cat", "3", "0.500", "0.350", "75.00", "100.00", "85.71"]
    assert lines[2].endswith("does not reach precision=0.75") and lines[3].endswith("no image has it")
    assert as_json(RESULT.names, choices, Aim("precision", 0.75))["labels"]["cat"]["recall"] == 100


def test_f1_is_what_a_run_chooses():
    chosen = [each.threshold for each in choose_thresholds(RESULT, read_aim("f1"))]
    assert chosen == pytest.approx(best_f1_thresholds(SCORES, TARGETS).tolist())


def test_no_images_have_no_cuts():
    cuts = list(label_cuts(np.zeros((0, 2)), np.zeros((0, 2))))
    assert [len(each.thresholds) for each in cuts] == [0, 0]


@pytest.mark.parametrize(
    "text", ["", "F1", "precision", "precision=", "precision=0", "recall=1.5", "recall=x", "mAP=0.5"]
)
def test_what_is_no_aim_is_refused(text):
    with pytest.raises(UsageError, match="must be f1, or precision=P or recall=R"):
        read_aim(text)
