"""Sets as Kaggle and their authors' archives lay them out, in miniature: read as they were meant, or said why not."""

from pathlib import Path

import pytest

from mlcfast.data.discover import discover
from mlcfast.data.readers.recognise import read_all, read_named
from mlcfast.data.readers.source import TableOptions
from mlcfast.errors import UsageError
from tests.data.known_sets import READ, REFUSED
from tests.data.test_directories import lay


@pytest.mark.parametrize("name", READ)
def test_known_sets_are_read_as_they_were_meant(tmp_path, name):
    files, form, labels, states, said = READ[name]
    lay(tmp_path, files)
    sources = read_all(tmp_path, TableOptions())
    assert {(source.format, *source.names) for source in sources} == {(form, *labels)}
    assert {source.split: source.states.tolist() for source in sources} == states
    lines = [line for source in sources for line in (*source.assumptions, *source.warnings)]
    assert all(any(part in line for line in lines) for part in said), lines
    for source in sources:
        assert source.unpack or all((Path(source.root or tmp_path) / image).is_file() for image in source.images)


@pytest.mark.parametrize("name", REFUSED)
def test_what_known_sets_leave_open_is_one_line(tmp_path, name):
    files, says = REFUSED[name]
    lay(tmp_path, files)
    with pytest.raises(UsageError) as caught:
        read_all(tmp_path, TableOptions())
    said = str(caught.value)
    assert said.startswith(str(tmp_path)) and says in said and "\n" not in said


@pytest.mark.parametrize("form", ["auto", "folders"])
def test_parts_of_another_name_are_named_by_their_word(tmp_path, form):
    lay(tmp_path, READ["scenes of Intel"][0])
    train, test = (read_named(tmp_path, word, TableOptions(form=form)) for word in ("train", "test"))
    assert train.names == ["forest", "sea"] and train.states.tolist() == test.states.tolist() == [[1, -1], [-1, 1]]


def test_a_set_in_the_only_folder_of_its_archive_is_trained_on(tmp_path):
    files = {
        f"set/{part}/{label}/{label}{part}.jpg": "" for part in ("train", "val", "test") for label in ("cat", "dog")
    }
    lay(tmp_path, files)
    found = discover(tmp_path)
    chosen = {"root": str(tmp_path / "set"), "train": "train", "val": "val"}
    assert found.settings.items() >= chosen.items()
    assert found.samples.train.names == ["cat", "dog"] and len(found.samples.validation) == 2
