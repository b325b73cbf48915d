"""Runs a model over a loader and gathers scores and labels of all ranks in data-set order."""

from typing import Protocol

import numpy as np
from torch import Tensor
from torch.utils.data import DataLoader
from tqdm import tqdm

from mlcfast.data import FeatureLoader
from mlcfast.engine import all_gather_objects


class Predicts(Protocol):
    """An engine or a Predictor."""

    def predict(self, images: Tensor) -> Tensor:
        """Probabilities (B, K)."""


def gather_predictions(
    predictor: Predicts, loader: DataLoader | FeatureLoader, description: str, quiet: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities and labels (M, K) of every sample once, in the data set's order, on every rank."""
    scores, labels, indices = [], [], []
    for images, targets, index in tqdm(loader, desc=description, leave=False, disable=True if quiet else None):
        scores.append(predictor.predict(images).cpu().numpy())
        labels.append(targets.cpu().numpy())
        indices.append(index.cpu().numpy())
    parts = all_gather_objects([np.concatenate(part) if part else None for part in (scores, labels, indices)])
    whole = [np.concatenate([part[i] for part in parts if part[i] is not None]) for i in range(3)]
    order = np.argsort(whole[2], kind="stable")
    return whole[0][order], whole[1][order]
