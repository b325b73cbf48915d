"""Trains a small fixed model for a few steps on fixed data under any engine; a process of the parity tests.

python -m tests.engine.runner OUT ACCUMULATION key=value …
"""

import copy
import errno
import sys
from pathlib import Path

import torch
from torch import nn

from mlcfast.config import Config, parse_config
from mlcfast.engine import BackgroundSave, build_engine, checkpoint, discover, start, stop
from mlcfast.engine.training_module import TrainingModule

STEPS, GLOBAL_BATCH = 4, 8
BASE = {
    "name": "parity",
    "data": {"format": "demo", "root": "unused"},
    "model": {"backbone": "unused"},
    "optim": {"lr": 1e-2, "grad_clip": 0.5, "weight_decay": 0.05},
    "engine": {"precision": "fp32", "micro_batch": 8, "global_batch": GLOBAL_BATCH},
    "train": {"ema_decay": 0.5},
}


def config_of(overrides: list[str]) -> Config:
    return parse_config(copy.deepcopy(BASE), overrides)


def training_module() -> TrainingModule:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 31), nn.LayerNorm(31), nn.GELU(), nn.Linear(31, 5))
    model[1].bias.requires_grad_(False)
    model = nn.Sequential(Watcher(), model)
    return TrainingModule(model, nn.BCEWithLogitsLoss())


class Watcher(nn.Module):
    """Passes its input on; a BatchNorm that nothing depends on sees it, so each rank gets statistics of its own."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm2d(3, affine=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.norm(images)
        return images


def batch(step: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(step)
    images = torch.randn(GLOBAL_BATCH, 3, 2, 2, generator=generator)
    labels = (torch.rand(GLOBAL_BATCH, 5, generator=generator) < 0.3).float()
    return images, labels, torch.arange(GLOBAL_BATCH)


def train(engine, micro_batch: int, steps=range(STEPS)) -> list[float]:
    """Losses of the global batches; this rank's share is what the sampler would give it."""
    process, losses = engine.process, []
    for step in steps:
        pieces = [tuple(t.split(micro_batch)[i] for t in batch(step)) for i in range(GLOBAL_BATCH // micro_batch)]
        mine = pieces[process.rank :: process.world_size]
        total = sum(engine.micro_step(*piece, last=i == len(mine) - 1) for i, piece in enumerate(mine)) / len(mine)
        result = engine.step()
        assert result.skipped == 0
        losses.append(float(total))
    return losses


def write(engine, root: Path) -> list[tuple[int, str]]:
    """What each rank is told of checkpoint 1, and of checkpoint 2, for which the last rank has no room."""
    background, original, said = BackgroundSave(engine.process, root, keep=2), checkpoint.write_share, []

    def full(path, *arguments, **options):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    for step in (1, 2):
        if step == 2 and engine.process.rank == engine.process.world_size - 1:
            checkpoint.write_share = full
        background.begin(step, engine.share_of_state(), {"step": step})
        said.append(background.collect(wait=True))
    checkpoint.write_share = original
    return [(step, str(error or "")) for step, error in said]


def main() -> None:
    out, overrides = sys.argv[1], sys.argv[2:]
    process = discover()
    config = config_of(overrides)
    start(process)
    engine = build_engine(config, process, training_module())
    losses = train(engine, config.engine.micro_batch)
    state = engine.export_state()
    written = write(engine, Path(f"{out}.checkpoints"))
    with engine.averaged_weights():
        averaged = engine.predict(batch(99)[0])
    raw = engine.predict(batch(99)[0])
    # A second engine takes the state over and goes on: what a resumed run does.
    second = build_engine(config, process, training_module())
    second.load_state(state)
    train(second, config.engine.micro_batch, range(STEPS, 2 * STEPS))
    train(engine, config.engine.micro_batch, range(STEPS, 2 * STEPS))
    went_on, resumed = engine.export_state(), second.export_state()
    torch.save(
        {
            "losses": losses,
            "state": vars(state),
            "averaged": averaged,
            "raw": raw,
            "written": written,
            "went_on": vars(went_on),
            "resumed": vars(resumed),
        },
        f"{out}.{process.rank}",
    )
    stop()


if __name__ == "__main__":
    main()
