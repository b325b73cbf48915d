"""Starts a run from an earlier one's weights and label estimates (linear, then fine-tuned: arXiv 2106.09708).

The earlier run may have had other labels: what belongs to a label is found by its name.
"""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mlcfast.data import LabelledImages
from mlcfast.engine.training_module import TrainingModule
from mlcfast.errors import UsageError
from mlcfast.losses import LabelEstimator
from mlcfast.losses.label_estimator import logit
from mlcfast.models.card import check_file, load_card
from mlcfast.models.loading import find_weights, read_weights
from mlcfast.models.weights import AUXILIARY, load_checked, load_whole
from mlcfast.registry import hint

LOGGER = logging.getLogger("mlcfast")
LABEL_AXIS = {"fc.weight": 0, "fc.bias": 0, "fc.W": 1, "fc.b": 1, "query_embed.weight": 0}
LABEL_AXIS |= dict.fromkeys(AUXILIARY, 0)
CERTAIN = 1 - 1e-5  # the most that an estimate is taken over with, in logits 11.5
SHOWN = 8  # labels named in a line of the log


def initialise_from_run(
    training_module: TrainingModule,
    records: LabelledImages,
    place: Path,
    renamed: Mapping[str, str] | None = None,
    backbone: str = "",
) -> None:
    """Copy the best weights of the run at `place` into the module: all, or the classifier `fc` of a linear run.

    records: the training images. What belongs to a label is matched by its name; renamed: names now to names there. A
    label that the run did not have keeps its fresh start. Label estimates are found by image id. UsageError where no
    label is shared, images are missing or shapes differ, which names `backbone`, this run's, beside another one there.
    """
    file, held = find_source(place)
    rows = matching_rows(held, records.names, renamed or {}, f"train.initialise_from {file}")
    try:
        _copy_weights(training_module.model, file, rows, 0 if held == records.names else len(held))
    except UsageError as error:
        theirs = load_card(file).model.get("backbone", backbone)
        if not backbone or theirs == backbone:
            raise
        raise UsageError(f"{error}; the backbone there is {theirs}, model.backbone is {backbone}") from error
    if training_module.estimator is None:
        return
    estimates = file.with_name("estimates.npz")
    if not estimates.is_file():
        raise UsageError(f"train.initialise_from: {estimates} is missing: the run there has no label estimates")
    check_file(estimates)
    _copy_estimates(training_module.estimator, records, estimates, rows)


def find_source(place: Path) -> tuple[Path, list[str]]:
    """The weight file of the run at `place` and its labels; where there is none, UsageError that names the setting."""
    try:
        file = find_weights(place)
        return file, load_card(file).labels
    except UsageError as error:
        raise UsageError(f"train.initialise_from: {error}") from error


def matching_rows(held: Sequence[str], names: Sequence[str], renamed: Mapping[str, str], what: str) -> list[int | None]:
    """For each of the labels `names` its position among those `held`, None for a new one; what that means is logged.

    renamed: names now to names there. UsageError, which begins with `what`, where no label is shared and for a name in
    `renamed` that is not there.
    """
    for now, there in renamed.items():
        for name, known, side in ((now, names, "data.train"), (there, held, "that run")):
            if name not in known:
                raise UsageError(f"train.renamed_labels: {side} has no label {name!r}{hint(name, known)}")
    place = {name: row for row, name in enumerate(held)}
    rows = [place.get(renamed.get(name, name)) for name in names]
    new = [name for name, row in zip(names, rows, strict=True) if row is None]
    taken = set(rows)
    left = [name for row, name in enumerate(held) if row not in taken]
    if len(new) == len(names):
        raise UsageError(f"{what}: made for other labels than those of data.train: none is shared, such as {held[0]!r}")
    if new or left:
        LOGGER.info("labels matched by name: %d of %d are taken over", len(names) - len(new), len(names))
        for words, some in (("new, which start afresh", new), ("left out", left)):
            if some:
                more = f" and {len(some) - SHOWN} more" if len(some) > SHOWN else ""
                LOGGER.info("labels that are %s: %s%s", words, ", ".join(some[:SHOWN]), more)
    if new and left:
        LOGGER.info("if %r is now called %r: train.renamed_labels={%s: %s}", left[0], new[0], new[0], left[0])
    return rows


def _copy_weights(model: torch.nn.Module, file: Path, rows: Sequence[int | None], held: int) -> None:
    """held: how many labels the file is for, where they are not the model's own in their order; else 0."""
    weights = read_weights(file)
    alone = all(name.startswith("fc.") for name in weights)
    if alone and not hasattr(model, "fc"):
        raise UsageError(f"train.initialise_from {file}: a linear classifier, which model.head linear takes")
    source = f"train.initialise_from {file}"
    if held:
        weights = _by_label(model, weights, rows, held, source)
    if alone:
        load_checked(model.get_submodule("fc"), {n.removeprefix("fc."): t for n, t in weights.items()}, source)
    else:
        load_whole(model, weights, source)
    LOGGER.info("%s of %s handed over", "the classifier" if alone else "all weights", file)


def _by_label(
    model: torch.nn.Module, weights: dict[str, Tensor], rows: Sequence[int | None], held: int, what: str
) -> dict[str, Tensor]:
    """The weights with what belongs to labels in the order of the model's: rows[k] is where label k is found."""
    if getattr(model, "labels_per_query", 1) > 1:
        raise UsageError(f"{what}: made for other labels, and with model.query_groups labels cannot be matched by name")
    own, adapted = model.state_dict(), dict(weights)
    here = torch.tensor([k for k, row in enumerate(rows) if row is not None])
    there = torch.tensor([row for row in rows if row is not None])
    for name, axis in LABEL_AXIS.items():
        given, start = weights.get(name), own.get(name)
        if given is None or start is None or given.dim() != start.dim() or given.shape[axis] != held:
            continue  # which load_checked then says
        taken = given.index_select(axis, there).to(start.dtype)
        if taken.movedim(axis, 0).shape[1:] == start.movedim(axis, 0).shape[1:]:
            adapted[name] = start.clone().index_copy_(axis, here, taken)
    return adapted


def _copy_estimates(
    estimator: LabelEstimator, records: LabelledImages, file: Path, columns: Sequence[int | None]
) -> None:
    """As published, by way of probabilities of at least 1e-5 and at most 1 - 1e-5."""
    with np.load(file) as held:
        rows = {image: row for row, image in enumerate(held["ids"].tolist())}
        missing = [image for image in records.image_ids if image not in rows]
        if missing:
            count = f"{len(missing)} of {len(records)} training images"
            raise UsageError(f"train.initialise_from {file}: no estimates for {count}, {missing[0]} among them")
        order = np.array([rows[image] for image in records.image_ids])
        here = [k for k, column in enumerate(columns) if column is not None]
        there = [column for column in columns if column is not None]
        with torch.no_grad():
            taken = torch.from_numpy(held["logits"][order][:, there])
            estimator.table[:, here] = taken.clamp(-logit(CERTAIN), logit(CERTAIN))
    LOGGER.info("label estimates of %s handed over", file)
