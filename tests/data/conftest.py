"""Small image sets on disk for the data tests."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mlcfast.data import LabelledImages


@pytest.fixture(autouse=True)
def _own_user_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("user_cache")))


def save_image(path: Path, seed: int, size: tuple[int, int] = (40, 30)) -> None:
    """A JPEG of soft random colours."""
    coarse = np.random.RandomState(seed).randint(0, 256, (4, 5, 3)).astype(np.uint8)
    Image.fromarray(coarse).resize(size).save(path, quality=90)


@pytest.fixture
def images(tmp_path) -> LabelledImages:
    """24 JPEGs of differing sizes, three labels."""
    for number in range(24):
        save_image(tmp_path / f"{number}.jpg", number, (40 + number, 30 + 2 * number))
    labels = np.random.RandomState(0).randint(0, 2, (24, 3)).astype(np.int8)
    paths = [str(tmp_path / f"{number}.jpg") for number in range(24)]
    return LabelledImages(paths, labels, ["a", "b", "c"], [str(number) for number in range(24)])


@pytest.fixture
def coco_set(tmp_path) -> Callable[..., Path]:
    """Writes a split "train" of empty image files; arguments are the lists of MS-COCO's JSON."""

    def write(images: list[Any], annotations: list[Any], categories: list[Any]) -> Path:
        for folder in ("train", "annotations"):
            (tmp_path / folder).mkdir(exist_ok=True)
        for image in images:
            (tmp_path / "train" / image["file_name"]).touch()
        content = {"images": images, "annotations": annotations, "categories": categories}
        (tmp_path / "annotations" / "instances_train.json").write_text(json.dumps(content))
        return tmp_path

    return write
