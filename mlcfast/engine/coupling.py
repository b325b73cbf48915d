"""Gives a loss that couples images the statistic of the global batch, where that comes in micro-batches.

EPR, ROLE, two_way and the large-loss methods need a statistic of all logits before the gradient of any is known. So
every micro-batch is gone through twice: without gradients first, for its part of the statistic, then as ever with that
of all micro-batches and ranks. Both passes draw the same random numbers. The plain average of the micro-batches'
gradients is then that of the one large batch (mlcfast.losses.expected_positives). A step takes about a third longer.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, cast

import torch
from torch import Tensor

from mlcfast.engine.training_module import TrainingModule
from mlcfast.engine.untouched import buffers_untouched

Batch = tuple[Tensor, ...]


def coupled(
    training_module: TrainingModule,
    batches: Iterable[Batch],
    logits_of: Callable[[Tensor], Tensor],
    before: Callable[[int], object],
) -> Iterator[Batch]:
    """This rank's micro-batches (images, labels, index) of a step, all held meanwhile; a collective.

    While the caller goes through them, the module knows the statistic of the global batch. logits_of: the model as it
    trains, in the engine's precision; before: called with the number of a micro-batch, sets the random state.
    """
    held = list(batches)
    training_module.statistic = _statistic(training_module, held, logits_of, before)
    try:
        yield from held
    finally:
        training_module.statistic = None


@torch.no_grad()
def _statistic(
    training_module: TrainingModule,
    batches: list[Batch],
    logits_of: Callable[[Tensor], Tensor],
    before: Callable[[int], object],
) -> Tensor:
    """Of the global batch; BatchNorm's running statistics do not count the pass."""
    training_module.train()
    parts = []
    with buffers_untouched(training_module.model):
        for number, (images, labels, index) in enumerate(batches):
            before(number)
            parts.append(training_module.part_of_statistic(logits_of(images), labels, index))
    return cast(Any, training_module.loss).combined(torch.stack(parts))
