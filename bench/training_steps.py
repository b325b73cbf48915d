"""A training step of a published model, as people write it and as this project does: its work, time and memory."""

import functools
import time
from collections.abc import Callable
from contextlib import ExitStack, nullcontext
from unittest import mock

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from bench.backend import forced
from bench.plain_backbones import PUBLISHED_GELU
from bench.plain_query2label import PlainQuery2Label, textbook_step_loss
from bench.timing import quantiles_ms
from mlcfast.errors import UsageError
from mlcfast.losses import AsymmetricLoss
from mlcfast.models import Query2Label, build_model, enable_activation_checkpointing
from mlcfast.models.published import PUBLISHED
from mlcfast.ops.layer_norm.reference import layer_norm

LABELS = 80
PLAIN, OURS, DEFINITIONS = "plain torch", "mlcfast", "mlcfast, definitions"
RECOMPUTED = "mlcfast, blocks recomputed"
COMPILED, PLAIN_COMPILED = "mlcfast, torch.compile", "plain torch, torch.compile"
SETTLE, TIMED = 2, 3  # steps
DEFINED_NORM = mock.patch("mlcfast.models.cvt.layer_norm", layer_norm)


def stepper(name: str, variant: str, size: int, device: str) -> Callable[[Tensor, Tensor], None]:
    """A function that takes one optimizer step on images and labels."""
    model = built(name, size, device)
    criterion: Callable[[Tensor, Tensor], Tensor] = AsymmetricLoss(disable_torch_grad_focal_loss=True)
    if variant.startswith(PLAIN):
        model, criterion = PlainQuery2Label(model), textbook_step_loss
    if variant == RECOMPUTED:
        enable_activation_checkpointing(model)
    if not variant.startswith(PLAIN) or type(model.backbone.body).__name__ in ("ResNet", "TResNet"):
        model = model.to(memory_format=torch.channels_last)  # ours as the engine does it, plain ones as people do
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-5, fused=True)
    forward = torch.compile(model) if "compile" in variant else model
    half = torch.autocast(device, torch.bfloat16) if device == "cuda" else nullcontext()

    def step(images: Tensor, labels: Tensor) -> None:
        optimizer.zero_grad()
        with ExitStack() as stack:
            if variant == DEFINITIONS:
                for definition in (forced("reference"), DEFINED_NORM, PUBLISHED_GELU):
                    stack.enter_context(definition)
            with half:
                loss = criterion(forward(images), labels)
            loss.backward()
        optimizer.step()

    return step


def built(name: str, size: int, device: str) -> Query2Label:
    """On the device from the start, where random weights cost nothing; by way of the CPU where a backbone minds."""
    try:
        with torch.device(device):
            return build(name, size)
    except (RuntimeError, UsageError):
        return build(name, size).to(device)


def build(name: str, size: int) -> Query2Label:
    """A published model with random weights, its early layers and norms frozen as published."""
    return build_model("query2label", PUBLISHED[name].backbone, LABELS, size, freeze="published")


@functools.cache
def forward_flop(name: str, size: int) -> tuple[int, int]:
    """FLOP of an image's forward pass: the backbone's and the whole model's, of the plain form on the meta device."""
    with torch.device("meta"):
        model = PlainQuery2Label(build(name, size)).eval()
        image = torch.empty(1, 3, size, size)
    counts = []
    for part in (model.backbone, model):
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            part(image)
        counts.append(counter.get_total_flops())
    return counts[0], counts[1]


def timed(step: Callable, micro_batch: int, size: int, device: str) -> dict:
    """Quantiles of a step's milliseconds, images a second and, on a GPU, the peak of torch's allocator in bytes."""
    images = torch.randn(micro_batch, 3, size, size, device=device).contiguous(memory_format=torch.channels_last)
    labels = (torch.rand(micro_batch, LABELS, device=device) < 0.04).float()
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    seconds = []
    for _ in range(SETTLE + TIMED):
        began = time.perf_counter()
        step(images, labels)
        if device == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - began)
    row = quantiles_ms(seconds[SETTLE:])
    peak = torch.cuda.max_memory_allocated() if device == "cuda" else None
    return row | {"images_per_second": round(micro_batch / row["p50_ms"] * 1e3, 2), "peak_bytes": peak}
