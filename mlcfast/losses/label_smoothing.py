"""Label smoothing, one meaning for every loss that takes it: a known label is taken for its opposite by half the share.

A share s makes of the labels 1 and 0 the soft ones 1 − s/2 and s/2, y (1 − s) + s/2 as in Keras and timm, and of an
entry (1 − s/2) L(x, z) + s/2 L(x, opposite of z). A loss that tells unknown labels from negative ones leaves the
unknown as they are; one that takes them for negatives smooths them as such.
"""

import torch
from torch import Tensor

from mlcfast.ops.checks import as_number

# The losses by name that cannot take it, and why.
WITHOUT = {
    "epr": "it sees observed positives and their expected number, and has no term of an opposite label",
    "role": "its estimates of the labels are soft already",
    "pr": "it ranks the positives of an image above its other labels, and a label is of one side or the other",
    "zlpr": "it sums over the positives of an image and over its other labels, and a label is in one sum or the other",
    "two_way": "it sums over positives and over other labels, and a label is in one sum or the other",
    "db": "it weighs an entry by the labels that its image has, of which there is no share",
}


def checked_smoothing(value: object) -> float:
    """`value` as a float; ValueError unless it is a number in [0, 1)."""
    smoothing = as_number(value, "label_smoothing")
    if not 0 <= smoothing < 1:
        raise ValueError(f"label_smoothing must be at least 0 and below 1, not {value!r}")
    return smoothing


def soft(labels: Tensor, smoothing: float, logits: Tensor) -> Tensor:
    """y (1 − s) + s/2 of labels (B, K) in fp32 (fp64 beside fp64 logits or of fp64 labels); −1 counts as 0."""
    dtype = torch.float64 if torch.float64 in (labels.dtype, logits.dtype) else torch.float32
    return labels.to(dtype).clamp(min=0) * (1 - smoothing) + smoothing / 2


def opposite(labels: Tensor) -> Tensor:
    """1 for −1 and the other way round, (B, K), floating; unknown and soft labels as they are."""
    labels = labels if labels.is_floating_point() else labels.to(torch.float32)
    return torch.where(labels.abs() == 1, -labels, labels)


def opposite_of_all(labels: Tensor) -> Tensor:
    """0 for positives and 1 for all other labels, (B, K) bool."""
    return labels <= 0


def mixed(loss: Tensor, of_opposite: Tensor, smoothing: float) -> Tensor:
    """(1 − s/2) loss + s/2 of_opposite, of the same shape."""
    return (1 - smoothing / 2) * loss + (smoothing / 2) * of_opposite
