"""Kili's JSON export: assets with the labels that people gave them, each with the answers to a project's jobs."""

import dataclasses
import json
from collections import Counter
from pathlib import Path
from typing import Any

from mlcfast.data.readers.entries import all_have, listed, values
from mlcfast.data.readers.lists import from_tags
from mlcfast.data.readers.source import LabelSource
from mlcfast.data.readers.words import TRUTH
from mlcfast.errors import UsageError

BY_PEOPLE = {"DEFAULT", "REVIEW"}  # kinds of labels; others are predictions and drafts
REVIEW = "REVIEW"


def is_kili(content: Any) -> bool:
    """Whether the content of a JSON file is a list of Kili's assets."""
    if not all_have(content, "externalId"):
        return False
    return all("latestLabel" in asset or isinstance(asset.get("labels"), list) for asset in content)


def read_kili(path: Path, assets: list[dict[str, Any]]) -> LabelSource:
    """Read a list of assets: an image has the categories of its jobs and of its objects.

    Of several labels a review counts, the last one, else those of all annotators. Predictions and drafts do not, and
    assets without a label are left out, with a warning. UsageError for answers that are no labels, such as yes and no.
    """
    images, tags, lines = [], [], []
    seen: Counter[str] = Counter()
    for number, asset in enumerate(assets, start=1):
        given = _given(asset, seen)
        if not given:
            continue
        each_says = [_categories(path, number, label.get("jsonResponse"), seen) for label in given]
        seen["differ"] += len({frozenset(names) for names in each_says}) > 1
        images.append(str(asset["externalId"]))
        tags.append(list(dict.fromkeys(name for names in each_says for name in names)))
        lines.append(number)
    if not any(tags):
        raise UsageError(f"{path}: no image has a label: none of Kili's {len(assets)} assets has a category")
    left = len(assets) - len(images)
    warnings = [f"nobody labelled {left} of {len(assets)} images: they are left out"] if left else []
    more = {
        "differ": "images have labels of annotators who differ: they have those of all",
        "nested": "answers to questions within others are not read",
        "text": "answers in words of their own are not read",
        "predicted": "labels are predictions or drafts: they are not read",
    }
    warnings += [f"{seen[key]} {said}" for key, said in more.items() if seen[key]]
    source = from_tags(path, "metadata", images, tags, ["read as Kili's categories"])
    return dataclasses.replace(source, lines=lines, warnings=warnings).merged()


def _given(asset: dict[str, Any], seen: Counter[str]) -> list[dict[str, Any]]:
    """The labels of an asset that count; empty where nobody labelled it."""
    latest = asset.get("latestLabel")
    held = [latest] if isinstance(latest, dict) else listed(asset.get("labels"))
    done = [label for label in held if isinstance(label, dict) and str(label.get("labelType", "DEFAULT")) in BY_PEOPLE]
    seen["predicted"] += len(held) - len(done)
    done = [label for label in done if label.get("isLatestLabelForUser", True)]
    reviews = [label for label in done if label.get("labelType") == REVIEW]
    return [max(reviews, key=lambda label: str(label.get("createdAt")))] if reviews else done


def _categories(path: Path, number: int, response: Any, seen: Counter[str]) -> list[str]:
    """The categories of a response, a job by its name; it may itself be JSON in a text."""
    jobs = json.loads(response) if isinstance(response, str) else response
    names = []
    for job, answer in jobs.items() if isinstance(jobs, dict) else ():
        if not isinstance(answer, dict):
            continue
        boxes = [box for box in listed(answer.get("annotations")) if isinstance(box, dict)]
        told = values(answer.get("categories"), "name")
        truth = next((name for name in told if name.lower() in TRUTH), None)
        if truth is not None:
            raise UsageError(
                f"{path}: entry {number}: the answer {truth!r} to {job!r} is no label: write a table with a column for "
                "each question and 1 and 0 in it"
            )
        names += [*told, *(name for box in boxes for name in values(box.get("categories"), "name"))]
        seen["nested"] += sum(
            bool(each.get("children")) for each in (*listed(answer.get("categories")), *boxes, answer)
        )
        seen["text"] += "text" in answer
    return names
