"""README.md of a model on the Hugging Face hub: what its card knows, in the hub's form, and what nobody wrote down."""

import html
import json
import re
from typing import Any

import yaml

from mlcfast.models.card import ModelCard
from mlcfast.models.hub_front import FIGURES, About, front_matter, reports
from mlcfast.registry import is_import_name

MOST_ROWS = 200  # of the table of labels; model.json has all of them
# What of a run's configuration says how the model was trained and nothing of where: each a number, a truth or a word.
TRAINING = {
    "loss": ("loss", "name"),
    "labels": ("data", "labels"),
    "augmentation": ("data", "augment"),
    "optimizer": ("optim", "name"),
    "learning rate": ("optim", "lr"),
    "weight decay": ("optim", "weight_decay"),
    "schedule": ("optim", "schedule"),
    "images a step": ("engine", "global_batch"),
    "precision": ("engine", "precision"),
    "epochs at most": ("train", "epochs"),
    "decay of the weights' average": ("train", "ema_decay"),
}


def readme(card: ModelCard, about: About, tagger: bool = False) -> str:
    """The whole file: YAML that huggingface_hub's ModelCard parses, then Markdown.

    tagger: whether model.onnx and selected_tags.csv are there.
    """
    front = yaml.safe_dump(front_matter(card, about), sort_keys=False, allow_unicode=True)
    parts = [_opening(card, about), _use(card, about), _results(card, about), _labels(card), _input(card)]
    parts += [_tagging(card)] if tagger else []
    parts += [_training(card, about), _unknown(card, about)]
    return f"---\n{front}---\n\n" + "\n\n".join(parts) + "\n"


def known_training(card: ModelCard) -> dict[str, Any]:
    """How the model was trained, by the words of TRAINING; what is named by a file or an import is left out."""
    found = {}
    for words, (section, key) in TRAINING.items():
        value = (card.config.get(section) or {}).get(key)
        if isinstance(value, int | float) or (isinstance(value, str) and value.isidentifier()):
            found[words] = value
    return found


def _opening(card: ModelCard, about: About) -> str:
    side, K = card.preprocessing["image_size"], len(card.labels)
    words = " head on ".join(f"`{name}`" for name in (card.model["head"], card.model["backbone"]))
    return (
        f"# {_plain(about.name)}\n\nFinds every label that applies to an image, of {K}. "
        f"A {words}, for images of {side} × {side} pixels, trained with mlcfast."
    )


def _use(card: ModelCard, about: About) -> str:
    code = [name for name in (card.model["head"], card.model["backbone"]) if is_import_name(name)]
    if code:
        begin = f"""The model is built by code of its author's, {" and ".join(f"`{name}`" for name in code)}, which is
not in this directory and must be where Python finds it. From the hub it is loaded as a directory:

```sh
hf download USER/NAME --local-dir {json.dumps(about.name)}
mlcfast predict {json.dumps(about.name)} photo.jpg
```"""
    else:
        begin = """Once this directory is on the hub as `USER/NAME`:

```sh
pip install 'mlcfast[hub]'
mlcfast predict hf://USER/NAME photo.jpg
```"""
    return f"""## Use

{begin}

From Python:

```python
import numpy as np
import torch
from PIL import Image, ImageOps

from mlcfast.models.hub import PretrainedModel

model = PretrainedModel.from_pretrained({json.dumps(about.name)}){"" if code else "  # a path, or USER/NAME of the hub"}
how = model.card.preprocessing
photo = ImageOps.exif_transpose(Image.open("photo.jpg")).convert("RGB")  # upright, as the camera was held
image = photo.resize((how["image_size"],) * 2, Image.Resampling.BILINEAR)
pixels = (np.asarray(image) / 255 - how["mean"]) / how["std"]
with torch.no_grad():
    scores = model(torch.tensor(pixels, dtype=torch.float32).permute(2, 0, 1)[None]).sigmoid()[0]
for name, score, threshold in zip(model.card.labels, scores.tolist(), model.card.thresholds):
    if score >= threshold:
        print(name, round(score, 4))
```"""


