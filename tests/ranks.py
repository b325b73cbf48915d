"""Several ranks on this machine, as processes that have the trainer imported already."""

import multiprocessing
from collections.abc import Callable
from multiprocessing.context import ForkServerContext

import torch.multiprocessing as mp

# What takes seconds to import. DeepSpeed imports mlflow where it is installed; DeepSpeed itself each rank imports.
LOADED = ["mlcfast.training.run", "timm", "torch.utils.tensorboard", "mlflow"]


def processes() -> ForkServerContext:
    """Processes that have the trainer imported, each with a history of its own, in the first one's environment."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(LOADED)
    return context


def start_ranks(rank: Callable[..., None], arguments: tuple, number: int) -> None:
    """Call `rank(number of the rank, *arguments)` in as many processes and wait; raises what one of them raised."""
    processes()
    mp.start_processes(rank, arguments, nprocs=number, start_method="forkserver")
