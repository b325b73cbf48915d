"""Label Studio's tasks, as JSON, full or `JSON-MIN`, and as CSV: an image has the labels of its annotations."""

import dataclasses
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from mlcfast.data.readers.entries import all_have
from mlcfast.data.readers.lists import from_tags
from mlcfast.data.readers.sheet import Sheet
from mlcfast.data.readers.source import LabelSource, TableOptions
from mlcfast.documents import parse_json
from mlcfast.errors import UsageError

STUDIO_IMAGES = ("image", "img", "url", "photo", "picture")
STUDIO_LABELS = ("choice", "choices", "label", "labels")
# What a result keeps its labels under: choices of the whole image, the labels of boxes and regions, paths in a tree.
RESULT_LABELS = (
    "choices", "labels", "rectanglelabels", "polygonlabels", "brushlabels", "keypointlabels", "ellipselabels",
    "taxonomy",
)  # fmt: skip
# What a task of JSON-MIN or of CSV says of itself beside its data and its labels.
OF_TASK = {
    "id", "annotator", "annotation_id", "created_at", "updated_at", "lead_time", "agreement", "project", "inner_id",
}  # fmt: skip
OF_SHAPE = ("value", "x", "points", "original_width")  # which say that an object is a box or a region
NO_LABELS = {"textarea", "rating", "number", "datetime", "pairwise", "ranker"}  # kinds of results
PATHS, FIELD = "paths", "field "  # keys under which paths and the results of each field are counted


def read_label_studio(path: Path, tasks: list[Any], options: TableOptions) -> LabelSource:
    """Read a list of tasks: what the annotations of a task say are its image's labels.

    Tasks without an annotation are unlabelled: they are left out, with a warning that counts them. Where
    `data.label_columns` names fields of the labelling interface, only these are read.
    """
    images, tags, lines = [], [], []
    seen: Counter[str] = Counter()
    for number, task in enumerate(tasks, start=1):
        if not isinstance(task, dict):
            raise UsageError(f"{path}: entry {number} is not a task of Label Studio")
        data = task["data"] if isinstance(task.get("data"), dict) else task
        keys = (options.image_column,) if options.image_column else STUDIO_IMAGES
        image = next((data[key] for key in keys if isinstance(data.get(key), str)), None)
        if image is None:
            raise UsageError(f"{path}: entry {number}: no image in its data: name its key with data.image_column")
        labels = _labels_of_task(f"{path}: entry {number}", task, options, seen)
        if labels is None:
            seen["predicted"] += bool(task.get("predictions"))
            continue
        images.append(_upload(image))
        tags.append(list(dict.fromkeys(labels)))
        lines.append(number)
    if not images:
        guessed = f"; {seen['predicted']} have predictions, which are no labels" if seen["predicted"] else ""
        raise UsageError(
            f"{path}: none of the {len(tasks)} tasks of Label Studio has an annotation under "
            f"{', '.join(options.label_columns or STUDIO_LABELS)}: name another key with data.label_columns{guessed}"
        )
    fields = sorted(key.removeprefix(FIELD) for key in seen if key.startswith(FIELD))
    if options.label_columns and fields and not any(tags):
        raise UsageError(f"{path}: data.label_columns: no labels in {options.label_columns[0]!r}; there are {fields}")
    said = ["the labels in all annotations of a task are its image's"]
    said += ["a label of a tree is its whole path"] if seen[PATHS] else []
    if len(fields) > 1 and not options.label_columns:
        said.append(f"the fields {', '.join(fields)} are one list of labels: data.label_columns chooses among them")
    source = from_tags(path, "label_studio", images, tags, said)
    warnings = _doubts(seen, len(tasks) - len(images), len(tasks))
    return dataclasses.replace(source, lines=lines, warnings=warnings).merged()


def _doubts(seen: Counter[str], left: int, tasks: int) -> list[str]:
    """Warnings of tasks that are left out, of those whose annotators differ and of results that say no label."""
    guessed = f" ({seen['predicted']} have predictions, which are no labels)" if seen["predicted"] else ""
    doubts = [f"{left} of {tasks} tasks have no annotation{guessed}: they are left out"] if left else []
    differ = seen["differ"]
    doubts += [f"the annotators of {differ} tasks differ: their images have the labels of all"] if differ else []
    kinds = sorted(NO_LABELS & seen.keys())
    said = f"{sum(seen[kind] for kind in kinds)} results say no label: {', '.join(kinds)}"
    return [*doubts, said] if kinds else doubts


def _upload(image: str) -> str:
    """A file name as it is on disk: of /data/upload/1/cat.jpg, /data/local-files/?d=cat.jpg and plain paths."""
    place = image.partition("?d=")[2] or image
    return unquote(place if "?d=" in image or not place.startswith("/data/") else os.path.basename(place))


