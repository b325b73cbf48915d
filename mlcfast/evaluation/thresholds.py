"""Thresholds of a trained model chosen anew: by F1, or for a precision or recall to be reached; written to its card."""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mlcfast.errors import RunError, UsageError
from mlcfast.evaluation.gather import EvaluationResult
from mlcfast.files import publish_directory, sealed, sha256_of, write_text
from mlcfast.metrics import Cuts, label_cuts
from mlcfast.models.card import load_card, save_model
from mlcfast.models.weights import read_state_dict
from mlcfast.runs.directory import RunDirectory

UNKNOWN = 0.5  # for a label that no image has


class Aim(NamedTuple):
    """What thresholds are chosen for: the best f1, or a precision or recall of at least `target`."""

    measure: str
    target: float = 0.0

    def __str__(self) -> str:
        return self.measure if self.measure == "f1" else f"{self.measure}={self.target:g}"


class Choice(NamedTuple):
    """A label's threshold and what it does on the images it was chosen on; reached: whether the target was."""

    threshold: float
    precision: float
    recall: float
    f1: float
    images: int
    reached: bool


def read_aim(text: str) -> Aim:
    """`f1`, `precision=0.9` or `recall=0.8`; UsageError for anything else."""
    measure, _, number = text.partition("=")
    try:
        target = float(number) if number else 0.0
    except ValueError:
        target = 0.0
    if text == "f1" or (measure in ("precision", "recall") and 0 < target <= 1):
        return Aim(measure, target)
    raise UsageError(f"--thresholds {text}: must be f1, or precision=P or recall=R with a number above 0 and at most 1")


def choose_thresholds(result: EvaluationResult, aim: Aim) -> list[Choice]:
    """A choice for each label from scores and labels (M, K).

    precision: of the cuts that reach it, the one with the highest recall; recall: of those, the one with the highest
    precision. Where none reaches the precision, the cut with the highest. A label without positives gets 0.5.
    """
    return [_choose(cuts, aim) for cuts in label_cuts(result.scores, result.labels)]


def _choose(cuts: Cuts, aim: Aim) -> Choice:
    if not cuts.positives:
        return Choice(UNKNOWN, 0.0, 0.0, 0.0, 0, aim.measure == "f1")
    reached = True
    if aim.measure == "f1":
        cut = int(np.argmax(cuts.f1))
    else:
        wanted, other = cuts.precision, cuts.recall
        if aim.measure == "recall":
            wanted, other = other, wanted
        reached = bool((wanted >= aim.target).any())
        allowed = wanted >= (aim.target if reached else wanted.max())
        best = allowed & (other == other[allowed].max())
        cut = int(np.argmax(np.where(best, wanted, -1.0)))
    threshold, precision, recall, f1 = (each[cut] for each in (cuts.thresholds, cuts.precision, cuts.recall, cuts.f1))
    return Choice(float(threshold), float(precision), float(recall), float(f1), cuts.positives, reached)


def thresholds_table(names: Sequence[str], choices: Sequence[Choice], aim: Aim, before: Sequence[float]) -> str:
    """The choices as lines a person reads; before: the thresholds that the model has."""
    width = max(len("label"), *map(len, names))
    lines = [f"{'label':<{width}}  images  before     now  precision  recall     F1"]
    for name, old, each in zip(names, before, choices, strict=True):
        figures = f"{100 * each.precision:9.2f}  {100 * each.recall:6.2f} {100 * each.f1:6.2f}"
        note = "" if each.reached else f"  does not reach {aim}" if each.images else "  no image has it"
        lines.append(f"{name:<{width}}  {each.images:6d}  {old:6.3f}  {each.threshold:6.3f}  {figures}{note}")
    return "\n".join([*lines, f"thresholds for {aim}; precision, recall and F1 in percent, on the images chosen from"])


def as_json(names: Sequence[str], choices: Sequence[Choice], aim: Aim) -> dict[str, Any]:
    """What `evaluate --json` says of them: the aim, and by label the threshold with its figures in percent."""
    labels = {
        name: {
            "threshold": each.threshold,
            **{key: 100 * getattr(each, key) for key in ("precision", "recall", "f1")},
            "images": each.images,
            "reached": each.reached,
        }
        for name, each in zip(names, choices, strict=True)
    }
    return {"aim": str(aim), "labels": labels}


def write_thresholds(weights: Path, thresholds: Sequence[float]) -> None:
    """Put thresholds, one a label, into the card beside `weights` and the weights' own metadata, all or nothing.

    A finished run stays one: its outcome.json goes with the new card. UsageError where the file is not the
    model.safetensors of a directory; RunError where it cannot be written.
    """
    if weights.name != "model.safetensors":
        raise UsageError(f"--write: {weights} is not the model.safetensors of a run's best/ or of an export")
    folder, card = weights.parent, load_card(weights)
    card = replace(card, thresholds=[round(float(value), 6) for value in thresholds])
    beside = {name: (folder / name).read_bytes() for name in card.files if name != weights.name}
    run = RunDirectory(folder.absolute().parent)
    outcome = run.read_outcome() if folder.name == "best" and run.outcome.exists() else None
    draft = folder.absolute().with_name(f".{folder.absolute().name}.partial")
    shutil.rmtree(draft, ignore_errors=True)
    try:
        save_model(draft / weights.name, read_state_dict(weights), card, beside)
        if outcome is not None:
            write_text(draft / "outcome.json", sealed({**outcome, "card": sha256_of(draft / "model.json")}))
        for other in folder.iterdir():
            if not (draft / other.name).exists() and other.is_file():
                shutil.copy2(other, draft / other.name)
        publish_directory(draft, folder.absolute())
    except OSError as error:
        raise RunError(f"{folder}: cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
