"""Draws two models on the same images: the labels each gives them, and where the first one looks."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mlcfast.data import LabelledImages
from mlcfast.data.sources import Source
from mlcfast.engine import HostProcess, Predictor
from mlcfast.errors import RunError, UsageError
from mlcfast.evaluation.gather import EvaluationResult
from mlcfast.evaluation.predict_files import predict_files
from mlcfast.evaluation.tables import bounds_of
from mlcfast.metrics import known_entries
from mlcfast.models.build import attends
from mlcfast.models.card import card_file, load_card
from mlcfast.models.trained import load_trained
from mlcfast.report.side_by_side import Seen, draw_side_by_side
from mlcfast.report.text import drawn_name

IMAGES = 5


def picture_of_both(
    file: Path, results: Sequence[EvaluationResult], weights: Sequence[Path], records: LabelledImages
) -> None:
    """Write the PNG: images spread evenly over the set, not chosen, with the labels that each model gives them.

    results, weights: of the two models. Maps need a first model with a card and a head that attends; they show a
    label that the first finds and the second misses, where there is one. UsageError for images without files.
    """
    if not all(records.paths):
        raise UsageError(f"--picture {file}: these images have no files that could be shown")
    chosen = np.unique(np.linspace(0, len(records) - 1, min(IMAGES, len(records))).astype(int))
    known, positive = (values[chosen] for values in (known_entries(results[0].labels), results[0].labels == 1))
    first, second = (
        (result.scores[chosen] >= bounds_of(path, len(result.names))) & known
        for result, path in zip(results, weights, strict=True)
    )
    shown = [_label_to_show(*each) for each in zip(positive, first, second, strict=True)]
    paths = [records.paths[index] for index in chosen]
    maps = _maps(weights[0], paths)
    seen = []
    for i, path in enumerate(paths):
        label, attention = shown[i], maps[i]
        title = "" if label is None else f"where {drawn_name(results[0].names[label], label + 1)} looks"
        attended = None if label is None or attention is None else (title, attention[label])
        seen.append(Seen(path, positive[i], (first[i], second[i]), attended))
    try:
        draw_side_by_side(file, seen, results[0].names, (_title("A", weights[0]), _title("B", weights[1])))
    except OSError as error:
        raise RunError(f"{file}: cannot be written: {error.strerror or error}") from error


def _label_to_show(positive: np.ndarray, first: np.ndarray, second: np.ndarray) -> int | None:
    """A label of the image that only the first model finds, else one that it finds, else one that there is."""
    for which in (positive & first & ~second, positive & first, positive):
        if which.any():
            return int(np.argmax(which))
    return None


def _maps(weights: Path, paths: Sequence[str]) -> list[np.ndarray | None]:
    """Attention maps (K, H, W) of each image, on the CPU; None for a model that has none."""
    if not card_file(weights).exists() or not attends(load_card(weights).model.get("head", "linear")):
        return [None] * len(paths)
    model, card = load_trained(weights)
    predictor = Predictor(HostProcess(), model, "fp32")
    return [seen.maps for seen in predict_files(predictor, card, map(Source, paths), workers=1, attention=True)]


def _title(letter: str, weights: Path) -> str:
    """What stands over a model's labels: its letter, its head where its card says it, and its run or directory."""
    head = load_card(weights).model.get("head", "") if card_file(weights).exists() else ""
    place = weights.parent
    run = place.parent.name if place.name == "best" else place.name
    return f"{letter}  {run}, {head}" if head else f"{letter}  {run}"
