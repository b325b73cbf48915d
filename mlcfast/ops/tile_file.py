"""The file in which the tiles measured on a card are kept, one a card: $XDG_CACHE_HOME/mlcfast/tiles/<card>.json.

`python -m bench.run tiles` writes it, `tiles.py` follows it. It holds for one card, one version of Triton and one list
of candidates, and whatever else it says is ignored; it may be deleted at any time.
"""

import hashlib
import json
import os
import re
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import torch

from mlcfast.ops.backend import log_once

Tile = dict[str, int]
Key = tuple[str | int, ...]  # the kernel, bytes an entry, and the binary digits of each of its sizes
Candidates = Mapping[str, tuple[Tile, ...]]


class Card(NamedTuple):
    """A CUDA device; without a name, and with no multiprocessors, where there is none."""

    name: str = ""
    capability: str = ""
    multiprocessors: int = 0


def card_of(device: torch.device) -> Card:
    """What the driver says of a device; no card for one that is none of CUDA's."""
    if device.type != "cuda" or not torch.cuda.is_available():
        return Card()
    found = torch.cuda.get_device_properties(device)
    return Card(found.name, f"{found.major}.{found.minor}", found.multi_processor_count)


def path_of(card: Card) -> Path:
    """Its file: the card's name in lower case, words joined by hyphens."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return home / "mlcfast" / "tiles" / f"{re.sub(r'[^a-z0-9]+', '-', card.name.lower()).strip('-')}.json"


def identity(card: Card, candidates: Candidates) -> dict[str, str]:
    """What a file holds for; PackageNotFoundError without Triton."""
    digest = hashlib.sha256(json.dumps(candidates, sort_keys=True).encode()).hexdigest()[:12]
    own = {"card": card.name, "capability": card.capability}
    return own | {"triton": version("triton"), "candidates": digest}


def document(card: Card, candidates: Candidates, chosen: Mapping[Key, Tile]) -> dict[str, Any]:
    """The content of the file; `read` gives `chosen` again."""
    entries = [{"key": list(key), "tile": tile} for key, tile in chosen.items()]
    return identity(card, candidates) | {"chosen": entries}


def read(card: Card, candidates: Candidates) -> dict[Key, Tile]:
    """What the card's file chooses; nothing where there is no file, nor, with one warning, where it is amiss."""
    if not card.name:
        return {}
    try:
        return _parsed(path_of(card).read_text(encoding="utf-8"), card, candidates)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, LookupError, ImportError, RuntimeError) as error:
        reason = str(error) if isinstance(error, OSError | ValueError) else repr(error)
        log_once(f"the tiles measured on {card.name} are left out, arithmetic chooses them: {reason}")
        return {}


def _parsed(text: str, card: Card, candidates: Candidates) -> dict[Key, Tile]:
    """The choices of a document that are candidates; an error of some kind where it is no such document."""
    found = json.loads(text)
    for name, value in identity(card, candidates).items():
        if found[name] != value:
            raise ValueError(f"{path_of(card)} is of another {name}: {found[name]!r}, here {value!r}")
    chosen = {}
    for entry in found["chosen"]:
        kernel, *numbers = entry["key"]
        for tile in candidates.get(kernel, ()):
            if tile == entry["tile"]:
                chosen[kernel, *numbers] = tile  # its own numbers, which JSON may hold as others that equal them
    return chosen
