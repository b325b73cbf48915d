"""Images decoded in threads while the model computes, in the order of their files, with what failed among them."""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import NamedTuple

import numpy as np

from mlcfast.data.images import load_rgb
from mlcfast.data.sources import Source
from mlcfast.data.transforms import resize
from mlcfast.errors import RunError


class Decoded(NamedTuple):
    """A file with its pixels, uint8 (S, S, 3), or the reason why there are none."""

    path: str
    pixels: np.ndarray | None
    error: str | None = None


def decoded_batches(
    sources: Iterable[Source], image_size: int, batch_size: int, workers: int
) -> Iterator[list[Decoded]]:
    """Batches of decoded and resized images in the order of `sources`, the last one possibly smaller.

    workers: decoding threads (Pillow decodes without holding Python's lock). While the caller works on a batch the next
    two are decoded; no more images are held, and no more than `workers` at full size.
    """
    pending: deque[Future[Decoded]] = deque()
    remaining = iter(sources)
    pool = ThreadPoolExecutor(workers)

    def refill() -> None:
        for source in islice(remaining, 2 * batch_size - len(pending)):
            pending.append(pool.submit(decode, source, image_size))

    try:
        refill()
        while pending:
            batch = [pending.popleft().result() for _ in range(min(batch_size, len(pending)))]
            refill()
            yield batch
    finally:
        pool.shutdown(cancel_futures=True)


def decode(source: Source, image_size: int) -> Decoded:
    """One file's pixels at (S, S), or the error that names what is wrong."""
    if source.error:
        return Decoded(source.path, None, source.error)
    try:
        return Decoded(source.path, np.asarray(resize(load_rgb(source.path), image_size)))
    except RunError as error:
        return Decoded(source.path, None, str(error).removeprefix(f"{source.path}: "))
