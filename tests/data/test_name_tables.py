"""Labels that are ids have the names that another table gives them, where that is certain; else they stay."""

import pytest

from mlcfast.config import DataConfig
from mlcfast.data.build import open_split
from mlcfast.data.csv_labels import read_csv
from mlcfast.data.discover import discover
from mlcfast.data.readers.recognise import read_all
from mlcfast.data.readers.source import TableOptions
from mlcfast.errors import UsageError
from tests.data.test_directories import lay

LIST = {"train.csv": "id,attribute_ids\nx1,12 55\nx2,301\n", "train/x1.png": "", "train/x2.png": ""}
OPEN = {
    "train.csv": "ImageID,Source,LabelName,Confidence\nx,v,/m/0abc,1\nx,v,/m/01xy9,0\ny,v,/m/0h,1\n",
    **{f"train/{name}.jpg": "" for name in "xy"},
}
PLAIN = {"train.csv": "image,label\na.jpg,0\nb.jpg,1\nc.jpg,2\n", **{f"images/{name}.jpg": "" for name in "abc"}}
GENERA = "image,genus_id\n" + "".join(f"{name}.jpg,{1 + k % 3}\n" for k, name in enumerate("abcdef"))
FREEBASE = '/m/0abc,Cat\n/m/01xy9,"Dog, big"\n/m/0h,Owl\n/m/zz,Owl\n'

