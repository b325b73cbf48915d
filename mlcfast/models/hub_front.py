"""What the Hugging Face hub reads of a model: the YAML at the head of its README.md."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mlcfast.models.card import ModelCard
from mlcfast.registry import is_import_name

HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")
# Of a report: the hub's word for the metric, and a reader's.
FIGURES = {
    "mAP": ("mAP", "mAP"),
    "CF1": ("f1", "F1, labels counting the same"),
    "OF1": ("f1", "F1, decisions counting the same"),
}


@dataclass(frozen=True)
class About:
    """What the card does not hold.

    name: the model's, which is its directory's; license: the hub's identifier; dataset: what it was trained on, in
    words or as the hub's user/name; test: the report on test images, of the form of the card's metrics.
    """

    name: str
    license: str | None = None
    dataset: str | None = None
    test: Mapping[str, Any] | None = None


def front_matter(card: ModelCard, about: About) -> dict[str, Any]:
    """What the hub reads. A license and a data set stand there only where they were given."""
    tags = ["multi-label-image-classification", *_names(card)]
    front: dict[str, Any] = {"library_name": "mlcfast", "pipeline_tag": "image-classification", "tags": tags}
    if about.license:
        front["license"] = about.license
    if about.dataset and HUB_NAME.fullmatch(about.dataset):
        front["datasets"] = [about.dataset]
    results = [_result(about, *split) for split in reports(card, about)]
    if results:
        front["model-index"] = [{"name": about.name, "results": results}]
    return front


def _names(card: ModelCard) -> list[str]:
    """Head and backbone, where they are names and no imports."""
    return [name for name in (card.model["head"], card.model["backbone"]) if not is_import_name(name)]


def reports(card: ModelCard, about: About) -> list[tuple[str, Mapping[str, Any]]]:
    """The names of the splits that there are figures of, with the figures."""
    splits = {"validation": card.metrics, "test": about.test or {}}
    return [(split, report) for split, report in splits.items() if "mAP" in report]


def _result(about: About, split: str, report: Mapping[str, Any]) -> dict[str, Any]:
    """An entry of the hub's model-index; percentages."""
    known = about.dataset and HUB_NAME.fullmatch(about.dataset)
    return {
        "task": {"type": "image-classification", "name": "Multi-label image classification"},
        "dataset": {
            "type": about.dataset if known else "unknown",
            "name": about.dataset or "not named",
            "split": split,
        },
        "metrics": [
            {"type": metric, "value": round(report[kind], 2), "name": name}
            for kind, (metric, name) in FIGURES.items()
            if kind in report
        ],
    }
