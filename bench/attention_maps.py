"""Do labels look where they are? python -m bench.attention_maps CHECKPOINT ROOT [--split test]

ROOT is in MS-COCO's layout with boxes, as the demo set is. For every image and label it has: the share of the label's
attention inside the label's boxes over the boxes' share of the area, both averaged over all (image, label) pairs.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from pycocotools.coco import COCO

from bench.timing import provenance
from mlcfast.data.sources import Source
from mlcfast.engine import Predictor, Process
from mlcfast.evaluation.predict_files import predict_files
from mlcfast.models.card import ModelCard
from mlcfast.models.trained import load_trained
from mlcfast.report.attention import mass_in_boxes, upsample


def boxes_by_label(annotations: Path, names: list[str]) -> dict[str, dict[int, list[list[float]]]]:
    """File name -> label -> boxes (left, top, width, height) in pixels, with the size under label −1."""
    coco = COCO(str(annotations))
    column = {category["id"]: names.index(category["name"]) for category in coco.dataset["categories"]}
    found = {image["file_name"]: {-1: [[image["height"], image["width"]]]} for image in coco.dataset["images"]}
    for annotation in coco.dataset["annotations"]:
        labels = found[coco.imgs[annotation["image_id"]]["file_name"]]
        labels.setdefault(column[annotation["category_id"]], []).append(annotation["bbox"])
    return found


def measure(predictor: Predictor, card: ModelCard, root: Path, split: str) -> np.ndarray:
    """(pairs, 3): label, attention inside its boxes, area of its boxes."""
    rows = []
    for name, labels in boxes_by_label(root / "annotations" / f"instances_{split}.json", card.labels).items():
        (size,) = labels.pop(-1)
        if not labels:
            continue
        (seen,) = predict_files(predictor, card, [Source(str(root / split / name))], attention=True)
        dense = upsample(seen.maps[list(labels)], *size)
        rows += [(k, *mass_in_boxes(density, labels[k])) for k, density in zip(labels, dense, strict=True)]
    return np.array(rows)


def main() -> None:
    """Measure and print one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("root", type=Path)
    parser.add_argument("--split", default="test")
    args = parser.parse_args()
    model, card = load_trained(args.checkpoint)
    process = Process()
    rows = measure(Predictor(process, model.to(process.device), "fp32"), card, args.root, args.split)
    labels, mass, area = rows.T
    each = {name: mass[labels == k].mean() / area[labels == k].mean() for k, name in enumerate(card.labels)}
    row = {
        "pairs": len(rows),
        "mean_mass": round(mass.mean(), 4),
        "mean_area": round(area.mean(), 4),
        "factor": round(mass.mean() / area.mean(), 2),
        "pairs_above_area": round((mass > area).mean(), 4),
        "factor_by_label": {name: round(float(factor), 2) for name, factor in each.items()},
    }
    print(json.dumps(row | provenance(process.device.type)))


if __name__ == "__main__":
    main()
