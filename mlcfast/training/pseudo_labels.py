"""Pseudo-labels in a run: made soft at the end of an epoch by EM + APL, kept beside the best weights."""

import io
import logging
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from mlcfast.data import FeatureLoader, LabelledImages
from mlcfast.engine import Engine
from mlcfast.evaluation.gather import gather_predictions
from mlcfast.files import write_bytes
from mlcfast.losses.pseudo_labels import ONE

LOGGER = logging.getLogger("mlcfast")
FILE = "pseudo_labels.npz"
NAME = "pseudo_labels.labels"  # in the objective


class PseudoLabelling:
    """What the pseudo-labels need at the end of an epoch and when the weights are the best so far.

    loader: the training images `records` in evaluation mode, each on one rank.
    """

    def __init__(
        self, engine: Engine, records: LabelledImages, loader: DataLoader | FeatureLoader, directory: Path
    ) -> None:
        self.engine, self.records, self.loader, self.directory = engine, records, loader, directory

    def end_epoch(self, epoch: int, epochs: int) -> None:
        """Make soft negatives by the raw weights' scores of the training images, if the loss says so; a collective."""
        objective = self.engine.objective
        share = objective.loss.soft_share(epoch, epochs)
        if not share:
            return
        quiet = not self.engine.process.is_main
        scores, _ = gather_predictions(self.engine, self.loader, "scoring unknown labels", quiet)
        made = objective.pseudo_labels.make_soft_negative(torch.from_numpy(scores), share)
        LOGGER.info("epoch %d: %d unknown labels became soft negatives", epoch + 1, made)

    def keep(self, weights: dict[str, Tensor]) -> None:
        """Write best/pseudo_labels.npz.

        labels (M, K) float32, as the loss saw them at the end of the best epoch; observed (M, K) int8; ids (M,) and
        names (K,).
        """
        content = io.BytesIO()
        np.savez_compressed(
            content,
            labels=weights[NAME].numpy().astype(np.float32) / ONE,
            observed=self.records.labels,
            ids=np.array(self.records.image_ids),
            names=np.array(self.records.names),
        )
        write_bytes(self.directory / "best" / FILE, content.getvalue())
