"""What label-query attention is tried on: every plan at published sizes, odd ones, and batches that are cut in slices.

B images, K labels, N cells, D width, H heads. Dropout is held against the definition with the operator's own mask.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from unittest import mock

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.cases.problem import DTYPES, FEW, Problem
from mlcfast import ops
from mlcfast.ops.label_query_attention import dropout as masks
from mlcfast.ops.label_query_attention.plan import PLANS
from mlcfast.ops.label_query_attention.reference import label_query_attention as reference

NAMES = ("queries", "memory", "position", "in_proj_weight", "in_proj_bias", "out_proj_weight", "out_proj_bias")
PUBLISHED = {  # model: width D, cells N
    "Q2L-R101-448": (2048, 196),
    "Q2L-R101-576": (2048, 324),
    "Q2L-TResL-448": (2432, 196),
    "Q2L-TResL_22k-448": (2048, 196),
    "Q2L-SwinL-384": (1536, 144),
    "Q2L-CvT_w24-384": (1024, 576),
}
HEADS = 4
Shape = tuple[int, int, int, int, int]
SMALL: tuple[Shape, ...] = ((2, 3, 7, 24, 2), (1, 1, 1, 16, 1), (2, 17, 40, 36, 2), (13, 5, 6, 16, 2))
ACCURATE: Shape = (4, 20, 49, 64, 4)  # held to plain torch's error as it is
CVT = PUBLISHED["Q2L-CvT_w24-384"]
MANY: tuple[Shape, ...] = ((64, 80, CVT[1], CVT[0], HEADS), (2, 9605, CVT[1], CVT[0], HEADS))
SEED = 7


def make(
    B: int,
    K: int,
    N: int,
    D: int,
    shared: bool = True,
    positions: int | None = 1,
    dtype: torch.dtype = torch.float64,
    seed: int = 0,
    device: str = "cpu",
) -> list[Tensor | None]:
    """The seven tensors of the operator; positions: 1 for one code, B for one an image, None for none."""
    generator = torch.Generator(device).manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64, device=device).to(dtype)

    queries = normal(K, D) if shared else normal(B, K, D)
    memory, position = normal(B, N, D), None if positions is None else normal(positions, N, D)
    return [queries, memory, position, normal(3 * D, D) / D**0.5, normal(3 * D), normal(D, D) / D**0.5, normal(D)]


def learn(tensors: list[Tensor | None]) -> list[Tensor | None]:
    """Detached copies that require gradients."""
    return [None if t is None else t.detach().clone().requires_grad_() for t in tensors]


def gradients(out: Tensor, tensors: list[Tensor | None], seed: int = 1) -> list[Tensor]:
    """Gradients of a fixed random projection of `out` to the tensors present."""
    direction = torch.randn(out.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(out)
    return list(torch.autograd.grad(out, [t for t in tensors if t is not None], direction))


@dataclass(frozen=True)
class Variant:
    """Queries shared by the batch or not; a position for all (1), one an image (-1) or none (0); whether it learns."""

    shared: bool = True
    position: int = 1
    learnt: bool = False
    dropout: float = 0.0


TRAINING = Variant(dropout=0.1)
VARIANTS = (TRAINING, Variant(), Variant(shared=False, position=-1), Variant(position=0))
ODD = (TRAINING, Variant(shared=False, position=-1), Variant(position=0))
LEARNT = Variant(shared=False, position=-1, learnt=True)


def problems(backend: str, device: str, size: str) -> Iterator[Problem]:
    """What is timed first; Triton's attention knows the folded form alone, and its interpreter is given small sizes.

    size: full (a GPU), moderate (a CPU) or tiny (Triton's interpreter).
    """
    plans = tuple(PLANS) if backend == "native" else ("folded",)
    for shape, dtype, variants in _cases(size):
        for variant in variants:
            for plan in plans:
                yield _problem(shape, dtype, variant, plan, device)
    yield from accurate(backend, device)


def accurate(backend: str, device: str = "cpu") -> Iterator[Problem]:
    """Mid-sized problems whose error is held to twice plain torch's, however small that is.

    Triton's in fp16, as its interpreter multiplies bf16 as integers, with a position that does not learn.
    """
    if backend == "triton":
        yield _problem(ACCURATE, torch.float16, Variant(), "folded", device, strict=True)
        return
    for dtype in DTYPES:
        for shared in (True, False):
            for plan in PLANS:
                yield _problem(ACCURATE, dtype, Variant(shared, learnt=True), plan, device, strict=True)


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


def _problem(
    shape: Shape, dtype: torch.dtype, variant: Variant, plan: str, device: str, strict: bool = False
) -> Problem:
    B, K, N, D, H = shape

    def ours(*tensors: Tensor | None) -> Tensor:
        with _seeded():
            return ops.label_query_attention(*tensors, H, variant.dropout, plan=plan)[0]

    def definition(*tensors: Tensor | None) -> Tensor:
        with _seeded():
            seed = masks.draw_seed(torch.device(device))

        def mask(weights: Tensor, dropout: float) -> Tensor:  # (B, H, K, N), by the operator's own
            return masks.apply(weights.permute(0, 3, 2, 1), seed, dropout).permute(0, 3, 2, 1)

        with mock.patch.object(F, "dropout", mask):
            return reference(*tensors, H, variant.dropout)[0]

    def tensors() -> list[Tensor | None]:
        positions, seed = {1: 1, -1: B, 0: None}[variant.position], int(torch.randint(2**31, ()))
        found = learn(make(B, K, N, D, variant.shared, positions, dtype, seed, device))
        if found[2] is not None:
            found[2].requires_grad_(variant.learnt)
        return found

    words = f"{plan}, B {B} K {K} N {N} D {D}, {variant}"
    small = (1 if variant.shared else B) * K * D < FEW  # entries of the queries, whose gradient is judged by itself
    return Problem(words, dtype, ours, definition, tensors, small, strict=strict)


@contextmanager
def _seeded() -> Iterator[None]:
    """The operator and its definition draw the same seed inside; the generators are left as they were."""
    with torch.random.fork_rng():
        torch.manual_seed(SEED)
        yield
