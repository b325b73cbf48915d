"""Builds the engine that runs a training module, as the configuration says."""

import logging
from importlib.util import find_spec
from typing import Any

import torch

from mlcfast.config import Config
from mlcfast.engine.base import Engine
from mlcfast.engine.distributed import Process
from mlcfast.engine.host_memory import keep_freed_memory
from mlcfast.engine.label_estimates import TableStep
from mlcfast.engine.local import LocalEngine
from mlcfast.engine.optimizers import build_optimizer
from mlcfast.engine.predictor import set_arithmetic
from mlcfast.engine.training_module import TrainingModule
from mlcfast.errors import UsageError
from mlcfast.models.activation_checkpointing import enable_activation_checkpointing

LOGGER = logging.getLogger("mlcfast")


def resolve_engine(config: Config, process: Process) -> str:
    """The engine's name: `auto` is single for one process, zero2 under DeepSpeed's launcher, else ddp.

    UsageError where the configured engine and the number of processes do not go together.
    """
    name: str = config.engine.name
    if name == "auto":
        by_launcher = {"single": "single", "deepspeed": "zero2"}
        name = by_launcher.get(process.launcher, "ddp" if process.world_size > 1 else "single")
    if name == "single" and process.world_size > 1:
        raise UsageError(f"engine.name single cannot use {process.world_size} processes: set it to ddp or zero2")
    if name == "zero2" and find_spec("deepspeed") is None:
        remedy = "pip install 'mlcfast[deepspeed]' brings it on Linux; engine.name single and ddp do without"
        raise UsageError(f"engine.name zero2 needs DeepSpeed, which is not installed here: {remedy}")
    if name in ("ddp", "zero2") and process.launcher == "single":
        starter = "torchrun --nproc_per_node" if name == "ddp" else "deepspeed --num_gpus"
        raise UsageError(f"engine.name {name} needs a launcher: {starter} N -m mlcfast.train CONFIG")
    if config.engine.offload_optimizer and name != "zero2":
        raise UsageError(f"engine.offload_optimizer needs engine.name zero2, here it is {name}")
    return name


def with_micro_batch(config: Config, world_size: int) -> Config:
    """The configuration with the micro-batch that `world_size` processes use; a line of the log where it is smaller.

    Raises UsageError where they cannot share engine.global_batch evenly.
    """
    engine = config.engine
    micro_batch = engine.micro_batch_for(world_size)
    if micro_batch < engine.micro_batch:
        LOGGER.info(
            "micro-batch %d of at most %d: engine.global_batch %d is shared by %d processes",
            micro_batch,
            engine.micro_batch,
            engine.global_batch,
            world_size,
        )
    return config.model_copy(update={"engine": engine.model_copy(update={"micro_batch": micro_batch})})


def build_engine(config: Config, process: Process, training_module: TrainingModule) -> Engine:
    """Move the training module to this process's device and give it optimizer, precision, average and peers."""
    name = resolve_engine(config, process)
    accumulation = config.engine.accumulation_for(process.world_size)
    if accumulation > 1 and training_module.needs & {"batch_statistic", "batch_parts"}:
        _say_what_coupling_costs(training_module, config.engine.global_batch // process.world_size)
    training_module.to(process.device)
    set_arithmetic(config.engine)
    keep_freed_memory()
    if name != "zero2":  # DeepSpeed lays the weights out anew in flat buffers
        training_module.model.to(memory_format=torch.channels_last)  # convolutions are faster so, on the CPU too
    checkpointing = config.engine.activation_checkpointing
    if checkpointing == "blocks" or (checkpointing == "auto" and name == "zero2"):
        enable_activation_checkpointing(training_module.model)
    if config.engine.compile is True:  # auto is decided before the first step: see compiling.py
        training_module.model.compile()
    table = _table_step(config, name, training_module)
    optimizer = build_optimizer(config.optim, training_module)
    common: dict[str, Any] = {
        "precision": config.engine.precision,
        "accumulation": accumulation,
        "grad_clip": config.optim.grad_clip,
        "ema_decay": config.train.ema_decay,
        "ema_warmup": config.train.ema_warmup,
    }
    LOGGER.info(
        "engine %s on %d x %s, %s, micro-batch %d x %d accumulated",
        name,
        process.world_size,
        process.device.type,
        config.engine.precision,
        config.engine.micro_batch,
        accumulation,
    )
    if name != "zero2":
        return LocalEngine(process, training_module, optimizer, distributed=name == "ddp", table=table, **common)
    from mlcfast.engine.zero2 import Zero2Engine

    micro_batch, offload = config.engine.micro_batch, config.engine.offload_optimizer
    return Zero2Engine(process, training_module, optimizer, micro_batch=micro_batch, offload=offload, **common)


def _say_what_coupling_costs(training_module: TrainingModule, together: int) -> None:
    if training_module.couples_images:
        LOGGER.info(
            "the loss couples the images of the global batch, so each micro-batch is gone through twice: "
            "engine.micro_batch=%d, where it fits, takes once",
            together,
        )
    else:
        LOGGER.warning(
            "the loss couples the images of each micro-batch by itself: raise engine.micro_batch to %d to couple those "
            "of the global batch",
            together,
        )


def _table_step(config: Config, engine: str, training_module: TrainingModule) -> TableStep | None:
    """TableAdam for the label estimates where it gives what dense Adam would; else None, and the table stays dense."""
    if training_module.estimator is None:
        return None
    optim = config.optim
    reasons = {
        "engine zero2": engine == "zero2",
        "engine.precision fp16": config.engine.precision == "fp16",
        f"optim.schedule {optim.schedule}": optim.schedule != "constant",
        f"optim.weight_decay {optim.weight_decay:g}": optim.weight_decay > 0,
    }
    against = [reason for reason, holds in reasons.items() if holds]
    training_module.estimator.sparse = not against
    if not against:
        return TableStep(training_module.estimator, optim.lr * optim.estimator_lr_factor)
    LOGGER.info("label estimates: dense Adam over the whole table every step, for %s", " and ".join(against))
    return None
