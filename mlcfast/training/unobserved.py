"""Tracks, in single-positive training, what the model predicts for the positives hidden from it (arXiv 2106.09708)."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mlcfast.data import LabelledImages
from mlcfast.data.label_rows import LabelRows
from mlcfast.data.labels import Labels, count, whole
from mlcfast.engine import all_reduce_sum
from mlcfast.engine.training_module import TrainingModule
from mlcfast.runs.directory import packed, write_arrays

BINS = 50


class UnobservedPositives:
    """Updated with every training batch; once an epoch its counts go to a run's unobserved.npz.

    counts (E, BINS) int64: positives not observed, by the probability the model gave them when it trained on their
    image in that epoch (in an epoch that was resumed, since then); expected, estimated (E,): mean over images of the
    sum of the model's probabilities and of the label estimates (NaN without); true: mean number of positives.

    hidden: (M, K), true for the positives that are not observed, of the training images `records`. file:
    unobserved.npz, on the main process only.
    """

    def __init__(self, training_module: TrainingModule, records: LabelledImages, hidden: Labels, file: Path | None):
        self.training_module, self.records, self.file = training_module, records, file
        self.true = float((count(hidden, 1, axis=1) + count(records.labels, 1, axis=1)).mean())
        self.hidden = LabelRows(hidden)
        self.counts, self.sums = torch.zeros(BINS, dtype=torch.int64), torch.zeros(2, dtype=torch.float64)
        training_module.on_logits = self.update

    @torch.no_grad()
    def update(self, logits: Tensor, index: Tensor) -> None:
        """logits: (B, K); index: (B,). Nothing here waits for the device, but for sparse labels."""
        if self.counts.device != logits.device:
            self.hidden.to(logits.device)
            self.counts, self.sums = self.counts.to(logits.device), self.sums.to(logits.device)
        probabilities = torch.sigmoid(logits.float())
        bins = (probabilities * BINS).long().clamp_(0, BINS - 1)
        self.counts.index_add_(0, bins.flatten(), self.hidden(index).flatten().long())
        self.sums[0] += probabilities.sum()
        self.sums[1] += len(index)

    def columns(self, epoch: int) -> dict[str, float]:
        """Add the epoch to the file and begin the next; a collective. Returns what belongs in the epoch's summary."""
        counts, sums = all_reduce_sum(self.counts).cpu().numpy(), all_reduce_sum(self.sums).tolist()
        self.counts.zero_()
        self.sums.zero_()
        estimator = self.training_module.estimator
        estimated = float("nan") if estimator is None else float(_expected_positives(estimator.table.detach()))
        expected = sums[0] / max(sums[1], 1)
        if self.file is not None:
            self._append(self.file, epoch, counts, expected, estimated)
        values = {"expected_positives": expected}
        if estimator is not None:
            values["estimated_positives"] = estimated
        return {name: round(value, 4) for name, value in values.items()}

    def _append(self, file: Path, epoch: int, counts: np.ndarray, expected: float, estimated: float) -> None:
        rows = {"epochs": epoch, "counts": counts, "expected": expected, "estimated": estimated}
        arrays = {name: np.asarray(row)[None] for name, row in rows.items()}
        if file.exists():
            held = read_unobserved(file)
            arrays = {name: np.concatenate([held[name], row]) for name, row in arrays.items()}
        write_arrays(file, **arrays, true=self.true)

    def beside_best(self, weights: dict[str, Tensor]) -> dict[str, bytes]:
        """estimates.npz, if there are label estimates among the weights.

        logits (M, K) float32, whose sigmoid is the estimate; observed (M, K) int8; ids (M,) and names (K,).
        """
        if "estimator.table" not in weights:
            return {}
        logits, records = weights["estimator.table"].float().numpy(), self.records
        ids, names = np.array(records.image_ids), np.array(records.names)
        return {"estimates.npz": packed(logits=logits, observed=whole(records.labels), ids=ids, names=names)}

    def end_epoch(self, epoch: int, epochs: int) -> None:
        """Nothing more to do."""


def read_unobserved(file: Path) -> dict[str, np.ndarray]:
    """The arrays of an unobserved.npz."""
    with np.load(file) as arrays:
        return dict(arrays)


def _expected_positives(table: Tensor) -> Tensor:
    """Mean over the rows of the sum of their probabilities, without a second table in memory."""
    total = torch.zeros((), dtype=torch.float64, device=table.device)
    for rows in table.split(8192):
        total += torch.sigmoid(rows.float()).sum(dtype=torch.float64)
    return total / len(table)
