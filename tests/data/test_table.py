"""CSV data sets: both forms, partial labels, and what users get wrong."""

import json

import numpy as np
import pytest

from mlcfast import inspect
from mlcfast.config import DataConfig
from mlcfast.data import read_csv
from mlcfast.data.build import open_split
from mlcfast.data.readers.source import TableOptions
from mlcfast.errors import UsageError
from tests.data.layouts import samples_of, touch


@pytest.fixture
def write(tmp_path):
    """Writes set.csv beside a.jpg, b.jpg and deep/c.jpg."""
    (tmp_path / "deep").mkdir()
    for name in ("a.jpg", "b.jpg", "deep/c.jpg"):
        (tmp_path / name).touch()

    def write_csv(text: str):
        (tmp_path / "set.csv").write_text(text, encoding="utf-8")
        return tmp_path

    return write_csv


def test_a_column_per_label_with_partial_labels(write):
    root = write("cat,image,dog\n1,a.jpg,0\n-1,b.jpg,1\n0,deep/c.jpg,-1\n")
    records = read_csv(root, "set.csv")
    assert records.names == ["cat", "dog"]
    assert records.labels.dtype == np.int8
    assert records.labels.tolist() == [[1, 0], [-1, 1], [0, -1]]
    assert records.paths == [str(root / name) for name in ("a.jpg", "b.jpg", "deep/c.jpg")]
    assert records.image_ids == ["a.jpg", "b.jpg", "deep/c.jpg"]


def test_a_list_of_labels(write):
    root = write("\ufefffile_name,labels\r\na.jpg,dog; cat\r\nb.jpg,\r\ndeep/c.jpg,élan\r\n")
    records = read_csv(root, "set.csv")
    assert records.names == ["cat", "dog", "élan"]
    assert records.labels.tolist() == [[1, 1, 0], [0, 0, 0], [0, 0, 1]]


def test_another_split_keeps_the_training_order(write):
    root = write("image,labels\na.jpg,dog\n")
    assert read_csv(root, "set.csv", ["dog", "bird", "cat"]).labels.tolist() == [[1, 0, 0]]
    root = write("image,x,y\na.jpg,1,0\n")
    assert read_csv(root, "set.csv", ["y", "x"]).labels.tolist() == [[0, 1]]


