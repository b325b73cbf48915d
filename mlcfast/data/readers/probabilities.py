"""The file of probabilities that `mlcfast.predict` writes and training reads: soft labels by a model."""

import os
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mlcfast.data.labels import HUNDREDTHS
from mlcfast.data.readers.source import LabelSource
from mlcfast.errors import RunError, UsageError
from mlcfast.files import published

ARRAYS = ("images", "labels", "probabilities")


def write_probabilities(path: Path, images: Sequence[str], names: Sequence[str], scores: np.ndarray) -> None:
    """Write a .npz of the arrays `images`, (M,) text, `labels`, (K,) text, and `probabilities`, (M, K) float16.

    images: the image files, written relative to the directory of `path`; names: the K labels; scores: (M, K) in [0, 1].
    RunError where the file cannot be written.
    """
    folder = path.absolute().parent
    arrays = {
        "images": np.array([os.path.relpath(image, folder) for image in images], np.str_),
        "labels": np.array(names, np.str_),
        "probabilities": scores.astype(np.float16),
    }
    try:
        with published(path) as draft, draft.open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)
    except OSError as error:
        raise RunError(f"{path}: cannot be written: {error.strerror or error}") from error


def read_probabilities(path: Path) -> LabelSource:
    """The soft labels of such a file, in hundredths; its images are found from its directory.

    What rounds to 0 is an absent label and what rounds to 1 a present one. UsageError for a file of another kind.
    """
    if not zipfile.is_zipfile(path):
        raise UsageError(f"{path}: no .npz, or cut short: load it anew, or name another file of labels")
    with np.load(path, allow_pickle=False) as held:
        lacking = [name for name in ARRAYS if name not in held.files]
        if lacking:
            raise UsageError(
                f"{path}: has no array {lacking[0]!r}: not what predict --probabilities writes; of other arrays write "
                "a table with an image and its labels in each row"
            )
        images, names, scores = (held[name] for name in ARRAYS)
    if scores.shape != (len(images), len(names)) or scores.dtype.kind != "f" or {images.ndim, names.ndim} != {1}:
        shape = f"({len(images)}, {len(names)})"
        raise UsageError(f"{path}: probabilities must be floating and of the shape {shape}, not {scores.shape}")
    wrong = np.argwhere(~((scores >= 0) & (scores <= 1)))
    if len(wrong):
        row, column = wrong[0]
        value = scores[row, column]
        raise UsageError(f"{path}: {str(names[column])!r} of {str(images[row])!r} is {value}: no probability")
    hundredths = np.rint(scores.astype(np.float32) * HUNDREDTHS).astype(np.int8)
    states = np.where(hundredths == 0, -1, np.where(hundredths == HUNDREDTHS, 1, hundredths + 1)).astype(np.int8)
    said = "a model's probabilities, in hundredths: what rounds to 0 is absent, what rounds to 1 is present"
    lines = range(1, len(images) + 1)
    parts = ([str(image) for image in images], lines, [str(name) for name in names], states, [said])
    return LabelSource(path, "probabilities", *parts, root=path.parent)
