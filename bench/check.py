"""One operator by one implementation against fp64: python -m bench.check OPERATOR BACKEND --device cuda

Prints a JSON line a problem: the largest error over the output and every gradient, relative to the exact tensor's norm
and in units of the type's rounding, and the bound it is held to: twice what plain torch reaches in the same type, which
counts as at least two roundings. Small problems are drawn several times, because plain torch is exact by luck on some.
Memory that an operator leaves unwritten is NaN. A problem that raises has failed. Where plain torch would run under the
implementation's name, nothing is tried.
"""

import argparse
import json
import math
import os
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from bench.gate import setting
from bench.problems import Problem, problems
from mlcfast.ops.backend import choose
from mlcfast.ops.kernels import has_triton
from mlcfast.ops.library import MISSING

ROUNDING = {torch.float64: 2.0**-53, torch.float32: 2.0**-24, torch.bfloat16: 2.0**-8, torch.float16: 2.0**-11}
QUANTUM = {torch.float16: 2.0**-25}
BACKENDS = ("native", "triton")
LOSSES = ("asymmetric_loss", "weighted_bce", "pairwise_ranking", "epr_loss", "role_loss")
DRAWS, INTERPRETED_DRAWS = 16, 4


def outputs(originals: list[Tensor | None], function: Callable[..., Tensor], widen: bool = False) -> list[Tensor]:
    """The function's result and its gradients, of the tensors as they are or in fp64."""
    tensors, learnt = [], []
    for original in originals:
        tensor = original
        if original is not None and original.is_floating_point():
            learns = original.requires_grad
            tensor = original.detach().to(torch.float64 if widen else original.dtype).requires_grad_(learns)
            learnt += [tensor] if learns else []
        tensors.append(tensor)
    result = function(*tensors)
    steps = torch.linspace(0.5, 1.5, max(result.numel(), 1), dtype=torch.float64, device=result.device)
    direction = steps[: result.numel()].view(result.shape).to(result.dtype)
    gradients = torch.autograd.grad(result, learnt, direction, allow_unused=True)
    return [result.detach(), *(g.to_dense() for g in gradients if g is not None)]


def worst(found: list[Tensor], exact: list[Tensor], dtypes: list[torch.dtype]) -> float:
    """The largest relative error in roundings; infinite where a value is not finite or a tensor has another shape."""
    if [tensor.shape for tensor in found] != [tensor.shape for tensor in exact]:
        return float("inf")
    errors = []
    for tensor, truth, dtype in zip(found, exact, dtypes, strict=True):
        smallest = max(QUANTUM.get(dtype, 0.0) * truth.numel() ** 0.5, 8 * ROUNDING[torch.float64])
        unit = max(ROUNDING[dtype] * float(truth.norm()), smallest)
        error = float((tensor.double() - truth).norm()) / unit if truth.numel() else 0.0
        errors.append(error if error == error else float("inf"))
    return max(errors)


def verdict(problem: Problem, draws: int = DRAWS) -> dict:
    """The row of one problem; several draws of a small one are compared as if they were one larger problem."""
    row = {"dtype": str(problem.dtype)[6:], "case": problem.name, "error": None, "bound": None}
    try:
        inputs = [problem.make() for _ in range(draws if problem.small else 1)]
        exact = _joined([outputs(tensors, problem.definition, widen=True) for tensors in inputs])
        plain = _joined([outputs(tensors, problem.definition) for tensors in inputs])
    except Exception as reason:  # that is no fault of the implementation on trial
        return row | {"refused": f"the definition: {type(reason).__name__}: {reason}"[:300]}
    try:
        ours = _joined([outputs(tensors, problem.ours) for tensors in inputs])
        if problem.nan_at is not None:
            return row | {"passed": bool(ours[0].isnan().any() and ours[1][problem.nan_at].isnan())}
        dtypes = [tensor.dtype for tensor in plain]
        plain_error, error = worst(plain, exact, dtypes), worst(ours, exact, dtypes)
    except torch.OutOfMemoryError:
        return row | {"refused": "out of memory"}
    except Exception as reason:  # whatever a kernel raises is what the row has to say
        return row | {"passed": False, "reason": f"{type(reason).__name__}: {reason}"[:300]}
    if not math.isfinite(error) or [tensor.dtype for tensor in ours] != dtypes:
        return row | {"passed": False, "reason": "a value is not finite, or a shape or a type is another"}
    bound = 2 * max(plain_error, 2.0) if math.isfinite(plain_error) else 4.0
    return row | {"error": round(error, 3), "bound": round(bound, 3), "passed": error <= bound}


def _joined(draws: Sequence[list[Tensor]]) -> list[Tensor]:
    """Each output of all draws in one tensor; one draw as it is."""
    return draws[0] if len(draws) == 1 else [torch.stack(each) for each in zip(*draws, strict=True)]


def unavailable(operator: str, backend: str, device: str) -> str:
    """Why plain torch would run under this implementation's name, "" if it would not."""
    if operator not in LOSSES:
        missing = backend == "triton" and not has_triton(device)
        return "Triton is not installed" if missing else ""
    chosen = choose(device)
    return "" if chosen == backend else MISSING.get(device, "") or f"{chosen} would run instead"


def _interpreter_trouble() -> str:
    from bench.interpreter import trouble

    return trouble()


def main() -> None:
    """Try every problem of one operator."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("operator")
    parser.add_argument("backend", choices=BACKENDS)
    parser.add_argument("--dtype", help="problems of this type alone")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    args = parser.parse_args()
    os.environ["MLCFAST_BACKEND"] = args.backend
    interpreted = os.environ.get("TRITON_INTERPRET") == "1"
    size = "tiny" if interpreted else "full" if args.device == "cuda" else "moderate"
    torch.manual_seed(0)
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = True
    common = {"operator": args.operator, "backend": args.backend, **setting(args.device)}
    common |= {"interpreted": True} if interpreted else {}
    reason = unavailable(args.operator, args.backend, args.device) or (interpreted and _interpreter_trouble())
    if reason:
        print(json.dumps(common | {"refused": reason}), flush=True)
        return
    for problem in problems(args.operator, args.backend, args.device, size):
        if args.dtype in (None, str(problem.dtype)[6:]):
            row = verdict(problem, INTERPRETED_DRAWS if interpreted else DRAWS)
            print(json.dumps(common | row), flush=True)


if __name__ == "__main__":
    main()
