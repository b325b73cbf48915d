"""The validation loss is the training loss of other images, where it has a value on them."""

import csv

import numpy as np
import pytest
import torch

from mlcfast import train
from mlcfast.evaluation.gather import EvaluationResult
from mlcfast.losses import build_loss
from mlcfast.training import validation_loss
from mlcfast.training.validation_loss import mean_loss


def result(images: int) -> EvaluationResult:
    random = np.random.default_rng(0)
    labels = random.integers(-1, 2, (images, 5)).astype(np.int8)
    return EvaluationResult(random.random((images, 5)).astype(np.float32), labels, list("abcde"))


@pytest.mark.parametrize("name", ["asymmetric", "iu", "bce", "hill"])
@pytest.mark.parametrize("at_once", [2**22, 15])
def test_it_is_that_of_all_images_at_once(name, at_once, monkeypatch):
    monkeypatch.setattr(validation_loss, "ENTRIES_AT_ONCE", at_once)
    held = result(7)
    labels = np.abs(held.labels) if name in ("asymmetric", "bce") else held.labels
    held = EvaluationResult(held.scores, labels, held.names)
    expected = build_loss(name)(torch.logit(torch.from_numpy(held.scores)), torch.from_numpy(labels))
    assert mean_loss(build_loss(name), held) == pytest.approx(expected.item(), rel=1e-5)


def test_certain_scores_give_a_finite_loss():
    sure = EvaluationResult(np.array([[0.0, 1.0]], np.float32), np.array([[1, 0]], np.int8), ["a", "b"])
    assert np.isfinite(mean_loss(build_loss("bce"), sure))


@pytest.mark.parametrize("name", ["role", "epr", "ll_cp", "em_apl", "two_way", "ll_r"])
def test_a_loss_of_more_than_logits_and_labels_has_none(name):
    options = {"expected_positives": 2.0} if name in ("role", "epr") else {}
    assert mean_loss(build_loss(name, **options), result(4)) is None
    assert mean_loss(torch.nn.BCEWithLogitsLoss(), result(4)) is None


def test_it_stands_beside_the_training_loss(config_file, tmp_path, capsys):
    assert train.main([str(config_file), "train.epochs=1"]) == 0
    with (tmp_path / "runs" / "tiny" / "summary.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert 0 < float(row["raw_loss"]) < 5 and 0 < float(row["ema_loss"]) < 5
    said = capsys.readouterr().err
    assert "on the training images as they were learnt" in said and "epoch 1: mAP" in said
