"""Starting a run from an earlier one's classifier and label estimates (linear, then fine-tuned: arXiv 2106.09708)."""

import logging
from pathlib import Path

import numpy as np
import torch

from mlcfast.data import LabelledImages
from mlcfast.engine.training_module import TrainingModule
from mlcfast.errors import UsageError
from mlcfast.losses import LabelEstimator
from mlcfast.models.card import check_file, load_card
from mlcfast.models.loading import find_weights, read_weights
from mlcfast.models.weights import load_checked

LOGGER = logging.getLogger("mlcfast")


def initialise_from_run(training_module: TrainingModule, records: LabelledImages, place: Path) -> None:
    """Copy the best weights of the run at `place` into the module: all, or the classifier `fc` of a linear run.

    records: the training images. Label estimates are found by image id. Raises UsageError where labels, images or
    shapes differ.
    """
    file = find_weights(place)
    names = load_card(file).labels
    if names != records.names:
        raise UsageError(f"train.initialise_from {file}: made for other labels than those of data.train")
    _copy_weights(training_module.model, file)
    if training_module.estimator is None:
        return
    estimates = file.with_name("estimates.npz")
    if not estimates.is_file():
        raise UsageError(f"train.initialise_from: {estimates} is missing: the run there has no label estimates")
    check_file(estimates)
    _copy_estimates(training_module.estimator, records, estimates)


def _copy_weights(model: torch.nn.Module, file: Path) -> None:
    weights = read_weights(file)
    classifier = {name.removeprefix("fc."): tensor for name, tensor in weights.items() if name.startswith("fc.")}
    alone = len(classifier) == len(weights)
    if alone and not hasattr(model, "fc"):
        raise UsageError(f"train.initialise_from {file}: a linear classifier, which model.head linear takes")
    target = model.get_submodule("fc") if alone else model
    load_checked(target, classifier if alone else weights, f"train.initialise_from {file}")
    LOGGER.info("%s of %s handed over", "the classifier" if alone else "all weights", file)


def _copy_estimates(estimator: LabelEstimator, records: LabelledImages, file: Path) -> None:
    with np.load(file) as held:
        rows = {image: row for row, image in enumerate(held["ids"].tolist())}
        missing = [image for image in records.image_ids if image not in rows]
        if missing:
            count = f"{len(missing)} of {len(records)} training images"
            raise UsageError(f"train.initialise_from {file}: no estimates for {count}, {missing[0]} among them")
        order = np.array([rows[image] for image in records.image_ids])
        with torch.no_grad():
            estimator.table.copy_(torch.from_numpy(held["logits"][order]))
    LOGGER.info("label estimates of %s handed over", file)