@pytest.mark.parametrize(
    ("text", "names", "says"),
    [
        ("image,cat\na.jpg,2\n", None, "line 2, column 'cat': '2' is not 1, 0, -1 or blank"),
        ("image,cat,dog\na.jpg,1,0\nb.jpg,0,maybe\n", None, "line 3, column 'dog': 'maybe' must be 1, 0, -1 or blank"),
        ("image,cat\na.jpg,1,0\n", None, "line 2 has 3 cells, the header 2"),
        ("image,cat,cat\na.jpg,1,0\n", None, "the header repeats 'cat'"),
        ("image\na.jpg\n", None, "the header has no label column"),
        ("image,cat\n", None, "no images below the header"),
        ("", None, "not a CSV file with a header"),
        ("image,cat\na.jpg,0\n", None, "no image has a label"),
        ("image,labels\na.jpg,\n", None, "no image has a label"),
        ("image,labels\na.jpg,bird\n", ["cat"], "line 2 has the label 'bird', which is not in the training file"),
        ("image,bird\na.jpg,1\n", ["cat"], "'bird' is one of them, and is none there"),
        ("image,cat\na.jpg,1\nz.jpg,1\n", None, "z.jpg: no such image; 1 of 2 images listed in"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(write, text, names, says):
    root = write(text)
    with pytest.raises(UsageError) as caught:
        read_csv(root, "set.csv", names)
    assert says in str(caught.value)
    assert str(root) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_file_and_root(write):
    root = write("image,cat\na.jpg,1\n")
    with pytest.raises(UsageError, match=r"other\.csv: cannot read the CSV file"):
        read_csv(root, "other.csv")
    with pytest.raises(UsageError, match=r"no such directory \(data\.root\)"):
        read_csv(root / "absent", "set.csv")
    (root / "set.csv").write_bytes(b"image,cat\na.jpg,\x00\x01\n")
    with pytest.raises(UsageError, match="not a text file: save it as CSV in UTF-8"):
        read_csv(root, "set.csv")


@pytest.mark.parametrize(
    "place",
    ["/home/me/set/images/", "C:\\set\\images\\", "D:/set/images/", "../input/kaggle/set/images/", "../../images/",
     "/images/", "set/images/", "old\\images\\"],
)  # fmt: skip
def test_paths_of_another_machine(tmp_path, caplog, place):
    (tmp_path / "images").mkdir()
    for name in "ab":
        (tmp_path / "images" / f"{name}.jpg").touch()
    (tmp_path / "t.csv").write_text(f"image,cat\n{place}a.jpg,1\n{place}b.jpg,0\n")
    with caplog.at_level("INFO", logger="mlcfast"):
        records = read_csv(tmp_path, "t.csv")
    assert records.paths == [str(tmp_path / "images" / f"{name}.jpg") for name in "ab"]
    absent = "absolute names are not of" if place == "/images/" else "is not on"
    follows = "/" if place == "/images/" else "it"
    assert caplog.text.count(f"{absent} this machine: what follows {follows} is looked for in") == 1


def test_paths_of_two_other_machines(tmp_path, caplog):
    for name in "ab":
        (tmp_path / f"{name}.jpg").touch()
    (tmp_path / "t.csv").write_text("image,cat\n/home/me/a.jpg,1\n/mnt/you/set/b.jpg,0\n")
    with caplog.at_level("INFO", logger="mlcfast"):
        assert read_csv(tmp_path, "t.csv").paths == [str(tmp_path / f"{name}.jpg") for name in "ab"]
    assert "/home/me is not on this machine" in caplog.text and "and so for 1 other folders" in caplog.text


@pytest.mark.parametrize("first", ["/home/me/images/none.jpg", "../input/images/none.jpg", "C:/images/none.jpg"])
def test_a_missing_image_of_another_machine_is_missing(tmp_path, first):
    (tmp_path / "a.jpg").touch()
    where = first.removesuffix("none.jpg")
    (tmp_path / "t.csv").write_text(f"image,cat\n{first},1\n{where}a.jpg,0\n{where}b.jpg,0\n")
    with pytest.raises(UsageError, match=r"no such image; 2 of 3 images listed in .* are missing, first line 2"):
        read_csv(tmp_path, "t.csv")


@pytest.mark.parametrize("name", ["7", "7.png"])
def test_zeros_that_a_program_took_from_names_are_said(tmp_path, capsys, name):
    touch(tmp_path, "images/007.png", "images/100.png", "images/170.png")
    (tmp_path / "t.csv").write_text(f"id,cat\n100,1\n{name},0\n")
    says = "images/007.png is there, so zeros before 7 may be lost"
    with pytest.raises(UsageError, match=f"are missing, first line 3: {says}"):
        read_csv(tmp_path, "t.csv")
    assert inspect.main([str(tmp_path / "t.csv")]) == 0 and says in capsys.readouterr().out


@pytest.mark.parametrize("name", ["images/A1.JPG", "Images/a1.jpg", "images/a1.png", "images\\A1.jpg"])
def test_a_name_that_is_written_otherwise_is_asked_about(tmp_path, name):
    touch(tmp_path, "images/a1.jpg", "images/a2.jpg")
    (tmp_path / "t.csv").write_text(f"image,cat\nimages/a2.jpg,1\n{name},0\n")
    with pytest.raises(UsageError, match=r"first line 3: is images/a1\.jpg meant\?"):
        read_csv(tmp_path, "t.csv")


def test_where_no_images_lie_beside_the_table_their_directory_is_asked_for(tmp_path):
    (tmp_path / "t.csv").write_text("image,cat\na.jpg,1\nb.jpg,0\n")
    with pytest.raises(
        UsageError, match=r"no images are found in .*: name their directory in data\.root, or with --images"
    ):
        read_csv(tmp_path, "t.csv")


@pytest.mark.parametrize("place", ["{}/secret/", "../secret/", "x/../../secret/", "/home/me/../..{}/secret/"])
def test_paths_that_lead_out_of_the_root_are_an_error(tmp_path, place):
    place = place.format(tmp_path)
    root = tmp_path / "set"
    for folder in (root, tmp_path / "secret"):
        folder.mkdir()
    (tmp_path / "secret" / "a.jpg").touch()
    (root / "t.csv").write_text(f"image,cat\n{place}a.jpg,1\n{place}b.jpg,0\n")
    with pytest.raises(UsageError, match=r"t\.csv: line 2: .* lies outside .*: data.allow_outside=true allows that"):
        read_csv(root, "t.csv")


# Names of no file; whether each is said to lie outside, rather than to be missing.
NOWHERE = {
    "../../etc/passwd.jpg": True, "x/../../none.jpg": True, "..\\..\\none.jpg": True, "../secret/none.jpg": True,
    "../set/none.jpg": False, "../set/x/none.jpg": False, "x/../none.jpg": False, "/home/me/../none.jpg": False,
    "C:\\..\\none.jpg": False, "../input/none.jpg": False, "none..jpg": False, "https://host/../none.jpg": False,
}  # fmt: skip


@pytest.mark.parametrize("name", NOWHERE)
@pytest.mark.parametrize("allowed", [False, True])
def test_names_that_lead_out_of_the_root_to_no_file(tmp_path, capsys, name, allowed):
    touch(tmp_path, "set/a.jpg", "set/images/0.jpg", "secret/b.jpg")
    table = tmp_path / "set" / "t.csv"
    table.write_text(f"image,cat\na.jpg,1\n{name},0\n../input/images/0.jpg,1\n")
    flags = ["--allow-outside"] if allowed else []
    outside = NOWHERE[name] and not allowed
    assert inspect.main([str(table), *flags]) == (2 if outside else 0)
    shown = capsys.readouterr()
    says = f"line 3: {name!r} lies outside {tmp_path / 'set'}: data.allow_outside=true allows that"
    assert (says in shown.err) == outside and ("(1 missing)" in shown.out) != outside
    with pytest.raises(UsageError) as caught:
        read_csv(table.parent, "t.csv", options=TableOptions(allow_outside=allowed))
    assert (says in str(caught.value)) == outside and ("1 of 3 images listed" in str(caught.value)) != outside


HELD = {
    "10-": "1,0\n{}.jpg,-1,1",
    "10": "1,0\n{}.jpg,0,1",
    "1-": "1,-1\n{}.jpg,-1,1",
    "1_": "1,\n{}.jpg,,1",
    "10_": "1,0\n{}.jpg,,1",
    "10-_": "1,0\n{}.jpg,-1,\n{}2.jpg,,1",
}


@pytest.mark.parametrize(
    ("train", "val", "labels"),
    [
        ("10", "10", [[1, 0], [0, 1]]),
        ("10", "1-", [[1, 0], [0, 1]]),
        ("10", "10_", [[1, -1], [0, 1]]),
        ("10-_", "10", [[1, 0], [0, 1]]),
        ("10-_", "10-", [[1, -1], [0, 1]]),  # here 0 is absent and -1 uncertain, as they are in training
        ("10-", "10", "0 is absent in this file, which holds 1 and 0, and unknown in the training file"),
        ("10", "10-", [[1, 0], [-1, 1]]),  # with a warning
        ("10_", "1_", "a blank cell is absent in this file, which holds 1 and blanks, and unknown in the training"),
        ("1_", "10_", [[1, -1], [0, 1]]),  # with a warning
        ("10-_", "1-", "-1 is absent in this file"),
    ],
)
def test_cells_mean_in_every_split_what_they_mean_in_training(tmp_path, capsys, caplog, train, val, labels):
    for split, held in (("train", train), ("valid", val)):
        (tmp_path / split).mkdir()
        rows = HELD[held].replace("{}", split)
        (tmp_path / split / "_classes.csv").write_text(f"image,cat,dog\n{split}.1.jpg,{rows}\n")
        for name in (f"{split}.1", split, f"{split}2"):
            (tmp_path / split / f"{name}.jpg").touch()
    settings = DataConfig(format="auto", root=str(tmp_path), train="train/_classes.csv", val="valid/_classes.csv")
    ways = (lambda: samples_of(settings).validation, lambda: open_split(settings, settings.val))
    if isinstance(labels, str):
        for way in ways:
            with pytest.raises(UsageError) as caught:
                way()
            assert labels in str(caught.value) and "\n" not in str(caught.value)
        assert inspect.main([str(tmp_path)]) == 2 and labels in capsys.readouterr().err
        return
    assert [way().labels.tolist() for way in ways] == [labels, labels]
    assert inspect.main([str(tmp_path), "--json"]) == 0
    about = json.loads(capsys.readouterr().out)
    assert about["splits"]["valid"] == {"images": 2, "positives": {"cat": 1, "dog": 1}}
    warned = any("is unknown in this file, which holds 1" in line for line in about["warnings"])
    assert warned == ("in this file, which holds 1" in caplog.text) == ((train, val) in (("10", "10-"), ("1_", "10_")))
