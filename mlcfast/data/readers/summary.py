"""Summarises a label file or directory: what it was read as, its images, and each label's states."""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from mlcfast.data.labels import Labels, count, lacking
from mlcfast.data.readers.cells import as_in_training
from mlcfast.data.readers.directories import folder_of_part
from mlcfast.data.readers.image_files import IMAGE_ENDINGS
from mlcfast.data.readers.other_column import other_column
from mlcfast.data.readers.part_columns import in_folders_of_parts
from mlcfast.data.readers.paths import ImageFinder, is_address, refuse_one_file_twice
from mlcfast.data.readers.recognise import combined, image_root, read_all
from mlcfast.data.readers.source import LabelSource, TableOptions
from mlcfast.data.records import LabelledImages
from mlcfast.data.splits import TRAIN, VALIDATION, alike_groups, divide, is_part, one_sided, rows_of_part, side_counts
from mlcfast.errors import UsageError
from mlcfast.registry import hint, hint_path

STATES = {"positives": 1, "negatives": -1, "unknown": 0}


def open_sources(data: Path, images: Path | None, options: TableOptions) -> list[tuple[LabelSource, list[str | None]]]:
    """Each split's labels and the paths of its images, None for one that is missing."""
    if not data.exists():
        raise UsageError(f"{data}: no such file or directory{hint_path(data)}")
    found: list[tuple[LabelSource, list[str | None]]] = []
    for source in _as_in_training(read_all(data, options), data, options):
        source = replace(source, warnings=[*source.warnings, *alike_groups(source, options)])
        root = images or source.root or image_root(data, data.parent)
        finder = ImageFinder(root, options.allow_outside, folder_of_part(root, source.path))
        if source.unpack is not None:  # the images lie inside the file: they are there
            found.append((source, [f"{source.path} {source.split} {image}" for image in source.images]))
            continue
        wheres = [f"{source.path}: {source.unit} {line}" for line in source.lines]
        paths = [finder.find(image, where) for image, where in zip(source.images, wheres, strict=True)]
        warned: list[str] = []
        if not any(paths):
            _refuse_names_of_classes(source)
            warned = [f"no image is found: {said}" for said in [other_column(source, finder, options)] if said]
            source = replace(source, warnings=[*source.warnings, *warned])
        if not warned:
            finder.refuse_outside(source.images, paths, wheres)
        refuse_one_file_twice(paths, source.images, source.path, [f"{source.unit} {line}" for line in source.lines])
        lost = next((image for image, path in zip(source.images, paths, strict=True) if path is None), "")
        warned = [f"{lost!r} is missing{said}" for said in [finder.there(lost)] if said]
        if options.split_column is None and not source.split:
            warned += in_folders_of_parts(Path(root), paths)
        assumed = [*source.assumptions, *finder.moved]
        found.append((replace(source, assumptions=assumed, warnings=[*source.warnings, *warned]), paths))
    return found


def _refuse_names_of_classes(source: LabelSource) -> None:
    """UsageError for a list of which no image is there if it numbers names from 0 or 1, each once: `0,cat` `1,dog`."""
    sizes = [count(source.states, 1, axis=axis) for axis in (0, 1)]
    once = source.format in ("list", "long") and all((size == 1).all() for size in sizes) and len(source.names) > 1
    counted = [{str(number + first) for number in range(len(source.names))} for first in (0, 1)]
    if once and ({*source.images} in counted or {*source.names} in counted):
        raise UsageError(
            f"{source.path}: no image is called {source.images[0]!r}, nor as others, and each label stands once: these "
            "are names of classes, not of images: name the file of the images' labels, or with --images their place"
        )


def _as_in_training(sources: Sequence[LabelSource], data: Path, options: TableOptions) -> list[LabelSource]:
    """The splits of a directory with cells that mean in each what they mean in the training split."""
    training = next((source for source in sources if is_part(source.split, TRAIN)), None)
    if training is None:
        return list(sources)

    for source in sources:
        if source.format in ("wide", "attributes"):  # whose columns must be the same
            source.in_order(training.names)

    def read_by(cells: frozenset[int], split: str) -> LabelSource:
        return next(each for each in read_all(data, replace(options, cells=cells)) if each.split == split)

    return [as_in_training(each, training.cells, options, partial(read_by, split=each.split)) for each in sources]


def _labels_apart(sources: Sequence[LabelSource]) -> list[str]:
    """Warnings of labels that a split has and the training split has not, or the other way round."""
    training = next((source for source in sources if is_part(source.split, TRAIN)), None)
    if training is None:
        return []
    warnings, known = [], {*training.names}
    for source in sources:
        own = {*source.names}
        more = [name for name in source.names if name not in known]
        fewer = [name for name in training.names if name not in own]
        if more:
            says = f"{source.split} has {len(more)} labels that {training.split} has not, first {more[0]!r}"
            warnings.append(f"{says}{hint(more[0], training.names)}: a run is refused")
        if fewer:
            warnings.append(f"{source.split} has {len(fewer)} labels less than {training.split}, first {fewer[0]!r}")
    return warnings


