"""`python -m mlcfast.ops`: which implementation of each operator runs here, on CPU and on CUDA tensors, and why."""

import argparse
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version

import torch

from mlcfast.ops.backend import IN_WORDS, card, decide, has_triton, requested
from mlcfast.ops.library import CUDA_ARCHITECTURES, MISSING

LOSSES = ("asymmetric_loss", "epr_loss", "pairwise_ranking", "role_loss", "weighted_bce")
ON_REQUEST = {  # operators whose Triton kernels run when asked for only, and what they take
    "groupwise_linear": "with a LayerNorm before it and one label a query, but for fp64",
    "label_query_attention": "in the folded form, but for fp64",
}
PLAIN = ("layer_norm", "quick_gelu")


def environment() -> list[str]:
    """One line a fact: torch, Triton, what was asked for, the compiled libraries, the card."""
    try:
        triton = f"Triton {version('triton')}"
    except PackageNotFoundError:
        triton = "no Triton"
    built = f"loaded, for {', '.join(CUDA_ARCHITECTURES) or 'architectures that it does not name'}"
    found = card(None)
    if found is None:
        device = "none here"
    else:
        index, capability = found
        device = f"{torch.cuda.get_device_name(index)}, compute capability {'.'.join(map(str, capability))}"
    return [
        f"torch {torch.__version__}, {triton}, MLCFAST_BACKEND={requested()}",
        f"compiled CPU kernels: {MISSING['cpu'] or 'loaded'}",
        f"compiled CUDA kernels: {MISSING['cuda'] or built}",
        f"CUDA device: {device}",
    ]


def implementation(operator: str, device_type: str) -> tuple[str, str]:
    """What runs for tensors of a device, and why."""
    if operator in PLAIN:
        return "torch's operations", "the only implementation"
    if requested() == "reference":
        return IN_WORDS["reference"], "MLCFAST_BACKEND=reference"
    if operator in LOSSES:
        chosen, passed_over = decide(device_type)
        return IN_WORDS[chosen], passed_over or _why(chosen, device_type)
    limits = ON_REQUEST[operator]
    if not has_triton(device_type):
        return "torch's operations", f"Triton's kernels do not run on {device_type} tensors here"
    if requested() != "triton":
        return "torch's operations", f"Triton's kernels run with MLCFAST_BACKEND=triton, {limits}"
    return IN_WORDS["triton"], f"{limits}; torch's operations otherwise"


def _why(chosen: str, device_type: str) -> str:
    if chosen == "triton":
        return "MLCFAST_BACKEND=triton"
    if device_type == "cuda" and card(None) is None:
        return "built; no device here to compare its architectures with"
    return "built for this machine"


def build_parser() -> argparse.ArgumentParser:
    """The command line, which takes no arguments."""
    return argparse.ArgumentParser(
        "python -m mlcfast.ops", description=__doc__, epilog="example: python -m mlcfast.ops"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Print the facts, then a line for each operator and device."""
    build_parser().parse_args(argv)
    print("\n".join(environment()), end="\n\n")
    for operator in sorted((*LOSSES, *ON_REQUEST, *PLAIN)):
        for device_type in ("cpu", "cuda"):
            name, why = implementation(operator, device_type)
            print(f"{operator:<22} {device_type:<5} {name:<21} {why}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
