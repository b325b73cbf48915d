"""Times the candidates of the Triton kernels' tiles beside each other on this GPU, and writes which are to be used.

A candidate stands in for the choice of arithmetic where it is more than 3 % faster, by the medians of turns that all
candidates took, at every shape measured that counts as one size (mlcfast/ops/tiles.py); of several the fastest on the
whole. One that raises, or whose result is another than arithmetic's choice has, is out. What an earlier run found about
other sizes is kept, unless its file holds for another Triton or other candidates.
"""

import json
import math
import statistics
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from bench.cases.tiles import Launch, Step, launches
from bench.report.comparisons import EVEN
from bench.suites import Context, Rows, SkippedError, attempt, first_line
from bench.timing import gpu_seconds, quantiles_ms
from mlcfast.files import published
from mlcfast.ops import tile_file, tiles
from mlcfast.ops.tile_file import Card, Key, Tile

LONGEST = 15.0  # seconds that a shape may take with its compilation
TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 1e-2, torch.float16: 2e-3}  # of the norm
Medians = dict[str, float]  # candidate, by its name -> seconds


def rows(context: Context) -> Rows:
    """One row a candidate and shape; the file is written anew after each shape."""
    if not context.on_gpu:
        raise SkippedError("needs a GPU")
    card = tile_file.card_of(torch.device("cuda", torch.cuda.current_device()))
    found: dict[Key, list[Medians]] = {}
    for launch in launches(context.listed("batch", (16, 64))):
        if launch.kernel in context.listed("kernels", tuple(tiles.CANDIDATES)):
            shape, dtype = "×".join(map(str, launch.shape)), str(launch.dtype).removeprefix("torch.")
            row = {"kernel": launch.kernel, "shape": shape, "dtype": dtype}
            proven = [(launch.operator, "triton")] if launch.operator else []
            yield from attempt(context, LONGEST, row, partial(measure, launch, card, found, context), *proven)


def measure(launch: Launch, card: Card, found: dict[Key, list[Medians]], context: Context) -> Rows:
    """Rows of every candidate at one shape; its medians join `found`, and what follows from that the card's file."""
    kernel, candidates = launch.kernel, {name(each): each for each in tiles.CANDIDATES[launch.kernel]}
    step = launch.step(context.device)
    with tiles.forced(kernel, tiles.CANDIDATES[kernel][0]) as asked:
        step()
    (key,) = asked
    default = name(tiles.by_arithmetic(key, card.multiprocessors))
    steps = {each: under(kernel, tile, step) for each, tile in candidates.items()}
    expected = steps[default]()
    for each in candidates:
        reason = trouble(steps[each], expected)
        if reason:
            del steps[each]
            yield {"contender": each, "refused": reason}
    rounds = context.options.get("rounds") or 50
    times = gpu_seconds(steps, rounds)
    found.setdefault(key, []).append({each: statistics.median(seconds) for each, seconds in times.items()})
    chosen = winner(default, found[key])
    write(card, {key: candidates[chosen]})
    for each, seconds in times.items():
        yield {"contender": each, **quantiles_ms(seconds), "rounds": rounds, "chosen": each == chosen}


def trouble(step: Step, expected: tuple[Tensor, ...]) -> str | None:
    """Why a candidate is out: what it raised, or how far its result is from the one expected; None where it is not."""
    try:
        results = step()
    except Exception as error:  # a tile that this card has no room for, in whatever way that shows
        return first_line(error)
    for result, other in zip(results, expected, strict=True):
        difference, size = (float(x.float().norm()) for x in (result.float() - other.float(), other))
        if not difference <= TOLERANCE[result.dtype] * size:
            return f"differs by {difference:.1e}, of a norm of {size:.1e}"
    return None


def winner(default: str, medians: list[Medians]) -> str:
    """The candidate that is taken at shapes with these medians, by the rule at the top."""
    common = [each for each in medians[0] if all(each in shape for shape in medians)]
    ratios = {each: [shape[each] / shape[default] for shape in medians] for each in common}
    better = [each for each in common if max(ratios[each]) * EVEN < 1]
    return min(better, key=lambda each: math.prod(ratios[each]), default=default)


def write(card: Card, found: dict[Key, Tile]) -> None:
    """Put choices beside those of the card's file that still hold."""
    path = tile_file.path_of(card)
    chosen = tile_file.read(card, tiles.CANDIDATES) | found
    path.parent.mkdir(parents=True, exist_ok=True)
    with published(path) as draft:
        draft.write_text(json.dumps(tile_file.document(card, tiles.CANDIDATES, chosen), indent=1), encoding="utf-8")
    tiles.forget()


def name(tile: Tile) -> str:
    """Of a candidate, in the record."""
    return " ".join(f"{key}={value}" for key, value in tile.items())


def under(kernel: str, tile: Tile, step: Step) -> Callable[[], tuple[Tensor, ...]]:
    """The step with this tile."""

    def run() -> tuple[Tensor, ...]:
        with tiles.forced(kernel, tile):
            return step()

    return run
