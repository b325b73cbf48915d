"""The features command: what it stores is what the backbone computes, and a killed extraction goes on bit for bit."""

import json

import numpy as np
import pytest
import torch

from mlcfast import features
from mlcfast.config import load_config
from mlcfast.data import FeatureWriter
from mlcfast.data.build import evaluation_loader, open_split
from mlcfast.engine import Process
from mlcfast.engine.training_module import make_model
from mlcfast.training.run import run


@pytest.fixture
def words(config_file, tmp_path):
    """The command on the colour set, in batches of 4."""
    return [str(config_file), "--out", str(tmp_path / "out")]


def test_stored_features_are_the_backbones(words, config_file, tmp_path, capsys):
    assert features.main(words) == 0
    assert capsys.readouterr().out.splitlines()[-1].endswith("val.csv: 13 × 96 float16")
    stored = np.load(tmp_path / "out" / "train.csv" / "features.npy", mmap_mode="r")
    config = load_config(config_file, ["model.head=linear"])
    records = open_split(config.data, "train.csv")
    torch.manual_seed(config.seed)
    model = make_model(config, 3).eval()
    with torch.no_grad():
        batches = [model.features(images) for images, *_ in evaluation_loader(config, records, Process())]
    assert stored.shape == (40, 96) and stored.dtype == np.float16
    assert np.array_equal(stored, torch.cat(batches).numpy().astype(np.float16))
    note = json.loads((tmp_path / "out" / "train.csv" / "features.json").read_text())
    assert (note["names"], note["image_ids"], note["paths"]) == (records.names, records.image_ids, records.paths)
    assert np.array_equal(np.load(tmp_path / "out" / "train.csv" / "labels.npy"), records.labels)


def test_killed_extraction_goes_on_bit_equal(words, tmp_path, monkeypatch, capsys):
    assert features.main(words) == 0
    whole = (tmp_path / "out" / "train.csv" / "features.npy").read_bytes()
    original, rows_seen = FeatureWriter.append, []

    def stops(self, rows, paths):
        if self.done == 24:
            self.file.write(b"half a batch")
            self.file.flush()
            raise KeyboardInterrupt
        original(self, rows, paths)

    def counts(self, rows, paths):
        rows_seen.append(len(rows))
        original(self, rows, paths)

    monkeypatch.setattr("mlcfast.data.feature_files.ROWS_BETWEEN_NOTES", 8)
    words[-1] = str(tmp_path / "again")
    monkeypatch.setattr(FeatureWriter, "append", stops)
    assert features.main(words) == 130
    directory = tmp_path / "again" / "train.csv"
    assert not (directory / "features.npy").exists()
    monkeypatch.setattr(FeatureWriter, "append", counts)
    assert features.main(words) == 0
    assert sum(rows_seen) == 16 + 13
    assert (directory / "features.npy").read_bytes() == whole
    assert not list(directory.glob("*.partial")) and not (directory / "progress.json").exists()
    rows_seen.clear()
    assert features.main(words) == 0
    assert rows_seen == []


def test_features_of_other_settings_are_not_mixed(words, capsys):
    assert features.main(words) == 0
    assert features.main([*words, "seed=5"]) == 2
    assert "train.csv: holds features of other images or settings" in capsys.readouterr().err


def test_extracted_features_train(words, config_file, tmp_path):
    assert features.main([*words, "--dtype", "float32"]) == 0
    overrides = ["data.format=features", f"data.root={tmp_path / 'out'}", "model.backbone=none", "model.head=linear"]
    config = load_config(config_file, [*overrides, "train.epochs=2", "optim.lr=1e-2"])
    assert run(config, Process()).best > 50
    assert (tmp_path / "runs" / "tiny" / "result.png").exists()


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (["data.format=features", "model.head=linear", "model.backbone=none"], "these are features already"),
        (["data.format=features", "model.head=linear"], "data.format features and model.backbone none go together"),
        (["model.backbone=none"], "data.format features and model.backbone none go together"),
    ],
)
def test_impossible_settings(words, capsys, overrides, says):
    assert features.main([*words, *overrides]) == 2
    assert says in capsys.readouterr().err
