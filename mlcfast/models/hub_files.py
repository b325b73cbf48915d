"""A trained model as a directory for the Hugging Face hub, uploaded as it is, which names nothing of this machine.

A card's configuration is left out but for what `hub_readme.known_training` takes from it: paths, the run's name and the
names of files stay here.
"""

import csv
import io
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

from mlcfast.errors import UsageError
from mlcfast.files import write_bytes
from mlcfast.models.card import ModelCard, save_model
from mlcfast.models.hub_front import About
from mlcfast.models.hub_readme import readme

BILINEAR = 2  # Pillow's number, by which image processors know it
GENERAL = 0  # the taggers' category of tags that are neither ratings nor characters
PREFIX = re.compile(r"^(local-dir:|file://)+")  # of timm and of addresses, before a path
WINDOWS_PATH = re.compile(r"[A-Za-z]:[\\/]|\\\\")


def hub_files(card: ModelCard, about: About, tagger: bytes | None = None) -> dict[str, bytes]:
    """The contents of what goes beside the weights and their card, by file name.

    config.json and preprocessor_config.json are what the hub and image processors read; README.md is the hub's model
    card. tagger: the content of model.onnx, for programs that tag images; selected_tags.csv goes with it. UsageError
    where the model's arguments name a path of this machine.
    """
    refuse_paths(card)
    files = {"config.json": _as_json(hub_config(card)), "preprocessor_config.json": _as_json(image_processor(card))}
    if tagger is not None:
        files |= {"model.onnx": tagger, "selected_tags.csv": tags_table(card).encode("utf-8")}
    return files | {"README.md": readme(card, about, tagger is not None).encode("utf-8")}


def write_hub_directory(directory: Path, model: nn.Module, card: ModelCard, files: Mapping[str, bytes]) -> list[str]:
    """Write model.safetensors, model.json without the configuration, and `files`; the names of all of them, sorted.

    UsageError where the directory holds something, which would be uploaded as well. OSError, which names the file,
    where writing fails. README.md, which people edit, is not among the files whose digests the card holds.
    """
    refuse_filled(directory)
    fixed = {name: content for name, content in files.items() if name != "README.md"}
    save_model(directory, model.state_dict(), replace(card, config={}), fixed)
    write_bytes(directory / "README.md", files["README.md"])
    return sorted(["model.safetensors", "model.json", *files])


def refuse_filled(directory: Path) -> None:
    """UsageError unless the directory is new or empty."""
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise UsageError(f"{directory}: must be new or empty, for all that is in it is uploaded")


def refuse_paths(card: ModelCard) -> None:
    """UsageError for a path of this machine among the model's arguments, which are published with it."""
    for key, value in _texts("model", card.model):
        place = PREFIX.sub("", value)
        if key in ("model.head", "model.backbone") and ":" in place[2:]:
            place = place.rpartition(":")[0]
        if os.path.isabs(place) or WINDOWS_PATH.match(place) or place.startswith("~"):
            raise UsageError(f"{key}: {value} is a path of this machine, which would be published with the model")


def hub_config(card: ModelCard) -> dict[str, Any]:
    """config.json: labels by number as other programs name them, and `timm_transform`, the input in timm's words.

    Nothing here is a key by which transformers or timm would take the model for one of theirs.
    """
    how = card.preprocessing
    side = how["image_size"]
    return {
        "library_name": "mlcfast",
        "model": card.model,
        "problem_type": "multi_label_classification",
        "num_labels": len(card.labels),
        "id2label": {str(number): name for number, name in enumerate(card.labels)},
        "label2id": {name: number for number, name in enumerate(card.labels)},
        "thresholds": card.thresholds,
        "timm_transform": {
            "input_size": [3, side, side],
            "mean": how["mean"],
            "std": how["std"],
            "interpolation": "bilinear",
            "crop_pct": 1.0,
            "crop_mode": "squash",
        },
    }


def image_processor(card: ModelCard) -> dict[str, Any]:
    """preprocessor_config.json of transformers' plain image processor: to S × S whatever the shape, then normalised."""
    how = card.preprocessing
    return {
        "image_processor_type": "ViTImageProcessor",
        "do_convert_rgb": True,
        "do_resize": True,
        "size": {"height": how["image_size"], "width": how["image_size"]},
        "resample": BILINEAR,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": how["mean"],
        "image_std": how["std"],
    }


def tags_table(card: ModelCard) -> str:
    """selected_tags.csv: a row a label in the order of the scores; count: the validation images that have it, or 0."""
    support = card.metrics.get("support") or {}
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(("tag_id", "name", "category", "count"))
    rows.writerows((number, name, GENERAL, support.get(name, 0)) for number, name in enumerate(card.labels))
    return text.getvalue()


def _as_json(document: Mapping[str, Any]) -> bytes:
    return (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode("utf-8")


def _texts(key: str, value: Any) -> Iterator[tuple[str, str]]:
    """Every text within nested values, with the dotted key it stands under."""
    if isinstance(value, str):
        yield key, value
    elif isinstance(value, Mapping):
        for name, each in value.items():
            yield from _texts(f"{key}.{name}", each)
    elif isinstance(value, list | tuple):
        for number, each in enumerate(value):
            yield from _texts(f"{key}.{number}", each)
