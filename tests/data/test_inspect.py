"""Directories of labels and images, where images are found, and what `inspect` says of them."""

import json
import re
from pathlib import Path

import pytest

from mlcfast import inspect
from mlcfast.data import read_csv
from mlcfast.data.readers.paths import ImageFinder
from mlcfast.errors import UsageError


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def test_images_by_name_without_folder_or_ending_and_with_back_slashes(tmp_path):
    touch(tmp_path, "deep/a.jpg", "b.png", "x/twice.jpg", "y/twice.jpg")
    finder = ImageFinder(tmp_path)
    for name, path in (("a", "deep/a.jpg"), ("a.jpg", "deep/a.jpg"), ("deep\\a.jpg", "deep/a.jpg"), ("b", "b.png")):
        assert finder.find(name, "t.csv: line 2") == str(tmp_path / path)
    assert finder.find("none.jpg", "t.csv: line 2") is None and finder.find("other/a.jpg", "t.csv: line 2") is None
    with pytest.raises(UsageError, match=r"line 2: 'twice\.jpg' may be"):
        finder.find("twice.jpg", "t.csv: line 2")


def test_images_by_a_name_with_some_of_its_folders(tmp_path):
    touch(tmp_path, "in/x/a.jpg", "in/y/a.jpg", "in/x/twice.jpg", "old/x/twice.jpg", "z/b.jpg", "old/z/c.jpg")
    finder = ImageFinder(tmp_path)
    assert finder.find("x/a.jpg", "line 2") == str(tmp_path / "in/x/a.jpg")
    assert finder.find("y\\a", "line 2") == str(tmp_path / "in/y/a.jpg")
    assert finder.moved == ["1 images are found in a folder below, first 'x/a.jpg' as 'in/x/a.jpg'"]
    assert finder.find("z/c.jpg", "line 2") is None  # z is there, and another z is not meant
    with pytest.raises(UsageError, match=r"line 2: 'x/twice\.jpg' may be"):
        finder.find("x/twice.jpg", "line 2")


def test_where_no_image_is_found_the_column_that_names_some_is_said(tmp_path, capsys):
    touch(tmp_path, "images/7.jpg", "images/8.jpg", "images/9.jpg")
    table = tmp_path / "t.csv"
    table.write_text("ProductId,cat,dog,PhotoId\n501,1,0,7\n502,0,1,8\n")
    says = "column 'PhotoId' names images that are there: set data.image_column to PhotoId"
    assert inspect.main([str(table)]) == 0 and says in capsys.readouterr().out
    with pytest.raises(UsageError, match=f"2 of 2 images listed in .*{says}"):
        read_csv(tmp_path, "t.csv")
    table.write_text("PhotoId,cat,dog\n7,1,0\n99,0,1\n")
    with pytest.raises(UsageError) as caught:
        read_csv(tmp_path, "t.csv")
    assert "1 of 2 images" in str(caught.value) and "names images" not in str(caught.value)


def test_a_name_that_several_files_begin_with_says_which(tmp_path, capsys):
    touch(tmp_path, "train/x_red.png", "train/x_blue.png", "train/x_green.png", "train/xy_red.png", "train/z_red.png")
    (tmp_path / "t.csv").write_text("Id,Target\nx,1 0\nz,2\n")
    says = (
        "train/x_blue.png, train/x_green.png and 1 more begin with that name: join them to one image that is called so"
    )
    warnings = inspected(capsys, str(tmp_path / "t.csv"))["warnings"]
    assert f"'x' is missing: {says}, or name one of them for each image" in warnings
    with pytest.raises(UsageError, match=f"no such image; 2 of 2 images listed in .*: {says}"):
        read_csv(tmp_path, "t.csv")
    finder = ImageFinder(tmp_path)
    assert finder.begun("x.jpg") and finder.begun("z") == finder.begun("no") == finder.begun("") == ""


