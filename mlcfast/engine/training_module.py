"""The module an engine trains: the model, its loss, and what the loss keeps of every training image."""

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn

from mlcfast.config import Config
from mlcfast.data import feature_width
from mlcfast.losses import LabelEstimator, PseudoLabels, TableRows
from mlcfast.losses.base import LabelLoss
from mlcfast.models import build_model


class TrainingModule(nn.Module):
    """images (B, …), labels (B, K), index (B,) -> scalar loss; the gradient reaches model and estimator.

    Where a model in training gives several sets of logits, one behind the other (n·B, K), the mean of their losses.
    Images that a mix has added to the batch stand behind the others and have no index. on_logits: called with the
    detached logits (B, K) and the index of every batch that trains. true_labels: (N, K) of all training images, for a
    loss that knows more than it is shown. pseudo_labels: of all training images, for a loss that changes labels; they
    stand in for those of the batch.
    """

    on_logits: Callable[[Tensor, Tensor], None] | None = None
    statistic: Tensor | None = None  # of the global batch, for a loss that couples its images: see coupling.py

    def __init__(
        self,
        model: nn.Module,
        loss: nn.Module,
        estimator: LabelEstimator | None = None,
        true_labels: Tensor | None = None,
        pseudo_labels: PseudoLabels | None = None,
    ):
        super().__init__()
        self.true_labels: Tensor | None
        self.model, self.loss, self.estimator, self.pseudo_labels = model, loss, estimator, pseudo_labels
        self.register_buffer("true_labels", true_labels, persistent=False)

    @property
    def needs(self) -> frozenset[str]:
        """What the loss declares that it needs; nothing for a module that is none of ours."""
        return self.loss.needs if isinstance(self.loss, LabelLoss) else frozenset()

    def begin_epoch(self, epoch: int, epochs: int) -> None:
        """Tell a loss that follows the epoch that epoch `epoch`, from 0, of `epochs` begins."""
        if isinstance(self.loss, LabelLoss):
            self.loss.begin_epoch(epoch, epochs)

    def forward(self, images: Tensor, labels: Tensor, index: Tensor) -> Tensor:
        """The loss of one micro-batch; `index` selects the estimator's rows.

        Their gradient is as the estimator says: sparse for TableAdam, or dense for an optimizer over the whole table
        and for engines that exchange dense gradients only. Both give the published optimizer's result, Adam over the
        whole table, which also moves rows that the batch does not touch.
        """
        logits = self.model(images)
        sets = getattr(self.model, "sets_of_logits", 1)
        if self.on_logits is not None and self.training:
            own = logits.detach() if sets == 1 else logits.detach().unflatten(0, (sets, -1)).mean(0)
            self.on_logits(own[: len(index)], index)
        if sets == 1:
            return self._loss_of(logits, labels, index)
        return torch.stack([self._loss_of(each, labels, index) for each in logits.chunk(sets)]).mean()

    def _loss_of(self, logits: Tensor, labels: Tensor, index: Tensor) -> Tensor:
        told: dict[str, Any] = {}
        if self.statistic is not None and self.training:
            told["statistic"] = self.statistic
        if self.pseudo_labels is not None:
            return self._with_pseudo_labels(self.pseudo_labels, logits, index, told)
        if self.true_labels is not None:
            return self.loss(logits, labels, true_labels=self.true_labels[index])
        if self.estimator is not None:
            told["estimate_logits"] = self._estimates(self.estimator, index)
        return self.loss(logits, labels, **told)

    @property
    def couples_images(self) -> bool:
        """Whether the loss of an image depends on the others of its global batch, and can be told of them."""
        return bool(self.needs & {"batch_statistic", "batch_parts"}) and hasattr(self.loss, "combined")

    def part_of_statistic(self, logits: Tensor, labels: Tensor, index: Tensor) -> Tensor:
        """What a loss that couples images must know of one micro-batch, detached."""
        loss = cast(Any, self.loss)
        if self.pseudo_labels is not None:
            labels = self.pseudo_labels(index)
        if "batch_parts" in self.needs:
            return loss.batch_statistic(logits, labels)
        return loss.batch_statistic(logits, None if self.estimator is None else self._estimates(self.estimator, index))

    @staticmethod
    def _estimates(estimator: LabelEstimator, index: Tensor) -> Tensor | TableRows:
        return estimator.rows(index) if estimator.sparse else estimator.table[index]

    def _with_pseudo_labels(self, labels: PseudoLabels, logits: Tensor, index: Tensor, told: dict[str, Any]) -> Tensor:
        """The loss with the labels as they are now, which it may change for the batches to come."""
        loss = self.loss(logits, labels(index), **told)
        chosen = cast(LabelLoss, self.loss).new_positives()
        if chosen is not None and self.training:
            labels.make_positive(index, chosen)
        return loss


def model_arguments(config: Config, num_labels: int) -> dict[str, Any]:
    """The keyword arguments of `build_model` for this configuration."""
    settings, data = config.model, config.data
    width = {"in_features": feature_width(data.root, data.train)} if data.format == "features" else {}
    return {
        "head": settings.head,
        "backbone": settings.backbone,
        "num_labels": num_labels,
        "image_size": config.data.image_size,
        "backbone_options": settings.backbone_options,
        **settings.head_arguments,
        **width,
    }


def make_model(config: Config, num_labels: int) -> nn.Module:
    """The configured model with its initial weights."""
    return build_model(**model_arguments(config, num_labels), weights=config.model.weights, freeze=config.model.freeze)
