"""What the losses are tried on, by tests/ops and by the gate: random and awkward inputs, and published sizes.

B images, K labels.
"""

import os
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from bench.cases.problem import DTYPES, MANY_CASES, ONE_CASE, evaluate, guarded, in_roundings, row_of, worst
from bench.record import Row
from mlcfast import ops
from mlcfast.ops.asymmetric_loss.reference import asymmetric_loss as asymmetric_reference
from mlcfast.ops.expected_positives.reference import epr_loss as epr_reference
from mlcfast.ops.expected_positives.reference import role_loss as role_reference
from mlcfast.ops.label_bce.reference import pairwise_ranking as pairwise_reference
from mlcfast.ops.label_bce.reference import weighted_bce as weighted_reference

LABEL_COUNTS, K_SET = (1, 2, 20, 80, 81), (1, 20, 80, 81, 9605)
ENTRIES = int(os.environ.get("MLCFAST_TEST_ENTRIES", 3000))
CASES = int(os.environ.get("MLCFAST_TEST_CASES", 300))
QUANTILES = {0.5: "median", 0.9: "90th percentile", 1.0: "largest"}
OUTPUTS = ("loss", "gradient", "rows gradient")
PUBLISHED = {"full": ((64, 80), (4096, 80), (256, 9605)), "moderate": ((64, 80), (5, 9605)), "tiny": ()}


@dataclass
class Case:
    """Logits and labels of one problem; `rows` are an estimator's logits, `truth` the true labels."""

    logits: Tensor
    labels: Tensor
    rows: Tensor
    truth: Tensor


@dataclass
class Loss:
    """A fused loss and its definition, called alike: loss(case logits, case, rows, reduction).

    exact_gradient: autograd through the definition is its derivative. finite: so at infinite logits. furthest: the
    largest logit that it is tried on, where that is not infinite.
    """

    fused: Callable[..., Tensor]
    reference: Callable[..., Tensor]
    reductions: tuple[str, ...] = ("none", "mean", "sum")
    exact_gradient: bool = True
    finite: bool = True
    furthest: float = torch.inf


def _both(call: Callable[..., Tensor], fused: Callable, reference: Callable, *reductions: str) -> Loss:
    return Loss(partial(call, fused), partial(call, reference), reductions or Loss.reductions)


def _asymmetric(**options: object) -> Loss:
    return _both(
        lambda f, x, c, rows, r: f(x, c.labels, **options, reduction=r), ops.asymmetric_loss, asymmetric_reference
    )


def _weighted(*weights: tuple[float, float], truth: bool = False) -> Loss:
    return _both(
        lambda f, x, c, rows, r: f(x, c.labels, *weights, c.truth if truth else None, reduction=r),
        ops.weighted_bce, weighted_reference,
    )  # fmt: skip


LOSSES = {
    "asymmetric": _asymmetric(),
    "asymmetric published": _asymmetric(gamma_neg=2.0, gamma_pos=0.0, clip=0.0, eps=1e-5, detach_focal_weight=True),
    "asymmetric fractional": _asymmetric(gamma_neg=2.5, gamma_pos=0.5, clip=0.1, eps=1e-6),
    "asymmetric plain": _asymmetric(gamma_neg=0.0, gamma_pos=0.0, clip=0.0),
    "an": _weighted((1.0, 0.0), (0.0, 1.0), (0.0, 1.0)),
    "an_ls": _weighted((0.9, 0.1), (0.1, 0.9), (0.1, 0.9)),
    "iun": _weighted((1.0, 0.0), (0.0, 0.0), (0.0, 1.0), truth=True),
    "pr": _both(
        lambda f, x, c, rows, r: f(x, c.labels, r), ops.pairwise_ranking, pairwise_reference, "mean", "sum"
    ),
    "epr": _both(lambda f, x, c, rows, r: f(x, c.labels, 2.9), ops.epr_loss, epr_reference, "mean"),
    "role": _both(lambda f, x, c, rows, r: f(x, c.labels, rows, 2.9), ops.role_loss, role_reference, "mean"),
}  # fmt: skip
TABLE = "role table"  # the estimator's rows are gathered from a table by the operator
EVERY = LOSSES | {TABLE: _both(
    lambda f, x, c, rows, r: f(x, c.labels, rows, 2.9, torch.arange(len(x), device=x.device).flip(0)),
    ops.role_loss, role_reference, "mean",
)}  # fmt: skip
OPERATORS = {
    "asymmetric_loss": tuple(name for name in LOSSES if name.startswith("asymmetric")),
    "weighted_bce": ("an", "an_ls", "iun"),
    "pairwise_ranking": ("pr",),
    "epr_loss": ("epr",),
    "role_loss": ("role", TABLE),
}


