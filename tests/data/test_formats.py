"""Data sets as the field's tools lay them out, in miniature; layouts.py beside this file makes them."""

import json
import re
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from mlcfast import inspect, settings
from mlcfast.config import DataConfig
from mlcfast.data import load_rgb
from mlcfast.data.build import open_split
from mlcfast.data.readers.recognise import read_all, read_labels
from mlcfast.data.readers.registry import FORMATS
from mlcfast.data.readers.source import TableOptions
from mlcfast.errors import UsageError
from tests.conftest import ROOT
from tests.data.layouts import (
    BOX,
    CVAT,
    LAYOUTS,
    VOC,
    picture,
    samples_of,
    shard,
    touch,
    voc_devkit,
    write,
    yolo_roboflow,
)

P, N = 1, -1


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_is_recognised_and_trained_on(tmp_path, capsys, layout):
    make, form = LAYOUTS[layout]
    root = tmp_path / "set"
    root.mkdir()
    make(root)
    for words in ([], ["--format", form]):
        assert inspect.main([str(root), "--json", *words]) == 0
        about = json.loads(capsys.readouterr().out)
        assert (about["format"], about["images"], about["missing"]) == (form, 3, 0)
        assert about["positives"] == {"cat": 1, "dog": 2} | ({"owl": 0} if form == "cvat" else {})
        assert {side["images"] for side in about["splits"].values()} == {1, 2}
        assert not any("several times" in line for line in about["warnings"])
    for chosen in ("auto", form):
        settings = DataConfig(format=chosen, root=str(root), train="train", val="val", workers=0)
        samples = samples_of(settings)
        columns = [samples.train.names.index(name) for name in ("cat", "dog")]
        assert samples.train.labels[:, columns].tolist() == [[1, 1], [0, 0]]
        assert samples.validation.labels[:, columns].tolist() == [[0, 1]]
        assert all(load_rgb(path).size == (8, 8) for path in samples.train.paths + samples.validation.paths)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_share_of_every_layout(tmp_path, layout):
    """The training split alone, divided."""
    LAYOUTS[layout][0](tmp_path)
    samples = samples_of(DataConfig(format=LAYOUTS[layout][1], root=str(tmp_path), val=0.5, workers=0))
    assert (len(samples.train), len(samples.validation)) == (1, 1)


def test_the_settings_the_registry_and_the_page_name_the_same_formats():
    assert set(settings.FORMATS) == {*FORMATS, "auto", "csv", "features", "demo"}
    page = (ROOT / "docs" / "data.md").read_text()
    for name in FORMATS:
        assert f"### `{name}`" in page


def test_every_miniature_of_the_page_is_read(tmp_path, capsys):
    """What docs/data.md shows of a file is read as what it says."""
    page = (ROOT / "docs" / "data.md").read_text()
    shown = re.findall(r"### `(\w+)`\n([^#]*?)```text\n(.*?)```", page, re.DOTALL)
    assert len(shown) >= 10
    for name, words, content in shown:
        file = re.search(r"`([\w./*-]+\.\w+)`", words)
        assert file is not None, name
        place = tmp_path / name / file[1]
        place.parent.mkdir(parents=True)
        place.write_text(content)
        if name == "yolo":
            touch(tmp_path / name, "images/0001.jpg")
        if name in ("tag_files", "xmp"):
            touch(tmp_path / name, "0001.jpg")
        if name == "nus_wide":
            write(tmp_path / name, ImageList__Imagelist_txt="0001.jpg\n0002.jpg\n")
        if name == "authors":
            touch(tmp_path / name, "images/pie/0001.jpg", "images/soup/0002.jpg")
        if name == "supervisely":
            touch(tmp_path / name, "ds0/img/0001.jpg")
        whole = ("yolo", "tag_files", "xmp", "voc", "authors", "nus_wide", "datumaro", "supervisely")
        target = tmp_path / name if name in whole else place
        assert inspect.main([str(target), "--format", name, "--json"]) == 0, name
        about = json.loads(capsys.readouterr().out)
        assert about["format"] == name and sum(about["positives"].values()) > 0
        if target != place:
            continue
        touch(tmp_path / name, *(f"{number:04d}.jpg" for number in (1, 2)))
        for form in (name, "auto"):  # as data.format, too
            records = open_split(DataConfig(format=form, root=str(tmp_path / name), train=file[1]), file[1])
            found = dict(zip(records.names, (records.labels == 1).sum(axis=0).tolist(), strict=True))
            assert found == about["positives"], (name, form)


