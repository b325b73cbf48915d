import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score, precision_recall_fscore_support

from mlcfast.metrics import NESTED, average_precision, best_f1_thresholds, figures, multilabel_report


def scores_and_targets(M, K, decimals=None, seed=0, rate=0.2):
    generator = np.random.default_rng(seed)
    targets = (generator.random((M, K)) < rate).astype(np.int8)
    scores = generator.random((M, K)) * 0.7 + 0.3 * targets
    return (scores if decimals is None else scores.round(decimals)), targets


def enveloped_precision(scores_M, targets_M):
    """VOC AP by its definition: at every recall level the best precision among thresholds that reach it."""
    positives = targets_M.sum()
    points = []
    for threshold in np.unique(scores_M):
        retrieved = scores_M >= threshold
        hits = targets_M[retrieved].sum()
        points.append((hits / positives, hits / retrieved.sum()))
    levels = sorted({recall for recall, _ in points} - {0.0})
    steps = np.diff([0.0, *levels])
    best = [max(precision for recall, precision in points if recall >= level) for level in levels]
    return float(np.dot(steps, best))


@pytest.mark.parametrize("K", [1, 20, 80, 81])
@pytest.mark.parametrize("decimals", [None, 2, 0])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_equals_scikit_learn(K, decimals, dtype):
    scores, targets = scores_and_targets(500, K, decimals)
    scores = scores.astype(dtype)
    targets[0] = 1  # scikit-learn warns about labels without positives
    expected = average_precision_score(targets, scores, average=None)
    np.testing.assert_allclose(average_precision(scores, targets), np.atleast_1d(expected), rtol=0, atol=1e-9)


@pytest.mark.parametrize("decimals", [None, 1])
def test_interpolated_is_the_monotone_envelope(decimals):
    scores, targets = scores_and_targets(120, 6, decimals)
    expected = [enveloped_precision(scores[:, k], targets[:, k]) for k in range(6)]
    actual = average_precision(scores, targets, interpolated=True)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-12)
    assert (actual >= average_precision(scores, targets)).all()


def test_by_hand():
    # Ranks of the positives 1, 3 and 4: precisions 1, 2/3, 3/4; the envelope lifts 2/3 to 3/4.
    scores = np.array([[0.9], [0.8], [0.7], [0.6], [0.5]])
    targets = np.array([[1], [0], [1], [1], [0]])
    assert average_precision(scores, targets)[0] == pytest.approx((1 + 2 / 3 + 3 / 4) / 3, abs=1e-12)
    assert average_precision(scores, targets, interpolated=True)[0] == pytest.approx((1 + 3 / 4 + 3 / 4) / 3, abs=1e-12)


def test_ties_do_not_depend_on_the_order_of_the_images():
    scores, targets = scores_and_targets(400, 5, decimals=1)
    order = np.random.default_rng(1).permutation(400)
    for interpolated in (False, True):
        np.testing.assert_array_equal(
            average_precision(scores, targets, interpolated),
            average_precision(scores[order], targets[order], interpolated),
        )


def test_all_scores_equal_gives_the_rate_of_positives():
    targets = np.array([[1], [0], [0], [1]])
    assert average_precision(np.zeros((4, 1)), targets)[0] == 0.5


def test_label_without_positives_is_zero_and_infinities_rank():
    scores = np.array([[np.inf, 0.1], [-np.inf, 0.2], [1e4, 0.3]])
    targets = np.array([[1, 0], [0, 0], [1, 0]])
    for interpolated in (False, True):
        np.testing.assert_array_equal(average_precision(scores, targets, interpolated), [1.0, 0.0])


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_torch_tensors(dtype):
    scores, targets = (torch.from_numpy(array) for array in scores_and_targets(300, 7))
    scores = scores.to(dtype).requires_grad_()
    expected = average_precision(scores.detach().double().numpy(), targets.numpy())
    result = average_precision(scores, targets)
    assert result.dtype == np.float64
    np.testing.assert_array_equal(result, expected)


def test_strided_input_and_minus_one_targets():
    scores, targets = scores_and_targets(300, 8)
    strided = average_precision(scores[::2, ::2], np.where(targets == 1, 1, -1)[::2, ::2])
    np.testing.assert_array_equal(strided, average_precision(scores[::2, ::2].copy(), targets[::2, ::2].copy()))


