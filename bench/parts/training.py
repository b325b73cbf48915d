"""Whole training steps of the published models: images a second, peak memory, and the share of the matrix rate.

`plain torch` is the step as people write it (bench.plain_query2label, the textbook loss); `mlcfast` is what this
project trains, on the same backbone; then its variants: the operators' definitions in place of the operators, blocks
recomputed in the backward pass, torch.compile. bf16 autocast, fused AdamW, 80 labels, random images. Useful work is
three forward passes of the whole model, counted on its plain form; what is recomputed is not counted.
For ResNets and TResNets three is somewhat much, because their frozen first layers have no backward pass.
"""

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from bench.backend import forced
from bench.part import Context
from bench.plain_query2label import PlainQuery2Label, textbook_step_loss
from bench.record import read
from bench.timing import quantiles_ms
from mlcfast.errors import UsageError
from mlcfast.losses import AsymmetricLoss
from mlcfast.models import Query2Label, build_model, enable_activation_checkpointing
from mlcfast.models.published import PUBLISHED
from mlcfast.ops.backend import choose

LABELS = 80
MICRO_BATCHES = (16, 32, 64, 4, 8)
FIRST = ("Q2L-CvT_w24-384", "Q2L-SwinL-384", "Q2L-R101-448")
PLAIN, OURS, DEFINITIONS = "plain torch", "mlcfast", "mlcfast, definitions"
RECOMPUTED = "mlcfast, blocks recomputed"
COMPILED, PLAIN_COMPILED = "mlcfast, torch.compile", "plain torch, torch.compile"
OPERATORS = ("label_query_attention", "groupwise_linear", "layer_norm", "quick_gelu")
SETTLE, TIMED = 2, 3  # steps
LONGEST = 12.0  # seconds to build a model and to time its first micro-batch


def visits(on_gpu: bool) -> list[tuple[str, str]]:
    """(model, variant), in the order of what a reader wants to know first."""
    if not on_gpu:
        return [("Q2L-R101-448", variant) for variant in (PLAIN, OURS, DEFINITIONS)]
    found = [(name, variant) for name in FIRST for variant in (PLAIN, OURS)]
    found += [(name, RECOMPUTED) for name in FIRST]
    found += [(name, variant) for name in PUBLISHED if name not in FIRST for variant in (PLAIN, OURS)]
    found += [(name, DEFINITIONS) for name in FIRST]
    return found + [("Q2L-R101-448", variant) for variant in (COMPILED, PLAIN_COMPILED)]


def rows(context: Context) -> Iterator[dict]:
    """One row a model, variant and micro-batch; on the CPU a small ResNet-101 alone, which the row says."""
    rate = _matrix_rate(context)
    for name, variant in visits(context.on_gpu):
        if context.left() < LONGEST * (6 if "compile" in variant else 1):
            yield {"refused": f"no time left for {name}, {variant}"}
            continue
        size = PUBLISHED[name].image_size if context.on_gpu else 224
        common = {"model": name, "image_size": size, "K": LABELS, "variant": variant}
        common["dtype"] = "bfloat16" if context.on_gpu else "float32"
        refused = _refusal(variant, context)
        if refused:
            yield common | {"micro_batch": 0, "refused": refused}
            continue
        try:
            for row in visit(name, variant, size, context):
                yield common | row | _share(row, name, size, rate)
        except Exception as error:  # one variant's trouble, whatever it is, must not cost the others
            yield common | {"micro_batch": 0, "refused": f"{type(error).__name__}: {str(error)[:200]}"}
        _release(context)


def visit(name: str, variant: str, size: int, context: Context) -> Iterator[dict]:
    """Build one model and take steps with growing micro-batches; one that does not fit ends the larger ones."""
    step = stepper(name, variant, size, context.device)
    fits = True
    for micro_batch in MICRO_BATCHES if context.on_gpu else (2,):
        compiled = "compile" in variant and micro_batch != 32
        if compiled or context.left() < LONGEST / 4 or (micro_batch > 16 and not fits):
            continue
        try:
            yield {"micro_batch": micro_batch} | _timed(step, micro_batch, size, context.device)
        except torch.OutOfMemoryError:
            fits = False
            yield {"micro_batch": micro_batch, "refused": "out of memory"}
            _release(context)


def stepper(name: str, variant: str, size: int, device: str) -> Callable[[Tensor, Tensor], None]:
    """A function that takes one optimizer step on images and labels."""
    model = _built(name, size, device)
    criterion: Callable[[Tensor, Tensor], Tensor] = AsymmetricLoss(disable_torch_grad_focal_loss=True)
    if variant.startswith(PLAIN):
        model, criterion = PlainQuery2Label(model), textbook_step_loss
    if variant == RECOMPUTED:
        enable_activation_checkpointing(model)
    if type(model.backbone.body).__name__ in ("ResNet", "TResNet"):
        model = model.to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-5, fused=True)
    forward = torch.compile(model) if "compile" in variant else model
    half = torch.autocast(device, torch.bfloat16) if device == "cuda" else nullcontext()

    def step(images: Tensor, labels: Tensor) -> None:
        optimizer.zero_grad()
        with forced("reference" if variant == DEFINITIONS else None):
            with half:
                loss = criterion(forward(images), labels)
            loss.backward()
        optimizer.step()

    return step


def _built(name: str, size: int, device: str) -> Query2Label:
    """On the device from the start, where random weights cost nothing; by way of the CPU where a backbone minds."""
    try:
        with torch.device(device):
            return build(name, size)
    except (RuntimeError, UsageError):
        return build(name, size).to(device)


def build(name: str, size: int) -> Query2Label:
    """A published model with random weights, its early layers and norms frozen as published."""
    return build_model("query2label", PUBLISHED[name].backbone, LABELS, size, freeze="published")


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


def _timed(step: Callable, micro_batch: int, size: int, device: str) -> dict:
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


def _share(row: dict, name: str, size: int, rate: float | None) -> dict:
    """What the row's images a second are of the measured matrix rate."""
    if name not in _counted:
        _counted[name] = forward_flop(name, size)
    backbone, whole = _counted[name]
    found = {"backbone_flop_per_image": backbone, "forward_flop_per_image": whole}
    if rate and "images_per_second" in row:
        found["share_of_matrix_rate"] = round(3 * whole * row["images_per_second"] / rate, 4)
    return found


_counted: dict[str, tuple[int, int]] = {}


def _matrix_rate(context: Context) -> float | None:
    """The product rate of this precision that the record holds for the device; None if none was measured."""
    wanted = "bf16 product" if context.on_gpu else "fp32 product"
    found = [row["per_second"] for row in read(context.record) if row.get("ceiling") == wanted]
    return found[-1] if found else None


def _refusal(variant: str, context: Context) -> str | None:
    """Why a variant of ours may not be timed; the definitions need no test."""
    if variant in (PLAIN, PLAIN_COMPILED, DEFINITIONS):
        return None
    wanted = [("asymmetric_loss", choose(context.device))] + [(operator, "native") for operator in OPERATORS]
    for operator, backend in wanted:
        reason = context.gate.refusal(operator, backend, context.device)
        if reason:
            return f"{operator} by {backend}: {reason}"
    return None


def _release(context: Context) -> None:
    gc.collect()
    if context.on_gpu:
        torch.cuda.empty_cache()
