"""One rank's share of a checkpoint, and the copy of it in host memory from which it is written."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from mlcfast.tensor_files import Share, Stretch, forms_of

LOGGER = logging.getLogger("mlcfast")
SLAB = 2**28  # bytes; torch rounds page-locked memory up to a power of two
ALIGN = 64

Kinds = dict[str, dict[str, Tensor]]  # weights, average and moments, each by name


@dataclass
class StateShare:
    """What this rank writes of a checkpoint.

    files: by kind (weights, average, moments), without those that are empty; scaler, average_steps: as in EngineState.
    """

    files: dict[str, Share]
    scaler: dict[str, float] = field(default_factory=dict)
    average_steps: int = 0


def share_of(kinds: Kinds, rank: int = 0, world_size: int = 1) -> dict[str, Share]:
    """Tensors that every rank holds alike, dealt out: this rank's are about 1 / world_size of the bytes.

    Which they are follows from names and sizes alone. The tensors are not copied.
    """
    total = sum(tensor.nbytes for tensors in kinds.values() for tensor in tensors.values())
    shares, position = {}, 0
    for kind, tensors in kinds.items():
        mine = []
        for name, tensor in tensors.items():
            if min(position * world_size // max(total, 1), world_size - 1) == rank:
                mine.append(Stretch(name, 0, tensor))
            position += tensor.nbytes
        shares[kind] = Share(forms_of(tensors), mine)
    return {kind: share for kind, share in shares.items() if share.forms}


class HostCopy:
    """Memory on the host for a copy of a rank's share, kept from one copy to the next; page-locked beside a GPU.

    on_gpu: whether the state lies on one.
    """

    def __init__(self, on_gpu: bool):
        self.pinned = on_gpu
        self.slabs: list[Tensor] = []

    @torch.no_grad()
    def take(self, share: StateShare) -> StateShare:
        """The same share, its tensors copies that stay as they are until the next call; waits for them."""
        sources = {id(each.values): each.values for file in share.files.values() for each in file.stretches}
        rooms = self._rooms([tensor.nbytes for tensor in sources.values()])
        copies = {}
        for (key, source), room in zip(sources.items(), rooms, strict=True):
            copies[key] = _like(source, room.view(source.dtype)).copy_(source, non_blocking=room.is_pinned())
        for device in {tensor.device for tensor in sources.values() if tensor.is_cuda}:
            torch.cuda.current_stream(device).synchronize()
        files = {
            kind: Share(
                file.forms, [Stretch(name, start, copies[id(values)]) for name, start, values in file.stretches]
            )
            for kind, file in share.files.items()
        }
        return StateShare(files, dict(share.scaler), share.average_steps)

    def _rooms(self, sizes: list[int]) -> Iterator[Tensor]:
        """Bytes for each tensor, one after the other in the slabs."""
        left, slab, used = sum(_aligned(size) for size in sizes), 0, 0
        for size in sizes:
            while slab < len(self.slabs) and used + size > self.slabs[slab].numel():
                slab, used = slab + 1, 0
            if slab == len(self.slabs):
                self.slabs.append(self._allocate(max(size, min(left, SLAB))))
            yield self.slabs[slab][used : used + size]
            used, left = used + _aligned(size), left - _aligned(size)

    def _allocate(self, size: int) -> Tensor:
        try:
            return torch.empty(size, dtype=torch.uint8, pin_memory=self.pinned)
        except RuntimeError as error:
            if not self.pinned:
                raise
            LOGGER.warning("no page-locked memory for a copy of the state, which takes longer without: %s", error)
            self.pinned = False
            return torch.empty(size, dtype=torch.uint8)


def _like(source: Tensor, room: Tensor) -> Tensor:
    """The room with the shape of the source and, where that is dense, its order in memory: such a copy is fast."""
    channels_last = source.dim() == 4 and source.is_contiguous(memory_format=torch.channels_last)
    return room.as_strided(source.shape, source.stride()) if channels_last else room.view(source.shape)


def _aligned(size: int) -> int:
    return -(-size // ALIGN) * ALIGN
