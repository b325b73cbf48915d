"""The demo set: deterministic, in MS-COCO's layout, without a scan in two splits, never over other data."""

import hashlib
import json
import multiprocessing
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mlcfast import demo_data
from mlcfast.data import contact_sheet, ensure_demo, load_rgb, make_demo, read_coco
from mlcfast.data.build import open_split
from mlcfast.data.demo_files import split_scans
from mlcfast.data.demo_styles import COLOURS, STYLES, SceneStyle
from mlcfast.errors import UsageError
from mlcfast.settings_data import DataConfig


def _digest(directory: Path) -> dict[str, str]:
    files = [path for path in directory.rglob("*") if path.is_file() and ".mlcfast" not in path.parts]
    return {str(path.relative_to(directory)): hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(files)}


@pytest.fixture(scope="module", name="scenes")
def make_scenes(tmp_path_factory) -> Path:
    """120 scenes."""
    directory = tmp_path_factory.mktemp("demo") / "set"
    make_demo(directory, images=120, seed=3)
    return directory


def test_reads_through_the_coco_path(scenes):
    for split, count in (("train", 80), ("val", 20), ("test", 20)):
        records = read_coco(scenes, split)
        assert len(records) == count
        assert records.names == ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
        assert (records.labels.sum(axis=1) >= 1).all()
        assert (records.labels.sum(axis=1) <= 4).all()
        assert {Image.open(path).size for path in records.paths} == {(96, 96)}


def test_every_class_occurs_often_enough_to_be_learnt(scenes):
    share = read_coco(scenes, "train").labels.mean(axis=0)
    assert share.min() > 0.1
    assert share.max() < 0.5


def test_boxes_lie_within_the_image_and_hold_the_ink(scenes):
    content = json.loads((scenes / "annotations" / "instances_train.json").read_text())
    ids = [category["id"] for category in content["categories"]]
    assert len(set(ids)) == 10
    assert max(ids) > 10  # gapped, as MS-COCO's are
    for annotation in content["annotations"]:
        x, y, width, height = annotation["bbox"]
        assert 0 <= x < x + width <= 96
        assert 0 <= y < y + height <= 96
        assert 0.1 * width * height < annotation["area"] <= width * height
        assert annotation["category_id"] in ids
        assert annotation["iscrowd"] == 0


def test_same_arguments_same_bytes(scenes, tmp_path):
    make_demo(tmp_path / "again", images=120, seed=3)
    assert _digest(tmp_path / "again") == _digest(scenes)
    make_demo(tmp_path / "other", images=6, seed=4)
    assert _digest(tmp_path / "other")["train/train_000000.jpg"] != _digest(scenes)["train/train_000000.jpg"]


def test_more_images_only_add_to_each_split(scenes, tmp_path):
    make_demo(tmp_path / "small", images=12, seed=3)
    whole = _digest(scenes)
    jpegs = {name: digest for name, digest in _digest(tmp_path / "small").items() if name.endswith(".jpg")}
    assert len(jpegs) == 12
    assert all(whole[name] == digest for name, digest in jpegs.items())


def test_no_scan_is_in_two_splits():
    splits = [{scan.tobytes() for part in scans for scan in part} for scans in split_scans(3).values()]
    assert [len(split) for split in splits] == [1074, 359, 364]
    assert not splits[0] & splits[1]
    assert not splits[0] & splits[2]
    assert not splits[1] & splits[2]
    assert sum(map(len, splits)) == 1797


def test_made_only_when_absent_incomplete_or_different(tmp_path):
    directory = tmp_path / "set"
    assert ensure_demo(directory, images=12)
    first = _digest(directory)
    assert not ensure_demo(directory, images=12)
    assert not ensure_demo(directory)  # whatever is there will do
    (directory / "val" / "val_000001.jpg").unlink()
    assert ensure_demo(directory)
    assert _digest(directory) == first
    (directory / "annotations" / "instances_test.json").unlink()
    assert ensure_demo(directory)
    assert _digest(directory) == first
    assert ensure_demo(directory, seed=5)
    assert _digest(directory).keys() == first.keys()
    assert _digest(directory) != first
    assert not (directory / ".partial").exists()


def test_other_scenes_are_another_set(tmp_path, monkeypatch):
    ensure_demo(tmp_path / "set", images=12, seed=2)
    monkeypatch.setitem(STYLES, "digits", SceneStyle(noise=0.0))
    assert ensure_demo(tmp_path / "set")
    assert len(read_coco(tmp_path / "set", "train")) == 8  # the number of images and the seed stay
    assert not ensure_demo(tmp_path / "set", images=12, seed=2)


def test_clutter_has_a_label_for_each_digit_in_each_colour(tmp_path):
    """The ink in a box is nearer to its label's colour than to the others, but for some that other ink covers."""
    make_demo(tmp_path / "set", images=60, seed=1, style="clutter")
    records = read_coco(tmp_path / "set", "train")
    assert len(set(records.names)) == 40
    assert records.names[:5] == ["red zero", "green zero", "blue zero", "yellow zero", "red one"]
    assert 2 <= records.labels.sum(axis=1).min() < records.labels.sum(axis=1).max() <= 6
    content = json.loads((tmp_path / "set" / "annotations" / "instances_train.json").read_text())
    names = {category["id"]: category["name"] for category in content["categories"]}
    assert max(names) > 40  # gapped, as MS-COCO's are
    shades, right = np.array(list(COLOURS.values()), float), []
    for annotation in content["annotations"]:
        x, y, width, height = annotation["bbox"]
        image = np.asarray(load_rgb(records.paths[annotation["image_id"] - 1]), float)
        pixels = image[y : y + height, x : x + width].reshape(-1, 3)
        nearest = np.linalg.norm(pixels[:, None] - shades, axis=2).min(axis=0).argmin()
        right.append(names[annotation["category_id"]].startswith(list(COLOURS)[nearest]))
    assert len(right) > 120
    assert np.mean(right) > 0.9