def _results(card: ModelCard, about: About) -> str:
    lines = ["## Results", ""]
    splits = reports(card, about)
    if not splits:
        return "\n".join([*lines, "No figures came with the model."])
    lines += [
        "| images | " + " | ".join(name for _, name in FIGURES.values()) + " |",
        "|---" * (len(FIGURES) + 1) + "|",
    ]
    for split, report in splits:
        figures = " | ".join(f"{report[kind]:.2f}" if kind in report else "" for kind in FIGURES)
        lines.append(f"| {split}, {report.get('images', 'unknown')} | {figures} |")
    lines += ["", "In percent; F1 at the threshold 0.5. The weights and the thresholds below were chosen on the"]
    lines += ["validation images, so that those figures are somewhat too good."]
    return "\n".join(lines)


def _labels(card: ModelCard) -> str:
    """A table of the labels: the probability from which each counts as present, and how it did."""
    support, per_label = (card.metrics.get(key) or {} for key in ("support", "per_label"))
    lines = ["## Labels and thresholds", "", "A label is present from its own threshold on. AP and images: validation."]
    lines += ["", "| label | threshold | AP | images |", "|---|---|---|---|"]
    for name, threshold in list(zip(card.labels, card.thresholds, strict=True))[:MOST_ROWS]:
        precision = f"{per_label[name]:.1f}" if name in per_label else ""
        lines.append(f"| {_plain(name)} | {threshold:.3f} | {precision} | {support.get(name, '')} |")
    if len(card.labels) > MOST_ROWS:
        lines += ["", f"The other {len(card.labels) - MOST_ROWS} are in model.json."]
    return "\n".join(lines)


def _input(card: ModelCard) -> str:
    how = card.preprocessing
    side = how["image_size"]
    return f"""## Input

RGB, brought to {side} × {side} pixels whatever its shape (bilinear, Pillow's), divided by 255, less {how["mean"]}, over
{how["std"]}. `preprocessor_config.json` says so to transformers' image processors, `timm_transform` in `config.json` to
`timm.data.create_transform`. Output: a logit a label; its sigmoid is the probability."""


def _tagging(card: ModelCard) -> str:
    side = card.preprocessing["image_size"]
    return f"""## For programs that tag images

`model.onnx` takes float32 (batch, {side}, {side}, 3), channels in the order blue, green, red, values from 0 to 255, and
gives probabilities (batch, {len(card.labels)}) in the order of `selected_tags.csv`. There every label is of category 0
(general), and `count` is the number of validation images that have it, 0 where that is not known. Such programs pad an
image to a white square before they resize it; this model was trained on images brought to the square without padding,
so that scores of long or tall images differ somewhat. They use one threshold for all labels, not those above."""


def _training(card: ModelCard, about: About) -> str:
    start = {"pretrained": "timm's pretrained weights", "none": "random weights", None: "not known"}
    given = (card.config.get("model") or {}).get("weights")
    lines = ["## Training", "", f"- data: {_plain(about.dataset) if about.dataset else 'not named'}"]
    lines += [f"- the backbone began with: {start.get(given, 'weights of a file, which is not named')}"]
    lines += [f"- {words}: {value}" for words, value in known_training(card).items()]
    lines += [f"- optimizer steps behind these weights: {card.step or 'not known'}"]
    kinds = {"ema": "their moving average over the steps", "raw": "as the optimizer left them"}
    lines += [f"- weights: {kinds.get(card.weights, 'not known')}"]
    return "\n".join(lines)


def _unknown(card: ModelCard, about: About) -> str:
    lines = ["## Not known", "", "This file was written by a program. Nobody has told it:", ""]
    lines += [] if about.license else ["- under which license the model may be used: none is granted here"]
    lines += [] if about.dataset else ["- what images and labels it was trained on, and under what terms"]
    lines += [] if card.config else ["- how it was trained: the configuration was not kept with it"]
    lines += [] if about.test else ["- how it does on images that took no part in choosing it"]
    lines += ["- what it is meant for, what it gets wrong outside its training data, and whom that may harm"]
    return "\n".join(lines)


def _plain(text: str) -> str:
    """Text that Markdown shows as it is, on one line, in a table too."""
    return re.sub(r"([\\`*_\[\]|])", r"\\\1", html.escape(" ".join(text.split()), quote=False))
