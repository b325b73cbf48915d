"""Finds images that are in two parts of a data set (training, validation, test), by path or by content."""

import os
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np

from mlcfast.data.images import load_rgb
from mlcfast.data.records import LabelledImages
from mlcfast.errors import RunError, UsageError
from mlcfast.files import sha256_of

# Content is compared in sets up to this size: what reading them takes is then little beside the training.
MOST_IMAGES, MOST_BYTES = 5_000, 2**30


def shared_paths(one: LabelledImages, other: LabelledImages) -> list[str]:
    """The image files that both hold, sorted; samples whose path is not known are left out."""
    return sorted(_paths(one) & _paths(other))


def refuse_shared_images(train: LabelledImages, other: LabelledImages, side: str, allowed: bool) -> None:
    """Raise UsageError if training and evaluation share images, unless the configuration allows it.

    side: the setting that names the other side, such as data.val.
    """
    shared = [] if allowed else shared_paths(train, other)
    if shared:
        raise UsageError(
            f"{side}: {len(shared)} of {len(other)} images are in data.train too, such as {shared[0]}: scores would "
            "praise what was learnt by heart; take them out of one side, or set data.allow_overlap to true"
        )


def overlaps(parts: Mapping[str, LabelledImages]) -> list[str]:
    """A sentence for each two parts that share files, and for each part that names one several times."""
    sentences = []
    held = {name: _paths(records) for name, records in parts.items()}
    for name, other_name in combinations(parts, 2):
        shared = sorted(held[name] & held[other_name])
        if shared:
            sentences.append(f"{len(shared)} images are in {name} and in {other_name}, first {shared[0]}")
    for name, records in parts.items():
        known = sum(1 for path in records.paths if path)
        if len(held[name]) < known:
            sentences.append(f"{known - len(held[name])} of {known} images of {name} are named again")
    return sentences


def refuse_copies(found: Sequence[str], allowed: bool) -> None:
    """Raise UsageError for what `copies` found in a run's parts, unless the configuration allows it."""
    if found and not allowed:
        raise UsageError(
            f"{found[0]}: scores would praise what was learnt by heart; delete the copies on one side, or set "
            "data.allow_overlap to true"
        )


def copies(parts: Mapping[str, LabelledImages]) -> list[str]:
    """A sentence for each two parts that hold copies of one file under different names; see `same_content`."""
    sides = {path: name for name, records in parts.items() for path in _in_order(records)}
    return _across(same_content(sides), sides, list(parts))


def same_content(paths: Collection[str]) -> list[list[str]]:
    """The files, at least two each time, that hold the same bytes; small sets only.

    Files of one size are read and compared by their digest. Sets beyond MOST_IMAGES, or with more than MOST_BYTES to
    read, are not compared, nor are empty files and images of one colour, which are alike without being copies.
    """
    if len(paths) > MOST_IMAGES:
        return []
    by_size: dict[int, list[str]] = defaultdict(list)
    for path in paths:
        if os.path.isfile(path):
            by_size[os.path.getsize(path)].append(path)
    alike = {size: paths for size, paths in by_size.items() if size and len(paths) > 1}
    if sum(size * len(paths) for size, paths in alike.items()) > MOST_BYTES:
        return []
    by_content: dict[str, list[str]] = defaultdict(list)
    for path in (path for paths in alike.values() for path in paths):
        by_content[sha256_of(Path(path))].append(path)
    return [same for same in by_content.values() if len(same) > 1 and not _is_of_one_colour(same[0])]


def _is_of_one_colour(path: str) -> bool:
    try:
        bands = np.asarray(load_rgb(path)).reshape(-1, 3)
    except RunError:
        return False
    return bool((bands == bands[0]).all())


def groups_of_copies(paths: Sequence[str]) -> list[str] | None:
    """For each image the name of its group, those of the same content having one; None where no two are alike."""
    known = [os.path.normpath(path) if path else "" for path in paths]
    first = {path: same[0] for same in same_content(dict.fromkeys(filter(None, known))) for path in same}
    if not first:
        return None
    numbers: dict[str, int] = {}
    names = (first.get(path, path) or f"image {place}" for place, path in enumerate(known))
    return [f"{numbers.setdefault(name, len(numbers)):08d}" for name in names]


def _across(alike: Sequence[list[str]], sides: Mapping[str, str], names: list[str]) -> list[str]:
    sentences = []
    for one, other in combinations(names, 2):
        groups = [paths for paths in alike if {one, other} <= {sides[path] for path in paths}]
        if groups:
            first, second = (next(path for path in groups[0] if sides[path] == side) for side in (one, other))
            sentences.append(
                f"{len(groups)} images are in {one} and, under another name, in {other}: first {first} and {second}"
            )
    return sentences


def _paths(records: LabelledImages) -> set[str]:
    return set(_in_order(records))


def _in_order(records: LabelledImages) -> list[str]:
    """The known paths, each once, in the order of the images."""
    return list(dict.fromkeys(os.path.normpath(path) for path in records.paths if path))
