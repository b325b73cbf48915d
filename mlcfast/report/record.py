"""Reads back what a run's directory holds, for the report.

Shapes: M validation images, K labels.
"""

import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mlcfast.documents import parse_json
from mlcfast.errors import UsageError
from mlcfast.files import compare_listed, unsealed
from mlcfast.metrics import known_entries
from mlcfast.registry import hint_path
from mlcfast.runs.directory import RunDirectory


@dataclass(frozen=True)
class RunRecord:
    """A finished or running run.

    config: the resolved YAML as text; train, evaluations: the journal's lines; card: best/model.json; scores, labels:
    (M, K) of the best weights on the validation images, of large sets on some of them, spread evenly; paths: their M
    files, empty in runs that did not record them; unobserved: the PNG of draw_unobserved, where labels were hidden from
    training; data: the journal's last line on the images, {} in runs that have none; outcome: that of a finished run,
    else {}; spent: the journal's lines on where each epoch's time went; damaged: a sentence for each file of which
    something could not be read and is missing here.
    """

    name: str
    config: str
    train: list[dict[str, Any]]
    evaluations: list[dict[str, Any]]
    card: dict[str, Any]
    scores: np.ndarray
    labels: np.ndarray
    paths: list[str]
    unobserved: bytes | None = None
    data: dict[str, Any] = field(default_factory=dict)
    outcome: dict[str, Any] = field(default_factory=dict)
    spent: list[dict[str, Any]] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        """The K label names."""
        return self.card["labels"]

    @property
    def thresholds(self) -> np.ndarray:
        """(K,): the probability from which each label counts as present."""
        return np.asarray(self.card["thresholds"])

    @property
    def images(self) -> int:
        """How many images validated; M, or more where the scores of some alone were kept."""
        return int(self.card["metrics"].get("images", len(self.scores)))

    @property
    def predicted(self) -> np.ndarray:
        """(M, K) bool: the labels given to each image."""
        return self.scores >= self.thresholds

    @property
    def positive(self) -> np.ndarray:
        """(M, K) bool: the labels each image has."""
        return self.labels == 1

    @property
    def known(self) -> np.ndarray:
        """(M, K) bool: the labels of which it is known whether each image has them."""
        return known_entries(self.labels)

    @property
    def times(self) -> list[float]:
        """When the journal's lines were written, in seconds since 1970."""
        return [line["time"] for line in self.train + self.evaluations]

    @property
    def wrong(self) -> np.ndarray:
        """(M, K) bool: the labels given to images that are known not to have them."""
        return self.predicted & self.known & ~self.positive


# What the report reads of a line of metrics.jsonl, by its event.
FIELDS = {
    "train": ("step", "time"),
    "evaluation": ("step", "time", "epoch", "weights", "mAP"),
    "spent": ("epoch", "seconds", "remedy"),
    "data": ("sides", "rarest", "warnings"),
}


def read_run(directory: Path) -> RunRecord:
    """Read a run directory; UsageError names the file without which there is no report.

    Lines of metrics.jsonl and an outcome.json that are damaged or half written are left out; `damaged` says so.
    """
    run = RunDirectory(directory)
    try:
        events, torn = _events(run)
        card = _card(run.card)
        own = {name: entry for name, entry in card.get("files", {}).items() if name == run.validation.name}
        compare_listed(run.best, own, "train the run again, or take the file from a copy", UsageError)
        config = run.config.read_text(encoding="utf-8", errors="replace")
        with np.load(run.validation, allow_pickle=False) as held:
            scores, labels = held["scores"], held["labels"]
            paths = held["paths"].tolist() if "paths" in held else []
        drawn = run.unobserved_picture
        unobserved = drawn.read_bytes() if drawn.exists() else None
    except OSError as error:
        near = hint_path(error.filename or directory) or "; is this a run?"
        raise UsageError(f"{error.filename or directory}: cannot be read: {error.strerror}{near}") from error
    except (ValueError, KeyError, zipfile.BadZipFile) as error:
        raise UsageError(f"{directory}: a damaged run: {error}") from error
    kinds = {kind: [event for event in events if event["event"] == kind] for kind in FIELDS}
    data: dict[str, Any] = kinds["data"][-1] if kinds["data"] else {}
    outcome, lost = _outcome(run)
    beside = unobserved, data, outcome, kinds["spent"], torn + lost
    return RunRecord(directory.name, config, kinds["train"], kinds["evaluation"], card, scores, labels, paths, *beside)


