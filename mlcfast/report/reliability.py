"""Whether a score of 0.8 means that 80 % have the label: reliability diagram, its error, a temperature that mends it.

Shapes: M images, K labels; N entries that are known.
"""

from typing import Any, NamedTuple

import numpy as np

from mlcfast.metrics import known_entries
from mlcfast.report.svg import Series, line_chart

TENTHS = 10
STEEPEST = 50.0  # a temperature lies between this and its reciprocal
MOST = 2**21  # images × labels that are looked at; of more, images spread evenly
HALVINGS = 30


class Tenth(NamedTuple):
    """The entries whose score lies in one tenth of [0, 1]: how many, their mean score and the share that is present."""

    entries: int
    score: float
    share: float


def tenths(scores: np.ndarray, present: np.ndarray) -> list[Tenth]:
    """Those tenths that have entries, of scores (N,) in [0, 1] and present (N,) bool."""
    place = np.minimum((scores * TENTHS).astype(int), TENTHS - 1)
    counts = np.bincount(place, minlength=TENTHS)
    said, had = (np.bincount(place, weights, TENTHS) for weights in (scores, present))
    return [
        Tenth(int(count), float(s / count), float(h / count))
        for count, s, h in zip(counts, said, had, strict=True)
        if count
    ]


def calibration_error(rows: list[Tenth]) -> float:
    """By how much scores are off: |mean score − share|, averaged over the entries of all tenths; 0 for none."""
    total = sum(row.entries for row in rows)
    return sum(row.entries * abs(row.score - row.share) for row in rows) / max(total, 1)


def logits_of(scores: np.ndarray) -> np.ndarray:
    """The logits of scores as fp32 holds them: 1 and 0 stand for the next number inside."""
    inside = np.clip(scores.astype(np.float64), np.finfo(np.float32).tiny, 1 - np.finfo(np.float32).epsneg)
    return np.log(inside) - np.log1p(-inside)


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 0.5 + 0.5 * np.tanh(0.5 * x)  # which overflows nowhere


def tempered(scores: np.ndarray, temperature: float) -> np.ndarray:
    """The scores with every logit divided by the temperature."""
    return _sigmoid(logits_of(scores) / temperature)


def temperature_of(scores: np.ndarray, present: np.ndarray) -> float:
    """The temperature of the least cross-entropy on scores (N,) and present (N,), within STEEPEST; 1 for no entries.

    The cross-entropy of σ(βx) is convex in β = 1 / T: its slope, the mean of x (σ(βx) − present), is brought to 0.
    """
    if not len(scores):
        return 1.0
    x = logits_of(scores)
    low, high = -np.log(STEEPEST), np.log(STEEPEST)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        slope = float(np.mean(x * (_sigmoid(x * np.exp(middle)) - present)))
        low, high = (middle, high) if slope < 0 else (low, middle)
    return float(np.exp(-(low + high) / 2))


def reliability(scores: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """Error and temperature of scores (M, K) beside labels (M, K) as metrics takes them, and the error with it.

    tenths: the diagram. Errors are percentages. Of more than MOST entries some images are looked at, spread evenly.
    """
    step = max(1, -(-scores.size // MOST))
    scores, labels = scores[::step], labels[::step]
    known = known_entries(labels)
    own, present = scores[known], labels[known] == 1
    rows, temperature = tenths(own, present), temperature_of(own, present)
    return {
        "error": 100 * calibration_error(rows),
        "temperature": temperature,
        "error_with_temperature": 100 * calibration_error(tenths(tempered(own, temperature), present)),
        "tenths": [row._asdict() for row in rows],
    }


def in_words(found: dict[str, Any]) -> str:
    """One sentence of it."""
    return (
        f"scores are off by {found['error']:.1f} points on average; logits divided by a temperature of "
        f"{found['temperature']:.2f} would leave {found['error_with_temperature']:.1f}"
    )


def diagram(scores: np.ndarray, labels: np.ndarray) -> str:
    """The diagram and what it comes to, as markup."""
    found = reliability(scores, labels)
    across, up = ([100 * row[key] for row in found["tenths"]] for key in ("score", "share"))
    lines = [Series([0, 100], [0, 100], "as scores should be", "faint"), Series(across, up, "as they are", "s1")]
    limits = {"x_range": (0.0, 100.0), "y_range": (0.0, 100.0)}
    chart = line_chart("Scores by tenths", "mean score (%)", "images that have the label (%)", lines, **limits)
    note = f"On these images {in_words(found)}, as the temperature was fitted to them. The mAP does not change with it."
    return f'<p class="note">{note}</p><div class="charts">{chart}</div>'
