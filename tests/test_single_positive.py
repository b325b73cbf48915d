"""Single positive labels from features to fine-tuning: the modes, what a run records of its labels, resumption."""

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
import yaml
from PIL import Image

from mlcfast import evaluate, features, train
from mlcfast.config import load_config
from mlcfast.data import observe_single_positive, split_train_val
from mlcfast.engine import Process
from mlcfast.errors import UsageError
from mlcfast.training.progress import Progress
from mlcfast.training.run import run as run_training
from mlcfast.training.unobserved import BINS, read_unobserved
from tests.conftest import copy_as_stopped, without_digests, write_colour_set
from tests.test_train import events, without_time

K, D = 5, 12

NEWEST = "newest"  # of the run's own checkpoints


@pytest.fixture
def feature_config(tmp_path) -> Path:
    """100 training and 30 test vectors whose labels are linear in them; a ROLE run of two epochs of ten steps."""
    random = np.random.RandomState(0)
    directions = random.randn(D, K)
    for split, count in (("train", 100), ("test", 30)):
        vectors = random.randn(count, D).astype(np.float16)
        scores = vectors.astype(np.float64) @ directions
        labels = (scores > 2).astype(np.int8)
        labels[np.arange(count), scores.argmax(axis=1)] = 1
        np.save(tmp_path / f"{split}_features.npy", vectors)
        np.save(tmp_path / f"{split}_labels.npy", labels)
    values = {
        "name": "linear", "output": str(tmp_path / "runs"),
        "data": {
            "format": "features", "root": str(tmp_path), "train": "train", "val": None, "test": "test",
            "labels": "single_positive",
        },
        "model": {"head": "linear", "backbone": "none", "weights": "none"},
        "loss": {"name": "role", "expected_positives": 1.9},
        "optim": {"name": "adam", "lr": 1e-2, "weight_decay": 0, "schedule": "constant"},
        "engine": {"precision": "fp32", "micro_batch": 8, "global_batch": 8},
        "train": {"epochs": 2, "ema_decay": 0, "log_every": 1, "early_stop": 0},
    }  # fmt: skip
    path = tmp_path / "linear.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


def run(config_file: Path, *overrides: str, resume: Path | None = None) -> Progress:
    config = load_config(config_file, overrides)
    return run_training(config, Process(), config.run_directory if resume == NEWEST else resume)


def tensors(directory: Path, step: int) -> dict[str, torch.Tensor]:
    files = [directory / "checkpoints" / f"{step:08d}" / f"{name}.safetensors" for name in ("weights", "moments")]
    return safetensors.torch.load_file(files[0]) | safetensors.torch.load_file(files[1])


def test_what_a_run_records(feature_config, tmp_path):
    """The split and the observed labels are the protocol's; every hidden positive is counted once an epoch."""
    progress = run(feature_config)
    directory = tmp_path / "runs" / "linear"
    labels = np.load(tmp_path / "train_labels.npy")
    shown, (train_part, _) = observe_single_positive(labels), split_train_val(100)
    estimates = np.load(directory / "best" / "estimates.npz")
    assert estimates["ids"].tolist() == [f"{row:08d}" for row in train_part]
    assert np.array_equal(estimates["observed"], shown[train_part])
    assert estimates["logits"].shape == (80, K)
    watched = read_unobserved(directory / "unobserved.npz")
    assert watched["counts"].shape == (2, BINS)
    assert watched["counts"].sum(axis=1).tolist() == [(labels - shown)[train_part].sum()] * 2
    assert watched["true"] == pytest.approx(labels[train_part].sum(axis=1).mean())
    assert watched["epochs"].tolist() == [0, 1]
    table = tensors(directory, 20)["estimator.table"]
    assert watched["estimated"][1] == pytest.approx(torch.sigmoid(table).sum(dim=1).mean().item(), rel=1e-5)
    rows = list(csv.DictReader((directory / "summary.csv").open()))
    assert float(rows[1]["estimated_positives"]) == pytest.approx(watched["estimated"][1], abs=1e-4)
    outcome = json.loads((directory / "best" / "outcome.json").read_text())
    assert outcome["validation_mAP"] == progress.best and outcome["epoch"] == progress.best_epoch + 1
    assert outcome["test"]["images"] == 30 and outcome["test_mAP"] == outcome["test"]["mAP"]
    assert events(directory, "test")[0]["mAP"] == outcome["test_mAP"]
    with Image.open(directory / "unobserved.png") as picture:
        assert len(np.unique(np.asarray(picture.convert("RGB")).reshape(-1, 3), axis=0)) > 20


