"""Logs what a run is about to train and what came of it: data, model, length, final metric, next commands."""

import logging
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from mlcfast.config import IMAGENET_MEAN, IMAGENET_STD, Config
from mlcfast.data import LabelledImages
from mlcfast.data.labels import count, holds, lacking
from mlcfast.data.overlap import overlaps
from mlcfast.data.splits import in_words, side_counts, trained_on
from mlcfast.engine import Process
from mlcfast.evaluation.bootstrap import percent_interval
from mlcfast.evaluation.gather import EvaluationResult
from mlcfast.losses import FOR_FULL_LABELS
from mlcfast.runs.directory import RunDirectory
from mlcfast.training.progress import Progress
from mlcfast.training.trainer import Trainer

LOGGER = logging.getLogger("mlcfast")
SHOWN = 5  # labels named in a warning
RAREST = 20  # labels whose images the journal counts
ELSEWHERE = "data.test=SPLIT would judge by images of its own"
MUCH = 0.1  # of the initial weights in the average at the end


def unknown_as_absent(loss: str, records: LabelledImages) -> list[str]:
    """A warning where a file tells unknown from absent labels and the loss of this name learns both as absent."""
    if loss not in FOR_FULL_LABELS or not holds(records.labels, -1):
        return []
    unknown = int(count(records.labels, 0, axis=0).sum())
    instead = "loss.name=iu leaves unknown ones out, and docs/methods.md has others"
    return [f"{unknown} labels are unknown, and loss.name={loss} learns them as absent: {instead}"] if unknown else []


def seen_earlier(parts: Mapping[str, LabelledImages], earlier: Mapping[str, str]) -> list[str]:
    """A warning for each part that judges a run by images which trained the one that it starts from, see `divide`."""
    seen = {name: trained_on(records, earlier) for name, records in parts.items() if name != "training"}
    return [
        f"{images} of {len(parts[name])} {name} images trained the run that train.initialise_from names: figures of "
        "them flatter this one"
        for name, images in seen.items()
        if images
    ]


def announce_samples(parts: dict[str, LabelledImages], more: Sequence[str] = ()) -> dict[str, Any]:
    """Log what each part holds and what is odd about it; parts: training, validation and, where there is one, test.

    more: warnings of them that others found.
    Returns what the journal keeps of it: `sides`, with images, unlabelled ones and positives of the `rarest` labels,
    and `warnings`.
    """
    counts = {name: side_counts(r.names, r.labels, r.groups) for name, r in parts.items()}
    LOGGER.info("%s", in_words(counts))
    for name, records in parts.items():
        bare_M = lacking(records.labels, 1)
        unsaid_M = bare_M & holds(records.labels, -1) & (count(records.labels, 0, axis=1) > 0)
        bare = counts[name]["unlabelled"] = int((bare_M & ~unsaid_M).sum())
        if unsaid := int(unsaid_M.sum()):
            LOGGER.info("%d of %d %s images have unknown labels and none that is there", unsaid, len(records), name)
        if bare:
            becomes = "trained on as images with none of the labels" if name == "training" else "counted as such"
            LOGGER.info("%d of %d %s images have no label: they are %s", bare, len(records), name, becomes)
    odd = (say(*part) for part in parts.items() for say in (labels_without_positives, labels_of_every_image))
    warnings = [*overlaps(parts), *more, *filter(None, odd)]
    for sentence in warnings:
        LOGGER.warning("%s", sentence)
    held = [each["positives"] for each in counts.values()]
    rarest = sorted(held[0], key=lambda name: sum(each.get(name, 0) for each in held))[:RAREST]
    sides = {
        name: {**each, "positives": {label: each["positives"].get(label, 0) for label in rarest}}
        for name, each in counts.items()
    }
    return {"sides": sides, "rarest": rarest, "warnings": warnings}


def labels_without_positives(part: str, records: LabelledImages) -> str:
    """A sentence with the labels that no image of a part has, such a label counts as 0 in the part's mAP; or ""."""
    held = count(records.labels, 1, axis=0) > 0 if part != "training" else ~lacking(records.labels, 0)
    shown = _shown([name for name, some in zip(records.names, held.tolist(), strict=True) if not some])
    means = {
        "training": "the model cannot learn:",
        "validation": "count as AP 0 in the mAP and get threshold 0.5:",
        "test": "count as AP 0 in the mAP:",
    }
    return f"no {part} image has these labels, which {means[part]} {shown}" if shown else ""


def labels_of_every_image(part: str, records: LabelledImages) -> str:
    """A sentence with the labels that every image of a part has, which tell no image from another; or ""."""
    every = (count(records.labels, 1, axis=0) == len(records)) & (len(records) > 1)
    shown = _shown([name for name, all_have in zip(records.names, every.tolist(), strict=True) if all_have])
    means = {
        "training": "the model learns to be always there:",
        "validation": "count as AP 100 in the mAP whatever the model says:",
        "test": "count as AP 100 in the mAP whatever the model says:",
    }
    return f"every {part} image has these labels, which {means[part]} {shown}" if shown else ""