def test_no_images():
    np.testing.assert_array_equal(average_precision(np.zeros((0, 3)), np.zeros((0, 3))), np.zeros(3))


@pytest.mark.parametrize(
    ("scores", "targets", "message"),
    [
        (np.zeros((4, 3)), np.zeros((4, 2)), "one shape"),
        (np.zeros(4), np.zeros(4), "one shape"),
        (np.array([[0.1, 0.2], [0.3, np.nan]]), np.zeros((2, 2)), "image 1, label 1 is NaN"),
        (np.zeros((2, 2)), np.full((2, 2), 0.5), "targets must be"),
        (np.array([["a"]]), np.zeros((1, 1)), "not real numbers"),
    ],
)
def test_bad_input(scores, targets, message):
    for function in (average_precision, multilabel_report):
        with pytest.raises(ValueError, match=message):
            function(scores, targets)


def test_report_equals_scikit_learn():
    scores, targets = scores_and_targets(400, 12, seed=3)
    report = multilabel_report(scores, targets, [f"label {k}" for k in range(12)])
    predicted = scores >= 0.5
    precision, recall, *_ = precision_recall_fscore_support(targets, predicted, average="macro", zero_division=0)
    assert report["CP"] == pytest.approx(100 * precision, abs=1e-9)
    assert report["CR"] == pytest.approx(100 * recall, abs=1e-9)
    assert report["CF1"] == pytest.approx(200 * precision * recall / (precision + recall), abs=1e-9)
    pooled = precision_recall_fscore_support(targets, predicted, average="micro")
    assert [report["OP"], report["OR"], report["OF1"]] == pytest.approx([100 * value for value in pooled[:3]], abs=1e-9)
    assert report["mAP"] == pytest.approx(100 * average_precision_score(targets, scores, average="macro"), abs=1e-7)
    assert report["mAP_voc"] == pytest.approx(100 * average_precision(scores, targets, True).mean(), abs=1e-9)
    assert list(report["per_label"]) == [f"label {k}" for k in range(12)]
    assert (report["images"], report["labels"]) == (400, 12)


def test_report_keys_and_values_by_hand():
    scores = np.array([[0.9, 0.8, 0.7, 0.6], [0.1, 0.2, 0.9, 0.3]])
    targets = np.array([[1, 0, 1, 1], [0, 0, 0, 1]])
    report = multilabel_report(scores, targets)
    # Predicted: four labels of image 0 and label 2 of image 1, three of them right, four positives.
    # Per label: precision 1, 0, 1/2, 1 and recall 1, 0 (no positives), 1, 1/2.
    assert report["OP"] == pytest.approx(60) and report["OR"] == pytest.approx(75)
    assert report["CP"] == pytest.approx(62.5) and report["CR"] == pytest.approx(62.5)
    assert report["CF1"] == pytest.approx(62.5) and report["OF1"] == pytest.approx(2 * 60 * 75 / 135)
    # Top 3 drops label 3 of image 0; the other two of image 1's three highest stay below the threshold.
    assert report["top3"]["OP"] == pytest.approx(50) and report["top3"]["OR"] == pytest.approx(50)
    assert report["top3"]["CP"] == pytest.approx(100 * (1 + 0 + 0.5 + 0) / 4)
    assert set(report["top3"]) == {"CP", "CR", "CF1", "OP", "OR", "OF1"}
    own = {"images", "labels", "unknown", "mAP", "mAP_present", "mAP_voc", *NESTED}
    assert set(report) == own | set(report["top3"])
    assert report["per_label"] == pytest.approx({"0": 100, "1": 0, "2": 50, "3": 100})


def test_top3_keeps_three_labels_whatever_the_ties():
    report = multilabel_report(np.full((10, 5), 0.9), np.eye(5, dtype=int)[[0] * 10])
    assert report["top3"]["OP"] == pytest.approx(100 / 3)  # labels 0, 1 and 2 of each image, label 0 right
    fewer = multilabel_report(np.full((10, 2), 0.9), np.eye(2, dtype=int)[[0] * 10])
    assert fewer["top3"] == {key: fewer[key] for key in fewer["top3"]}


