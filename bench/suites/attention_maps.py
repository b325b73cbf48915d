"""Do labels look where they are? The share of a label's attention inside its boxes, over their share of the area."""

from pathlib import Path

import numpy as np
from pycocotools.coco import COCO

from bench.suites import Context, Rows, SkippedError
from mlcfast.data.sources import Source
from mlcfast.engine import Predictor, Process
from mlcfast.evaluation.predict_files import predict_files
from mlcfast.models.card import ModelCard
from mlcfast.models.trained import load_trained
from mlcfast.report.attention import mass_in_boxes, upsample


def rows(context: Context) -> Rows:
    """One row."""
    checkpoint, root = context.options["checkpoint"], context.options["root"]
    if not (checkpoint and root):
        raise SkippedError("needs checkpoint=… and root=…")
    model, card = load_trained(Path(checkpoint))
    process = Process()
    predictor = Predictor(process, model.to(process.device), "fp32")
    labels, mass, area = measure(predictor, card, Path(root), context.options["split"]).T
    each = {name: mass[labels == k].mean() / area[labels == k].mean() for k, name in enumerate(card.labels)}
    yield {
        "checkpoint": checkpoint,
        "split": context.options["split"],
        "pairs": len(labels),
        "mean_mass": round(float(mass.mean()), 4),
        "mean_area": round(float(area.mean()), 4),
        "factor": round(float(mass.mean() / area.mean()), 2),
        "pairs_above_area": round(float((mass > area).mean()), 4),
        "factor_by_label": {name: round(float(factor), 2) for name, factor in each.items()},
    }


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


def boxes_by_label(annotations: Path, names: list[str]) -> dict[str, dict[int, list[list[float]]]]:
    """File name -> label -> boxes (left, top, width, height) in pixels, with the size under label −1."""
    coco = COCO(str(annotations))
    column = {category["id"]: names.index(category["name"]) for category in coco.dataset["categories"]}
    found = {image["file_name"]: {-1: [[image["height"], image["width"]]]} for image in coco.dataset["images"]}
    for annotation in coco.dataset["annotations"]:
        labels = found[coco.imgs[annotation["image_id"]]["file_name"]]
        labels.setdefault(column[annotation["category_id"]], []).append(annotation["bbox"])
    return found
