"""Exports of labelling tools and hubs: Label Studio's JSON and CSV, and metadata.jsonl of image folders."""

import dataclasses
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from mlcfast.data.readers.columns import IMAGE_COLUMNS, LIST_COLUMNS
from mlcfast.data.readers.lists import from_tags
from mlcfast.data.readers.sheet import Sheet, read_text
from mlcfast.data.readers.source import LabelSource, TableOptions
from mlcfast.data.readers.tables import read_rows
from mlcfast.data.readers.tool_exports import MANIFESTS, prodigy_sheet, read_tool_export
from mlcfast.documents import parse_json
from mlcfast.errors import UsageError

STUDIO_IMAGES = ("image", "img", "url", "photo", "picture")
STUDIO_LABELS = ("choice", "choices", "label", "labels")
# What a result of Label Studio keeps its labels under: choices of the whole image, or the labels of boxes and regions.
RESULT_LABELS = (
    "choices", "labels", "rectanglelabels", "polygonlabels", "brushlabels", "keypointlabels", "ellipselabels",
)  # fmt: skip


def json_of(path: Path) -> Any:
    """The content of a JSON file; UsageError for one that cannot be read or is damaged."""
    try:
        return parse_json(path.read_bytes())
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise UsageError(f"{path}: not valid JSON: {error}") from error


def read_label_studio(path: Path, tasks: list[Any], options: TableOptions) -> LabelSource:
    """Read a list of tasks, full or `JSON-MIN`: what the annotations of a task say are its image's labels.

    Tasks without an annotation are unlabelled: they are left out, with a warning that counts them.
    """
    images, tags, lines, unlabelled = [], [], [], 0
    for number, task in enumerate(tasks, start=1):
        if not isinstance(task, dict):
            raise UsageError(f"{path}: entry {number} is not a task of Label Studio")
        data = task.get("data", task)
        keys = (options.image_column,) if options.image_column else STUDIO_IMAGES
        image = next((data[key] for key in keys if isinstance(data.get(key), str)), None)
        if image is None:
            raise UsageError(f"{path}: entry {number}: no image in its data: name its key with data.image_column")
        labels = _task_labels(task, options)
        if labels is None:
            unlabelled += 1
            continue
        images.append(_upload(image))
        tags.append(list(dict.fromkeys(labels)))
        lines.append(number)
    if not images:
        raise UsageError(
            f"{path}: none of the {len(tasks)} tasks of Label Studio has an annotation under "
            f"{', '.join(options.label_columns or STUDIO_LABELS)}: name another key with data.label_columns"
        )
    said = ["the labels in all annotations of a task are its image's"]
    warning = f"{unlabelled} of {len(tasks)} tasks have no annotation: they are left out"
    source = from_tags(path, "label_studio", images, tags, said)
    return dataclasses.replace(source, lines=lines, warnings=[warning] if unlabelled else []).merged()


def _upload(image: str) -> str:
    """A file name as it is on disk: of /data/upload/1/cat.jpg, /data/local-files/?d=cat.jpg and plain paths."""
    place = image.partition("?d=")[2] or image
    return unquote(place if "?d=" in image or not place.startswith("/data/") else os.path.basename(place))


def _task_labels(task: dict[str, Any], options: TableOptions) -> list[str] | None:
    """The labels of a task; None where nobody annotated it."""
    given = task.get("annotations", task.get("completions"))
    if isinstance(given, list):
        done = [each for each in given if isinstance(each, dict) and not each.get("was_cancelled")]
        return [name for each in done for result in each.get("result", []) for name in _names(result)] if done else None
    keys = [key for key in options.label_columns or STUDIO_LABELS if task.get(key) not in (None, "")]
    if keys:
        return [name for key in keys for name in _names(task[key])]
    known = [key for key in options.label_columns or STUDIO_LABELS if key in task]
    return [] if known and task.get("annotation_id") not in (None, "") else None


def _names(value: Any) -> Iterator[str]:
    """The labels in a value of JSON-MIN or in a result: one, several, or those of boxes and regions."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for each in value:
            yield from _names(each)
    elif isinstance(value, dict):
        held = value["value"] if isinstance(value.get("value"), dict) else value
        for key in RESULT_LABELS:
            yield from _names(held.get(key, []))


def is_label_studio(sheet: Sheet) -> bool:
    """Whether a table is Label Studio's CSV export, which names the annotation of each row."""
    return {"annotation_id", "annotator"} <= {name.lower() for name in sheet.header}


