"""The tiles' suite: what made-up times choose, what it writes, and what it refuses."""

import pytest
import torch

from bench.cases.tiles import Launch, launches
from bench.record import Gate
from bench.suites import Context, measured, tiles
from mlcfast.ops import tile_file
from mlcfast.ops import tiles as choice
from mlcfast.ops.tile_file import Card

pytest.importorskip("triton")

CARD = Card("NVIDIA GeForce RTX 3060", "8.6", 28)
LAUNCH = Launch("weights_kernel", (1, 5, 3, 2), torch.float32)
KEY = ("weights_kernel", 4, 3, 3)
CANDIDATES = choice.CANDIDATES["weights_kernel"]
FIRST, SECOND, THIRD, *_ = NAMES = [tiles.name(tile) for tile in CANDIDATES]


@pytest.mark.parametrize(
    ("medians", "expected"),
    [
        ([{"a": 1.0, "b": 0.9, "c": 0.8}], "c"),
        ([{"a": 1.0, "b": 0.98}], "a"),  # within 3 %
        ([{"a": 1.0, "b": 1.5}], "a"),
        ([{"a": 1.0, "b": 0.5}, {"a": 1.0, "b": 0.98}], "a"),  # not everywhere
        ([{"a": 1.0, "b": 0.9, "c": 0.6}, {"a": 2.0, "b": 1.8, "c": 1.9}], "c"),
        ([{"a": 1.0, "b": 0.9}, {"a": 1.0, "b": 0.9, "c": 0.1}], "b"),  # c was not measured everywhere
        ([{"a": 1.0}], "a"),
    ],
)
def test_only_what_is_faster_everywhere_is_taken(medians, expected):
    assert tiles.winner("a", medians) == expected


@pytest.fixture
def context(tmp_path, monkeypatch):
    """A suite whose steps do not launch: an operator's result is made up, and its times are `times`."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    made = Context("cpu", 60.0, tmp_path / "record.jsonl", Gate(tmp_path / "record.jsonl"))
    made.times = dict.fromkeys(NAMES, 1.0)
    monkeypatch.setattr(tiles, "gpu_seconds", lambda steps, rounds: {each: [made.times[each]] * 3 for each in steps})
    made.wrong, made.impossible = [], []

    def step() -> tuple[torch.Tensor, ...]:
        taken = choice.chosen_tile("weights_kernel", torch.empty(1), 6, 5)
        if taken in made.impossible:
            raise RuntimeError("out of resource: shared memory")
        return torch.ones(3), torch.full((2,), float("nan") if taken in made.wrong else 1.0)

    monkeypatch.setattr(Launch, "step", lambda self, device: step)
    return made


def run(context, found=None):
    return {row["contender"]: row for row in tiles.measure(LAUNCH, CARD, {} if found is None else found, context)}


def written():
    return tile_file.read(CARD, choice.CANDIDATES)


def test_the_fastest_is_written_and_followed(context):
    context.times[SECOND] = 0.8
    rows = run(context)
    assert written() == {KEY: CANDIDATES[1]}
    assert [name for name, row in rows.items() if row["chosen"]] == [SECOND] and len(rows) == len(CANDIDATES)


def test_where_nothing_is_faster_the_choice_of_arithmetic_is_written(context):
    run(context)
    assert written() == {KEY: CANDIDATES[0]}


def test_shapes_of_one_size_are_judged_together(context):
    context.times[SECOND] = 0.5
    found = {}
    run(context, found)
    context.times[SECOND] = 1.1
    run(context, found)
    assert written() == {KEY: CANDIDATES[0]} and len(found[KEY]) == 2


def test_what_is_wrong_or_does_not_run_is_not_timed(context):
    context.wrong, context.impossible = [CANDIDATES[1]], [CANDIDATES[2]]
    context.times |= {SECOND: 0.1, THIRD: 0.1}
    rows = run(context)
    assert rows[SECOND]["refused"].startswith("differs by nan")
    assert rows[THIRD]["refused"] == "RuntimeError: out of resource: shared memory"
    assert written() == {KEY: CANDIDATES[0]}


def test_other_sizes_are_kept_and_foreign_files_replaced(context):
    other = ("weights_kernel", 2, 13, 10)
    tiles.write(CARD, {other: CANDIDATES[3]})
    run(context)
    assert written() == {KEY: CANDIDATES[0], other: CANDIDATES[3]}
    path = tile_file.path_of(CARD)
    path.write_text(path.read_text().replace(CARD.capability, "9.0"))
    run(context)
    assert written() == {KEY: CANDIDATES[0]}


def test_without_a_gpu_there_is_nothing_to_measure(context):
    assert list(measured("tiles", context)) == [{"event": "skipped", "reason": "needs a GPU"}]


def test_every_kernel_with_candidates_is_launched():
    found = list(launches((16, 64)))
    assert {launch.kernel for launch in found} == set(choice.CANDIDATES)
    assert Launch("weights_kernel", (64, 576, 80, 4), torch.bfloat16, "label_query_attention") in found