def test_the_style_is_part_of_the_set(tmp_path, caplog):
    directory = tmp_path / "set"
    assert ensure_demo(directory, images=6)
    assert ensure_demo(directory, style="clutter")
    assert not ensure_demo(directory)
    assert len(read_coco(directory, "train").names) == 40
    assert not ensure_demo(directory, images=6, style="clutter")
    with pytest.raises(UsageError, match="style must be digits or clutter, not 'cluter': did you mean clutter"):
        ensure_demo(directory, style="cluter")
    settings = {"format": "demo", "root": str(directory), "image_size": 32}
    assert len(open_split(DataConfig(**settings), "val").names) == 40
    caplog.set_level("INFO", "mlcfast")
    assert len(open_split(DataConfig(**settings, options={"style": "digits"}), "val").names) == 10
    assert [line for line in caplog.messages if "making" in line] == [
        f"{directory}: making the 6 scenes of the demo, this once"
    ]
    with pytest.raises(UsageError, match=r"data\.format demo.*styel"):
        open_split(DataConfig(**settings, options={"styel": "digits"}), "val")
    with pytest.raises(UsageError, match="style must be"):
        open_split(DataConfig(**settings, options={"style": ["digits"]}), "val")


def test_an_interrupted_replacement_is_made_anew(tmp_path):
    directory = tmp_path / "set"
    ensure_demo(directory, images=6)
    first = _digest(directory)
    (directory / "demo.json").write_text("{}")
    (directory / "train" / "train_000000.jpg").write_bytes(b"of another seed")
    ensure_demo(directory, images=6)
    assert _digest(directory) == first


def test_of_two_processes_one_makes_it(tmp_path):
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    work = [context.Process(target=lambda: queue.put(ensure_demo(tmp_path / "set", images=30))) for _ in range(2)]
    for process in work:
        process.start()
    made = [queue.get(timeout=60) for _ in work]
    for process in work:
        process.join()
    assert sorted(made) == [False, True]
    assert len(read_coco(tmp_path / "set", "train")) == 20


def test_other_data_is_never_touched(tmp_path):
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "mine.jpg").touch()
    with pytest.raises(UsageError, match="holds train/ of another data set"):
        make_demo(tmp_path, images=6)
    assert [path.name for path in tmp_path.rglob("*")] == ["train", "mine.jpg"]


@pytest.mark.parametrize(
    ("options", "says"),
    [({"images": 5}, "images must be at least 6"), ({"seed": -1}, "seed must"), ({"side": 8}, "side must")],
)
def test_impossible_requests(tmp_path, options, says):
    with pytest.raises(UsageError, match=says):
        make_demo(tmp_path / "set", **options)
    assert not (tmp_path / "set").exists()


def test_without_scikit_learn_the_remedy_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(UsageError, match="pip install scikit-learn"):
        ensure_demo(tmp_path / "set")
    assert not (tmp_path / "set").exists()


def test_command(tmp_path, capsys):
    assert demo_data.main([str(tmp_path / "set"), "--images", "6"]) == 0
    assert demo_data.main([str(tmp_path / "set"), "--images", "6"]) == 0
    made, kept = capsys.readouterr().out.splitlines()
    assert made == f"{tmp_path / 'set'}: 6 scenes of digits, made"
    assert kept == f"{tmp_path / 'set'}: 6 scenes of digits, already there"
    (tmp_path / "file").touch()
    assert demo_data.main([str(tmp_path / "file" / "set"), "--images", "6"]) == 2
    error = capsys.readouterr().err
    assert error == f"error: {tmp_path / 'file' / 'set'}: cannot write the demo set: Not a directory\n"


def test_scenes_use_the_range_of_brightness(scenes):
    means = [np.asarray(Image.open(path)).mean() for path in read_coco(scenes, "train").paths]
    assert min(means) < 80
    assert max(means) > 170


def test_contact_sheet_shows_the_validation_scenes(scenes, tmp_path):
    paths = read_coco(scenes, "val").paths
    sheet = np.asarray(contact_sheet(paths[:11], columns=4, side=96))
    assert sheet.shape == (3 * 96 + 2 * 4, 4 * 96 + 3 * 4, 3)
    assert (sheet[100:196, 200:296] == np.asarray(load_rgb(paths[6]))).all()
    assert (sheet[200:, 300:] == 255).all()
    assert demo_data.main([str(scenes), "--images", "120", "--seed", "3", "--sheet", str(tmp_path / "sheet.jpg")]) == 0
    assert Image.open(tmp_path / "sheet.jpg").size == (8 * 96 + 7 * 4, 3 * 96 + 2 * 4)