def _labels_of_task(where: str, task: dict[str, Any], options: TableOptions, seen: Counter[str]) -> list[str] | None:
    """The labels of a task; None where nobody annotated it. seen counts what the user is told of."""
    given = task.get("annotations", task.get("completions"))
    if isinstance(given, list):
        done = [each for each in given if isinstance(each, dict) and not each.get("was_cancelled")]
        each_says = [_labels_of_results(each.get("result") or [], options, seen) for each in done]
        seen["differ"] += len({frozenset(names) for names in each_says}) > 1
        return [name for names in each_says for name in names] if done else None
    filled = {key: value for key, value in task.items() if value not in (None, "")}
    known = options.label_columns or STUDIO_LABELS
    keys = [key for key in known if key in filled]
    if not options.label_columns:
        keys += [key for key, value in filled.items() if key not in keys and is_answer(value)]
    for key in keys:
        held = task[key] if isinstance(task[key], list) else [task[key]]
        strange = next(
            (each for each in held if isinstance(each, dict) and not each.keys() & {*RESULT_LABELS, *OF_SHAPE}), None
        )
        if strange is not None:
            raise UsageError(f"{where}: {key!r} holds {str(strange)[:60]!r}: write a label, or a list of labels")
    if keys:
        return [name for key in keys for name in _names(task[key], seen)]
    if "annotation_id" not in filled:
        return None
    others = [key for key in filled if key not in (*OF_TASK, *STUDIO_IMAGES, options.image_column)]
    if others and not options.label_columns and not {*STUDIO_LABELS} & task.keys():
        raise UsageError(
            f"{where}: annotated, but not under {', '.join(STUDIO_LABELS)}: name the keys of labels with "
            f"data.label_columns; it has {', '.join(others)}"
        )
    return []


def _labels_of_results(results: list[Any], options: TableOptions, seen: Counter[str]) -> list[str]:
    """The labels in the results of one annotation; those of the fields that the options name, if they name any."""
    names: list[str] = []
    for result in results:
        about = result if isinstance(result, dict) else {}
        told, kind = list(_names(result, seen)), str(about.get("type"))
        seen[kind] += kind in NO_LABELS
        if told and "from_name" in about:
            field = str(about["from_name"])
            seen[FIELD + field] += 1
            told = told if not options.label_columns or field in options.label_columns else []
        names += told
    return names


def is_task(record: dict[str, Any]) -> bool:
    """Whether an object is a task, full or as JSON-MIN has it, by what no other tool writes."""
    held = [record[key] for key in ("annotations", "completions") if isinstance(record.get(key), list)]
    done = any(all_have(annotations, "result") for annotations in held)
    own = record.keys() & {"annotation_id", "annotator", "lead_time"}
    return bool(own) or done or isinstance(record.get("data"), dict) or any(map(_is_own_answer, record.values()))


def _is_own_answer(value: Any) -> bool:
    """Whether a value holds labels under keys that Label Studio alone has, as those of boxes in `rectanglelabels`."""
    held = value if isinstance(value, list) else [value]
    return bool(held) and all(isinstance(each, dict) and each.keys() & {*RESULT_LABELS} - {"labels"} for each in held)


def is_answer(value: Any) -> bool:
    """Whether a value of JSON-MIN holds labels, whatever its key is: several choices, paths, or the labels of boxes."""
    held = value if isinstance(value, list) else [value]
    paths = all(isinstance(each, list) and each and isinstance(each[0], str) for each in held)
    return bool(held) and (paths or all(isinstance(each, dict) and {*RESULT_LABELS} & each.keys() for each in held))


def _names(value: Any, seen: Counter[str]) -> Iterator[str]:
    """The labels in a value of JSON-MIN or in a result: one, several, or those of boxes and regions.

    A list in a list is a path in a tree.
    """
    if isinstance(value, str | int) and not isinstance(value, bool):
        yield str(value)
    elif isinstance(value, list):
        for each in value:
            if isinstance(each, list):
                seen[PATHS] += 1
                yield "/".join(map(str, each))
            else:
                yield from _names(each, seen)
    elif isinstance(value, dict):
        held = value["value"] if isinstance(value.get("value"), dict) else value
        for key in RESULT_LABELS:
            yield from _names(held.get(key, []), seen)


def names_annotations(sheet: Sheet) -> bool:
    """Whether a table may be Label Studio's CSV export, which names the annotation of each row."""
    return {"annotation_id", "annotator"} <= {name.lower() for name in sheet.header}


def is_label_studio(sheet: Sheet) -> bool:
    """Whether a table is Label Studio's by more columns than other programs have too: how long each task took.

    Its older versions wrote none of that, but the number of the task beside its image.
    """
    names = {name.lower() for name in sheet.header}
    own = "lead_time" in names or ("id" in names and not names.isdisjoint(STUDIO_IMAGES))
    return names_annotations(sheet) and own


def read_label_studio_sheet(sheet: Sheet, options: TableOptions) -> LabelSource:
    """Read Label Studio's CSV export: a cell holds one label, or JSON with several or with boxes."""
    tasks = []
    for row in sheet.rows:
        task: dict[str, Any] = dict(zip(sheet.header, row, strict=True))
        for key, cell in task.items():
            if cell[:1] in ("[", "{"):
                try:
                    task[key] = parse_json(cell)
                except ValueError:
                    continue  # a label that begins with a bracket
        tasks.append(task)
    source = read_label_studio(sheet.path, tasks, options)
    lines = [sheet.numbers[entry - 1] for entry in source.lines]
    return dataclasses.replace(source, lines=lines, assumptions=[*sheet.assumptions, *source.assumptions])
