"""Settles `engine.compile: auto` before the first step of a process: by trying, or as the run was trained before."""

import logging
import math
from collections.abc import Callable, Mapping

from mlcfast.engine import Choice, Engine, Work, choose_form, keep_form
from mlcfast.engine.compiling import EAGER, Timing
from mlcfast.runs.journal import Journal
from mlcfast.training.progress import Progress

LOGGER = logging.getLogger("mlcfast")


def settle_form(
    engine: Engine, work: Work, progress: Progress, journal: Journal, interrupted: Callable[[], bool]
) -> str:
    """Let the engine's model train in one form from here on and say which and why, in the log and an event `compile`.

    A run that was trained before keeps its form: another one's last bits differ. interrupted: see choose_form. Returns
    the form for the progress that is saved, "" where none was settled. A collective.
    """
    before = progress.form
    choice = keep_form(engine, work, before) if before else choose_form(engine, work, interrupted)
    changed = before not in ("", choice.form)
    (LOGGER.warning if changed else LOGGER.info)("engine.compile=auto: %s", in_words(choice))
    timings = {form: _as_json(timing) for form, timing in choice.timings.items()}
    journal.record("compile", progress.step, form=choice.form, why=choice.why, timings=timings)
    return choice.form


def in_words(choice: Choice) -> str:
    """`compiled, repaid after 310 of 8000 micro-batches; a micro-batch takes 0.12 s eager, 0.09 s compiled …`."""
    figures = [_figures(form, timing) for form, timing in choice.timings.items()]
    beside = f"; a micro-batch takes {', '.join(figures)}" if figures else ""
    return f"{choice.form or 'not decided'}, {choice.why}{beside}"


def _figures(form: str, timing: Timing) -> str:
    if timing.failure:
        return f"{form} none ({timing.failure})"
    compiling = "" if form == EAGER else f" after {timing.first:.3g} s of compiling"
    return f"{1000 * timing.step:.4g} ms {form}{compiling}"


def _as_json(timing: Timing) -> Mapping[str, float | str | None]:
    if timing.failure:
        return {"failure": timing.failure}
    return {name: value if math.isfinite(value) else None for name, value in vars(timing).items() if name != "failure"}
