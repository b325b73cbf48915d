"""`python -m mlcfast.ops`: which implementation of each operator runs here, on CPU and on CUDA tensors, and why."""

import argparse
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version

import torch

from mlcfast.ops import pixels, tile_file, tiles
from mlcfast.ops.backend import IN_WORDS, card, decide, has_triton, requested
from mlcfast.ops.library import CUDA_ARCHITECTURES, MISSING

LOSSES = ("asymmetric_loss", "epr_loss", "pairwise_ranking", "role_loss", "weighted_bce")
LATER_LOSSES = (  # of one operator, which on CUDA has Triton's kernels alone
    "distribution_balanced", "entropy_maximisation", "focal", "generalized_robust", "hill", "poly",
    "self_paced_correction", "two_way",
)  # fmt: skip
PLAIN = ("large_loss_threshold", "large_losses", "zlpr")  # the second is the first and one of the later losses
PIXELS = "pixels"  # operators on 8-bit images, which lie on the host
PARTS = {  # other operators: which part of them is Triton's kernels, and when
    "groupwise_linear": "with a LayerNorm before it and one label a query, but for fp64",
    "label_query_attention": "softmax and dropout, but for fp64; matrix products are torch's",
    "layer_norm": "half precision with fp32 parameters; torch's operations otherwise",
    "quick_gelu": "but for fp64",
}
ON_REQUEST = ("groupwise_linear",)  # by Triton when asked for only


def environment() -> list[str]:
    """One line a fact: torch, Triton, what was asked for, the compiled libraries, the card and the tiles on it."""
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
        f"tiles of Triton's kernels: {tiles_in_use(None if found is None else found[0])}",
    ]


def tiles_in_use(index: int | None) -> str:
    """Whether the tiles were measured on this CUDA device, and where it stands; None: there is no device."""
    device = tile_file.card_of(torch.device("cpu") if index is None else torch.device("cuda", index))
    measured = tile_file.read(device, tiles.CANDIDATES)
    if not measured:
        return "by arithmetic" + (", none was measured on this card" if device.name else "")
    return f"measured for {len(measured)} kernels and sizes, in {tile_file.path_of(device)}; others by arithmetic"


def implementation(operator: str, device_type: str) -> tuple[str, str]:
    """What runs for tensors of a device, and why."""
    if operator == PIXELS:
        if pixels.available():
            return IN_WORDS["native"], "resize and augmentation of images, on the host"
        return "Pillow", "MLCFAST_BACKEND=reference" if requested() == "reference" else MISSING["cpu"]
    if requested() == "reference":
        return IN_WORDS["reference"], "MLCFAST_BACKEND=reference"
    if operator in (*LATER_LOSSES, *PLAIN) and device_type == "cuda":
        if operator in ("large_loss_threshold", "zlpr") or not has_triton("cuda"):
            return "torch's operations", "it has no kernels on CUDA" if operator in PLAIN else "Triton is not there"
        return IN_WORDS["triton"], "but for fp64"
    if operator in (*LOSSES, *LATER_LOSSES, *PLAIN):
        chosen, passed_over = decide(device_type)
        return IN_WORDS[chosen], passed_over or _why(chosen, device_type)
    if not has_triton(device_type):
        return "torch's operations", f"Triton's kernels do not run on {device_type} tensors here"
    wanted = requested() == "triton" or (requested() == "auto" and operator not in ON_REQUEST and device_type == "cuda")
    if not wanted:
        return "torch's operations", f"Triton's kernels run with MLCFAST_BACKEND=triton: {PARTS[operator]}"
    return IN_WORDS["triton"], PARTS[operator]


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
    parser = build_parser()
    parser.parse_args(argv)
    try:
        requested()
    except ValueError as error:
        parser.exit(2, f"error: {error}\n")
    print("\n".join(environment()), end="\n\n")
    for operator in sorted((*LOSSES, *LATER_LOSSES, *PLAIN, *PARTS, PIXELS)):
        for device_type in ("cpu", "cuda")[: 1 if operator == PIXELS else 2]:
            name, why = implementation(operator, device_type)
            if why and why in MISSING.values():  # said once, with its remedy, among the facts
                why = "the compiled kernels are missing, as said above"
            print(f"{operator:<22} {device_type:<5} {name:<21} {why}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
