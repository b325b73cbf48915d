"""A trained model as two files others can use: model.safetensors and model.json beside it."""

import json
import math
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from mlcfast.errors import UsageError
from mlcfast.files import compare_listed, listed, sealed, unsealed, write_bytes, write_text
from mlcfast.registry import hint_path
from mlcfast.tensor_files import write_tensors

MOST_BYTES = 2**24  # of a card; one of 10,000 labels has about 1 MB
PREPROCESSING = ("image_size", "mean", "std")  # and nothing else, for they become settings of the data
LARGEST_SIDE = 4096  # of the images, in pixels
REMEDY = "take it from a copy, or export or train the model again"


@dataclass(frozen=True)
class ModelCard:
    """What is needed to use the weights without the training set: model.json.

    labels: names in the order of the logits; model: the keyword arguments of `build_model`;
    preprocessing: image_size (pixels), mean and std (of values in [0, 1], per RGB channel);
    thresholds: probability above which a label counts as present; weights: `raw` or `ema`;
    metrics: of these weights on the validation images, percentages; config: of the run; step: optimizer steps behind
    the weights; files: size and SHA-256 of the weight file and of what else was written beside it; calibration: of the
    scores on the validation images, `error` and, with the logits divided by the best `temperature`,
    `error_with_temperature` (report.reliability); nothing where that is not known.
    """

    labels: list[str]
    model: dict[str, Any]
    preprocessing: dict[str, Any]
    thresholds: list[float]
    weights: str
    metrics: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    step: int = 0
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    calibration: dict[str, float] = field(default_factory=dict)


NEEDED = [each.name for each in fields(ModelCard) if each.default is MISSING and each.default_factory is MISSING]


def save_model(
    path: Path, weights: Mapping[str, Tensor], card: ModelCard, beside: Mapping[str, bytes] | None = None
) -> Path:
    """Write weights and card, each whole or not at all, and return the weight file.

    path: a directory, for model.safetensors and model.json, or a name ending in .safetensors, whose card ends in .json
    instead. beside: further files of the directory, by name. The card holds the digests of all of them and its own, so
    that damage is named when they are read. The weight file's own metadata also hold the card, but for configuration
    and digests, as JSON.
    """
    file = path if path.suffix == ".safetensors" else path / "model.safetensors"
    file.parent.mkdir(parents=True, exist_ok=True)
    facts = {name: json.dumps(value) for name, value in asdict(card).items() if name not in ("config", "files")}
    entry = write_tensors(file, weights, {"format": "pt", **facts})
    for name, content in (beside or {}).items():
        write_bytes(file.with_name(name), content)
    files = {file.name: entry, **listed(file.with_name(name) for name in beside or {})}
    write_text(file.with_suffix(".json"), sealed(asdict(replace(card, files=files))))
    return file


def check_file(file: Path) -> None:
    """UsageError if a file beside a card is not what was written with it; nothing where the card holds no digests."""
    files = load_card(file).files
    own = {file.name: files[file.name]} if file.name in files else {}
    if files and not own and file.suffix == ".safetensors":  # renamed together with its card
        own = dict.fromkeys([file.name], next(entry for name, entry in files.items() if name.endswith(file.suffix)))
    compare_listed(file.parent, own, REMEDY, UsageError)


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
        size = file.stat().st_size
        if size > MOST_BYTES:
            raise UsageError(f"{file}: not a model card: {size} bytes, and at most {MOST_BYTES} are read")
        document = unsealed(file.read_bytes())
        if lacking := [name for name in NEEDED if name not in document]:
            raise UsageError(f"{file}: not a model card: it lacks {', '.join(lacking)}")
        card = ModelCard(**document)
    except OSError as error:
        raise UsageError(f"{file}: cannot be read: {error.strerror}{hint_path(file)}") from error
    except (ValueError, TypeError) as error:
        raise UsageError(f"{file}: not a model card: {error}") from error
    wrong = _wrong_entry(card)
    if wrong:
        raise UsageError(f"{file}: not a model card: {wrong}")
    return card


def _wrong_entry(card: ModelCard) -> str:
    """What is of another type than the card's fields are, "" for nothing."""
    for name in ("model", "preprocessing", "metrics", "config", "files", "calibration"):
        value = getattr(card, name)
        if not isinstance(value, dict):
            return f"{name} is a {type(value).__name__}, not a mapping"
    if others := sorted(set(card.preprocessing) - set(PREPROCESSING)):
        return f"preprocessing has {', '.join(others)} beside {', '.join(PREPROCESSING)}"
    if not (isinstance(card.labels, list) and all(isinstance(name, str) for name in card.labels)):
        return "labels is no list of names"
    if not _are_numbers(card.thresholds):
        return "thresholds is no list of numbers"
    for name in ("mean", "std"):
        value = card.preprocessing.get(name, [1, 1, 1])
        if not (_are_numbers(value) and len(value) == 3) or (name == "std" and min(value) <= 0):
            return f"preprocessing.{name} is no list of 3 numbers, or holds one that is not possible"
    size = card.preprocessing.get("image_size", 1)
    if type(size) is not int or not 1 <= size <= LARGEST_SIDE:
        return f"preprocessing.image_size {size!r} is not from 1 to {LARGEST_SIDE}"
    return ""


def _are_numbers(values: object) -> bool:
    return isinstance(values, list) and all(
        isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) for value in values
    )
