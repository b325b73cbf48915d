"""Finds and reads weights to evaluate or predict with: those a run leaves behind, or a published checkpoint."""

import re
from pathlib import Path

from torch import Tensor, nn

from mlcfast.errors import UsageError
from mlcfast.models.card import card_file, check_file
from mlcfast.models.ml_decoder import MLDecoder, fill_ml_decoder, is_ml_decoder_layout
from mlcfast.models.published import fill_published, is_published_layout
from mlcfast.models.query2label import Query2Label
from mlcfast.models.weights import load_checked, read_state_dict
from mlcfast.registry import hint_path

HUB = "hf:/"  # what a path makes of hf://
LIKE_A_NAME = re.compile(r"\w[\w.-]*/\w[\w.-]*")


def find_weights(path: Path) -> Path:
    """The weight file meant by a file, a best/ or checkpoint directory, a whole run directory, or hf://user/name.

    The last is a model of the Hugging Face hub, which is downloaded where it is not in the cache yet.
    """
    if path.is_file():
        return path
    if is_hub_name(path):
        from mlcfast.models.hub import download, read_hub_name  # needs a package that other models do not

        return download(read_hub_name(path.as_posix().removeprefix(HUB)))
    for name in ("model.safetensors", "weights.safetensors", "best/model.safetensors"):
        if (path / name).is_file():
            return path / name
    near = hint_path(path) or (f"; on the hub hf://{path.as_posix()}" if LIKE_A_NAME.fullmatch(str(path)) else "")
    raise UsageError(f"{path}: no such checkpoint (a model.safetensors, or a directory that holds one){near}")


def is_hub_name(path: Path) -> bool:
    """Whether this is hf://user/name and no path that exists."""
    return path.as_posix().startswith(HUB) and not path.exists()


def read_weights(path: Path) -> dict[str, Tensor]:
    """A model's tensors by name from a safetensors file or a pickle; a training checkpoint's others are left out.

    UsageError names a file that was changed since it was written with its card.
    """
    if path.suffix == ".safetensors" and card_file(path).is_file():
        check_file(path)
    tensors = read_state_dict(path)
    if any(name.startswith("model.") for name in tensors):
        return {name.removeprefix("model."): t for name, t in tensors.items() if name.startswith("model.")}
    return tensors


def fill(model: nn.Module, weights: dict[str, Tensor], source: Path) -> None:
    """Copy `weights`, in this project's or the published layout, into `model`.

    UsageError lists missing, unexpected and misshapen names. Frozen and plain BatchNorm exchange weights.
    """
    if is_published_layout(weights):
        if not isinstance(model, Query2Label):
            raise UsageError(f"{source}: a published Query2Label, which needs model.head query2label")
        fill_published(model, weights, str(source))
    elif is_ml_decoder_layout(weights):
        if not isinstance(model, MLDecoder):
            raise UsageError(f"{source}: an ML-Decoder as published, which needs model.head ml_decoder")
        fill_ml_decoder(model, weights, str(source))
    else:
        load_checked(model, weights, str(source))
