"""Decides `engine.compile: auto`: times a few steps of the model as it is written, compiled, and as CUDA graphs.

A step is the forward and backward pass of one micro-batch of the run through the model alone; loss, exchange and
optimizer are the same in every form. The gradients go nowhere, and the model is left as it was (untouched.py). The
slowest rank counts, so every rank decides alike.
"""

import logging
import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mlcfast.engine.base import Engine, trainable
from mlcfast.engine.distributed import all_gather_objects
from mlcfast.engine.internals import execute_as
from mlcfast.engine.untouched import untouched
from mlcfast.models.activation_checkpointing import recomputes

LOGGER = logging.getLogger("mlcfast")
EAGER, COMPILED, GRAPHS = "eager", "compiled", "CUDA graphs"
OPTIONS: dict[str, dict[str, Any] | None] = {  # of torch.compile
    EAGER: None,
    COMPILED: {"dynamic": False},
    GRAPHS: {"dynamic": False, "mode": "reduce-overhead"},
}
WARM_UP, TIMED = 3, 5  # steps; CUDA graphs are recorded in the second and replayed from the third on
MARGIN = 0.05  # of a step's time: differences below it are not told from the clock's
WORTH_TRYING = 300.0  # seconds of training ahead; compiling each form takes one or two minutes
MOMENTS = 8  # bytes that Adam will keep for each parameter after its first step
Clock = Callable[[], float]


class Work(NamedTuple):
    """images: a micro-batch on the device, as it trains; accumulation: of a step; micro_batches: in the run ahead."""

    images: Tensor
    accumulation: int
    micro_batches: int


@dataclass(frozen=True)
class Timing:
    """Seconds of one form.

    first: of the first WARM_UP steps, with all that is compiled in them; step: of a later one.
    failure: why there are none.
    """

    first: float = math.inf
    step: float = math.inf
    failure: str = ""


@dataclass(frozen=True)
class Choice:
    """form: a key of OPTIONS, or "" where a signal came first and nothing is decided; why: in words."""

    form: str
    why: str
    timings: dict[str, Timing] = field(default_factory=dict)


def compiles(device: torch.device) -> bool:
    """Whether compiling for this device is tried at all."""
    return device.type == "cuda"


def candidates(engine: Engine, accumulation: int) -> tuple[list[str], str]:
    """The forms that are tried beside eager, and why there are none; accumulation: micro-batches of a step.

    A loss that couples accumulated images goes through each micro-batch twice, with the same random draws, which two
    compiled forms do not promise. CUDA graphs are for a process by itself, without accumulated gradients and recomputed
    activations: torch's lie in memory that the next replay overwrites (pytorch/pytorch issue 169545), and with DDP
    (128218) or recomputed activations (154306) they have been seen to fail.
    """
    if not compiles(engine.process.device):
        return [], "compiling is for GPUs; on the CPU it takes minutes"
    if accumulation > 1 and engine.training_module.couples_images:
        return [], "the loss goes through every micro-batch twice and must draw alike"
    alone = engine.process.launcher == "single" and engine.process.world_size == 1
    graphs = alone and accumulation == 1 and not recomputes(engine.training_module.model)
    return [COMPILED, *([GRAPHS] if graphs else [])], ""


def choose_form(
    engine: Engine, work: Work, interrupted: Callable[[], bool] = lambda: False, clock: Clock | None = None
) -> Choice:
    """Let the model train in the form that ends the run first, the same on every rank; a collective.

    interrupted: whether the process has been asked to stop, in which case the rest is not tried; clock: gives seconds
    when the device has done all it was asked for.
    """
    forms, why = candidates(engine, work.accumulation)
    if not forms:
        return Choice(EAGER, why)
    measure = partial(_measure, engine, work.images, clock or partial(_seconds, engine.process.device))
    with untouched(engine.training_module.model, engine.process.device):
        timings = {EAGER: measure(EAGER)}
        slowest, stops = _of_all_ranks(timings, interrupted())
        ahead = slowest[EAGER].step * work.micro_batches
        if stops or ahead < WORTH_TRYING:
            forms, why = [], f"the {ahead:.3g} s of training ahead are too few to try another form"
        if forms:
            LOGGER.info("engine.compile=auto: trying %s; each takes a minute or two to compile", " and ".join(forms))
        for form in forms:
            timings[form] = Timing(failure="not tried") if interrupted() else _tried(measure, form)
        slowest, stops = _of_all_ranks(timings, stops or interrupted())
        choice = decide(slowest, work.micro_batches) if forms else Choice(EAGER, why, slowest)
        if stops:
            choice = Choice("", "a signal came first", slowest)
        _leave(engine, choice.form or EAGER, [*timings][-1])
    return choice


