"""How every loss of the family reduces its (B, K) terms."""

from torch import Tensor

Weights = tuple[Tensor, Tensor]  # of positives and of other entries, (K,) each


def reduce(loss: Tensor, reduction: str) -> Tensor:
    """none: as it is; sum: a scalar; mean: the sum over the number of entries, 0 for an empty batch."""
    if reduction == "none":
        return loss
    return loss.sum() if reduction == "sum" else loss.sum() / max(loss.numel(), 1)


def weigh(loss: Tensor, labels: Tensor, weights: Weights | None) -> Tensor:
    """Entries (…, K) times their weights, None for 1; a soft positive label lies between the two."""
    if weights is None:
        return loss
    positive, other = weights
    return loss * (other + labels.to(loss.dtype).clamp(min=0) * (positive - other))


def upcast(x: Tensor) -> Tensor:
    """The arithmetic's precision: fp64 stays, anything else is fp32."""
    return x if x.element_size() == 8 else x.float()
