"""Starts the label queries from a vector for each label, such as a text model's of its name.

Shapes: K labels, E features of a vector, D width of the queries.
"""

import logging
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from mlcfast.errors import UsageError
from mlcfast.models.weights import read_state_dict
from mlcfast.registry import hint

LOGGER = logging.getLogger("mlcfast")
SETTING = "model.query_start"


def start_queries(model: nn.Module, names: list[str], file: Path, seed: int) -> None:
    """Give the queries of a built model the vectors that `file` has for the labels, in the order of `names`.

    file: see read_vectors; it may have more labels. UsageError where a label is missing, where vectors differ in length
    or hold anything but finite numbers, and where the head has no query of its own for each label.
    """
    embedding = getattr(model, "query_embed", None)
    if not isinstance(embedding, nn.Embedding):
        raise UsageError(f"{SETTING}: model.head has no label queries; query2label and ml_decoder have")
    if len(embedding.weight) != len(names):
        raise UsageError(
            f"{SETTING}: {len(names)} labels share {len(embedding.weight)} queries: give as many query_groups"
        )
    given = chosen(read_vectors(file), names, file)
    made = fitted(given, embedding.weight.shape[1], seed)
    with torch.no_grad():
        embedding.weight.copy_(made)
    LOGGER.info("label queries begin with the vectors of %s, %d features each", file, given.shape[1])


def read_vectors(file: Path) -> dict[str, Tensor]:
    """A vector by label from `.npz` or `.safetensors`, each under the label's name."""
    if file.suffix == ".safetensors":
        return read_state_dict(file)
    if file.suffix != ".npz":
        raise UsageError(f"{SETTING} {file}: expected .npz or .safetensors, with an array under the name of each label")
    try:
        with np.load(file) as held:
            return {name: torch.from_numpy(np.asarray(held[name], np.float32)) for name in held.files}
    except (OSError, EOFError, ValueError, TypeError, zipfile.BadZipFile, zlib.error) as error:
        raise UsageError(f"{SETTING} {file}: cannot be read: {error}") from error


def chosen(held: Mapping[str, Tensor], names: list[str], file: Path) -> Tensor:
    """The labels' vectors (K, E) fp64, in the order of `names`."""
    missing = [name for name in names if name not in held]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise UsageError(f"{SETTING} {file}: no vector for {missing[0]!r}{more}{hint(missing[0], list(held))}")
    vectors = [held[name].double() for name in names]
    for name, vector in zip(names, vectors, strict=True):
        if vector.dim() != 1 or vector.shape != vectors[0].shape or not len(vector):
            raise UsageError(
                f"{SETTING} {file}: {name!r} is {tuple(vector.shape)}, {names[0]!r} {tuple(vectors[0].shape)}"
            )
        if not torch.isfinite(vector).all():
            raise UsageError(f"{SETTING} {file}: {name!r} holds a number that is not finite")
    if not any(vector.any() if len(vectors) == 1 else (vector != vectors[0]).any() for vector in vectors):
        raise UsageError(f"{SETTING} {file}: the vectors of all labels are alike: they tell no label from another")
    return torch.stack(vectors)


def fitted(vectors: Tensor, width: int, seed: int) -> Tensor:
    """Vectors (K, E) as queries (K, width) fp32: centred, their distances kept, and scaled to a mean square of 1.

    What all labels share is taken off, since it tells none from another. The rest has at most min(K − 1, E) dimensions:
    those that fit into `width`, the widest first, are turned by a random rotation, so that each feature has a part of
    all.
    """
    centred = vectors - vectors.mean(0) if len(vectors) > 1 else vectors
    left, spread, _ = torch.linalg.svd(centred, full_matrices=False)
    placed = (left * spread)[:, :width]
    generator = torch.Generator().manual_seed(seed)
    turned, _ = torch.linalg.qr(torch.randn(width, placed.shape[1], generator=generator, dtype=torch.float64))
    made = placed @ turned.T
    return (made / made.square().mean().sqrt()).float()
