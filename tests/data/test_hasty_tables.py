"""Tables written in haste are read as meant, or refused in a line that helps; what is no file is never opened."""

import json
import os
import socket

import pytest

from mlcfast import inspect
from mlcfast.config import DataConfig
from mlcfast.data.readers.recognise import read_labels
from mlcfast.data.readers.source import TableOptions
from mlcfast.data.readers.summary import open_sources
from mlcfast.errors import UsageError
from tests.data.hasty_tables import FILLED, READ, REFUSED, SETTLED, WARNED
from tests.data.layouts import BOX, samples_of, touch
from tests.data.test_directories import lay


def write(folder, content):
    (folder / "t.csv").write_text(content)
    return folder / "t.csv"


@pytest.mark.parametrize("name", READ)
def test_labels_are_those_that_were_meant(tmp_path, name):
    content, labels, states = READ[name]
    source = read_labels(write(tmp_path, content), TableOptions())
    assert (source.names, source.states.tolist()) == (labels, states)
    assert not any("column 'age' numbers" in line for line in source.assumptions)


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_told_is_one_line_with_the_remedy(tmp_path, name):
    content, says = REFUSED[name]
    with pytest.raises(UsageError) as caught:
        read_labels(write(tmp_path, content), TableOptions())
    said = str(caught.value)
    assert said.startswith(str(tmp_path)) and says in said and said.isprintable()


SINGER = '"Weird Al" Yankovic'


@pytest.mark.parametrize(
    "said",
    [
        {"ignore_columns": ("Artist",)}, {"label_columns": ("label",)},
        {"label_columns": ("label",), "image_column": "image", "group": "year"},
    ],
)  # fmt: skip
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_quotes_of_a_column_that_is_not_read_are_let_be(tmp_path, said, end):
    rows = ["image,label,artist,year", f"a.jpg,cat,{SINGER},1990", "b.jpg,dog,x,1991"]
    source = read_labels(write(tmp_path, end.join(rows)), TableOptions(**said))
    assert (source.names, source.images) == (["cat", "dog"], ["a.jpg", "b.jpg"])


@pytest.mark.parametrize(
    ("header", "cell", "said"),
    [
        ("image,label,artist", f"cat,{SINGER}", {}),
        ("image,label,artist", f"cat,{SINGER}", {"label_columns": ("label", "artist")}),
        ("image,label,artist", f"cat,{SINGER}", {"label_columns": ("label",), "group": "artist"}),
        ("image,label,\u00a0Artist", f"cat,{SINGER}", {"label_columns": ("artist",)}),
        ("image,label,artist", f"{SINGER},x", {"ignore_columns": ("artist",)}),
        ("image,label,artist", 'cat,"x\nb.jpg,dog,"y"', {"label_columns": ("label",)}),  # and a row is lost
    ],
)
def test_quotes_of_a_column_that_is_read_and_those_that_hide_a_row(tmp_path, header, cell, said):
    file = write(tmp_path, f"{header}\na.jpg,{cell}\nc.jpg,owl,z\n")
    with pytest.raises(UsageError, match=r"line 2: .* goes on behind its closing quote"):
        read_labels(file, TableOptions(**said))


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize(
    ("caption", "where"),
    [
        ("x", "line 3: "),
        ('"two{end}lines"', r"line 3 \(line 4 in an editor of text\): "),
        ('"two{end}{end}lines"', r"line 3 \(line 5 in an editor of text\): "),
    ],
)
def test_the_line_of_a_quote_behind_cells_of_several_lines(tmp_path, caption, where, end):
    rows = ["image,caption,label", f"a.jpg,{caption.format(end=end)},cat", 'b.jpg,x,"dog"s', "c.jpg,x,cat"]
    (tmp_path / "t.csv").write_text(end.join(rows), newline="")
    with pytest.raises(UsageError, match=rf"t\.csv: {where}.* goes on behind its closing quote"):
        read_labels(tmp_path / "t.csv", TableOptions())


@pytest.mark.parametrize("name", WARNED)
def test_what_may_be_meant_otherwise_is_a_warning(tmp_path, name):
    content, says = WARNED[name]
    assert any(says in line for line in read_labels(write(tmp_path, content), TableOptions()).warnings)


@pytest.mark.parametrize("name", SETTLED)
def test_the_remedy_settles_it(tmp_path, name):
    content, options, labels, states, says = SETTLED[name]
    source = read_labels(write(tmp_path, content), TableOptions(**options))
    assert (source.names, source.states.tolist()) == (labels, states)
    assert any(says in line for line in source.assumptions)


