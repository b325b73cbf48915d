"""Updates a run's pseudo-labels: EM + APL makes soft ones after an epoch; they are stored beside the best weights."""

import logging
from typing import cast

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from mlcfast.data import FeatureLoader, LabelledImages
from mlcfast.data.labels import whole
from mlcfast.engine import Engine
from mlcfast.evaluation.gather import evaluate_loader
from mlcfast.losses import LabelLoss
from mlcfast.losses.pseudo_labels import ONE
from mlcfast.runs.directory import packed

LOGGER = logging.getLogger("mlcfast")
NAME = "pseudo_labels.labels"  # in the training module


class PseudoLabelling:
    """Follows training: makes pseudo-labels at the end of an epoch and stores them with the best weights.

    loader: the training images `records` in evaluation mode, each on one rank.
    """

    def __init__(self, engine: Engine, records: LabelledImages, loader: DataLoader | FeatureLoader) -> None:
        self.engine, self.records, self.loader = engine, records, loader

    def columns(self, epoch: int) -> dict[str, float]:
        """Nothing for summary.csv."""
        return {}

    def end_epoch(self, epoch: int, epochs: int) -> None:
        """Make soft negatives by the raw weights' scores of the training images, if the loss says so; a collective."""
        module = self.engine.training_module
        share = cast(LabelLoss, module.loss).soft_share(epoch, epochs)
        if not share or module.pseudo_labels is None:
            return
        quiet = not self.engine.process.is_main
        names, entries = self.records.names, module.pseudo_labels.labels.numel()  # a table of this size is held already
        found = evaluate_loader(self.engine, self.loader, names, "scoring unknown labels", quiet, most_held=entries)
        made = module.pseudo_labels.make_soft_negative(torch.from_numpy(found.scores), share)
        LOGGER.info("epoch %d: %d unknown labels became soft negatives", epoch + 1, made)

    def beside_best(self, weights: dict[str, Tensor]) -> dict[str, bytes]:
        """pseudo_labels.npz.

        labels (M, K) float32, as the loss saw them at the end of the best epoch; observed (M, K) int8; ids (M,) and
        names (K,).
        """
        labels, records = weights[NAME].numpy().astype(np.float32) / ONE, self.records
        ids, names = np.array(records.image_ids), np.array(records.names)
        return {"pseudo_labels.npz": packed(labels=labels, observed=whole(records.labels), ids=ids, names=names)}
