"""What label-query attention is tried on: every plan at published sizes, odd ones, and batches that are cut in slices.

B images, K labels, N cells, D width, H heads. Dropout is held against the definition with the operator's own mask.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from unittest import mock

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.attention import HEADS, PUBLISHED
from bench.problems import DTYPES, FEW, Problem
from mlcfast import ops
from mlcfast.ops.label_query_attention import dropout as masks
from mlcfast.ops.label_query_attention.plan import PLANS
from mlcfast.ops.label_query_attention.reference import label_query_attention as reference

Shape = tuple[int, int, int, int, int]
SMALL: tuple[Shape, ...] = ((2, 3, 7, 24, 2), (1, 1, 1, 16, 1), (2, 17, 40, 36, 2), (13, 5, 6, 16, 2))
CVT = PUBLISHED["Q2L-CvT_w24-384"]
MANY: tuple[Shape, ...] = ((64, 80, CVT[1], CVT[0], HEADS), (2, 9605, CVT[1], CVT[0], HEADS))
SEED = 7


@dataclass(frozen=True)
class Variant:
    """Queries shared by the batch or not; a position for all (1), one an image (-1) or none (0); whether it learns."""

    shared: bool = True
    position: int = 1
    learnt: bool = False
    dropout: float = 0.0

    def __str__(self) -> str:
        codes = {1: "position", -1: "own positions", 0: "no position"}[self.position]
        learnt = " learnt" if self.learnt else ""
        return f"{'shared' if self.shared else 'own'} queries, {codes}{learnt}, dropout {self.dropout}"


TRAINING = Variant(dropout=0.1)
VARIANTS = (TRAINING, Variant(), Variant(shared=False, position=-1), Variant(position=0))
ODD = (TRAINING, Variant(shared=False, position=-1), Variant(position=0))
LEARNT = Variant(shared=False, position=-1, learnt=True)


def attention_problems(backend: str, device: str, size: str) -> Iterator[Problem]:
    """What is timed first; Triton's attention knows the folded form alone, and its interpreter is given small sizes."""
    plans = tuple(PLANS) if backend == "native" else ("folded",)
    for shape, dtype, variants in _cases(size):
        for variant in variants:
            for plan in plans:
                yield _problem(shape, dtype, variant, plan, device)


def _cases(size: str) -> Iterator[tuple[Shape, torch.dtype, tuple[Variant, ...]]]:
    published = dict.fromkeys(PUBLISHED.values())
    if size == "full":
        yield from (((2, 80, N, D, HEADS), torch.bfloat16, VARIANTS) for D, N in published)
        yield from ((shape, torch.bfloat16, (TRAINING,)) for shape in MANY)
        yield from (((2, 80, N, D, HEADS), torch.float32, (TRAINING, Variant())) for D, N in published)
    if size == "moderate":
        yield (2, 80, 144, 1536, HEADS), torch.bfloat16, VARIANTS
    for dtype in DTYPES if size != "tiny" else DTYPES[:1]:
        yield from ((shape, dtype, (*ODD, LEARNT)) for shape in SMALL)


def _problem(shape: Shape, dtype: torch.dtype, variant: Variant, plan: str, device: str) -> Problem:
    B, K, N, D, H = shape

    def ours(*tensors: Tensor | None) -> Tensor:
        with _seeded():
            return ops.label_query_attention(*tensors, H, variant.dropout, plan=plan)[0]

    def definition(*tensors: Tensor | None) -> Tensor:
        with _seeded():
            seed = masks.draw_seed(torch.device(device))
        with mock.patch.object(F, "dropout", _mask(seed)):
            return reference(*tensors, H, variant.dropout)[0]

    words = f"{plan}, B {B} K {K} N {N} D {D}, {variant}"
    return Problem(words, dtype, ours, definition, lambda: _tensors(shape, variant, dtype, device), B * K * D < FEW)


@contextmanager
def _seeded() -> Iterator[None]:
    """The operator and its definition draw the same seed inside; the generators are left as they were."""
    with torch.random.fork_rng():
        torch.manual_seed(SEED)
        yield


def _mask(seed: Tensor) -> Callable[[Tensor, float], Tensor]:
    """Dropout of weights (B, H, K, N) by the operator's mask."""
    return lambda weights, dropout: masks.apply(weights.permute(0, 3, 2, 1), seed, dropout).permute(0, 3, 2, 1)


def _tensors(shape: Shape, variant: Variant, dtype: torch.dtype, device: str) -> list[Tensor | None]:
    B, K, N, D, _ = shape

    def normal(*sizes: int, scale: float = 1.0) -> Tensor:
        return (torch.randn(sizes, device=device) * scale).to(dtype).requires_grad_()

    queries = normal(K, D) if variant.shared else normal(B, K, D)
    position = normal(B if variant.position < 0 else 1, N, D) if variant.position else None
    if position is not None and not variant.learnt:
        position = position.detach()
    weights = normal(3 * D, D, scale=D**-0.5), normal(3 * D), normal(D, D, scale=D**-0.5), normal(D)
    return [queries, normal(B, N, D), position, *weights]
