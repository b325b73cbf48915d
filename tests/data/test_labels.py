"""Sparse label tables against the matrices they stand for; nothing between reader and loss is made dense."""

import dataclasses
import logging
import os
import resource
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch

from mlcfast.config import Config
from mlcfast.data import labels as tables
from mlcfast.data import read_csv
from mlcfast.data.build import FEATURES_AT_ONCE, make_loaders, open_samples
from mlcfast.data.labels import SparseLabels, from_entries
from mlcfast.data.protocol import observe_single_positive
from mlcfast.data.stratify import stratified_split
from mlcfast.engine import Process
from mlcfast.errors import UsageError
from mlcfast.evaluation.gather import evaluate_loader
from mlcfast.training.announce import announce_samples
from mlcfast.training.build import make_training_module

pyarrow = pytest.importorskip("pyarrow", reason="reads Parquet files")
from pyarrow import parquet  # noqa: E402  # after the skip

# Images, labels and labels of an image. A matrix of 2,000 images would hold 18 MiB; docs/data.md measures a million.
M, K, EACH = int(os.environ.get("MLCFAST_LABELLED_IMAGES", 2000)), 9605, 20


@pytest.fixture
def states(monkeypatch) -> np.ndarray:
    """A matrix (50, 40) of mostly −1, with 1 and 0 between; every table of it is kept sparse."""
    monkeypatch.setattr(tables, "DENSE_ENTRIES", 0)
    random = np.random.default_rng(0)
    matrix = np.where(random.random((50, 40)) < 0.05, 1, -1).astype(np.int8)
    matrix[random.random(matrix.shape) < 0.02] = 0
    matrix[7] = -1  # a row without an entry
    return matrix


def sparse(matrix: np.ndarray, fill: int = -1) -> SparseLabels:
    rows, columns = np.nonzero(matrix != fill)
    order = np.random.default_rng(1).permutation(len(rows))
    table = from_entries(rows[order], columns[order], matrix.shape, matrix[rows, columns][order], fill)
    assert isinstance(table, SparseLabels)
    return table


def test_rows_counts_and_places_are_those_of_the_matrix(states):
    table, rows, random = sparse(states), np.array([3, 3, 7, 49, 0]), np.random.default_rng(2)
    assert np.array_equal(table.dense(), states) and np.array_equal(table.dense(rows), states[rows])
    assert np.array_equal(table[rows].dense(), states[rows]) and np.array_equal(table[rows[:0]].dense(), states[:0])
    assert np.array_equal(table[states[:, 0] == 1].dense(), states[states[:, 0] == 1])
    assert np.array_equal(table[5:9].dense(), states[5:9])
    for value in (1, 0, -1):
        assert tables.holds(table, value) == (states == value).any()
        for axis in (0, 1):
            assert np.array_equal(tables.count(table, value, axis), (states == value).sum(axis=axis))
    assert all(map(np.array_equal, tables.pairs(table), np.nonzero(states == 1)))
    places = random.permutation(45)[:40]
    places[3] = -1  # left out
    moved = tables.placed(table, places, 45, -1)
    assert isinstance(moved, SparseLabels)
    assert np.array_equal(moved.dense(), tables.placed(states, places, 45, -1))
    assert np.array_equal(tables.stacked([table, table[rows]]).dense(), np.concatenate([states, states[rows]]))
    assert np.array_equal(tables.whole(tables.absent_as_zero(table)), np.maximum(states, 0))


def test_the_last_of_several_values_of_an_entry_counts(states):
    table = from_entries(np.array([1, 0, 1]), np.array([2, 0, 2]), (9, 40), np.array([1, 1, 0]))
    assert table.dense()[1, 2] == 0 and table.dense()[0, 0] == 1 and len(table.values) == 2


def test_a_sparse_table_is_not_made_dense_unasked(states):
    for touch in (np.asarray, lambda table: table[0], lambda table: table[:, 1]):
        with pytest.raises(TypeError, match="sparse"):
            touch(sparse(states))
    with pytest.raises(ValueError, match="columns must be in"):
        SparseLabels(np.array([0, 1]), np.array([40]), np.array([1]), 40)


def test_a_small_or_full_table_is_a_matrix():
    assert isinstance(from_entries(np.array([0]), np.array([1]), (2, 2)), np.ndarray)
    every = np.indices((5000, 5000)).reshape(2, -1)
    assert isinstance(from_entries(*every, (5000, 5000)), np.ndarray)


def test_protocol_and_stratified_split_take_either(states, monkeypatch):
    full = np.maximum(states, 0)
    full[~full.any(axis=1), 1] = 1
    monkeypatch.setattr(tables, "AT_ONCE", 40 * 7)  # seven rows at once: the draws go on from one part to the next
    observed = observe_single_positive(sparse(full, 0))
    assert isinstance(observed, SparseLabels) and np.array_equal(observed.dense(), observe_single_positive(full))
    for both in zip(stratified_split(sparse(full, 0), 0.3, 1), stratified_split(full, 0.3, 1), strict=True):
        assert np.array_equal(*both)


