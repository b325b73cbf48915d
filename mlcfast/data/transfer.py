"""Moves batches to the device as bytes, one batch ahead of the computation, and normalises them there."""

from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor

from mlcfast.stopwatch import Stopwatch

Batch = tuple[Tensor, ...]


def on_device(
    batches: Iterable[Batch],
    device: torch.device,
    normalise: Callable[[Tensor], Tensor],
    stopwatch: Stopwatch | None = None,
) -> Iterator[Batch]:
    """Batches whose first tensor is uint8 images (m, 3, S, S), with that normalised and everything on `device`.

    On a GPU a batch is copied on a stream of its own while the one before it is computed with, from pinned memory and
    as bytes, 3·S² an image; the computation's stream waits for the copy, the host does not. Then it is normalised,
    which is the first operation on the computation's stream, so that one batch in float32 is there at a time.

    stopwatch: is told how long the computation waits for the copy and its images are normalised.
    """
    stopwatch = stopwatch or Stopwatch(device)
    for batch, copied in _ahead(batches, device) if device.type == "cuda" else ((batch, None) for batch in batches):
        with stopwatch.of("transferring"):
            images, *others = batch if copied is None else _arrived(batch, copied)
            images = normalise(images)
        yield (images, *others)


def _ahead(batches: Iterable[Batch], device: torch.device) -> Iterator[tuple[Batch, torch.cuda.Event]]:
    """The batches on a CUDA device, each handed on, with its copy's end, when that of the next has been asked for."""
    stream = torch.cuda.Stream(device)
    held: tuple[Batch, torch.cuda.Event] | None = None
    for batch in batches:
        with torch.cuda.stream(stream):
            copies = tuple(tensor.to(device, non_blocking=tensor.is_pinned()) for tensor in batch)
            copied = stream.record_event()
        if held is not None:
            yield held
        held = copies, copied
    if held is not None:
        yield held


def _arrived(batch: Batch, copied: torch.cuda.Event) -> Batch:
    """The batch, for the current stream to use: it waits for the copy, and the memory stays until it is done too."""
    current = torch.cuda.current_stream(batch[0].device)
    current.wait_event(copied)
    for tensor in batch:
        tensor.record_stream(current)
    return batch
