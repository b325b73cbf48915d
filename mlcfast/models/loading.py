"""Weights from the files a run leaves: best/model.safetensors, or a checkpoint's weights.safetensors."""

from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from mlcfast.errors import UsageError


def find_weights(path: Path) -> Path:
    """The weight file meant by a file, a best/ or checkpoint directory, or a whole run directory."""
    if path.is_file():
        return path
    for name in ("model.safetensors", "weights.safetensors", "best/model.safetensors"):
        if (path / name).is_file():
            return path / name
    raise UsageError(f"{path}: no such checkpoint (a model.safetensors, or a directory that holds one)")


def read_weights(path: Path) -> dict[str, Tensor]:
    """A model's tensors by name from a safetensors file; a training checkpoint's others are left out."""
    try:
        tensors = safetensors.torch.load_file(path)
    except (SafetensorError, OSError) as error:
        raise UsageError(f"{path}: not a readable safetensors file: {error}") from error
    if any(name.startswith("model.") for name in tensors):
        return {name.removeprefix("model."): t for name, t in tensors.items() if name.startswith("model.")}
    return tensors


@torch.no_grad()
def fill(model: nn.Module, weights: dict[str, Tensor], source: Path) -> None:
    """Copy `weights` into `model`; UsageError lists missing, unexpected and misshapen names."""
    targets = model.state_dict()
    wrong = [f"missing {name}" for name in targets.keys() - weights.keys()]
    wrong += [f"unexpected {name}" for name in weights.keys() - targets.keys()]
    for name in targets.keys() & weights.keys():
        if targets[name].shape != weights[name].shape:
            wrong.append(f"{name} is {tuple(weights[name].shape)}, not {tuple(targets[name].shape)}")
    if wrong:
        shown = "; ".join(sorted(wrong)[:8]) + (f"; and {len(wrong) - 8} more" if len(wrong) > 8 else "")
        raise UsageError(f"{source}: does not fit this model: {shown}")
    for name, target in targets.items():
        target.copy_(weights[name])
