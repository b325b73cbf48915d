"""Random ranks killed at random moments; the run resumed is that which nothing befell, bit for bit.

The quick part kills a run of one process. `MLCFAST_KILLS=300 pytest tests/faults/test_kills.py` makes that many
kills, a third each of a single process, of DDP and of ZeRO-2 on two processes, and a third as many stops by SIGTERM. A
test is a trial.
"""

import os
import random
import shutil
import signal

import pytest
import safetensors.torch
import torch

from mlcfast.runs.directory import complete_checkpoints
from tests.faults.crew import LAST, Crew
from tests.faults.test_save_points import require_whole
from tests.faults.test_signals import events

KILLS = int(os.environ.get("MLCFAST_KILLS", "0"))
ENGINES = ("single", "ddp", "zero2") if KILLS else ("single",)
EACH = -(-KILLS // len(ENGINES)) or 1
TRIALS = [(signal.SIGKILL, number) for number in range(EACH)]
TRIALS += [(signal.SIGTERM, number) for number in range(-(-EACH // 3))] if KILLS else []  # test_signals.py has some
SECONDS = 60  # in which the other ranks end


@pytest.fixture(scope="module", params=ENGINES)
def crew(request, tmp_path_factory) -> Crew:
    """With a run that nothing befell in `whole`."""
    made = Crew(tmp_path_factory.mktemp(request.param), request.param)
    ranks = made.started("whole")
    assert set(made.ended(ranks)) == {0}, made.said("whole")
    return made


def require_equal(crew: Crew, name: str) -> None:
    """Losses, weights, moments, averages and estimates are those of the whole run, to the bit."""
    mine, whole = crew.directory(name), crew.directory("whole")
    require_whole(mine)
    for kind in ("train", "evaluation"):
        assert events(mine.path, kind) == events(whole.path, kind), kind
    for file in ("weights", "average", "moments"):
        one, other = (
            safetensors.torch.load_file(each.checkpoints / f"{LAST:08d}" / f"{file}.safetensors")
            for each in (mine, whole)
        )
        assert one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one), file
    assert mine.read_outcome()["validation_mAP"] == whole.read_outcome()["validation_mAP"]
    assert mine.best_step() == whole.best_step() and not list(mine.path.rglob("*.partial"))


def resume(crew: Crew, name: str) -> None:
    """Go on where there is a checkpoint, else begin anew; then the run has ended as it should."""
    ranks = crew.started(name, resume=bool(complete_checkpoints(crew.directory(name).checkpoints)))
    assert set(crew.ended(ranks)) == {0}, crew.said(name)
    require_equal(crew, name)


@pytest.mark.parametrize(("kind", "number"), TRIALS, ids=[f"{kind.name}-{number}" for kind, number in TRIALS])
def test_a_rank_is_interrupted_at_random(crew, tally, kind, number):
    name = f"{kind.name}{number}"
    draw = random.Random(f"{crew.engine} {name}")
    statuses, directory = crew.interrupted(name, draw, kind, SECONDS), crew.directory(name)
    said = crew.said(name)
    assert None not in statuses, (statuses, said)
    steps = [line["step"] for line in events(directory.path, "train")]
    latest = directory.checkpoints / "latest"
    saved = latest.read_text() if latest.exists() else "0"
    if kind == signal.SIGTERM and steps[-1] < LAST:  # heard in the loop: the step is finished and saved
        assert set(statuses) == {143} and int(saved) == steps[-1], (statuses, said)
    elif kind == signal.SIGKILL:
        assert -signal.SIGKILL in statuses or set(statuses) == {0}, (statuses, said)
    require_whole(directory)
    resume(crew, name)
    shutil.rmtree(crew.root / name)
    tally[f"ranks sent {kind.name} at a random moment under {crew.engine}, then resumed to the same bits"] += 1
