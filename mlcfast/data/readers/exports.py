"""JSON exports of labelling tools and hubs: Label Studio's tasks and metadata.jsonl."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from mlcfast.data.readers.lists import from_tags
from mlcfast.data.readers.sheet import read_text
from mlcfast.data.readers.source import LabelSource
from mlcfast.data.readers.tables import IMAGE_COLUMNS, LIST_COLUMNS
from mlcfast.errors import UsageError


def read_label_studio(path: Path, tasks: list[Any]) -> LabelSource:
    """Read a list of tasks, full or `JSON-MIN`: the choices of each task's annotations are its image's labels."""
    images, tags = [], []
    for number, task in enumerate(tasks, start=1):
        if not isinstance(task, dict):
            raise UsageError(f"{path}: entry {number} is not a task of Label Studio")
        data = task.get("data", task)
        image = next((data[key] for key in ("image", "img", "url") if isinstance(data.get(key), str)), None)
        if image is None:
            raise UsageError(f"{path}: entry {number}: no image in its data")
        images.append(_upload(image))
        tags.append(list(dict.fromkeys(_choices(task))))
    return from_tags(path, "label_studio", images, tags, ["the choices of all annotations of a task are its labels"])


def _upload(image: str) -> str:
    """A file name as it is on disk: of /data/upload/1/cat.jpg, /data/local-files/?d=cat.jpg and plain paths."""
    place = image.partition("?d=")[2] or image
    return unquote(place if "?d=" in image or not place.startswith("/data/") else os.path.basename(place))


def _choices(task: dict[str, Any]) -> Iterator[str]:
    for annotation in task.get("annotations") or task.get("completions") or []:
        for result in annotation.get("result", []):
            yield from result.get("value", {}).get("choices", [])
    if "annotations" not in task:
        for key in ("choice", "choices", "label", "labels"):
            value = task.get(key)
            if isinstance(value, str):
                yield value
            elif isinstance(value, dict):
                yield from value.get("choices", [])
            elif isinstance(value, list):
                yield from map(str, value)


def read_metadata(path: Path) -> LabelSource:
    """Read metadata.jsonl: an object a line with a file name and a list of labels, or one label."""
    images, tags = [], []
    for number, line in enumerate(read_text(path)[0].splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            lower = {str(key).lower(): value for key, value in row.items()}
            images.append(str(next(lower[key] for key in IMAGE_COLUMNS if key in lower)))
            value = next(lower[key] for key in LIST_COLUMNS if key in lower)
        except (ValueError, AttributeError) as error:
            raise UsageError(f"{path}: line {number}: not a JSON object: {error}") from error
        except StopIteration:
            raise UsageError(f"{path}: line {number}: needs file_name and labels") from None
        tags.append([str(each) for each in (value if isinstance(value, list) else [value] if value else [])])
    return from_tags(path, "metadata", images, tags, [])
