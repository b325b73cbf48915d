"""Planner calls made by a training run: resolve `auto`, predict peak memory, explain an out-of-memory error."""

import logging
from dataclasses import dataclass

import torch

from mlcfast.config import Config
from mlcfast.engine import Process, all_gather_objects, on_main, resolve_engine
from mlcfast.errors import RunError
from mlcfast.planning.format import advice
from mlcfast.planning.hardware import CONTEXT
from mlcfast.planning.planner import Estimate, Planner

LOGGER = logging.getLogger("mlcfast")


@dataclass(frozen=True)
class RunPlan:
    """The estimate for a run as it stands, and for what: so many GPUs with so much free memory, images and labels.

    The fastest settings that fit, which take several traces, are looked for only where somebody asks.
    """

    estimate: Estimate
    gpus: int
    gpu_memory: int
    images: int
    labels: int

    def best(self, config: Config) -> Estimate | None:
        """The fastest settings of this configuration that fit; None if there are none."""
        return Planner(config, self.gpus, self.gpu_memory, self.labels, self.images).best()


def gpu_memory(device: int | None = None) -> int:
    """Bytes that this process can have of a GPU, by default its own, its context among them; 0 without one.

    What a desktop and other programs hold is not free. The context of this process exists once the driver is asked.
    """
    if not torch.cuda.is_available():
        return 0
    free, total = torch.cuda.mem_get_info(device)
    return min(free + int(CONTEXT.likely), total)


def planned(config: Config, process: Process, images: int, labels: int) -> tuple[Config, RunPlan | None]:
    """Decide the settings that are `auto`: the configuration with them, and the plan behind it; see plan_run."""
    plan = plan_run(config, process, images, labels)
    return apply_plan(config, plan), plan


def plan_run(config: Config, process: Process, images: int, labels: int) -> RunPlan | None:
    """Plan a run as it was launched, the same on every rank; None without a GPU or a backbone.

    `engine.name: auto` on several processes is DDP where that fits, else ZeRO-2. images, labels: of the training set.
    """
    memory = min(all_gather_objects(gpu_memory()))
    if not memory or config.data.format == "features":
        return None
    engine = resolve_engine(config, process)
    if config.engine.name != "auto" or engine != "ddp":
        config = config.model_copy(update={"engine": config.engine.model_copy(update={"name": engine})})

    def plan() -> RunPlan:
        planner = Planner(config, process.world_size, memory, labels, images)
        return RunPlan(planner.estimate(planner.configured()), process.world_size, memory, images, labels)

    return on_main(process, plan)


def apply_plan(config: Config, plan: RunPlan | None) -> Config:
    """Replace the settings that are `auto` by the plan's; without a plan the configuration stays as it is."""
    if plan is None:
        return config
    estimate, chosen = plan.estimate, plan.estimate.settings
    engine = {"name": chosen.engine, "activation_checkpointing": chosen.checkpointing}
    LOGGER.info("planned: %s, %.2f GiB a GPU", advice(estimate), estimate.peak / 2**30)
    return config.model_copy(update={"engine": config.engine.model_copy(update=engine)})


def out_of_memory(config: Config, plan: RunPlan | None) -> RunError:
    """The one line for torch.OutOfMemoryError: the setting to change, and what the planner, asked now, suggests."""
    engine = config.engine
    if engine.activation_checkpointing != "blocks":
        change = "set engine.activation_checkpointing=blocks"
    elif engine.micro_batch > 1:
        change = f"lower engine.micro_batch from {engine.micro_batch}"
    elif engine.name == "zero2" and not engine.offload_optimizer:
        change = "set engine.offload_optimizer=true"
    else:
        change = "lower data.image_size or use more GPUs with engine.name=zero2"
    best = plan.best(config) if plan else None
    suggestion = f"the planner suggests {advice(best)}" if best else "see python -m mlcfast.plan CONFIG"
    return RunError(f"out of GPU memory: {change}; {suggestion}")
