"""Evaluates stored weights on a split: the model they belong to, its probabilities, its metrics."""

from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from mlcfast.config import Config, ModelConfig, parse_config, read_yaml
from mlcfast.data import LabelledImages
from mlcfast.data.build import evaluation_loader
from mlcfast.engine import Predictor, Process, keep_freed_memory, set_arithmetic
from mlcfast.engine.training_module import make_model
from mlcfast.errors import UsageError
from mlcfast.evaluation.gather import EvaluationResult, evaluate_loader
from mlcfast.models.card import card_file, load_card
from mlcfast.models.loading import fill, find_weights, read_weights
from mlcfast.models.trained import load_trained

NOT_THE_MODELS = ("num_labels", "image_size", "in_features")  # of build_model's arguments: the data decide them


def evaluate_weights(
    config: Config,
    process: Process,
    checkpoint: Path,
    records: LabelledImages,
    flip: bool = False,
    sides: Sequence[int] = (),
) -> EvaluationResult:
    """Evaluate the weights at `checkpoint` on all of the images, with `flip` as in Predictor; a collective.

    sides: take the mean of the scores with images of these sides, in pixels, all of which must be held. The model is
    built for each, one at a time, since position codes and windows are of one size. Raises UsageError where the weights
    do not fit the configuration or were made for other labels, and for a side that is not possible.
    """
    weights = find_weights(checkpoint)
    at = [_at(config, side) for side in _each(sides)]
    models = (configured_model(each, weights, records.names) for each in at)
    return _mean_of([evaluate_model(*model, records, process, flip) for model in models])


def _each(sides: Sequence[int]) -> Sequence[int | None]:
    """The sides, or None alone, which stands for the configuration's or the card's own."""
    return [*sides] or [None]


def _mean_of(results: list[EvaluationResult]) -> EvaluationResult:
    """The mean scores of one or more results on the same images."""
    if len(results) == 1:
        return results[0]
    scores = np.mean([result.scores for result in results], axis=0, dtype=np.float64)
    return EvaluationResult(scores.astype(results[0].scores.dtype), results[0].labels, results[0].names)


def load_for_model(path: str | Path, overrides: Sequence[str], checkpoint: Path) -> Config:
    """Load a configuration to evaluate the weights of a checkpoint with.

    A file without a section `model` gets the model of the card beside the weights, and its image size; one that names
    neither mean nor deviation gets those of the card. What the overrides say goes before the card. checkpoint: see
    find_weights. Raises UsageError as load_config does.
    """
    values = read_yaml(Path(path))
    if "model" in values:  # what is wrong there is said before what is wrong with the weights
        config = parse_config(deepcopy(values), overrides, source=str(path))
        if config.data.names_normalisation:
            return config
    data, weights = values.setdefault("data", {}), find_weights(checkpoint)
    if isinstance(data, dict) and card_file(weights).exists():
        card = load_card(weights)
        own = card.preprocessing
        if "model" in values:
            own = {name: own[name] for name in ("mean", "std") if name in own}
        else:
            values["model"] = dict(card.config.get("model") or _settings_of(card.model))
        values["data"] = {**own, **data}
    return parse_config(values, overrides, source=str(path))


def _settings_of(arguments: dict[str, Any]) -> dict[str, Any]:
    """The section `model` for what `build_model` was called with."""
    known = ModelConfig.model_fields
    own = {name: value for name, value in arguments.items() if name in known}
    others = {name: value for name, value in arguments.items() if name not in {*known, *NOT_THE_MODELS}}
    return own | ({"head_options": others} if others else {})


def own_labels(weights: Path) -> list[str] | None:
    """The label names on the card beside a weight file; None where there is no card."""
    return load_card(weights).labels if card_file(weights).exists() else None


def configured_model(config: Config, weights: Path, names: list[str]) -> tuple[nn.Module, Config]:
    """The configured model with these weights, and the configuration; UsageError if they are of other labels."""
    own = own_labels(weights)
    if own not in (None, names):
        raise UsageError(other_labels(weights, own or [], names))
    model = make_model(config.without_initial_weights(), len(names))
    stored = read_weights(weights)
    try:
        fill(model, stored, weights)
    except UsageError as error:
        other = _differences(config, weights)
        if not other:
            raise
        takes = "a configuration without the section model takes the card's"
        raise UsageError(f"{weights} does not fit the model: {other}; {takes}") from error
    return model, config


def _differences(config: Config, weights: Path) -> str:
    """What the card beside the weights says otherwise of the model than the configuration; nothing without a card."""
    if not card_file(weights).exists():
        return ""
    held, here = load_card(weights).model, config.model.model_dump()
    other = [name for name in held if name in here and held[name] != here[name]]
    return ", ".join(f"model.{name} is {held[name]} on its card and {here[name]} here" for name in other)


def other_input(config: Config, weights: Path) -> str:
    """A sentence on what the model at `weights` was trained on and the configuration has otherwise; "" for nothing."""
    if not card_file(weights).exists():
        return ""
    held, here = load_card(weights).preprocessing, config.data.model_dump(mode="json")
    other = [f"data.{name} {held[name]}, here it is {here[name]}" for name in held if held[name] != here.get(name)]
    return f"{weights}: trained with {'; '.join(other)}" if other else ""


def evaluate_stored(
    config: Config,
    process: Process,
    weights: Path,
    records: LabelledImages,
    flip: bool = False,
    sides: Sequence[int] = (),
) -> EvaluationResult:
    """As `evaluate_weights`, but the weights' card overrides the configuration's model and input; a collective."""
    models = (stored_model(config, weights, records.names, side) for side in _each(sides))
    return _mean_of([evaluate_model(*model, records, process, flip) for model in models])


def stored_model(config: Config, weights: Path, names: list[str], side: int | None = None) -> tuple[nn.Module, Config]:
    """As `configured_model`, but the weights' card overrides the configuration's model and input.

    side: of the images in pixels, instead of the card's.
    """
    if own_labels(weights) != names:
        return configured_model(_at(config, side), weights, names)
    config = _at(config, side)  # before the model, which another side may not fit
    model, card = load_trained(weights, side)
    update = card.preprocessing if side is None else {**card.preprocessing, "image_size": side}
    return model, config.model_copy(update={"data": config.data.model_copy(update=update)})


def _at(config: Config, side: int | None) -> Config:
    """The configuration for images of this side, None for its own; UsageError for a side that is not possible."""
    return config if side is None else parse_config(config.model_dump(mode="json"), [f"data.image_size={side}"])


def evaluate_model(
    model: nn.Module, config: Config, records: LabelledImages, process: Process, flip: bool = False
) -> EvaluationResult:
    """Evaluate a model on the images, with `flip` as in Predictor; every rank gets the whole result; a collective."""
    set_arithmetic(config.engine)
    keep_freed_memory()
    predictor = Predictor(process, model.to(process.device), config.engine.precision, flip)
    loader = evaluation_loader(config, records, process)
    return evaluate_loader(predictor, loader, records.names, "evaluating", not process.is_main)


def other_labels(weights: Path, own: Sequence[str], there: Sequence[str]) -> str:
    """What to say of weights that were made for other labels than the images have, or for the same in another order."""
    lacking = [repr(name) for name in there if name not in own][:1]
    lacks = f", {lacking[0]} not among them" if lacking else ""
    return f"{weights}: made for the labels {_shown(own)}{lacks}; the images have {_shown(there)}"


def _shown(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" … ({len(names)} in all)" if len(names) > 5 else "")