def _events(run: RunDirectory) -> tuple[list[dict[str, Any]], list[str]]:
    """The journal's whole lines, and a sentence on those that are not; a trained model may have lost its journal."""
    if run.card.exists() and not run.metrics.exists():
        return [], [f"{run.metrics}: not there; without it the report has no curves and no counts of the data"]
    lines = run.metrics.read_bytes().splitlines()
    events = [event for event in map(_event, lines) if event is not None]
    torn = len(lines) - len(events)
    if not lines:
        return [], [f"{run.metrics}: empty; without it the report has no curves and no counts of the data"]
    said = f"{run.metrics}: {torn} of {len(lines)} lines are damaged or half written and left out of the report"
    return events, [said] if torn else []


def _card(file: Path) -> dict[str, Any]:
    try:
        return unsealed(file.read_bytes())
    except ValueError as error:
        raise UsageError(f"{file}: a damaged run: {error}; take it from a copy, or train again") from error


def _event(line: bytes) -> dict[str, Any] | None:
    """A line of the journal; None for one that is damaged."""
    try:
        event = parse_json(line)
    except ValueError:
        return None
    if not isinstance(event, dict) or "event" not in event:
        return None
    return event if event.keys() >= set(FIELDS.get(str(event["event"]), ())) else None


def _outcome(run: RunDirectory) -> tuple[dict[str, Any], list[str]]:
    """The outcome of a finished run, {} for one that is still going; where it is damaged {} and a sentence on that."""
    try:
        return (dict(run.read_outcome()) if run.outcome.exists() else {}), []
    except UsageError as error:
        return {}, [f"{error}; without it the report has no test figures"]


def hardest(record: RunRecord, count: int) -> list[int]:
    """The images whose labels surprise the model most: by the mean binary cross-entropy over the labels."""
    return np.argsort(-surprise(record), kind="stable")[:count].tolist()


def surprise(record: RunRecord) -> np.ndarray:
    """(M,): each image's mean binary cross-entropy over its known labels, in nats; 0 where none is known."""
    p, known = np.clip(record.scores.astype(np.float64), 1e-6, 1 - 1e-6), record.known
    losses = -np.where(record.positive, np.log(p), np.log(1 - p))
    return (losses * known).sum(axis=1) / np.maximum(known.sum(axis=1), 1)


def wrongly_added(predicted: np.ndarray, positive: np.ndarray, known: np.ndarray | None = None) -> np.ndarray:
    """(K, K): of the images with label i but not j, the share that was given j; NaN on the diagonal and for none.

    predicted, positive: (M, K) bool; known: (M, K) bool, without which all entries are.
    """
    absent = ~positive if known is None else known & ~positive
    given = positive.astype(np.float32).T @ (predicted & absent).astype(np.float32)
    with np.errstate(invalid="ignore", divide="ignore"):
        shares = given / with_one_not_other(positive, known)
    np.fill_diagonal(shares, np.nan)
    return shares


def with_one_not_other(positive: np.ndarray, known: np.ndarray | None = None) -> np.ndarray:
    """(K, K): how many images have label i and are known not to have j; arguments as those of `wrongly_added`."""
    absent = ~positive if known is None else known & ~positive
    return positive.astype(np.float32).T @ absent.astype(np.float32)


def precision_recall(scores: np.ndarray, positive: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Recall and precision over all thresholds, of flat scores and truths; tied scores are one threshold."""
    order = np.argsort(-scores, kind="stable")
    hits, ordered = np.cumsum(positive[order]), scores[order]
    last = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))
    return hits[last] / max(int(positive.sum()), 1), hits[last] / (last + 1)


def rates(predicted: np.ndarray, positive: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Precision, recall and F1 of each label, (K,); 0 where undefined."""
    correct = (predicted & positive).sum(axis=0)
    given, there = predicted.sum(axis=0), positive.sum(axis=0)
    return correct / np.maximum(given, 1), correct / np.maximum(there, 1), 2 * correct / np.maximum(given + there, 1)
