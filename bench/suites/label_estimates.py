"""What the label estimator's table costs a ROLE step: forward, backward and optimizer step at 16×80 on the CPU.

TableAdam on sparse rows beside dense gradients with torch's fused Adam, and how much the tables differ in the end.
"""

from collections.abc import Callable
from functools import partial

import torch

from bench.suites import Context, Rows, attempt
from bench.timing import interleaved, quantiles_ms
from mlcfast.losses import LabelEstimator, ROLELoss, TableAdam
from mlcfast.ops.backend import choose

B, K, SMALL, COCO = 16, 80, 1000, 82_081
LONGEST = 5.0  # seconds
NAMES = {True: "sparse rows, TableAdam", False: "dense, fused Adam"}


def rows(context: Context) -> Rows:
    """One row a table and optimizer."""
    context.cpu_only()
    return attempt(context, LONGEST, {}, partial(measure, context.options["rounds"]), ("role_loss", choose("cpu")))


def measure(rounds: int) -> Rows:
    """All four take turns."""
    made = {(images, sparse): make(images, sparse) for images in (SMALL, COCO) for sparse in NAMES}
    seconds = interleaved({key: stepper(*made[key]) for key in made}, rounds, "cpu")
    made[COCO, True][1].catch_up()
    tables = [made[COCO, sparse][0].table.detach() for sparse in NAMES]
    difference = float((tables[0] - tables[1]).abs().max())
    for (images, sparse), times in seconds.items():
        row = {"images": images, "B": B, "K": K, "contender": NAMES[sparse], **quantiles_ms(times), "rounds": rounds}
        yield row | ({"largest_difference": difference} if images == COCO else {})


def make(images: int, sparse: bool) -> tuple[LabelEstimator, torch.optim.Optimizer]:
    """An estimator and its optimizer."""
    estimator = LabelEstimator(images, K, None, torch.Generator().manual_seed(0), sparse=sparse)
    if sparse:
        return estimator, TableAdam(estimator, lr=1e-2)
    return estimator, torch.optim.Adam(estimator.parameters(), lr=1e-2, fused=True)


def stepper(estimator: LabelEstimator, optimizer: torch.optim.Optimizer) -> Callable[[], None]:
    """One step on random logits and random distinct images, the same for every stepper made."""
    random, loss = torch.Generator().manual_seed(1), ROLELoss(2.9)

    def step() -> None:
        index = torch.randint(0, estimator.table.shape[0], (B,), generator=random)
        logits = torch.randn(B, K, generator=random, requires_grad=True)
        labels = torch.rand(B, K, generator=random) < 0.02
        optimizer.zero_grad()
        rows = estimator.rows(index) if estimator.sparse else estimator(index)
        loss(logits, labels, rows).backward()
        optimizer.step()

    return step
