"""Compares a run's last checkpoint with the command that resumes it, and says what has changed and what follows."""

import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mlcfast.config import Config
from mlcfast.data import LabelledImages
from mlcfast.data.labels import table_arrays
from mlcfast.errors import UsageError
from mlcfast.runs.directory import find_run
from mlcfast.runs.journal import Journal
from mlcfast.settings import FREE_ON_RESUME, LENGTH_ON_RESUME
from mlcfast.settings_reference import defaults, flattened

LOGGER = logging.getLogger("mlcfast")
SHOWN = 4  # settings in an error
JUDGED = "train.evaluate_every"
PLACES = {"data.root", "data.train", "data.val", "data.test"}
MEANINGS = {
    "training": "the training images, their order or their labels: what was learnt before is of other data",
    "validation": "the validation images or labels: mAPs before and after are not alike, and the best epoch is chosen "
    "anew from here on",
    "test": "the test images or labels",
}


@dataclass(frozen=True)
class Changes:
    """What differs from the run as it was; settings by dotted key, each with its value before and now.

    free: settings that change nothing of the result; length: of how long it trains and how often it is judged; recipe:
    all others; data: the parts (training, validation, test) that hold other images or labels.
    unknown: why nothing could be compared, where the run's config.yaml is missing or damaged.
    """

    free: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    length: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    recipe: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    data: list[str] = field(default_factory=list)
    unknown: str = ""

    @property
    def make_another_run(self) -> bool:
        """Whether the result is no longer that of the one configuration that config.yaml states."""
        return bool(self.recipe or {"training", "validation"} & set(self.data))

    def refuse(self, place: Path, step: int, allowed: bool) -> None:
        """UsageError where these changes make another run, unless that is allowed."""
        if not self.make_another_run or allowed:
            return
        named = [_shown(key, *values) for key, values in list(self.recipe.items())[:SHOWN]]
        more = len(self.recipe) - SHOWN
        named += [f"{more} settings more"] if more > 0 else []
        named += [MEANINGS[part].partition(":")[0] for part in self.data]
        raise UsageError(
            f"{place}: changed since step {step} was saved: {', '.join(named)}. Going on would mix two runs: put it "
            "back, or start anew without --resume, or add --with-changes, which goes on and writes the changes down"
        )

    def sentences(self, step: int) -> list[str]:
        """What has changed and what it means, a sentence each; for the log and the report."""
        if self.unknown:
            return [f"what has changed since the checkpoint was written is not known: {self.unknown}"]
        found = []
        if self.free:
            found.append(f"changed, without an effect on the result: {_listed(self.free)}")
        if length := {key: values for key, values in self.length.items() if key != JUDGED}:
            found.append(
                f"changed: {_listed(length)}: the run has another length, and under one_cycle the learning rate "
                f"follows the new length from step {step} on"
            )
        if JUDGED in self.length:
            found.append(f"changed: {_shown(JUDGED, *self.length[JUDGED])}: the best is chosen of other epochs")
        if self.recipe:
            found.append(f"changed: {_listed(self.recipe)}: steps up to {step} had the old values, later ones the new")
        return found + [f"changed: {MEANINGS[part]}" for part in self.data]

    def write_down(self, journal: Journal, step: int) -> None:
        """Log the sentences and, where the result is concerned, put an event `changes` into metrics.jsonl."""
        for sentence in self.sentences(step):
            (LOGGER.warning if self.make_another_run else LOGGER.info)("going on from step %d: %s", step, sentence)
        if self.length or self.make_another_run:
            settings = {key: {"before": old, "now": new} for key, (old, new) in (self.length | self.recipe).items()}
            journal.record("changes", step, settings=settings, data=self.data)


def contents_of(parts: Mapping[str, LabelledImages]) -> dict[str, str]:
    """A digest of the labels in their order, and one of the images and labels of each part; where images lie and what
    is in their files does not count."""
    first = next(iter(parts.values()))
    digests = {"labels": _digest(json.dumps(first.names).encode())}
    for name, records in parts.items():
        tables = (np.ascontiguousarray(table).data for table in table_arrays(records.labels).values())
        digests[name] = _digest(json.dumps(records.image_ids).encode(), *tables)
    return digests


def _digest(*contents: bytes | memoryview) -> str:
    digest = hashlib.sha256()
    for content in contents:
        digest.update(content)
    return digest.hexdigest()


def normalised_as_before(config: Config, place: Path) -> Config:
    """`config` with the mean and deviation of the run that goes on, where it names neither.

    place: the checkpoint or run that is resumed; one whose configuration cannot be read changes nothing.
    """
    run = find_run(place)
    if run is None or config.data.names_normalisation:
        return config
    try:
        before = flattened(run.read_config())
    except UsageError:
        return config
    mean, std = before.get("data.mean"), before.get("data.std")
    return config.normalised(mean, std) if isinstance(mean, list) and isinstance(std, list) else config


def changes_since(place: Path, settings: Mapping[str, Any], contents: Mapping[str, str]) -> Changes:
    """Compare a run with what goes on with it.

    place: the checkpoint or run that is resumed; settings: the configuration as nested plain values; contents: see
    contents_of. UsageError for other labels than the run's, or another order: its weights would go to the wrong ones.
    """
    run = find_run(place)
    if run is None:
        return Changes(unknown="there is no config.yaml beside it")
    try:
        before, now = defaults() | flattened(run.read_config()), flattened(settings)
    except UsageError as error:
        return Changes(unknown=str(error))
    known = [key for key in {**now, **before} if key in now or key.startswith("loss.")]
    keys = [key for key in known if before.get(key) != now.get(key)]
    differ = {key: (before.get(key), now.get(key)) for key in keys}
    held = run.last_event("data").get("contents", {})
    parts = [part for part in ("training", "validation", "test") if part in held and held[part] != contents.get(part)]
    if held.get("labels", contents["labels"]) != contents["labels"]:
        raise UsageError(
            f"{place}: the labels, or their order, are not those of the run: its weights would go to the wrong labels. "
            f"Start a new run with train.initialise_from={run.path}, which matches labels by name; "
            "if a table beside theirs has named their ids since, keep these: data.label_columns, with --with-changes"
        )
    free = FREE_ON_RESUME - (PLACES if {"training", "validation"} & set(parts) else set())  # which name other data then
    return Changes(
        free={key: values for key, values in differ.items() if key in free},
        length={key: values for key, values in differ.items() if key in LENGTH_ON_RESUME},
        recipe={key: values for key, values in differ.items() if key not in free | LENGTH_ON_RESUME},
        data=parts,
    )


def _listed(settings: Mapping[str, tuple[Any, Any]]) -> str:
    return ", ".join(_shown(key, *values) for key, values in settings.items())


def _shown(key: str, before: Any, now: Any) -> str:
    words = ("none" if value is None else value for value in (before, now))
    return "{} {} -> {}".format(key, *words)
