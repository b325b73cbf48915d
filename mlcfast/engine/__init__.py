"""Single process, DDP and DeepSpeed ZeRO-2 behind one surface; the only room that knows torch.distributed."""

from mlcfast.engine.background import BackgroundSave
from mlcfast.engine.base import Engine, EngineState, StepResult
from mlcfast.engine.build import (
    build_engine,
    resolve_engine,
    with_micro_batch,
)
from mlcfast.engine.checkpoint import load_checkpoint, save_checkpoint
from mlcfast.engine.compiling import Choice, Work, choose_form, keep_form
from mlcfast.engine.distributed import (
    HostProcess,
    Process,
    all_gather_objects,
    all_gather_stack,
    all_reduce_max,
    all_reduce_sum,
    barrier,
    discover,
    on_main,
    peers_explained,
    require_one_command_line,
    start,
    stop,
    usable_gpus,
    watch_ancestors,
)
from mlcfast.engine.host_memory import keep_freed_memory
from mlcfast.engine.optimizers import OPTIMIZERS, Schedule
from mlcfast.engine.predictor import Predictor, set_arithmetic
from mlcfast.engine.zero2 import reduce_bucket

__all__ = [
    "OPTIMIZERS",
    "BackgroundSave",
    "Choice",
    "Engine",
    "EngineState",
    "HostProcess",
    "Predictor",
    "Process",
    "Schedule",
    "StepResult",
    "Work",
    "all_gather_objects",
    "all_gather_stack",
    "all_reduce_max",
    "all_reduce_sum",
    "barrier",
    "build_engine",
    "choose_form",
    "discover",
    "keep_form",
    "keep_freed_memory",
    "load_checkpoint",
    "on_main",
    "peers_explained",
    "reduce_bucket",
    "require_one_command_line",
    "resolve_engine",
    "save_checkpoint",
    "set_arithmetic",
    "start",
    "stop",
    "usable_gpus",
    "watch_ancestors",
    "with_micro_batch",
]
