"""A trained model as two files others can use: model.safetensors and model.json beside it."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from mlcfast.errors import UsageError
from mlcfast.files import write_tensors, write_text


@dataclass(frozen=True)
class ModelCard:
    """What is needed to use the weights without the training set: model.json.

    labels: names in the order of the logits; model: the keyword arguments of `build_model`;
    preprocessing: image_size (pixels), mean and std (of values in [0, 1], per RGB channel);
    thresholds: probability above which a label counts as present; weights: `raw` or `ema`;
    metrics: of these weights on the validation images, percentages; config: of the run.
    """

    labels: list[str]
    model: dict[str, Any]
    preprocessing: dict[str, Any]
    thresholds: list[float]
    weights: str
    metrics: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)


def save_model(path: Path, weights: Mapping[str, Tensor], card: ModelCard) -> Path:
    """Write weights and card, each whole or not at all, and return the weight file.

    path: a directory, for model.safetensors and model.json, or a name ending in .safetensors, whose card ends in .json
    instead. The weight file's own metadata also hold all of the card but the configuration, as JSON.
    """
    file = path if path.suffix == ".safetensors" else path / "model.safetensors"
    file.parent.mkdir(parents=True, exist_ok=True)
    facts = {name: json.dumps(value) for name, value in asdict(card).items() if name != "config"}
    write_tensors(file, weights, {"format": "pt", **facts})
    write_text(file.with_suffix(".json"), json.dumps(asdict(card), indent=1))
    return file


def card_file(path: Path) -> Path:
    """Where the card of a weight file, or of the directory that holds one, is or should be."""
    if path.is_dir():
        return path / "model.json"
    own = path.with_suffix(".json")
    return own if own.exists() else path.parent / "model.json"


def load_card(path: Path) -> ModelCard:
    """Read the card of a model file or of the directory that holds it; UsageError names what is wrong."""
    file = card_file(path)
    try:
        return ModelCard(**json.loads(file.read_text(encoding="utf-8")))
    except OSError as error:
        raise UsageError(f"{file}: cannot be read: {error.strerror}") from error
    except (ValueError, TypeError) as error:
        raise UsageError(f"{file}: not a model card: {error}") from error
