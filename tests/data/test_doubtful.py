"""What is no label and looks like one is refused, or warned of, in one line; what looks alike and is one is read."""

import pytest

from mlcfast.data.discover import discover
from mlcfast.data.readers.recognise import read_all, read_labels
from mlcfast.data.readers.source import TableOptions
from mlcfast.data.readers.summary import open_sources
from mlcfast.errors import UsageError
from tests.data.doubtful_sets import (
    FOLDERS,
    LABELLED,
    LISTED,
    LISTS,
    LISTS_REFUSED,
    READ,
    REFUSED,
    TEXTS,
    WARNED,
    beside,
    by_image,
    folders,
    lines,
    listed,
)
from tests.data.layouts import picture, shard, touch
from tests.data.test_directories import lay


def refused(path, options=None):
    """The one line by which a file or directory is refused."""
    with pytest.raises(UsageError) as caught:
        read_all(path, options or TableOptions())
    said = str(caught.value)
    assert said.startswith(str(path)) and "\n" not in said
    return said


def labels_of(source):
    return [[source.names[k] for k, state in enumerate(row) if state == 1] for row in source.states]


@pytest.mark.parametrize("names", FOLDERS, ids="-".join)
def test_folders_that_are_called_as_no_labels_are_asked_about(tmp_path, names):
    touch(tmp_path, *folders(*names))
    assert FOLDERS[names] in refused(tmp_path)
    assert len(read_all(tmp_path, TableOptions(form="folders"))[0].names) == len(
        {name.split("/")[-1] for name in names}
    )


@pytest.mark.parametrize("names", LABELLED, ids="-".join)
def test_folders_that_are_labels_are_read(tmp_path, names):
    touch(tmp_path, *folders(*names))
    (source,) = read_all(tmp_path, TableOptions())
    assert source.format == "folders" and source.names == sorted(names)


@pytest.mark.parametrize("names", [("low", "high"), ("sharp", "blurred"), ("visible", "thermal")], ids="-".join)
def test_folders_of_images_that_are_called_otherwise_are_no_versions_of_each_other(tmp_path, names):
    touch(tmp_path, *(f"{name}/{name[0]}{number}.jpg" for name in names for number in range(4)))
    assert read_all(tmp_path, TableOptions())[0].names == sorted(names)
    touch(tmp_path, *(f"{names[0]}/{names[1][0]}{number}.jpg" for number in range(2)))
    assert "are called as versions of the same images are" in refused(tmp_path)


IN_EACH = {  # as RFMiD, MESSIDOR and hospitals lay them out: images, and where their label file is
    "rfmid": ("Training_Set/Training/{}.png", "Evaluation_Set/Validation/{}.png", "Training_Set/RFMiD_Labels.csv",
              "Evaluation_Set/RFMiD_Validation_Labels.csv"),
    "kaggle": ("Training_Set/Training_Set/Training/{}.png", "Testing_Set/Testing_Set/Test/{}.png",
               "Training_Set/Training_Set/RFMiD_Labels.csv", "Testing_Set/Testing_Set/RFMiD_Labels.csv"),
    "messidor": ("Base11/{}.tif", "Base12/{}.tif", "Base11/Annotation_Base11.xls", "Base12/Annotation_Base12.xls"),
    "sites": ("siteA/{}.png", "siteB/{}.png", "siteA/labels.csv", "siteB/labels.csv"),
    "texts": ("north/{}.png", "south/{}.png", "north/labels.txt", "south/labels.txt"),
    "jsonl": ("north/{}.png", "south/{}.png", "north/annotations.json", "south/annotations.json"),
}  # fmt: skip


@pytest.mark.parametrize("name", IN_EACH)
def test_folders_that_hold_a_label_file_each_are_asked_about(tmp_path, name):
    first, second, *tables = IN_EACH[name]
    touch(tmp_path, *(place.format(number) for place in (first, second) for number in range(3)))
    for table in tables:
        (tmp_path / table).write_text("ID,cat,dog\n0,1,0\n1,0,1\n2,1,1\n")
    said = refused(tmp_path)
    assert "folders" in said or "called as parts of the data are" in said
    if tables[0].endswith(".csv"):  # what the line says helps
        assert len(open_sources(tmp_path / tables[0], (tmp_path / tables[0]).parent, TableOptions())[0][0].images) == 3
    assert read_all(tmp_path, TableOptions(form="folders"))[0].format == "folders"