def _shown(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")


def announce_training(config: Config, trainer: Trainer, process: Process) -> None:
    """Log the model, the device and how many steps there are."""
    parameters = list(trainer.engine.training_module.model.parameters())
    whole = sum(parameter.numel() for parameter in parameters)
    trained = sum(parameter.numel() for parameter in parameters if parameter.requires_grad)
    images = f", images of {config.data.image_size} × {config.data.image_size} pixels"
    LOGGER.info(
        "model: %s on %s, %s parameters, %s of them trained%s",
        config.model.head,
        "stored features" if config.data.format == "features" else config.model.backbone,
        f"{whole:,}",
        "all" if trained == whole else f"{trained:,}",
        "" if config.data.format == "features" else images,
    )
    if config.data.format != "features" and (config.data.mean, config.data.std) != (IMAGENET_MEAN, IMAGENET_STD):
        numbers = (" ".join(f"{number:g}" for number in each) for each in (config.data.mean, config.data.std))
        LOGGER.info("pixels are normalised with the mean %s and the deviation %s", *numbers)
    if config.model.unread:
        names = ", ".join(f"model.{name}" for name in config.model.unread)
        LOGGER.warning("%s: of query2label; ml_decoder has its own in model.head_options", names)
    LOGGER.info("device: %s", _device(process))
    begun = f", of which {trainer.progress.step} are done" if trainer.is_resumed else ""
    keeps = "the last weights are kept" if config.train.choose == "last" else "validation chooses the best weights"
    LOGGER.info(
        "steps: %d an epoch of %d images each, %d in %d epochs%s; after %s %s; how long it takes is said after the "
        "first steps",
        trainer.steps_per_epoch,
        config.engine.global_batch,
        trainer.total_steps,
        config.train.epochs,
        begun,
        "each epoch" if config.train.evaluate_every == 1 else f"every {config.train.evaluate_every} epochs",
        keeps,
    )
    kept = config.train.ema_decay**trainer.total_steps
    if not config.train.ema_warmup and config.train.ema_decay and kept > MUCH:
        LOGGER.warning(
            "the average of the weights will still hold %.0f %% of the initial ones at the end: train.ema_warmup=true "
            "forgets them, or lower train.ema_decay",
            100 * kept,
        )


def _device(process: Process) -> str:
    if process.device.type == "cuda":
        name = torch.cuda.get_device_name(process.device)
    else:
        threads = torch.get_num_threads()
        name = f"CPU with {threads} thread{'' if threads == 1 else 's'}"
    return name if process.world_size == 1 else f"{process.world_size} processes, each {name}"


def announce_end(
    config: Config,
    directory: RunDirectory,
    progress: Progress,
    validation: int,
    interval: tuple[float, float] | None,
    test: EvaluationResult | None,
) -> None:
    """Log the figure that counts with its interval, where the best model is and what can be done with it.

    validation: how many images chose the best epoch, or judged the last; interval: of the mAP on them, in percent, see
    report_run.
    """
    takes_last = config.train.choose == "last"
    epoch = f"{'the last epoch, ' if takes_last else 'epoch '}{progress.best_epoch + 1}"
    if test is None:
        LOGGER.info(
            "the figure that counts: validation mAP %.2f%s on %d images, after %s%s",
            progress.best,
            in_brackets(interval),
            validation,
            epoch,
            "" if takes_last else f"; it is a little too high, since the epoch was chosen by it: {ELSEWHERE}",
        )
    else:
        LOGGER.info(
            "the figure that counts: test mAP %.2f%s on %d images; validation, mAP %.2f%s, %s",
            test.report["mAP"],
            in_brackets(None if test.rows is not None else percent_interval(test.scores, test.labels)),
            test.report["images"],
            progress.best,
            in_brackets(interval),
            f"after {epoch}" if takes_last else f"chose {epoch}",
        )
    if interval is not None and not takes_last:
        rivals = [row for row in progress.rows if row["epoch"] != progress.best_epoch and _best_of(row) >= interval[0]]
        if rivals:
            LOGGER.info(
                "%s within that 95 %% interval: on %d validation images %s as good as the best one; two runs differ "
                "for sure only where evaluate --against says so",
                "1 other epoch lies" if len(rivals) == 1 else f"{len(rivals)} other epochs lie",
                validation,
                "it is" if len(rivals) == 1 else "they are",
            )
    LOGGER.info("the best model: %s", directory.best)
    for line in next_commands(config, directory):
        LOGGER.info("next: %s", line)


def in_brackets(interval: tuple[float, float] | None) -> str:
    """` [48.10, 66.02]`, the 95 % interval of an mAP; nothing where it was not computed."""
    return "" if interval is None else f" [{interval[0]:.2f}, {interval[1]:.2f}]"


def _best_of(row: Mapping[str, Any]) -> float:
    """The higher of an epoch's mAPs, of the raw and the averaged weights."""
    return max(value for name, value in row.items() if name in ("raw_mAP", "ema_mAP"))


def next_commands(config: Config, directory: RunDirectory) -> list[str]:
    """What to type after a run: to use the model, to judge it label by label, to see the report."""
    best, report = _typed(directory.best), _typed(directory.report)
    lines = [] if config.data.format == "features" else [f"python -m mlcfast.predict {best} IMAGES"]
    return [
        *lines,
        f"python -m mlcfast.evaluate {_typed(directory.config)} --checkpoint {best}",
        f"open {report} in a browser; python -m mlcfast.report {_typed(directory.path)} writes it anew",
    ]


def _typed(path: Path) -> str:
    """A path as a shell takes it."""
    return shlex.quote(str(path))
