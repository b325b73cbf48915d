"""Opens the configured splits and makes the loaders that give each rank its batches."""

import dataclasses
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch.utils.data import DataLoader
from tqdm import tqdm

from mlcfast.config import Config, DataConfig
from mlcfast.data import (
    EvalSampler,
    EvalTransform,
    FeatureLoader,
    ImageDataset,
    InTurnSampler,
    LabelledFeatures,
    LabelledImages,
    ResizedCache,
    StreamSampler,
    TrainSampler,
    TrainTransform,
    find_bad_images,
    label_file,
    make_loader,
    observe_single_positive,
    read_coco,
    read_csv,
    read_features,
    resized_cache_bytes,
    split_train_val,
)
from mlcfast.data.bad_images import missing_explained
from mlcfast.data.coco import annotation_file
from mlcfast.data.csv_labels import cells_of, names_of
from mlcfast.data.labels import Labels, SparseLabels, count, from_entries, holds, pairs, whole
from mlcfast.data.overlap import refuse_shared_images
from mlcfast.data.packed import StreamedImages
from mlcfast.data.readers.datumaro import is_datumaro_file
from mlcfast.data.readers.source import TableOptions
from mlcfast.data.splits import TRAIN, VALIDATION, divide, refuse_shared_groups
from mlcfast.errors import UsageError
from mlcfast.registry import as_callable, check_options, imported, is_import_name
from mlcfast.stopwatch import Stopwatch

LOGGER = logging.getLogger("mlcfast")
FEATURES_AT_ONCE = 1024  # stored features evaluated together, whatever the micro-batch
OWN_READERS = ("coco", "features", "demo")  # the other formats are of mlcfast.data.readers

Skipped = list[tuple[str, str]]  # paths and reasons


class Rank(Protocol):
    """Which process reads, among how many, and where its batches go: an engine's Process."""

    @property
    def rank(self) -> int:
        """From 0."""

    @property
    def world_size(self) -> int:
        """How many processes share an epoch."""

    @property
    def device(self) -> torch.device:
        """The device that computes with the batches."""


@dataclass(frozen=True)
class Samples:
    """The images of a run, all with the same labels in the same order; test: None without data.test.

    skipped: path of and reason for each image left out because it cannot be read. hidden: (M, K), 1 or true for the
    positives of the training images that training is not shown, else 0; None where it is shown all labels.
    """

    train: LabelledImages
    validation: LabelledImages
    hidden: Labels | None = None
    skipped: Skipped = dataclasses.field(default_factory=list)
    test: LabelledImages | None = None


def open_samples(config: Config, held: Path | None = None, earlier: Mapping[str, str] | None = None) -> Samples:
    """Read the splits of a run.

    Caches and the demo set are made by one process while the others wait for its file lock.
    held: the split.csv of the run that goes on, whose parts are taken where data.val is a share. earlier: those of
    the run whose weights this one starts from, see `divide`.
    """
    samples = _open_both(config.data, config.seed, held, earlier)
    if samples.train.names != samples.validation.names:
        raise UsageError(f"data: the labels of {config.data.train} and {config.data.val} differ")
    data = config.data
    if data.val_share is not None and data.test in (VALIDATION, str(data.val_share)):
        return dataclasses.replace(samples, test=samples.validation)
    return dataclasses.replace(samples, test=_open_test(config, samples.train, held))


def _open_test(config: Config, train: LabelledImages, held: Path | None) -> LabelledImages | None:
    """The images of data.test, with the labels of the training images in their order; None where there is no test.

    UsageError where training images are among them, unless data.allow_overlap is set.
    """
    if config.data.test is None:
        return None
    test = open_split(config.data, config.data.test, train.names, config.seed, held, train.cells)
    refuse_shared_images(train, test, "data.test", config.data.allow_overlap)
    return test