@pytest.mark.filterwarnings("error")
def test_report_without_any_prediction_is_zero():
    report = multilabel_report(np.full((6, 3), 0.1), np.eye(3, dtype=int)[[0, 1, 0, 1, 0, 1]])
    assert all(report[key] == 0 for key in ("CP", "CR", "CF1", "OP", "OR", "OF1"))
    assert report["mAP"] == pytest.approx(100 * (0.5 + 0.5 + 0) / 3)


@pytest.mark.parametrize("names", [["a"], ["a", "a", "b"]])
def test_report_rejects_names_that_do_not_fit(names):
    with pytest.raises(ValueError, match="names for 3 labels"):
        multilabel_report(np.zeros((2, 3)), np.zeros((2, 3)), names)


def test_report_rejects_logits():
    with pytest.raises(ValueError, match="sigmoid"):
        multilabel_report(np.array([[2.0]]), np.array([[1]]))


def test_a_label_without_positives_can_still_be_predicted():
    scores = np.array([[0.9, 0.2], [0.1, 0.3]])
    assert best_f1_thresholds(scores, np.array([[1, 0], [0, 0]])).tolist() == [0.5, 0.5]
    assert best_f1_thresholds(scores, np.array([[1, 0], [1, 0]]))[1] == 0.5


def partly_known(M=400, K=7, seed=4):
    """Scores, targets of 1, 0 (unknown) and −1, and the same with a guess for what is unknown."""
    scores, targets = scores_and_targets(M, K, seed=seed)
    hidden = np.random.default_rng(seed + 1).random((M, K)) < 0.4
    return scores, np.where(hidden, 0, np.where(targets == 1, 1, -1)).astype(np.int8)


@pytest.mark.parametrize("interpolated", [False, True])
def test_unknown_entries_are_left_out_of_average_precision(interpolated):
    scores, targets = partly_known()
    for k, value in enumerate(average_precision(scores, targets, interpolated)):
        rows = targets[:, k] != 0
        assert value == average_precision(scores[rows, k : k + 1], targets[rows, k : k + 1], interpolated)[0]
    report = multilabel_report(scores, targets)
    expected = [
        average_precision_score(targets[targets[:, k] != 0, k] == 1, scores[targets[:, k] != 0, k]) for k in range(7)
    ]
    assert report["mAP"] == pytest.approx(100 * np.mean(expected), abs=1e-9)
    assert report["unknown"] == (targets == 0).sum()
    assert report["support"] == {str(k): int((targets[:, k] == 1).sum()) for k in range(7)}


def test_what_is_unknown_changes_no_figure():
    """Whatever the model says of an unknown entry, the report stays the same, the three highest labels included."""
    scores, targets = partly_known()
    other = np.where(targets == 0, np.random.default_rng(9).random(scores.shape), scores)
    assert multilabel_report(scores, targets) == multilabel_report(other, targets)
    for k in range(7):
        rows = targets[:, k] != 0
        own = best_f1_thresholds(scores[rows, k : k + 1], targets[rows, k : k + 1])
        assert best_f1_thresholds(other, targets)[k] == own[0]


def test_zeros_alone_and_minus_ones_alone_are_absent():
    scores, targets = scores_and_targets(200, 5)
    report = multilabel_report(scores, targets)
    assert report == multilabel_report(scores, np.where(targets == 1, 1, -1)) and report["unknown"] == 0


def test_labels_without_positives_are_listed_and_left_out_of_the_second_mean():
    scores = np.array([[0.9, 0.1, 0.3], [0.2, 0.2, 0.8], [0.3, 0.7, 0.9]])
    report = multilabel_report(scores, np.array([[1, 0, 1], [0, 0, 1], [0, 0, 1]]), ["cat", "dog", "owl"])
    assert report["labels_without_positives"] == ["dog"] and report["labels_without_negatives"] == ["owl"]
    assert report["mAP"] == pytest.approx(200 / 3) and report["mAP_present"] == 100
    assert report["support"] == {"cat": 1, "dog": 0, "owl": 3}
    assert multilabel_report(scores, np.zeros((3, 3)))["mAP_present"] == 0
    assert set(figures(report)) == {
        "images", "labels", "unknown", "mAP", "mAP_present", "mAP_voc", "CP", "CR", "CF1", "OP", "OR", "OF1",
    }  # fmt: skip
