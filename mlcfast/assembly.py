"""From a configuration to the parts of a run: samples, loaders, model and objective."""

import dataclasses
import logging
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader
from tqdm import tqdm

from mlcfast.config import Config, DataConfig, LossConfig
from mlcfast.data import (
    EvalSampler,
    EvalTransform,
    ImageDataset,
    LabelledImages,
    ResizedCache,
    TrainSampler,
    TrainTransform,
    find_bad_images,
    make_loader,
    observe_single_positive,
    read_coco,
    read_csv,
    resized_cache_bytes,
    split_train_val,
)
from mlcfast.engine import Process, all_reduce_sum, on_main
from mlcfast.errors import UsageError
from mlcfast.losses import LabelEstimator, build_loss
from mlcfast.models import build_model
from mlcfast.objective import Objective

LOGGER = logging.getLogger("mlcfast")


Skipped = list[tuple[str, str]]  # paths and reasons


@dataclass(frozen=True)
class Samples:
    """The training and validation images of a run; both with the same labels in the same order.

    skipped: path of and reason for each image left out because it cannot be read.
    """

    train: LabelledImages
    validation: LabelledImages
    skipped: Skipped = dataclasses.field(default_factory=list)


def open_samples(config: Config, process: Process) -> Samples:
    """Read both splits; the main process first, so that caches and the demo set are made once."""
    opened: list[Samples] = []
    on_main(process, lambda: opened.append(_open_both(config.data)))
    samples = opened[0] if opened else _open_both(config.data)
    if samples.train.names != samples.validation.names:
        raise UsageError(f"data: the labels of {config.data.train} and {config.data.val} differ")
    return samples


def open_split(settings: DataConfig, split: str, names: list[str] | None = None) -> LabelledImages:
    """One split of the configured data set, without its bad images if those are to be skipped.

    names: the labels and their order, for a CSV file that need not mention them all.
    """
    return _open(settings, split, names)[0]


def _open(settings: DataConfig, split: str, names: list[str] | None = None) -> tuple[LabelledImages, Skipped]:
    records = _read(settings, split, names)
    if settings.bad_images == "error":
        return records, []
    bad = find_bad_images(records, settings.workers)
    for path, reason in bad:
        LOGGER.info("skipped %s: %s", path, reason)
    if bad:
        LOGGER.info("skipped %d of %d images that cannot be read", len(bad), len(records))
    paths = {path for path, _ in bad}
    kept = [i for i, path in enumerate(records.paths) if path not in paths]
    if not kept:
        raise UsageError(f"data.root {settings.root}: none of the {len(records)} images of {split} can be read")
    return records.subset(kept), bad


def _read(settings: DataConfig, split: str, names: list[str] | None) -> LabelledImages:
    if settings.format == "features":
        raise UsageError("data.format features is not trained from image files")
    if settings.format == "csv":
        return read_csv(settings.root, split, names)
    if settings.format == "demo":
        from mlcfast.data import ensure_demo  # needs scikit-learn, which nothing else does

        ensure_demo(settings.root)
    return read_coco(settings.root, split, keep_unlabelled=settings.keep_unlabelled)


def _open_both(settings: DataConfig) -> Samples:
    train, skipped = _open(settings, settings.train)
    if settings.labels == "single_positive":
        return dataclasses.replace(_single_positive(train, settings.train), skipped=skipped)
    validation, also_skipped = _open(settings, settings.val, train.names)
    return Samples(train, validation, skipped + also_skipped)


def _single_positive(records: LabelledImages, split: str) -> Samples:
    """The published protocol: the last fifth of a permutation of the training list validates, fully labelled."""
    records = records.sorted_by_id_text()
    try:
        observed = observe_single_positive(records.labels)
        train, validation = split_train_val(len(records))
    except ValueError as error:
        raise UsageError(f"data: {split} for labels single_positive: {error}") from error
    partial = dataclasses.replace(records, labels=observed)
    return Samples(partial.subset(train), records.subset(validation))


def train_loader(config: Config, records: LabelledImages, process: Process) -> DataLoader:
    """This rank's micro-batches of augmented images, in the order that (seed, epoch) alone decides."""
    settings, engine = config.data, config.engine
    transform = TrainTransform(settings.image_size, settings.augment, settings.mean, settings.std)
    sampler = TrainSampler(
        len(records.paths), engine.global_batch, engine.micro_batch, process.rank, process.world_size, config.seed
    )
    dataset = ImageDataset(records, transform, config.seed, _resized_cache(config, records, process))
    return make_loader(dataset, sampler, settings.workers)


def evaluation_loader(config: Config, records: LabelledImages, process: Process) -> DataLoader:
    """This rank's share of the images, each image on exactly one rank."""
    settings = config.data
    transform = EvalTransform(settings.image_size, settings.mean, settings.std)
    sampler = EvalSampler(len(records.paths), config.engine.micro_batch, process.rank, process.world_size)
    dataset = ImageDataset(records, transform, config.seed, _resized_cache(config, records, process))
    return make_loader(dataset, sampler, settings.workers)


def _resized_cache(config: Config, records: LabelledImages, process: Process) -> ResizedCache | None:
    """The cache, filled by the main process while the others wait; its size on disk is logged first."""
    size, workers = config.data.image_size, config.data.workers
    if not config.data.resized_cache:
        return None
    gibibytes = resized_cache_bytes(len(records), size) / 2**30
    LOGGER.info("resized images of %d samples at %d pixels: %.2f GiB on disk", len(records), size, gibibytes)

    def fill() -> None:
        with tqdm(total=len(records), desc="resizing", leave=False, disable=None) as bar:
            ResizedCache.build(records, size, workers, progress=lambda done, total: bar.update(done - bar.n))

    on_main(process, fill)
    return ResizedCache.build(records, size, workers)


def model_arguments(config: Config, num_labels: int) -> dict[str, Any]:
    """The keyword arguments of `build_model` for this configuration."""
    settings = config.model
    return {
        "head": settings.head,
        "backbone": settings.backbone,
        "num_labels": num_labels,
        "image_size": config.data.image_size,
        "backbone_options": settings.backbone_options,
        **settings.head_options,
    }


def make_model(config: Config, num_labels: int) -> nn.Module:
    """The configured model with its initial weights."""
    return build_model(**model_arguments(config, num_labels), weights=config.model.weights, freeze=config.model.freeze)


def make_loss(settings: LossConfig) -> nn.Module:
    """The configured loss; UsageError names the option it does not take."""
    try:
        return build_loss(settings.name, **settings.options)
    except (ValueError, TypeError) as error:
        raise UsageError(f"loss: {error}") from error


def make_objective(config: Config, records: LabelledImages) -> Objective:
    """Model and loss as the engine trains them; a loss that looks at the whole batch sees it over all ranks.

    records: the training images; ROLE's estimator holds a row for each.
    """
    loss = make_loss(config.loss)
    if hasattr(loss, "all_reduce"):
        loss.all_reduce = all_reduce_sum
    estimator = None
    if config.loss.name == "role":
        observed = torch.from_numpy(records.labels)
        generator = torch.Generator().manual_seed(config.seed)
        estimator = LabelEstimator(*records.labels.shape, observed, generator)
    return Objective(make_model(config, len(records.names)), loss, estimator)
