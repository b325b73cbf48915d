"""What the label estimator's table costs a ROLE step: forward, backward and optimizer step at 16×80 on the CPU.

For tables of 1,000 and of 82,081 images: TableAdam on sparse rows beside dense gradients with torch's fused Adam. Also
the largest difference of the two tables after the rounds.

Options: rounds=300.
"""

from collections.abc import Callable, Iterator

import torch

from bench.record import Row
from bench.suites import Context, cpu_only
from bench.timing import interleaved, quantiles_ms
from mlcfast.losses import LabelEstimator, ROLELoss, TableAdam
from mlcfast.ops.backend import choose

B, K, SMALL, COCO = 16, 80, 1000, 82_081
NAMES = {True: "sparse rows, TableAdam", False: "dense, fused Adam"}


def rows(context: Context) -> Iterator[Row]:
    """One row a table and optimizer."""
    cpu_only(context)
    refused = context.refusal(("role_loss", choose("cpu")))
    if refused:
        yield {"refused": refused}
        return
    made = {(images, sparse): make(images, sparse) for images in (SMALL, COCO) for sparse in NAMES}
    rounds = context.options["rounds"]
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