def test_tables_in_folders_of_labels_are_named(tmp_path):
    touch(tmp_path, "cat/0.jpg", "dog/1.jpg", "owl/2.jpg")
    (tmp_path / "dog" / "where.csv").write_text("image,x\n1.jpg,3\n")
    (source,) = read_all(tmp_path, TableOptions())
    assert source.names == ["cat", "dog", "owl"]
    said = f"1 files in the folders of the labels are not read, first {tmp_path / 'dog' / 'where.csv'}"
    assert said in source.warnings


@pytest.mark.parametrize(
    "file", ["labels.xlsx", "labels.ods", "imagelabels.mat", "HAM10000_metadata", "x_annotations.csv.gz", "labels.tab"]
)
def test_a_file_beside_folders_that_says_labels_is_asked_about(tmp_path, file):
    touch(tmp_path, "north/0.jpg", "south/1.jpg")
    (tmp_path / file).write_bytes(b"\0")
    assert f"'north' among them, or by {file}: set data.format to folders, or name" in refused(tmp_path)
    assert read_all(tmp_path, TableOptions(form="folders"))[0].names == ["north", "south"]


def test_other_files_beside_folders_are_named(tmp_path):
    touch(tmp_path, "cat/0.jpg", "dog/1.jpg", "dog - Copy/2.jpg", "dog (1)/3.jpg")
    for file in ("numbers.xlsx", "README.md", "train.py", "weights.npz", "._a.xls"):
        (tmp_path / file).write_bytes(b"")
    for number in range(5):
        (tmp_path / "cat" / f"{number}.json").write_text("{}")
    (source,) = read_all(tmp_path, TableOptions())
    told = "is a label of its own, though it is called as a copy is"
    for line in (
        "numbers.xlsx is not read: name it if it holds the labels",
        f"the folder 'dog (1)' {told}",
        f"the folder 'dog - Copy' {told}",
        f"5 files in the folders of the labels are not read, first {tmp_path / 'cat' / '0.json'}",
    ):
        assert line in source.warnings
    assert len(source.warnings) == 4


def test_gtsrbs_tables_say_no_labels(tmp_path):
    for number in range(3):
        touch(tmp_path, f"{number:05d}/a.ppm")
        (tmp_path / f"{number:05d}" / f"GT-{number:05d}.csv").write_text("Filename;Width;ClassId\n")
    (source,) = read_all(tmp_path, TableOptions())
    assert len(source.names) == 3 and not any("files" in line for line in source.warnings)


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_label_is_refused(tmp_path, name):
    file, content, says = REFUSED[name]
    (tmp_path / file).write_text(content)
    assert says in refused(tmp_path / file)


@pytest.mark.parametrize("name", WARNED)
def test_what_may_be_no_label_is_a_warning(tmp_path, name):
    file, content, says = WARNED[name]
    (tmp_path / file).write_text(content)
    assert any(says in line for line in read_labels(tmp_path / file, TableOptions()).warnings)


@pytest.mark.parametrize("name", READ)
def test_what_looks_alike_and_is_a_label_is_read(tmp_path, name):
    file, content, labels = READ[name]
    (tmp_path / file).write_text(content)
    source = read_labels(tmp_path / file, TableOptions())
    assert labels_of(source) == labels and not source.warnings


def test_a_separator_says_that_numbers_are_classes(tmp_path):
    (tmp_path / "l.txt").write_text(lines("12 40 200 300", "9 12 80 90"))
    (tmp_path / "l.json").write_text(by_image([12, 40, 200, 300], [9, 12, 80, 90]))
    for file in ("l.txt", "l.json"):
        source = read_labels(tmp_path / file, TableOptions(separator=" "))
        assert labels_of(source) == [["12", "40", "200", "300"], ["9", "12", "80", "90"]] and not source.warnings
    (tmp_path / "classes.txt").write_text("\n".join(f"c{number}" for number in range(301)))
    assert labels_of(read_labels(tmp_path / "l.txt", TableOptions()))[1] == ["c9", "c12", "c80", "c90"]


@pytest.mark.parametrize("name", TEXTS)
def test_texts_beside_images_that_are_no_tags(tmp_path, name):
    texts, says = TEXTS[name]
    lay(tmp_path, beside(*texts))
    assert says in refused(tmp_path)


def test_texts_beside_images_of_which_each_is_another_are_a_warning(tmp_path):
    lay(tmp_path, beside(*(f"AB{number}CD" for number in range(12))))
    assert any(
        "12 of 12 labels are of one image each" in line for line in read_all(tmp_path, TableOptions())[0].warnings
    )


