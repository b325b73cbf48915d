"""Finds this process's rank and launcher in the environment, and holds the few collectives the trainer needs."""

import contextlib
import datetime
import logging
import os
import signal
import threading
import time
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import Any

import torch
import torch.distributed as dist

from mlcfast.ancestors import ancestors, ancestors_at_start
from mlcfast.errors import RunError, UsageError

LOGGER = logging.getLogger("mlcfast")

# The main process may fill a cache of resized images while the others wait for it.
PATIENCE = datetime.timedelta(hours=3)

# Seconds in which gloo's threads let go of the last collective's tensors. One that gets to it while the interpreter
# shuts down asks for Python's lock in vain and aborts the process (pytorch/pytorch issue 190489). DeepSpeed keeps its
# process groups alive to the end, so that destroying them does not join these threads.
LETTING_GO = 0.2

SAYING = 10.0  # seconds from an error on in which a launcher's SIGTERM is not heard, so that the error is said

LAST_SAVE = 30.0  # seconds a rank has for its last step and checkpoint once its launcher is gone


def usable_gpus() -> int:
    """How many CUDA devices this process can compute on: torch also counts those whose driver is too old for it."""
    return torch.cuda.device_count() if torch.cuda.is_available() else 0


@dataclass(frozen=True)
class Process:
    """This process among its peers; `launcher` is what started it: single, torchrun, deepspeed or slurm."""

    rank: int = 0
    local_rank: int = 0
    world_size: int = 1
    launcher: str = "single"

    @property
    def device(self) -> torch.device:
        """The CUDA device of this local rank, or the CPU where there is none."""
        return torch.device("cuda", self.local_rank) if torch.cuda.is_available() else torch.device("cpu")

    @property
    def is_main(self) -> bool:
        """Whether this process writes files and logs."""
        return self.rank == 0

    def place(self, tensor: torch.Tensor, dtype: torch.dtype | None = None) -> torch.Tensor:
        """The tensor on this process's device, as `dtype` if given; a copy out of pinned memory does not wait."""
        return tensor.to(self.device, dtype or tensor.dtype, non_blocking=tensor.is_pinned())


class HostProcess(Process):
    """A process that computes on the CPU, whatever else there is."""

    @property
    def device(self) -> torch.device:
        """The CPU."""
        return torch.device("cpu")


def discover(environment: Mapping[str, str] = os.environ) -> Process:
    """Read rank and world size from what torchrun, DeepSpeed's launcher or srun put into the environment.

    A world of one without an address to meet at is what another program has left there, and no launcher's.
    """
    lone = environment.get("WORLD_SIZE") == "1" and "MASTER_ADDR" not in environment
    if "RANK" in environment and "WORLD_SIZE" in environment and not lone:
        launcher = "deepspeed" if "CROSS_SIZE" in environment else "torchrun"
        names = ("RANK", "LOCAL_RANK", "WORLD_SIZE")
    elif int(environment.get("SLURM_STEP_NUM_TASKS", 1)) > 1:  # srun's; a batch script's own step has one task
        launcher, names = "slurm", ("SLURM_PROCID", "SLURM_LOCALID", "SLURM_STEP_NUM_TASKS")
    else:
        return Process()
    rank, local_rank, world_size = (int(environment.get(name, 0)) for name in names)
    return Process(rank, local_rank, world_size, launcher)


def start(process: Process) -> None:
    """Join the process group (NCCL on CUDA, gloo on the CPU); a lone process joins none. RunError without a GPU."""
    if process.device.type == "cuda":
        if process.local_rank >= torch.cuda.device_count():
            # A RunError, since the ranks that have a GPU do not say it.
            raise RunError(
                f"local rank {process.local_rank} has no GPU: {torch.cuda.device_count()} visible; "
                "start as many processes on this machine"
            )
        torch.cuda.set_device(process.device)
    if process.launcher == "single" or dist.is_initialized():
        return
    if process.launcher in ("torchrun", "deepspeed"):
        watch_ancestors(1 if process.launcher == "torchrun" else 2, LAST_SAVE)
    if process.launcher == "slurm":
        _adopt_slurm(process)
    backend = "cpu:gloo,cuda:nccl" if process.device.type == "cuda" else "gloo"
    with _said_when_late(process):
        dist.init_process_group(backend, rank=process.rank, world_size=process.world_size, timeout=PATIENCE)


@contextlib.contextmanager
def _said_when_late(process: Process, seconds: float = 30.0) -> Iterator[None]:
    """Warn if the block, in which the ranks find each other, takes longer; the first rank of each machine does so."""
    address = f"{os.environ.get('MASTER_ADDR')}:{os.environ.get('MASTER_PORT')}"
    words = (
        "rank %d has waited %.0f s at %s for the other processes of this run, %d in all: one has not started, has "
        "ended with an error of its own, or does not reach this address"
    )
    late = threading.Timer(seconds, LOGGER.warning, (words, process.rank, seconds, address, process.world_size))
    late.daemon = True
    if process.local_rank == 0:
        late.start()
    try:
        yield
    finally:
        late.cancel()


