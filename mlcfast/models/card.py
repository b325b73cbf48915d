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


def save_model(directory: Path, weights: Mapping[str, Tensor], card: ModelCard) -> None:
    """Write model.safetensors and model.json into `directory`, each whole or not at all."""
    directory.mkdir(parents=True, exist_ok=True)
    write_tensors(directory / "model.safetensors", weights, {"format": "pt"})
    write_text(directory / "model.json", json.dumps(asdict(card), indent=1))


def load_card(path: Path) -> ModelCard:
    """Read the card of a model file or of the directory that holds it; UsageError names what is wrong."""
    file = (path if path.is_dir() else path.parent) / "model.json"
    try:
        return ModelCard(**json.loads(file.read_text(encoding="utf-8")))
    except OSError as error:
        raise UsageError(f"{file}: cannot be read: {error.strerror}") from error
    except (ValueError, TypeError) as error:
        raise UsageError(f"{file}: not a model card: {error}") from error
