"""A misspelt backbone, file, directory, column or label is answered with the nearest one there is."""

import os

import numpy as np
import pytest

from mlcfast.config import load_config
from mlcfast.data import LabelledImages
from mlcfast.data.build import open_samples
from mlcfast.errors import UsageError
from mlcfast.models.backbones import timm_body
from mlcfast.models.loading import find_weights
from mlcfast.registry import hint_path


def refused(config_file, *overrides: str) -> str:
    with pytest.raises(UsageError) as caught:
        open_samples(load_config(config_file, overrides))
    return str(caught.value)


def test_the_nearest_path_is_written_as_the_user_writes(tmp_path, monkeypatch):
    (tmp_path / "photos" / "labels").mkdir(parents=True)
    (tmp_path / "photos" / "labels" / "train.csv").touch()
    monkeypatch.chdir(tmp_path)
    assert hint_path("photos/labels/trian.csv") == ": did you mean photos/labels/train.csv?"
    assert hint_path("fotos/labels/train.csv") == ": did you mean photos?"
    assert hint_path(tmp_path / "photos" / "lables") == f": did you mean {tmp_path}/photos/labels?"
    assert hint_path("photos/labels/zzz") == ""
    assert hint_path("photos/labels/train.csv") == ""
    assert hint_path(os.sep) == ""


@pytest.mark.parametrize(
    ("name", "near"), [("resnet19", "resnet18"), ("resnet_50", "resnet50"), ("efficientnetb0", "efficientnet_b0")]
)
def test_backbones(name, near):
    with pytest.raises(UsageError, match=f"no timm model.*did you mean .*{near}"):
        timm_body(name, 64, False, {})


def test_configuration_files(tmp_path, monkeypatch):
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "own_data.yaml").touch()
    monkeypatch.chdir(tmp_path)
    for written in ("configs/own_dat.yaml", "own_dat.yaml"):
        with pytest.raises(UsageError, match=r"cannot read the configuration.*did you mean configs/own_data\.yaml\?"):
            load_config(written)


def test_label_files_and_directories(config_file, colour_set):
    assert refused(config_file, "data.train=trian.csv").endswith(f"did you mean {colour_set}/train.csv?")
    assert f"did you mean {colour_set}?" in refused(config_file, f"data.root={colour_set}s")


def test_models(tmp_path):
    (tmp_path / "photos_linear").mkdir()
    with pytest.raises(UsageError, match=r"did you mean .*/photos_linear\?"):
        find_weights(tmp_path / "photo_linear" / "best")
    with pytest.raises(UsageError, match=r"no such checkpoint \(.*\)$"):
        find_weights(tmp_path / "photos_linear")


def test_labels_and_columns(config_file, colour_set):
    rows = (colour_set / "val.csv").read_text().splitlines()
    other = colour_set / "misspelt.csv"
    other.write_text("\n".join([rows[0].replace("green", "gren"), *rows[1:]]) + "\n")
    assert "did you mean gre" in refused(config_file, "data.val=misspelt.csv")
    assert "did you mean image?" in refused(config_file, "data.image_column=imagee")
    listed = {"train": "cat;dog", "other": "cat;dgo"}
    for name, labels in listed.items():
        (colour_set / f"{name}_listed.csv").write_text(
            f"image,labels\n{'val' if name == 'other' else name}0.jpg,{labels}\n"
        )
    said = refused(config_file, "data.train=train_listed.csv", "data.val=other_listed.csv")
    assert said.endswith("which is not in the training file: did you mean dog?")
    records = LabelledImages(["a"], np.ones((1, 2), np.int8), ["cat", "dgo"], ["a"])
    with pytest.raises(UsageError, match=r"'dgo' among them: did you mean dog\?"):
        records.with_names(["cat", "dog"], "other")