def test_a_fill_before_a_class_is_named(tmp_path):
    file = write(tmp_path, FILLED + "3.jpg,-1,2,-1\n")
    with pytest.raises(UsageError, match="line 5, column 'label1': -1 stands before a class: clear the cell"):
        read_labels(file, TableOptions(label_columns=("label1", "label2", "label3")))


def test_no_control_character_reaches_the_terminal(tmp_path, capsys):
    write(tmp_path, "image,cat\x1b[2J,note\x1b[31m\na.jpg,1,m\nb.jpg,0,m\n")
    assert inspect.main([str(tmp_path / "t.csv")]) == 2
    write(tmp_path, "image,cat,note\x1b[31m\na.jpg,1,m\nb.jpg,0,m\n")
    assert inspect.main([str(tmp_path / "t.csv")]) == 0
    (tmp_path / "t.json").write_text(json.dumps({"a.jpg": ["cat\x00"]}))
    assert inspect.main([str(tmp_path / "t.json")]) == 2
    shown = capsys.readouterr()
    assert r"note\x1b[31m" in shown.out and r"entry 1: the label 'cat\x00' holds" in shown.err
    assert all(line.isprintable() for line in [*shown.out.splitlines(), *shown.err.splitlines()])


def test_a_control_character_in_a_category_or_a_folder_is_named(tmp_path):
    category = {"id": 1, "name": "cat\x1b[31m"}
    content = {"images": [{"id": 1, "file_name": "a.jpg"}], "categories": [category],
               "annotations": [{"image_id": 1, "category_id": 1}]}  # fmt: skip
    (tmp_path / "c.json").write_text(json.dumps(content))
    touch(tmp_path, "set/cat\x07/a.jpg", "set/dog/b.jpg")
    for place, remedy in (("c.json", "take it out"), ("set", "rename it")):
        with pytest.raises(UsageError, match=f"holds the control character .*: {remedy}"):
            open_sources(tmp_path / place, None, TableOptions())


SIGN = "ow\x1bl"


@pytest.mark.parametrize(
    ("files", "read", "place"),
    [
        ({"t.csv": f"image,label\na.jpg,cat\na.jpg,{SIGN}\n"}, "t.csv", "t.csv: line 3: "),
        ({"t.csv": f"image,label\na.jpg,cat\nb.jpg,cat\na.jpg,dog\nb.jpg,{SIGN}\n"}, "t.csv", "t.csv: line 5: "),
        ({"t.csv": f"image,labels\na.jpg,cat;dog\nb.jpg,cat\na.jpg,dog;{SIGN}\n"}, "t.csv", "t.csv: line 4: "),
        ({"x.txt": "a.jpg 0\nb.jpg 1\n", "classes.txt": f"cat\n{SIGN}\n"}, "x.txt", "classes.txt: line 2: "),
        ({"x.txt": "a.jpg 0\nb.jpg 1\n", "classes.txt": f"cat 0\n{SIGN} 1\n"}, "x.txt", "classes.txt: line 2: "),
    ],
)
def test_the_line_of_a_control_character_is_its_own(tmp_path, files, read, place):
    lay(tmp_path, files)
    with pytest.raises(UsageError, match=r"holds the control character '\\x1b': take it out") as caught:
        read_labels(tmp_path / read, TableOptions())
    assert str(caught.value).startswith(f"{tmp_path / place}the label 'ow\\x1bl")


