"""How well the planner counts: what a traced step allocates beside what torch allocates in that step on the CPU.

Forward and backward pass of one micro-batch, without dropout unless asked for, as its mask is a float on the CPU;
gradients are dropped as they are finished, and weights count nowhere. The CPU's operators are not a GPU's: temporaries,
such as copies of a convolution's weights, are part of the difference, and so are autocast's types in bf16: the planner
counts those of a GPU.
"""

import json
import tempfile
from functools import partial
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile

from bench.record import ROOT
from bench.suites import Context, Row, Rows, attempt
from bench.suites.memory import LABELS, batch
from mlcfast.config import Config, load_config
from mlcfast.engine.base import trainable
from mlcfast.engine.predictor import DTYPES
from mlcfast.engine.training_module import TrainingModule, make_model
from mlcfast.models import enable_activation_checkpointing
from mlcfast.planning import Tracer
from mlcfast.training.build import make_loss

LONGEST = 30.0  # seconds of a case
MODELS = {
    "resnet101": ("resnet101_448",),
    "swin_tiny": ("swin_l", "model.backbone=swin_tiny_patch4_window7_224"),
    "cvt_13": ("cvt_w24", "model.backbone=cvt_13"),
    "resnet50": ("own_data", "model.backbone=resnet50", "model.backbone_options={}", "model.head=linear"),
}


def rows(context: Context) -> Rows:
    """One row a model, precision and checkpointing: both peaks, and the allocated one by the counted one."""
    context.cpu_only()
    side, micro_batch, dropout = (context.options[name] for name in ("image_size", "micro_batch", "dropout"))
    for model in context.listed("models", tuple(MODELS)):
        for precision in ("bf16", "fp32"):
            for checkpointing in ("none", "blocks"):
                row = {"model": model, "precision": precision, "checkpointing": checkpointing}
                case = partial(measure, model, precision, checkpointing, side, micro_batch, dropout)
                yield from attempt(context, LONGEST, row, case)


def measure(model: str, precision: str, checkpointing: str, side: int, micro_batch: int, dropout: float = 0.0) -> Rows:
    """The row of one case."""
    name, *words = MODELS[model]
    words += ["model.weights=none", f"model.dropout={dropout}", f"data.image_size={side}"]
    words += [
        f"engine.precision={precision}",
        f"engine.micro_batch={micro_batch}",
        f"engine.activation_checkpointing={checkpointing}",
    ]
    config = load_config(ROOT / "configs" / f"{name}.yaml", words)
    counted = Tracer(config, LABELS, 1).trace(micro_batch, checkpointing, half_weights=False, keep_gradients=False).peak
    allocated = allocated_bytes(config)
    row: Row = {"image_size": side, "micro_batch": micro_batch, "dropout": dropout}
    row |= {"counted_bytes": counted, "allocated_bytes": allocated}
    yield row | {"allocated_by_counted": round(allocated / counted, 3)}


def allocated_bytes(config: Config) -> int:
    """The peak of what one step allocates, as torch's profiler sees it."""
    module = TrainingModule(make_model(config, LABELS), make_loss(config.loss)).train()
    module.model.to(memory_format=torch.channels_last)
    if config.engine.activation_checkpointing == "blocks":
        enable_activation_checkpointing(module.model)
    for parameter in trainable(module).values():
        parameter.register_post_accumulate_grad_hook(lambda finished: setattr(finished, "grad", None))
    precision = DTYPES[config.engine.precision]
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as found:
        images, labels, index = batch(config, "cpu")
        with torch.autocast("cpu", precision, enabled=precision != torch.float32):
            loss = module(images, labels, index)
        loss.backward()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trace.json"
        found.export_chrome_trace(str(path))
        events = json.loads(path.read_bytes())["traceEvents"]
    changes = sorted((event["ts"], event["args"]["Bytes"]) for event in events if event.get("name") == "[memory]")
    level = peak = 0
    for _, change in changes:
        level += change
        peak = max(peak, level)
    return peak
