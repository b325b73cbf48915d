"""How long a save holds the training thread up, against the time of one copy of the same state in memory.

python -m tests.faults.held_up [--parameters 340] [--rounds 5] [--out DIR]

The state is that of a training run: fp32 weights, both of Adam's moments and the moving average, 16 bytes a parameter.
Each round times, in one process, `Checkpoints.save`, and then a plain copy of all the state's tensors to the memory
that the save copied them to. Before either of them a checkpoint is written to DIR and waited for, so that both find the
caches alike. The first save, which makes that memory, is told apart. Seconds are those of the training thread's own
processor time, which other work on the machine does not lengthen, and of the clock. One line of JSON says the medians.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from mlcfast.config import Config
from mlcfast.engine import Engine, Process, build_engine
from mlcfast.engine.training_module import TrainingModule
from mlcfast.runs.directory import RunDirectory
from mlcfast.runs.journal import Journal
from mlcfast.training.progress import Progress
from mlcfast.training.saving import Checkpoints
from tests.engine.runner import config_of

WIDTH = 1024  # of the layers, 4 MiB of weights each


def trained(config: Config, parameters: int) -> Engine:
    """An engine after one step of a model with so many parameters, in layers as large as a transformer's."""
    layers = [nn.Linear(WIDTH, WIDTH) for _ in range(max(1, parameters // (WIDTH * WIDTH + WIDTH)))]
    training_module = TrainingModule(nn.Sequential(*layers), nn.BCEWithLogitsLoss())
    engine = build_engine(config, Process(), training_module)
    images = torch.randn(1, WIDTH)
    engine.micro_step(images, torch.ones(1, WIDTH), torch.zeros(1, dtype=torch.int64), last=True)
    engine.step()
    return engine


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds of this thread's processor time and of the clock."""
    processor, clock = time.thread_time(), time.perf_counter()
    work()
    return time.thread_time() - processor, time.perf_counter() - clock


def measure(parameters: int, rounds: int, place: Path) -> dict[str, float]:
    """Medians over the rounds, and the first save's seconds."""
    config = config_of([])
    engine = trained(config, parameters)
    checkpoints = Checkpoints(engine, config.train, Journal(RunDirectory(place), is_main=False), 0)
    share = engine.share_of_state()
    tensors = {id(each.values): each.values for file in share.files.values() for each in file.stretches}
    copies, saves, writes = [], [], []

    def save(step: int) -> tuple[float, float]:
        """What the save took, once its checkpoint is written."""
        taken = timed(lambda: checkpoints.save(Progress(0, 1, 1, step=step)))
        writes.append(timed(lambda: checkpoints.note_completed(wait=True))[1])
        assert checkpoints.saved_step == step
        return taken

    first = save(1)
    copied = checkpoints.background._copy.take(share)
    rooms = {id(each.values): each.values for file in copied.files.values() for each in file.stretches}
    pairs = list(zip(rooms.values(), tensors.values(), strict=True))
    for step in range(2, 2 * rounds + 2, 2):
        saves.append(save(step))
        copies.append(timed(lambda: [room.copy_(tensor) for room, tensor in pairs]))
        save(step + 1)
    figures = {"parameters": parameters, "bytes": sum(t.nbytes for t in tensors.values()), "rounds": rounds}
    for which, name in enumerate(("processor", "clock")):
        saved, copy = (statistics.median(row[which] for row in rows) for rows in (saves, copies))
        figures |= {f"held_up_{name}_s": round(saved, 3), f"copy_{name}_s": round(copy, 3)}
        figures |= {f"ratio_{name}": round(saved / copy, 3), f"first_{name}_s": round(first[which], 3)}
    return figures | {"written_beside_s": round(statistics.median(writes), 2)}


def build_parser() -> argparse.ArgumentParser:
    """The command line of `python -m tests.faults.held_up`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parameters", type=float, default=340, metavar="M", help="millions (default 340)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, help="where to write the checkpoints; default: a temporary directory")
    return parser


def main() -> None:
    """Print the medians as one line of JSON."""
    words = build_parser().parse_args()
    with tempfile.TemporaryDirectory(dir=words.out) as place:
        sys.stdout.write(json.dumps(measure(int(words.parameters * 1e6), words.rounds, Path(place))) + "\n")


if __name__ == "__main__":
    main()
