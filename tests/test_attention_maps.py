"""A trained model's attention maps lie where the labels are; docs/predict.md has the numbers of the demo set."""

import csv
from pathlib import Path

import numpy as np
import yaml
from PIL import Image

from mlcfast.config import load_config
from mlcfast.data.sources import Source
from mlcfast.engine import Predictor, Process
from mlcfast.evaluation.predict_files import predict_files
from mlcfast.models.trained import load_trained
from mlcfast.report.attention import mass_in_boxes, upsample
from mlcfast.training.run import run

COLOURS = {"red": (220, 40, 40), "green": (40, 200, 40), "blue": (40, 40, 220)}
WIDTH, HEIGHT, SQUARE = 96, 72, 20  # pixels; wider than high, so that rows taken for columns would show
FACTOR = 2.0  # how far the attention inside a label's square must exceed the square's share of the area


def write_squares(root: Path, split: str, count: int, seed: int) -> list[dict[str, list[int]]]:
    """Grey noise with one square for each label an image has; returns each image's boxes by label."""
    random = np.random.RandomState(seed)
    rows, boxes = [["image", *COLOURS]], []
    for number in range(count):
        pixels = random.randint(90, 160, (HEIGHT, WIDTH, 3)).astype(np.uint8)
        present = random.rand(3) < 0.5
        places = {}
        for name in np.array(list(COLOURS))[present]:
            left, top = random.randint(WIDTH - SQUARE), random.randint(HEIGHT - SQUARE)
            pixels[top : top + SQUARE, left : left + SQUARE] = COLOURS[str(name)]
            places = {label: box for label, box in places.items() if abs(box[0] - left) + abs(box[1] - top) > SQUARE}
            places[str(name)] = [left, top, SQUARE, SQUARE]  # a square that this one covers is not measured
        Image.fromarray(pixels).save(root / f"{split}{number}.png")
        rows.append([f"{split}{number}.png", *present.astype(int)])
        boxes.append(places)
    with (root / f"{split}.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return boxes


def test_attention_lies_on_what_the_label_names(tmp_path):
    """After some seconds of training, over all labels that the held-out images have."""
    write_squares(tmp_path, "train", 400, 0)
    boxes = write_squares(tmp_path, "val", 60, 1)
    settings = {
        "name": "squares", "output": str(tmp_path),
        "data": {"format": "csv", "root": str(tmp_path), "train": "train.csv", "val": "val.csv", "image_size": 64,
                 "augment": "none", "workers": 0},
        "model": {"backbone": "test_resnet", "backbone_options": {"out_index": 2}, "weights": "none", "embed_dim": 32,
                  "feedforward": 64, "encoder_layers": 0, "decoder_layers": 1, "dropout": 0.0},
        "optim": {"lr": 4e-3}, "engine": {"precision": "fp32", "micro_batch": 16, "global_batch": 16},
        "train": {"epochs": 4, "ema_decay": 0, "log_every": 25},
    }  # fmt: skip
    (tmp_path / "squares.yaml").write_text(yaml.safe_dump(settings))
    progress = run(load_config(tmp_path / "squares.yaml"), Process())
    model, card = load_trained(tmp_path / "squares")
    sources = [Source(str(tmp_path / f"val{number}.png")) for number in range(60)]
    shares = []
    for places, seen in zip(
        boxes, predict_files(Predictor(Process(), model, "fp32"), card, sources, attention=True), strict=True
    ):
        for name, box in places.items():
            (density,) = upsample(seen.maps[[card.labels.index(name)]], HEIGHT, WIDTH)
            shares.append(mass_in_boxes(density, [box]))
    mass, area = np.mean(shares, axis=0)
    assert progress.best > 90
    assert mass > FACTOR * area, (mass, area)
