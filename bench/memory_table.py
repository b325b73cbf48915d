"""The tables of docs/memory.md, from the planner: python -m bench.memory_table."""

from pathlib import Path

from bench.reporting.markdown import replace_between
from mlcfast.config import load_config
from mlcfast.planning import Estimate, Planner, Settings
from mlcfast.planning.format import COMPONENTS

ROOT = Path(__file__).parents[1]
GIB = 2**30
CASES = {
    "cvt_w24": (
        Settings("zero2", "blocks", False, "adamw", 48),
        Settings("zero2", "blocks", False, "adamw", 64),
        Settings("zero2", "blocks", True, "adamw", 64),
    ),
    "swin_l": (
        Settings("zero2", "blocks", False, "adamw", 48),
        Settings("zero2", "blocks", False, "adamw", 64),
        Settings("zero2", "blocks", True, "adamw", 64),
    ),
    "resnet101_448": (
        Settings("ddp", "none", False, "adamw", 32),
        Settings("ddp", "blocks", False, "adamw", 64),
    ),
}


def rows(name: str, planner: Planner) -> list[str]:
    """A row of the table for each case of a configuration."""
    return [_row(name, planner, settings) for settings in CASES[name]]


def _row(name: str, planner: Planner, settings: Settings) -> str:
    estimate: Estimate = planner.estimate(settings)
    cells = [name, settings.engine, settings.checkpointing, "host" if settings.offload else "GPU"]
    cells += [str(settings.micro_batch)]
    cells += [f"{estimate.breakdown[component] / GIB:.2f}" for component in COMPONENTS]
    cells += [f"{estimate.peak / GIB:.2f}", f"{estimate.host / GIB:.2f}"]
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    """Rewrite the table between its markers."""
    head = ["configuration", "engine", "checkpointing", "optimizer on", "micro-batch", *COMPONENTS, "peak", "host"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for name in CASES:
        planner = Planner(load_config(ROOT / "configs" / f"{name}.yaml"), gpus=2, gpu_memory=12 * GIB)
        lines += rows(name, planner)
    replace_between(ROOT / "docs" / "memory.md", "\n".join(lines), "<!-- planned -->", "<!-- end -->")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
