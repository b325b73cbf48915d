"""JSON of records: metadata.jsonl of image folders, and manifests of tools that have an object a line."""

import dataclasses
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mlcfast.data.readers.class_names import names_beside
from mlcfast.data.readers.columns import IMAGE_COLUMNS, LIST_COLUMNS
from mlcfast.data.readers.entries import all_have, listed
from mlcfast.data.readers.paths import unit_of
from mlcfast.data.readers.refused import refuse_other_tools, refuse_scores
from mlcfast.data.readers.separators import SIGNS
from mlcfast.data.readers.sheet import Sheet, read_text
from mlcfast.data.readers.source import LabelSource, TableOptions
from mlcfast.data.readers.tables import read_rows
from mlcfast.data.readers.tool_exports import MANIFESTS, prodigy_sheet, read_tool_export
from mlcfast.documents import parse_json, read_content
from mlcfast.errors import UsageError

# Keys of a record that hold its objects, and those of an object that hold its label.
OF_OBJECTS = ("annotations", "objects", "instances", "boxes", "regions", "detections", "bboxes")
LABEL_KEYS = ("label", "class", "category", "class_name", "category_name", "label_name", "name")


def json_of(path: Path) -> Any:
    """The content of a JSON file; UsageError for one that cannot be read or is damaged."""
    try:
        return parse_json(read_content(path))
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise UsageError(f"{path}: not valid JSON: {error}") from error


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
    refuse_other_tools(path, rows)
    for number, row in zip(numbers, rows, strict=True):
        if not options.image_column and not any(str(key).lower() in IMAGE_COLUMNS for key in row):
            raise UsageError(f"{path}: line {number}: needs file_name and labels")
    return read_rows_of_json(path, rows, numbers, options, assumptions)


def has_objects_in_lines(path: Path) -> bool:
    """Whether the first two lines of a file are an object of JSON each."""
    first = [line for line in read_text(path)[0].split("\n") if line.strip()][:2]
    try:
        return len(first) > 1 and all(isinstance(parse_json(line), dict) for line in first)
    except ValueError:
        return False


def read_rows_of_json(
    path: Path,
    rows: Sequence[dict[str, Any]],
    numbers: Sequence[int],
    options: TableOptions,
    assumptions: Sequence[str] = (),
) -> LabelSource:
    """Read objects of which each names an image and its labels; numbers: where each stands in the file."""
    for number, row in zip(numbers, rows, strict=True):
        refuse_scored_row(f"{path}: {unit_of(path)} {number}", row, options)
    rows, said = _with_labels_of_objects(path, rows, numbers, options)
    source = read_rows(sheet_of(path, rows, numbers, [*assumptions, *said]), options)
    numbered = bool(source.names) and all(name.isdecimal() for name in source.names)
    names = [name for name in names_beside(path)[0] if name] if numbered else []
    unread = f"the labels are numbers: {len(names)} names beside {path.name} are not read: write them in it"
    warnings = [*source.warnings, unread] if names else source.warnings
    return dataclasses.replace(source, format="metadata", warnings=warnings)


def _with_labels_of_objects(
    path: Path, rows: Sequence[dict[str, Any]], numbers: Sequence[int], options: TableOptions
) -> tuple[list[dict[str, Any]], list[str]]:
    """The rows with the labels of objects in place of these, `[{"class": "car", "bbox": …}]`, and what is said of that.

    So they are read under the one key of OF_OBJECTS that all rows with objects have, where each object has the same one
    of LABEL_KEYS. A score that is a fraction is a UsageError.
    """
    keys = {key for row in rows for key in row if key in OF_OBJECTS and all_have(row[key])}
    key = keys.pop() if len(keys) == 1 else ""
    held = [each for row in rows for each in listed(row.get(key))] if key else []
    names = [name for name in LABEL_KEYS if all(isinstance(each, dict) and name in each for each in held)]
    if not held or len(names) != 1 or not all(isinstance(each[names[0]], str | int) for each in held):
        return list(rows), []
    for number, row in zip(numbers, rows, strict=True):
        for each in listed(row.get(key)):
            refuse_scored_row(f"{path}: {unit_of(path)} {number}", each, options)
    plain = [{**row, key: [each[names[0]] for each in listed(row.get(key))]} for row in rows]
    return plain, [f"the labels are under {names[0]!r} in the objects of {key!r}"]


def refuse_scored_row(where: str, row: dict[str, Any], options: TableOptions) -> None:
    """UsageError for an object with scores, unless the options say that they are no labels; where: as refuse_scores."""
    read = options.label_columns or row
    told = {key: row[key] for key in read if key in row and key not in options.ignore_columns}
    remedy = "keep the labels that hold and take it out, or name its column in data.ignore_columns"
    refuse_scores(where, told, remedy)


def sheet_of(
    path: Path, rows: Sequence[dict[str, Any]], numbers: Sequence[int], assumptions: Sequence[str] = ()
) -> Sheet:
    """Rows of values by name as a table of text; lists become JSON, which the readers of tables understand."""
    flat = [dict(_flat(row, f"{path}: {unit_of(path)} {number}")) for number, row in zip(numbers, rows, strict=True)]
    header = list(dict.fromkeys(key for row in flat for key in row))
    lists = {key for row in flat for key, value in row.items() if isinstance(value, list)}
    cells = [[text_of_cell(_as_list(row.get(key)) if key in lists else row.get(key)) for key in header] for row in flat]
    return Sheet(path, header, cells, list(numbers), list(assumptions), "")


def _flat(row: dict[str, Any], where: str) -> Iterator[tuple[str, Any]]:
    """The entries of a row; of one that holds others, such as the boxes in `objects`, those that list labels.

    `labels` may hold a key for each label. UsageError where its values say neither present nor absent.
    """
    for key, value in row.items():
        if not isinstance(value, dict):
            yield str(key), value
        elif str(key).lower() in LIST_COLUMNS and not any(str(inner).lower() in LIST_COLUMNS for inner in value):
            strange = next((each for each in value.values() if each not in (0, 1, -1, None)), None)
            if strange is not None:
                raise UsageError(f"{where}: {key!r} holds {strange!r}: write a list of labels, or 1 and 0 for each")
            yield from value.items()
        else:
            yield from ((inner, each) for inner, each in value.items() if inner.lower() in LIST_COLUMNS)


def _as_list(value: Any) -> Any:
    """A word or a number in place of a list of one, as ExifTool writes it; not one that may be several words."""
    single = isinstance(value, str | int) and value != "" and not any(sign in str(value) for sign in SIGNS)
    return [value] if single else value


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
