"""What backbones keep for the backward pass, before and after: python -m bench.backbones [--time]

Bytes are counted on fake tensors in bf16 as on a GPU (mlcfast.planning); nothing is computed. --time also times steps
of a frozen ResNet-101 on this machine, in fp32, the alternatives taking turns. Rows go to bench/results/.
"""

import argparse
import json
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from bench.plain_backbones import (
    PUBLISHED_ATTENTION,
    PUBLISHED_GELU,
    PUBLISHED_NORM,
    batch_norm_in_eval_mode,
    unfolded,
)
from bench.timing import interleaved, provenance, quantiles_ms
from mlcfast.models import build_model, enable_activation_checkpointing
from mlcfast.planning.cuda_emulation import cuda_kernels
from mlcfast.planning.tracker import LiveMemory

RESULTS = Path(__file__).resolve().parent / "results" / "backbones.jsonl"
BATCH = 8
SIZES = {"cvt_w24": 384, "resnet101": 448}


CVT_VARIANTS = {
    "as published": (PUBLISHED_NORM, PUBLISHED_GELU, PUBLISHED_ATTENTION),
    "fused attention": (PUBLISHED_NORM, PUBLISHED_GELU),
    "and QuickGELU keeps its input": (PUBLISHED_NORM,),
    "and LayerNorm keeps a bf16 stream": (),
    "and blocks are recomputed": (),
}


def kept_bytes(model: nn.Module, image_size: int, patches: tuple = ()) -> int:
    """Bytes an image alive after the backbone's forward pass in bf16, the fp32 images and the map included."""
    with FakeTensorMode(), cuda_kernels(), ExitStack() as stack:
        for patch in patches:
            stack.enter_context(patch)
        _on_fake_tensors(model)
        memory = LiveMemory()
        memory.leave_out((*model.parameters(), *model.buffers()))
        with memory, torch.autocast("cpu", torch.bfloat16):
            features = model.backbone(torch.empty(BATCH, 3, image_size, image_size))
        assert features.requires_grad
        return memory.live["activations"] // BATCH


RESNET_VARIANTS: dict[str, Callable[[nn.Module], nn.Module]] = {
    "BatchNorm in eval mode": batch_norm_in_eval_mode,
    "one multiply-add": unfolded,
    "folded into the convolution": lambda model: model,
}


def build(backbone: str, image_size: int, device: str) -> nn.Module:
    """A linear classifier on the backbone, frozen as published."""
    with torch.device(device):
        return build_model("linear", backbone, 80, image_size, freeze="published")


def memory_rows() -> list[dict]:
    """One row a variant."""
    rows = []
    for variant, patches in CVT_VARIANTS.items():
        model = build("cvt_w24", SIZES["cvt_w24"], "meta")
        if "recomputed" in variant:
            enable_activation_checkpointing(model)
        rows.append(_row("cvt_w24", variant, kept_mib=kept_bytes(model, SIZES["cvt_w24"], patches) / 2**20))
    for variant, change in RESNET_VARIANTS.items():
        model = change(build("resnet101", SIZES["resnet101"], "meta"))
        rows.append(_row("resnet101", variant, kept_mib=kept_bytes(model, SIZES["resnet101"]) / 2**20))
    return rows


def time_rows(rounds: int) -> list[dict]:
    """Forward + backward of ResNet-101 on two images, by norm and by memory layout."""
    steps = {}
    for variant, change in RESNET_VARIANTS.items():
        for layout in (torch.contiguous_format, torch.channels_last):
            model = change(build("resnet101", SIZES["resnet101"], "cpu")).to(memory_format=layout)
            images = torch.randn(2, 3, 448, 448).to(memory_format=layout)
            steps[f"{variant}, {str(layout)[6:]}"] = lambda m=model, x=images: m(x).sum().backward()
    seconds = interleaved(steps, rounds, "cpu")
    return [_row("resnet101", name, batch=2, **quantiles_ms(times)) for name, times in seconds.items()]


def _row(backbone: str, variant: str, **measured: float) -> dict:
    return {"backbone": backbone, "image_size": SIZES[backbone], "variant": variant, **measured, **provenance("cpu")}


def _on_fake_tensors(model: nn.Module) -> None:
    for module in model.modules():
        for tensors in (module._parameters, module._buffers):
            for name, tensor in tensors.items():
                if tensor is not None:
                    fake = torch.empty(tensor.shape, dtype=tensor.dtype)
                    isparameter = isinstance(tensor, nn.Parameter)
                    tensors[name] = nn.Parameter(fake, tensor.requires_grad) if isparameter else fake


def main() -> None:
    """Count, time if asked, print and append."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--time", action="store_true")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    rows = memory_rows() + (time_rows(options.rounds) if options.time else [])
    with RESULTS.open("a") as file:
        for row in rows:
            file.write(json.dumps(row) + "\n")
            print(row["backbone"], row["variant"], row.get("kept_mib", row.get("p50_ms")))


if __name__ == "__main__":
    main()
