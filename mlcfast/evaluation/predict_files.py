"""Predicts the labels of image files: decodes them, runs the model and chooses which labels to report."""

import difflib
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import chain, islice
from typing import NamedTuple

import numpy as np
import torch

from mlcfast.data.sources import Source
from mlcfast.data.stream import Decoded, decode, decoded_batches, in_order
from mlcfast.data.transforms import EvalTransform, Normalise
from mlcfast.engine.distributed import all_gather_objects
from mlcfast.engine.predictor import Predictor
from mlcfast.errors import UsageError
from mlcfast.models.card import ModelCard


class Prediction(NamedTuple):
    """An image file with its probabilities (K,) and, if asked for, attention maps (K, H, W); or its error."""

    image: str
    scores: np.ndarray | None = None
    maps: np.ndarray | None = None
    error: str | None = None


def predict_files(
    predictor: Predictor,
    card: ModelCard,
    sources: Iterable[Source],
    batch_size: int = 32,
    workers: int = 2,
    attention: bool = False,
) -> Iterator[Prediction]:
    """One prediction for each source, in order; files that cannot be decoded carry their error.

    workers: threads. Beside a GPU they decode while the model computes. On the CPU, where one small batch cannot keep
    several cores busy, each thread decodes and computes batches of its own on its share of torch's threads.
    attention: also return every label's map.
    """
    normalise, sources = EvalTransform(**card.preprocessing).normalise, list(sources)
    size, threads = card.preprocessing["image_size"], torch.get_num_threads()
    streams = min(workers, threads, len(sources)) if predictor.process.device.type == "cpu" else 1
    if streams <= 1:
        for batch in decoded_batches(sources, size, batch_size, workers):
            yield from predict_batch(predictor, normalise, batch, attention)
        return

    def predict(files: list[Source]) -> list[Prediction]:
        return list(predict_batch(predictor, normalise, [decode(file, size) for file in files], attention))

    step = min(batch_size, -(-len(sources) // streams))
    batches = (sources[first : first + step] for first in range(0, len(sources), step))
    try:
        limit = partial(torch.set_num_threads, threads // streams)
        for done in in_order(predict, batches, streams, ahead=2 * streams, prepare=limit):
            yield from done
    finally:
        torch.set_num_threads(threads)


def predict_shared(
    predictor: Predictor,
    card: ModelCard,
    sources: Sequence[Source],
    batch_size: int = 32,
    workers: int = 2,
    attention: bool = False,
) -> Iterator[Prediction]:
    """As predict_files, by all ranks, which take the batches in turn; every rank gets every prediction; a collective.

    sources: the same on every rank. A prediction has maps on the rank that computed it alone.
    """
    rank, world_size = predictor.process.rank, predictor.process.world_size
    step = max(1, min(batch_size, -(-len(sources) // world_size)))
    batches = [sources[first : first + step] for first in range(0, len(sources), step)]
    own = predict_files(predictor, card, chain(*batches[rank::world_size]), step, workers, attention)
    for _ in batches[::world_size]:
        mine = list(islice(own, step))
        for other, theirs in enumerate(all_gather_objects([each._replace(maps=None) for each in mine])):
            yield from mine if other == rank else theirs


def predict_batch(
    predictor: Predictor, normalise: Normalise, batch: list[Decoded], attention: bool
) -> Iterator[Prediction]:
    """One prediction for each decoded image, in order, by one pass of the model; attention: also every label's map."""
    pixels = [image.pixels for image in batch if image.pixels is not None]
    results: Iterator[tuple[np.ndarray, np.ndarray | None]] = iter(())
    if pixels:
        stacked = torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2)
        images = normalise(predictor.process.place(stacked))  # as bytes: a quarter of float32
        scores, maps = predictor.attend(images) if attention else (predictor.predict(images), None)
        results = zip(scores.cpu().numpy(), [None] * len(pixels) if maps is None else maps.cpu().numpy(), strict=True)
    for image in batch:
        yield Prediction(image.path, error=image.error) if image.error else Prediction(image.path, *next(results))


def select(scores: np.ndarray, card: ModelCard, top_k: int | None = None, threshold: float | None = None) -> list[int]:
    """The labels to report for one image's scores (K,), best first; ties keep the labels' order.

    Those reaching each label's own threshold of the card; with `threshold` those reaching it; with `top_k` the highest
    ones whatever their scores; with both the highest ones that reach it.
    """
    if threshold is not None or top_k is not None:
        bounds = np.full(len(scores), threshold or 0.0)
    else:
        bounds = np.asarray(card.thresholds)
    order = np.argsort(-scores, kind="stable")[:top_k]
    return [int(label) for label in order if scores[label] >= bounds[label]]


def label_numbers(names: Sequence[str], known: Sequence[str]) -> list[int]:
    """The positions of `names` among `known`; UsageError suggests the nearest for one that is not there.

    Names are suggested as the option `--labels` takes them: with a comma in double quotes.
    """
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = (
                f"did you mean {_as_given(near[0])}?" if near else f"known are {', '.join(map(_as_given, known[:8]))}"
            )
            commas = any("," in label for label in known)
            quoted = "; a name with a comma stands in double quotes: --labels '\"A, with a comma\",B'" if commas else ""
            raise UsageError(f"--labels: the model has no label {name!r}: {hint}{quoted}")
    return [list(known).index(name) for name in names]


def _as_given(name: str) -> str:
    """A label as one field of a CSV row."""
    return '"' + name.replace('"', '""') + '"' if "," in name or name.startswith('"') else name
