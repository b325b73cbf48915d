"""Small image sets and configurations that tests share."""

import csv
import json
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Generator, Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from bench.cases.interpreter import let_scalars_be_indices
from mlcfast.cli import loading
from tests.not_run import (  # noqa: F401  pytest finds hooks by their names here
    INTERPRETED,
    pytest_addoption,
    pytest_collection_modifyitems,
    pytest_configure,
    pytest_sessionfinish,
    pytest_terminal_summary,
    pytest_testnodedown,
)

ROOT = Path(__file__).parents[1]
# Launchers that run at the same time may not share a port; each process of pytest-xdist gives its own another than the
# default, which tests/test_launchers.py keeps to itself.
LAUNCHER_PORT = 29600 + int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
os.environ["PET_MASTER_PORT"] = str(LAUNCHER_PORT)  # torchrun's
# As after `source .venv/bin/activate`, and so that one ninja builds DeepSpeed's extension: another one builds it
# anew.
os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
DEEPSPEED = ("deepspeed", "--master_port", str(LAUNCHER_PORT), "--num_gpus", "2")
COLOURS = ("red", "green", "blue")
if INTERPRETED:
    let_scalars_be_indices()


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What the tests import is here to stay: the garbage collector need not go through it again and again."""
    with loading():
        return (yield)


def write_colour_set(root: Path, at_least: int = 0, **counts: int) -> None:
    """CSV splits of small noisy JPEGs; a label says that a colour channel is bright; `at_least` 1 leaves none empty."""
    random = np.random.RandomState(0)
    for split, count in counts.items():
        rows = [["image", *COLOURS]]
        for number in range(count):
            labels = random.randint(0, 2, len(COLOURS))
            labels[:at_least] |= not labels.any()
            pixels = (random.rand(32, 32, 3) * 80 + labels * 120).astype(np.uint8)
            Image.fromarray(pixels).save(root / f"{split}{number}.jpg")
            rows.append([f"{split}{number}.jpg", *labels])
        with (root / f"{split}.csv").open("w", newline="") as file:
            csv.writer(file).writerows(rows)


@pytest.fixture(scope="session")
def colour_set(tmp_path_factory) -> Path:
    """40 training and 13 validation images, three labels."""
    root = tmp_path_factory.mktemp("colours")
    write_colour_set(root, train=40, val=13)
    return root


@pytest.fixture(autouse=True)
def package_log() -> Iterator[None]:
    """The package's log goes after each test where it went before, whatever a command called in the test made of it."""
    logger = logging.getLogger("mlcfast")
    before = list(logger.handlers), logger.level, logger.propagate
    yield
    logger.handlers, logger.level, logger.propagate = before


@pytest.fixture
def config_file(tmp_path, colour_set) -> Path:
    """A configuration that trains a tiny Query2Label on the colour set in seconds, writing under tmp_path."""
    values = {
        "name": "tiny",
        "output": str(tmp_path / "runs"),
        "data": {
            "format": "csv", "root": str(colour_set), "train": "train.csv", "val": "val.csv",
            "image_size": 32, "workers": 0, "augment": "flip",
        },
        "model": {
            "backbone": "test_resnet", "weights": "none", "embed_dim": 16, "feedforward": 32, "num_heads": 2,
        },
        "optim": {"lr": 1e-3},
        "engine": {"precision": "fp32", "micro_batch": 4, "global_batch": 8},
        "train": {"epochs": 2, "ema_decay": 0.9, "log_every": 1},
    }  # fmt: skip
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


def copy_as_stopped(whole: Path, cut: Path, step: int) -> None:
    """Copy a run's directory as it would be had the run been stopped at a step that has a checkpoint."""
    shutil.copytree(whole, cut)
    for entry in (cut / "checkpoints").iterdir():
        if entry.is_dir() and int(entry.name) > step:
            shutil.rmtree(entry)
    (cut / "checkpoints" / "latest").write_text(f"{step:08d}")


def without_digests(directory: Path) -> None:
    """Let the files of a model directory be changed: its card no longer says what they were."""
    card = json.loads((directory / "model.json").read_text())
    (directory / "model.json").write_text(json.dumps({k: v for k, v in card.items() if k not in ("sha256", "files")}))


def run_command(*words: str, timeout: float = 300, **environment: str) -> subprocess.CompletedProcess:
    """Run `python -m …` as a user would, from the project's root."""
    return subprocess.run(
        [sys.executable, "-m", *words],
        cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, timeout=timeout, check=False,
    )  # fmt: skip