def random_case(random: torch.Generator, large: bool = False, device: str = "cpu", entries: int = ENTRIES) -> Case:
    """Shapes, scales, dtypes, strides and kinds of labels drawn from `random`."""
    K = 9605 if large else (*LABEL_COUNTS, _draw(random, 1, 200))[_draw(random, 0, 6)]
    B = _draw(random, 1, 4) if large else _draw(random, 0, 1 + entries // K)
    dtype = (torch.float32, torch.float32, torch.bfloat16, torch.float16)[_draw(random, 0, 4)]
    scale = (1.0, 4.0, 30.0, 1e4)[_draw(random, 0, 4)]
    logits = _strided((torch.randn(B, K, generator=random) * scale).to(device), random).to(dtype)
    rows = torch.randn(B, K, generator=random).to(device)
    truth = torch.randint(0, 2, (B, K), generator=random).to(device)
    return Case(logits, _labels(B, K, random).to(device), rows, truth)


def _draw(random: torch.Generator, low: int, high: int) -> int:
    return int(torch.randint(low, high, (), generator=random))


def _labels(B: int, K: int, random: torch.Generator) -> Tensor:
    kind = _draw(random, 0, 8)
    positive = torch.rand(B, K, generator=random) < (0.0, 0.02, 0.5, 1.0)[_draw(random, 0, 4)]
    if kind == 0:
        return torch.rand(B, K, generator=random)
    if kind == 1:
        return torch.rand(B, K, generator=random) * 2 - 1
    if kind <= 3:
        return positive
    dtype = (torch.int8, torch.int64, torch.float32, torch.bfloat16)[kind - 4]
    negative = torch.rand(B, K, generator=random) < 0.3
    return (positive.to(dtype) - (negative & ~positive).to(dtype)).to(dtype)


def _strided(x: Tensor, random: torch.Generator) -> Tensor:
    kind = _draw(random, 0, 5)
    if kind == 0 and x.shape[0]:
        return x[:1].expand_as(x)
    if kind == 1:
        return x.t().contiguous().t()
    if kind == 2:
        return torch.cat([x, x], dim=1)[:, ::2][:, : x.shape[1]]
    return x


def run(function: Callable[..., Tensor], case: Case, reduction: str, dtype: torch.dtype | None = None) -> list[Tensor]:
    """Loss, gradient of the logits and gradient of the estimator's rows (zeros where there is none), in fp64."""
    learnt = [case.logits.detach().requires_grad_(), case.rows.detach().requires_grad_()]
    found = evaluate(lambda x, rows: function(x, case, rows, reduction), learnt, dtype)
    return [tensor.double() for tensor in found]


def errors(loss: Loss, case: Case, reduction: str) -> dict[str, tuple[float, float]]:
    """Output -> the largest error of the fused loss and of plain torch, in roundings of the largest exact value.

    fp64's own 1 − sigmoid resolves a gradient to 2^-53 of an unsaturated entry's, which bounds the unit from below.
    """
    exact = run(loss.reference, case, reduction, torch.float64)
    plain, fused = run(loss.reference, case, reduction), run(loss.fused, case, reduction)
    unsaturated = 1.0 / max(case.logits.numel(), 1) if reduction == "mean" else 1.0
    rounded_to = (torch.float32, case.logits.dtype, torch.float32)
    return {
        name: tuple(in_roundings(found, e, dtype, True, unsaturated) for found in (f, p))
        for name, dtype, e, p, f in zip(OUTPUTS, rounded_to, exact, plain, fused, strict=True)
        if e.numel()
    }


def random_rows(name: str, count: int = CASES, device: str = "cpu", entries: int = ENTRIES) -> Iterator[Row]:
    """Over all random cases of a dtype the median, the 90th percentile and the largest error are within the bound.

    Percentiles rather than case by case: in a case of few distinct entries plain torch is exact by luck. For the same
    reason its percentile counts as at least one rounding of the result.
    """
    random, loss = torch.Generator().manual_seed(sum(map(ord, name))), EVERY[name]
    found: dict[tuple[str, torch.dtype], list[tuple[float, float]]] = defaultdict(list)
    for number in range(count):
        case = random_case(random, number % 50 == 49, device, entries)
        for output, pair in errors(loss, case, loss.reductions[number % len(loss.reductions)]).items():
            found[output, case.logits.dtype].append(pair)
    for (output, dtype), pairs in found.items():
        for quantile, words in QUANTILES.items():
            fused, plain = (sorted(side)[round(quantile * (len(pairs) - 1))] for side in zip(*pairs, strict=True))
            yield worst(row_of(f"{name} random, {output}, {words}", dtype), [(fused, plain, MANY_CASES)])


def case_rows(name: str, words: str, case: Case) -> Iterator[Row]:
    """A row for each reduction of one case."""
    for reduction in EVERY[name].reductions:
        pairs = errors(EVERY[name], case, reduction).values()
        row = row_of(f"{name} {words}, {reduction}", case.logits.dtype)
        yield worst(row, [(*pair, ONE_CASE) for pair in pairs])


def extreme_case(K: int, dtype: torch.dtype = torch.float32, device: str = "cpu", furthest: float = torch.inf) -> Case:
    """Three images of saturated logits and logits of ±furthest, each with both labels."""
    extremes = torch.tensor([1e4, -1e4, furthest, -furthest, 0.0, 88.0, -88.0, 120.0])
    logits = extremes.repeat_interleave(2).repeat(1 + 3 * K // 16).view(-1)[: 3 * K].view(3, K)
    labels = (torch.arange(3 * K) % 2).view(3, K)
    tensors = (logits.to(dtype), labels, logits.flip(0).clamp(-1e4, 1e4), 1 - labels)
    return Case(*(tensor.to(device) for tensor in tensors))


def nan_row(name: str, dtype: torch.dtype = torch.float32, device: str = "cpu") -> Row:
    """One logit is NaN, which neither the loss nor that entry's gradient may hide."""
    logits = torch.zeros(2, 5, dtype=dtype, device=device)
    logits[1, 3] = torch.nan
    eye = torch.eye(2, 5, device=device)
    loss, gradient, _ = run(EVERY[name].fused, Case(logits, eye, torch.zeros(2, 5, device=device), eye), "mean")
    return row_of(f"{name} NaN", dtype) | {"passed": bool(loss.isnan() and gradient[1, 3].isnan())}


def empty_row(name: str, dtype: torch.dtype = torch.float32, device: str = "cpu") -> Row:
    """No images: the mean is zero."""
    empty = torch.zeros(0, 7, device=device)
    loss, gradient, _ = run(EVERY[name].fused, Case(empty.to(dtype), empty, empty, empty), "mean")
    return row_of(f"{name} empty", dtype) | {"passed": bool(loss == 0 and gradient.shape == (0, 7))}


def sized_case(B: int, K: int, dtype: torch.dtype = torch.float32, device: str = "cpu") -> Case:
    """A published size: labels 1, 0 and −1."""
    labels = torch.randint(-1, 2, (B, K), device=device, dtype=torch.int8)
    logits = (torch.randn(B, K, device=device) * 3).to(dtype)
    return Case(logits, labels, torch.randn(B, K, device=device), (labels > 0).to(torch.uint8))


def checks(operator: str, device: str, size: str) -> Iterator[Row]:
    """Every row of an operator; size: full (a GPU), moderate (a CPU) or tiny (Triton's interpreter)."""
    count, entries = (80, 300) if size == "tiny" else (100, ENTRIES)  # the first of those that the tests go through
    made = {f"extreme, K {K}": partial(extreme_case, K) for K in K_SET[: 2 if size == "tiny" else None]}
    made |= {f"{B}×{K}": partial(sized_case, B, K) for B, K in PUBLISHED[size]}
    for name in OPERATORS[operator]:
        tried = [(torch.float32, partial(random_rows, name, count, device, entries))]
        for dtype in DTYPES:
            tried += [(dtype, lambda n=name, w=w, m=m, d=dtype: case_rows(n, w, m(d, device))) for w, m in made.items()]
            tried += [(dtype, lambda n=name, r=r, d=dtype: [r(n, d, device)]) for r in (nan_row, empty_row)]
        for dtype, rows in tried:
            yield from guarded(row_of(name, dtype), rows)