def test_a_name_that_stands_in_two_folders_may_be_settled_with_one_of_them(tmp_path, capsys):
    touch(tmp_path, "jpg/a.jpg", "tif/a.tif")
    (tmp_path / "t.csv").write_text("image_name,tags\na,cat dog\n")
    assert inspect.main([str(tmp_path / "t.csv"), "--separator", " "]) == 2
    told = re.search(
        r"write its folder and its ending, or, if one folder holds all, name it with --images (\S+)",
        capsys.readouterr().err,
    )
    assert inspect.main([str(tmp_path / "t.csv"), "--separator", " ", "--images", told[1]]) == 0
    assert "1 images (0 missing)" in capsys.readouterr().out


def test_no_image_leaves_the_root(tmp_path):
    touch(tmp_path, "root/in.jpg", "out.jpg")
    (tmp_path / "root" / "link.jpg").symlink_to(tmp_path / "out.jpg")
    (tmp_path / "root" / "door").symlink_to(tmp_path)
    finder = ImageFinder(tmp_path / "root")
    for name in ("../out.jpg", str(tmp_path / "out.jpg"), "link.jpg", "door/out.jpg", "/etc/passwd"):
        with pytest.raises(UsageError, match=r"line 3: .*data\.allow_outside=true"):
            finder.find(name, "t.csv: line 3")
    assert (tmp_path / "root" / "in.jpg").samefile(finder.find("../root/in.jpg", "t.csv: line 3"))
    outside = ImageFinder(tmp_path / "root", allow_outside=True).find("../out.jpg", "line 3")
    assert (tmp_path / "out.jpg").samefile(outside)


def test_a_link_found_by_its_name_alone_does_not_leave_the_root_either(tmp_path):
    touch(tmp_path, "root/deep/in.jpg", "out.jpg")
    (tmp_path / "root" / "deep" / "link.jpg").symlink_to(tmp_path / "out.jpg")
    for name in ("link.jpg", "link"):
        with pytest.raises(UsageError, match=r"line 3: .*data\.allow_outside=true"):
            ImageFinder(tmp_path / "root").find(name, "t.csv: line 3")


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("https://host.org/set/deep/a.jpg?size=9", "deep/a.jpg"),
        ("gs://bucket/my%20photo.jpg", "my photo.jpg"),
        ("my%20photo.jpg", "my photo.jpg"),
        ("deep/cafe\u0301.jpg", "deep/caf\u00e9.jpg"),
        ("caf\u00e9.jpg", "deep/caf\u00e9.jpg"),
    ],
)
def test_images_under_another_spelling(tmp_path, name, file):
    touch(tmp_path, "deep/a.jpg", "my photo.jpg", "deep/caf\u00e9.jpg", "other/twice.jpg", "deep/twice.jpg")
    finder = ImageFinder(tmp_path)
    assert finder.find(name, "t.csv: line 2") == str(tmp_path / file)
    assert bool(finder.moved) == (name != "caf\u00e9.jpg") and all(repr(name) in line for line in finder.moved)
    assert finder.find("https://host.org/b.jpg", "line 2") is None and finder.find("b%20.jpg", "line 2") is None
    with pytest.raises(UsageError, match=r"may be .*twice\.jpg and .*twice\.jpg"):
        finder.find("https://host.org/far/twice.jpg", "line 2")


def test_two_names_of_one_file_are_an_error_here_and_in_training(tmp_path, capsys):
    touch(tmp_path, "a.jpg", "b.jpg")
    for other in ("a", str(tmp_path / "a.jpg"), "A.JPG"):
        (tmp_path / "t.csv").write_text(f"image,cat\na.jpg,1\nb.jpg,0\n{other},0\n")
        assert inspect.main([str(tmp_path / "t.csv")]) == 2
        said = capsys.readouterr().err
        assert f"line 2 names 'a.jpg' and line 4 {other!r}, which are one file" in said and said.count("\n") == 1
        with pytest.raises(UsageError, match="which are one file"):
            read_csv(tmp_path, "t.csv")


