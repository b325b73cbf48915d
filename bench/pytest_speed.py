"""Losses and metrics under pytest-benchmark: pytest bench/pytest_speed.py --benchmark-group-by=param:shape

Every loss, shape and dtype, with the contenders of the losses suite, and average precision at MS-COCO val size beside
scikit-learn. For looking at one thing while working on it; select with -k, such as -k "role and 64x80".
"""

from functools import cache

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score

from bench.baselines.losses import OPERATORS, contenders, make_inputs, stepper
from mlcfast.losses import build_loss
from mlcfast.metrics import average_precision, multilabel_report

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
SHAPES = ((16, 80), (64, 80), (256, 80), (4096, 80), (16, 9605), (64, 9605), (256, 9605), (4096, 9605))
COMPARED = dict.fromkeys(OPERATORS, ("mlcfast", "textbook", "torch.compile"))
COMPARED["asymmetric"] = ("mlcfast", "textbook", "in-place", "torch.compile", "torchvision focal")
OTHERS = ("bce", "bce_ls", "an_ls", "wan", "iu", "iun", "pr")
CASES = [pytest.param(loss, name, id=f"{loss}-{name}") for loss, names in COMPARED.items() for name in names]
M, K = 40_137, 80
by_shape = pytest.mark.parametrize("shape", [f"{B}x{K}" for B, K in SHAPES])
by_dtype = pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
made = cache(contenders)


@by_shape
@by_dtype
@pytest.mark.parametrize(("loss", "contender"), CASES)
def test_against(benchmark, loss, contender, dtype, shape):
    sets = _inputs(shape, dtype)
    function = made(loss)[contender]
    assert torch.isfinite(function(*sets[0]))
    benchmark(stepper(function, sets))


@by_shape
@by_dtype
@pytest.mark.parametrize("loss", OTHERS)
def test_alone(benchmark, loss, dtype, shape):
    module = build_loss(loss)
    truth = (torch.rand(*map(int, shape.split("x")), device=DEVICE) < 0.05).float()
    sets = _inputs(shape, dtype)
    assert torch.isfinite(module(*sets[0][:2], true_labels=truth))
    benchmark(stepper(lambda x, y, e: module(x, y, true_labels=truth), sets))


def _inputs(shape: str, dtype: str) -> list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    B, K = map(int, shape.split("x"))
    return [make_inputs(B, K, DEVICE, getattr(torch, dtype)) for _ in range(1 if B * K > 2**22 else 4)]


@pytest.fixture(scope="module")
def coco_sized() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    targets = (generator.random((M, K)) < 2.9 / K).astype(np.int8)
    scores = 1 / (1 + np.exp(-(generator.standard_normal((M, K)) + 2 * targets - 2)))
    return scores.astype(np.float32), targets


def test_average_precision(benchmark, coco_sized):
    scores, targets = coco_sized
    ap = benchmark(average_precision, scores, targets)
    np.testing.assert_allclose(ap, average_precision_score(targets, scores, average=None), atol=1e-9)


def test_interpolated_average_precision(benchmark, coco_sized):
    assert benchmark(average_precision, *coco_sized, interpolated=True).shape == (K,)


def test_report(benchmark, coco_sized):
    assert benchmark(multilabel_report, *coco_sized)["images"] == M


def test_scikit_learn(benchmark, coco_sized):
    scores, targets = coco_sized
    benchmark(average_precision_score, targets, scores, average=None)
