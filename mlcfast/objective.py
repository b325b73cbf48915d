"""What an engine wraps and differentiates: the model, its loss and, for ROLE, the label estimator."""

from torch import Tensor, nn


class Objective(nn.Module):
    """images (B, …), labels (B, K), index (B,) -> scalar loss; the gradient reaches model and estimator."""

    def __init__(self, model: nn.Module, loss: nn.Module, estimator: nn.Module | None = None):
        super().__init__()
        self.model, self.loss, self.estimator = model, loss, estimator

    def forward(self, images: Tensor, labels: Tensor, index: Tensor) -> Tensor:
        """The loss of one micro-batch; `index` selects the estimator's rows.

        Their gradient is dense: the published optimizer is Adam over the whole table, which also moves rows that the
        batch does not touch, and DDP and ZeRO-2 exchange dense gradients only.
        """
        logits = self.model(images)
        if self.estimator is None:
            return self.loss(logits, labels)
        return self.loss(logits, labels, estimate_logits=self.estimator.table[index])
