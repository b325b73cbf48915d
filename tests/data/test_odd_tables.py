"""Tables that are read otherwise than meant at a first glance: labels, one line with the remedy, or a warning."""

import pytest

from mlcfast import inspect
from mlcfast.data.csv_labels import read_csv
from mlcfast.data.label_files import read_stored_labels
from mlcfast.data.readers.recognise import read_labels
from mlcfast.data.readers.source import TableOptions
from mlcfast.errors import UsageError
from mlcfast.settings_data import DataConfig
from tests.data.odd_tables import READ, REFUSED, WARNED

P, N = 1, -1


def write(file, content):
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return file


@pytest.mark.parametrize("name", READ)
def test_labels_are_those_that_were_meant(tmp_path, name):
    file, content, images, labels, states = READ[name]
    source = read_labels(write(tmp_path / file, content), TableOptions())
    assert (source.images, source.names, source.states.tolist()) == (images, labels, states)


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_told_is_one_line_with_the_remedy(tmp_path, name):
    file, content, says = REFUSED[name]
    with pytest.raises(UsageError) as caught:
        read_labels(write(tmp_path / file, content), TableOptions())
    said = str(caught.value)
    assert said.startswith(str(tmp_path / file)) and says in said and "\n" not in said


@pytest.mark.parametrize("name", WARNED)
def test_what_may_be_meant_otherwise_is_a_warning(tmp_path, name):
    content, says = WARNED[name]
    assert any(says in line for line in read_labels(write(tmp_path / "t.csv", content), TableOptions()).warnings)


@pytest.mark.parametrize(
    ("content", "options", "labels", "states"),
    [
        ("a.jpg 10,20,30,40,0\nb.jpg 1,2,3,4,1\n", {"separator": " "}, ["0", "1"], [[P, N], [N, P]]),
        (
            "image,labels\na.jpg,cat;dog\nb.jpg,cat dog\n",
            {"separator": ";"}, ["cat", "cat dog", "dog"], [[P, N, P], [N, P, N]],
        ),
        ("image,labels\na.jpg,cat:3\nb.jpg,dog:1\n", {"separator": ";"}, ["cat:3", "dog:1"], [[P, N], [N, P]]),
        ("image,r1_cat,r2_cat\na.jpg,1,1\nb.jpg,1,0\n", {"label_columns": ("r2_cat",)}, ["r2_cat"], [[P], [N]]),
        (
            "image,label1,label2\na.jpg,cat,\nb.jpg,dog,cat\n",
            {"label_columns": ("label1", "label2")}, ["cat", "dog"], [[P, N], [P, P]],
        ),
        (
            "image,label,more_labels\na.jpg,cat,\"['dog', 'owl']\"\nb.jpg,dog,[]\n",
            {"label_columns": ("label", "more_labels")}, ["cat", "dog", "owl"], [[P, P, P], [N, P, N]],
        ),
        (
            "image,label,more_labels\na.jpg,cat,dog;owl\nb.jpg,dog,\n",
            {"label_columns": ("label", "more_labels")}, ["cat", "dog", "owl"], [[P, P, P], [N, P, N]],
        ),
        ("id,objects,night\na,car;dog,1\nb,car,0\n", {"label_columns": ("objects",)}, ["car", "dog"], [[P, P], [P, N]]),
        (
            'id,labels\na,"cat, dog and bird"\nb,bird\nc,dog\n',
            {"separator": ","}, ["bird", "cat", "dog", "dog and bird"], [[N, P, N, P], [P, N, N, N], [N, N, P, N]],
        ),
        ("image,label\na,cat und dog\nb,owl\n", {"separator": " und "}, ["cat", "dog", "owl"], [[P, P, N], [N, N, P]]),
        (
            "image,class,order,family,species\na,Aves,x,y,owl\nb,Aves,x,z,jay\n",
            {"label_columns": ("species",)}, ["jay", "owl"], [[N, P], [P, N]],
        ),
        ("image,class,order,family\na,A,x,y\nb,B,x,z\n", {"label_columns": ("class",)}, ["A", "B"], [[P, N], [N, P]]),
        ("image,cat,status\na.jpg,1,0\n", {"ignore_columns": ("status",)}, ["cat"], [[P]]),
        ('image,labels\na.jpg,"[""cat?"", ""cat""]"\n', {"separator": ";"}, ["cat", "cat?"], [[P, P]]),
    ],
)  # fmt: skip
def test_the_remedy_settles_it(tmp_path, content, options, labels, states):
    source = read_labels(write(tmp_path / "t.csv", content), TableOptions(**options))
    assert source.names == labels and source.states.tolist() == states


def test_a_separator_that_no_cell_holds_is_a_warning(tmp_path):
    source = read_labels(
        write(tmp_path / "t.csv", "image,labels\na.jpg,cat;dog\nb.jpg,owl\n"), TableOptions(separator="|")
    )
    assert source.names == ["cat;dog", "owl"]
    assert source.warnings == ["no cell holds data.separator, '|': 'cat;dog' is one label"]


def test_a_sign_that_is_left_at_the_end_of_labels_is_a_warning(tmp_path):
    content = 'image,labels\na.jpg,"cat, dog"\nb.jpg,cat\n'
    source = read_labels(write(tmp_path / "t.csv", content), TableOptions(separator=" "))
    assert source.warnings == ["the label 'cat,' holds the sign at its end: set data.separator to that"]


def test_a_policy_is_found_by_its_label_in_either_spelling(tmp_path):
    file = write(tmp_path / "t.csv", "image,caf\u00e9\na.jpg,1\nb.jpg,-1\nc.jpg,0\n")
    assert read_labels(file, TableOptions(uncertain={"cafe\u0301": "positive"})).states.tolist() == [[P], [P], [N]]


