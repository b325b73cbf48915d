"""The demo set's files: scenes drawn by several processes, the same bytes whatever their number."""

import json
import multiprocessing
import os
import signal
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from mlcfast.data.demo_scenes import Digit, draw_scene
from mlcfast.data.demo_styles import DIGITS, STYLES, SceneStyle
from mlcfast.errors import UsageError

SPLITS = {"train": 4, "val": 1, "test": 1}  # shares of the scenes
SCAN_SHARES = {"train": 3, "val": 1, "test": 1}  # no scan is in two splits
JPEG_QUALITY = 90
NEEDS_SCANS = "the demo set needs scikit-learn: pip install scikit-learn"
CHUNK = 50  # scenes a worker draws in one go
Progress = Callable[[int, int], None]
_WORKER_SCANS: dict[str, list[np.ndarray]] = {}  # set once in each drawing process


def file_names(images: int) -> dict[str, list[str]]:
    """The image files of each split when there are `images` scenes in all."""
    small = {split: images * share // sum(SPLITS.values()) for split, share in SPLITS.items() if split != "train"}
    counts = {"train": images - sum(small.values())} | small
    return {split: [_file_name(split, i) for i in range(count)] for split, count in counts.items()}


def _file_name(split: str, number: int) -> str:
    return f"{split}_{number:06d}.jpg"


def write_splits(directory: Path, images: int, seed: int, side: int, style: str, progress: Progress | None) -> None:
    """Write every split's images and annotations under `directory`, which must not have them yet.

    style: one of STYLES. Raises UsageError if scikit-learn is not installed.
    """
    names, scans = file_names(images), split_scans(seed)
    tasks = [
        (directory / split, split, seed, side, STYLES[style], range(start, min(start + CHUNK, len(names[split]))))
        for split in SPLITS
        for start in range(0, len(names[split]), CHUNK)
    ]
    for folder in (*SPLITS, "annotations"):
        (directory / folder).mkdir(parents=True)
    scenes: dict[str, list[list[Digit]]] = {split: [] for split in SPLITS}
    if progress:
        progress(0, images)
    with _process_pool(scans) as pool:
        for (_, split, *_), digits in zip(tasks, pool.map(_draw_chunk, tasks), strict=True):
            scenes[split] += digits
            if progress:
                progress(sum(map(len, scenes.values())), images)
    for split, digits in scenes.items():
        annotations = _annotations(names[split], digits, side, STYLES[style])
        (directory / "annotations" / f"instances_{split}.json").write_text(json.dumps(annotations))


def _process_pool(scans: dict[str, list[np.ndarray]]) -> ProcessPoolExecutor:
    workers, fork = min(16, len(os.sched_getaffinity(0))), multiprocessing.get_context("fork")
    return ProcessPoolExecutor(workers, mp_context=fork, initializer=_start_worker, initargs=(scans,))


def _start_worker(scans: dict[str, list[np.ndarray]]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the main process ends its workers
    _WORKER_SCANS.update(scans)


def _draw_chunk(task: tuple[Path, str, int, int, SceneStyle, range]) -> list[list[Digit]]:
    folder, split, seed, side, style, numbers = task
    drawn = []
    for i in numbers:
        random = _random(seed, 1 + list(SPLITS).index(split), i)
        image, digits = draw_scene(random, _WORKER_SCANS[split], side, style)
        image.save(folder / _file_name(split, i), quality=JPEG_QUALITY)
        drawn.append(digits)
    return drawn


def split_scans(seed: int) -> dict[str, list[np.ndarray]]:
    """Share out scikit-learn's digits: for each split ten arrays (n, 8, 8) float32 in [0, 1], one for each class."""
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise UsageError(NEEDS_SCANS) from error
    digits = load_digits()
    shares = np.cumsum(list(SCAN_SHARES.values()))
    scans: dict[str, list[np.ndarray]] = {split: [] for split in SCAN_SHARES}
    for value in range(len(DIGITS)):
        members = (digits.images[digits.target == value] / 16).astype(np.float32)
        members = members[_random(seed, 0, value).permutation(len(members))]
        parts = np.split(members, len(members) * shares[:-1] // shares[-1])
        for split, part in zip(SCAN_SHARES, parts, strict=True):
            scans[split].append(part)
    return scans


def _random(*key: int) -> np.random.RandomState:
    return np.random.RandomState(np.random.MT19937(np.random.SeedSequence(key)))


def _annotations(names: list[str], scenes: list[list[Digit]], side: int, style: SceneStyle) -> dict[str, Any]:
    ids = list(style.categories)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image_id, (name, digits) in enumerate(zip(names, scenes, strict=True), start=1):
        images.append({"id": image_id, "file_name": name, "width": side, "height": side})
        for digit in digits:
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": ids[digit.value],
                    "bbox": list(digit.box),
                    "area": digit.area,
                    "segmentation": [],
                    "iscrowd": 0,
                }
            )
    return {
        "info": {"description": "mlcfast demo set: scenes of handwritten digits (UCI scans)"},
        "images": images,
        "annotations": annotations,
        "categories": [
            {"id": i, "name": name, "supercategory": group} for i, (name, group) in style.categories.items()
        ],
    }
