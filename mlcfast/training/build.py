"""Builds what an engine trains: the configured model and loss and, where it needs them, label estimates.

What is wrong with the configuration and needs no image to be found is said before any is read.
"""

from pathlib import Path

import torch

from mlcfast.config import Config, LossConfig
from mlcfast.data import LabelledImages, TrainTransform
from mlcfast.data.labels import Labels, count, holds_soft, whole
from mlcfast.data.mixing import make_mix
from mlcfast.engine import all_gather_stack, all_reduce_sum
from mlcfast.engine.optimizers import find_optimizer
from mlcfast.engine.training_module import TrainingModule, make_model
from mlcfast.errors import UsageError
from mlcfast.losses import LabelEstimator, PseudoLabels, build_loss
from mlcfast.losses.base import LabelLoss
from mlcfast.models.build import check_model
from mlcfast.ops.backend import requested
from mlcfast.registry import hint_path
from mlcfast.runs.trackers import make_trackers
from mlcfast.training.initialise import find_source


def check_parts(config: Config, resumed: bool) -> None:
    """UsageError where a part that the configuration names is not there, before any data are read.

    These are the operators' implementation, the head, the backbone, the weights, augmentation and mix, the optimizer,
    the trackers and the run to start from, which a resumed run does not need.
    """
    model, data = config.model, config.data
    try:
        requested()
    except ValueError as error:
        raise UsageError(str(error)) from error
    check_model(model.head, model.backbone, model.weights, model.head_arguments)
    if model.head_arguments.get("auxiliary_linear") and not make_loss(config.loss).by_image:
        raise UsageError(
            f"model.auxiliary_linear: loss.name {config.loss.name} looks at a whole batch, or changes labels, and "
            "takes one set of logits: set model.auxiliary_linear=false"
        )
    find_optimizer(config.optim)
    make_trackers(config.train.trackers)
    if data.format != "features":
        TrainTransform(data.image_size, data.augment, data.mean, data.std)
    make_mix(data.mix, data.mix_options)
    if config.train.initialise_from and not resumed:
        find_source(Path(config.train.initialise_from))
        if model.query_start:
            raise UsageError(
                "model.query_start: train.initialise_from gives the queries already: leave one of them out"
            )
    elif model.query_start and not resumed and not Path(model.query_start).is_file():
        raise UsageError(
            f"model.query_start {model.query_start}: there is no such file{hint_path(Path(model.query_start))}"
        )


def make_loss(settings: LossConfig) -> LabelLoss:
    """The configured loss; UsageError names the option it does not take."""
    try:
        return build_loss(settings.name, **settings.options)
    except (ValueError, TypeError) as error:
        raise UsageError(f"loss: {error}") from error


def make_training_module(config: Config, records: LabelledImages, hidden: Labels | None = None) -> TrainingModule:
    """Model and loss as the engine trains them; a loss that looks at the whole batch sees it over all ranks.

    records: the training images; ROLE's estimator and pseudo-labels hold a dense row for each. hidden: see Samples.
    """
    loss = make_loss(config.loss)
    loss.soft_labels = holds_soft(records.labels)
    if loss.soft_labels and not getattr(loss, "takes_soft", False):
        raise UsageError(
            f"loss.name {config.loss.name} knows no soft labels, which data.uncertain or a model's probabilities make: "
            "take iu, bce, asymmetric or their like (docs/losses.md), or set data.uncertain to unknown, positive "
            "or negative"
        )
    if "batch_statistic" in loss.needs:
        loss.all_reduce = all_reduce_sum  # type: ignore[assignment]  # a function, which nn.Module holds as it is
    if "batch_parts" in loss.needs:
        loss.all_gather = all_gather_stack  # type: ignore[assignment]  # as above
    if "label_counts" in loss.needs:
        loss.set_label_counts(torch.from_numpy(count(records.labels, 1, axis=0)), len(records))
    try:
        loss.check_labels(len(records.names))
    except ValueError as error:
        raise UsageError(f"loss {config.loss.name}: {error}") from error
    true_labels = None
    if "true_labels" in loss.needs:
        true_labels = torch.from_numpy(
            whole(records.labels) if hidden is None else whole(records.labels) | whole(hidden)
        )
    estimator = None
    if "estimates" in loss.needs:
        observed = torch.from_numpy(whole(records.labels))
        generator = torch.Generator().manual_seed(config.seed)
        images, labels = records.labels.shape
        estimator = LabelEstimator(images, labels, observed, generator, sparse=False)
    pseudo = PseudoLabels(torch.from_numpy(whole(records.labels))) if "pseudo_labels" in loss.needs else None
    return TrainingModule(make_model(config, len(records.names)), loss, estimator, true_labels, pseudo)