def test_numbers_beside_images_that_are_classes(tmp_path):
    lay(tmp_path, beside(*"0123" * 3))
    (source,) = read_all(tmp_path, TableOptions())
    assert source.names == list("0123") and not source.warnings
    lay(tmp_path, beside("34", "56"))
    for number in range(2, 12):
        (tmp_path / f"{number:02d}.txt").write_text("34")
    (source,) = read_all(tmp_path, TableOptions())
    assert any("00.txt: '34' may be no classes (one an image, 34 to 56" in line for line in source.warnings)


@pytest.mark.parametrize("name", LISTS)
def test_lists_of_a_directory_are_found(tmp_path, name):
    files, labels, states = LISTS[name]
    lay(tmp_path, files)
    sources = read_all(tmp_path, TableOptions())
    assert {tuple(source.names) for source in sources} == {tuple(labels)}
    assert {source.split: source.states.tolist() for source in sources} == states
    assert all(path for _, paths in open_sources(tmp_path, None, TableOptions()) for path in paths)


@pytest.mark.parametrize("name", LISTS_REFUSED)
def test_lists_beside_other_labels_are_asked_about(tmp_path, name):
    files, says = LISTS_REFUSED[name]
    lay(tmp_path, files)
    assert says in refused(tmp_path)
    with pytest.raises(UsageError) as caught:
        discover(tmp_path)
    assert says in str(caught.value)


@pytest.mark.parametrize("cells", [("0", "1", "0", "1", "1"), ("cat", "dog", "cat,dog", "dog", "cat")])
def test_init_names_the_list_of_a_directory(tmp_path, cells):
    lay(tmp_path, {"labels.txt": listed("", *cells)["labels.txt"]})
    touch(tmp_path, *(f"{number}/{name}" for number, name in enumerate(LISTED)))
    (tmp_path / "images").mkdir()
    for number, name in enumerate(LISTED):
        (tmp_path / str(number) / name).rename(tmp_path / "images" / name)
        (tmp_path / str(number)).rmdir()
    found = discover(tmp_path)
    assert found.settings["train"] == "labels.txt" and len(found.samples.train) + len(found.samples.validation) == 5


def test_init_names_the_lists_of_the_parts(tmp_path):
    touch(tmp_path, *(f"images/{name}" for name in LISTED))
    lay(tmp_path, {"train_list.txt": lines("2 4", "3").replace("a.jpg", "img0.jpg").replace("b.jpg", "img1.jpg")})
    lay(tmp_path, {"val_list.txt": "img2.jpg 3\n"})
    found = discover(tmp_path)
    assert found.settings.items() >= {"train": "train_list.txt", "val": "val_list.txt"}.items()


def test_a_list_of_labels_is_no_list_of_names(tmp_path):
    lay(tmp_path, {"train.txt": "a.jpg 0\nb.jpg 2\nc.jpg 1\n", "labels.txt": "a.jpg 0\nb.jpg 2\n"})
    assert read_labels(tmp_path / "train.txt", TableOptions()).names == ["0", "1", "2"]


def test_a_list_of_images_alone_hides_no_folders(tmp_path):
    touch(tmp_path, *folders("cat", "dog", "owl"))
    (tmp_path / "train.txt").write_text("cat/cat0.jpg\ndog/dog0.jpg\n")
    assert read_all(tmp_path, TableOptions())[0].names == ["cat", "dog", "owl"]
    assert discover(tmp_path, given={"val": 0.5}).settings["format"] == "folders"


@pytest.mark.parametrize("note", [b'{"labels": ["cat"]}', b'{"cat": 1, "dog": 0}'])
def test_samples_without_labels_are_left_out_and_counted(tmp_path, note):
    members = {f"s{number}_png": picture(name=str(number)) for number in range(5)}
    shard(tmp_path / "train-000000.tar", **members, s0_json=note, s2_json=note, s3_json=b"{}")
    (source,) = read_all(tmp_path, TableOptions())
    assert source.images == ["s0.png", "s2.png"]
    said = "3 images have neither a .json nor a .cls with anything in it, first 's1.png': they are left out, as nobody"
    assert any(said in line for line in source.warnings)
    assert sorted(path[-12:-4] for path in source.unpack()) == ["00000000", "00000001"]


def test_captions_of_parquet_are_no_labels(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    captions = [[f"a man rides a {word} in town"] for word in ("horse", "bike", "cart")]
    table = pyarrow.table({"image": ["a.jpg", "b.jpg", "c.jpg"], "labels": captions})
    parquet.write_table(table, tmp_path / "t.parquet")
    assert "row 1, column 'labels': 'a man rides a horse in town' and others like it" in refused(tmp_path / "t.parquet")