def open_split(
    settings: DataConfig,
    split: str | float | None,
    names: list[str] | None = None,
    seed: int = 0,
    held: Path | None = None,
    cells: frozenset[int] | None = None,
) -> LabelledImages:
    """One split of the configured data set, without its bad images if those are to be skipped.

    names: the labels and their order, for a CSV file that need not mention them all. Where data.val is a share, `val`
    or the share itself is the part that validates and `train` the rest, by the seed or as `held`, a run's split.csv,
    has them; another name is a file as ever, and so is that of data.train, which means the whole. cells: those of the
    training images (LabelledImages); without them the training file is read, if it is there and the split needs them.
    """
    share = settings.val_share
    if share is None or split == settings.train or split not in (share, str(share), TRAIN, VALIDATION):
        return _open(settings, str(split) if split is not None else None, names, cells)[0]
    records = _open(settings, settings.train, names)[0]
    train, validation = divide(records, share, _division_seed(settings, seed), held)
    return records.subset(train if split == TRAIN else validation)


def _open(
    settings: DataConfig, split: str | None, names: list[str] | None = None, cells: frozenset[int] | None = None
) -> tuple[LabelledImages, Skipped]:
    with missing_explained(settings.bad_images):
        records = _read(settings, split, names, cells)
    if settings.bad_images == "error" or isinstance(records, LabelledFeatures):
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


def _read(
    settings: DataConfig, split: str | None, names: list[str] | None, cells: frozenset[int] | None
) -> LabelledImages:
    if split is None:
        raise UsageError("data.test and data.val are null: name the split to read")
    file, part = _place(settings, split)
    others = [name for name in (settings.val, settings.test) if isinstance(name, str)]
    if not _is_own(settings, file):
        options, buffer = _table_options(settings), settings.stream_buffer if settings.stream else None

        def training() -> frozenset[int]:
            return cells_of(settings.root, settings.train, options) if cells is None else cells

        other_file = file != settings.train
        by_training = (training, partial(names_of, settings.root, settings.train, options)) if other_file else ()
        return read_csv(settings.root, file, names, options, part, others, buffer, *by_training)
    if settings.stream:
        raise UsageError(f"data.stream: data.format {settings.format} keeps no images inside .tar or Parquet files")
    if is_import_name(settings.format):
        if settings.split_column is not None or settings.group is not None:
            raise UsageError("data.split_column and data.group go with the project's own formats, not with your reader")
        return _read_with(settings, split, names)
    if settings.format == "features":
        return read_features(settings.root, file, names, _table_options(settings), part, others)
    if settings.format == "demo":
        from mlcfast.data import ensure_demo  # needs scikit-learn, which nothing else does

        given = ("directory", "images", "seed", "side", "progress")
        check_options(ensure_demo, settings.options, "data.format demo", given, UsageError)

        def say(done: int, images: int) -> None:
            if not done:
                LOGGER.info("%s: making the %d scenes of the demo, this once", settings.root, images)

        ensure_demo(settings.root, **settings.options, progress=say)
    kept = settings.keep_unlabelled, settings.allow_outside
    return read_coco(settings.root, file, *kept, _table_options(settings), part, others)


def _is_own(settings: DataConfig, file: str) -> bool:
    """Whether a split is read by its format's own reader: that of `coco` takes names of splits, others label files."""
    if settings.format in ("auto", "coco") and _is_coco(settings, file):
        return True
    if settings.format == "coco":
        return not Path(settings.root, file).is_file()
    return settings.format in OWN_READERS or is_import_name(settings.format)


def _read_with(settings: DataConfig, split: str, names: list[str] | None) -> LabelledImages:
    """What a user's own reader gives for (root, split, **data.options), its labels in the order of `names` if given."""
    reader = as_callable(imported(settings.format, "data.format", UsageError), "data.format", UsageError)
    check_options(reader, settings.options, f"data.format {settings.format}", ("root", "split"), UsageError)
    try:
        records = reader(settings.root, split, **settings.options)
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise UsageError(f"data.format {settings.format}: {type(error).__name__}: {error}") from error
    if not isinstance(records, LabelledImages):
        wanted = "mlcfast.data.LabelledImages"
        raise UsageError(f"data.format: {settings.format} gives a {type(records).__name__}, not a {wanted}")
    return records if names is None else records.with_names(names, f"{settings.root}: {split}")


