"""Several ranks on this machine, as processes that have the trainer imported already."""

import multiprocessing
import os
from collections.abc import Callable
from multiprocessing.context import ForkServerContext

import torch.multiprocessing as mp

# What takes seconds to import. DeepSpeed imports mlflow where that is installed; DeepSpeed itself each rank imports.
LOADED = ["mlcfast.training.run", "timm", "torch.utils.tensorboard", "mlflow"]


def processes() -> ForkServerContext:
    """Processes that have the trainer imported. They differ from fresh ones in this too: their hash seed is one."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(LOADED)
    return context


def start_ranks(rank: Callable[..., None], arguments: tuple, number: int) -> None:
    """Call `rank(number of the rank, *arguments)` in as many processes and wait; raises what one of them raised."""
    processes()
    mp.start_processes(_rank, (rank, dict(os.environ), arguments), nprocs=number, start_method="forkserver")


def _rank(number: int, rank: Callable[..., None], environment: dict[str, str], arguments: tuple) -> None:
    os.environ.clear()
    os.environ.update(environment)
    rank(number, *arguments)
