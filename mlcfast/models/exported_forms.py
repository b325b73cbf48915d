"""What an exported model takes and gives: normalised images for logits, or what programs that tag images expect."""

import json
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from mlcfast.models.card import ModelCard

FACTS = ("labels", "preprocessing", "thresholds", "weights", "metrics")
TOLERANCE = 1e-4  # largest difference of a logit


class Form(NamedTuple):
    """What an exported file takes and gives.

    input, output: the names of its tensors; make: what is exported, of a model and its card; draw: (batch, S,
    generator) -> random input; tolerance: how far the output may be from torch's.
    """

    input: str
    output: str
    make: Callable[[nn.Module, ModelCard], nn.Module]
    draw: Callable[[int, int, torch.Generator], Tensor]
    tolerance: float


class _Logits(nn.Module):
    """The model with its one tensor argument, as exporters want it."""

    def __init__(self, model: nn.Module, card: ModelCard):
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) -> (B, K)."""
        return self.model(images)


class _Tagger(nn.Module):
    """The model as programs that tag images call one: with pixels as OpenCV holds them, for probabilities."""

    mean: Tensor
    std: Tensor

    def __init__(self, model: nn.Module, card: ModelCard):
        super().__init__()
        self.model = model
        for name in ("mean", "std"):
            values = 255 * torch.tensor(card.preprocessing[name], dtype=torch.float32)
            self.register_buffer(name, values[:, None, None])

    def forward(self, pixels: Tensor) -> Tensor:
        """(B, S, S, 3), blue, green, red from 0 to 255 -> probabilities (B, K)."""
        images = (pixels.flip(-1).permute(0, 3, 1, 2) - self.mean) / self.std
        return self.model(images).sigmoid()


def _normalised(batch: int, side: int, generator: torch.Generator) -> Tensor:
    return torch.randn(batch, 3, side, side, generator=generator)


def _pixels(batch: int, side: int, generator: torch.Generator) -> Tensor:
    return 255 * torch.rand(batch, side, side, 3, generator=generator)


LOGITS = Form("images", "logits", _Logits, _normalised, TOLERANCE)
TAGGER = Form("input", "output", _Tagger, _pixels, TOLERANCE / 4)  # a sigmoid is nowhere steeper than 1/4


def image_side(model: nn.Module) -> int:
    """S, of the images that the model was built for."""
    side = model.image_size
    return int(side)  # type: ignore[arg-type]  # a number: torch types every attribute as Tensor | Module


def largest_difference(run: Callable[[Tensor], Tensor], model: nn.Module, side: int, form: Form = LOGITS) -> float:
    """max |output of the exported file − output of torch| over batches of one and of three random images.

    run: the file in its own runtime; model: what was exported, see Form.make.
    """
    generator = torch.Generator().manual_seed(0)
    differences = []
    for batch in (1, 3):
        images = form.draw(batch, side, generator)
        with torch.no_grad():
            differences.append((run(images) - model(images)).abs().max())
    return float(max(differences))


def facts_of(card: ModelCard) -> dict[str, str]:
    """What a program needs to know beside the file, each of FACTS as JSON."""
    return {name: json.dumps(getattr(card, name)) for name in FACTS}
