"""A model and the precision it computes in: all that evaluation and prediction need of an engine."""

import torch
from torch import Tensor, nn

from mlcfast.engine.distributed import Process
from mlcfast.models.heads import LinearClassifier

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class Predictor:
    """Probabilities from a model with fp32 weights, under autocast for bf16 and fp16."""

    def __init__(self, process: Process, model: nn.Module, precision: str):
        self.process, self.model, self.precision = process, model, precision

    @property
    def autocast(self) -> torch.autocast:
        """A fresh one for every use, because it holds what it restores and several threads may predict."""
        return torch.autocast(self.process.device.type, DTYPES[self.precision], enabled=self.precision != "fp32")

    @torch.no_grad()
    def features(self, images: Tensor) -> Tensor:
        """images (B, 3, S, S) on any device -> a linear model's pooled features (B, D), fp32."""
        assert isinstance(self.model, LinearClassifier), "other heads pool no features"
        self.model.eval()
        with self.autocast:
            return self.model.features(self.process.place(images))

    @torch.no_grad()
    def predict(self, images: Tensor) -> Tensor:
        """images (B, …) on any device -> probabilities (B, K), fp32; the model is left in evaluation mode."""
        self.model.eval()
        with self.autocast:
            logits = self.model(self.process.place(images))
        return torch.sigmoid(logits.float())

    @torch.no_grad()
    def attend(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """As `predict`, and the last decoder layer's head-averaged attention (B, K, H, W), fp32; each map sums to 1.

        The model is a Query2Label.
        """
        self.model.eval()
        with self.autocast:
            logits, weights = self.model(self.process.place(images), need_weights=True)
        return torch.sigmoid(logits.float()), weights.float().unflatten(2, self.model.grid)