def test_addresses_of_images_that_are_not_here(tmp_path, capsys):
    (tmp_path / "t.csv").write_text("image,cat\nhttps://host.org/a.jpg,1\n")
    assert "images must be on this machine" in " ".join(inspected(capsys, str(tmp_path / "t.csv"))["warnings"])
    with pytest.raises(UsageError, match=r"https://host\.org/a\.jpg: images must be on this machine"):
        read_csv(tmp_path, "t.csv")


ANNOTATIONS = {
    "voc": ("xml", "<annotation><filename>a.jpg</filename><object><name>owl</name></object></annotation>"),
    "labelme": ("json", '{"imagePath": "a.jpg", "shapes": [{"label": "owl"}]}'),
    "yolo": ("txt", "0 0.5 0.5 0.25 0.1\n"),
}


@pytest.mark.parametrize("form", ANNOTATIONS)
def test_folders_of_annotated_images_are_two_readings(tmp_path, capsys, form):
    touch(tmp_path, "set/cat/a.jpg", "set/dog/b.jpg", "one/images/a.jpg")
    ending, text = ANNOTATIONS[form]
    for place in ("set/cat", "one/images"):
        (tmp_path / place / f"a.{ending}").write_text(text)
    assert inspect.main([str(tmp_path / "set")]) == 2
    said = capsys.readouterr().err
    assert f"folders, each a label, or as {form}, by cat/a.{ending}: set data.format to folders or to {form}" in said
    assert inspected(capsys, str(tmp_path / "set"), "--format", "folders")["labels"] == ["cat", "dog"]
    label = "0" if form == "yolo" else "owl"
    for words in ([str(tmp_path / "set"), "--format", form], [str(tmp_path / "one")]):
        about = inspected(capsys, *words)
        assert (about["format"], about["missing"], about["positives"]) == (form, 0, {label: 1})


