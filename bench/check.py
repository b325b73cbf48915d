"""One operator by one implementation against fp64: python -m bench.check OPERATOR BACKEND --device cuda

Prints a JSON line a problem: the largest error over the output and every gradient, relative to the exact tensor's norm
and in units of the type's rounding, and the bound it is held to: twice what plain torch reaches in the same type, which
counts as at least two roundings. Memory that an operator leaves unwritten is NaN. A problem that raises has failed.
"""

import argparse
import json
import os

import torch
from torch import Tensor

from bench.gate import setting
from bench.problems import Problem, problems

ROUNDING = {torch.float64: 2.0**-53, torch.float32: 2.0**-24, torch.bfloat16: 2.0**-8, torch.float16: 2.0**-11}
QUANTUM = {torch.float16: 2.0**-25}
BACKENDS = ("native", "triton")


def outputs(problem: Problem, function, widen: bool) -> list[Tensor]:
    """The function's result and its gradients, of the tensors as they are or in fp64."""
    tensors, learnt = [], []
    for original in problem.tensors:
        tensor = original
        if original is not None and original.requires_grad:
            tensor = original.detach().to(torch.float64 if widen else original.dtype).requires_grad_()
            learnt.append(tensor)
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


def verdict(problem: Problem) -> dict:
    """The row of one problem."""
    row = {"dtype": str(problem.dtype)[6:], "case": problem.name}
    try:
        exact = outputs(problem, problem.definition, widen=True)
        plain = outputs(problem, problem.definition, widen=False)
    except Exception as reason:  # that is no fault of the implementation on trial
        return row | {"refused": f"the definition: {type(reason).__name__}: {reason}"[:300]}
    try:
        ours = outputs(problem, problem.ours, widen=False)
        dtypes = [tensor.dtype for tensor in plain]
        bound = 2 * max(worst(plain, exact, dtypes), 2.0)
        error = worst(ours, exact, dtypes)
    except torch.OutOfMemoryError:
        return row | {"refused": "out of memory"}
    except Exception as reason:  # whatever a kernel raises is what the row has to say
        return row | {
            "error": None,
            "bound": None,
            "passed": False,
            "reason": f"{type(reason).__name__}: {reason}"[:300],
        }
    right = error <= bound and [tensor.dtype for tensor in ours] == dtypes
    return row | {"error": round(error, 3), "bound": round(bound, 3), "passed": right}


def _interpreter_trouble() -> str:
    from bench.interpreter import trouble

    return trouble()


def main() -> None:
    """Try every problem of one operator."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("operator")
    parser.add_argument("backend", choices=BACKENDS)
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
    if interpreted and (reason := _interpreter_trouble()):
        print(json.dumps(common | {"refused": reason}), flush=True)
        return
    for problem in problems(args.operator, args.backend, args.device, size):
        print(json.dumps(common | verdict(problem)), flush=True)


if __name__ == "__main__":
    main()
