"""Files written whole or not at all: to a draft beside the target, synced, then renamed."""

import os
from collections.abc import Mapping
from pathlib import Path

import safetensors.torch
from torch import Tensor


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str] | None = None) -> None:
    """Write a safetensors file whole or not at all."""
    draft = path.with_name(path.name + ".partial")
    draft.touch()  # with the permissions files have here: safetensors itself gives them to the owner alone
    permissions = draft.stat().st_mode
    safetensors.torch.save_file({name: t.contiguous() for name, t in tensors.items()}, draft, metadata)
    draft.chmod(permissions)
    _publish(draft, path)


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    draft = path.with_name(path.name + ".partial")
    draft.write_bytes(content)
    _publish(draft, path)


def _publish(draft: Path, path: Path) -> None:
    with draft.open("rb") as file:
        os.fsync(file.fileno())
    os.replace(draft, path)