# Name: files, the labels as they are read.
NAMED = {
    "imet": (
        LIST | {"labels.csv": "attribute_id,attribute_name\n0,x\n12,culture::french\n55,tag::men\n301,\"tag::a, b\"\n"},
        ["culture::french", "tag::men", "tag::a, b"],
    ),
    "open images": (OPEN | {"class-descriptions.csv": FREEBASE}, ["Dog, big", "Cat", "Owl"]),
    "open images with a header": (
        OPEN | {"oidv7-class-descriptions.csv": f"LabelName,DisplayName\n{FREEBASE}"}, ["Dog, big", "Cat", "Owl"],
    ),
    "two tables that agree": (
        OPEN | {"a.csv": FREEBASE, "b.csv": FREEBASE.replace("/m/zz,Owl", "/m/zz,Z")}, ["Dog, big", "Cat", "Owl"],
    ),
    "an object of json": (PLAIN | {"label_num_to_disease_map.json": '{"0": "Rust", "1": "Rot", "2": "None"}'},
                          ["Rust", "Rot", "None"]),
    "numbers by names": (PLAIN | {"class_to_idx.json": '{"rot": 1, "rust": 0, "mould": 2}'}, ["rust", "rot", "mould"]),
    "called as labels are": (PLAIN | {"t.csv": "label,label_name\n0,cat\n1,dog\n2,owl\n"}, ["cat", "dog", "owl"]),
    "with pandas' index": (PLAIN | {"names.csv": ",id,name\n0,0,cat\n1,1,dog\n2,2,owl\n"}, ["cat", "dog", "owl"]),
    "beside the colours of the classes": (
        PLAIN | {"label2id.json": '{"cat": 0, "dog": 1, "owl": 2}',
                 "label_colors.json": '{"0": "x", "1": "y", "2": "z"}'},
        ["cat", "dog", "owl"],
    ),
    "called as the column is": (
        PLAIN | {f"images/{name}.jpg": "" for name in "def"} | {"train.csv": GENERA,
                 "genus_names.csv": "id,name\n1,cat\n2,dog\n3,owl\n"},
        ["cat", "dog", "owl"],
    ),
    "called as the data set is": (PLAIN | {"zoo_labels.csv": "id,name\n0,cat\n1,dog\n2,owl\n"}, ["cat", "dog", "owl"]),
    "above the folder of a part": (
        {"train/t.csv": PLAIN["train.csv"], **{f"train/{name}.jpg": "" for name in "abc"},
         "names.csv": "0,cat\n1,dog\n2,owl\n"},
        ["cat", "dog", "owl"],
    ),
}  # fmt: skip
# Name: files, what is said where a table may seem to name the labels; "" where it does not.
KEPT = {
    "not all": (PLAIN | {"names.csv": "id,name\n0,cat\n1,dog\n"}, "names.csv names some of the labels, and not '2'"),
    "two alike": (OPEN | {"d.csv": FREEBASE.replace("Cat", "Owl")}, "names two labels 'Owl', '/m/0abc' and '/m/0h'"),
    "two alike of attributes": (
        LIST | {"labels.csv": "attribute_id,attribute_name\n12,x\n55,y\n301,x\n"},
        "labels.csv names two labels 'x', '12' and '301': the labels keep their ids",
    ),
    "tables that differ": (
        OPEN | {"a.csv": FREEBASE, "b.csv": FREEBASE.replace("Cat", "Lion")},
        "a.csv and b.csv name the labels otherwise",
    ),
    "counted from 1, and perhaps from 0": (
        {**PLAIN, "train.csv": "image,label\na.jpg,1\nb.jpg,2\nc.jpg,3\n",
         "names.csv": "id,name\n1,w\n2,x\n3,y\n4,z\n"},
        "names the labels: they keep their ids as no image has '4', so that they may count from 0 and the names from 1",
    ),
    "counted from 0, and perhaps from 1": (
        {**PLAIN, "train.csv": "image,label\na.jpg,1\nb.jpg,2\nc.jpg,1\n", "names.csv": "id,name\n0,w\n1,x\n2,y\n"},
        "they keep their ids as no image has '0', so that they may count from 1 and the names from 0",
    ),
    "a control character": (OPEN | {"d.csv": FREEBASE.replace("Cat", "\x1b[31mCat")}, "names '/m/0abc' with a control"),
    "groups of classes": (PLAIN | {"t.csv": "label,group\n0,cat\n1,dog\n2,owl\n"}, ""),
    "another thing's numbers": (PLAIN | {"patients.csv": "id,name\n0,Ann\n1,Bob\n2,Eve\n"}, ""),
    "words": (
        {**PLAIN, "train.csv": "image,label\na.jpg,cat\nb.jpg,dog\n",
         "names.csv": "label,name\ncat,Felis 1\ndog,Canis 2\n"}, "",
    ),
    "a list of images": (PLAIN | {"labels.csv": "id,tags\n0,fog\n1,rain\n2,snow\n"}, ""),
    "an object of images": (PLAIN | {"labels.json": '{"0": "fog", "2": "rain", "1": "snow", "07": "hail"}'}, ""),
    "an image of each class": (PLAIN | {"classes.json": '{"0": "x/u.png", "1": "x/v.png", "2": "x/w.png"}'}, ""),
    "a class of each image": (PLAIN | {"labels.json": '{"d.jpg": 0, "e.jpg": 1, "f.jpg": 2}'}, ""),
    "numbers of aircraft": (PLAIN | {"names.csv": "label,name\n0,A320\n1,B-52\n2,C-130\n"}, ""),
    "a column beside that of the labels": (
        PLAIN | {"train.csv": "image,stain,label\na.jpg,1,0\nb.jpg,2,1\nc.jpg,0,2\n",
                 "stain_labels.json": '{"0": "blue", "1": "red", "2": "none"}'},
        "stain_labels.json may be of 'stain' (write classes.csv, `label,name`, if it is not): the labels keep their",
    ),
    "names of sites": (PLAIN | {"site_names.csv": "id,name\n0,Rome\n1,Bern\n2,Oslo\n"}, "may be of 'site'"),
    "colours of classes": (PLAIN | {"class_colors.json": '{"0": "#00ff00", "1": "red", "2": "blue"}'}, "of 'color'"),
    "how many there are": (PLAIN | {"class_counts.json": '{"cat": 2, "dog": 0, "owl": 1}'}, "may be of 'count'"),
    "what is above them": (OPEN | {"hypernyms.csv": FREEBASE}, "may be of 'hypernym'"),
    "predictions": (PLAIN | {"pred_labels.csv": "id,name\n0,cat\n1,dog\n2,owl\n"}, "may be of 'pred'"),
    "another rank": (
        PLAIN | {"train.csv": GENERA,
                 "species.csv": "species_id,species_name\n1,Aus bus\n2,Aus cus\n3,Bus dus\n"},
        "may be of 'species'",
    ),
    "attributes beside classes": (
        PLAIN | {"train.csv": "image,class_id\na.jpg,1\nb.jpg,2\nc.jpg,3\n",
                 "t.csv": "attribute_id,attribute_name\n1,red wing\n2,long bill\n3,crest\n"},
        "may be of 'attribute'",
    ),
    "finer classes": (
        PLAIN | {"names.csv": "id,name\n" + "".join(f"{k},x{'abcdefgh'[k]}\n" for k in range(8))},
        "they keep their ids as they count to 2, and its names to 7, so that these may be of another thing",
    ),
    "titles of images": (
        {"train.csv": "id,label\n0,1\n1,2\n2,1\n3,2\n", "labels.csv": "id,label\n0,fog\n1,rain\n2,snow\n3,sun\n",
         **{f"train/{name}.jpg": "" for name in "0123"}}, "",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", NAMED)
def test_ids_have_the_names_of_another_table(name, tmp_path):
    files, names = NAMED[name]
    lay(tmp_path, files)
    (source,) = read_all(tmp_path, TableOptions())
    assert source.names == names
    assert sum("the labels have their names from" in line for line in source.assumptions) == 1
    beside = name in ("two tables that agree", "beside the colours of the classes")
    assert sum("names no image: it is not read" in line for line in source.warnings) == beside
    found = discover(tmp_path, given={"val": 0.5, "allow_overlap": True, "group": None})
    assert found.samples.train.names == names


@pytest.mark.parametrize("name", KEPT)
def test_ids_stay_where_a_table_may_not_name_them(name, tmp_path):
    files, says = KEPT[name]
    lay(tmp_path, files)
    (source,) = read_all(tmp_path / "train.csv", TableOptions())
    assert not any("names from" in line for line in source.assumptions)
    lines = [line for line in source.warnings if "their ids" in line]
    assert says in lines[0] if says else not lines


def test_large_tables_of_other_things_are_not_gone_through_cell_by_cell(tmp_path, monkeypatch):
    """Of twice the same id, or of cells that are none, as tables of measures are."""
    lay(tmp_path, PLAIN | {"twice.csv": "id,value\n" + "x1,2\n" * 9, "long.csv": "id,value\n" + "x1,a\n" * 64 + "x,\0"})
    monkeypatch.setattr("mlcfast.data.readers.name_tables.plain_label", None)
    assert read_all(tmp_path / "train.csv", TableOptions())[0].names == ["0", "1", "2"]


def test_label_columns_keep_the_ids(tmp_path):
    lay(tmp_path, NAMED["imet"][0])
    (source,) = read_all(tmp_path / "train.csv", TableOptions(label_columns=("attribute_ids",)))
    assert source.names == ["12", "55", "301"]
    assert "labels.csv names the labels: they keep their ids by data.label_columns" in source.warnings


@pytest.mark.parametrize("trained_on", [["12", "301", "55", "7"], ["tag::men", "culture::french", "tag::a, b"]])
def test_a_split_is_read_by_the_labels_of_training(tmp_path, trained_on):
    """Those of a run that knew no names are ids."""
    lay(tmp_path, NAMED["imet"][0])
    records = read_csv(tmp_path, "train.csv", trained_on)
    held = [{records.names[k] for k in range(len(trained_on)) if row[k] == 1} for row in records.labels]
    assert held == ([{"12", "55"}, {"301"}] if "7" in trained_on else [{"culture::french", "tag::men"}, {"tag::a, b"}])


def test_a_split_without_the_first_class_has_the_names_of_training(tmp_path):
    """Which alone might be counted otherwise."""
    names, held = "id,name\n0,cat\n1,dog\n2,owl\n", {f"images/{name}.jpg": "" for name in "de"}
    lay(tmp_path, PLAIN | held | {"names.csv": names, "val.csv": "image,label\nd.jpg,1\ne.jpg,2\n"})
    trained = read_csv(tmp_path, "train.csv").names
    assert trained == ["cat", "dog", "owl"] and read_csv(tmp_path, "val.csv").names == ["1", "2"]
    assert read_csv(tmp_path, "val.csv", trained).labels.tolist() == [[0, 1, 0], [0, 0, 1]]
    assert [source.names for source in read_all(tmp_path, TableOptions())] == [trained, ["dog", "owl"]]


def test_a_split_away_from_the_table_of_names_is_called_as_in_training(tmp_path):
    """Which it was when both had ids, as one in a folder that is not called as a part of the data."""
    names, files = "id,name\n0,cat\n1,dog\n2,owl\n", {f"images/{name}.jpg": "" for name in "def"}
    lay(tmp_path, PLAIN | files | {"names.csv": names, "v/v.csv": "image,label\nd.jpg,2\ne.jpg,0\nf.jpg,1\n"})
    settings = DataConfig(root=str(tmp_path), train="train.csv", val="v/v.csv", format="auto")
    trained = open_split(settings, "train.csv")
    assert trained.names == ["cat", "dog", "owl"]
    held = open_split(settings, "v/v.csv", trained.names)
    assert (held.names, held.labels.tolist()) == (trained.names, [[0, 0, 1], [1, 0, 0], [0, 1, 0]])
    (tmp_path / "v" / "v.csv").write_text("image,label\nd.jpg,2\ne.jpg,7\nf.jpg,1\n")
    with pytest.raises(UsageError, match="line 3 has the label '7', which is not in the training file"):
        open_split(settings, "v/v.csv", trained.names)


def test_a_label_without_a_name_is_the_one_that_training_has_not(tmp_path):
    lay(tmp_path, PLAIN | {"names.csv": "id,name\n0,cat\n1,dog\n2,owl\n", "val.csv": "image,label\na.jpg,1\nb.jpg,3\n"})
    with pytest.raises(UsageError, match="line 3 has the label '3', which is not in the training file"):
        read_csv(tmp_path, "val.csv", read_csv(tmp_path, "train.csv").names)


def test_a_label_that_training_has_not_is_named(tmp_path):
    lay(tmp_path, NAMED["imet"][0])
    with pytest.raises(UsageError, match="line 2 has the label 'culture::french', which is not in the training file"):
        read_csv(tmp_path, "train.csv", ["tag::men", "tag::a, b"])
