"""Under pytest-benchmark what no suite compares: pytest tests/bench/pytest_speed.py --benchmark-group-by=param:shape

The losses that have no rivals, in every shape and type, and average precision at MS-COCO val size beside scikit-learn.
Select with -k, such as -k "wan and 64x80 and float32"; for losses beside their rivals: python -m bench.run losses.
"""

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score

from bench.baselines.losses import make_inputs, stepper
from mlcfast.losses import build_loss
from mlcfast.metrics import average_precision, multilabel_report

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
SHAPES = ("16x80", "64x80", "256x80", "4096x80", "16x9605", "64x9605", "256x9605", "4096x9605")
M, K = 40_137, 80


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("loss", ["bce", "bce_ls", "an_ls", "wan", "iu", "iun", "pr"])
def test_loss(benchmark, loss, dtype, shape):
    size, module = tuple(map(int, shape.split("x"))), build_loss(loss)
    truth = (torch.rand(*size, device=DEVICE) < 0.05).float()
    sets = [make_inputs(*size, DEVICE, getattr(torch, dtype)) for _ in range(1 if size[0] * size[1] > 2**22 else 4)]
    assert torch.isfinite(module(*sets[0][:2], true_labels=truth))
    benchmark(stepper(lambda x, y, e: module(x, y, true_labels=truth), sets))


@pytest.fixture(scope="module")
def coco_sized() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    targets = (generator.random((M, K)) < 2.9 / K).astype(np.int8)
    scores = 1 / (1 + np.exp(-(generator.standard_normal((M, K)) + 2 * targets - 2)))
    return scores.astype(np.float32), targets


@pytest.mark.parametrize("interpolated", [False, True])
def test_average_precision(benchmark, coco_sized, interpolated):
    assert benchmark(average_precision, *coco_sized, interpolated=interpolated).shape == (K,)


def test_report(benchmark, coco_sized):
    assert benchmark(multilabel_report, *coco_sized)["images"] == M


def test_scikit_learn(benchmark, coco_sized):
    scores, targets = coco_sized
    ap = benchmark(average_precision_score, targets, scores, average=None)
    np.testing.assert_allclose(ap, average_precision(scores, targets), atol=1e-9)
