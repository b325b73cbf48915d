"""Which process this is: rank and launcher from the environment, and the few collectives the trainer needs."""

import datetime
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist

from mlcfast.errors import UsageError

# The main process may fill a cache of resized images while the others wait for it.
PATIENCE = datetime.timedelta(hours=3)

# Seconds in which gloo's threads let go of the last collective's tensors. One that gets to it while the interpreter
# shuts down asks for Python's lock in vain and aborts the process (pytorch/pytorch issue 190489). DeepSpeed keeps its
# process groups alive to the end, so that destroying them does not join these threads.
LETTING_GO = 0.2


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


class HostProcess(Process):
    """A process that computes on the CPU, whatever else there is."""

    @property
    def device(self) -> torch.device:
        """The CPU."""
        return torch.device("cpu")


def discover(environment: Mapping[str, str] = os.environ) -> Process:
    """Read rank and world size from what torchrun, DeepSpeed's launcher or srun put into the environment."""
    if "RANK" in environment and "WORLD_SIZE" in environment:
        launcher = "deepspeed" if "CROSS_SIZE" in environment else "torchrun"
        names = ("RANK", "LOCAL_RANK", "WORLD_SIZE")
    elif int(environment.get("SLURM_STEP_NUM_TASKS", 1)) > 1:  # srun's; a batch script's own step has one task
        launcher, names = "slurm", ("SLURM_PROCID", "SLURM_LOCALID", "SLURM_STEP_NUM_TASKS")
    else:
        return Process()
    rank, local_rank, world_size = (int(environment.get(name, 0)) for name in names)
    return Process(rank, local_rank, world_size, launcher)


def start(process: Process) -> None:
    """Join the process group (NCCL on CUDA, gloo on the CPU); a lone process joins none."""
    if process.device.type == "cuda":
        if process.local_rank >= torch.cuda.device_count():
            raise UsageError(f"local rank {process.local_rank} has no GPU: {torch.cuda.device_count()} visible")
        torch.cuda.set_device(process.device)
    if process.launcher == "single" or dist.is_initialized():
        return
    if process.launcher == "slurm":
        _adopt_slurm(process)
    backend = "cpu:gloo,cuda:nccl" if process.device.type == "cuda" else "gloo"
    dist.init_process_group(backend, rank=process.rank, world_size=process.world_size, timeout=PATIENCE)


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


def barrier() -> None:
    """Wait until every rank is here."""
    if dist.is_initialized():
        dist.barrier()


def on_main(process: Process, work: Callable[[], Any]) -> Any:
    """Run `work` on the main process while the others wait; its result, or its exception, on every rank."""
    outcome: tuple[Any, Exception | None] = (None, None)
    if process.is_main:
        try:
            outcome = (work(), None)
        except Exception as error:
            outcome = (None, error)
    value, error = all_gather_objects(outcome)[0]
    if error is not None:
        raise error
    return value
