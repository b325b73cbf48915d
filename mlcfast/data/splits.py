"""Divides one label file into training and validation, by a share or by a column; a run keeps the division."""

import contextlib
import csv
import io
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mlcfast.config import read_yaml
from mlcfast.data.labels import Labels, count
from mlcfast.data.overlap import groups_of_copies
from mlcfast.data.readers.image_files import IMAGE_ENDINGS
from mlcfast.data.readers.names import nearly_equal
from mlcfast.data.readers.part_columns import part_of
from mlcfast.data.readers.source import LabelSource, TableOptions
from mlcfast.data.readers.words import SPLIT_FOLDERS
from mlcfast.data.records import LabelledImages
from mlcfast.data.stratify import stratified_split
from mlcfast.errors import UsageError
from mlcfast.files import write_text

LOGGER = logging.getLogger("mlcfast")
SPLIT_FILE = "split.csv"
TRAIN, VALIDATION = "train", "val"
SHARES = (0.01, 0.05, 0.1, 0.2, 0.25, 0.34, 0.5)  # of which one is suggested where the user's own divides nothing
SHOWN = 8  # labels named in a line of the log


def divide(
    records: LabelledImages,
    share: float,
    seed: int,
    held: Path | None = None,
    earlier: Mapping[str, str] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Indices (train, val): read from the split.csv at `held` if there is one, else a stratified split by the seed.

    Images of one group stay on one side where the records have groups, else files of the same content, see
    `groups_of_copies`. UsageError where a part would be empty, and for an image that `held` does not know.
    earlier: parts of images in the run whose weights a new one starts from, see `sides_of_run`; they and their groups
    keep them, so that no image judges the new run which has trained the other. What is new is divided, or all trains
    where it is too little; nothing is kept where a part would be empty.
    """
    if held is not None:
        return _held(records, held)
    groups = groups_of_copies(records.paths) if records.groups is None else records.groups
    if earlier and (parts := _further(records, share, seed, groups, earlier)) is not None:
        return parts
    try:
        return stratified_split(records.labels, share, seed, groups)
    except ValueError as error:
        raise UsageError(f"data.val: {error}: {_what_would_do(records.labels, share, seed, groups)}") from error


def _further(
    records: LabelledImages, share: float, seed: int, groups: Sequence[str] | None, earlier: Mapping[str, str]
) -> tuple[np.ndarray, np.ndarray] | None:
    """Indices (train, val) that keep the parts of `earlier`; None where one would be empty."""
    units = np.array(records.image_ids if groups is None else groups, dtype=object)
    known: dict[str, str] = {}
    for unit, name in zip(units, records.image_ids, strict=True):
        if name in earlier and known.get(unit) != TRAIN:
            known[unit] = earlier[name]
    validates = np.array([known.get(unit) == VALIDATION for unit in units], bool)
    rest = np.flatnonzero([unit not in known for unit in units])
    with contextlib.suppress(ValueError):  # too few
        _, chosen = stratified_split(records.labels[rest], share, seed, units[rest].tolist())
        validates[rest[chosen]] = True
    if not known or not validates.any() or validates.all():
        return None
    kept, some = len(units) - len(rest), int(validates[rest].sum())
    LOGGER.info(
        "%d images keep the part that the earlier run gave them; of %d others %d validate", kept, len(rest), some
    )
    return np.flatnonzero(~validates), np.flatnonzero(validates)


def sides_of_run(place: Path, root: str, file: str | None) -> dict[str, str]:
    """The part that each image had in the run at `place`, as its split.csv says; empty where that cannot be compared.

    Comparable are images of the same `root`, data.root of both, whose ids are names of files, or any of the same label
    `file`, data.train of both: numbers begin anew in each file.
    """
    split = _split_of(place)
    if split is None:
        return {}
    try:
        theirs = _settings_beside(split)
        same = Path(theirs["root"]).resolve() == Path(root).resolve()
        sides = _sides(split) if same else {}
    except (OSError, ValueError, KeyError, TypeError, UsageError):
        return {}
    return {
        name: side for name, side in sides.items() if file == theirs["train"] or name.lower().endswith(IMAGE_ENDINGS)
    }


def trained_on(records: LabelledImages, sides: Mapping[str, str]) -> int:
    """How many of the images are for training by `sides`."""
    return sum(sides.get(name) == TRAIN for name in records.image_ids)


def _what_would_do(labels: Labels, share: float, seed: int, groups: Sequence[str] | None) -> str:
    """The share nearest to `share` that leaves no part empty, if possible the larger one for training."""
    sizes: dict[float, tuple[int, int]] = {}
    for other in sorted(SHARES, key=lambda each: abs(each - share)):
        with contextlib.suppress(ValueError):
            train, validation = stratified_split(labels, other, seed, groups)
            sizes[other] = len(train), len(validation)
    if not sizes:
        return "no share divides them: add images, or name a label file of others in data.val"
    chosen = next((other for other, (train, validation) in sizes.items() if train >= validation), min(sizes))
    return f"data.val={chosen:g} makes {sizes[chosen][0]} and {sizes[chosen][1]} of them"


def _sides(held: Path) -> dict[str, str]:
    """The part of each image; of one that stands in both, that it trains."""
    try:
        with held.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
            rows = [(row["image"], row["split"]) for row in csv.DictReader(file)]
        return dict(rows) | {name: side for name, side in rows if side == TRAIN}
    except (OSError, KeyError, ValueError, csv.Error) as error:
        raise UsageError(f"{held}: not the split of a run: {error}") from error


def _held(records: LabelledImages, held: Path) -> tuple[np.ndarray, np.ndarray]:
    sides = _sides(held)
    unknown = [name for name in records.image_ids if name not in sides]
    if unknown:
        raise UsageError(
            f"{held}: does not hold {unknown[0]!r} ({len(unknown)} images in all): it divides another label file, or "
            "that has changed since; begin a new run, or name a file to evaluate with --split"
        )
    validates = np.array([sides[name] == VALIDATION for name in records.image_ids], bool)
    return np.flatnonzero(~validates), np.flatnonzero(validates)


def write_split(directory: Path, train: LabelledImages, validation: LabelledImages) -> None:
    """Write split.csv of a run: each image that it trains on or is judged by, with the part it is in."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["image", "split"])
    for part, records in ((TRAIN, train), (VALIDATION, validation)):
        writer.writerows((name, part) for name in records.image_ids)
    write_text(directory / SPLIT_FILE, text.getvalue())


def are_named_by_file(records: LabelledImages, root: str) -> bool:
    """Whether each image's id is its file in `root`: then it means that image in any part of the data."""
    return all(Path(root, name) == Path(path) for name, path in zip(records.image_ids, records.paths, strict=True))


def find_split(place: Path) -> Path | None:
    """The split.csv of the run that a checkpoint, its file or the run's own directory belongs to.

    None where the run did not divide its label file by a share: there is nothing to hold to.
    """
    split = _split_of(place)
    with contextlib.suppress(UsageError, KeyError, TypeError):
        if split is not None and isinstance(_settings_beside(split)["val"], float):
            return split
    return None


def _split_of(place: Path) -> Path | None:
    nearby = [place, *list(place.absolute().parents)[:3]]
    runs = (folder for folder in nearby if (folder / "config.yaml").is_file())
    return next((folder / SPLIT_FILE for folder in runs if (folder / SPLIT_FILE).is_file()), None)


def _settings_beside(split: Path) -> dict[str, Any]:
    """The section `data` of the run's configuration."""
    return read_yaml(split.with_name("config.yaml"))["data"]


def is_split_word(word: str) -> bool:
    """Whether a word names a part of a data set, such as `train` or `Testing`."""
    return word.lower() in SPLIT_FOLDERS


def is_part(word: str, part: str) -> bool:
    """Whether a cell of a split column means this part: the same word, or another one for it."""
    return word.lower() == part.lower() or (part_of(word) is not None and part_of(word) == part_of(part))


def rows_of_part(source: LabelSource, column: str, part: str, others: Sequence[str]) -> np.ndarray:
    """The rows of a label file that a column gives to `part`.

    Where no row says that it is for training, all rows do that are in none of `others`, as with numbered folds.
    UsageError for a blank cell and for a part without rows.
    """
    cells = source.column(column, "data.split_column")
    rows = [row for row, cell in enumerate(cells) if is_part(cell, part)]
    counts = Counter(cells)
    shown = ", ".join(f"{cell!r} ({count})" for cell, count in list(counts.items())[:SHOWN])
    if not rows and is_part(part, TRAIN):
        rows = [row for row, cell in enumerate(cells) if not any(is_part(cell, other) for other in others)]
        LOGGER.info("%s: column %r names no training rows: all but those of %s train", source.path, column, others)
    elif is_part(part, TRAIN):
        unused = {cell for cell in counts if not any(is_part(cell, each) for each in (part, *others))}
        for cell in sorted(unused):
            LOGGER.warning("%s: column %r: %d rows of %r are not used", source.path, column, counts[cell], cell)
    if not rows:
        raise UsageError(f"{source.path}: column {column!r} has no row of {part!r}; it holds {shown}")
    return np.array(rows, np.int64)


def rows_and_groups(
    source: LabelSource, options: TableOptions, part: str | None, others: Sequence[str]
) -> tuple[np.ndarray, list[str] | None]:
    """The rows of a label file that are a part of the data, by the options' split column, and their groups.

    part: its name, None for all rows; others: those of the other parts. Groups are None where no column is named.
    """
    rows = np.arange(len(source.images))
    groups = None if options.group is None else source.column(options.group, "data.group")
    for line in alike_groups(source, options):
        LOGGER.warning("%s: %s", source.path, line)
    if part is not None and options.split_column is not None:
        rows = rows_of_part(source, options.split_column, part, others)
    return rows, None if groups is None else [groups[row] for row in rows]


def alike_groups(source: LabelSource, options: TableOptions) -> list[str]:
    """A warning of groups whose names look alike, so that one may be torn apart."""
    cells = source.columns.get(options.group, []) if options.group is not None else []
    return nearly_equal(cells, "data.group: the groups")


def refuse_shared_groups(train: LabelledImages, validation: LabelledImages) -> None:
    """UsageError where a group stands on both sides, so that validation would see images it was trained on."""
    if train.groups is None or validation.groups is None:
        return
    shared = sorted(set(train.groups) & set(validation.groups))
    if shared:
        raise UsageError(
            f"data.group: {shared[0]!r} is in training and in validation ({len(shared)} groups are): "
            "divide the file by group, or with data.val as a share"
        )


def side_counts(names: Sequence[str], labels: Labels, groups: Sequence[str] | None = None) -> dict[str, Any]:
    """What one side holds: its images, its positives by label and, where there are some, its groups."""
    positives = dict(zip(names, count(labels, 1, axis=0).tolist(), strict=True))
    counts = {"images": len(labels), "positives": positives}
    return counts if groups is None else counts | {"groups": len(set(groups))}


def one_sided(sides: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """A warning for each side that lacks labels which another side has, or shares groups with another."""
    warnings = []
    for side, counts in sides.items():
        elsewhere = [each["positives"] for name, each in sides.items() if name != side]
        lacking = [k for k, n in counts["positives"].items() if not n and any(each.get(k) for each in elsewhere)]
        if lacking:
            more = f" and {len(lacking) - SHOWN} more" if len(lacking) > SHOWN else ""
            warnings.append(
                f"no image of {side or 'the part without a name'} has these labels: {', '.join(lacking[:SHOWN])}{more}"
            )
        if counts.get("shared_groups"):
            warnings.append(f"{counts['shared_groups']} of the {counts['groups']} groups of {side} are elsewhere too")
    return warnings


def in_words(sides: Mapping[str, Mapping[str, Any]]) -> str:
    """The sides' counts as one line: images, groups, and the positives of the labels with the fewest."""
    parts = [
        f"{side} {counts['images']} images" + (f" of {counts['groups']} groups" if "groups" in counts else "")
        for side, counts in sides.items()
    ]
    held = [counts["positives"] for counts in sides.values()]
    rarest = sorted(held[0], key=lambda name: sum(each.get(name, 0) for each in held))
    shown = ", ".join(f"{name} {' / '.join(str(each.get(name, 0)) for each in held)}" for name in rarest[:SHOWN])
    what = "images with each label" if len(rarest) <= SHOWN else f"images with each of the {SHOWN} rarest labels"
    return f"{', '.join(parts)}; {what}: {shown}"
