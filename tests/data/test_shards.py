"""Shards whose names say that there are others, which are not read."""

from pathlib import Path

import pytest

from mlcfast.data.readers.recognise import read_all
from mlcfast.data.readers.source import TableOptions
from mlcfast.data.readers.unpacked import missing_shards
from tests.data.layouts import parquet_shards, picture, shard

FIRST = "data/train-00000-of-00002.parquet"


def said(path):
    """The warnings of shards."""
    return [line for source in read_all(path, TableOptions()) for line in source.warnings if "shards" in line]


def test_all_shards_are_no_warning(tmp_path):
    parquet_shards(tmp_path)
    assert said(tmp_path) == []


def test_a_shard_beside_the_one_that_is_named(tmp_path):
    parquet_shards(tmp_path)
    assert said(tmp_path / FIRST) == ["1 of 2 shards are not read, first train-00001-of-00002: name the directory"]


@pytest.mark.parametrize("named", ["", FIRST])
def test_a_shard_that_is_not_there(tmp_path, named):
    parquet_shards(tmp_path)
    (tmp_path / "data" / "train-00001-of-00002.parquet").unlink()
    remedy = "fetch them, for these are not all images"
    assert said(tmp_path / named) == [f"1 of 2 shards are not read, first train-00001-of-00002: {remedy}"]


def test_a_shard_of_tar_counted_from_1(tmp_path):
    note = b'{"labels": ["cat"]}'
    for number in (1, 3):
        members = {f"a{number}_png": picture(name=str(number)), f"a{number}_json": note}
        shard(tmp_path / f"train-{number:03}-of-003.tar", **members)
    remedy = "fetch them, for these are not all images"
    assert said(tmp_path) == [f"1 of 3 shards are not read, first train-002-of-003: {remedy}"]


def test_a_name_that_says_of_shards_without_end_is_not_counted_through():
    (line,) = missing_shards([Path(f"train-0-of-{10**15}.tar")])
    assert line.startswith(f"{10**15 - 1} of {10**15} shards are not read, first train-1-of-{10**15}: fetch them")
    assert missing_shards([Path("a-1-of-2.tar"), Path("a-2-of-2.tar"), Path("b-0-of-1.tar")]) == []
