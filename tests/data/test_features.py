"""Feature sets as files: what is read, in which order it is batched, and what is refused, naming file and row."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from mlcfast.data import EvalSampler, FeatureLoader, TrainSampler, feature_width, read_features
from mlcfast.errors import UsageError

N, D, K = 7, 5, 3


@pytest.fixture
def flat(tmp_path) -> Path:
    """Seven images in the layout of the published code."""
    random = np.random.RandomState(0)
    np.save(tmp_path / "train_features_imagenet_resnet50.npy", random.randn(N, D).astype(np.float32))
    np.save(tmp_path / "formatted_train_labels.npy", (np.arange(N)[:, None] % K == np.arange(K)).astype(np.float64))
    return tmp_path


def test_published_layout(flat):
    records = read_features(flat, "train")
    assert records.features.shape == (N, D) and feature_width(flat, "train") == D
    assert records.labels.dtype == np.int8 and records.labels.argmax(axis=1).tolist() == [0, 1, 2, 0, 1, 2, 0]
    assert records.names == ["0", "1", "2"]
    assert [records.image_ids[i] for i in (0, 6)] == ["00000000", "00000006"]
    assert records.sorted_by_id_text().rows.tolist() == list(range(N))
    (flat / "label_names.txt").write_text("cat\ndog\nant\n")
    assert read_features(flat, "train").names == ["cat", "dog", "ant"]


def test_csv_labels_in_the_order_asked_for(flat):
    (flat / "formatted_train_labels.npy").unlink()
    (flat / "train_labels.csv").write_text("b,a\n" + "1,-1\n" * N)
    records = read_features(flat, "train", ["a", "b"])
    assert (records.names, records.labels[3].tolist()) == (["a", "b"], [-1, 1])


def test_half_precision_with_its_note(tmp_path):
    (tmp_path / "val").mkdir()
    np.save(tmp_path / "val" / "features.npy", np.eye(4, 6, dtype=np.float16))
    np.save(tmp_path / "val" / "labels.npy", np.array([[1, -1], [0, 1], [1, 0], [1, 1]], np.int8))
    note = {"names": ["x", "y"], "image_ids": ["9", "10", "11", "100"], "paths": ["a", "b", "c", "d"]}
    (tmp_path / "val" / "features.json").write_text(json.dumps(note))
    records = read_features(tmp_path, "val").sorted_by_id_text()
    assert records.image_ids == ["10", "100", "11", "9"]
    assert records.paths == ["b", "d", "c", "a"]
    assert records.rows.tolist() == [1, 3, 2, 0]
    assert records.labels.tolist() == [[0, 1], [1, 1], [1, 0], [1, -1]]


def test_batches_are_those_of_the_sampler(flat):
    """A subset in another order, two ranks: every batch holds its samples' own features and labels, in fp32."""
    records = read_features(flat, "train").subset([6, 2, 4, 0, 5])
    for rank in range(2):
        sampler = TrainSampler(5, 4, 2, rank, 2, seed=3)
        loader = FeatureLoader(records, sampler, torch.device("cpu"))
        batches = list(loader)
        assert len(batches) == len(loader) == 1
        assert [batch[2].tolist() for batch in batches] == [[i for _, i in pairs] for pairs in sampler]
        for features, labels, index in batches:
            assert features.dtype == torch.float32
            rows = records.rows[index.numpy()]
            assert np.array_equal(features.numpy(), records.features[rows])
            assert np.array_equal(labels.numpy(), records.labels[index.numpy()])


def test_every_sample_is_evaluated_once(flat):
    records = read_features(flat, "train")
    loaders = [FeatureLoader(records, EvalSampler(N, 3, rank, 2), torch.device("cpu")) for rank in range(2)]
    assert [[index.tolist() for *_, index in loader] for loader in loaders] == [[[0, 2, 4], [6]], [[1, 3, 5]]]
    assert list(FeatureLoader(records, EvalSampler(1, 3, 1, 2), torch.device("cpu"))) == []


def test_the_end_of_an_epoch_follows_its_beginning(flat):
    sampler = TrainSampler(N, 2, 2, seed=1)
    loader = FeatureLoader(read_features(flat, "train"), sampler, torch.device("cpu"))
    sampler.set_position(4)
    whole = [index.tolist() for *_, index in loader]
    sampler.set_position(4, consumed=2)
    assert [index.tolist() for *_, index in loader] == whole[1:]


def damage(root: Path, what: str) -> None:
    features, labels = root / "train_features_imagenet_resnet50.npy", root / "formatted_train_labels.npy"
    x, y = np.load(features), np.load(labels)
    if what == "nan":
        x[5, 2] = np.nan
    elif what == "inf":
        x[4, 0] = -np.inf
    elif what == "value":
        y[3, 1] = 2
    elif what == "fewer":
        y = y[:-1]
    elif what == "double":
        x = x.astype(np.float64)
    elif what == "names":
        (root / "label_names.txt").write_text("only\n")
    elif what == "two":
        np.save(root / "train_features_2.npy", x)
    elif what == "objects":
        y = np.array([{}], dtype=object)
    np.save(features, x)
    np.save(labels, y, allow_pickle=True)
    if what == "empty":
        features.write_bytes(b"")
    elif what == "no labels":
        labels.unlink()


@pytest.mark.parametrize(
    ("what", "says"),
    [
        ("nan", r"train_features_imagenet_resnet50\.npy: row 5 \(counted from 0\) holds a value that is not finite"),
        ("inf", r"row 4 \(counted from 0\)"),
        ("value", r"formatted_train_labels\.npy: row 3 \(counted from 0\), column 1: 2 must be 1, 0 or -1"),
        ("fewer", r"formatted_train_labels\.npy: 6 rows of labels for 7 rows of features in .*resnet50\.npy"),
        ("double", r"resnet50\.npy: features must be a float16 or float32 matrix, not float64 \(7, 5\)"),
        ("names", r"formatted_train_labels\.npy: 3 columns of labels for 1 label names"),
        ("two", r"several features of train"),
        ("objects", r"formatted_train_labels\.npy: not a \.npy file of numbers"),
        ("empty", r"resnet50\.npy: not a \.npy file of numbers"),
        ("no labels", r"no labels of train: none of train/labels\.npy"),
    ],
)
def test_bad_files_are_named(flat, what, says):
    damage(flat, what)
    with pytest.raises(UsageError, match=says) as error:
        read_features(flat, "train")
    assert "\n" not in str(error.value)


def test_absent_split_is_named(flat):
    with pytest.raises(UsageError, match=r"no features of test: neither test/features\.npy nor test_features"):
        read_features(flat, "test")
    for read in (read_features, feature_width):  # training and planning
        with pytest.raises(UsageError, match=r"none: .*python -m mlcfast.features CONFIG --out .*none makes them"):
            read(flat / "none", "train")