def watch_ancestors(count: int = 1, grace: float = 0.0) -> None:
    """End this process soon after one of the `count` processes above it has gone, so that no orphan trains on.

    One that has gone since this process began counts too, for it takes seconds to get here. DeepSpeed puts two
    processes above a rank, torchrun one. The process is asked by SIGTERM first and ended with status 1 after `grace`
    seconds; at once where they are 0. A daemon thread looks twice a second.
    """
    threading.Thread(target=_end_with, args=(ancestors_at_start(count), grace), daemon=True).start()


def _end_with(before: list[int], grace: float) -> None:
    while ancestors(len(before)) == before:
        time.sleep(0.5)
    if grace:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(grace)
    os._exit(1)


def _adopt_slurm(process: Process) -> None:
    if "MASTER_ADDR" not in os.environ:
        nodes = os.environ.get("SLURM_NODELIST", "localhost")
        if "[" in nodes or "," in nodes:
            raise UsageError("several SLURM nodes: export MASTER_ADDR=$(scontrol show hostnames | head -n 1) first")
        os.environ["MASTER_ADDR"] = nodes
    os.environ.setdefault("MASTER_PORT", str(20000 + int(os.environ.get("SLURM_JOB_ID", 0)) % 20000))
    for name, value in (("RANK", process.rank), ("LOCAL_RANK", process.local_rank), ("WORLD_SIZE", process.world_size)):
        os.environ[name] = str(value)


def stop() -> None:
    """Leave the process group, if this process is in one."""
    if dist.is_initialized():
        dist.destroy_process_group()
        time.sleep(LETTING_GO)


@contextlib.contextmanager
def peers_explained(process: Process, remedy: str = "") -> Iterator[None]:
    """Turn the failure of another rank, within the block, into a RunError that says where its cause is to be found.

    remedy: what it says besides, such as how to go on.

    For SAYING seconds from then on, or from an error of this rank's own on, SIGTERM is ignored: the launcher sends it
    within a moment of another rank's end, and the error would not be said any more.
    """
    try:
        yield
    except Exception as error:
        says_it = process.local_rank == 0 or not isinstance(error, UsageError)  # see cli.run
        if says_it and process.world_size > 1 and threading.current_thread() is threading.main_thread():
            _ignore_sigterm(SAYING)
        text = str(error)
        lost = isinstance(error, dist.DistError) or "gloo" in text or "onnection closed by peer" in text
        if not isinstance(error, RuntimeError) or not lost:
            raise
        raise RunError(
            f"rank {process.rank} has lost another process of this run, whose own error, or the kernel's log where it "
            f"was killed for want of memory, has the reason{remedy and f'; {remedy}'} ({text.splitlines()[0][:120]})"
        ) from error


def _ignore_sigterm(seconds: float) -> None:
    """Ignore SIGTERM so long; then it is again what it was, for a program that catches the error and goes on."""
    before, until = signal.getsignal(signal.SIGTERM), time.monotonic() + seconds

    def hear(number: int, frame: FrameType | None) -> None:
        if time.monotonic() >= until:
            signal.signal(number, before or signal.SIG_DFL)  # None: one that is not Python's
            signal.raise_signal(number)

    if before is not signal.SIG_IGN:
        signal.signal(signal.SIGTERM, hear)


def all_gather_objects(value: Any) -> list[Any]:
    """Every rank's value, in rank order, on every rank."""
    if not dist.is_initialized():
        return [value]
    values = [value] * dist.get_world_size()
    dist.all_gather_object(values, value)
    return values


def all_reduce_sum(tensor: torch.Tensor) -> torch.Tensor:
    """The sum of a tensor over ranks, as a new tensor without gradient."""
    total = tensor.detach().clone()
    if dist.is_initialized():
        dist.all_reduce(total)
    return total


def all_gather_stack(tensor: torch.Tensor) -> torch.Tensor:
    """The tensors of every rank, of one shape, stacked in rank order, without gradient."""
    tensor = tensor.detach().contiguous()
    if not dist.is_initialized():
        return tensor[None]
    parts = [torch.empty_like(tensor) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, tensor)
    return torch.stack(parts)


def all_reduce_max(values: Sequence[int]) -> list[int]:
    """The largest of each number over the ranks, exchanged between the hosts: no device is waited for."""
    largest = torch.tensor(values)
    if dist.is_initialized():
        dist.all_reduce(largest, dist.ReduceOp.MAX)
    return largest.tolist()


def barrier() -> None:
    """Wait until every rank is here."""
    if dist.is_initialized():
        dist.barrier()


def require_one_command_line(arguments: Namespace) -> None:
    """UsageError on every rank unless all were called with the arguments of rank 0; a collective.

    Work is divided by rank 0's; what another was given would be left out without a word.
    """
    mine = {name: value for name, value in vars(arguments).items() if name != "local_rank"}
    first, *others = all_gather_objects(mine)
    for rank, theirs in enumerate(others, 1):
        for name in first:
            if theirs[name] != first[name]:
                raise UsageError(
                    f"rank {rank} was called with other arguments than rank 0 ({name.replace('_', '-')}): give all "
                    "processes one command line, or start each as a run of its own, without a launcher"
                )


def on_main(process: Process, work: Callable[[], Any]) -> Any:
    """Run `work` on the main process while the others wait; its result, or its exception, on every rank."""
    result: tuple[Any, Exception | None] = (None, None)
    if process.is_main:
        try:
            result = (work(), None)
        except Exception as error:
            result = (None, error)
    value, failure = all_gather_objects(result)[0]
    if failure is not None:
        raise failure
    return value
