"""A model and the precision it computes in: all that evaluation and prediction need of an engine."""

import warnings

import torch
from torch import Tensor, nn

from mlcfast.config import EngineConfig
from mlcfast.engine.distributed import Process
from mlcfast.models.heads import LinearClassifier

FLIP = "the mean of the scores of each image and of its mirror image; not where a label says left or right"
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def set_arithmetic(settings: EngineConfig) -> None:
    """Apply `engine.tf32` and `engine.time_convolutions` to this process; without a GPU nothing uses them.

    torch by itself lets cuDNN's convolutions round what they multiply to TF32, of 10 bits after the point, and cuBLAS's
    matrix products not, so that a model in fp32 is neither exact nor fast: here both do as `engine.tf32` says.
    Where convolutions are timed, the first call at each shape tries cuDNN's algorithms and the fastest stays. Shapes
    are fixed but for the last batch of an evaluation; which is the fastest, and with it a result's last bits, may
    differ from run to run.
    """
    with warnings.catch_warnings():  # the newer names cannot be read by what asks for the older ones, such as compile
        warnings.filterwarnings("ignore", "Please use the new API settings to control TF32", UserWarning)
        torch.set_float32_matmul_precision("high" if settings.tf32 else "highest")
        torch.backends.cudnn.allow_tf32 = settings.tf32
    torch.backends.cudnn.benchmark = settings.time_convolutions


class Predictor:
    """Probabilities from a model with fp32 weights, under autocast for bf16 and fp16.

    flip: `predict` gives the mean of what the model says of an image and of its mirror image.
    """

    def __init__(self, process: Process, model: nn.Module, precision: str, flip: bool = False):
        self.process, self.model, self.precision, self.flip = process, model, precision, flip

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
        images = self.process.place(images)
        scores = self._scores(images)
        return (scores + self._scores(images.flip(-1))) / 2 if self.flip else scores

    def _scores(self, images: Tensor) -> Tensor:
        with self.autocast:
            logits = self.model(images)
        return torch.sigmoid(logits.float())

    @torch.no_grad()
    def attend(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """As `predict`, and the last decoder layer's head-averaged attention (B, K, H, W), fp32; each map sums to 1.

        The model is a head that attends (see `Head`).
        """
        self.model.eval()
        with self.autocast:
            logits, weights = self.model(self.process.place(images), need_weights=True)
        return torch.sigmoid(logits.float()), weights.float().unflatten(2, self.model.grid)
