"""Finds the settings that read a data set nobody has described: its root, its splits and its columns."""

import dataclasses
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mlcfast.config import Config, DataConfig, ModelConfig
from mlcfast.data.build import Samples, open_samples
from mlcfast.data.readers.arrow import ENDINGS, columns_of
from mlcfast.data.readers.chest_xray import entries_of, is_chest_xray
from mlcfast.data.readers.columns import is_called
from mlcfast.data.readers.directories import ROBOFLOW
from mlcfast.data.readers.part_columns import SPLIT_COLUMNS, dividing_columns, may_be_sibling, says_one_part
from mlcfast.data.readers.recognise import read_all
from mlcfast.data.readers.registry import known_as
from mlcfast.data.readers.sheet import Sheet, read_sheet
from mlcfast.data.readers.side_by_side import tables_of_parts, with_labels, without_names
from mlcfast.data.readers.source import LabelSource, TableOptions
from mlcfast.data.readers.text_lists import is_index_alone, labelled_lists, refuse_other_labels
from mlcfast.data.readers.wrapped import tables_in, within
from mlcfast.data.splits import TRAIN, VALIDATION, is_part
from mlcfast.errors import UsageError

LOGGER = logging.getLogger("mlcfast")
TEST = "test"
SHARE = 0.2  # of the training images validates where the data set has no validation part
TABLES = (".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".manifest", ".parquet", ".lst", ".txt")
GROUP_COLUMNS = {
    "patient", "patient_id", "patient id", "patientid", "subject", "subject_id", "subject id", "case_id", "study_id",
    "group", "group_id", "scene_id", "location_id", "camera_id", "video_id", "lesion_id",
}  # fmt: skip
LOOKED_AT = 64  # images whose size is read


@dataclass(frozen=True)
class Found:
    """A data set as training will read it.

    settings: of the section `data`, but for what says how images become tensors. samples: both parts, opened with these
    settings. form: what it was recognised as. short_side: the median of the shorter sides of some images, in pixels.
    """

    settings: dict[str, Any]
    samples: Samples
    form: str
    short_side: int


def discover(data: Path, images: Path | None = None, given: Mapping[str, Any] | None = None) -> Found:
    """Propose the settings that read a label file or directory, and try them: its images are looked for.

    images: where the images of a label file are, its own directory without. given: settings of `data` that a user has
    chosen; they come first. UsageError, one line, where the data set cannot be read or may be read in several ways.
    """
    given, data = dict(given or {}), within(data)
    if not data.exists():
        raise UsageError(f"{data}: no such file or directory")
    settings = _settings(data, images, given)
    recognised = str(settings["format"])
    samples, settings["format"] = _opened(settings)
    return Found(settings, samples, recognised, _short_side(samples.train.paths))


def _settings(data: Path, images: Path | None, given: dict[str, Any]) -> dict[str, Any]:
    """The settings, with the format that was recognised; the splits and columns that are there are those named."""
    files = _split_files(data) if data.is_dir() and not given.keys() & {"train", "format"} else {}
    table = files.get(TRAIN) or _single_table(data)
    columns = {} if files else _columns(data, table, given)
    options = _options(given | columns)
    sources = _sources(data, files, options)
    if files:
        root = images or data
        found = {name: _name(file, root) for name, file in files.items()}
    elif len(sources) == 1 and not _is_split(data, sources[0]):
        root = images or _root(data)
        found = _folders_of_parts(data, sources[0]) or {"train": _name_of_source(data, sources[0], root)}
    else:
        if images is not None:
            raise UsageError(f"{data}: its layout says where its images are: leave --images out")
        root = _root(data)
        splits = [source.split for source in sources]
        found = {"train": splits[0]} if len(splits) == 1 else _named_splits(data, splits, given)
    form = sources[0].format
    settings = {"format": form, "root": str(root), "val": SHARE} | found | columns
    return settings | {"format": settings["format"]} | given


def _options(given: Mapping[str, Any]) -> TableOptions:
    names = {field.name for field in dataclasses.fields(TableOptions)} & given.keys()
    chosen: dict[str, Any] = {
        name: tuple(given[name]) if isinstance(given[name], list) else given[name] for name in names
    }
    form = given.get("format", "auto")
    return TableOptions(**chosen, form="auto" if form == "csv" else form)


def _split_files(folder: Path) -> dict[str, Path]:
    """Label files called train, val and test, or alike but for these; nothing without one for training, or in MS-COCO's
    layout."""
    found: dict[str, Path] = {}
    if any(folder.glob("annotations/instances_*.json")):
        return found
    listed = labelled_lists(folder) if not known_as(folder) else []  # YOLO's train.txt lists images alone
    for file in sorted(folder.iterdir()):
        for part in (TRAIN, VALIDATION, TEST):
            known = (file.suffix.lower() in TABLES[:-1] and not is_index_alone(file)) or file in listed
            if file.is_file() and known and is_part(file.stem, part):
                if part in found:
                    shown = f"{found[part].name} and {file.name}"
                    raise UsageError(f"{folder}: {shown} may both be the {part} split: set data.{part}")
                found[part] = file
    if TRAIN in found:
        refuse_other_labels(folder, [file for file in found.values() if file in listed])
        return with_labels(found)[0]
    tables = [file for file in tables_in(folder) if not is_index_alone(file)]
    called = tables_of_parts(without_names(tables)[0] or listed)  # train_labels.csv, val_labels.csv
    refuse_other_labels(folder, [file for file in called.values() if file in listed])
    called = with_labels(called)[0] if called else {}
    return {part: file for part in (TRAIN, VALIDATION, TEST) for word, file in called.items() if is_part(word, part)}


def _sources(data: Path, files: Mapping[str, Path], options: TableOptions) -> list[LabelSource]:
    """What a file or directory holds; UsageError where a directory is not read by its files of parts but by others."""
    if any(file.suffix.lower() in ENDINGS for file in files.values()):
        return read_all(files[TRAIN], options)
    sources = read_all(data, options)
    other = next((source for source in sources if source.path not in files.values()), None)
    if files and other is not None:
        shown = f"{other.format}, by {other.path.name}, or by {files[TRAIN].name}"
        raise UsageError(f"{data}: may be read as {shown}: name the file of the labels")
    return sources


def _single_table(data: Path) -> Path | None:
    """The text table that `data` is, or the only one that it holds, or that of ChestX-ray14."""
    if data.is_file():
        return data if data.suffix.lower() in (".csv", ".tsv") else None
    if is_chest_xray(data):
        return entries_of(data)
    tables = [file for file in without_names(tables_in(data))[0] if file.suffix.lower() in (".csv", ".tsv")]
    return tables[0] if len(tables) == 1 else None


def _columns(data: Path, table: Path | None, given: Mapping[str, Any]) -> dict[str, Any]:
    """The settings for a column of splits and a column of groups, where the table's header and cells leave no doubt.

    table: the text table of `data`; without one its Parquet files are looked into.
    """
    if table is not None and table.name == ROBOFLOW:
        return {}
    sheet = read_sheet(table) if table is not None else columns_of(data, _is_called) if _is_arrow(data) else None
    if sheet is None:
        return {}
    found: dict[str, Any] = {}
    counts = {name: sheet.counts(i) for i, name in enumerate(sheet.header) if name}
    divides = dividing_columns(counts)
    if len(divides) == 1 and not given.keys() & {"split_column", "val"}:
        name, parts = next(iter(divides.items()))
        if not _may_be_labels(name, counts, table, given):
            found |= {"split_column": name} | parts
            if not is_called(name, SPLIT_COLUMNS):
                shown = " and ".join(parts)
                LOGGER.warning("column %r is taken for what says which images are for %s", name, shown)
    groups = [i for i, name in enumerate(sheet.header) if name.lower() in GROUP_COLUMNS and _groups(sheet, i)]
    widest = next((i for i in groups if all(_holds_whole(sheet, i, other) for other in groups)), None)
    if widest is not None and VALIDATION not in found and "group" not in given:
        found["group"] = sheet.header[widest]
    return found


def _may_be_labels(
    name: str, counts: Mapping[str, Mapping[str, int]], table: Path | None, given: Mapping[str, Any]
) -> bool:
    """Whether a column that may divide the data may hold the labels, or be one, so that it is not taken unasked."""
    if name in given.get("label_columns", ()):
        return True
    if says_one_part(name):
        return may_be_sibling(name, counts)
    if is_called(name, SPLIT_COLUMNS) or table is None:
        return False
    without = _names_read(table, given)
    if without is None:
        return _names_read(table, {**given, "split_column": name}) is None
    return without.issuperset(counts[name])


def _names_read(table: Path, given: Mapping[str, Any]) -> set[str] | None:
    """The labels of a table as it is read with these settings; None where it is not."""
    try:
        return {name for source in read_all(table, _options(given)) for name in source.names}
    except UsageError:
        return None


def _is_called(name: str) -> bool:
    """Whether a column is called as one of parts or of groups is; others of a Parquet file are not read for these."""
    return name.lower() in GROUP_COLUMNS or is_called(name, SPLIT_COLUMNS)


def _is_arrow(data: Path) -> bool:
    return data.suffix.lower() in ENDINGS if data.is_file() else known_as(data) == ["parquet"]


def _groups(sheet: Sheet, column: int) -> bool:
    """Whether no cell is blank, there are several values and one of them belongs to several rows."""
    cells = [row[column] for row in sheet.rows]
    return all(cells) and 1 < len(set(cells)) < len(cells)


def _holds_whole(sheet: Sheet, column: int, other: int) -> bool:
    """Whether each value of another column belongs to one value of this, as the studies of a patient do."""
    return len({(row[column], row[other]) for row in sheet.rows}) == len(sheet.counts(other))


def _is_split(data: Path, source: LabelSource) -> bool:
    """Whether a directory's only source is a split that is found by its name alone, as in MS-COCO's layout."""
    return data.is_dir() and bool(source.split) and source.split != data.resolve().name


def _root(data: Path) -> Path:
    return data if data.is_dir() else data.parent


def _name(file: Path, root: Path) -> str:
    """The file as data.train names it: relative to the root, or absolute where it lies elsewhere."""
    file, root = file.resolve(), root.resolve()
    return file.relative_to(root).as_posix() if file.is_relative_to(root) else str(file)


def _name_of_source(data: Path, source: LabelSource, root: Path) -> str:
    in_root = source.path.is_file() and source.path.suffix.lower() in TABLES and source.path.parent == data
    return _name(source.path if data.is_dir() and in_root else data, root)


def _folders_of_parts(data: Path, source: LabelSource) -> dict[str, str]:
    """The folders of the parts of a directory that is read as XMP files, which are one source; none unless all images
    are in such."""
    folders = {image.partition("/")[0] for image in source.images} if source.format == "xmp" else set()
    found = {part: name for name in sorted(folders) for part in (TRAIN, VALIDATION, TEST) if is_part(name, part)}
    of_parts = TRAIN in found and len(found) == len(folders) and all((data / name).is_dir() for name in folders)
    return found if of_parts else {}


def _named_splits(data: Path, splits: Sequence[str], given: Mapping[str, Any]) -> dict[str, Any]:
    """Which of a data set's splits train, validate and test; UsageError where their names do not tell."""
    found: dict[str, Any] = {}
    for part in (TRAIN, VALIDATION, TEST):
        exact = [split for split in splits if is_part(split, part)]
        held = exact or [split for split in splits if split.lower().startswith(part)]
        if len(held) == 1:
            found[part] = held[0]
        elif part not in given and (held or part == TRAIN):
            raise UsageError(f"{data}: holds the splits {', '.join(splits)}: say which is data.{part}=…")
    return found


def _opened(settings: dict[str, Any]) -> tuple[Samples, str]:
    """Both parts as a run opens them, and the format: the one recognised, or auto where that alone reads it."""
    last: UsageError | None = None
    for form in dict.fromkeys((settings["format"], "auto")):
        data = DataConfig.model_validate(settings | {"format": form})
        try:
            return open_samples(Config(name="init", data=data, model=ModelConfig(backbone="resnet18"))), form
        except UsageError as error:
            last = error
    assert last is not None
    raise last


def _short_side(paths: Sequence[str]) -> int:
    """The median over some images, whose headers alone are read; 224 where none can be."""
    sides = []
    for path in paths[:: max(1, len(paths) // LOOKED_AT)]:
        try:
            with Image.open(path) as image:
                sides.append(min(image.size))
        except OSError:
            continue
    return int(np.median(sides)) if sides else 224