def test_an_unknown_format_lists_the_formats(tmp_path, capsys):
    assert inspect.main([str(tmp_path), "--format", "yollo"]) == 2
    said = capsys.readouterr().err
    assert "'yollo' must be auto or one of" in said and all(name in said for name in FORMATS)


YAML = "train: images\nnames: [cat]\n"
STRANGE = '<image id="0" name="a.jpg"><box label="bat"/></image>'
ENTITIES = '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><annotation>&b;</annotation>'


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({"a_xml": ENTITIES}, "declares a document type"),
        ({"a_xml": "<annotation><object></annotation>"}, "not valid XML"),
        ({"a_xml": VOC.format("a.jpg", "<object></object>")}, "object 1 has no name: write the label there, or"),
        ({"ImageSets__Main__train_txt": "a\nz\n", "Annotations__a_xml": VOC.format("a", "")}, "z: no such XML file"),
        (
            {"annotations_xml": CVAT.format(STRANGE)},
            "image 1, 'a.jpg': the label 'bat' is not among those of the task: write one of them, or add it to",
        ),
        ({"annotations_xml": CVAT.format("<track/>")}, "no images in it; tracks of a video are not read"),
        (
            {"data_yaml": YAML, "labels__a_txt": f"1 {BOX}\n"},
            "class 1, but there are 1 names",
        ),
        (
            {"data_yaml": YAML, "labels__a_txt": "cat 1 2\n"},
            "line 1: 'cat 1 2' is not a class and the numbers of its box: write its number and four numbers of 0 to 1",
        ),
        ({"data_yaml": "train: images\nnames: {1: cat}\n"}, "names must be numbered 0 to 0"),
        ({"data_yaml": "train: images\nnames: {0: cat, 0: dog}\n"}, "the key '0' stands twice in one place: keep one"),
        ({"data_yaml": "train: images\nnames: [cat, ]\n- x"}, "not valid YAML"),
        ({"labels__a_txt": f"0 {BOX}\n0 0.5 x\n"}, "labels/a.txt: line 2: '0 0.5 x' is not a class"),
        ({"data_yaml": "train: /etc\nnames: [cat]\n"}, "lies outside"),
        ({"data_yaml": "train: nowhere\nnames: [cat]\n"}, "nowhere: no such directory or file"),
        (
            {"data_yaml": YAML, "t_csv": "image,cat\na,1\n"},
            "may be read as yolo or as the table t.csv",
        ),
    ],
)
def test_what_is_wrong_is_said_in_one_line(tmp_path, capsys, files, says):
    touch(tmp_path, "images/a.jpg")
    write(tmp_path, **files)
    assert inspect.main([str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert says in said and said.count("\n") == 1


def test_yolo_says_what_has_no_counterpart(tmp_path):
    yolo_roboflow(tmp_path)
    write(tmp_path, train__labels__z_txt=f"0 {BOX}\n")
    train, _ = read_all(tmp_path, TableOptions())
    assert "1 images have no text file of boxes, and so no label" in train.assumptions
    assert train.warnings == ["1 files of boxes have no image, first z.txt"]


def test_a_split_that_was_not_exported_is_a_warning(tmp_path):
    yolo_roboflow(tmp_path)
    (tmp_path / "data.yaml").write_text((tmp_path / "data.yaml").read_text() + "test: ../test/images\n")
    train, val = read_all(tmp_path, TableOptions())
    (warning,) = train.warnings
    assert "test ../test/images: no such directory" in warning and val.warnings == []


def test_yolo_without_names_has_numbers(tmp_path):
    touch(tmp_path, "a.jpg")
    write(tmp_path, a_txt=f"2 {BOX}\n")
    source = read_labels(tmp_path, TableOptions(form="yolo"))
    assert source.names == ["0", "1", "2"] and source.states.tolist() == [[N, N, P]]
    assert any("the labels are their numbers" in line for line in source.assumptions)


def test_names_that_do_not_fit_their_number(tmp_path):
    touch(tmp_path, "images/a.jpg")
    write(tmp_path, data_yaml="train: images\nnc: 3\nnames: [cat, cat]\n", labels__a_txt=f"1 {BOX}\n")
    assert read_labels(tmp_path, TableOptions()).warnings == [
        "data.yaml: nc says 3 classes, names has 2: the names count",
        "several classes are called 'cat': they are one label",
    ]  # fmt: skip
    (tmp_path / "data.yaml").unlink()
    (tmp_path / "classes.txt").write_text("cat\n\ndog\n\n")
    with pytest.raises(UsageError, match=r"classes\.txt: line 2 is blank"):
        read_labels(tmp_path, TableOptions())


def test_names_are_taken_as_they_are_written(tmp_path):
    touch(tmp_path, "images/a.jpg")
    write(tmp_path, data_yaml="train: images\nnames: [yes, no, 1.0, null, 010]\n", labels__a_txt=f"1 {BOX}\n2 {BOX}\n")
    source = read_labels(tmp_path, TableOptions())
    assert source.names == ["yes", "no", "1.0", "null", "010"] and source.states.tolist() == [[N, P, P, N, N]]


def test_names_among_the_labels_and_yaml_of_other_programs(tmp_path):
    touch(tmp_path, "images/a.jpg")
    write(tmp_path, labels__classes_txt="cat\ndog\n", labels__a_txt=f"1 {BOX}\n", dvc_yaml="{{ broken", notes_json="{}")
    source = read_labels(tmp_path, TableOptions())
    assert (source.format, source.names, source.states.tolist()) == ("yolo", ["cat", "dog"], [[N, P]])


def test_yolo_by_the_folder_of_images(tmp_path):
    LAYOUTS["yolo of ultralytics"][0](tmp_path)
    for form in ("auto", "yolo"):
        settings = DataConfig(format=form, root=str(tmp_path), train="images/train", val="images/val", workers=0)
        samples = samples_of(settings)
        assert samples.train.labels.tolist() == [[1, 1], [0, 0]] and samples.validation.names == ["cat", "dog"]


def test_a_list_of_voc_may_be_named(tmp_path):
    voc_devkit(tmp_path)
    for form in ("auto", "voc"):
        settings = DataConfig(format=form, root=str(tmp_path), train="trainval", val=0.34, workers=0)
        assert len(open_split(settings, "trainval")) == 3
        assert open_split(settings, "ImageSets/Main/train.txt").image_ids == ["JPEGImages/a.jpg", "JPEGImages/b.jpg"]


def test_a_class_is_one_label_though_its_name_holds_a_blank(tmp_path):
    kind = {"_type": "ClassLabel", "names": ["hot dog", "owl", "dog"]}
    table = pyarrow.table({"file_name": ["a.jpg", "b.jpg", "c.jpg"], "label": [0, 2, -1]})
    note = {"huggingface": json.dumps({"info": {"features": {"label": kind}}})}
    pyarrow.parquet.write_table(table.replace_schema_metadata(note), tmp_path / "t.parquet")
    source = read_labels(tmp_path / "t.parquet", TableOptions())
    assert source.names == ["hot dog", "owl", "dog"] and source.states.tolist() == [[P, N, N], [N, N, P], [0, 0, 0]]
    assert "class -1 in column 'label' is no known label: 1 rows, first 3, are unknown" in source.warnings
    assert not any("blank" in line for line in source.assumptions)


def test_several_splits_are_named(tmp_path):
    voc_devkit(tmp_path)
    with pytest.raises(UsageError, match="holds several splits: name one of them: train, val"):
        read_labels(tmp_path, TableOptions())
    settings = DataConfig(format="voc", root=str(tmp_path), workers=0)
    with pytest.raises(UsageError, match="no split 'holdout', and no file of that name; there is train, val"):
        open_split(settings, "holdout")


def test_parquet_in_other_shapes(tmp_path):
    columns = {"file_name": ["a.jpg", "b.jpg"], "cat": [True, False], "dog": [0, 1], "fur": [1.0, None]}
    pyarrow.parquet.write_table(pyarrow.table(columns), tmp_path / "wide.parquet")
    source = read_labels(tmp_path / "wide.parquet", TableOptions())
    assert source.names == ["cat", "dog", "fur"] and source.states.tolist() == [[P, N, P], [N, P, 0]]
    with pyarrow.ipc.new_file(tmp_path / "wide.arrow", pyarrow.table(columns).schema) as file:
        file.write_table(pyarrow.table(columns))
    assert read_labels(tmp_path / "wide.arrow", TableOptions()).states.tolist() == source.states.tolist()
    flags = pyarrow.table({"image": [picture(), picture()], "labels": [[1.0, 0.0], [0.0, 1.0]]})
    pyarrow.parquet.write_table(flags, tmp_path / "flags.parquet")
    with pytest.raises(UsageError, match="may be classes or a flag for each"):
        read_labels(tmp_path / "flags.parquet", TableOptions())
    source = read_labels(tmp_path / "flags.parquet", TableOptions(label_columns=("cat", "dog")))
    assert source.names == ["cat", "dog"] and source.states.tolist() == [[P, N], [N, P]]
    (tmp_path / "not.parquet").write_bytes(b"nothing")
    with pytest.raises(UsageError, match=r"not\.parquet: cannot be read"):
        read_labels(tmp_path / "not.parquet", TableOptions())


def test_images_are_written_once_and_stay_in_order(tmp_path):
    colours = ["red", "lime", "blue"]
    images = [{"bytes": picture(colour), "path": f"{colour}.png"} for colour in colours]
    table = pyarrow.table({"image": images, "labels": [["a"], ["b"], ["c"]]})
    pyarrow.parquet.write_table(table, tmp_path / "t.parquet")
    settings = DataConfig(format="auto", root=str(tmp_path), train="t.parquet", workers=0)
    records = open_split(settings, "t.parquet")
    assert records.image_ids == ["red.png", "lime.png", "blue.png"]
    found = [np.asarray(load_rgb(path))[0, 0].tolist() for path in records.paths]
    assert found == [[255, 0, 0], [0, 255, 0], [0, 0, 255]]
    before = [Path(path).stat().st_mtime_ns for path in records.paths]
    assert [Path(path).stat().st_mtime_ns for path in open_split(settings, "t.parquet").paths] == before


def test_without_pyarrow_the_error_says_what_to_install(tmp_path, monkeypatch):
    (tmp_path / "t.parquet").touch()
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(UsageError, match=r"t\.parquet: needs pyarrow: pip install 'mlcfast\[parquet\]'"):
        read_labels(tmp_path / "t.parquet", TableOptions())


@pytest.mark.parametrize(
    ("members", "says"),
    [
        ({"a_png": b"x", "a_jpg": b"x"}, "a: two images, a.png and a.jpg"),
        ({"a_json": b"{}"}, "no images in it"),
        ({"a_png": b"x", "a_json": b"["}, "a.json: not valid JSON: "),
        ({"a_png": b"x", "a_cls": b"cat"}, "a.cls: holds something else than class numbers"),
        ({"a_png": b"x", "a_cls": b"2"}, "class 2, but there are 2 names: name it in classes.txt or"),
    ],
)
def test_a_shard_that_cannot_be_read(tmp_path, members, says):
    (tmp_path / "classes.txt").write_text("cat\ndog\n")
    shard(tmp_path / "s.tar", **members)
    with pytest.raises(UsageError, match=re.escape(says)):
        read_labels(tmp_path / "s.tar", TableOptions())
    (tmp_path / "s.tar").write_bytes(b"no tar")
    with pytest.raises(UsageError, match="not a tar file that can be read"):
        read_labels(tmp_path / "s.tar", TableOptions())


CLASSES = {"_type": "ClassLabel", "names": ["cat", "dog"]}
OBJECTS = [[{"id": 1, "category": 0}, {"id": 2, "category": 1}], [{"id": 3, "category": 1}], []]


def saved(root: Path, columns: dict, features: dict) -> Path:
    """What Dataset.save_to_disk writes of three images and these columns."""
    images = [{"bytes": picture("red", name), "path": f"{name}.png"} for name in "abc"]
    table = pyarrow.table({"image": images} | columns)
    with pyarrow.ipc.new_stream(root / "data-00000-of-00001.arrow", table.schema) as stream:
        stream.write_table(table)
    (root / "dataset_info.json").write_text(json.dumps({"features": {"image": {"_type": "Image"}} | features}))
    (root / "state.json").write_text(json.dumps({"_data_files": [{"filename": "data-00000-of-00001.arrow"}]}))
    return root


@pytest.mark.parametrize(
    ("columns", "features", "states"),
    [
        ({"labels": [[0, 1], [1], []]}, {"labels": {"_type": "List", "feature": CLASSES}}, [[P, P], [N, P], [N, N]]),
        ({"label": [0, 1, -1]}, {"label": CLASSES}, [[P, N], [N, P], [0, 0]]),
        ({"fine_label": [0, 1, 1], "text": ["x", "y", "z"]}, {"fine_label": CLASSES}, [[P, N], [N, P], [N, P]]),
        ({"labels": [["cat", "dog"], ["dog"], []]}, {}, [[P, P], [N, P], [N, N]]),
        (
            {"objects": OBJECTS}, {"objects": {"_type": "List", "feature": {"id": {}, "category": CLASSES}}},
            [[P, P], [N, P], [N, N]],
        ),
        (
            {"objects": [{"category": [0, 1]}, {"category": [1]}, {"category": []}]},
            {"objects": {"_type": "Sequence", "feature": {"category": CLASSES}}}, [[P, P], [N, P], [N, N]],
        ),
    ],
)  # fmt: skip
def test_classes_of_what_datasets_saved_have_their_names(tmp_path, columns, features, states):
    (source,) = read_all(saved(tmp_path, columns, features), TableOptions())
    assert source.names == ["cat", "dog"] and source.states.tolist() == states


def test_classes_that_are_not_known_and_such_that_are_blank(tmp_path):
    (source,) = read_all(saved(tmp_path, {"label": [0, None, -1]}, {"label": CLASSES}), TableOptions())
    assert source.states.tolist() == [[P, N], [N, N], [0, 0]]
    assert "a blank cell is no label, in 1 rows" in source.assumptions


def test_two_columns_of_classes_are_asked_about(tmp_path):
    columns = {"fine_label": [0, 1, 1], "coarse_label": [0, 0, 1]}
    saved(tmp_path, columns, dict.fromkeys(columns, CLASSES))
    with pytest.raises(
        UsageError, match="'fine_label' and 'coarse_label' both hold classes: name those that are labels"
    ):
        read_all(tmp_path, TableOptions())
    (source,) = read_all(tmp_path, TableOptions(label_columns=("coarse_label",)))
    assert source.states.tolist() == [[P, N], [P, N], [N, P]]
