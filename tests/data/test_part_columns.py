"""Columns and folders that say what trains and what tests: they are proposed, or it is said that they are not used."""

import pyarrow
import pyarrow.parquet
import pytest
from PIL import Image

from mlcfast.data.csv_labels import read_csv
from mlcfast.data.discover import discover
from mlcfast.data.readers.part_columns import dividing_columns
from mlcfast.data.readers.recognise import read_all
from mlcfast.data.readers.side_by_side import with_labels
from mlcfast.data.readers.source import TableOptions
from mlcfast.data.readers.summary import open_sources
from mlcfast.errors import UsageError
from tests.data.layouts import colour_of, touch
from tests.data.test_directories import lay

LABELS = ("cat", "dog")


def pictures(root, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), colour_of(name)).save(root / name)


@pytest.mark.parametrize(
    ("header", "cells", "found"),
    [
        ("filepath,label,split_name", ("train", "val"), {"split_column": "split_name", "val": "val"}),  # NUS-WIDE's
        ("fname,labels,is_valid", ("False", "True"), {"split_column": "is_valid", "val": "True"}),  # fastai's
        ("image,label,is_train", ("1", "0"), {"split_column": "is_train", "val": "0"}),
        ("image,label,which", ("training", "test"), {"split_column": "which", "test": "test"}),
    ],
)
def test_a_column_that_divides_the_data_is_proposed(tmp_path, header, cells, found):
    rows = [f"{n}.png,{LABELS[n % 2]},{cells[n % 3 == 0]}" for n in range(18)]
    lay(tmp_path, {"t.csv": "\n".join([header, *rows, ""])})
    pictures(tmp_path, *(f"{n}.png" for n in range(18)))
    proposed = discover(tmp_path)
    assert proposed.settings.items() >= found.items()
    assert len(proposed.samples.train) + len(proposed.samples.validation) == (18 if "val" in found else 12)
    (source,) = read_all(tmp_path / "t.csv", TableOptions())
    column = header.rpartition(",")[2]
    assert any(f"column {column!r} says which images train" in line for line in source.warnings)
    (told,) = read_all(tmp_path / "t.csv", TableOptions(split_column=column))
    assert not any("says which images train" in line for line in told.warnings)


@pytest.mark.parametrize(
    ("name", "cells"),
    [
        ("is_valid", {"1": 90, "0": 10}),  # as likely that the image can be used
        ("split", {"train": 3}), ("split", {"test": 3, "val": 1}), ("split", {"train": 3, "test": 1, "": 1}),
        ("kind", {"train": 3, "bus": 1}), ("label", {"True": 1, "False": 2}),
    ],
)  # fmt: skip
def test_a_column_that_divides_nothing(name, cells):
    assert dividing_columns({name: cells}) == {}


def test_of_several_columns_those_called_so_divide():
    cells = {"train": 3, "val": 1}
    assert [*dividing_columns({"split_a": cells, "split": cells, "image": {"train": 1}})] == ["split"]
    assert [*dividing_columns({"split_a": cells, "split_b": cells})] == ["split_a", "split_b"]


@pytest.mark.parametrize(
    "header", ["image,is_valid,is_blurry,is_dark", "image,cat,is_valid", "image,tags,is_valid,dark"]
)
def test_a_column_of_one_part_that_may_be_a_label_is_asked_about(tmp_path, header):
    words = {"tags": "cat"}
    rows = [[f"{n}.png", *(words.get(name, str(int(n % 3 == 0))) for name in header.split(",")[1:])] for n in range(18)]
    lay(tmp_path, {"t.csv": "\n".join([header, *map(",".join, rows), ""])})
    pictures(tmp_path, *(row[0] for row in rows))
    try:
        assert "split_column" not in discover(tmp_path).settings
    except UsageError as error:
        assert "data.label_columns" in str(error)


def test_a_column_of_one_part_is_taken_with_a_warning(tmp_path, caplog):
    rows = [f"{n}.png,{LABELS[n % 2]},{int(n % 3 == 0)}" for n in range(18)]
    lay(tmp_path, {"t.csv": "\n".join(["image,label,is_valid", *rows, ""])})
    pictures(tmp_path, *(f"{n}.png" for n in range(18)))
    assert discover(tmp_path).settings["split_column"] == "is_valid"
    assert "column 'is_valid' is taken for what says which images are for val" in caplog.messages


