"""Forward + backward of the losses against what people use: textbook and in-place forms, torch.compile, torchvision.

`mlcfast` is what a user gets; `mlcfast triton` the same operator's Triton kernels where they are not what a user gets.
Each contender's value is held against the textbook's in fp64 before it is timed. A turn lasts a few milliseconds, so
that small losses are timed as a training loop meets them, one launch after the other. Inputs rotate past the caches.
"""

from collections.abc import Callable
from functools import partial

import torch

from bench.baselines.losses import COMPILED, FOCAL, OPERATORS, OURS, Inputs, contenders, make_inputs, stepper
from bench.suites import Context, Rows, attempt, first_line
from bench.timing import forced, interleaved, peak_extra_bytes, quantiles_ms
from mlcfast.ops.backend import choose
from tests.ops.textbook_losses import TEXTBOOKS

SMALL, MEDIUM, WIDE, MODERATE, LARGE = (64, 80), (4096, 80), (64, 9605), (256, 9605), (4096, 9605)
SERIES = [(64, K) for K in (20, 320, 1280, 9605)] + [(B, 80) for B in (16, 256, 1024, 4096, 16384)]
LONGEST = 8.0  # seconds a case may take, most of them in torch.compile
CACHE = 256 * 2**20  # bytes that no current GPU's cache holds
TOLERANCE = 1e-3  # relative, of a mean that every contender computes in fp32


def cases(context: Context) -> list[tuple[str, tuple[int, int], str, bool]]:
    """(loss, shape, dtype, with torch.compile), in the order of what a reader wants to know first."""
    losses, dtypes = context.listed("losses", tuple(OPERATORS)), context.listed("dtypes")
    shapes = [tuple(map(int, shape.split("x"))) for shape in context.listed("shapes")]
    if shapes:
        return [(loss, shape, dtype, True) for loss in losses for dtype in dtypes or ("float32",) for shape in shapes]
    large, half = (LARGE if context.on_gpu else MODERATE), ("float32", "bfloat16")
    found = [("asymmetric", shape, dtype, True) for dtype in half[: 1 + context.on_gpu] for shape in (SMALL, large)]
    found += [(loss, shape, "float32", True) for loss in ("role", "epr", "an") for shape in (SMALL, large)]
    found += [("asymmetric", shape, "float32", False) for shape in SERIES]
    if context.on_gpu:
        found += [("asymmetric", shape, dtype, True) for dtype in half for shape in (MEDIUM, WIDE)]
        found += [(loss, shape, "bfloat16", True) for loss in ("role", "epr", "an") for shape in (SMALL, LARGE)]
    # Those of the textbook losses, where they are named.
    found += [(loss, shape, "float32", True) for loss in TEXTBOOKS for shape in (SMALL, MODERATE)]
    return [case for case in found if case[0] in losses and (not dtypes or case[2] in dtypes)]


def rows(context: Context) -> Rows:
    """One row a contender and case."""
    for loss, (B, K), dtype, with_compile in cases(context):
        row = {"operator": OPERATORS.get(loss, "label_loss"), "loss": loss, "B": B, "K": K, "dtype": dtype}
        case = partial(measure, loss, B, K, dtype, with_compile, context)
        yield from attempt(context, LONGEST if with_compile else LONGEST / 4, row, case)


def measure(loss: str, B: int, K: int, dtype: str, with_compile: bool, context: Context) -> Rows:
    """The rows of one case: what was refused and why, then the times of the rest."""
    element = torch.finfo(getattr(torch, dtype)).bits // 8
    copies = max(1, min(8, CACHE // (B * K * (2 * element + 4))))
    sets = [make_inputs(B, K, context.device, getattr(torch, dtype)) for _ in range(copies)]
    candidates = _candidates(loss, dtype, with_compile, context)
    expected = candidates["textbook"][1](*(tensor.detach().double() for tensor in sets[0])).item()
    together = 20 if B * K < 2**17 else 1
    accepted = {}
    for name, (backend, function) in candidates.items():
        reason = context.refusal((OPERATORS[loss], backend)) if backend and loss in OPERATORS else None
        reason = reason or _off(name, backend, function, sets[0], expected)
        if reason:
            yield {"contender": name, "refused": reason}
        else:
            accepted[name] = _repeated(backend, stepper(function, sets), together)
    rounds = context.options.get("rounds") or (15 if context.on_gpu else 5)
    for name, times in interleaved(accepted, rounds, context.device, at_least=5e-3).items():
        row = {"contender": name, **quantiles_ms([seconds / together for seconds in times]), "rounds": rounds}
        yield row | {"peak_extra_bytes": peak_extra_bytes(accepted[name], context.device)}


def _candidates(loss: str, dtype: str, with_compile: bool, context: Context) -> dict[str, tuple[str | None, Callable]]:
    """name -> (the backend of ours, None for the others; the function of logits, labels and estimates).

    Half-precision logits go into the others as fp32, as under autocast, but into torch.compile as they are.
    """
    functions, chosen = contenders(loss), choose(context.device, getattr(torch, dtype))
    ours, fast = functions.pop(OURS), functions.pop(COMPILED)
    found = {OURS: (chosen, ours)}
    found |= {"mlcfast triton": ("triton", ours)} if context.on_gpu and chosen != "triton" else {}
    found |= {COMPILED: (None, fast)} if with_compile else {}
    for name, function in functions.items():
        found[name] = (None, lambda x, y, e, f=function: f(x if x.dtype == torch.float64 else x.float(), y, e))
    return found


def _off(name: str, backend: str | None, function: Callable, inputs: Inputs, expected: float) -> str:
    """Why a contender is not timed: an error, or a value that is not fp64's; "" if it may be."""
    try:
        with forced(backend if backend == "triton" else None):
            found = function(*inputs).item()
    except Exception as error:  # a contender that does not run here, in whatever way it says so
        return first_line(error)
    right = name == FOCAL or abs(found - expected) <= TOLERANCE * abs(expected)
    return "" if right else f"gives {found}, fp64 {expected}"


def _repeated(backend: str | None, step: Callable[[], None], times: int) -> Callable[[], None]:
    """Several steps as one, so that a small one is not timed right after another contender has emptied the caches."""

    def steps() -> None:
        with forced(backend if backend == "triton" else None):
            for _ in range(times):
                step()

    return steps
