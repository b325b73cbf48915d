"""Runs of one tiny configuration under an engine, each rank a process from a server that has the trainer loaded."""

import os
import random
import socket
import sys
import time
from collections.abc import Callable
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import yaml

from mlcfast.runs.directory import RunDirectory
from tests.conftest import write_colour_set
from tests.ranks import processes

RANKS = {"single": 1, "ddp": 2, "zero2": 2}
LAST = 12  # step, of four epochs
LONGEST = 300  # seconds


def rank_of_run(file: Path, words: list[str], resume: bool, rank: int, world_size: int, port: int, said: Path) -> None:
    """One rank of a run, with what it says in `said`; ends with the status that the command would have."""
    import torch

    from mlcfast.config import load_config
    from mlcfast.engine import Process, peers_explained, start
    from mlcfast.errors import RunError
    from mlcfast.runs.journal import log_to_console
    from mlcfast.training import run as training

    training.draw_outcome = lambda *_: None  # slow, and no part of what is kept
    training.report_run = lambda *_: (None, None)
    torch.set_num_threads(1)
    with said.open("a", encoding="utf-8", buffering=1) as out:
        sys.stderr = out
        log_to_console()
        process = Process(rank, rank, world_size, "torchrun") if world_size > 1 else Process()
        if world_size > 1:
            names = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": world_size, "MASTER_PORT": port}
            os.environ.update({name: str(value) for name, value in names.items()}, MASTER_ADDR="127.0.0.1")
        config = load_config(file, words)
        status = 0
        try:
            start(process)
            with peers_explained(process):
                training.run(config, process, config.run_directory if resume else None)
        except RunError as error:
            out.write(f"error: {error}\n")
            status = 1
        except SystemExit as ended:
            status = int(ended.code)
    os._exit(status)


class Crew:
    """Runs under one engine, each in an output directory of its own."""

    def __init__(self, root: Path, engine: str):
        self.root, self.engine, self.context = root, engine, processes()
        self.file = root / f"{engine}.yaml"
        self.file.write_text(yaml.safe_dump(self.settings()))

    def settings(self) -> dict[str, Any]:
        """The configuration, whose images it writes."""
        images = self.root / "images"
        images.mkdir()
        write_colour_set(images, 1, train=36, val=8)  # a fifth of the training images validates
        data = {"format": "csv", "root": str(images), "train": "train.csv", "val": "val.csv"}
        return {
            "name": "tiny", "output": str(self.root),
            "data": {**data, "labels": "single_positive", "image_size": 32, "workers": 0, "augment": "flip"},
            "model": {"backbone": "test_resnet", "weights": "none", "head": "linear"},
            "loss": {"name": "role", "expected_positives": 1.5},
            "optim": {"lr": 1e-3},
            "engine": {"name": self.engine, "precision": "fp32", "micro_batch": 4, "global_batch": 8},
            "train": {"epochs": 4, "ema_decay": 0.9, "log_every": 1, "checkpoint_every": 2},
        }  # fmt: skip

    def directory(self, name: str) -> RunDirectory:
        """Of the run in the output directory `name`."""
        return RunDirectory(self.root / name / "tiny")

    def started(
        self, name: str, resume: bool = False, work: Callable[..., None] = rank_of_run
    ) -> list[ForkServerProcess]:
        """The processes of a run, by rank, each of which calls `work` with the arguments of `rank_of_run`."""
        place, world_size = self.root / name, RANKS[self.engine]
        place.mkdir(exist_ok=True)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        words = [f"output={place}"]
        ranks = [
            self.context.Process(
                target=work, args=(self.file, words, resume, rank, world_size, port, place / f"said.{rank}")
            )
            for rank in range(world_size)
        ]
        for process in ranks:
            process.start()
        return ranks

    def ended(self, ranks: list[ForkServerProcess], seconds: float = LONGEST) -> list[int | None]:
        """The statuses of processes once all have ended; None for one that had to be killed."""
        until = time.monotonic() + seconds
        for process in ranks:
            process.join(max(0.0, until - time.monotonic()))
        statuses = [process.exitcode for process in ranks]
        for process in ranks:
            process.kill()
            process.join()
        return statuses

    def said(self, name: str) -> str:
        """What the ranks of the run said, one after the other."""
        return "\n".join(file.read_text(encoding="utf-8") for file in sorted((self.root / name).glob("said.*")))

    def interrupted(self, name: str, draw: random.Random, number: int, seconds: float) -> list[int | None]:
        """The statuses of a run of which a random rank was sent the signal at a random moment of a random step."""
        ranks, step = self.started(name), draw.randrange(1, LAST)
        metrics = self.directory(name).metrics
        until = time.monotonic() + LONGEST
        while time.monotonic() < until and all(process.is_alive() for process in ranks):
            if metrics.exists() and metrics.read_text(encoding="utf-8").count('"event": "train"') >= step:
                break
            time.sleep(0.002)
        time.sleep(draw.random() * 0.2)
        victim = draw.choice(ranks)
        if victim.is_alive():
            os.kill(victim.pid, number)
        return self.ended(ranks, seconds)
