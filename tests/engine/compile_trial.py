"""Stands in for the compiler and for the clock where `engine.compile: auto` is tried, and a process that tries it.

python -m tests.engine.compile_trial OUT key=value …
"""

import sys
from collections.abc import Callable, Mapping

import pytest
import torch
from torch import nn

from mlcfast.engine import Choice, Engine, Work, build_engine, choose_form, compiling, discover, internals, start, stop
from mlcfast.engine.compiling import COMPILED, EAGER, GRAPHS, OPTIONS
from tests.engine import runner

FIRST, STEP = {EAGER: 1.0, COMPILED: 80.0, GRAPHS: 90.0}, {EAGER: 1.0, COMPILED: 0.75, GRAPHS: 0.5}
LONG = 10_000  # micro-batches, which make every seconds of STEP worth trying


class Stage:
    """A device that takes `step` seconds for each forward pass by form and `first` for the first; and what was asked.

    compile: takes the model and the options, in place of the compiler; without it the model stays as it is written.
    """

    def __init__(self, model: nn.Module, step: Mapping[str, float] = STEP, first: Mapping[str, float] = FIRST):
        self.step, self.first, self.now = dict(step), dict(first), 0.0
        self.forms: list[str] = []  # in the order in which they were asked for
        self.passes = self.forgotten = 0
        self.compile: Callable[[nn.Module, Mapping | None], object] = lambda model, options: None
        self.handle = model.register_forward_pre_hook(self._passes)

    def _passes(self, model: nn.Module, args: tuple) -> None:
        form = self.forms[-1] if self.forms else EAGER
        self.now += (self.step if self.passes else self.first)[form]
        self.passes += 1

    def execute_as(self, model: nn.Module, options: Mapping | None) -> None:
        """In place of internals.execute_as."""
        self.forms.append(next(form for form, known in OPTIONS.items() if known is options))
        self.passes = 0
        self.compile(model, options)

    def clock(self) -> float:
        """Seconds that the passes so far have taken."""
        return self.now


def set_up(patch: pytest.MonkeyPatch, stage: Stage) -> None:
    """Try forms on the CPU too, by this stage in place of the compiler and the clock."""

    def forget() -> None:
        stage.forgotten += 1

    patch.setattr(compiling, "compiles", lambda device: True)
    patch.setattr(compiling, "execute_as", stage.execute_as)
    patch.setattr(compiling, "_seconds", lambda device: stage.clock())
    patch.setattr(torch.compiler, "reset", forget)


def by_dynamo(model: nn.Module, options: Mapping | None) -> None:
    """The compiler as it is, but for the kernels that it would make."""
    internals.execute_as(model, None if options is None else {"backend": "aot_eager", "dynamic": False})


def tried(engine: Engine, stage: Stage, images: torch.Tensor, left: int = LONG, accumulation: int = 1) -> Choice:
    with pytest.MonkeyPatch.context() as patch:
        set_up(patch, stage)
        return choose_form(engine, Work(images, accumulation, left))


def main() -> None:
    out, overrides = sys.argv[1], sys.argv[2:]
    process = discover()
    config = runner.config_of(overrides)
    start(process)
    images = runner.batch(0)[0][: config.engine.micro_batch]
    results: dict = {"choices": {}, "compiled": {}}
    for name, compiled in (("not tried", None), ("slow", 0.99), ("fails", 0.3), ("fast", 0.5)):
        engine = build_engine(config, process, runner.training_module())
        if compiled is not None:
            # Rank 0 by itself would find the compiled form fast in every case.
            stage = Stage(engine.training_module.model, {EAGER: 1.0, COMPILED: compiled if process.rank else 0.3})
            stage.compile = by_dynamo
            if name == "fails" and process.rank == 1:
                del stage.step[COMPILED], stage.first[COMPILED]
            choice = tried(engine, stage, images)
            results["choices"][name] = (choice.form, choice.why, stage.forms)
            stage.handle.remove()
        runner.train(engine, config.engine.micro_batch)
        results["compiled"][name] = engine.training_module.model._compiled_call_impl is not None
        results[name] = vars(engine.export_state())
    torch.save(results, f"{out}.{process.rank}")
    stop()


if __name__ == "__main__":
    main()