BOTH = "image,cat,dog\na.jpg,1,0\nb.jpg,0,1\n"
VOC = "<annotation><filename>a.jpg</filename><object><name>cat</name></object></annotation>"
BOXED = {
    "images/train/a.jpg": "", "images/train/b.jpg": "", "labels/train/a.txt": f"0 {BOX}\n",
    "data.yaml": "names: [cat]\ntrain: images/train\n",
}  # fmt: skip
# Files with their texts, the place of a named pipe, what is read.
PIPES = [
    *(({"a.jpg": ""}, f"t.{end}", f"t.{end}") for end in ("csv", "json", "jsonl", "xml", "yaml", "tar", "npz")),
    ({"a.jpg": "", "t.csv": BOTH}, "b.jpg", "t.csv"),
    ({"x/a.jpg": "", "t.csv": BOTH}, "x/b.jpg", "t.csv"),
    ({"cat/a.jpg": "", "dog/b.jpg": ""}, "dog/c.jpg", ""),
    ({"train/a.jpg": ""}, "annotations/instances_train.json", ""),
    ({"JPEGImages/a.jpg": "", "Annotations/a.xml": VOC}, "Annotations/b.xml", ""),
    (BOXED, "labels/train/b.txt", ""),
    ({"images/a.jpg": "", "data.yaml": "names: [cat]\ntrain: images\n"}, "labels/a.txt", ""),
    ({"images/a.jpg": "", "labels/a.txt": f"0 {BOX}\n"}, "classes.txt", ""),
    ({"a.jpg": "", "x.txt": "a.jpg 0\n"}, "classes.txt", "x.txt"),
    ({"im1.jpg": "", "annotations/sea.txt": "1\n"}, "annotations/sky.txt", ""),
]  # fmt: skip


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no named pipes")
@pytest.mark.parametrize(("files", "pipe", "read"), PIPES, ids=[f"{pipe} of {read}" for _, pipe, read in PIPES])
def test_a_named_pipe_is_named_and_not_opened(tmp_path, files, pipe, read):
    lay(tmp_path, files)
    (tmp_path / pipe).parent.mkdir(exist_ok=True, parents=True)
    os.mkfifo(tmp_path / pipe)
    with pytest.raises(UsageError, match="a named pipe, not a file") as caught:
        open_sources(tmp_path / read, None, TableOptions())
    assert pipe.rpartition("/")[2] in str(caught.value)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no named pipes")
def test_what_is_no_file_is_named_behind_a_link_too(tmp_path):
    write(tmp_path, BOTH)
    touch(tmp_path, "a.jpg")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "b.jpg").symlink_to("pipe")
    with pytest.raises(UsageError, match=r"line 3: 'b\.jpg' is a named pipe, not a file: take it out"):
        open_sources(tmp_path / "t.csv", None, TableOptions())
    for place, kind in (("/dev/zero", "a device"), ("s.csv", "a socket")):
        if kind == "a socket":
            socket.socket(socket.AF_UNIX).bind(str(tmp_path / place))
        with pytest.raises(UsageError, match=f"{kind}, not a file: write what it holds"):
            open_sources(tmp_path / place, None, TableOptions())


IMAGES = {f"{number}.jpg": "" for number in range(8)}
NUMBERS = {**IMAGES, "classes.txt": "person\ncar\n", "train.txt": "0.jpg 0\n1.jpg 0 1\n2.jpg 1\n3.jpg\n"}


def trained(root, **data):
    return samples_of(DataConfig(format="auto", root=str(root), **data))


def test_a_list_to_validate_with_is_read_as_the_one_to_train_with(tmp_path):
    lay(tmp_path, NUMBERS | {"val.txt": "4.jpg 0 1\n5.jpg 0 1\n6.jpg 1 0\n"})
    assert trained(tmp_path, train="train.txt", val="val.txt").validation.labels.tolist() == [[1, 1]] * 3
    for source, _ in open_sources(tmp_path, None, TableOptions()):
        assert source.split == "train" or source.states.tolist() == [[1, 1]] * 3
    (tmp_path / "train.txt").write_text("0.jpg 0 1\n1.jpg 1 1\n2.jpg 1 0\n")
    (tmp_path / "val.txt").write_text("4.jpg 0\n5.jpg 0 1\n")
    with pytest.raises(
        UsageError,
        match=r"val\.txt: its numbers are read as class numbers, those of the training file as a flag for each label: "
        "write a flag for each label here, too, or set data.separator to ' ' if all numbers of both are classes",
    ):
        trained(tmp_path, train="train.txt", val="val.txt")
    read = trained(tmp_path, train="train.txt", val="val.txt", separator=" ")
    assert read.validation.labels.tolist() == [[1, 0], [1, 1]]


