"""What the label estimator's table costs a ROLE step: `python -m bench.label_table` appends to bench/results/.

Forward, backward and optimizer step at 16×80 for tables of 1,000 and of 82,081 images: TableAdam on sparse rows beside
dense gradients with torch's fused Adam. Also the largest difference of the two tables after 300 steps.
"""

import json
from collections.abc import Callable
from pathlib import Path

import torch

from bench.timing import interleaved, provenance, quantiles_ms
from mlcfast.losses import LabelEstimator, ROLELoss, TableAdam

RESULTS = Path(__file__).resolve().parent / "results" / "label_table.jsonl"
B, K = 16, 80


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


def main() -> None:
    """Measure, print and append."""
    made = {(images, sparse): make(images, sparse) for images in (1000, 82081) for sparse in (True, False)}
    seconds = interleaved({key: stepper(*made[key]) for key in made}, 300, "cpu")
    made[82081, True][1].catch_up()
    tables = [made[82081, sparse][0].table.detach() for sparse in (True, False)]
    difference = float((tables[0] - tables[1]).abs().max())
    with RESULTS.open("a") as file:
        for (images, sparse), times in seconds.items():
            name = "sparse rows, TableAdam" if sparse else "dense, fused Adam"
            row = {"images": images, "B": B, "K": K, "contender": name, **quantiles_ms(times), **provenance("cpu")}
            row |= {"largest_difference": difference} if images == 82081 else {}
            file.write(json.dumps(row) + "\n")
            print(json.dumps(row))


if __name__ == "__main__":
    main()
