"""Summarises a label file or directory: what it was read as, its images, and each label's states."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mlcfast.data.readers.paths import ImageFinder
from mlcfast.data.readers.recognise import combined, image_root, read_directory, read_labels
from mlcfast.data.readers.source import LabelSource, TableOptions
from mlcfast.errors import UsageError

STATES = {"positives": 1, "negatives": -1, "unknown": 0}


def open_sources(data: Path, images: Path | None, options: TableOptions) -> list[tuple[LabelSource, list[str | None]]]:
    """Each split's labels and the paths of its images, None for one that is missing."""
    if not data.exists():
        raise UsageError(f"{data}: no such file or directory")
    if data.is_dir():
        sources = read_directory(data, options)
    else:
        sources = [(read_labels(data, options), image_root(data, data.parent))]
    found = []
    for source, root in sources:
        finder = ImageFinder(images or root, options.allow_outside)
        places = zip(source.images, source.lines, strict=True)
        found.append((source, [finder.find(name, f"{source.path}: line {line}") for name, line in places]))
    return found


def summary(found: Sequence[tuple[LabelSource, list[str | None]]]) -> dict[str, Any]:
    """The document of `--json`."""
    source = combined([source for source, _ in found])
    paths = [path for _, places in found for path in places]
    missing = [image for image, path in zip(source.images, paths, strict=True) if path is None]
    counts = {word: (source.states == code).sum(axis=0) for word, code in STATES.items()}
    warnings = list(source.warnings)
    if missing:
        warnings.append(f"{len(missing)} of {len(source.images)} images are missing, first {missing[0]!r}")
    twice = [path for path, times in Counter(filter(None, paths)).items() if times > 1]
    if twice:
        warnings.append(f"{len(twice)} image files are named several times or in several splits, first {twice[0]!r}")
    unlabelled = int((~(source.states == 1).any(axis=1)).sum())
    if unlabelled:
        warnings.append(f"{unlabelled} images have no label")
    return {
        "format": source.format,
        "images": len(source.images),
        "missing": len(missing),
        "labels": source.names,
        **{word: dict(zip(source.names, map(int, values), strict=True)) for word, values in counts.items()},
        "unlabelled": unlabelled,
        "assumptions": source.assumptions,
        "warnings": warnings,
    }
