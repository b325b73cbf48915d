"""Chooses the images that each rank sees and their order, a pure function of (seed, epoch, position)."""

from collections.abc import Iterator

import numpy as np

from mlcfast.data.packed import stream_order
from mlcfast.errors import UsageError


class TrainSampler:
    """This rank's micro-batches of one epoch, as lists of (epoch, index).

    Global batch b covers the positions [b·G, (b+1)·G) of the epoch's permutation; its accumulation step a takes on
    rank r of W the positions b·G + (a·W + r)·m + [0, m). So every W sees the same global batches. A last, incomplete
    global batch is dropped. `set_position` chooses the epoch and where in it to begin.

    Raises UsageError when G is not divisible by m·W or exceeds the number of images.
    """

    def __init__(
        self, num_samples: int, global_batch: int, micro_batch: int, rank: int = 0, world_size: int = 1, seed: int = 0
    ):
        if global_batch % (micro_batch * world_size):
            raise UsageError(
                f"engine.global_batch {global_batch} is not divisible by "
                f"engine.micro_batch {micro_batch} × {world_size} processes"
            )
        if global_batch > num_samples:
            most = num_samples // world_size * world_size  # which the processes can share
            remedy = f"lower it to {most} or less" if most else "train in one process"
            raise UsageError(f"engine.global_batch {global_batch} exceeds the {num_samples} training images: {remedy}")
        self.num_samples, self.global_batch, self.micro_batch = num_samples, global_batch, micro_batch
        self.rank, self.world_size, self.seed = rank, world_size, seed
        self.epoch = self.consumed = 0

    def set_position(self, epoch: int, consumed: int = 0) -> None:
        """The next iteration covers `epoch` from its sample number `consumed`, counted over all ranks.

        Raises UsageError unless `consumed` is a whole number of global batches.
        """
        if consumed % self.global_batch:
            raise UsageError(
                f"the run stopped after {consumed} samples of its epoch, which is not a multiple of "
                f"engine.global_batch {self.global_batch}: resume with the run's own"
            )
        self.epoch, self.consumed = epoch, consumed

    def permutation(self, epoch: int) -> np.ndarray:
        """The order (num_samples,) int64 of the epoch's images; RandomState's streams are frozen by numpy."""
        generator = np.random.MT19937(np.random.SeedSequence((self.seed, epoch)))
        return np.random.RandomState(generator).permutation(self.num_samples)

    def __len__(self) -> int:
        """This rank's micro-batches in a whole epoch."""
        return self.num_samples // self.global_batch * self.global_batch // (self.micro_batch * self.world_size)

    def batches(self) -> list[np.ndarray]:
        """The indices (m,) int64 of each micro-batch from the position set, to the end of the epoch."""
        order, stride = self.permutation(self.epoch), self.micro_batch * self.world_size
        starts = range(self.consumed + self.rank * self.micro_batch, len(self) * stride, stride)
        return [order[start : start + self.micro_batch] for start in starts]

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        """Micro-batches from the position set, to the end of the epoch."""
        epoch = self.epoch
        for indices in self.batches():
            yield [(epoch, int(index)) for index in indices]


class StreamSampler(TrainSampler):
    """As TrainSampler, in an order that reads the files of packed images in runs; see `stream_order`.

    block: (M,) of the M images; buffer: how many are shuffled together.
    """

    def __init__(
        self,
        block: np.ndarray,
        buffer: int,
        global_batch: int,
        micro_batch: int,
        rank: int = 0,
        world_size: int = 1,
        seed: int = 0,
    ):
        super().__init__(len(block), global_batch, micro_batch, rank, world_size, seed)
        self.block, self.buffer = block, buffer

    def permutation(self, epoch: int) -> np.ndarray:
        """The order (num_samples,) int64 of the epoch's images."""
        return stream_order(self.block, self.buffer, self.seed, epoch)


class EvalSampler:
    """Rank r of W takes the indices r, r + W, … once each, in micro-batches; a rank may have one fewer."""

    def __init__(self, num_samples: int, micro_batch: int, rank: int = 0, world_size: int = 1):
        self.indices, self.micro_batch = range(rank, num_samples, world_size), micro_batch

    def __len__(self) -> int:
        """The number of micro-batches."""
        return -(-len(self.indices) // self.micro_batch)

    def batches(self) -> list[np.ndarray]:
        """The indices (m,) int64 of each micro-batch."""
        return [np.array(indices, dtype=np.int64) for indices in self]

    def __iter__(self) -> Iterator[list[int]]:
        """Lists of indices."""
        for start in range(0, len(self.indices), self.micro_batch):
            yield list(self.indices[start : start + self.micro_batch])


class InTurnSampler:
    """The micro-batches of consecutive indices from `first` on, of which rank r of W takes those numbered r, r + W, ….

    They are the same for every W, and with them each bit of what is computed of them.
    """

    def __init__(self, num_samples: int, micro_batch: int, rank: int = 0, world_size: int = 1, first: int = 0):
        starts = range(first, num_samples, micro_batch)[rank::world_size]
        self.chosen = [range(start, min(start + micro_batch, num_samples)) for start in starts]

    def __len__(self) -> int:
        """The number of micro-batches."""
        return len(self.chosen)

    def __iter__(self) -> Iterator[list[int]]:
        """Lists of indices."""
        return map(list, self.chosen)
