"""The evaluate command with a configuration of the data alone, and its table of errors."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml

from mlcfast import evaluate, predict, train
from mlcfast.evaluation import evaluate as evaluation
from mlcfast.metrics import average_precision


@pytest.fixture
def best(config_file, tmp_path) -> Path:
    """A trained linear head; the configuration itself names query2label."""
    assert train.main([str(config_file), "train.epochs=1", "model.head=linear", "data.mean=[0.4,0.4,0.4]"]) == 0
    return tmp_path / "runs" / "tiny" / "best"


@pytest.fixture
def data_alone(config_file, tmp_path) -> Path:
    values = yaml.safe_load(config_file.read_text())
    del values["model"], values["data"]["image_size"]
    path = tmp_path / "data.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


def test_pixels_are_normalised_as_the_card_says_unless_the_configuration_does(best, config_file, capsys):
    """The file names the model, and neither mean nor deviation."""
    words = [str(config_file), "--checkpoint", str(best), "model.head=linear", "--json"]
    capsys.readouterr()
    assert evaluate.main(words) == 0
    said = capsys.readouterr()
    card = json.loads((best / "model.json").read_text())
    assert json.loads(said.out)["mAP"] == pytest.approx(card["metrics"]["mAP"], abs=1e-9)
    assert "trained with" not in said.err
    assert evaluate.main([*words, "data.mean=[0.5,0.5,0.5]"]) == 0
    assert "trained with data.mean [0.4, 0.4, 0.4], here it is [0.5, 0.5, 0.5]" in capsys.readouterr().err


def test_the_model_and_its_input_come_from_the_card(best, data_alone, config_file, tmp_path, capsys):
    errors = tmp_path / "errors.csv"
    capsys.readouterr()
    assert evaluate.main([str(data_alone), "--checkpoint", str(best), "--json", "--errors", str(errors)]) == 0
    said = capsys.readouterr()
    assert "trained with" not in said.err
    card = json.loads((best / "model.json").read_text())
    assert json.loads(said.out)["mAP"] == pytest.approx(card["metrics"]["mAP"], abs=1e-9)
    assert set(json.loads(said.out)["reliability"]) == {"error", "temperature", "error_with_temperature", "tenths"}
    with errors.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert f"{errors}: {len(rows)} errors in 39 entries" in said.err
    wrong = [1 - float(row["score"]) if row["kind"] == "missed" else float(row["score"]) for row in rows]
    assert wrong == sorted(wrong, reverse=True) and {row["label"] for row in rows} <= set(card["labels"])

    assert evaluate.main([str(data_alone), "--checkpoint", str(best), "model.head=query2label"]) == 2
    said = capsys.readouterr().err
    assert "does not fit" in said and "model.head is linear on its card and query2label here" in said
    assert evaluate.main([str(config_file), "--checkpoint", str(best)]) == 2
    assert "a configuration without the section model takes the card's" in capsys.readouterr().err
    words = [str(data_alone), "--checkpoint", str(best), "data.image_size=64", "--json"]
    assert evaluate.main(words) == 0
    assert "trained with data.image_size 32, here it is 64" in capsys.readouterr().err
    lost = tmp_path / "none" / "errors.csv"
    assert evaluate.main([str(data_alone), "--checkpoint", str(best), "--errors", str(lost)]) == 2
    assert f"no directory {lost.parent}" in capsys.readouterr().err


def test_labels_that_the_checkpoint_lacks_are_said_of_it(best, data_alone, tmp_path, capsys):
    root = Path(yaml.safe_load(data_alone.read_text())["data"]["root"])
    other = Path(shutil.copytree(root, tmp_path / "other"))
    (other / "wide.csv").write_text((root / "val.csv").read_text().replace("red", "blue thing", 1))
    (other / "list.csv").write_text("image,labels\nval0.jpg,blue thing;red\nval1.jpg,red\n")
    for file in ("wide.csv", "list.csv"):
        words = [f"data.root={other}", f"data.test={file}"]
        assert evaluate.main([str(data_alone), "--checkpoint", str(best), *words]) == 2
        said = capsys.readouterr().err
        assert f"{best / 'model.safetensors'}: made for the labels " in said, said
        assert "'blue thing' not among them; the images have " in said and "training file" not in said


def test_a_split_that_is_not_there_is_said_with_those_that_are(best, data_alone, capsys):
    for words, has in (([], "train.csv, val.csv"), (["data.val=0.3"], "train, val, train.csv")):
        for form in ("csv", "wide"):
            options = ["--split", "test", *words, f"data.format={form}"]
            assert evaluate.main([str(data_alone), "--checkpoint", str(best), *options]) == 2
            said = capsys.readouterr().err
            assert said.startswith("error: --split test: ") and said.endswith(f"; this configuration has {has}\n"), said


def test_a_weight_file_without_a_card_needs_a_model(best, data_alone, tmp_path, capsys):
    alone = tmp_path / "alone.safetensors"
    alone.write_bytes((best / "model.safetensors").read_bytes())
    assert evaluate.main([str(data_alone), "--checkpoint", str(alone)]) == 2
    assert "missing key model" in capsys.readouterr().err


def test_flip_is_that_of_predict(best, data_alone, tmp_path, capsys):
    errors = tmp_path / "errors.csv"
    assert evaluate.main([str(data_alone), "--checkpoint", str(best), "--flip", "--errors", str(errors)]) == 0
    with errors.open(newline="") as file:
        rows = list(csv.DictReader(file))
    capsys.readouterr()
    images = sorted({row["image"] for row in rows})
    assert images and predict.main([str(best), *images, "--flip", "--top-k", "3", "--json"]) == 0
    said = {row["image"]: row["labels"] for row in json.loads(capsys.readouterr().out)}
    for row in rows:
        (score,) = [label["score"] for label in said[row["image"]] if label["name"] == row["label"]]
        assert float(row["score"]) == pytest.approx(score, abs=1e-4)


def test_scales_are_the_mean_over_image_sizes(best, data_alone, tmp_path, capsys, monkeypatch):
    found, original = [], evaluation.evaluate_model
    monkeypatch.setattr(evaluation, "evaluate_model", lambda *a: found.append(original(*a)) or found[-1])
    words = [str(data_alone), "--checkpoint", str(best), "--json"]
    capsys.readouterr()
    said = []
    for more in ([], ["--scales", "32"], ["--scales", "48,32"], ["data.image_size=48"]):
        assert evaluate.main([*words, *more]) == 0
        said.append(json.loads(capsys.readouterr().out))
    plain, alone, large, small, larger = (result.scores for result in found)
    assert np.array_equal(plain, alone) and np.array_equal(plain, small) and np.array_equal(large, larger)
    assert said[0] == said[1] != said[2]
    truth, mean = found[0].labels == 1, (plain + larger) / 2
    assert said[2]["mAP"] == pytest.approx(100 * average_precision(mean, truth).mean().item(), abs=1e-3)
    for wrong in ("32,32", "0", "a", "32;48"):
        assert evaluate.main([*words, "--scales", wrong]) == 2
        assert f"--scales {wrong}: expected different sides" in capsys.readouterr().err
    assert evaluate.main([*words, "--scales", "9999"]) == 2
    assert "image_size" in capsys.readouterr().err
    card = (best / "model.json").read_bytes()
    assert evaluate.main([*words, "--scales", "48,32", "--thresholds", "f1", "--write"]) == 2
    assert "--write and --scales: " in capsys.readouterr().err and (best / "model.json").read_bytes() == card


def test_scales_are_those_of_both_models_that_are_compared(best, data_alone, capsys, monkeypatch):
    found, original = [], evaluation.evaluate_model
    monkeypatch.setattr(evaluation, "evaluate_model", lambda *a: found.append((a[1], original(*a))) or found[-1][1])
    words = [str(data_alone), "--checkpoint", str(best), "--against", str(best), "--json"]
    capsys.readouterr()
    assert evaluate.main([*words, "--scales", "48,32"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert [config.data.image_size for config, _ in found] == [48, 32, 48, 32]
    for (_, first), (_, second) in zip(found[:2], found[2:], strict=True):
        assert np.array_equal(first.scores, second.scores)
    assert not np.array_equal(found[0][1].scores, found[1][1].scores)
    assert said["against"]["mAP"] == said["mAP"] and said["against"]["per_label"] == said["per_label"]