@pytest.mark.parametrize("stopped_at", [4, 10])
def test_resume_is_exact_with_the_estimates(feature_config, tmp_path, stopped_at):
    settings = ["train.checkpoint_every=1", "train.keep_checkpoints=30"]
    run(feature_config, *settings)
    whole, cut = tmp_path / "runs" / "linear", tmp_path / "cut" / "linear"
    copy_as_stopped(whole, cut, stopped_at)
    run(feature_config, *settings, f"output={tmp_path / 'cut'}", resume=NEWEST)
    one, other = tensors(whole, 20), tensors(cut, 20)
    assert one.keys() == other.keys() and "exp_avg/estimator.table" in one
    assert all(torch.equal(one[name], other[name]) for name in one)
    for kind in ("train", "evaluation", "test"):
        assert without_time(events(cut, kind)) == without_time(events(whole, kind))
    watched = [read_unobserved(directory / "unobserved.npz") for directory in (whole, cut)]
    assert watched[0]["epochs"].tolist() == watched[1]["epochs"].tolist() == [0, 1]
    assert np.array_equal(watched[0]["counts"][1], watched[1]["counts"][1]) or stopped_at > 10


@pytest.mark.parametrize("stopped_at", [14, 20])
@pytest.mark.parametrize("loss", ["{name: ll_cp, delta: 0.02}", "{name: em_apl, warm_up: 1}"])
def test_resume_is_exact_with_pseudo_labels(feature_config, tmp_path, loss, stopped_at):
    settings = [f"loss={loss}", "train.checkpoint_every=2", "train.keep_checkpoints=30", "train.epochs=3"]
    run(feature_config, *settings)
    whole, cut = tmp_path / "runs" / "linear", tmp_path / "cut" / "linear"
    copy_as_stopped(whole, cut, stopped_at)
    run(feature_config, *settings, f"output={tmp_path / 'cut'}", resume=NEWEST)
    one, other = tensors(whole, 30), tensors(cut, 30)
    assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
    labels = one["pseudo_labels.labels"]
    assert not torch.equal(labels, tensors(whole, 2)["pseudo_labels.labels"])
    kept = [np.load(directory / "best" / "pseudo_labels.npz") for directory in (whole, cut)]
    assert all(np.array_equal(kept[0][name], kept[1][name]) for name in ("labels", "observed", "ids", "names"))
    held = kept[0]["labels"][kept[0]["observed"] == 1]
    assert held.size and (held == 1).all()


def test_em_apl_gives_soft_labels_as_published(feature_config, tmp_path):
    """Of 80 images, epochs 2 and 3 of 4 each give every label 0.9 / 2 of its unknown entries the model's score."""
    run(feature_config, "loss={name: em_apl, warm_up: 2}", "train.epochs=4")
    directory = tmp_path / "runs" / "linear"
    labels = tensors(directory, 40)["pseudo_labels.labels"].double() / 2**24
    with np.load(directory / "best" / "pseudo_labels.npz") as kept:
        unknown = (kept["observed"] == 0).sum(axis=0)
    soft = ((labels < 0) & (labels > -1)).sum(0)
    assert soft.tolist() == [2 * int(0.45 * count + 1e-9) for count in unknown]


def test_full_labels_take_the_same_split(feature_config, tmp_path):
    run(feature_config, "data.labels=full", "loss={name: bce}")
    directory = tmp_path / "runs" / "linear"
    assert {line["images"] for line in events(directory, "evaluation")} == {20}
    assert not (directory / "unobserved.npz").exists()


@pytest.mark.parametrize("loss", ["an_ls", "wan", "epr", "iu", "iun", "pr", "em_apl", "ll_cp"])
def test_every_loss_trains(feature_config, loss):
    assert run(feature_config, f"loss={{name: {loss}}}").best > 40