def sides_of(
    found: Sequence[tuple[LabelSource, list[str | None]]], options: TableOptions, share: float | None, seed: int
) -> dict[str, dict[str, Any]]:
    """Count what each part of the data holds: the splits of a directory, or the parts that training would make.

    That is by the options' split column, and by a share of the training rows, or of all, under a seed.
    """
    if len(found) > 1:
        if share is not None:
            named = ", ".join(source.split for source, _ in found)
            raise UsageError(f"{found[0][0].path}: holds the splits {named}: a share is taken of one of them, name it")
        if options.split_column is not None:  # which these splits would otherwise hide
            for source, _ in found:
                source.column(options.split_column, "data.split_column")
        return {source.split: side_counts(source.names, _trained_on(source)) for source, _ in found}
    source = found[0][0]
    groups = None if options.group is None else source.column(options.group, "data.group")
    parts: dict[str, np.ndarray] = {}
    rows = np.arange(len(source.images))
    if options.split_column is not None:
        cells = source.column(options.split_column, "data.split_column")
        words: dict[str, str] = {}  # a cell, and the first that means the same part
        for cell in dict.fromkeys(cells):
            words[cell] = next((word for word in words.values() if is_part(cell, word)), str(cell))
        meant = np.array([words[cell] for cell in cells])
        parts = {word: np.flatnonzero(meant == word) for word in dict.fromkeys(words.values())}
        if share is not None:
            rows = rows_of_part(source, options.split_column, TRAIN, [])
            unused = (TRAIN, VALIDATION)  # the share stands for the rows that the column says are to validate with
            parts = {cell: held for cell, held in parts.items() if not any(is_part(cell, each) for each in unused)}
    if _loses_unlabelled(source):
        rows = rows[count(source.states[rows], 1, axis=1) > 0]
    if share is not None:
        names, labels = [source.images[row] for row in rows], source.states[rows]
        held = None if groups is None else [groups[row] for row in rows]
        train, validation = divide(LabelledImages(names, labels, source.names, names, groups=held), share, seed)
        parts = {TRAIN: rows[train], VALIDATION: rows[validation]} | parts
    of_groups = {part: None if groups is None else [groups[row] for row in rows] for part, rows in parts.items()}
    sides = {part: side_counts(source.names, source.states[rows], of_groups[part]) for part, rows in parts.items()}
    for part, own in of_groups.items() if groups is not None else ():
        elsewhere = {group for other, each in of_groups.items() if other != part for group in each or ()}
        sides[part]["shared_groups"] = len(set(own or ()) & elsewhere)
    return sides


def _trained_on(source: LabelSource) -> Labels:
    """The labels of the images that training keeps."""
    labels = source.states
    return labels[np.flatnonzero(count(labels, 1, axis=1))] if _loses_unlabelled(source) else labels


def _loses_unlabelled(source: LabelSource) -> bool:
    """Whether training leaves out images without a label: of MS-COCO's layout, not of a file by its name."""
    from mlcfast.data.coco import annotation_file  # which reads with this module's neighbours

    return source.format == "coco" and annotation_file(source.path.parent.parent, source.split) == source.path


def summary(
    found: Sequence[tuple[LabelSource, list[str | None]]], sides: Mapping[str, dict[str, Any]] | None = None
) -> dict[str, Any]:
    """The document of `--json`; sides: see sides_of."""
    whole = combined([source for source, _ in found])
    warnings = [*whole.warnings, *_labels_apart([source for source, _ in found])]
    paths = [path and os.path.normpath(path) for _, places in found for path in places]
    twice = [path for path, times in Counter(filter(None, paths)).items() if times > 1]
    if twice:
        warnings.append(f"{len(twice)} image files are named several times or in several splits, first {twice[0]!r}")
    here = [image for image, path in zip(whole.images, paths, strict=True) if path is None]
    if here:
        remedy = ": images must be on this machine" if is_address(here[0]) else ""
        ending = os.path.splitext(here[0])[1].lower()
        if len(here) == len(paths) and 1 < len(ending) < 6 and all(name.lower().endswith(ending) for name in here):
            remedy = remedy or ("" if ending in IMAGE_ENDINGS else f": a name in {ending!r} is no image's")
        warnings.append(f"{len(here)} of {len(whole.images)} images are missing, first {here[0]!r}{remedy}")
    keys = [path or f"missing {image}" for image, path in zip(whole.images, paths, strict=True)]
    source = replace(whole, images=keys).merged()  # an image counts once
    counts = {word: count(source.states, code, axis=0) for word, code in STATES.items()}
    counts["unknown"] = len(source.images) - counts["positives"] - counts["negatives"]  # soft labels are neither
    unlabelled = int(lacking(source.states, 1).sum())
    if unlabelled:
        left = sum(int(lacking(each.states, 1).sum()) for each, _ in found if _loses_unlabelled(each))
        warnings.append(
            f"{unlabelled} images have no label" + (f": training leaves out {left} of them" if left else "")
        )
    every = [name for name, n in zip(source.names, counts["positives"].tolist(), strict=True) if n == len(keys) > 1]
    if every:
        warnings.append(
            f"every image has {len(every)} of the labels, first {every[0]!r}: there is nothing to tell apart"
        )
    return {
        "format": source.format,
        "images": len(source.images),
        "missing": sum(key.startswith("missing ") for key in source.images),
        "labels": source.names,
        **{word: dict(zip(source.names, map(int, values), strict=True)) for word, values in counts.items()},
        "unlabelled": unlabelled,
        "splits": dict(sides or {}),
        "assumptions": source.assumptions,
        "warnings": warnings + one_sided(sides or {}),
    }
