"""What the planner says of the large configurations on two cards of 12 GiB: EMA kept, bf16, 80 labels; nothing runs."""

from collections.abc import Iterator

from bench.record import ROOT, Row
from bench.suites import Context
from mlcfast.config import load_config
from mlcfast.planning import Planner, Settings
from mlcfast.planning.format import COMPONENTS

GIB = 2**30
PARTITIONED = (("zero2", "blocks", False, "adamw", 48), ("zero2", "blocks", False, "adamw", 64))
CASES = {  # engine, checkpointing, optimizer on the host, optimizer, micro-batch
    "cvt_w24": (*PARTITIONED, ("zero2", "blocks", True, "adamw", 64)),
    "swin_l": (*PARTITIONED, ("zero2", "blocks", True, "adamw", 64)),
    "resnet101_448": (("ddp", "none", False, "adamw", 32), ("ddp", "blocks", False, "adamw", 64)),
}


def rows(context: Context) -> Iterator[Row]:
    """One row a case: bytes a GPU by component, at the peak, and on the host."""
    for name, cases in CASES.items():
        planner = Planner(load_config(ROOT / "configs" / f"{name}.yaml"), gpus=2, gpu_memory=12 * GIB)
        for case in cases:
            settings = Settings(*case)
            estimate = planner.estimate(settings)
            row = {"config": name, "engine": settings.engine, "checkpointing": settings.checkpointing}
            row |= {"optimizer_on": "host" if settings.offload else "GPU", "micro_batch": settings.micro_batch}
            row |= {f"{component}_bytes": int(estimate.breakdown[component]) for component in COMPONENTS}
            yield row | {"predicted_bytes": int(estimate.peak), "host_bytes": int(estimate.host)}
