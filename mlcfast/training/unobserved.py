"""What training makes of the labels it is not shown (arXiv 2106.09708): their probabilities and estimates."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mlcfast.data import LabelledImages
from mlcfast.engine import all_reduce_sum
from mlcfast.engine.training_module import TrainingModule
from mlcfast.files import write_bytes

BINS = 50
FILE = "unobserved.npz"
ESTIMATES = "estimates.npz"


class LabelWatch:
    """Called with every training batch; once an epoch its counts go to DIRECTORY/unobserved.npz.

    counts (E, BINS) int64: positives not observed, by the probability the model gave them when it trained on their
    image in that epoch (in an epoch that was resumed, since then); expected, estimated (E,): mean over images of the
    sum of the model's probabilities and of the label estimates (NaN without); true: mean number of positives.

    hidden: (M, K) bool, the positives that are not observed, of the training images `records`.
    """

    def __init__(self, objective: TrainingModule, records: LabelledImages, hidden: np.ndarray, directory: Path):
        self.objective, self.records, self.directory = objective, records, directory
        self.true = float((hidden | (records.labels == 1)).sum(axis=1).mean())
        self.hidden = torch.from_numpy(hidden)
        self.counts, self.sums = torch.zeros(BINS, dtype=torch.int64), torch.zeros(2, dtype=torch.float64)
        objective.watch = self.see

    @torch.no_grad()
    def see(self, logits: Tensor, index: Tensor) -> None:
        """logits: (B, K); index: (B,). Nothing here waits for the device."""
        if self.counts.device != logits.device:
            self.hidden, self.counts = self.hidden.to(logits.device), self.counts.to(logits.device)
            self.sums = self.sums.to(logits.device)
        probabilities = torch.sigmoid(logits.float())
        bins = (probabilities * BINS).long().clamp_(0, BINS - 1)
        self.counts.index_add_(0, bins.flatten(), self.hidden[index].flatten().long())
        self.sums[0] += probabilities.sum()
        self.sums[1] += len(index)

    def end_epoch(self, epoch: int, is_main: bool) -> dict[str, float]:
        """Add the epoch to the file and begin the next; a collective. Returns what belongs in the epoch's summary."""
        counts, sums = all_reduce_sum(self.counts).cpu().numpy(), all_reduce_sum(self.sums).tolist()
        self.counts.zero_()
        self.sums.zero_()
        estimator = self.objective.estimator
        estimated = float("nan") if estimator is None else float(_expected_positives(estimator.table.detach()))
        expected = sums[0] / max(sums[1], 1)
        if is_main:
            self._append(epoch, counts, expected, estimated)
        values = {"expected_positives": expected}
        if estimator is not None:
            values["estimated_positives"] = estimated
        return {name: round(value, 4) for name, value in values.items()}

    def _append(self, epoch: int, counts: np.ndarray, expected: float, estimated: float) -> None:
        """Epochs from this one on, if the file has them, are of a course that was gone back from."""
        file = self.directory / FILE
        held = read_watched(file) if file.exists() else {"epochs": np.zeros(0, int)}
        kept = held["epochs"] < epoch
        rows = {"epochs": epoch, "counts": counts, "expected": expected, "estimated": estimated}
        whole = {
            name: np.concatenate([held[name][kept], np.asarray(row)[None]]) if kept.any() else np.asarray(row)[None]
            for name, row in rows.items()
        }
        _write(file, **whole, true=self.true)

    def keep(self, weights: dict[str, Tensor]) -> None:
        """Write best/estimates.npz, if there are label estimates among the weights.

        logits (M, K) float32, whose sigmoid is the estimate; observed (M, K) int8; ids (M,) and names (K,).
        """
        if "estimator.table" in weights:
            records = self.records
            _write(
                self.directory / "best" / ESTIMATES,
                logits=weights["estimator.table"].float().numpy(),
                observed=records.labels,
                ids=np.array(records.image_ids),
                names=np.array(records.names),
            )


def read_watched(file: Path) -> dict[str, np.ndarray]:
    """The arrays of an unobserved.npz."""
    with np.load(file) as arrays:
        return dict(arrays)


def _expected_positives(table: Tensor) -> Tensor:
    """Mean over the rows of the sum of their probabilities, without a second table in memory."""
    return sum(torch.sigmoid(rows.float()).sum(dtype=torch.float64) for rows in table.split(8192)) / len(table)


def _write(file: Path, **arrays: Any) -> None:
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)
    write_bytes(file, content.getvalue())
