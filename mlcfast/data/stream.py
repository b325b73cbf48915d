"""Images decoded in threads while the model computes, in the order of their files, with what failed among them."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from itertools import islice
from typing import NamedTuple, TypeVar

import numpy as np

from mlcfast.data.images import load_pixels
from mlcfast.data.sources import Source
from mlcfast.data.transforms import resize
from mlcfast.errors import RunError

T = TypeVar("T")
R = TypeVar("R")


class Decoded(NamedTuple):
    """A file with its pixels, uint8 (S, S, 3), or the reason why there are none."""

    path: str
    pixels: np.ndarray | None
    error: str | None = None


def in_order(
    function: Callable[[T], R], items: Iterable[T], workers: int, ahead: int, prepare: Callable[[], None] | None = None
) -> Iterator[R]:
    """function(item) for every item, computed in threads and given in the order of the items.

    workers: threads, each of which calls `prepare` first; ahead: how many results at most are under way or wait.
    """
    pending: deque[Future[R]] = deque()
    pool = ThreadPoolExecutor(workers, initializer=prepare)
    try:
        for item in items:
            pending.append(pool.submit(function, item))
            if len(pending) >= ahead:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def decoded_batches(
    sources: Iterable[Source], image_size: int, batch_size: int, workers: int
) -> Iterator[list[Decoded]]:
    """Batches of decoded and resized images in the order of `sources`, the last one possibly smaller.

    workers: decoding threads (Pillow decodes without holding Python's lock). While the caller works on a batch the next
    two are decoded; no more images are held, and no more than `workers` at full size.
    """
    images = in_order(partial(decode, image_size=image_size), sources, workers, ahead=2 * batch_size)
    while batch := list(islice(images, batch_size)):
        yield batch


def decode(source: Source, image_size: int) -> Decoded:
    """One file's pixels at (S, S), or the error that names what is wrong."""
    if source.error:
        return Decoded(source.path, None, source.error)
    try:
        return Decoded(source.path, resize(load_pixels(source.path), image_size))
    except RunError as error:
        return Decoded(source.path, None, str(error).removeprefix(f"{source.path}: "))