def test_a_class_below_0_is_none_whatever_separates(tmp_path):
    with pytest.raises(UsageError, match="'-1' may be a class"):
        read_labels(write(tmp_path / "t.csv", "image,labels\na.jpg,3 4\nb.jpg,-1\n"), TableOptions(separator=" "))


def test_lists_of_parquet_are_judged_as_those_of_text(tmp_path):
    """Without an object for each entry, and with a null beside an empty list."""
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    def file(*lists):
        table = pyarrow.table({"image": [f"{n}.jpg" for n in range(len(lists))], "labels": list(lists)})
        parquet.write_table(table, tmp_path / "t.parquet")
        return tmp_path / "t.parquet"

    source = read_labels(file(["cat"], None, [], ["cat", "unknown"]), TableOptions())
    assert source.states.tolist() == [[P, N], [N, N], [N, N], [P, P]]
    assert source.warnings[0].startswith("1 cells of the labels are blank and 1 say that there is none")
    assert source.warnings[1].startswith("'unknown' is read as a label")
    said = read_labels(file(["cat"], None), TableOptions()).assumptions
    assert "a blank cell is no label, in 1 rows" in said
    for lists, says in (
        ((["cat:3"], ["cat"]), "'cat:3' may be a label or one with its value"),
        (([-1], [4]), "'-1' may be a class"),
        ((["cat", "#REF!"],), "#REF! is a spreadsheet's error"),
        ((["cat", "NA"],), "'NA' means no label"),
    ):
        with pytest.raises(UsageError, match=says):
            read_labels(file(*lists), TableOptions())
    table = pyarrow.table({"image": ["a", "b"], "label": ["cat", "dog"], "other_labels": [["dog"], []]})
    parquet.write_table(table, tmp_path / "t.parquet")
    options = TableOptions(label_columns=("label", "other_labels"))
    assert read_labels(tmp_path / "t.parquet", options).states.tolist() == [[P, P], [N, P]]
    (tmp_path / "t.parquet").write_text("version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(UsageError, match="a pointer of Git LFS"):
        read_labels(tmp_path / "t.parquet", TableOptions())
    pyarrow = pyarrow.table({"image": ["a", "b"], "labels": [["cafe\u0301"], ["caf\u00e9", "dog\u200b"]]})
    parquet.write_table(pyarrow, tmp_path / "labels.parquet")
    stored = read_stored_labels(tmp_path / "labels.parquet", None, TableOptions())
    assert stored.names == ["caf\u00e9", "dog"] and stored.labels.tolist() == [[P, 0], [P, P]]


@pytest.mark.parametrize(
    "content", ["image,labels\na,cafe\u0301;owl\nb,NA\n", "labels\n\"['caf\u00e9', 'owl']\"\n[]\n"]
)
def test_labels_of_features_are_listed_as_in_other_tables(tmp_path, content):
    stored = read_stored_labels(write(tmp_path / "labels.csv", content), None, TableOptions())
    assert stored.names == ["caf\u00e9", "owl"] and stored.labels.tolist() == [[P, P], [0, 0]]


def test_what_cannot_be_told_of_the_labels_of_features(tmp_path):
    file = write(tmp_path / "labels.csv", 'image,labels\na,cat;owl\nb,"cat, dog"\n')
    with pytest.raises(UsageError, match=r"holds ';' and ',': name one with data\.separator"):
        read_stored_labels(file, None, TableOptions())
    assert read_stored_labels(file, None, TableOptions(separator=";")).names == ["cat", "cat, dog", "owl"]


@pytest.mark.parametrize(
    "truth",
    [
        [{"detections": [{"label": "cat"}]}, None, {"detections": []}, {"detections": [{"label": "dog"}]}],
        [{"label": "cat"}, None, {"label": None}, {"label": "dog"}],
        [[{"label": "cat"}], None, [], [{"label": "dog"}]],
    ],
)
def test_labels_inside_objects_of_parquet(tmp_path, truth):
    """A null, with nothing in it, is neither a label nor a column of its own."""
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    parquet.write_table(pyarrow.table({"filepath": list("abcd"), "truth": truth}), tmp_path / "t.parquet")
    source = read_labels(tmp_path / "t.parquet", TableOptions())
    assert source.names == ["cat", "dog"] and source.states.tolist() == [[P, N], [N, N], [N, N], [N, P]]
    assert any("no label" in line for line in [*source.assumptions, *source.warnings])


def test_roboflows_boxes_are_found_in_its_folders(tmp_path):
    for split in ("train", "valid"):
        (tmp_path / split).mkdir()
        (tmp_path / split / "a.jpg").write_bytes(b"")
        table = f"filename,class,xmin,ymin,xmax,ymax\na.jpg,{split}er,1,2,3,4\na.jpg,cat,1,2,3,4\n"
        (tmp_path / split / "_annotations.csv").write_text(table)
    records = read_csv(tmp_path, "train")
    assert records.names == ["cat", "trainer"] and records.paths == [str(tmp_path / "train" / "a.jpg")]
    (tmp_path / "train" / "_classes.csv").write_text("filename,cat\na.jpg,1\n")
    with pytest.raises(UsageError, match=r"train: holds _classes\.csv and _annotations\.csv: name one of them"):
        read_csv(tmp_path, "train")


def test_what_is_told_twice_or_is_no_share(tmp_path, capsys):
    with pytest.raises(SystemExit):
        inspect.main([str(tmp_path), "--uncertain", "A=positive,A=negative"])
    assert "names a label twice: keep one policy for it" in capsys.readouterr().err
    with pytest.raises(ValueError, match=r"a file, the name of a split, or a share such as 0\.2"):
        DataConfig(format="auto", root=str(tmp_path), train="t.csv", val=True)
