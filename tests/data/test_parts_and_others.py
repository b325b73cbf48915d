"""Tables of parts, `train.csv`, with further tables beside them: inspect and init read the same, or ask the same."""

import pytest

from mlcfast.data.discover import discover
from mlcfast.data.readers.recognise import read_all, read_named
from mlcfast.data.readers.source import TableOptions
from mlcfast.errors import UsageError
from tests.data.layouts import BOX
from tests.data.test_directories import coco, lay


def table(*images: str, word: str = "label") -> str:
    return f"image,{word}\n" + "".join(f"{image}.jpg,{('cat', 'dog')[k % 2]}\n" for k, image in enumerate(images))


IMAGES = {f"images/{name}.jpg": "" for name in "abcdefgh"}
TRAIN = IMAGES | {"train.csv": table(*"abcd")}
PARTS = TRAIN | {"val.csv": table("e", "f")}
BOXES = {"data.yaml": "train: images\nval: images\nnames: [cat, dog]\n", **{f"labels/{n}.txt": BOX for n in "abcdefgh"}}

# Name: files, the files that are read, what is said of those that are not.
READ = {
    "another thing": (TRAIN | {"sites.csv": "site,age\nx1,30\nx2,40\n"}, ["train.csv"], "sites.csv names no image"),
    "all images": (PARTS | {"all.csv": table(*"abcdefgh")}, ["train.csv", "val.csv"],
                   "all.csv is not read, as train.csv and val.csv are: name it if it holds the labels"),
    "parts of two kinds": (TRAIN | {"val.json": '[{"image": "e.jpg", "label": "cat"}]'}, ["train.csv", "val.json"], ""),
}  # fmt: skip
# Name: files, what both say.
ASKED = {
    "other labels": (TRAIN | {"labels.csv": table(*"bcda")}, "may be read as train.csv or as labels.csv: name the"),
    "a test without labels, and others": (
        TRAIN | {"test.csv": "image\ng.jpg\n", "labels.csv": table(*"bcda")},
        "may be read as train.csv or as labels.csv",
    ),
    "metadata without labels": (
        TRAIN | {"metadata.csv": "image,site,age\na.jpg,x,30\nb.jpg,y,40\nc.jpg,y,50\n"},
        "may be read as metadata.csv or as train.csv: name the file of the labels",
    ),
    "no labels in it": (
        IMAGES | {"train.csv": "image,site,age\na.jpg,x,30\nb.jpg,y,40\nc.jpg,y,50\n", "labels.csv": table(*"bcda")},
        "holds several label files, labels.csv, train.csv: name one of them",
    ),
    "folders": ({"cat/a.jpg": "", "dog/b.jpg": "", "train.csv": table("a", "b")}, "may be read as folders, each a"),
    "boxes": (TRAIN | BOXES, "may be read as yolo or as the table train.csv"),
}  # fmt: skip


@pytest.mark.parametrize("name", READ)
def test_inspect_and_init_read_the_same_tables(name, tmp_path):
    files, read, said = READ[name]
    lay(tmp_path, files)
    sources = read_all(tmp_path, TableOptions())
    assert [source.path.name for source in sources] == read
    assert any(said in line for line in sources[0].warnings) or not said
    found = discover(tmp_path, given={"allow_overlap": True} | ({} if read[1:] else {"val": 0.5}))
    assert [found.settings[part] for part in ("train", "val")[: len(read)]] == read
    if read[1:]:
        assert read_named(tmp_path, "val", TableOptions()).images == sources[1].images


@pytest.mark.parametrize("name", ASKED)
def test_inspect_and_init_ask_the_same(name, tmp_path):
    files, says = ASKED[name]
    lay(tmp_path, files)
    for read in (lambda: read_all(tmp_path, TableOptions()), lambda: discover(tmp_path)):
        with pytest.raises(UsageError) as caught:
            read()
        assert says in str(caught.value)


def test_init_asks_where_a_directory_is_read_by_other_files(tmp_path):
    """Which inspect reads, and says so."""
    lay(tmp_path, TRAIN | {"annotations/train.json": coco(*(f"{name}.jpg" for name in "abcdefgh"))})
    assert read_all(tmp_path, TableOptions())[0].path.name == "train.json"
    with pytest.raises(
        UsageError, match=r"may be read as coco, by train\.json, or by train\.csv: name the file of the"
    ):
        discover(tmp_path)
    lay(
        tmp_path / "x",
        IMAGES | {"train.txt": "a.jpg cat\nb.jpg dog\n", "val.txt": "c.jpg cat\n", "t.csv": table(*"abc")},
    )
    with pytest.raises(UsageError, match=r"may be read as list, by t\.csv, or by train\.txt"):
        discover(tmp_path / "x")
