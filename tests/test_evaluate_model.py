"""The evaluate command with a configuration of the data alone, and its table of errors."""

import csv
import json
from pathlib import Path

import pytest
import yaml

from mlcfast import evaluate, predict, train


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