def _place(settings: DataConfig, split: str) -> tuple[str, str | None]:
    """The label file or set of a split and, where a column divides that for training, which part of it is meant."""
    if settings.split_column is None:
        return split, None
    if split in (settings.train, TRAIN):
        return settings.train, TRAIN
    features = settings.format == "features" and Path(settings.root, split, "features.npy").is_file()
    own = Path(settings.root, split).is_file() or features or _is_coco(settings, split)
    return (split, None) if own else (settings.train, split)


def _is_coco(settings: DataConfig, split: str) -> bool:
    file = annotation_file(Path(settings.root), split)
    return file.is_file() and not is_datumaro_file(file)


def _table_options(settings: DataConfig) -> TableOptions:
    return TableOptions(
        settings.image_column,
        tuple(settings.label_columns),
        tuple(settings.ignore_columns),
        settings.separator,
        settings.uncertain,
        settings.allow_outside,
        settings.split_column,
        settings.group,
        "auto" if settings.format == "csv" else settings.format,
    )


def _open_both(settings: DataConfig, seed: int, held: Path | None, earlier: Mapping[str, str] | None) -> Samples:
    train, skipped = _open(settings, settings.train)
    if settings.labels == "single_positive" or settings.val is None or settings.val_share:
        return dataclasses.replace(_with_validation_part(train, settings, seed, held, earlier), skipped=skipped)
    validation, also_skipped = _open(settings, str(settings.val), train.names, train.cells)
    refuse_shared_groups(train, validation)
    refuse_shared_images(train, validation, "data.val", settings.allow_overlap)
    if settings.format == "features":  # whose labels are taken as they are; a table's mean what they do in training
        _warn_of_unknown_as_absent(train.labels, validation.labels)
    return Samples(train, validation, skipped=skipped + also_skipped)


def _with_validation_part(
    records: LabelledImages,
    settings: DataConfig,
    seed: int,
    held: Path | None,
    earlier: Mapping[str, str] | None,
) -> Samples:
    """One file for both parts: by a share, stratified, or by the published protocol; validation is fully labelled.

    The protocol takes the last fifth of a permutation of the training list in the order of the image ids.
    """
    single, share = settings.labels == "single_positive", settings.val_share
    if single:
        _require_full_labels(records, settings)
    if single or not share:
        records = records.sorted_by_id_text()
    observed = observe_single_positive(records.labels) if single else records.labels
    seed = _division_seed(settings, seed)
    try:
        train, validation = divide(records, share, seed, held, earlier) if share else split_train_val(len(records))
    except ValueError as error:
        raise UsageError(f"data: {settings.train}: {error}") from error
    learnt, judged = dataclasses.replace(records, labels=observed).subset(train), records.subset(validation)
    if share:
        refuse_shared_images(learnt, judged, f"data.val={share:g}: {settings.train}", settings.allow_overlap)
    _warn_of_unknown_as_absent(records.labels[train], judged.labels)
    return Samples(learnt, judged, _hidden(records.labels, observed)[train] if single else None)


def _division_seed(settings: DataConfig, seed: int) -> int:
    return seed if settings.val_seed is None else settings.val_seed


def _warn_of_unknown_as_absent(train: Labels, validation: Labels) -> None:
    if holds(train, -1) and not holds(validation, -1) and holds(validation, 0):
        LOGGER.warning("no validation image has a -1, so that unknown labels cannot be told from absent ones there")


def _hidden(labels: Labels, observed: Labels) -> Labels:
    """The positives of `labels` that `observed` lacks: a matrix of bool, or a sparse table of 1 and 0."""
    if not (isinstance(labels, SparseLabels) and isinstance(observed, SparseLabels)):
        return whole(labels) != whole(observed)
    M, K = labels.shape
    kept, all_of = (rows * K + columns for rows, columns in (pairs(observed), pairs(labels)))
    rows, columns = np.divmod(np.setdiff1d(all_of, kept, assume_unique=True), K)
    return from_entries(rows, columns, (M, K), fill=0)


