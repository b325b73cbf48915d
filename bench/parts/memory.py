"""The 12 GiB proofs: real steps of the large configurations on a GPU held to 12 GiB, beside what the planner said."""

from collections.abc import Iterator

import torch

from bench.part import Context, SkippedError, needs

LONGEST = 15.0  # seconds to trace, build and take the steps of one configuration
STEPS = 4


def rows(context: Context) -> Iterator[dict]:
    """One row a configuration; one that does not fit says so."""
    if not context.on_gpu:
        raise SkippedError("needs a GPU")
    needs("pydantic", "yaml")
    from bench.memory_proof import NAMES, hold, measure, release

    hold(12)
    for name in NAMES:
        if context.left() < LONGEST:
            return
        try:
            yield measure(name, STEPS)
        except (RuntimeError, torch.OutOfMemoryError) as error:
            yield {"config": name, "refused": f"{type(error).__name__}: {str(error).splitlines()[0][:200]}"}
        release()
