"""What makes an implementation right: its error against fp64 is at most twice that of plain torch in the same type.

Errors are in roundings of the type, of the largest exact value or of their root mean square. The gate of bench.run and
tests/ops ask the same functions about the same cases.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from bench.record import Row

ROUNDING = {torch.float64: 2.0**-53, torch.float32: 2.0**-24, torch.bfloat16: 2.0**-8, torch.float16: 2.0**-11}
QUANTUM = {torch.float16: 2.0**-25}  # half of fp16's smallest step
DTYPES = (torch.float32, torch.bfloat16, torch.float16)
FEW = 100  # entries; plain torch may be exact on so few by luck
DRAWS = 16
ONE_CASE, MANY_CASES = (
    2.0,
    1.0,
)  # roundings that plain torch's error counts as at least, as no one can expect to beat it


@dataclass
class Problem:
    """One call: the operator and its definition on the same tensors, of which those that require gradients learn.

    small: so few entries that it is drawn several times, as if it were one larger problem. largest: the largest error
    counts, rather than the root mean square. strict: plain torch's error is taken as it is, however small.
    """

    name: str
    dtype: torch.dtype
    ours: Callable[..., Tensor]
    definition: Callable[..., Tensor]
    make: Callable[[], list[Tensor | None]]
    small: bool = False
    largest: bool = False
    strict: bool = False

    def __str__(self) -> str:
        return f"{self.name} {self.dtype}"


def evaluate(
    function: Callable[..., Tensor], originals: Sequence[Tensor | None], dtype: torch.dtype | None = None
) -> list[Tensor]:
    """The function's result and the gradient of each tensor that learns, zero where there is none.

    dtype: of the copies that floating tensors are turned into, instead of their own. AssertionError where a gradient
    has another type or shape than its tensor.
    """
    tensors = [
        t if t is None or not t.is_floating_point() else t.detach().to(dtype or t.dtype).requires_grad_(t.requires_grad)
        for t in originals
    ]
    learnt = [tensor for tensor in tensors if tensor is not None and tensor.requires_grad]
    result = function(*tensors)
    steps = torch.linspace(0.5, 1.5, max(result.numel(), 1), dtype=torch.float64, device=result.device)
    direction = steps[: result.numel()].view(result.shape).to(result.dtype)
    gradients = torch.autograd.grad(result, learnt, direction, allow_unused=True) if learnt else ()
    for gradient, tensor in zip(gradients, learnt, strict=True):
        if gradient is not None and (gradient.dtype, gradient.shape) != (tensor.dtype, tensor.shape):
            raise AssertionError(f"a gradient is {gradient.dtype} {tuple(gradient.shape)}, its tensor {tensor.dtype}")
    zero = torch.zeros((), device=result.device)
    return [result.detach(), *(zero if g is None else g.to_dense() if g.is_sparse else g for g in gradients)]


def in_roundings(found: Tensor, exact: Tensor, dtype: torch.dtype, largest: bool, scale: float = 1.0) -> float:
    """The error of `found` in units of the type's rounding of `exact`; infinite where a value is not finite.

    scale: of a typical value; fp64's own rounding of it bounds the unit from below, where all exact values are tiny.
    """
    if found.shape != exact.shape or not exact.numel():
        return 0.0 if found.shape == exact.shape else float("inf")
    size = (lambda x: x.abs().max()) if largest else (lambda x: x.square().mean().sqrt())
    unit = max(ROUNDING[dtype] * float(size(exact)), 8 * ROUNDING[torch.float64] * scale, QUANTUM.get(dtype, 0.0))
    error = float(size(found.double() - exact)) / unit
    return error if error == error else float("inf")


def verdict(problem: Problem, draws: int = DRAWS) -> Row:
    """The row of one problem: the worst error over the output and every gradient, its bound, and whether it passed."""

    def drawn(function: Callable[..., Tensor], dtype: torch.dtype | None = None) -> list[Tensor]:
        every = [evaluate(function, tensors, dtype) for tensors in inputs]
        return every[0] if len(every) == 1 else [torch.stack(each) for each in zip(*every, strict=True)]

    def judged() -> Row:
        ours, dtypes = drawn(problem.ours), [tensor.dtype for tensor in plain]
        if [tensor.dtype for tensor in ours] != dtypes:
            return row | {"passed": False, "reason": "a type is another"}
        found = zip(ours, plain, exact, dtypes, strict=True)
        sides = ([in_roundings(side, e, dtype, problem.largest) for side in (o, p)] for o, p, e, dtype in found)
        return worst(row, [(*pair, 0.0 if problem.strict else ONE_CASE) for pair in sides])

    row = row_of(problem.name, problem.dtype)
    try:
        inputs = [problem.make() for _ in range(draws if problem.small else 1)]
        exact, plain = drawn(problem.definition, torch.float64), drawn(problem.definition)
    except Exception as reason:  # that is no fault of the implementation on trial
        return row | {"refused": f"the definition: {type(reason).__name__}: {reason}"[:300]}
    return next(guarded(row, lambda: [judged()]))


def worst(row: Row, errors: Iterable[tuple[float, float, float]]) -> Row:
    """The row with the (error, plain torch's, floor) of the output that is nearest to its bound or furthest beyond."""
    pairs = [(error, 2 * (max(plain, floor) if plain < torch.inf else ONE_CASE)) for error, plain, floor in errors]
    error, bound = max(pairs, key=lambda pair: pair[0] / pair[1] if pair[1] else torch.inf if pair[0] else 0.0)
    if error == torch.inf:
        return row | {"passed": False, "reason": "a value is not finite, or a shape is another"}
    return row | {"error": round(error, 3), "bound": round(bound, 3), "passed": error <= bound}


def guarded(row: Row, rows: Callable[[], Iterable[Row]]) -> Iterator[Row]:
    """The rows, or a failed one where making them raised: whatever a kernel raises is what the row has to say."""
    try:
        yield from rows()
    except torch.OutOfMemoryError:
        yield row | {"refused": "out of memory"}
    except Exception as reason:
        yield row | {"passed": False, "reason": f"{type(reason).__name__}: {reason}"[:300]}


def row_of(case: str, dtype: torch.dtype) -> Row:
    """The beginning of a case's row."""
    return {"dtype": str(dtype).removeprefix("torch."), "case": case, "error": None, "bound": None}