def _require_full_labels(records: LabelledImages, settings: DataConfig) -> None:
    """UsageError with file and image, or row, unless every image has a positive and no label is a −1."""
    file = Path(settings.root, settings.train)
    file = label_file(Path(settings.root), settings.train) if settings.format == "features" else file
    for wrong, says in (
        (count(records.labels, 1, axis=1) == 0, "has no positive label: leave such images out"),
        (count(records.labels, -1, axis=1) > 0, "holds a -1: labels single_positive starts from full labels, 1 and 0"),
    ):
        rows = np.flatnonzero(wrong)
        if len(rows):
            where = f"row {rows[0]} (counted from 0)" if file.suffix == ".npy" else records.image_ids[rows[0]]
            raise UsageError(f"{file}: {where} {says} ({len(rows)} of {len(records)} images)")


class Loaders(NamedTuple):
    """A rank's batches.

    train: its batch sampler gives this rank's micro-batches of (epoch, index); validation: every sample once over all
    ranks; names: the K labels.
    """

    train: DataLoader | FeatureLoader
    validation: DataLoader | FeatureLoader
    names: list[str]


def make_loaders(config: Config, samples: Samples, process: Rank, stopwatch: Stopwatch | None = None) -> Loaders:
    """The batches of this rank; stopwatch: is told how long those of training take to reach the device."""
    validation = evaluation_loader(config, samples.validation, process)
    return Loaders(train_loader(config, samples.train, process, stopwatch), validation, samples.train.names)


def train_loader(
    config: Config, records: LabelledImages, process: Rank, stopwatch: Stopwatch | None = None
) -> DataLoader | FeatureLoader:
    """This rank's micro-batches of augmented images or of features, in the order that (seed, epoch) alone decides."""
    settings, engine = config.data, config.engine
    share = (engine.global_batch, engine.micro_batch, process.rank, process.world_size, config.seed)
    if isinstance(records, StreamedImages):
        sampler: TrainSampler = StreamSampler(records.packed.block, records.buffer, *share)
    else:
        sampler = TrainSampler(len(records.paths), *share)
    if isinstance(records, LabelledFeatures):
        return FeatureLoader(records, sampler, process.device)
    transform = TrainTransform(settings.image_size, settings.augment, settings.mean, settings.std)
    dataset = ImageDataset(records, transform.pixels, config.seed, _resized_cache(config, records))
    return make_loader(dataset, sampler, settings.workers, process.device, transform.normalise, stopwatch)


def evaluation_loader(config: Config, records: LabelledImages, process: Rank) -> DataLoader | FeatureLoader:
    """This rank's share of the images, each image on exactly one rank."""
    together = config.engine.micro_batch
    if isinstance(records, LabelledFeatures):
        sampler = EvalSampler(len(records), max(together, FEATURES_AT_ONCE), process.rank, process.world_size)
        return FeatureLoader(records, sampler, process.device)
    sampler = EvalSampler(len(records), together, process.rank, process.world_size)
    return _loader_of_images(config, records, process, sampler)


def loader_in_turn(config: Config, records: LabelledImages, process: Rank, first: int) -> DataLoader:
    """Every W-th of the batches that one process makes of the images from the one numbered `first` on."""
    together = config.engine.micro_batch
    sampler = InTurnSampler(len(records), together, process.rank, process.world_size, first)
    return _loader_of_images(config, records, process, sampler)


def _loader_of_images(
    config: Config, records: LabelledImages, process: Rank, sampler: EvalSampler | InTurnSampler
) -> DataLoader:
    settings = config.data
    transform = EvalTransform(settings.image_size, settings.mean, settings.std)
    dataset = ImageDataset(records, transform.pixels, config.seed, _resized_cache(config, records))
    return make_loader(dataset, sampler, settings.workers, process.device, transform.normalise)


def _resized_cache(config: Config, records: LabelledImages) -> ResizedCache | None:
    """The cache, filled by the process that locks it first while the others wait; its size on disk is logged first."""
    size, workers = config.data.image_size, config.data.workers
    if not config.data.resized_cache:
        return None
    gibibytes = resized_cache_bytes(len(records), size) / 2**30
    LOGGER.info("resized images of %d samples at %d pixels: %.2f GiB on disk", len(records), size, gibibytes)

    with tqdm(total=len(records), desc="resizing", leave=False, disable=None) as bar:
        return ResizedCache.build(records, size, workers, progress=lambda done, total: bar.update(done - bar.n))
