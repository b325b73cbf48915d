"""Predicts whether a configuration fits a GPU, its largest micro-batch, and the fastest settings that fit."""

import itertools
import math
from dataclasses import dataclass, replace
from pathlib import Path

from mlcfast.config import Config
from mlcfast.planning import hardware
from mlcfast.planning.hardware import seconds_per_step
from mlcfast.planning.state import Settings, State, state_bytes
from mlcfast.planning.trace import StepTrace, Tracer

PROBES = (8, 16)  # micro-batches that the linear model is drawn through
LARGEST = 1024  # micro-batch that is looked for
STRIDE = 8  # a guess goes at most that many times beyond what has been traced
TRACES = 6  # guesses by the linear model; then the bounds are halved
ALIKE = 1.05  # settings whose times differ by less are as fast: the plainer ones come first

COMPILED = "engine.compile={} is not modelled: planned as without it, and compiled code may keep more or less"


@dataclass(frozen=True)
class Estimate:
    """Bytes of one rank of `gpus` at its peak: on the GPU by component, and on the host."""

    settings: Settings
    breakdown: dict[str, int]
    host: int
    gpus: int

    @property
    def peak(self) -> int:
        """The sum of the breakdown."""
        return sum(self.breakdown.values())

    @property
    def allocated(self) -> int:
        """What torch.cuda.max_memory_allocated should say: without contexts, communication and holes."""
        return self.peak - self.breakdown["fixed"]

    @property
    def predicted(self) -> tuple[int, int, int]:
        """What a run compares with what it measures: `allocated` at least, likely and at most.

        Activations and temporaries are within hardware.COUNTED; the rest is exact, but for the gradients of zero2,
        which are counted at their most.
        """
        least, likely, most = (math.ceil(self._exact + count) for count in self._passes)
        return least, likely, most

    @property
    def bounds(self) -> tuple[int, int]:
        """The peak's error bar, least and most: `predicted`, and `fixed` within hardware.py's ranges."""
        fixed, (least, _, most) = hardware.fixed(self._passes, self.gpus), self.predicted
        return int(least + fixed.least), int(most + fixed.most)

    def doubtful(self, room: int) -> bool:
        """Whether it may fit where the peak does not, or the other way round, by the error bar."""
        least, most = self.bounds
        return least <= room < most

    def passes_decide(self, room: int) -> bool:
        """Whether smaller passes would surely fit."""
        beside = hardware.fixed(hardware.Range(0, 0, 0), self.gpus).most
        return self.settings.micro_batch > 1 and self._exact + beside < room

    @property
    def _passes(self) -> hardware.Range:
        """Where the optimizer's step is the peak there are no activations, and what it takes is exact."""
        passes = self.breakdown["activations"] + self.breakdown["temporary"]
        counted = hardware.COUNTED if self.breakdown["activations"] else hardware.Range(1, 1, 1)
        return hardware.Range(*(share * passes for share in counted))

    @property
    def _exact(self) -> int:
        return self.allocated - self.breakdown["activations"] - self.breakdown["temporary"]


@dataclass(frozen=True)
class Plan:
    """The estimate for a configuration as it stands, its largest micro-batch (0: none), the best settings or None."""

    estimate: Estimate
    max_micro_batch: int
    best: Estimate | None
    gpus: int
    gpu_memory: int
    notes: tuple[str, ...] = ()  # what the estimate does not know of this configuration

    @property
    def fits(self) -> bool:
        """Whether the configuration fits as it stands."""
        return self.estimate.peak <= self.gpu_memory


