"""Batches from worker processes, whose failures reach the user as one line."""

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import TracebackType
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_collate

from mlcfast.data.transfer import on_device
from mlcfast.errors import RunError, UsageError
from mlcfast.stopwatch import Stopwatch


def make_loader(
    dataset: Dataset,
    batch_sampler: Iterable[list[Any]],
    workers: int = 0,
    device: torch.device | None = None,
    normalise: Callable[[Tensor], Tensor] | None = None,
    watch: Stopwatch | None = None,
) -> DataLoader:
    """Batches (images (m, 3, S, S), labels (m, K) int8, index (m,) int64) in the sampler's order.

    With `normalise` the images of the data set are bytes, which it makes float32 of on `device`, and `watch` is told
    how long that takes: see on_device. Without it they are what the data set gives, on the host; bytes come in
    channels-last memory. Workers persist over epochs; host memory is pinned where CUDA is. RunError and UsageError of
    a sample are raised here as they were in the worker, without its traceback. The caller's random state stays as it
    is.
    """
    with _quiet_about_cores():
        loader = _made(dataset, batch_sampler, workers)
    loader.device, loader.normalise, loader.watch = device or torch.device("cpu"), normalise, watch
    return loader


@contextlib.contextmanager
def _quiet_about_cores() -> Iterator[None]:
    """Without torch's three lines at every start that data.workers is more than the cores: it does no harm."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="This DataLoader will create")
        yield


def _made(dataset: Dataset, batch_sampler: Iterable[list[Any]], workers: int) -> "_Loader":
    return _Loader(
        _Guarded(dataset),
        batch_sampler=batch_sampler,
        num_workers=workers,
        collate_fn=_collate,
        persistent_workers=workers > 0,
        pin_memory=torch.cuda.is_available(),
        worker_init_fn=_begin_worker,
        generator=torch.Generator(),
    )


class _Loader(DataLoader):
    device = torch.device("cpu")
    normalise: Callable[[Tensor], Tensor] | None = None
    watch: Stopwatch | None = None

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]  # a generator: torch names its private iterator
        batches = self._on_the_host()
        return batches if self.normalise is None else on_device(batches, self.device, self.normalise, self.watch)

    def _on_the_host(self) -> Iterator[Any]:
        with _quiet_about_cores():
            batches = super().__iter__()
        while True:
            try:
                batch = next(batches)
            except StopIteration:
                return
            except RuntimeError as error:
                if not str(error).startswith("DataLoader worker (pid"):
                    raise
                raise RunError(
                    "a data worker died, most often for lack of memory or of shared memory (/dev/shm): "
                    f"lower data.workers ({str(error).splitlines()[0]})"
                ) from error
            if isinstance(batch, Exception):
                raise batch
            yield batch


class _Guarded(Dataset):
    """Hands a sample's own error over as a value: raised in a worker it would arrive as the text of a traceback."""

    def __init__(self, dataset: Dataset):
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)  # type: ignore[arg-type]  # torch types its map-style datasets without a length

    def __getitem__(self, key: Any) -> Any:
        return self.dataset[key]

    def __getitems__(self, keys: Sequence[Any]) -> list[Any] | Exception:
        try:
            return [self.dataset[key] for key in keys]
        except (RunError, UsageError) as error:
            return type(error)(str(error))


def _collate(samples: list[Any] | Exception) -> Any:
    """A batch of samples; images in bytes keep their channels side by side, as a decoder gives them."""
    if isinstance(samples, Exception):
        return samples
    first = samples[0][0] if isinstance(samples[0], tuple) else None
    if not isinstance(first, Tensor) or first.dtype != torch.uint8:
        return default_collate(samples)
    images, *others = default_collate([(image.permute(1, 2, 0), *rest) for image, *rest in samples])
    return [images.permute(0, 3, 1, 2), *others]


def _begin_worker(worker: int) -> None:
    """Leave interrupts to the main process, and end with it, however it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.excepthook = _report_unless_main_left
    threading.Thread(target=_end_with_main, daemon=True).start()


def _end_with_main() -> None:
    """torch's own watch looks at who started the worker, which under `forkserver` outlives the main process."""
    main = multiprocessing.parent_process()
    assert main is not None, "runs in a worker"
    main.join()
    os._exit(1)


def _report_unless_main_left(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """The thread that hands tensors over ends in one of these when the main process stops amid taking one."""
    if not issubclass(kind, ConnectionError | EOFError):
        sys.__excepthook__(kind, error, trace)
