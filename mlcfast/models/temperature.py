"""Divides a model's logits by a temperature, so that its scores are probabilities: in the weights, for every reader."""

import math
from dataclasses import replace

import torch
from torch import nn

from mlcfast.errors import UsageError
from mlcfast.models.build import HEADS
from mlcfast.models.card import ModelCard
from mlcfast.models.heads import FeatureClassifier


@torch.no_grad()
def temper(model: nn.Module, card: ModelCard, temperature: float) -> ModelCard:
    """Divide the logits (B, K) of a built model by `temperature`, in place; the card with thresholds that follow.

    The last layers of our heads are linear ones, and cam's boost keeps factors: weights and biases are divided. A
    threshold t becomes σ(logit(t) / T), so that the same labels are found. UsageError for a temperature that is not
    above 0 or not finite, and for a head of somebody's own, whose last layer is not known.
    """
    if not (math.isfinite(temperature) and temperature > 0):
        raise UsageError(f"a temperature must be above 0 and finite, not {temperature:g}")
    if type(model) not in (*HEADS.values(), FeatureClassifier):
        raise UsageError(
            f"the last layer of head {card.model['head']} is not known: divide its logits where they are used"
        )
    for name, parameter in model.named_parameters():
        if name.startswith(("fc.", "auxiliary.fc.")):  # the second beside a decoder: the mean of both logits counts
            parameter.div_(temperature)
    thresholds = [_moved(threshold, temperature) for threshold in card.thresholds]
    return replace(card, thresholds=thresholds, calibration={})


def fitted(card: ModelCard) -> float:
    """The temperature of the least cross-entropy on the model's validation images; UsageError where none is stored."""
    if "temperature" not in card.calibration:
        raise UsageError("the model's card holds no temperature: take the one that `evaluate --split val` names")
    return card.calibration["temperature"]


def _moved(threshold: float, temperature: float) -> float:
    """σ(logit(t) / T); 0 and 1, which everything or nothing is above, stay."""
    if not 0 < threshold < 1:
        return threshold
    logit = math.log(threshold / (1 - threshold)) / temperature
    small = math.exp(-abs(logit))  # never e to a large number, which overflows
    return (1 if logit > 0 else small) / (1 + small)