def keep_form(engine: Engine, work: Work, form: str) -> Choice:
    """Let the model train in the form that the run was trained in before, or eagerly where that fails; a collective.

    Nothing is timed, for another form would give other last bits. Where the run goes on with other micro-batches, on
    more devices or on the CPU, a form that is no candidate any more is not kept.
    """
    forms, why = candidates(engine, work.accumulation)
    if form == EAGER:
        return Choice(EAGER, "as before")
    if form not in forms:
        return Choice(EAGER, f"{form}, as before, is not for this run any more{why and ': '}{why}")
    LOGGER.info("engine.compile=auto: %s, as before, which takes a minute or two to compile", form)
    run = partial(_measure, engine, work.images, time.perf_counter, timed=0)
    with untouched(engine.training_module.model, engine.process.device):
        slowest, _ = _of_all_ranks({form: _tried(run, form)}, False)
        failure = slowest[form].failure
        _leave(engine, EAGER if failure else form, form)
    return Choice(EAGER, f"{form}, as before, fails: {failure}") if failure else Choice(form, "as before")


def decide(timings: Mapping[str, Timing], micro_batches: int) -> Choice:
    """The form that ends a run of so many micro-batches first, and eager unless another gains MARGIN a step.

    What compiling took counts in full, though it is spent by now: each time the run is resumed it is spent again.
    """
    eager, others = timings[EAGER], {form: timing for form, timing in timings.items() if form != EAGER}
    able = {form: timing for form, timing in others.items() if not timing.failure}
    if not able:
        return Choice(EAGER, "no other form can be executed", dict(timings))
    form = min(able, key=lambda name: able[name].first + able[name].step * micro_batches)
    gain = eager.step - able[form].step
    if gain < MARGIN * eager.step:
        return Choice(EAGER, f"no other form is {100 * MARGIN:.0f} % faster", dict(timings))
    repaid = math.ceil(able[form].first / gain)
    if repaid > micro_batches:
        why = f"{form} would be repaid after {repaid} micro-batches, and {micro_batches} are left"
        return Choice(EAGER, why, dict(timings))
    return Choice(form, f"repaid after {repaid} of {micro_batches} micro-batches", dict(timings))


def _of_all_ranks(timings: Mapping[str, Timing], stops: bool) -> tuple[dict[str, Timing], bool]:
    """Of each form the slowest rank's seconds and the first failure, and whether any rank stops; a collective."""
    every = all_gather_objects((dict(timings), stops))
    together = {}
    for form in timings:
        ranks: Sequence[Timing] = [held[form] for held, _ in every]
        failure = next(filter(None, (rank.failure for rank in ranks)), "")
        together[form] = Timing(max(r.first for r in ranks), max(r.step for r in ranks), failure)
    return together, any(stop for _, stop in every)


def _tried(measure: Callable[[str], Timing], form: str) -> Timing:
    """What goes wrong is this form's failure, be it of the compiler, of a kernel or for want of memory."""
    try:
        return measure(form)
    except Exception as error:
        # Compiling runs compilers, drivers and other people's passes: their errors have no common class below this one.
        lines = str(error).strip().splitlines() or [""]
        return Timing(failure=f"{type(error).__name__}: {lines[0][:200]}".rstrip(": "))


def _measure(engine: Engine, images: Tensor, clock: Clock, form: str, timed: int = TIMED) -> Timing:
    device, model = engine.process.device, engine.training_module.model
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    execute_as(model, OPTIONS[form])
    began = clock()
    for _ in range(WARM_UP):
        _step(engine, images)
    first, seconds = clock() - began, []
    for _ in range(timed):
        began = clock()
        _step(engine, images)
        seconds.append(clock() - began)
    if form != EAGER and device.type == "cuda":
        _check_room(engine)
    return Timing(first, statistics.median(seconds) if seconds else math.inf)


def _step(engine: Engine, images: Tensor) -> None:
    """Forward and backward pass; the gradients are dropped, and no hook of DDP's or DeepSpeed's hears of them."""
    model = engine.training_module.model
    model.train()
    logits = engine.training_logits(images)
    parameters = list(trainable(model).values())
    if parameters:
        torch.autograd.grad(logits, parameters, torch.ones_like(logits), allow_unused=True)


def _check_room(engine: Engine) -> None:
    """MemoryError where Adam's moments, which the first step will make, no longer fit beside what this form took."""
    device, optimizer = engine.process.device, engine.optimizer
    weights = [p for group in optimizer.param_groups for p in group["params"] if p.device.type == "cuda"]
    coming = 0 if optimizer.state else MOMENTS * sum(weight.numel() for weight in weights)
    room = torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device)
    needed = torch.cuda.max_memory_reserved(device) + coming
    if needed > room:
        raise MemoryError(f"it takes {needed / 2**30:.2f} GiB with the optimizer's state, of {room / 2**30:.2f} GiB")


def _leave(engine: Engine, form: str, last: str) -> None:
    """Execute the model in `form`; other compiled forms, CUDA graphs with their memory among them, are forgotten.

    last: the compiled form tried last; only if that is the one to stay need nothing be compiled again, which is then
    read from torch's cache on disk.
    """
    if form != last:
        execute_as(engine.training_module.model, None)
        torch.compiler.reset()
        execute_as(engine.training_module.model, OPTIONS[form])
    if engine.process.device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(engine.process.device)


def _seconds(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
