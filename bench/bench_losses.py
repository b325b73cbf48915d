"""Every loss under pytest-benchmark: pytest bench/bench_losses.py --benchmark-group-by=param:shape

Select with -k, such as -k "role and 64x80"; the contenders, and what is compared with what, are those of bench.losses.
"""

from functools import cache

import pytest
import torch

from bench.losses import SHAPES, contenders, make_inputs, stepper
from mlcfast.losses import build_loss

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
COMPARED = dict.fromkeys(("an", "epr", "role"), ("mlcfast", "textbook", "torch.compile"))
COMPARED["asymmetric"] = ("mlcfast", "textbook", "in-place", "torch.compile", "torchvision focal")
OTHERS = ("bce", "bce_ls", "an_ls", "wan", "iu", "iun", "pr")
CASES = [pytest.param(loss, name, id=f"{loss}-{name}") for loss, names in COMPARED.items() for name in names]
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
