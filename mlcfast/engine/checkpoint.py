"""Checkpoints on disk: safetensors by name, a hash manifest, published whole by rename.

    checkpoints/<step>/weights.safetensors    parameters and buffers, fp32
                       average.safetensors    the moving average, where one is kept
                       moments.safetensors    Adam's moments and step counts
                       progress.json          counters of the trainer, the loss scaler
                       manifest.json          size and SHA-256 of each file above
    checkpoints/latest                        the number of the last complete one

The order of samples and every random draw are functions of (seed, step, rank), so no generator state is stored.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
from torch import Tensor

from mlcfast.engine.base import EngineState
from mlcfast.errors import RunError, UsageError
from mlcfast.files import write_tensors, write_text

TENSOR_FILES = ("weights", "average", "moments")


def save_checkpoint(root: Path, step: int, state: EngineState, progress: Mapping[str, Any], keep: int) -> Path:
    """Write checkpoint `step` under `root`, point `latest` at it; drop later ones and all but the newest `keep`."""
    target, draft = root / f"{step:08d}", root / f".{step:08d}.partial"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    for name in TENSOR_FILES:
        tensors: dict[str, Tensor] = getattr(state, name)
        if tensors:
            write_tensors(draft / f"{name}.safetensors", tensors)
    write_text(draft / "progress.json", json.dumps({**progress, "scaler": state.scaler}, indent=1))
    manifest = {file.name: {"bytes": file.stat().st_size, "sha256": _sha256(file)} for file in sorted(draft.iterdir())}
    write_text(draft / "manifest.json", json.dumps(manifest, indent=1))
    shutil.rmtree(target, ignore_errors=True)
    os.replace(draft, target)
    write_text(root / "latest", target.name)
    steps = sorted(entry for entry in root.iterdir() if entry.is_dir() and entry.name.isdigit())
    for entry in steps:  # later ones are of a course this run has gone back from
        if entry.name > target.name or entry in steps[: steps.index(target) + 1][:-keep]:
            shutil.rmtree(entry)
    return target


def find_checkpoint(place: Path) -> Path:
    """The checkpoint meant by its own directory, or the last complete one of a run; UsageError if there is none."""
    if (place / "manifest.json").is_file():
        return place
    for root in (place / "checkpoints", place):
        if (root / "latest").is_file():
            return root / (root / "latest").read_text(encoding="utf-8").strip()
    raise UsageError(f"{place}: no checkpoint to resume from")


def load_checkpoint(directory: Path) -> tuple[EngineState, dict[str, Any]]:
    """Read and verify one checkpoint; RunError names the file that is missing or was changed."""
    verify_manifest(directory)
    tensors = {
        name: safetensors.torch.load_file(directory / f"{name}.safetensors")
        for name in TENSOR_FILES
        if (directory / f"{name}.safetensors").exists()
    }
    progress = json.loads((directory / "progress.json").read_text(encoding="utf-8"))
    return EngineState(**tensors, scaler=progress.pop("scaler")), progress


def verify_manifest(directory: Path) -> None:
    """Compare each file with the size and hash the manifest holds; RunError names the first that differs."""
    try:
        manifest = json.loads((directory / "manifest.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{directory}: not a complete checkpoint (manifest.json is missing or unreadable)") from error
    for name, expected in manifest.items():
        file = directory / name
        if not file.is_file():
            raise RunError(f"{file}: missing from the checkpoint; resume from another one")
        if file.stat().st_size != expected["bytes"] or _sha256(file) != expected["sha256"]:
            raise RunError(f"{file}: damaged (its hash differs from the manifest's); resume from another checkpoint")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
