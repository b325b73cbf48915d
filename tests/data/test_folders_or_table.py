"""Folders of images with a label file beside them: which of the two holds the labels is found, or asked."""

import pytest

from mlcfast.data.readers.recognise import read_all
from mlcfast.data.readers.source import TableOptions
from mlcfast.errors import UsageError
from tests.data.test_directories import coco, lay

FOLDERS = {f"{label}/{label}{number}.jpg": "" for label in ("cat", "dog") for number in range(2)}
PARTS = {f"part{number}/{number}.jpg": "" for number in (1, 2)}
SPLITS = {f"{split}/{name}": "" for split in ("train", "test") for name in FOLDERS}
ALL = "".join(f"{name},{label}\n" for name in FOLDERS for label in ["dog"])

ASKED = {
    "a model's predictions": (FOLDERS | {"predictions.csv": f"image,label\n{ALL}"}, "or by predictions.csv"),
    "in a dictionary": (FOLDERS | {"results.json": '{"cat0.jpg": ["dog"]}'}, "or by results.json"),
    "one image of four": (FOLDERS | {"labels.csv": "image,labels\ncat/cat0.jpg,red;blue\n"}, "or by labels.csv"),
    "a submission": (
        SPLITS | {"submission.csv": "image,label\ntest/dog/dog0.jpg,dog\ntest/cat/cat0.jpg,dog\n"},
        "'cat' among them, or by submission.csv: set data.format to folders, or name",
    ),
    "a table in one split": (SPLITS | {"train/labels.csv": "image,label\ncat/cat0.jpg,cat\n"}, "or by labels.csv"),
    "a table with a doubt": (
        FOLDERS | {"labels.csv": "image,labels\ncat/cat0.jpg,cat;dog\ncat/cat1.jpg,dog?\n"},
        "or set data.format to folders, if they are the labels ('cat', …)",
    ),
    "splits alone": (
        {"train2017/a.jpg": "", "val2017/b.jpg": ""}, "'train2017' and 'val2017' are called as parts of the data are",
    ),
    "splits of images": ({"test_images/a.jpg": "", "train_images/b.jpg": ""}, "are called as parts of the data are"),
}  # fmt: skip
READ = {
    "parts of the images": (PARTS | {"t.csv": "image,cat,dog\npart1/1.jpg,1,0\npart2/2.jpg,0,1\n"}, "wide"),
    "splits of images and a table": (
        {"train_images/1.jpg": "", "test_images/2.jpg": "", "train.csv": "image,cat,dog\ntrain_images/1.jpg,1,0\n"},
        "wide",
    ),
    "folders alone": (FOLDERS, "folders"),
    "a table that names no image": (FOLDERS | {"mapping.csv": "id,name\n0,cat\n1,dog\n"}, "folders"),
    "annotations of one name": ({"images/a.jpg": "", "annotations/annotations.json": coco("a.jpg")}, "coco"),
    "annotations of a part": ({"images/a.jpg": "", "annotations/train_annotations.json": coco("a.jpg")}, "coco"),
}


@pytest.mark.parametrize("name", ASKED)
def test_it_is_asked_where_both_may_be_the_labels(name, tmp_path):
    files, said = ASKED[name]
    lay(tmp_path, files)
    with pytest.raises(UsageError) as error:
        read_all(tmp_path, TableOptions())
    assert said in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["a model's predictions", "a submission", "a table with a doubt", "splits alone"])
def test_the_remedy_works(name, tmp_path):
    lay(tmp_path, ASKED[name][0])
    assert all(source.format == "folders" for source in read_all(tmp_path, TableOptions(form="folders")))


@pytest.mark.parametrize("name", READ)
def test_what_has_one_reading_is_read(name, tmp_path):
    files, form = READ[name]
    lay(tmp_path, files)
    (source,) = read_all(tmp_path, TableOptions())
    assert source.format == form and all((source.root / image).is_file() for image in source.images)


def test_shards_as_the_hub_named_them_belong_to_their_splits(tmp_path):
    from mlcfast.data.readers.unpacked import by_split

    names = ["train-00000-of-00002-1d58ea1e0b6d4f2a", "train-00001-of-00002-1d58ea1e0b6d4f2a", "test-00000-of-00001"]
    for name in names:
        (tmp_path / f"{name}.parquet").touch()
    assert {split: len(files) for split, files in by_split(tmp_path, [".parquet"]).items()} == {"train": 2, "test": 1}


def test_folders_that_may_be_none_are_said(tmp_path):
    lay(tmp_path, FOLDERS | {"No Finding/a.jpg": "", "backup/b.jpg": ""})
    (source,) = read_all(tmp_path, TableOptions())
    said = [warning for warning in source.warnings if "is a label like any other" in warning]
    assert [warning.split("'")[1] for warning in said] == ["No Finding", "backup"]