def read_label_studio_sheet(sheet: Sheet, options: TableOptions) -> LabelSource:
    """Read Label Studio's CSV export: a cell holds one label, or JSON with several or with boxes."""
    tasks = []
    for row in sheet.rows:
        task: dict[str, Any] = dict(zip(sheet.header, row, strict=True))
        for key in options.label_columns or STUDIO_LABELS:
            if task.get(key, "")[:1] in ("[", "{"):
                try:
                    task[key] = parse_json(task[key])
                except ValueError:
                    continue  # a label that begins with a bracket
        tasks.append(task)
    source = read_label_studio(sheet.path, tasks, options)
    lines = [sheet.numbers[entry - 1] for entry in source.lines]
    return dataclasses.replace(source, lines=lines, assumptions=[*sheet.assumptions, *source.assumptions])


def read_metadata(path: Path, options: TableOptions) -> LabelSource:
    """Read metadata.jsonl, an object a line with a file name and a list of labels, or a key for each label.

    Prodigy's answers and the manifests of Vertex AI and SageMaker are read alike.
    """
    text, assumptions = read_text(path)
    rows, numbers = [], []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = parse_json(line)
        except ValueError as error:
            raise UsageError(f"{path}: line {number}: not a JSON object: {error}") from error
        if not isinstance(row, dict):
            raise UsageError(f"{path}: line {number}: not a JSON object")
        rows.append(row)
        numbers.append(number)
    if not rows:
        raise UsageError(f"{path}: no images: it is empty")
    exported = read_tool_export(path, rows, MANIFESTS)
    if exported is not None:
        return exported
    answers = prodigy_sheet(path, rows, numbers)
    if answers is not None:
        return dataclasses.replace(read_rows(answers, options), format="metadata")
    for number, row in zip(numbers, rows, strict=True):
        if not options.image_column and not any(str(key).lower() in IMAGE_COLUMNS for key in row):
            raise UsageError(f"{path}: line {number}: needs file_name and labels")
    return read_rows_of_json(path, rows, numbers, options, assumptions)


def read_rows_of_json(
    path: Path,
    rows: Sequence[dict[str, Any]],
    numbers: Sequence[int],
    options: TableOptions,
    assumptions: Sequence[str] = (),
) -> LabelSource:
    """Read objects of which each names an image and its labels; numbers: where each stands in the file."""
    return dataclasses.replace(read_rows(sheet_of(path, rows, numbers, assumptions), options), format="metadata")


def sheet_of(
    path: Path, rows: Sequence[dict[str, Any]], numbers: Sequence[int], assumptions: Sequence[str] = ()
) -> Sheet:
    """Rows of values by name as a table of text; lists become JSON, which the readers of tables understand."""
    flat = [dict(_flat(row)) for row in rows]
    header = list(dict.fromkeys(key for row in flat for key in row))
    cells = [[text_of_cell(row.get(key)) for key in header] for row in flat]
    return Sheet(path, header, cells, list(numbers), list(assumptions), "")


def _flat(row: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """The entries of a row; of one that holds others, such as the boxes in `objects`, those that list labels."""
    for key, value in row.items():
        if isinstance(value, dict):
            yield from ((inner, each) for inner, each in value.items() if inner.lower() in LIST_COLUMNS)
        else:
            yield str(key), value


def text_of_cell(value: Any) -> str:
    """A value as a table's cell: blank for none, JSON for a list."""
    if value is None or value != value:
        return ""
    if isinstance(value, list | tuple):
        names = [name for name in value if name is not None]
        simple = all(isinstance(name, str | int | float) for name in names)
        return json.dumps([_word(name) for name in names] if simple else names, default=str, ensure_ascii=False)
    return _word(value)


def _word(value: Any) -> str:
    """A value as text; a number that is whole, or a truth, as its digits."""
    if isinstance(value, bool) or (isinstance(value, float) and value.is_integer()):
        return str(int(value))
    return str(value).strip()
