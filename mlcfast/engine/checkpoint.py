"""Checkpoints on disk: safetensors by name, a hash manifest, published whole by rename, each rank writing its share.

    checkpoints/<step>/weights.safetensors    parameters and buffers, fp32
                       average.safetensors    the moving average, where one is kept
                       moments.safetensors    Adam's moments and step counts
                       progress.json          counters of the trainer and the average, the loss scaler
                       manifest.json          size and SHA-256 of each file above
    checkpoints/latest                        the number of the last complete one

The files are the same for every engine and any number of ranks; where several wrote a file, the manifest holds a digest
of what each wrote. The order of samples and every random draw are functions of (seed, step, rank), so no generator
state is stored.
"""

import json
import shutil
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch

from mlcfast.engine.base import EngineState
from mlcfast.engine.distributed import Process
from mlcfast.engine.share import StateShare
from mlcfast.errors import RunError
from mlcfast.files import compare_listed, listed, publish_directory, remove_directory, sealed, unsealed, write_text
from mlcfast.tensor_files import entry_of, whole, write_share

TENSOR_FILES = ("weights", "average", "moments")
LOOKS_AGAIN = 0.05  # seconds between two looks for the other ranks' parts

Parts = dict[str, list[dict[str, Any]]]  # by file, what each rank wrote of it


class CancelledError(Exception):
    """Another rank could not write its share: this one's is of no use."""


def save_checkpoint(
    root: Path,
    step: int,
    state: StateShare | EngineState,
    progress: Mapping[str, Any],
    keep: int,
    process: Process | None = None,
    cancelled: threading.Event | None = None,
) -> Path:
    """Write this rank's share of checkpoint `step` under `root`, and return its place there.

    The main process then waits for the other ranks' shares, gives the whole its name, points `latest` at it and drops
    later checkpoints and all but the newest `keep`. No collective: the ranks meet in the directory, which all of them
    must see. What was written of a checkpoint that could not be finished stays until `discard_draft`. process: this one
    among its peers, alone if None. OSError names the file that could not be written; CancelledError if `cancelled` was
    set.
    """
    process, cancelled = process or Process(), cancelled or threading.Event()
    share = _share_of_all(state) if isinstance(state, EngineState) else state
    draft, target = draft_of(root, step), root / f"{step:08d}"
    draft.mkdir(parents=True, exist_ok=True)
    parts: Parts = {}
    for kind, file in share.files.items():
        if cancelled.is_set():
            raise CancelledError("another rank has not written its share")
        name = f"{kind}.safetensors"
        parts[name] = [write_share(draft / name, file, head=process.is_main)]
    if not process.is_main:
        write_text(draft / _parts_of(process.rank), sealed(parts))
        return target
    for rank in range(1, process.world_size):
        for name, part in _await_parts(draft / _parts_of(rank), cancelled).items():
            parts[name].append(part[0])
    counters = {**progress, "scaler": share.scaler, "average_steps": share.average_steps}
    write_text(draft / "progress.json", json.dumps(counters, indent=1))
    entries = {name: entry_of(parts[name]) for name in sorted(parts)}
    write_text(draft / "manifest.json", sealed(entries | listed([draft / "progress.json"])))
    _publish(draft, target, keep)
    return target


def draft_of(root: Path, step: int) -> Path:
    """Where a checkpoint lies until it is whole."""
    return root / f".{step:08d}.partial"


def discard_draft(root: Path, step: int) -> None:
    """Remove what was written of a checkpoint that could not be finished: on a full disk every byte counts."""
    shutil.rmtree(draft_of(root, step), ignore_errors=True)


def _share_of_all(state: EngineState) -> StateShare:
    files = {name: whole(getattr(state, name)) for name in TENSOR_FILES if getattr(state, name)}
    return StateShare(files, state.scaler, state.average_steps)


def _parts_of(rank: int) -> str:
    return f"rank{rank}.json"


def _await_parts(file: Path, cancelled: threading.Event) -> dict[str, Any]:
    """What another rank wrote, once it has; its list is then removed."""
    while not file.exists():
        if cancelled.wait(LOOKS_AGAIN):
            raise CancelledError("another rank has not written its share")
    parts = unsealed(file.read_bytes())
    file.unlink()
    return parts


def _publish(draft: Path, target: Path, keep: int) -> None:
    publish_directory(draft, target)
    write_text(target.parent / "latest", target.name)
    steps = sorted(entry for entry in target.parent.iterdir() if entry.is_dir() and entry.name.isdigit())
    for entry in steps:  # later ones are of a course this run has gone back from
        if entry.name > target.name or entry in steps[: steps.index(target) + 1][:-keep]:
            remove_directory(entry)


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
