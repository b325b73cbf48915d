"""What backbones keep for the backward pass, before and after what this project does to them, and CPU steps.

Bytes are counted on fake tensors in bf16 as on a GPU; then a frozen ResNet-101 takes steps on the CPU, in fp32.
"""

from collections.abc import Callable
from contextlib import ExitStack

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from bench.baselines.backbones import (
    PUBLISHED_ATTENTION,
    PUBLISHED_GELU,
    PUBLISHED_NORM,
    batch_norm_in_eval_mode,
    unfolded,
)
from bench.suites import Context, Row, Rows
from bench.timing import interleaved, quantiles_ms
from mlcfast.models import build_model, enable_activation_checkpointing
from mlcfast.planning.cuda_emulation import cuda_kernels
from mlcfast.planning.trace import materialise
from mlcfast.planning.tracker import LiveMemory

BATCH, TIMED_BATCH = 8, 2
SIZES = {"cvt_w24": 384, "resnet101": 448}
CVT_VARIANTS = {
    "as published": (PUBLISHED_NORM, PUBLISHED_GELU, PUBLISHED_ATTENTION),
    "fused attention": (PUBLISHED_NORM, PUBLISHED_GELU),
    "and QuickGELU keeps its input": (PUBLISHED_NORM,),
    "and LayerNorm keeps a bf16 stream": (),
    "and blocks are recomputed": (),
}
RESNET_VARIANTS: dict[str, Callable[[nn.Module], nn.Module]] = {
    "BatchNorm in eval mode": batch_norm_in_eval_mode,
    "one multiply-add": unfolded,
    "folded into the convolution": lambda model: model,
}


def rows(context: Context) -> Rows:
    """One row a backbone and variant: kept MiB an image, then seconds a step."""
    for variant, patches in CVT_VARIANTS.items():
        model = build("cvt_w24", "meta")
        if "recomputed" in variant:
            enable_activation_checkpointing(model)
        yield _row("cvt_w24", variant, kept_mib=kept_bytes(model, SIZES["cvt_w24"], patches) / 2**20)
    for variant, change in RESNET_VARIANTS.items():
        model = change(build("resnet101", "meta"))
        yield _row("resnet101", variant, kept_mib=kept_bytes(model, SIZES["resnet101"]) / 2**20)
    if context.options["rounds"]:
        yield from timed(context.options["rounds"])


def kept_bytes(model: nn.Module, image_size: int, patches: tuple = ()) -> int:
    """Bytes an image alive after the backbone's forward pass in bf16, the fp32 images and the map included."""
    with FakeTensorMode(), cuda_kernels(), ExitStack() as stack:
        for patch in patches:
            stack.enter_context(patch)
        materialise(model, None)
        memory = LiveMemory()
        memory.leave_out((*model.parameters(), *model.buffers()))
        with memory, torch.autocast("cpu", torch.bfloat16):
            features = model.backbone(torch.empty(BATCH, 3, image_size, image_size))
        assert features.requires_grad
        return memory.live["activations"] // BATCH


def timed(rounds: int) -> Rows:
    """Forward + backward of ResNet-101 on two images, by norm and by memory layout."""
    size, steps = SIZES["resnet101"], {}
    for variant, change in RESNET_VARIANTS.items():
        for layout in (torch.contiguous_format, torch.channels_last):
            model = change(build("resnet101", "cpu")).to(memory_format=layout)
            images = torch.randn(TIMED_BATCH, 3, size, size).to(memory_format=layout)
            steps[f"{variant}, {str(layout)[6:]}"] = lambda m=model, x=images: m(x).sum().backward()
    for name, times in interleaved(steps, rounds, "cpu").items():
        yield _row("resnet101", name, batch=TIMED_BATCH, **quantiles_ms(times))


def build(backbone: str, device: str) -> nn.Module:
    """A linear classifier on the backbone, frozen as published."""
    with torch.device(device):
        return build_model("linear", backbone, 80, SIZES[backbone], freeze="published")


def _row(backbone: str, variant: str, **measured: float) -> Row:
    return {"backbone": backbone, "image_size": SIZES[backbone], "contender": variant, **measured}
