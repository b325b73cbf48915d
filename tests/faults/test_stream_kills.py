"""A run on shards killed at random and resumed again and again streams what it streams uninterrupted.

What is compared is the number of each image, read off its pixels, at each step of training on each rank. The quick part
kills a run of one process once. `MLCFAST_STREAM_KILLS=50 pytest tests/faults/test_stream_kills.py` makes that many
kills, a quarter each with 1 and 2 ranks and 0 and 2 workers, of runs on `.tar` and on Parquet shards.
"""

import functools
import json
import multiprocessing
import os
import random
import shutil
import signal
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mlcfast.runs.directory import complete_checkpoints, find_checkpoints
from tests.data.test_packed import IMAGES, seen, write_parquet, write_tars
from tests.faults.crew import RANKS, Crew, rank_of_run

KILLS = int(os.environ.get("MLCFAST_STREAM_KILLS", "0"))
CASES = [(engine, workers) for engine in ("single", "ddp") for workers in (0, 2)] if KILLS else [("single", 0)]
EACH = -(-KILLS // len(CASES)) or 1
KINDS = {"tar": write_tars, "parquet": write_parquet}
GLOBAL_BATCH, EPOCHS = 4, 5 if KILLS else 2
EPOCH_STEPS = IMAGES // GLOBAL_BATCH
STEPS = EPOCHS * EPOCH_STEPS
PATIENCE = 1800  # seconds for an attempt
Order = dict[int, list[int]]  # of each step, the images of its global batch


def rank_that_notes(*arguments: Any, notes: Path, starts_over: bool = False) -> None:
    """A rank of a run that writes down the images of each step before it takes it.

    starts_over: the planted fault: an epoch that is resumed is read from its beginning.
    """
    from mlcfast.data.samplers import TrainSampler
    from mlcfast.training.trainer import Trainer

    multiprocessing.set_start_method("fork", force=True)  # of data workers, as in a run that a command began
    original, position, rank = Trainer._step, TrainSampler.set_position, arguments[3]

    def noted(step: int, micro_batches: Iterable[tuple[Any, ...]], file: Any) -> Iterator[tuple[Any, ...]]:
        for batch in micro_batches:
            file.write(json.dumps([step, seen(batch)]) + "\n")
            yield batch

    def stepped(self: Trainer, micro_batches: Iterable[tuple[Any, ...]]) -> None:
        with (notes / f"{rank}.jsonl").open("a", encoding="utf-8", buffering=1) as file:
            original(self, noted(self.progress.step, micro_batches, file))

    Trainer._step = stepped
    if starts_over:
        TrainSampler.set_position = lambda self, epoch, consumed=0: position(self, epoch, 0)
    rank_of_run(*arguments)


class Streaming(Crew):
    """Runs on shards of one kind, with data workers."""

    def __init__(self, root: Path, engine: str, workers: int, kind: str):
        self.workers, self.kind = workers, kind
        super().__init__(root, engine)

    def settings(self) -> dict[str, Any]:
        """A configuration whose every epoch has room for all images of the shards."""
        shards = self.root / "shards"
        for split in ("train", "val"):
            (shards / split).mkdir(parents=True)
            KINDS[self.kind](shards / split)
        return {
            "name": "tiny", "output": str(self.root),
            "data": {
                "format": "auto", "root": str(shards), "stream": True, "stream_buffer": 6, "allow_overlap": True,
                "image_size": 32, "augment": "none", "mean": [0, 0, 0], "std": [1, 1, 1], "workers": self.workers,
            },
            "model": {"backbone": "test_resnet", "weights": "none", "head": "linear"},
            "engine": {"name": self.engine, "precision": "fp32", "micro_batch": 2, "global_batch": GLOBAL_BATCH},
            "train": {"epochs": EPOCHS, "log_every": 1, "checkpoint_every": 2},
        }  # fmt: skip

    def saved(self, name: str) -> int:
        """The step that a resumed run goes on from; 0 where it begins anew."""
        directory = self.directory(name)
        return int(find_checkpoints(directory.path)[0].name) if complete_checkpoints(directory.checkpoints) else 0

    def attempt(self, name: str, number: int, kill: random.Random | None = None, starts_over: bool = False) -> bool:
        """Begin or go on with a run, to its end or until a rank is killed; whether it came to its end.

        What it streamed is in the directory `number` of the run's.
        """
        notes, begins = self.root / name / str(number), self.saved(name)
        notes.mkdir(parents=True)
        work = functools.partial(rank_that_notes, notes=notes, starts_over=starts_over)
        ranks = self.started(name, resume=begins > 0, work=work)
        if kill is not None:
            file, step = notes / "0.jsonl", begins + kill.randrange(1, 9)
            until = time.monotonic() + PATIENCE
            while time.monotonic() < until and all(process.is_alive() for process in ranks):
                if file.exists() and f"\n[{step}, " in file.read_text(encoding="utf-8"):
                    break
                time.sleep(0.002)
            time.sleep(kill.random() * 0.2)
            victim = kill.choice(ranks)
            if victim.is_alive():
                os.kill(victim.pid, signal.SIGKILL)
        statuses = self.ended(ranks, PATIENCE)
        assert None not in statuses, (statuses, self.said(name))
        if kill is None or -signal.SIGKILL not in statuses:
            assert set(statuses) == {0}, (statuses, self.said(name))
        return set(statuses) == {0}


def streamed(notes: Path) -> Order:
    """What one attempt streamed, of all ranks: its whole steps, which must follow each other."""
    ranks = [
        [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines(keepends=True) if line[-1] == "\n"]
        for file in sorted(notes.glob("*.jsonl"))
    ]
    steps = sorted({step for lines in ranks for step, _ in lines})
    assert steps == list(range(steps[0], steps[-1] + 1)) if steps else True
    order = {step: [n for lines in ranks for of, images in lines if of == step for n in images] for step in steps}
    return {step: images for step, images in order.items() if len(images) == GLOBAL_BATCH}


def require_each_image_once_an_epoch(order: Order) -> None:
    assert sorted(order) == list(range(STEPS))
    for first in range(0, STEPS, EPOCH_STEPS):
        epoch = [number for step in range(first, first + EPOCH_STEPS) for number in order[step]]
        assert sorted(epoch) == list(range(IMAGES))


def require_same(order: Order, whole: Order, begins: int) -> None:
    """An attempt from step `begins` on streamed what the uninterrupted run did."""
    assert not order or min(order) == begins
    assert order == {step: whole[step] for step in order}


@pytest.fixture(scope="module", params=CASES, ids=[f"{engine}-{workers}-workers" for engine, workers in CASES])
def crews(request, tmp_path_factory) -> list[Streaming]:
    kinds = KINDS if KILLS else ["tar"]
    engine, workers = request.param
    return [Streaming(tmp_path_factory.mktemp(f"{engine}{workers}{kind}"), engine, workers, kind) for kind in kinds]


@pytest.fixture(scope="module")
def wholes() -> dict[str, Order]:
    """By kind of shards, the order of an uninterrupted run of one process without workers; every case has the same."""
    return {}


def run_whole(crew: Streaming, wholes: dict[str, Order]) -> Order:
    assert crew.attempt("whole", 0), crew.said("whole")
    order = streamed(crew.root / "whole" / "0")
    require_each_image_once_an_epoch(order)
    assert wholes.setdefault(crew.kind, order) == order, "another number of ranks or workers has another order"
    return order


def test_killed_again_and_again_every_image_is_streamed_once_an_epoch_in_one_order(crews, wholes, tally):
    case = f"{RANKS[crews[0].engine]} rank(s) and {crews[0].workers} workers"
    draw, kills, runs = random.Random(case), 0, 0
    orders = [run_whole(crew, wholes) for crew in crews]
    while kills < EACH:
        crew, whole, name = crews[runs % len(crews)], orders[runs % len(crews)], f"run{runs}"
        taken, number, ended = {}, 0, False
        while not ended:
            begins, again = crew.saved(name), kills < EACH
            ended = crew.attempt(name, number, draw if again else None)
            kills += not ended
            tally[f"kills with {case}"] += not ended
            order = streamed(crew.root / name / str(number))
            require_same(order, whole, begins)
            taken, number = taken | order, number + 1
        assert taken == whole
        assert crew.saved(name) == STEPS
        runs += 1
        tally["runs on shards, each image once an epoch, in the uninterrupted order"] += 1
        shutil.rmtree(crew.root / name)


def test_an_epoch_that_is_read_from_its_beginning_again_is_noticed(tmp_path):
    crew, number = Streaming(tmp_path, "single", 0, "tar"), 0
    while crew.saved("run") % EPOCH_STEPS == 0:  # until it is killed in the midst of an epoch
        crew.attempt("run", number, random.Random(number))
        number += 1
    crew.attempt("run", number, starts_over=True)
    order: Order = {}
    for each in range(number + 1):
        order |= streamed(tmp_path / "run" / str(each))
    assert sorted(order) == list(range(STEPS))
    with pytest.raises(AssertionError):
        require_each_image_once_an_epoch(order)
