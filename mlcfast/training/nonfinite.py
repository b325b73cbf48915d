"""Records the batches whose loss was not finite, so that one can look at their images."""

import json
import logging
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from mlcfast.engine import Process, all_gather_objects

LOGGER = logging.getLogger("mlcfast")


def record_non_finite(
    path: Path, process: Process, last_step: int, accumulation: int, losses: Sequence[Tensor], indices: Sequence[Tensor]
) -> None:
    """Append a JSON line to `path` for each micro-batch of any rank whose loss is not finite; a collective.

    losses: 0-d, those of the micro-batches up to optimizer step `last_step`, `accumulation` a step; indices: of their
    images, each (m,) int64, counted from 0 in the order of the training images. A line holds step, rank, loss as text
    and indices. A disk that takes no line costs a warning.
    """
    values = torch.stack(list(losses)).float().tolist()
    first_step = last_step - len(values) // accumulation + 1
    mine = [
        {
            "step": first_step + number // accumulation,
            "rank": process.rank,
            "loss": str(values[number]),
            "indices": indices[number].tolist(),
        }
        for number in torch.nonzero(~torch.isfinite(torch.tensor(values))).flatten().tolist()
    ]
    lines = [line for rank in all_gather_objects(mine) for line in rank]
    if not process.is_main or not lines:
        return
    LOGGER.warning("the loss was not finite, first in step %d: %s lists the images", lines[0]["step"], path)
    try:
        with path.open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(line) + "\n" for line in lines)
    except OSError as error:
        LOGGER.warning("%s: cannot be written: %s", path, error.strerror)