def test_evaluate_measures_the_test_split(feature_config, tmp_path, capsys):
    run(feature_config)
    best = tmp_path / "runs" / "linear" / "best"
    capsys.readouterr()
    assert evaluate.main([str(feature_config), "--checkpoint", str(best), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    low, high = report.pop("mAP_interval")
    assert low < report["mAP"] < high
    assert all(low <= report["per_label"][name] <= high for name, (low, high) in report.pop("intervals").items())
    tenths = report.pop("reliability")["tenths"]
    assert sum(tenth["entries"] for tenth in tenths) == report["images"] * len(report["per_label"])
    assert report == json.loads((best / "outcome.json").read_text())["test"]


def test_linear_then_fine_tune(config_file, tmp_path):
    """The classifier and the estimates of the linear run's best epoch are where fine-tuning begins."""
    write_colour_set(tmp_path, at_least=1, train=40, test=10)
    common = [
        f"data.root={tmp_path}", "data.labels=single_positive", "data.val=null", "data.test=test.csv",
        "model.head=linear", "loss={name: role}", "optim.schedule=constant", "optim.weight_decay=0",
        "train.ema_decay=0", "train.epochs=1",
    ]  # fmt: skip
    assert features.main([str(config_file), *common, "--out", str(tmp_path / "features")]) == 0
    on_features = ["data.format=features", f"data.root={tmp_path / 'features'}", "model.backbone=none"]
    run(config_file, *common, *on_features, "name=linear", "optim.lr=1e-2")
    best = tmp_path / "runs" / "linear" / "best"
    handed = [f"train.initialise_from={best}", "name=tuned", "optim.lr=1e-12"]
    run(config_file, *common, *handed, "engine.micro_batch=8")
    tuned = tensors(tmp_path / "runs" / "tuned", 4)
    classifier, estimates = safetensors.torch.load_file(best / "model.safetensors"), np.load(best / "estimates.npz")
    # A learning rate of 1e-12 leaves what was handed over as it was, to fp32's precision.
    torch.testing.assert_close(tuned["model.fc.weight"], classifier["fc.weight"], rtol=0, atol=1e-7)
    torch.testing.assert_close(tuned["estimator.table"], torch.from_numpy(estimates["logits"]), rtol=0, atol=1e-7)
    with pytest.raises(UsageError, match="32 of 32 training images"):
        ids = np.array([f"other{row}" for row in range(32)])
        np.savez(best / "estimates.npz", **{**estimates, "ids": ids})
        without_digests(best)
        run(config_file, *common, *handed)
    (best / "estimates.npz").unlink()
    with pytest.raises(UsageError, match=r"estimates\.npz is missing"):
        run(config_file, *common, *handed)


@pytest.mark.parametrize(
    ("label", "row", "says"),
    [
        (0, slice(None), r"train_labels\.npy: row 7 \(counted from 0\) has no positive label"),
        (-1, 0, r"train_labels\.npy: row 7 \(counted from 0\) holds a -1"),
    ],
)
def test_labels_that_are_not_full_are_named(feature_config, tmp_path, capsys, label, row, says):
    labels = np.load(tmp_path / "train_labels.npy")
    labels[7, row] = label
    labels[7, 1] = label == -1
    np.save(tmp_path / "train_labels.npy", labels)
    assert train.main([str(feature_config)]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if "error" in line]
    assert len(lines) == 1
    with pytest.raises(UsageError, match=says):
        run(feature_config)
    assert not (tmp_path / "runs").exists()


def test_csv_row_without_a_positive_is_named(config_file, tmp_path):
    write_colour_set(tmp_path, at_least=1, train=10)
    lines = (tmp_path / "train.csv").read_text().splitlines()
    name = lines[4].split(",")[0]
    lines[4] = f"{name},0,0,0"
    (tmp_path / "train.csv").write_text("\n".join(lines))
    with pytest.raises(UsageError, match=rf"train\.csv: {re.escape(name)} has no positive label: .* \(1 of 10 images"):
        run(config_file, f"data.root={tmp_path}", "data.labels=single_positive")
