"""A checkpoint is taken over by any engine on any number of processes: the full state, to the bit.

The quick part goes from two processes to one; `MLCFAST_CHANGES=all pytest tests/faults/test_changes.py` makes all nine
changes among 1, 2 and 4 processes, and with them all of the engine: 49. That each image is seen once an epoch all the
same is a matter of the samplers (tests/data/test_samplers.py).
"""

import itertools
import os
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from mlcfast.engine import BackgroundSave, Engine, EngineState, Process, load_checkpoint
from tests.engine import test_label_table as role
from tests.ranks import start_ranks

ALL = os.environ.get("MLCFAST_CHANGES") == "all"
BEFORE, AFTER = ((1, 2, 4), (1, 2, 4)) if ALL else ((2,), (1,))
STEPS = 3
KINDS = ("weights", "average", "moments")
TABLE = "estimator.table"  # single and DDP step a row when it is met and keep no average of it; ZeRO-2 does


def engines_of(processes: int) -> list[str]:
    return ["ddp", "zero2"] if processes > 1 else ["single", "ddp", "zero2"]


def engine_of(name: str, process: Process) -> Engine:
    """Of a linear model with its label estimates, whose rows single and DDP step lazily and ZeRO-2 does not."""
    words = [f"engine.name={name}", f"engine.micro_batch={role.B // process.world_size}"]
    return role.engine_of(*words, process=process)


def write(process: Process, folder: Path) -> None:
    """A checkpoint of each engine, and beside it the state as every rank exports it."""
    for name in engines_of(process.world_size):
        engine, place = engine_of(name, process), folder / f"{name}{process.world_size}"
        role.train(engine, range(STEPS), process.world_size, process.rank)
        background = BackgroundSave(process, place, keep=1)
        background.begin(STEPS, engine.share_of_state(), {"step": STEPS})
        assert background.collect(wait=True) == (STEPS, None)
        torch.save(vars(engine.export_state()), f"{place}.{process.rank}")


def read(process: Process, folder: Path) -> None:
    """What differs after each checkpoint was loaded, and how far a step then goes; a file a change."""
    for name, file in itertools.product(engines_of(process.world_size), sorted(folder.glob("*.0"))):
        state, _ = load_checkpoint(folder / file.stem / f"{STEPS:08d}")
        engine = engine_of(name, process)
        engine.load_state(state)
        taken, held = engine.export_state(), EngineState(**torch.load(file))
        for each in (taken, held):
            each.average.pop(TABLE, None)
        wrong = [kind for kind in KINDS if not same(getattr(taken, kind), getattr(held, kind))]
        wrong += [] if taken.average_steps == held.average_steps == STEPS else ["average_steps"]
        role.train(engine, range(STEPS, STEPS + 2), process.world_size, process.rank)
        result = (wrong, vars(engine.export_state()))
        torch.save(result, folder / f"{file.stem}-{name}{process.world_size}.{process.rank}.read")


def same(one: dict, other: dict) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def _rank(rank: int, world_size: int, folder: str, work: str) -> None:
    torch.set_num_threads(1)
    os.environ["LOCAL_RANK"] = str(rank)  # DeepSpeed asks for it
    store = dist.FileStore(f"{folder}/{work}{world_size}.store", world_size)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=world_size)
    {"write": write, "read": read}[work](Process(rank, rank, world_size, "torchrun"), Path(folder))
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("changes")
    for work, numbers in (("write", BEFORE), ("read", AFTER)):
        for number in numbers:
            start_ranks(_rank, (number, str(root), work), number)
    return root


def test_each_engine_takes_over_each_checkpoint(folder, tally):
    before, after = ([f"{name}{n}" for n in numbers for name in engines_of(n)] for numbers in (BEFORE, AFTER))
    assert len(before) * len(after) == (49 if ALL else 6)
    for one, other in itertools.product(before, after):
        ranks = [torch.load(file) for file in sorted(folder.glob(f"{one}-{other}.*.read"))]
        assert len(ranks) == int(other[-1])
        for wrong, state in ranks:
            assert wrong == [], (one, other)
            for kind in KINDS:  # and goes on the same way on every rank, as the engine did that wrote it
                assert same(state[kind], ranks[0][1][kind]), (one, other, kind)
        went_on = torch.load(folder / f"{one}-{after[0]}.0.read")[1]
        for state in (ranks[0][1], went_on):
            state["average"].pop(TABLE, None)
        role.assert_same(EngineState(**ranks[0][1]), EngineState(**went_on), **role.CLOSE)
        tally["changes of engine and processes: the state taken over to the bit, and a step on it alike"] += 1


def test_ranks_write_the_state_that_each_of_them_has(folder):
    for name in (f"{name}{n}" for n in BEFORE for name in engines_of(n)):
        states = [torch.load(folder / f"{name}.{rank}") for rank in range(int(name[-1]))]
        loaded, _ = load_checkpoint(folder / name / f"{STEPS:08d}")
        for kind, state in itertools.product(KINDS, states):
            assert same(getattr(loaded, kind), state[kind]), (name, kind)
