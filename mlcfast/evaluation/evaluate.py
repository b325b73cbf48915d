"""Evaluates stored weights on a split: the model they belong to, its probabilities, its metrics."""

from collections.abc import Sequence
from pathlib import Path

from torch import nn

from mlcfast.config import Config
from mlcfast.data import LabelledImages
from mlcfast.data.build import evaluation_loader, open_split
from mlcfast.data.splits import find_split
from mlcfast.engine import Predictor, Process
from mlcfast.engine.training_module import make_model
from mlcfast.errors import UsageError
from mlcfast.evaluation.gather import EvaluationResult, evaluate_loader
from mlcfast.models.card import card_file, load_card
from mlcfast.models.loading import fill, find_weights, read_weights
from mlcfast.models.trained import load_trained


def evaluate_weights(config: Config, process: Process, checkpoint: Path, split: str) -> EvaluationResult:
    """The weights at `checkpoint` on every image of `split`; a collective.

    Raises UsageError where the weights do not fit the configuration or were made for other labels.
    """
    weights = find_weights(checkpoint)
    records = open_split(config.data, split, own_labels(weights), config.seed, find_split(weights))
    model, _ = configured_model(config, weights, records.names)
    return evaluate_model(model, config, records, process)


def own_labels(weights: Path) -> list[str] | None:
    """The label names on the card beside a weight file; None where there is no card."""
    return load_card(weights).labels if card_file(weights).exists() else None


def configured_model(config: Config, weights: Path, names: list[str]) -> tuple[nn.Module, Config]:
    """The configured model with these weights, and the configuration; UsageError if they are of other labels."""
    own = own_labels(weights)
    if own not in (None, names):
        raise UsageError(f"{weights}: made for the labels {_shown(own)}; the images have {_shown(names)}")
    model = make_model(config.without_initial_weights(), len(names))
    fill(model, read_weights(weights), weights)
    return model, config


def stored_model(config: Config, weights: Path, names: list[str]) -> tuple[nn.Module, Config]:
    """As `configured_model`, but what is on the weights' card goes before the configuration's model and input."""
    if own_labels(weights) != names:
        return configured_model(config, weights, names)
    model, card = load_trained(weights)
    return model, config.model_copy(update={"data": config.data.model_copy(update=card.preprocessing)})


def evaluate_model(model: nn.Module, config: Config, records: LabelledImages, process: Process) -> EvaluationResult:
    """A model on the images, on every rank; a collective."""
    predictor = Predictor(process, model.to(process.device), config.engine.precision)
    loader = evaluation_loader(config, records, process)
    return evaluate_loader(predictor, loader, records.names, "evaluating", not process.is_main)


def _shown(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" … ({len(names)} in all)" if len(names) > 5 else "")
