"""A trained model as a program uses it: images in, labels and scores out."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from numbers import Integral, Real
from pathlib import Path
from typing import NamedTuple, TypeAlias, overload

import numpy as np
import torch
from PIL import Image
from torch import nn

from mlcfast.data.images import pixels_of
from mlcfast.data.sources import Source
from mlcfast.data.stream import Decoded, decode, in_order
from mlcfast.data.transforms import EvalTransform, resize
from mlcfast.engine import HostProcess, Predictor, Process, usable_gpus
from mlcfast.errors import RunError, UsageError
from mlcfast.evaluation.predict_files import predict_batch, select
from mlcfast.models.trained import load_image_model

Picture: TypeAlias = Image.Image | np.ndarray | str | Path
BATCH = 32  # images a pass
TAKEN = "a PIL image, an array uint8 (H, W, 3) or a path"


class Label(NamedTuple):
    """A label that a picture has, and its probability."""

    name: str
    score: float


class Classifier:
    """A trained model, loaded once.

    path: a run, its best/ or a model.safetensors with its card beside it; device: cpu or cuda:N, None for the GPU where
    there is one. UsageError names what is missing or damaged.
    """

    def __init__(self, path: str | Path, device: str | None = None):
        process = _process_on(device)
        model, self.card = load_image_model(path)
        model = model.to(process.device).to(memory_format=torch.channels_last)
        self._predictor = Predictor(process, model, "fp32")
        self._normalise = EvalTransform(**self.card.preprocessing).normalise

    @property
    def labels(self) -> list[str]:
        """The K labels' names, in the order of the scores."""
        return self.card.labels

    @property
    def model(self) -> nn.Module:
        """In evaluation mode: images (B, 3, S, S), normalised as the card says -> logits (B, K)."""
        return self._predictor.model

    @overload
    def predict(  # type: ignore[overload-overlap]  # a str is the path of one picture, no sequence of them
        self, images: Picture, top_k: int | None = None, threshold: float | None = None
    ) -> list[Label]: ...
    @overload
    def predict(
        self, images: Sequence[Picture], top_k: int | None = None, threshold: float | None = None
    ) -> list[list[Label]]: ...
    def predict(
        self, images: Picture | Sequence[Picture], top_k: int | None = None, threshold: float | None = None
    ) -> list[Label] | list[list[Label]]:
        """The labels of each picture, the likeliest first; for a picture alone, its own.

        images: PIL images, arrays uint8 (H, W, 3) in RGB, or paths. Given are the labels that reach their own
        thresholds of the card; with `threshold`, those that reach it; with top_k, that many. RunError names a picture
        that cannot be read; UsageError refuses a threshold that is no number in [0, 1], and a top_k below 1.
        """
        _check_choice(top_k, threshold)
        found = [
            [Label(self.labels[k], float(scores[k])) for k in select(scores, self.card, top_k, threshold)]
            for scores in self.scores(images)
        ]
        return found[0] if _is_picture(images) else found

    def scores(self, images: Picture | Sequence[Picture]) -> np.ndarray:
        """The probabilities (M, K), float32, of M pictures as `predict` takes them; one row for a picture alone."""
        pictures = _pictures(images)
        read = partial(_read, image_size=self.card.preprocessing["image_size"])
        decoded = in_order(read, enumerate(pictures), os.cpu_count() or 1, ahead=2 * BATCH)
        rows = [scores for batch in iter(lambda: list(islice(decoded, BATCH)), []) for scores in self._scored(batch)]
        return np.array(rows, np.float32).reshape(len(rows), len(self.labels))

    def _scored(self, batch: list[Decoded]) -> Iterator[np.ndarray]:
        for each in predict_batch(self._predictor, self._normalise, batch, attention=False):
            if each.scores is None:
                raise RunError(f"{each.image}: {each.error}")
            yield each.scores


def _is_picture(images: object) -> bool:
    return isinstance(images, Image.Image | np.ndarray | str | Path)


def _pictures(images: Picture | Sequence[Picture]) -> list[Picture]:
    if isinstance(images, Image.Image | np.ndarray | str | Path):
        return [images]
    if not isinstance(images, Iterable) or isinstance(images, bytes | Mapping):
        raise UsageError(f"images: a {type(images).__name__}; a picture or a sequence of them is taken: {TAKEN}")
    return list(images)


def _check_choice(top_k: int | None, threshold: float | None) -> None:
    """UsageError for what `predict` cannot choose labels by."""
    whole = isinstance(top_k, Integral) and not isinstance(top_k, bool)
    if top_k is not None and not (whole and top_k >= 1):
        raise UsageError(f"top_k {top_k!r}: must be a whole number of at least 1, or None")
    number = isinstance(threshold, Real) and not isinstance(threshold, bool)
    if threshold is not None and not (number and 0 <= threshold <= 1):
        raise UsageError(f"threshold {threshold!r}: must be a number from 0 to 1, or None")


def _read(numbered: tuple[int, Picture], image_size: int) -> Decoded:
    number, picture = numbered
    if isinstance(picture, str | Path):
        return decode(Source(os.fspath(picture)), image_size)
    if isinstance(picture, Image.Image):
        pixels = pixels_of(picture)
    elif isinstance(picture, np.ndarray) and picture.dtype == np.uint8 and picture.ndim == 3 and picture.shape[2] == 3:
        pixels = picture
    else:
        shape = f" {picture.dtype} {picture.shape}" if isinstance(picture, np.ndarray) else ""
        raise UsageError(f"image {number}: a {type(picture).__name__}{shape}; {TAKEN} is taken")
    if not pixels.size:
        raise UsageError(f"image {number}: it has no pixels")
    return Decoded(f"image {number}", resize(pixels, image_size))


def _process_on(device: str | None) -> Process:
    if device is None:
        return Process()
    try:
        wanted = torch.device(device)
    except RuntimeError:
        wanted = torch.device("meta")
    there = usable_gpus()
    if wanted.type == "cpu":
        return HostProcess()
    if wanted.type == "cuda" and (wanted.index or 0) < there:
        return Process(local_rank=wanted.index or 0)
    raise UsageError(f"device {device!r}: cpu and {there} CUDA devices are here, the first of them cuda:0")
