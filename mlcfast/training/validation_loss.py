"""Computes the configured loss on validation images; where it parts from the training loss, the model overfits."""

import numpy as np
import torch

from mlcfast.evaluation.gather import EvaluationResult
from mlcfast.losses.base import LabelLoss

ENTRIES_AT_ONCE = 2**22  # images × labels
# What a loss may need and still be a function of logits and labels alone.
OF_EACH_ENTRY = frozenset({"label_counts"})


def mean_loss(loss: torch.nn.Module, result: EvaluationResult) -> float | None:
    """The loss of all images, as the mean over parts of them weighted by their size.

    None for a loss that needs more than logits and labels, such as label estimates or the whole batch, which has no
    value on images that are not trained on, for one that is no mean, and where not all scores are held.
    """
    if (
        result.rows is not None
        or not isinstance(loss, LabelLoss)
        or loss.needs - OF_EACH_ENTRY
        or not len(result.scores)
    ):
        return None
    if getattr(loss, "reduction", "mean") != "mean":
        return None
    device = next((tensor.device for tensor in loss.buffers()), torch.device("cpu"))
    rows = max(1, ENTRIES_AT_ONCE // result.scores.shape[1])
    total = 0.0
    with torch.no_grad():
        for first in range(0, len(result.scores), rows):
            scores = torch.from_numpy(np.ascontiguousarray(result.scores[first : first + rows])).to(device)
            labels = torch.from_numpy(np.ascontiguousarray(result.labels[first : first + rows])).to(device)
            total += float(loss(torch.logit(scores.float(), eps=1e-7), labels)) * len(scores)
    return total / len(result.scores)
