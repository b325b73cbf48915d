"""Batches of stored features, each gathered with one index_select: no worker, no sample handled by itself."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from mlcfast.data.features import LabelledFeatures
from mlcfast.data.label_rows import LabelRows
from mlcfast.data.samplers import EvalSampler, TrainSampler


class FeatureLoader:
    """Yields (features (m, D) float32, labels (m, K) int8, index (m,) int64) in the sampler's order.

    device: where the batches are gathered. On a GPU with room for all of the features beside as much again they are
    copied there once, and an epoch needs nothing of the host but its order; else they are read through the memory map.
    """

    def __init__(self, dataset: LabelledFeatures, batch_sampler: TrainSampler | EvalSampler, device: torch.device):
        self.dataset, self.batch_sampler = dataset, batch_sampler
        self.features, self.rows = torch.from_numpy(dataset.features), torch.from_numpy(dataset.rows)
        self.labels = LabelRows(dataset.labels)
        if device.type == "cuda" and self._bytes() < torch.cuda.mem_get_info(device)[0] // 2:
            self.features = self.features.index_select(0, self.rows).to(device)
            self.rows = torch.arange(len(dataset), device=device)
            self.labels.to(device)

    def _bytes(self) -> int:
        return len(self.rows) * self.features.shape[1] * self.features.element_size()

    def __len__(self) -> int:
        """This rank's micro-batches in a whole epoch."""
        return len(self.batch_sampler)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """The batches from the sampler's position to the end of the epoch."""
        batches = self.batch_sampler.batches()
        if not batches:
            return
        order = torch.from_numpy(np.concatenate(batches)).to(self.rows.device)
        for index, batch in zip(order.split([len(batch) for batch in batches]), batches, strict=True):
            features = self.features.index_select(0, self.rows.index_select(0, index))
            yield features.float(), self.labels(index, batch), index
