"""What a whole training step costs on a GPU by count, beside the same step of plain torch: kernels, bytes, FLOP.

As tests/ops/launches.py counts a layer: the real code is traced on tensors without memory, and each operator that
computes is one kernel. Plain torch is bench.baselines.query2label, which the published code's modules were written
after. `python -m tests.ops.steps` prints the table of docs/step.md.
"""

import argparse
import functools
import sys
from collections.abc import Callable
from contextlib import nullcontext
from typing import NamedTuple

import torch
from torch import Tensor, nn

from bench.baselines.losses import textbook_asymmetric
from bench.baselines.query2label import PlainQuery2Label
from bench.suites.training import LABELS, build
from mlcfast.losses import AsymmetricLoss
from mlcfast.models import enable_activation_checkpointing
from mlcfast.models.precision import prepare_half_weights
from mlcfast.models.published import PUBLISHED
from mlcfast.planning.cuda_emulation import cuda_kernels
from mlcfast.planning.empty_tensors import EmptyTensors
from mlcfast.planning.trace import materialise
from tests.ops.launches import CARDS, Card, Kernel, Launches

MODELS = ("Q2L-CvT_w24-384", "Q2L-R101-448")
CONVOLUTION = {"RTX 3060": 14 / 17, "H100": 350 / 500}  # of the rate of matrix products; assumed
Loss = Callable[[Tensor, Tensor], Tensor]


class Form(NamedTuple):
    """How a step is written: what it is called, whether by plain torch, in half weights, with blocks recomputed."""

    name: str
    plain: bool = False
    half_weights: bool = False
    recomputed: bool = False


FORMS = (
    Form("plain torch", plain=True),
    Form("mlcfast"),
    Form("mlcfast, blocks recomputed", recomputed=True),
    Form("mlcfast, bf16 weights (ZeRO-2), blocks recomputed", half_weights=True, recomputed=True),
)


@functools.cache
def counted(model: str, form: Form, micro_batch: int) -> tuple[list[Kernel], list[Kernel]]:
    """Kernels of the forward and the backward pass of one micro-batch."""
    size = PUBLISHED[model].image_size
    with torch.device("meta"):
        module: nn.Module = build(model, size)
        criterion: Loss = AsymmetricLoss(disable_torch_grad_focal_loss=True)
        if form.plain:
            module, criterion = PlainQuery2Label(module), functools.partial(textbook_asymmetric, detach_weight=True)
    if form.recomputed:
        enable_activation_checkpointing(module)
    if form.half_weights:
        prepare_half_weights(module, torch.bfloat16)
    elif not form.plain or "ResNet" in type(module.backbone.body).__name__:
        module.to(memory_format=torch.channels_last)
    passes = Launches(), Launches()
    with EmptyTensors(), cuda_kernels():
        materialise(module, torch.bfloat16 if form.half_weights else None)
        images, labels = torch.empty(micro_batch, 3, size, size), torch.empty(micro_batch, LABELS)
        for watched in (nullcontext(), passes[0]):  # what a step keeps for those after it is there the second time
            with watched, torch.autocast("cpu", torch.bfloat16, enabled=not form.half_weights):
                logits = module.train()(images.to(torch.bfloat16) if form.half_weights else images)
                loss = criterion(logits, labels)
        with passes[1]:
            loss.backward()
    return passes[0].kernels, passes[1].kernels


def seconds(kernels: list[Kernel], card: Card) -> float:
    """Predicted: as in launches.py, convolutions at a rate of their own."""
    slower = card._replace(flops=card.flops * CONVOLUTION[card.name])
    return sum(kernel.seconds(slower if "convolution" in kernel.name else card) for kernel in kernels)


def row(model: str, form: Form, micro_batch: int) -> str:
    """A line of the table."""
    forward, backward = counted(model, form, micro_batch)
    both = [*forward, *backward]
    cells = [model, form.name, f"{len(forward)} + {len(backward)}"]
    cells += [f"{sum(kernel.flops for kernel in both) / micro_batch / 1e9:.0f}"]
    cells += [f"{sum(kernel.bytes for kernel in both) / micro_batch / 1e6:.0f}"]
    cells += [f"{micro_batch / seconds(both, card):.0f}" for card in CARDS]
    return f"| {' | '.join(cells)} |"


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser("python -m tests.ops.steps", description=__doc__)
    parser.add_argument("micro_batch", type=int, nargs="?", default=32, help="images at a time")
    return parser


def main() -> None:
    """Print the table."""
    micro_batch = build_parser().parse_args().micro_batch
    titles = ("model", "step", "kernels", "GFLOP an image", "MB an image", *(f"{c.name}, images/s" for c in CARDS))
    sys.stdout.write(f"| {' | '.join(titles)} |\n|{'---|' * len(titles)}\n")
    sys.stdout.writelines(f"{row(model, form, micro_batch)}\n" for model in MODELS for form in FORMS)


if __name__ == "__main__":
    main()