class Planner:
    """Estimates for one configuration on `gpus` cards of `gpu_memory` bytes each.

    num_labels, num_images: of the training set. traces: the directory where traces are kept, if they are to be.
    """

    def __init__(
        self,
        config: Config,
        gpus: int,
        gpu_memory: int,
        num_labels: int = 80,
        num_images: int = 82_081,
        traces: Path | None = None,
    ):
        self.config, self.gpus, self.gpu_memory = config, gpus, gpu_memory
        self.tracer = Tracer(config, num_labels, num_images, traces)
        self.sizes = self.tracer.sizes()

    def plan(self) -> Plan:
        """The estimate as configured, the largest micro-batch, and the best settings."""
        settings = self.configured()
        best, largest = self.best(), self.largest_micro_batch(settings)
        form = str(self.config.engine.compile).lower()
        notes = () if form == "false" else (COMPILED.format(form),)
        return Plan(self.estimate(settings), largest, best, self.gpus, self.gpu_memory, notes)

    def configured(self) -> Settings:
        """The configuration's settings; what is `auto` becomes the first choice that fits, or the most frugal."""
        micro_batch = self.config.engine.micro_batch_for(self.gpus)
        options = [replace(o, micro_batch=micro_batch) for o in self._combinations(configured=True)]
        for option in options:
            if self._fits(option):
                return option
        return options[-1]

    def best(self) -> Estimate | None:
        """The fastest settings that fit, verified by a trace; None if there are none."""
        guesses = [replace(o, micro_batch=self._guessed_divisor(o)) for o in self._combinations(configured=False)]
        remaining = {option: self.seconds(option) for option in guesses if option.micro_batch}
        while remaining:
            limit = ALIKE * min(remaining.values())
            option = next(option for option, seconds in remaining.items() if seconds <= limit)
            traced = replace(option, micro_batch=self._largest_divisor(option))
            if traced == option:
                return self.estimate(option)
            options = [traced if other == option else other for other in remaining]
            remaining = {option: self.seconds(option) for option in options if option.micro_batch}
        return None

    def estimate(self, settings: Settings) -> Estimate:
        """Estimate the memory of these settings by a trace at their own micro-batch."""
        return self._estimate(settings, self._trace(settings))

    def seconds(self, settings: Settings) -> float:
        """Seconds of one optimizer step, by the model of hardware.py."""
        trace = self._trace(replace(settings, micro_batch=PROBES[0]))
        trace = replace(trace, flops=trace.flops * settings.micro_batch // PROBES[0])
        return seconds_per_step(trace, settings, self.sizes, self.gpus, self.config.engine.global_batch)

    def largest_micro_batch(self, settings: Settings) -> int:
        """A micro-batch that fits where one more image does not, both traced; LARGEST if that fits, 0 if none does."""
        fits, too_large = 0, LARGEST + 1
        excess = {size: self._excess(settings, size) for size in {*PROBES, settings.micro_batch}}
        for trial in itertools.count():
            fits = max([fits, *(size for size, over in excess.items() if over <= 0)])
            too_large = min([LARGEST + 1, *(size for size, over in excess.items() if over > 0 and size > fits)])
            if too_large - fits <= 1:
                break
            guess = _root(excess) if trial < TRACES else (fits + too_large) // 2
            guess = min(max(guess, fits + 1), too_large - 1, STRIDE * max(excess))
            excess[guess] = self._excess(settings, guess)
        return fits if fits and self._fits(replace(settings, micro_batch=fits)) else 0

    def _excess(self, settings: Settings, micro_batch: int) -> int:
        """Bytes by which the passes, which grow with the micro-batch, exceed their room; the optimizer's step aside."""
        settings = replace(settings, micro_batch=micro_batch)
        return self._estimate(settings, self._trace(settings), passes_only=True).peak - self.gpu_memory

    def _guessed_divisor(self, settings: Settings) -> int:
        """The largest micro-batch that divides a GPU's share of the global batch and fits by the linear model."""
        limit = _root({size: self._excess(settings, size) for size in PROBES})
        return max((size for size in self._divisors() if size <= limit), default=min(self._divisors(), default=0))

    def _largest_divisor(self, settings: Settings) -> int:
        """The largest such micro-batch by traces, which begin with that of the settings; 0 if none fits."""
        smaller = [size for size in self._divisors() if size < settings.micro_batch]
        larger = [size for size in self._divisors() if size > settings.micro_batch]
        if not self._fits(settings):
            return next((size for size in reversed(smaller) if self._fits(replace(settings, micro_batch=size))), 0)
        fit = itertools.takewhile(lambda size: self._fits(replace(settings, micro_batch=size)), larger)
        return max(fit, default=settings.micro_batch)

    def _divisors(self) -> list[int]:
        """What divides a GPU's share of the global batch, in ascending order; none if the batch cannot be shared."""
        share, rest = divmod(self.config.engine.global_batch, self.gpus)
        return [] if rest else [size for size in range(1, share + 1) if share % size == 0]

    def _fits(self, settings: Settings) -> bool:
        return self.estimate(settings).peak <= self.gpu_memory

    def _combinations(self, configured: bool) -> list[Settings]:
        """All settings there are to choose from, the plainest first; if `configured` those that are left open.

        AdamW may be exchanged for its 8-bit form, not Adam, which decays weights otherwise.
        """
        engine, optim = self.config.engine, self.config.optim
        several = self.gpus > 1
        names = (["ddp", "zero2"] if several else ["single"]) if engine.name == "auto" else [engine.name]
        open_checkpointing = engine.activation_checkpointing == "auto" or not configured
        checkpointing = ["none", "blocks"] if open_checkpointing else [engine.activation_checkpointing]
        offloads = [engine.offload_optimizer] if configured else [False, True]
        optimizers = ["adamw", "adamw8bit"] if optim.name == "adamw" and not configured else [optim.name]
        return [
            Settings(name, recompute, offload, optimizer, engine.micro_batch)
            for offload, optimizer, name, recompute in itertools.product(offloads, optimizers, names, checkpointing)
            if not offload or name == "zero2"
        ]

    def _trace(self, settings: Settings) -> StepTrace:
        keep_gradients = settings.engine == "single" and not self._accumulates(settings)
        half = settings.engine == "zero2" and self.config.engine.precision != "fp32"
        return self.tracer.trace(settings.micro_batch, settings.checkpointing, half, keep_gradients)

    def _accumulates(self, settings: Settings) -> bool:
        return settings.micro_batch * self.gpus < self.config.engine.global_batch

    def _state(self, settings: Settings) -> State:
        ema = self.config.train.ema_decay > 0
        precision = self.config.engine.precision
        return state_bytes(self.sizes, settings, self.gpus, precision, ema, self._accumulates(settings))

    def _estimate(self, settings: Settings, trace: StepTrace, passes_only: bool = False) -> Estimate:
        state = self._state(settings)
        gpu = dict(state.gpu)
        activations, temporary = trace.activations, trace.temporary
        if state.step > trace.peak and not passes_only:  # the optimizer's step needs more than the passes do
            activations, temporary = 0, state.step
        else:
            gpu["gradients"] += trace.gradients
        passes = activations + temporary
        fixed = hardware.fixed(hardware.Range(passes, passes, passes), self.gpus).likely
        gpu |= {"activations": activations, "temporary": temporary, "fixed": int(fixed)}
        return Estimate(settings, gpu, state.host, self.gpus)


def _root(excess: dict[int, int]) -> int:
    """The largest micro-batch without excess on the line through the two known points nearest to that."""
    low, high = sorted(sorted(excess, key=lambda size: abs(excess[size]))[:2])
    slope = (excess[high] - excess[low]) / (high - low)
    return max(0, min(LARGEST, math.floor(high - excess[high] / slope))) if slope > 0 else LARGEST
