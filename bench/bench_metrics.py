"""Average precision at MS-COCO val size beside scikit-learn: pytest bench/bench_metrics.py"""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from mlcfast.metrics import average_precision, multilabel_report

M, K = 40_137, 80


@pytest.fixture(scope="module")
def coco_sized() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    targets = (generator.random((M, K)) < 2.9 / K).astype(np.int8)
    scores = 1 / (1 + np.exp(-(generator.standard_normal((M, K)) + 2 * targets - 2)))
    return scores.astype(np.float32), targets


def test_plain(benchmark, coco_sized):
    scores, targets = coco_sized
    ap = benchmark(average_precision, scores, targets)
    np.testing.assert_allclose(ap, average_precision_score(targets, scores, average=None), atol=1e-9)


def test_interpolated(benchmark, coco_sized):
    assert benchmark(average_precision, *coco_sized, interpolated=True).shape == (K,)


def test_report(benchmark, coco_sized):
    assert benchmark(multilabel_report, *coco_sized)["images"] == M


def test_scikit_learn(benchmark, coco_sized):
    scores, targets = coco_sized
    benchmark(average_precision_score, targets, scores, average=None)
