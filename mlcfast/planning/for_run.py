"""Planner calls made by a training run: resolve `auto`, predict peak memory, explain an out-of-memory error."""

import logging

import torch

from mlcfast.config import Config
from mlcfast.engine import Process, on_main, resolve_engine
from mlcfast.errors import RunError
from mlcfast.planning.format import advice
from mlcfast.planning.planner import Plan, Planner

LOGGER = logging.getLogger("mlcfast")


def gpu_memory() -> int:
    """Bytes of this process's GPU; 0 without one."""
    return torch.cuda.get_device_properties(0).total_memory if torch.cuda.is_available() else 0


def planned(config: Config, process: Process, images: int, labels: int) -> tuple[Config, Plan | None]:
    """Decide the settings that are `auto`: the configuration with them, and the plan behind it; see plan_run."""
    plan = plan_run(config, process, images, labels)
    return apply_plan(config, plan), plan


def plan_run(config: Config, process: Process, images: int, labels: int) -> Plan | None:
    """Plan a run as it was launched, the same on every rank; None without a GPU or a backbone.

    `engine.name: auto` on several processes is DDP where that fits, else ZeRO-2. images, labels: of the training set.
    """
    memory = gpu_memory()
    if not memory or config.data.format == "features":
        return None
    engine = resolve_engine(config, process)
    if config.engine.name != "auto" or engine != "ddp":
        config = config.model_copy(update={"engine": config.engine.model_copy(update={"name": engine})})
    return on_main(process, lambda: Planner(config, process.world_size, memory, labels, images).plan())


def apply_plan(config: Config, plan: Plan | None) -> Config:
    """Replace the settings that are `auto` by the plan's; without a plan the configuration stays as it is."""
    if plan is None:
        return config
    estimate, chosen = plan.estimate, plan.estimate.settings
    engine = {"name": chosen.engine, "activation_checkpointing": chosen.checkpointing}
    LOGGER.info("planned: %s, %.2f GiB a GPU", advice(estimate), estimate.peak / 2**30)
    return config.model_copy(update={"engine": config.engine.model_copy(update=engine)})


def out_of_memory(config: Config, plan: Plan | None) -> RunError:
    """The one line for torch.OutOfMemoryError: the setting to change, and what the planner suggests."""
    engine = config.engine
    if engine.activation_checkpointing != "blocks":
        change = "set engine.activation_checkpointing=blocks"
    elif engine.micro_batch > 1:
        change = f"lower engine.micro_batch from {engine.micro_batch}"
    elif engine.name == "zero2" and not engine.offload_optimizer:
        change = "set engine.offload_optimizer=true"
    else:
        change = "lower data.image_size or use more GPUs with engine.name=zero2"
    suggestion = (
        f"the planner suggests {advice(plan.best)}" if plan and plan.best else "see python -m mlcfast.plan CONFIG"
    )
    return RunError(f"out of GPU memory: {change}; {suggestion}")
