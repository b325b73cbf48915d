"""Loads a trained model from model.safetensors and model.json alone: no configuration, no pickle, no data set."""

from pathlib import Path

from torch import nn

from mlcfast.documents import reading
from mlcfast.errors import UsageError
from mlcfast.models.bounds import built_for, check_arguments
from mlcfast.models.build import build_model
from mlcfast.models.card import ModelCard, card_file, load_card
from mlcfast.models.loading import fill, find_weights, read_weights


def load_trained(path: str | Path, image_size: int | None = None) -> tuple[nn.Module, ModelCard]:
    """The model in evaluation mode and its card: images (B, 3, S, S), normalised as the card says -> logits (B, K).

    path: a .safetensors file with its card beside it, or the directory of model.safetensors and model.json, or a run.
    image_size: build it for images of this side instead of the card's.
    UsageError names what is missing, damaged or does not fit.
    """
    file = find_weights(Path(path))
    if file.suffix != ".safetensors":
        raise UsageError(f"{file}: expected model.safetensors with model.json beside it, or their directory")
    card = load_card(file)
    _check(card, card_file(file))
    with reading(card_file(file)), built_for(file, card_file(file)):
        try:
            model = build_model(**card.model | ({} if image_size is None else {"image_size": image_size}))
        except RuntimeError as error:  # of torch, such as for want of memory
            raise UsageError(f"model: {error}") from error
    fill(model, read_weights(file), file)
    return model.eval(), card


def load_image_model(path: str | Path) -> tuple[nn.Module, ModelCard]:
    """load_trained, with a UsageError for a classifier of stored features, which takes no images."""
    model, card = load_trained(path)
    if card.model.get("backbone") == "none":
        raise UsageError(f"{path}: a classifier of stored features (model.backbone none) takes no images")
    return model, card


def _check(card: ModelCard, file: Path) -> None:
    K = card.model.get("num_labels") if isinstance(card.model, dict) else None
    if not (isinstance(K, int) and len(card.labels) == len(card.thresholds) == K):
        counts = f"{len(card.labels)} labels and {len(card.thresholds)} thresholds for a model of {K}"
        raise UsageError(f"{file}: not a model card: {counts}")
    check_arguments(card.model, file)
    missing = {"image_size", "mean", "std"} - set(card.preprocessing)
    if missing:
        raise UsageError(f"{file}: not a model card: preprocessing lacks {', '.join(sorted(missing))}")
