"""Label-query attention at the published shapes against every SDPA backend, nn.MultiheadAttention and torch.compile.

`ours` is what a user gets, `ours_folded` and so on one form always. Every contender is held
against the fp64 reference on the first image before it is timed.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from bench.baselines.attention import contenders
from bench.cases.attention import HEADS, NAMES, PUBLISHED, make
from bench.suites import Context, Row, Rows, attempt, first_line
from bench.timing import interleaved, peak_extra_bytes, quantiles_ms, saved_bytes
from mlcfast.ops.backend import has_triton
from mlcfast.ops.label_query_attention.plan import PLANS
from mlcfast.ops.label_query_attention.reference import label_query_attention as reference

OURS = ("ours", *(f"ours_{plan}" for plan in PLANS))
CVT, SWIN = "Q2L-CvT_w24-384", "Q2L-SwinL-384"
OPERATOR, POSITION = "label_query_attention", NAMES.index("position")
LONGEST = 10.0  # seconds a case may take with its compilation
QUERIES, MODES = ("shared", "per image"), ("training", "inference")
TOLERANCE = {"float32": 1e-5, "bfloat16": 3e-2, "float16": 4e-3}


@dataclass(frozen=True)
class Case:
    """One shape: a published model's, with B images and K labels; queries shared or per image."""

    model: str
    B: int
    K: int
    queries: str = "shared"
    mode: str = "training"
    compiled: bool = False
    dtype: str = "float32"
    dropout: float = 0.0

    def row(self) -> Row:
        """Its columns."""
        D, N = PUBLISHED[self.model]
        row = {"model": self.model, "B": self.B, "K": self.K, "N": N, "D": D, "heads": HEADS, "queries": self.queries}
        return row | {"dtype": self.dtype, "dropout": self.dropout, "mode": self.mode}


def cases(context: Context) -> list[Case]:
    """In the order of what a reader wants to know first; bf16 with dropout on a GPU, fp32 without on a CPU."""
    options, on_gpu = context.options, context.on_gpu
    models, every = context.listed("models", tuple(PUBLISHED)), context.listed("queries", QUERIES)
    modes = context.listed("modes", MODES)
    batches, labels = context.listed("batch", (0,)), context.listed("labels", (80,))
    if batches != (0,):
        chosen = [
            Case(m, B, K, q, mode) for B in batches for K in labels for m in models for q in every for mode in modes
        ]
    elif not on_gpu:
        chosen = [Case(model, 2, 80) for model in (CVT, SWIN)]
    else:
        chosen = [Case(model, 64, 80, queries) for queries in QUERIES for model in PUBLISHED]
        chosen += [Case(CVT, 16, K) for K in (20, 80, 320, 1000, 9605)] + [Case(CVT, B, 80) for B in (1, 4, 256)]
        chosen += [Case(model, 64, 80, mode="inference") for model in PUBLISHED]
        chosen += [Case(model, 64, 80, compiled=True) for model in (CVT, SWIN, "Q2L-R101-448")]
        chosen += [Case(model, 1, 80, queries) for queries in QUERIES for model in PUBLISHED]
    dtype = options.get("dtype") or ("bfloat16" if on_gpu else "float32")
    dropout = float(options.get("dropout") or (0.1 if on_gpu else 0.0))
    compiled = bool(options.get("compiled"))
    return [
        replace(case, dtype=dtype, dropout=dropout * (case.mode == "training"), compiled=case.compiled or compiled)
        for case in chosen
        if case.model in models and case.queries in every and case.mode in modes
    ]


def rows(context: Context) -> Rows:
    """One row a contender and case."""
    for case in cases(context):
        yield from attempt(context, LONGEST * (1 + case.compiled), case.row(), partial(measure, case, context))


def measure(case: Case, context: Context) -> Rows:
    """Rows of every contender, and of those that were refused."""
    (D, N), dtype = PUBLISHED[case.model], getattr(torch, case.dtype)
    tensors = make(case.B, case.K, N, D, case.queries == "shared", dtype=dtype, device=context.device)
    tensors = [tensor.requires_grad_(place != POSITION) for place, tensor in enumerate(tensors)]
    accepted, refused = _accepted(case, tensors, context)
    steps = {name: _step(function, tensors, case) for name, function in accepted.items()}
    rounds = context.options.get("rounds") or (9 if context.on_gpu else 3)
    times = interleaved(steps, rounds, context.device, at_least=2e-3)
    for name, function in accepted.items():
        row = {"contender": name, **quantiles_ms(times[name]), "rounds": rounds}
        row["peak_extra_bytes"] = peak_extra_bytes(steps[name], context.device)
        if case.mode == "training":
            with saved_bytes(tensors) as saved:
                function(*tensors, HEADS, case.dropout)
            row["saved_bytes_per_image"] = saved[0] // case.B
        yield row
    for name, reason in refused.items():
        yield {"contender": name, "refused": reason}


def _accepted(case: Case, tensors: list[Tensor], context: Context) -> tuple[dict[str, Callable], dict[str, str]]:
    """Contenders that run a whole step and agree with fp64 on the first image, and the reasons of those that do not."""
    image = [t.detach()[:1] if t.ndim == 3 else t.detach() for t in tensors]
    truth = reference(*(t.double() for t in image), HEADS)[0]
    accepted, refused = {}, {}
    for name, function in contenders(context.device, case.compiled).items():
        backend = "triton" if has_triton(context.device) else "native"
        reason = context.refusal((OPERATOR, backend)) if name in OURS else None
        try:
            if not reason:
                out = function(*(t.detach() for t in tensors), HEADS)[:1].double()
                _step(function, tensors, replace(case, mode="training"))()
                error = ((out - truth).norm() / truth.norm()).item()
                right = error <= TOLERANCE[case.dtype]
                reason = None if right else f"off by {error:.1e} relative to fp64"
        except Exception as error:  # a shape that a contender does not take, in whatever way it says so
            reason = first_line(error)
        if reason:
            refused[name] = reason
        else:
            accepted[name] = function
    return accepted, refused


def _step(function: Callable, tensors: list[Tensor], case: Case) -> Callable[[], None]:
    learnt = [t for t in tensors if t.requires_grad]
    training = case.mode == "training"
    grad = torch.randn_like(function(*(t.detach() for t in tensors), HEADS)) if training else None

    def train() -> None:
        for tensor in learnt:
            tensor.grad = None
        function(*tensors, HEADS, case.dropout).backward(grad)

    @torch.no_grad()
    def infer() -> None:
        function(*tensors, HEADS)

    return train if training else infer
