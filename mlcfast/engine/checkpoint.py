"""Checkpoints on disk: safetensors by name, a hash manifest, published whole by rename.

    checkpoints/<step>/weights.safetensors    parameters and buffers, fp32
                       average.safetensors    the moving average, where one is kept
                       moments.safetensors    Adam's moments and step counts
                       progress.json          counters of the trainer and the average, the loss scaler
                       manifest.json          size and SHA-256 of each file above
    checkpoints/latest                        the number of the last complete one

The order of samples and every random draw are functions of (seed, step, rank), so no generator state is stored.
"""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
from torch import Tensor

from mlcfast.engine.base import EngineState
from mlcfast.errors import RunError
from mlcfast.files import compare_listed, listed, publish_directory, sealed, unsealed, write_tensors, write_text

TENSOR_FILES = ("weights", "average", "moments")


def save_checkpoint(root: Path, step: int, state: EngineState, progress: Mapping[str, Any], keep: int) -> Path:
    """Write checkpoint `step` under `root`, point `latest` at it; drop later ones and all but the newest `keep`.

    OSError, which names the file, where that fails; what was written of it is then removed.
    """
    target, draft = root / f"{step:08d}", root / f".{step:08d}.partial"
    shutil.rmtree(draft, ignore_errors=True)
    try:
        draft.mkdir(parents=True)
        _write(draft, state, progress)
        publish_directory(draft, target)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)  # on a full disk every byte counts
        raise
    write_text(root / "latest", target.name)
    steps = sorted(entry for entry in root.iterdir() if entry.is_dir() and entry.name.isdigit())
    for entry in steps:  # later ones are of a course this run has gone back from
        if entry.name > target.name or entry in steps[: steps.index(target) + 1][:-keep]:
            shutil.rmtree(entry)
    return target


def _write(draft: Path, state: EngineState, progress: Mapping[str, Any]) -> None:
    for name in TENSOR_FILES:
        tensors: dict[str, Tensor] = getattr(state, name)
        if tensors:
            write_tensors(draft / f"{name}.safetensors", tensors)
    write_text(
        draft / "progress.json",
        json.dumps({**progress, "scaler": state.scaler, "average_steps": state.average_steps}, indent=1),
    )
    write_text(draft / "manifest.json", sealed(listed(sorted(draft.iterdir()))))


def load_checkpoint(directory: Path) -> tuple[EngineState, dict[str, Any]]:
    """Read and verify one checkpoint; RunError names the file that is missing or was changed."""
    verify_manifest(directory)
    tensors = {
        name: safetensors.torch.load_file(directory / f"{name}.safetensors")
        for name in TENSOR_FILES
        if (directory / f"{name}.safetensors").exists()
    }
    progress = json.loads((directory / "progress.json").read_text(encoding="utf-8"))
    steps = progress.pop("average_steps", progress.get("step", 0))  # not written before there was a warm-up
    return EngineState(**tensors, scaler=progress.pop("scaler"), average_steps=steps), progress


def verify_manifest(directory: Path) -> None:
    """Compare each file with the size and hash the manifest holds; RunError names the first that differs."""
    try:
        manifest = unsealed((directory / "manifest.json").read_bytes())
    except (OSError, ValueError) as error:
        raise RunError(f"{directory}: not a complete checkpoint (manifest.json: {error})") from error
    compare_listed(directory, manifest, "resume from another checkpoint")
