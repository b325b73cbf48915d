"""Images on two sides of a data set are found by path and by content, and refused where they would flatter."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mlcfast.data import LabelledImages, overlap
from mlcfast.data.build import open_samples
from mlcfast.data.overlap import copies, groups_of_copies, overlaps, refuse_shared_images, shared_paths
from mlcfast.data.splits import divide
from mlcfast.errors import UsageError
from tests.conftest import write_colour_set


def records(*paths: object) -> LabelledImages:
    labels = np.ones((len(paths), 1), np.int8)
    return LabelledImages([str(path) for path in paths], labels, ["cat"], [str(path) for path in paths])


def test_paths_are_compared_as_files_not_as_they_are_spelt():
    assert shared_paths(records("a/1.jpg", "a/./2.jpg", ""), records("a/2.jpg", "a/../a/1.jpg", "")) == [
        "a/1.jpg",
        "a/2.jpg",
    ]


def test_shared_images_are_an_error_that_names_the_first_and_the_remedy():
    with pytest.raises(UsageError) as caught:
        refuse_shared_images(records("b", "a", "c"), records("c", "b"), "data.val", allowed=False)
    assert "data.val: 2 of 2 images are in data.train too, such as b" in str(caught.value)
    assert "data.allow_overlap" in str(caught.value)
    refuse_shared_images(records("a"), records("a"), "data.val", allowed=True)
    refuse_shared_images(records("a"), records("b"), "data.val", allowed=False)


def test_overlaps_and_repetitions_are_counted():
    parts = {"training": records("a", "b", "b"), "validation": records("c"), "test": records("c", "a")}
    assert overlaps(parts) == [
        "1 images are in training and in test, first a",
        "1 images are in validation and in test, first c",
        "1 of 3 images of training are named again",
    ]


def write(place: Path, name: str, content: bytes) -> Path:
    (place / name).write_bytes(content)
    return place / name


def test_copies_under_other_names_are_found(tmp_path):
    """Those across two parts only, by content, not by size; a file that is gone does not matter."""
    one, other = write(tmp_path, "1.jpg", b"same bytes"), write(tmp_path, "copy of 1.jpg", b"same bytes")
    alike = write(tmp_path, "2.jpg", b"of as many")
    inner = write(tmp_path, "1b.jpg", b"same bytes")
    parts = {"training": records(one, inner, tmp_path / "gone.jpg"), "validation": records(alike, other)}
    assert copies(parts) == [
        f"1 images are in training and, under another name, in validation: first {one} and {other}"
    ]
    assert copies({"training": records(one, inner), "validation": records(alike)}) == []


def test_a_share_keeps_copies_on_one_side(tmp_path):
    """Of ten images and a copy of each, whatever the seed; without copies there are no groups."""
    paths = [write(tmp_path, f"{n}.jpg", f"image {n % 10}".encode()) for n in range(20)]
    assert groups_of_copies([str(path) for path in paths[:10]]) is None
    for seed in range(5):
        train, validation = divide(records(*paths), 0.3, seed)
        assert len(validation) == 6 and not set(train % 10) & set(validation % 10)


@pytest.mark.parametrize("limit", ["MOST_IMAGES", "MOST_BYTES"])
def test_large_sets_are_not_read_for_copies(tmp_path, monkeypatch, limit):
    one, other = write(tmp_path, "1.jpg", b"same bytes"), write(tmp_path, "2.jpg", b"same bytes")
    monkeypatch.setattr(overlap, limit, 1)
    assert copies({"training": records(one), "validation": records(other)}) == []


def test_a_configuration_whose_sides_share_images_is_refused(config_file, tmp_path):
    from mlcfast.config import load_config

    write_colour_set(tmp_path, train=6, val=4)
    root = f"data.root={tmp_path}"
    lines = (tmp_path / "train.csv").read_text().splitlines()
    (tmp_path / "mixed.csv").write_text("\n".join([*(tmp_path / "val.csv").read_text().splitlines(), lines[1]]) + "\n")
    with pytest.raises(UsageError, match=r"data\.val: 1 of 5 images are in data\.train too, such as .*train0\.jpg"):
        open_samples(load_config(config_file, [root, "data.val=mixed.csv"]))
    allowed = load_config(config_file, [root, "data.val=mixed.csv", "data.allow_overlap=true"])
    assert len(open_samples(allowed).validation) == 5
    tested = load_config(config_file, [root, "data.test=mixed.csv"])
    with pytest.raises(UsageError, match=r"data\.test: 1 of 5 images"):
        open_samples(tested)
    assert open_samples(load_config(config_file, [root])).test is None


def test_images_of_one_colour_are_alike_without_being_copies(tmp_path):
    paths = [tmp_path / f"{name}.png" for name in "abcd"]
    for path, side in zip(paths, (1, 1, 2, 2), strict=True):
        Image.new("RGB", (8, 8), (9, 9, 9)).resize((8 * side, 8)).save(path)
    assert copies({"training": records(paths[0], paths[2]), "validation": records(paths[1], paths[3])}) == []
    for path in paths[:2]:
        with Image.open(path) as image:
            image.putpixel((0, 0), (9, 9, 8))
            image.save(path)
    assert len(copies({"training": records(paths[0], paths[2]), "validation": records(paths[1], paths[3])})) == 1
