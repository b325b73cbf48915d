"""Caches traces of the planner's earlier runs in the user's cache directory."""

import hashlib
import json
import os
from collections.abc import Hashable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import mlcfast
from mlcfast.files import published

PACKAGES = ("torch", "timm")  # whose other versions may run a step in another way


def trace_directory() -> Path:
    """$XDG_CACHE_HOME/mlcfast/traces, by default ~/.cache/mlcfast/traces; it may be deleted at any time."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return home / "mlcfast" / "traces"


class KeptTraces:
    """Numbers by arguments, in a file for all they depend on: the model, this package's sources and torch's version.

    A file that cannot be read counts as absent; one that cannot be written is done without.
    """

    def __init__(self, directory: Path, about: dict[str, Any]):
        """about: what the traces depend on beside their arguments and the installed code; JSON holds it."""
        text = json.dumps([about, _sources(), *map(version, PACKAGES)], sort_keys=True)
        self.path = directory / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.json"

    def get(self, arguments: Hashable, length: int) -> tuple[int, ...] | None:
        """The `length` numbers kept for these arguments, or None."""
        numbers = self._read().get(repr(arguments))
        if isinstance(numbers, list) and len(numbers) == length and all(type(n) is int for n in numbers):
            return tuple(numbers)
        return None

    def put(self, arguments: Hashable, numbers: tuple[int, ...]) -> None:
        """Keep them."""
        kept = self._read() | {repr(arguments): list(numbers)}
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with published(self.path) as draft:
                draft.write_text(json.dumps(kept), encoding="utf-8")
        except OSError:
            return

    def _read(self) -> dict[str, Any]:
        try:
            kept = json.loads(self.path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return kept if isinstance(kept, dict) else {}


def _sources() -> str:
    """A digest of every module of this package: another model or another planner, other traces."""
    root = Path(mlcfast.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()