# Name: the list to train with, the one to validate with, the latter's labels as 1 and 0.
BY_TRAINING = {
    "two numbers a line": ("0.jpg 0 2\n1.jpg 1 2\n2.jpg 1\n", "4.jpg 0 1\n5.jpg 1 0\n", [[1, 1, 0]] * 2),
    "five numbers a line": (
        "0.jpg 0 2\n1.jpg 1 2\n2.jpg 3 4 5\n", "4.jpg 0 1 2 3 4\n5.jpg 1 2 3 4 5\n",
        [[1, 1, 1, 1, 1, 0], [0, 1, 1, 1, 1, 1]],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BY_TRAINING)
def test_numbers_that_may_be_two_things_are_what_those_to_train_with_are(tmp_path, name):
    train, val, labels = BY_TRAINING[name]
    lay(tmp_path, {**IMAGES, "train.txt": train, "val.txt": val})
    with pytest.raises(UsageError, match="may be classes or"):
        trained(tmp_path, train="val.txt")
    assert trained(tmp_path, train="train.txt", val="val.txt").validation.labels.tolist() == labels
    assert {source.split for source, _ in open_sources(tmp_path, None, TableOptions())} == {"train", "val"}


def test_several_labels_in_one_of_a_file_to_validate_with_are_told(tmp_path):
    cells = ["person car", "dog", "cat", "person", "car dog", "car"]
    rows = [f"{number}.jpg,{cell}\n" for number, cell in enumerate([*cells, *["dog cat"] * 5])]
    lay(tmp_path, {f"{number}.jpg": "" for number in range(11)})
    for file, held in (("train.csv", rows[:6]), ("val.csv", rows[6:])):
        (tmp_path / file).write_text("image,labels\n" + "".join(held))
    with pytest.raises(
        UsageError, match=r"'dog cat', which is not in the training file, but 'dog' is: set data\.separator"
    ):
        trained(tmp_path, train="train.csv", val="val.csv")
    read = trained(tmp_path, train="train.csv", val="val.csv", separator=" ")
    assert read.validation.labels.tolist() == [[0, 1, 1, 0]] * 5


def test_short_words_for_the_parts(tmp_path):
    parts = ("tr", "TR", "va", "te", "tr", "tr")
    rows = "".join(f"{number}.jpg,{number % 2},{part}\n" for number, part in enumerate(parts))
    lay(tmp_path, IMAGES | {"t.csv": f"image,cat,split\n{rows}"})
    read = trained(tmp_path, train="t.csv", val="va", test="test", split_column="split")
    assert [len(each) for each in (read.train, read.validation, read.test)] == [4, 1, 1]


GENOME = [
    {"image_id": number, "image_url": f"https://host/{folder}/{number}.jpg", "objects": [{"names": [label], "x": 1}]}
    for number, folder, label in ((1, "VG_100K_2", "cat"), (2, "VG_100K", "dog"), (3, "VG_100K", "cat"))
]  # fmt: skip


@pytest.mark.parametrize("above", ["", "images/"])
@pytest.mark.parametrize("addressed", [True, False])
def test_visual_genomes_images_lie_in_two_folders(tmp_path, above, addressed):
    content = [{key: held for key, held in each.items() if addressed or key != "image_url"} for each in GENOME]
    lay(tmp_path, {f"{above}VG_100K_2/1.jpg": "", f"{above}VG_100K/2.jpg": "", f"{above}VG_100K/3.jpg": ""})
    (tmp_path / "objects.json").write_text(json.dumps(content))
    for place in ("objects.json", ""):
        ((source, paths),) = open_sources(tmp_path / place, None, TableOptions())
        assert source.names == ["cat", "dog"] and source.states.tolist() == [[1, -1], [-1, 1], [1, -1]]
        names = ("VG_100K_2/1.jpg", "VG_100K/2.jpg", "VG_100K/3.jpg")
        assert paths == [str(tmp_path / above / name) for name in names]


FLICKR = {
    **{f"mirflickr/im{number}.jpg": "" for number in range(1, 6)}, "mirflickr/doc/README.txt": "x",
    "mirflickr/meta/tags/tags1.txt": "sky\n",
}  # fmt: skip
LISTED = {"cat.txt": "1\n3\n4\n", "cat_r1.txt": "3\n", "sky.txt": "2\n3\n", "README.txt": "Annotations.\n"}


@pytest.mark.parametrize("place", ["annotations", "mirflickr25k_annotations_v080"])
def test_mirflickrs_lists_of_numbers(tmp_path, place):
    lay(tmp_path, FLICKR | {f"{place}/{name}": text for name, text in LISTED.items()})
    ((source, paths),) = open_sources(tmp_path, None, TableOptions())
    assert (source.format, source.names) == ("authors", ["cat", "cat_r1", "sky"]) and all(paths)
    assert (source.states == 1).tolist() == [[True, False, False], [False, False, True], [True, True, True],
                                             [True, False, False], [False, False, False]]  # fmt: skip
    assert any(
        "'cat_r1', of images that are mainly of 'cat', is a label of its own" in line for line in source.warnings
    )
    ((source, _),) = open_sources(tmp_path, None, TableOptions(label_columns=("sky", "cat")))
    assert source.names == ["cat", "sky"] and len(source.images) == 5 and not source.warnings
    with pytest.raises(UsageError, match=r"annotations.*: no list cats\.txt; there are those of cat, cat_r1, sky"):
        open_sources(tmp_path, None, TableOptions(label_columns=("cats",)))
    with pytest.raises(
        UsageError, match=r"cat\.txt: a number a line, 1 the first, and no labels: if it lists the images"
    ):
        open_sources(tmp_path / place / "cat.txt", None, TableOptions())


def test_a_list_of_mirflickr_without_an_image_is_a_label(tmp_path):
    lay(tmp_path, FLICKR | {"annotations/cat.txt": "1\n", "annotations/sky.txt": ""})
    ((source, _),) = open_sources(tmp_path, None, TableOptions())
    assert (source.names, source.states.tolist()) == (["cat", "sky"], [[1, -1], *[[-1, -1]] * 4])
    ((source, _),) = open_sources(tmp_path, None, TableOptions(label_columns=("sky",)))
    assert (source.names, source.states.tolist()) == (["sky"], [[-1]] * 5)


NO_LISTS = {
    "classes of each image": {"im1.txt": "1\n", "im2.txt": "2\n"},
    "classes of each image, from 0": {"im1.txt": "0\n3\n", "im2.txt": "1\n", "im3.txt": "2\n"},
    "files called by number": {"1.txt": "1\n", "2.txt": "2\n"},
    "a number of no image": {"cat.txt": "0\n", "sky.txt": "1\n"},
    "nothing in any": {"cat.txt": "", "sky.txt": ""},
}


@pytest.mark.parametrize("name", NO_LISTS)
def test_other_files_of_numbers_are_no_lists_of_mirflickr(tmp_path, name):
    lay(tmp_path, FLICKR | {f"annotations/{file}": text for file, text in NO_LISTS[name].items()})
    for form, says in (("auto", "may hold the labels"), ("authors", "not laid out as CelebA")):
        with pytest.raises(UsageError, match=says) as caught:
            open_sources(tmp_path, None, TableOptions(form=form))
        assert str(caught.value).startswith(str(tmp_path))


@pytest.mark.parametrize("key", ["annotations", "objects", "regions"])
@pytest.mark.parametrize("label", ["class", "name", "category"])
def test_records_with_objects_have_their_labels(tmp_path, key, label):
    rows = [
        {"image": "a.jpg", key: []},
        {"image": "b.jpg", key: [{label: "car", "bbox": [1, 2, 3, 4]}, {label: "dog"}]},
    ]
    (tmp_path / "t.json").write_text(json.dumps(rows))
    source = read_labels(tmp_path / "t.json", TableOptions())
    assert (source.names, source.states.tolist()) == (["car", "dog"], [[-1, -1], [1, 1]])
    rows[1][key][0]["score"] = 0.7
    (tmp_path / "t.json").write_text(json.dumps(rows))
    with pytest.raises(UsageError, match=r"entry 2: score 0\.7 makes it a prediction"):
        read_labels(tmp_path / "t.json", TableOptions())


def test_two_columns_of_lists_in_parquet_are_asked_about(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    columns = {"image": list("abcd"), "labels": [[0], [1], [0, 1], []], "genre": [["x"], ["y"], ["y"], ["x"]]}
    parquet.write_table(pyarrow.table(columns), tmp_path / "t.parquet")
    with pytest.raises(UsageError, match="'labels' and 'genre' may both hold the labels"):
        read_labels(tmp_path / "t.parquet", TableOptions())
    columns["label_names"] = [["cat"], ["dog"], ["cat", "dog"], []]
    del columns["genre"]
    parquet.write_table(pyarrow.table(columns), tmp_path / "t.parquet")
    assert read_labels(tmp_path / "t.parquet", TableOptions()).names == ["cat", "dog"]


def test_a_part_is_found_where_its_folder_holds_images_alone(tmp_path):
    images = {f"{part}/{number}.jpg": "" for number, part in enumerate(("train", "train", "train", "val"))}
    rows = {"train.txt": "0.jpg 0\n1.jpg 0 1\n2.jpg 1\n", "val.txt": "3.jpg 1\n", "classes.txt": "cat\ndog\n"}
    lay(tmp_path, images | rows)
    read = trained(tmp_path, train="train", val="val")
    assert read.train.labels.tolist() == [[1, 0], [1, 1], [0, 1]] and read.validation.labels.tolist() == [[0, 1]]
