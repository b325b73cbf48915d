"""A plan as JSON and as lines a person reads."""

from typing import Any

from mlcfast.planning.hardware import GIB
from mlcfast.planning.planner import LARGEST, Estimate, Plan

BOUNDS = ("at least", "at most")
COMPONENTS = ("parameters", "gradients", "optimizer", "ema", "activations", "temporary", "fixed")
UNMEASURED = "counted, not measured: no run on a GPU has checked these figures and their error bar (docs/memory.md)"


def as_json(plan: Plan) -> dict[str, Any]:
    """fits, peak_bytes, breakdown, host_bytes: of the configuration as it stands; settings: the best there are.

    peak_bounds_bytes: the peak's error bar, from its least to its most; settings_bounds_bytes: that of the settings.
    max_micro_batch: at most LARGEST, beyond which it is not looked for. settings: keys of the configuration with their
    values, empty where nothing fits. notes: what the estimate does not know of this configuration.
    """
    estimate = plan.estimate
    return {
        "fits": plan.fits,
        "gpus": plan.gpus,
        "gpu_memory_bytes": plan.gpu_memory,
        "peak_bytes": estimate.peak,
        "peak_bounds_bytes": list(estimate.bounds),
        "allocated_bytes": estimate.allocated,
        "breakdown": {name: estimate.breakdown[name] for name in COMPONENTS},
        "host_bytes": estimate.host,
        "max_micro_batch": plan.max_micro_batch,
        "configured": estimate.settings.overrides(),
        "settings": plan.best.settings.overrides() if plan.best else {},
        "settings_bounds_bytes": list(plan.best.bounds) if plan.best else [],
        "notes": list(plan.notes),
    }


def as_table(plan: Plan) -> str:
    """The configuration's peak by component beside that of the best settings, what is not known of it, what to do."""
    columns = {"as configured": plan.estimate} | ({"fastest that fits": plan.best} if plan.best else {})
    rows = [["GiB a GPU", *columns]]
    rows += [[name, *(_gib(e.breakdown[name]) for e in columns.values())] for name in COMPONENTS]
    rows += [["peak", *(_gib(e.peak) for e in columns.values())]]
    rows += [[f"peak, {bound}", *(_gib(e.bounds[i]) for e in columns.values())] for i, bound in enumerate(BOUNDS)]
    rows += [["host memory", *(_gib(e.host) for e in columns.values())]]
    settings = [estimate.settings.overrides() for estimate in columns.values()]
    rows += [[key, *(str(_yaml(values[key])) for values in settings)] for key in settings[0]]
    return "\n".join([*_aligned(rows), UNMEASURED, *plan.notes, *_verdict(plan)])


def advice(estimate: Estimate | None) -> str:
    """The best settings as words of a command line."""
    if estimate is None:
        return "nothing fits: lower data.image_size, choose a smaller model.backbone or use more GPUs"
    return " ".join(f"{key}={_yaml(value)}" for key, value in estimate.settings.overrides().items())


def _gib(size: int) -> str:
    return f"{size / GIB:.2f}"


def _aligned(rows: list[list[str]]) -> list[str]:
    """A line a row: names to the left, values to the right, each column as wide as its longest cell."""
    name_width, *widths = (max(map(len, column)) for column in zip(*rows, strict=True))
    return [
        "  ".join([name.ljust(name_width), *(cell.rjust(width) for cell, width in zip(cells, widths, strict=True))])
        for name, *cells in rows
    ]


def _yaml(value: Any) -> Any:
    return str(value).lower() if isinstance(value, bool) else value


def _verdict(plan: Plan) -> list[str]:
    room = f"{plan.gpus} x {plan.gpu_memory / GIB:g} GiB"
    verdict = f"fits {room}" if plan.fits else f"does not fit {room}"
    largest = f"{LARGEST} or more" if plan.max_micro_batch >= LARGEST else plan.max_micro_batch
    lines = [f"as configured it {verdict}; its largest micro-batch is {largest}" if largest else f"it {verdict}"]
    lines += _doubt(plan.estimate, plan.gpu_memory)
    if plan.best is None or plan.best.settings != plan.estimate.settings:
        lines += [f"suggested: {advice(plan.best)}", *(_doubt(plan.best, plan.gpu_memory) if plan.best else [])]
    return lines


def _doubt(estimate: Estimate, room: int) -> list[str]:
    """A line where the error bar may turn the verdict round."""
    if not estimate.doubtful(room):
        return []
    least, most = map(_gib, estimate.bounds)
    if estimate.peak > room:
        return [f"it may fit all the same: it takes at least {least} GiB"]
    return [
        f"it may take up to {most} GiB" + (estimate.passes_decide(room) * ": a smaller engine.micro_batch is safer")
    ]
