"""The 12 GiB proofs: real steps of the large configurations on a GPU held to 12 GiB, beside what the planner said."""

from collections.abc import Iterator

from bench.part import Context, SkippedError, first_line, needs

LONGEST = 15.0  # seconds to trace, build and take the steps of one configuration
STEPS = 4


def rows(context: Context) -> Iterator[dict]:
    """One row a configuration; one that does not fit, or fails, says so."""
    if not context.on_gpu:
        raise SkippedError("needs a GPU")
    needs("pydantic", "yaml")
    from bench.memory_proof import NAMES, measure

    for name in NAMES:
        if context.left() < LONGEST:
            return
        try:
            row = measure(name, STEPS)
        except Exception as error:  # whatever one configuration raises, the others are still to be measured
            row = {"config": name, "refused": first_line(error)}
        yield row