def write_lists(file: Path, images: int, random: np.random.Generator) -> None:
    """A Parquet file of images with EACH of K labels, but for row 5, whose list is empty, and row 6, which has none."""
    words = pyarrow.array([f"label {k:04d}" for k in range(K)])
    edges = np.linspace(0, K, EACH + 1).astype(int)
    writer = None
    for first in range(0, images, 100_000):
        rows = min(100_000, images - first)
        chosen = pyarrow.array(random.integers(edges[:-1], edges[1:], (rows, EACH)).astype(np.int32).ravel())
        counts = np.full(rows, EACH)
        counts[5:7] = np.where(first, EACH, 0)
        starts = np.append(0, np.cumsum(counts)).astype(np.int32)
        nulls = pyarrow.array((np.arange(rows) == 6) & (first == 0))
        lists = pyarrow.ListArray.from_arrays(pyarrow.array(starts), words.take(chosen[: starts[-1]]), mask=nulls)
        names = [f"{row:07d}.jpg" for row in range(first, first + rows)]
        table = pyarrow.table({"image": names, "labels": lists})
        writer = writer or parquet.ParquetWriter(file, table.schema)
        writer.write_table(table)
    writer.close()


@pytest.fixture
def wide_set(tmp_path) -> Path:
    """Features of M images, and of up to 100,000 to validate on, with their labels."""
    for split, images in (("train", M), ("val", min(M, 100_000))):
        (tmp_path / split).mkdir()
        random = np.random.default_rng(3)  # the same images in both, and so the same labels
        np.save(tmp_path / split / "features.npy", random.standard_normal((images, 8)).astype(np.float16))
        write_lists(tmp_path / split / "labels.parquet", images, np.random.default_rng(4))
    return tmp_path


class Refuses(SparseLabels):
    """Labels of which a batch is given, and nothing more."""

    def dense(self, rows=slice(None)):
        matrix = super().dense(rows)
        assert len(matrix) <= FEATURES_AT_ONCE, "more than a batch was made dense"
        return matrix


class Clock:
    """Logs the CPU seconds since it was last asked, and the most memory so far; docs/data.md has those at full size."""

    def __init__(self) -> None:
        self.begun = time.process_time()

    def __call__(self, what: str) -> None:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        seconds = time.process_time() - self.begun
        logging.getLogger("mlcfast").info("%s: %.4g CPU s, at most %d MiB", what, seconds, peak)
        self.begun = time.process_time()


def test_no_matrix_of_all_labels_is_made_on_the_way_to_a_step_and_an_evaluation(wide_set):
    config = Config.model_validate(
        {
            "name": "wide",
            "data": {"format": "features", "root": str(wide_set)},
            "model": {"head": "linear", "backbone": "none", "weights": "none"},
            "loss": {"name": "asymmetric"},
            "engine": {"micro_batch": 256, "global_batch": 256, "precision": "fp32"},
        }
    )
    if M < 10_000:  # it takes longer than what it watches
        tracemalloc.start()
    clock = Clock()
    samples = open_samples(config)
    clock(f"opened {M} and {len(samples.validation)} images")
    assert not tracemalloc.is_tracing() or tracemalloc.get_traced_memory()[1] < M * K
    tracemalloc.stop()
    kept, names = samples.train.labels, samples.train.names
    assert isinstance(kept, SparseLabels) and kept.shape == (M, len(names))
    assert not kept.dense([5, 6]).any() and (kept.dense([0, 7, M - 1]).sum(axis=1) == EACH).all()
    held = samples.validation.labels
    parts = {
        part: dataclasses.replace(
            records, labels=Refuses(each.starts, each.columns, each.values, each.width, each.fill)
        )
        for part, records, each in (("train", samples.train, kept), ("validation", samples.validation, held))
    }
    samples = dataclasses.replace(samples, **parts)
    assert announce_samples({"training": samples.train})["sides"]["training"]["unlabelled"] == 2
    loaders = make_loaders(config, samples, Process())
    module = make_training_module(config, samples.train)
    rows = np.random.default_rng(4).integers(0, M, 256)
    clock("announced and built")
    assert np.array_equal(samples.train.labels.dense(rows), kept.dense(rows))
    clock("two batches of 256 label rows")
    features, labels, index = next(iter(loaders.train))
    assert labels.shape == (256, len(names)) and np.array_equal(labels.numpy(), kept.dense(index.numpy()))
    loss = module(features, labels, index)
    loss.backward()
    assert torch.isfinite(loss)
    clock("a step")

    class Model:
        def predict(self, features):
            return torch.sigmoid(module.model(features)).detach()

    streamed = evaluate_loader(Model(), loaders.validation, names, "in parts", quiet=True, most_held=1)
    assert streamed.rows is not None and streamed.report["images"] == len(samples.validation)
    clock("evaluated")
    if M < 10_000:
        held = evaluate_loader(Model(), loaders.validation, names, "all", quiet=True)
        assert streamed.report == held.report and np.array_equal(streamed.thresholds, held.thresholds)
        assert len(streamed.rows) < M and np.array_equal(streamed.scores, held.scores[streamed.rows])


def test_the_lists_of_a_parquet_file_are_read_as_a_table_reads_them(wide_set, monkeypatch):
    for row in range(M):
        (wide_set / "train" / f"{row:07d}.jpg").touch()
    quick = read_csv(wide_set / "train", "labels.parquet")
    monkeypatch.setattr("mlcfast.data.readers.arrow.read_list_column", lambda *_: None)
    slow = read_csv(wide_set / "train", "labels.parquet")
    assert quick.names == slow.names and quick.paths == slow.paths
    assert np.array_equal(quick.labels.dense(), slow.labels.dense())


@pytest.mark.parametrize(
    ("lists", "shown"),
    [([["cat", "none"], ["dog"]], "means no label"), ([["0", "1"], ["1", "1"]], "may be classes or a flag for each")],
)
def test_what_a_table_refuses_is_refused_in_parquet(tmp_path, lists, shown):
    parquet.write_table(pyarrow.table({"image": ["a.jpg", "b.jpg"], "labels": lists}), tmp_path / "t.parquet")
    with pytest.raises(UsageError, match=shown):
        read_csv(tmp_path, "t.parquet")