@pytest.mark.parametrize("column", ["label", "vehicle"])
def test_labels_called_as_parts_divide_nothing(tmp_path, column):
    rows = [f"{n}.png,{'test' if n % 3 else 'train'}" for n in range(18)]
    lay(tmp_path, {"t.csv": "\n".join([f"image,{column}", *rows, ""])})
    pictures(tmp_path, *(f"{n}.png" for n in range(18)))
    given = {"label_columns": [column]} if column == "vehicle" else {}
    assert "split_column" not in discover(tmp_path, None, given).settings
    (source,) = read_all(tmp_path / "t.csv", TableOptions(label_columns=tuple(given.get("label_columns", ()))))
    assert source.names == ["test", "train"]
    assert not any("says which images train" in line for line in source.warnings)


def test_columns_of_two_parts_are_named_together(tmp_path):
    cells = {0: "1,0", 1: "0,1"}
    rows = [f"{n}.png,{n % 2},{1 - n % 2},{cells.get(n % 5, '0,0')}" for n in range(20)]
    lay(tmp_path, {"t.csv": "\n".join(["image,cat,dog,is_validation,is_test", *rows, ""])})
    (source,) = read_all(tmp_path / "t.csv", TableOptions())
    said = (
        "columns 'is_validation' and 'is_test' say which images train and which are for val and test, and are not used"
    )
    assert [line.partition(": ")[0] for line in source.warnings if "which images train" in line] == [said]


@pytest.mark.parametrize("listed", [True, False])
def test_a_column_of_parquet_divides_the_data(tmp_path, listed):
    words = ["train"] * 8 + ["validation"] * 4 + ["test"] * 4
    held = {"patch_id": [f"p{n}" for n in range(16)], "split": words}
    labels = {"labels": [[LABELS[n % 2]] for n in range(16)]}
    flags = {label: [int(n % 2 == k) for n in range(16)] for k, label in enumerate(LABELS)}
    pyarrow.parquet.write_table(pyarrow.table(held | (labels if listed else flags)), tmp_path / "metadata.parquet")
    pictures(tmp_path, *(f"images/p{n}.png" for n in range(16)))
    found = discover(tmp_path)
    assert found.settings.items() >= {"split_column": "split", "val": "validation", "test": "test"}.items()
    assert (len(found.samples.train), len(found.samples.validation)) == (8, 4)


def test_a_test_without_the_column_of_readers_is_read(tmp_path):
    """VinDr-CXR's test was read by all readers together."""
    touch(tmp_path, "train/a.png", "test/z.png")
    lay(tmp_path, {"labels_train.csv": "image_id,rad_id,Mass,Edema\na,R9,1,0\na,R8,1,0\n",
                   "labels_test.csv": "image_id,Mass,Edema\nz,0,1\n"})  # fmt: skip
    sources = {source.split: source for source in read_all(tmp_path, TableOptions())}
    assert sources["train"].states.tolist() == [[1, -1]] and sources["test"].states.tolist() == [[-1, 1]]


def test_a_test_of_images_alone_is_not_read(tmp_path):
    touch(tmp_path, "a.png", "b.png", "c.png", "z.png")
    lay(tmp_path, {"train.csv": "image,weight\na.png,0\nb.png,1\nc.png,2\n", "test.csv": "image\nz.png\n"})
    parts = {"train": tmp_path / "train.csv", "test": tmp_path / "test.csv"}
    kept = {"train": tmp_path / "train.csv"}
    assert with_labels(parts) == (kept, ["test.csv has no column 'weight' as train.csv has: it is not read"])


@pytest.mark.parametrize(
    ("folders", "said"),
    [
        (("images_tr/Airport", "images_test/Airport"), ["'images_tr' (2) and 'images_test' (1), and are read as one"]),
        (("train", "val"), []),  # both may train
        (("train", "more"), []),
        (("images", "images"), []),
    ],
)
def test_images_in_folders_of_parts_are_one_set_with_a_warning(tmp_path, caplog, folders, said):
    """AID's and DFC15's tables hold the labels of both parts."""
    pictures(tmp_path, f"{folders[0]}/a.png", f"{folders[0]}/b.png", f"{folders[1]}/c.png")
    lay(tmp_path, {"multilabel.csv": "IMAGE\\LABEL,sea,sand\na,1,0\nb,0,1\nc,1,1\n"})
    ((source, paths),) = open_sources(tmp_path, None, TableOptions())
    assert all(paths)
    records = read_csv(tmp_path, "multilabel.csv")
    assert len(records) == 3
    for lines in (source.warnings, [record.message for record in caplog.records]):
        found = [line for line in lines if "folders called as parts" in line]
        assert len(found) == len(said) and all(part in found[0] for part in said)
