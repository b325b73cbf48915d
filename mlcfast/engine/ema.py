"""Exponential moving average of the weights, kept in fp32 beside the tensors it follows."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from mlcfast.engine.internals import follow

WARMUP_POWER = -2 / 3
GROUP_BYTES = 64 * 2**20  # exchanged at once with the averages


class WeightAverage:
    """average ← average + (1 − decay_t) · (source − average), once for each applied step.

    decay_t = decay; with warm-up min(decay, 1 − (1 + t)^(−2/3)) in step t from 0, as timm's ModelEmaV3 has it, so that
    the initial weights are forgotten at once and the average reaches as far back as it is long. `steps` is t, and is
    part of a checkpoint; steps that were not applied count.

    sources: the fp32 masters (whole tensors, or this rank's shards of them) and floating buffers, updated in place
    by their owner; the averages live on the same devices, in the same order. An update is one operation for all tensors
    of a device (see internals.follow), and one more for those that are not fp32.
    """

    def __init__(self, sources: Sequence[Tensor], decay: float, warmup: bool = False):
        self.sources = [source.detach() for source in sources]
        self.tensors = [source.float().clone() for source in self.sources]
        self.decay, self.warmup, self.steps = decay, warmup, 0
        self._groups = _alike(self.sources)
        # What is not fp32 goes through a copy that is, so that the kernel sees one type.
        self._exact = [source.dtype == torch.float32 for source in self.sources]
        kept = zip(self._exact, self.sources, self.tensors, strict=True)
        self._read = [source if exact else torch.empty_like(average) for exact, source, average in kept]

    def decay_now(self) -> float:
        """decay_t of the next step."""
        return min(self.decay, 1 - (1 + self.steps) ** WARMUP_POWER) if self.warmup else self.decay

    @torch.no_grad()
    def update(self, skipped: Tensor) -> None:
        """Follow the sources one step; `skipped` (0-d, 1 where the step was not applied) leaves the average.

        Then the sources are not even read: a step that was not applied may have left what is not finite in a buffer.
        """
        followed_by = 1 - self.decay_now()
        self.steps += 1
        narrow = [number for number, exact in enumerate(self._exact) if not exact]
        if narrow:
            torch._foreach_copy_([self._read[number] for number in narrow], [self.sources[number] for number in narrow])
        for device in dict.fromkeys(tensor.device for tensor in self.tensors):
            here = [number for number, tensor in enumerate(self.tensors) if tensor.device == device]
            averages, read = [self.tensors[number] for number in here], [self._read[number] for number in here]
            follow(averages, read, followed_by, skipped.to(device, torch.float32))

    @contextmanager
    def swapped_in(self) -> Iterator[None]:
        """Within the block the sources hold the averages and the averages hold the sources."""
        exact = [None if a.dtype == s.dtype else a.clone() for a, s in zip(self.tensors, self.sources, strict=True)]
        self._swap()
        try:
            yield
        finally:
            self._swap()
            for average, held in zip(self.tensors, exact, strict=True):
                if held is not None:  # it went through a source of lower precision
                    average.copy_(held)

    @torch.no_grad()
    def _swap(self) -> None:
        """In groups of tensors, three operations each; a group's sources are held twice while it is exchanged."""
        for numbers in self._groups:
            averages, sources = [self.tensors[n] for n in numbers], [self.sources[n] for n in numbers]
            held = torch._foreach_mul(sources, 1)
            torch._foreach_copy_(sources, averages)
            torch._foreach_copy_(averages, held)


def _alike(sources: Sequence[Tensor]) -> list[list[int]]:
    """Numbers of tensors of one device and one type, about GROUP_BYTES of them in a group."""
    groups: dict[tuple[torch.device, torch.dtype, int], list[int]] = {}
    filled: dict[tuple[torch.device, torch.dtype], int] = {}
    for number, source in enumerate(sources):
        kind = (source.device, source.dtype)
        filled[kind] = filled.get(kind, 0) + source.nbytes
        groups.setdefault((*kind, filled[kind] // GROUP_BYTES), []).append(number)
    return list(groups.values())
