"""Where two readings are possible, the right one is taken and said, or both are named in one line with the remedy."""

import pytest

from mlcfast.config import DataConfig
from mlcfast.data.discover import discover
from mlcfast.data.readers.recognise import read_all, read_labels
from mlcfast.data.readers.source import TableOptions
from mlcfast.data.readers.summary import open_sources
from mlcfast.errors import UsageError
from tests.data.layouts import samples_of
from tests.data.test_directories import lay
from tests.data.test_hasty_tables import write
from tests.data.two_readings import COLOURS, READ, READ_SETS, REFUSED, REFUSED_SETS, SETTLED, WARNED, images


@pytest.mark.parametrize("name", READ)
def test_the_right_reading_is_taken(tmp_path, name):
    content, labels, states, said = READ[name]
    source = read_labels(write(tmp_path, content), TableOptions())
    assert (source.names, source.states.tolist()) == (labels, states) and not source.warnings
    assert all(any(each in line for line in source.assumptions) for each in said)


@pytest.mark.parametrize("name", WARNED)
def test_the_other_reading_is_a_warning(tmp_path, name):
    content, says = WARNED[name]
    assert any(says in line for line in read_labels(write(tmp_path, content), TableOptions()).warnings)


@pytest.mark.parametrize("name", REFUSED)
def test_both_readings_are_named(tmp_path, name):
    content, says = REFUSED[name]
    with pytest.raises(UsageError) as caught:
        read_labels(write(tmp_path, content), TableOptions())
    assert str(caught.value).startswith(str(tmp_path)) and says in str(caught.value)


@pytest.mark.parametrize("name", SETTLED)
def test_the_remedy_settles_it(tmp_path, name):
    content, options, labels, states = SETTLED[name]
    source = read_labels(write(tmp_path, content), TableOptions(**options))
    assert (source.names, source.states.tolist()) == (labels, states)
    assert not any("set data.label_columns" in line for line in source.warnings)


def test_a_word_in_two_columns_that_are_named_is_asked_about(tmp_path):
    with pytest.raises(UsageError) as caught:
        read_labels(write(tmp_path, COLOURS), TableOptions(label_columns=("upper_color", "lower_color")))
    says = (
        "line 3, column 'upper_color': 'blue' stands in column 'lower_color' too, in line 2: set data.format to list if"
    )
    assert says in str(caught.value) and "write 'upper_color: blue' and 'lower_color: blue'" in str(caught.value)


@pytest.mark.parametrize("name", READ_SETS)
def test_sets_are_read(tmp_path, name):
    files, place, labels, states = READ_SETS[name]
    lay(tmp_path, files)
    root = None if not place else tmp_path
    found = open_sources(tmp_path / place, root, TableOptions())
    assert {tuple(source.names) for source, _ in found} == {tuple(labels)} and all(all(paths) for _, paths in found)
    assert {source.split: source.states.tolist() for source, _ in found} == states


@pytest.mark.parametrize("name", REFUSED_SETS)
def test_sets_that_may_be_read_otherwise_are_one_line(tmp_path, name):
    files, place, says = REFUSED_SETS[name]
    lay(tmp_path, files)
    with pytest.raises(UsageError) as caught:
        read_all(tmp_path / place, TableOptions())
    assert str(caught.value).startswith(str(tmp_path)) and says in str(caught.value)


@pytest.mark.parametrize("names", [("train", "val"), ("labels/train.csv", "labels/val.csv")])
def test_tables_of_parts_in_a_folder_train_by_either_name(tmp_path, names):
    lay(tmp_path, READ_SETS["tables of parts in labels"][0])
    read = samples_of(DataConfig(format="auto", root=str(tmp_path), train=names[0], val=names[1]))
    assert read.train.labels.tolist() == [[1, 1], [1, 0]] and read.validation.labels.tolist() == [[1, 1]]
    assert discover(tmp_path).settings.items() >= {"train": "train", "val": "val"}.items()


def test_a_label_of_training_whose_column_is_blank_elsewhere_is_unknown_there(tmp_path):
    lay(tmp_path, images(*(f"{number}.jpg" for number in range(5))))
    lay(tmp_path, {"train.csv": "image,cat,dog,owl\n0.jpg,1,0,0\n1.jpg,0,1,1\n2.jpg,0,1,0\n"})
    lay(tmp_path, {"val.csv": "image,cat,dog,owl\n3.jpg,1,0,\n4.jpg,0,0,\n"})
    read = samples_of(DataConfig(format="auto", root=str(tmp_path), train="train.csv", val="val.csv"))
    assert read.validation.names == ["cat", "dog", "owl"]
    assert read.validation.labels.tolist() == [[1, -1, 0], [-1, -1, 0]]
    lay(tmp_path, {"train.csv": "image,cat,dog,owl\n0.jpg,1,0,\n1.jpg,0,1,\n2.jpg,0,1,\n"})
    lay(tmp_path, {"val.csv": "image,cat,dog,owl\n3.jpg,1,0,1\n4.jpg,0,0,0\n"})
    settings = {"format": "auto", "root": str(tmp_path), "train": "train.csv", "val": "val.csv"}
    with pytest.raises(UsageError, match=r"'owl' is one of them, and is none there.*all labels in data\.label_columns"):
        samples_of(DataConfig(**settings))
    read = samples_of(DataConfig(**settings, label_columns=["cat", "dog", "owl"]))
    assert read.validation.labels.tolist() == [[1, 0, 1], [0, 0, 0]]