def inspected(capsys, *words: str) -> dict:
    assert inspect.main([*words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_label_that_every_image_has_is_a_warning(tmp_path, capsys):
    touch(tmp_path, "a.jpg", "b.jpg")
    for cell, warned in (("1", True), ("0", False), ("", False)):
        (tmp_path / "t.csv").write_text(f"image,always,cat\na.jpg,1,1\nb.jpg,{cell},0\n")
        assert inspect.main([str(tmp_path / "t.csv"), "--json"]) == 0
        warnings = json.loads(capsys.readouterr().out)["warnings"]
        assert warned == ("every image has 1 of the labels, first 'always': there is nothing to tell apart" in warnings)


def test_inspect_counts_what_is_there(tmp_path, capsys):
    touch(tmp_path, "a.jpg", "b.jpg")
    (tmp_path / "t.csv").write_text("image,cat,dog\na.jpg,1,\nb.jpg,0,1\nz.jpg,,\na.jpg,,1\n")
    about = inspected(capsys, str(tmp_path / "t.csv"))
    assert (about["format"], about["images"], about["missing"], about["labels"]) == ("wide", 3, 1, ["cat", "dog"])
    assert about["positives"] == {"cat": 1, "dog": 2}
    assert about["negatives"] == {"cat": 1, "dog": 0}
    assert about["unknown"] == {"cat": 1, "dog": 1}
    text = " ".join(about["warnings"])
    assert "z.jpg" in text and "line 5: merged" in text and "1 images have no label" in text
    assert inspect.main([str(tmp_path / "t.csv")]) == 0
    assert "3 images (1 missing), 2 labels" in capsys.readouterr().out


def test_inspect_reads_directories(tmp_path, capsys):
    touch(tmp_path, "tags/a.jpg", "tags/b.jpg", "folders/cat/a.jpg", "folders/dog/a.jpg", "folders/dog/b.jpg")
    (tmp_path / "tags" / "a.txt").write_text("cat, dog")
    touch(tmp_path, "rf/train/a.jpg", "rf/valid/b.jpg")
    for split, name in (("train", "a.jpg"), ("valid", "b.jpg")):
        (tmp_path / "rf" / split / "_classes.csv").write_text(f"filename, cat, dog\n{name}, 1, 0\n")
    for place, form, images, positives in (
        ("tags", "tag_files", 2, {"cat": 1, "dog": 1}),
        ("folders", "folders", 2, {"cat": 1, "dog": 2}),
        ("rf", "wide", 2, {"cat": 2, "dog": 0}),
    ):
        about = inspected(capsys, str(tmp_path / place))
        assert (about["format"], about["images"], about["missing"]) == (form, images, 0)
        assert about["positives"] == positives


def test_folders_tell_images_of_one_name_apart(tmp_path, capsys):
    touch(tmp_path, "cat/1.jpg", "dog/1.jpg", "owl/1.jpg")
    (tmp_path / "dog" / "1.jpg").write_bytes(b"another")
    assert inspected(capsys, str(tmp_path))["positives"] == {"cat": 1, "dog": 1, "owl": 1}
    assert inspected(capsys, str(tmp_path))["images"] == 2
    touch(tmp_path, "cat/inner/2.jpg", "cat_dog/3.jpg")
    warnings = " ".join(inspected(capsys, str(tmp_path))["warnings"])
    assert "such as cat/inner, say nothing" in warnings and "'cat_dog' is a label of its own" in warnings
    touch(tmp_path, "loose.jpg")
    assert inspect.main([str(tmp_path)]) == 2
    assert "loose.jpg: an image beside the folders" in capsys.readouterr().err


def test_folders_of_splits_are_told_from_those_of_labels(tmp_path, capsys):
    touch(tmp_path, "set/Training/cat/1.jpg", "set/Training/dog/2.jpg", "set/testing/cat/3.jpg", "mix/train/1.jpg")
    touch(tmp_path, "mix/cat/2.jpg")
    for words in ([], ["--format", "folders"]):
        about = inspected(capsys, str(tmp_path / "set"), *words)
        assert about["labels"] == ["cat", "dog"] and list(about["splits"]) == ["Training", "testing"]
    assert inspect.main([str(tmp_path / "mix")]) == 2
    assert "'train' may be a split or a label, as 'cat' beside it is" in capsys.readouterr().err
    assert inspected(capsys, str(tmp_path / "mix"), "--format", "folders")["labels"] == ["cat", "train"]


def test_a_folder_of_images_is_no_label(tmp_path, capsys):
    touch(tmp_path, "one/images/a.jpg", "two/images/a.jpg", "two/masks/a.png", "three/cat/a.jpg")
    touch(tmp_path, "four/train/images/a.jpg", "four/val/images/b.jpg")
    for place in ("one", "two", "four"):
        assert inspect.main([str(tmp_path / place)]) == 2
        assert "is a folder of images, not a label" in capsys.readouterr().err
    assert inspect.main([str(tmp_path / "three")]) == 2
    assert "'cat' is the only folder of images, so all of them would have that label: " in capsys.readouterr().err
    about = inspected(capsys, str(tmp_path / "three"), "--format", "folders")
    assert about["labels"] == ["cat"] and "'cat' is the only folder: every image has its label" in about["warnings"]


@pytest.mark.parametrize("encoding", ["cp1251", "cp1250", "cp1253", "shift_jis", "gb18030"])
def test_texts_of_other_code_pages_are_not_taken_for_western_ones(tmp_path, capsys, encoding):
    words = {
        "cp1251": "кот;пёс",
        "cp1250": "żółw;łoś",
        "cp1253": "γάτα;σκύλος",
        "shift_jis": "猫;犬",
        "gb18030": "猫;狗",
    }
    (tmp_path / "t.csv").write_bytes(f"image;{words[encoding]}\na.jpg;1;0\n".encode(encoding))
    assert inspect.main([str(tmp_path / "t.csv")]) == 2
    assert "line 1: " in (said := capsys.readouterr().err) and "save it as UTF-8" in said


def test_boxes_beside_images_are_not_tags(tmp_path, capsys):
    touch(tmp_path, "a.jpg")
    (tmp_path / "a.txt").write_text("0 0.5 0.5 0.25 0.1\n3 0.1 0.2 0.3 0.4\n")
    assert inspect.main([str(tmp_path)]) == 2
    assert "a.txt: boxes of YOLO, not tags" in capsys.readouterr().err


def test_two_files_of_one_kind_are_an_error(tmp_path, capsys):
    (tmp_path / "metadata.csv").write_text("file_name,labels\na.jpg,cat\n")
    (tmp_path / "metadata.jsonl").write_text('{"file_name": "a.jpg", "labels": ["cat"]}\n')
    assert inspect.main([str(tmp_path)]) == 2
    assert "holds metadata.csv and metadata.jsonl: name one of them" in capsys.readouterr().err


def test_inspect_fails_in_one_line(tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    for place in ("empty", "absent", "empty/x.csv"):
        assert inspect.main([str(tmp_path / place), "--json"]) == 2
        said = capsys.readouterr()
        assert said.out == "" and said.err.startswith("error: ") and said.err.count("\n") == 1


@pytest.mark.parametrize("table", ["id,label\n0,cat\n1,dog\n", "ClassId,Name\n0,cat\n1,dog\n"])
def test_names_of_classes_are_no_images_unless_these_are_there(tmp_path, capsys, table):
    (tmp_path / "t.csv").write_text(table)
    assert inspect.main([str(tmp_path / "t.csv")]) == 2
    assert "each label stands once: these are names of classes, not of images" in capsys.readouterr().err
    touch(tmp_path, "0.jpg", "1.jpg", "cat.jpg", "dog.jpg")
    assert inspect.main([str(tmp_path / "t.csv")]) == 0


def test_names_that_end_as_no_image_does_are_said(tmp_path, capsys):
    (tmp_path / "t.csv").write_text("file,label\na.eml,cat\nb.eml,dog\nc.eml,dog\n")
    assert inspect.main([str(tmp_path / "t.csv")]) == 0
    assert "3 of 3 images are missing, first 'a.eml': a name in '.eml' is no image's" in capsys.readouterr().out


def test_an_image_in_two_splits_counts_once(tmp_path, capsys):
    touch(tmp_path, "train/a.jpg", "train/b.jpg", "val/c.jpg")
    for split, names in (("train", "a.jpg b.jpg"), ("val", "../train/a.jpg c.jpg")):
        rows = "".join(f"{name},1,0\n" for name in names.split())
        (tmp_path / split / "_classes.csv").write_text(f"filename,cat,dog\n{rows}")
    about = inspected(capsys, str(tmp_path), "--allow-outside")
    assert (about["images"], about["positives"]["cat"], about["negatives"]["dog"]) == (3, 3, 3)


def test_splits_with_other_labels_than_those_of_training_are_said(tmp_path, capsys):
    touch(tmp_path, "set/train/cat/a.jpg", "set/train/dog/b.jpg", "set/val/cat/c.jpg", "set/val/dogs/d.jpg")
    said = inspected(capsys, str(tmp_path / "set"))["warnings"]
    assert said[0].startswith("val has 1 labels that train has not, first 'dogs'") and "dog" in said[0]
    assert said[1] == "val has 1 labels less than train, first 'dog'"
    touch(tmp_path, "rf/train/a.jpg", "rf/valid/b.jpg")
    (tmp_path / "rf" / "train" / "_classes.csv").write_text("filename,cat,dog\na.jpg,1,0\n")
    (tmp_path / "rf" / "valid" / "_classes.csv").write_text("filename,cat,owl\nb.jpg,1,0\n")
    assert inspect.main([str(tmp_path / "rf")]) == 2
    said = capsys.readouterr().err
    assert "valid/_classes.csv: the label columns differ from those of the training file: 'dog' is none of them" in said


def test_one_label_is_one(tmp_path, capsys):
    touch(tmp_path, "a.jpg", "b.jpg")
    (tmp_path / "t.csv").write_text("image,cat\na.jpg,1\nb.jpg,0\n")
    assert inspect.main([str(tmp_path / "t.csv")]) == 0
    assert ", 1 label\n" in capsys.readouterr().out
