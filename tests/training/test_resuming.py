"""Going on with a run says what has changed, and refuses what would make it another one."""

import json

import pytest
import yaml

from mlcfast import evaluate, train
from mlcfast.config import load_config
from mlcfast.data.build import open_samples
from mlcfast.data.labels import SparseLabels
from mlcfast.errors import UsageError
from mlcfast.settings import FREE_ON_RESUME, LENGTH_ON_RESUME
from mlcfast.settings_reference import defaults, flattened, settings
from mlcfast.training.resuming import Changes, changes_since

STEP = 5  # of the one epoch that is trained first


@pytest.fixture
def trained(config_file, tmp_path, capsys):
    """What `train` says on stderr when it goes on with a run of one epoch; its status first."""
    assert train.main([str(config_file), "train.epochs=1"]) == 0
    capsys.readouterr()

    def go_on(*words: str) -> tuple[int, str]:
        status = train.main([str(config_file), "train.epochs=1", "--resume", *words])
        return status, capsys.readouterr().err

    return go_on, tmp_path / "runs" / "tiny"


def test_the_two_kinds_of_setting_are_settings():
    every = {each.key for each in settings()}
    assert every >= FREE_ON_RESUME | LENGTH_ON_RESUME and not FREE_ON_RESUME & LENGTH_ON_RESUME
    assert {"optim.lr", "loss.name", "data.augment", "model.backbone", "seed"} <= every - FREE_ON_RESUME


def test_another_recipe_is_refused_and_with_changes_goes_on_and_is_written_down(trained):
    go_on, directory = trained
    before = {str(path): path.read_bytes() for path in directory.rglob("*") if path.is_file()}
    status, said = go_on("optim.lr=1e-5", "loss.name=bce")
    assert status == 2
    for part in (
        "changed since step 5 was saved",
        "optim.lr 0.001 -> 1e-05",
        "loss.name asymmetric -> bce",
        "--with-changes",
    ):
        assert part in said.splitlines()[-1]
    assert {str(path): path.read_bytes() for path in directory.rglob("*") if path.is_file()} == before

    status, said = go_on("optim.lr=1e-5", "train.epochs=2", "train.log_every=3", "--with-changes")
    assert status == 0
    lines = (directory / "log.txt").read_text()
    assert "going on from step 5: changed: optim.lr 0.001 -> 1e-05: steps up to 5 had the old values" in lines
    assert "changed, without an effect on the result: train.log_every 1 -> 3" in lines
    events = [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]
    (changes,) = [event for event in events if event["event"] == "changes"]
    assert changes["step"] == STEP and changes["settings"] == {
        "optim.lr": {"before": 1e-3, "now": 1e-5},
        "train.epochs": {"before": 1, "now": 2},
    }
    assert yaml.safe_load((directory / "config.yaml").read_text())["optim"]["lr"] == 1e-5


def test_other_images_or_labels_are_noticed_though_the_settings_are_the_same(trained, colour_set, tmp_path):
    go_on, directory = trained
    lines = (colour_set / "train.csv").read_text().splitlines()
    other = [lines[0], *lines[2:], lines[1]]  # the same images in another order
    (colour_set / "other.csv").write_text("\n".join(other) + "\n")
    (colour_set / "same.csv").write_text("\n".join(lines) + "\n")
    status, said = go_on("data.train=other.csv")
    assert status == 2 and "the training images, their order or their labels" in said
    status, said = go_on("data.train=same.csv", "train.epochs=2")
    assert status == 0 and "without an effect on the result: data.train train.csv -> same.csv" in said
    held = [line.split(",") for line in (colour_set / "val.csv").read_text().splitlines()]
    swapped = ["image,red,green,blue", *(f"{a},{b},{c},{1 - int(d)}" for a, b, c, d in held[1:])]
    (colour_set / "swapped.csv").write_text("\n".join(swapped) + "\n")
    status, said = go_on("data.train=same.csv", "train.epochs=3", "data.val=swapped.csv", "--with-changes")
    assert status == 0 and "the best epoch is chosen anew from here on" in said
    assert json.loads((directory / "best" / "model.json").read_text())["step"] == 3 * STEP

    (colour_set / "renamed.csv").write_text("\n".join(["image,red,green,violet", *lines[1:]]) + "\n")
    words = ["data.train=renamed.csv", "data.val=renamed.csv", "data.allow_overlap=true", "train.epochs=3"]
    status, said = go_on(*words, "--with-changes")
    assert status == 2
    assert "the labels, or their order, are not those of the run" in said and "train.initialise_from=" in said
    assert "data.label_columns, with --with-changes" in said  # for ids that have names since


def test_what_only_one_side_knows(tmp_path):
    """A setting that an older version did not have has its default; a checkpoint alone cannot be compared."""
    now = defaults() | {"name": "a", "data.format": "csv", "data.root": ".", "model.backbone": "resnet18"}
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.yaml").write_text(yaml.safe_dump({"name": "a", "loss": {"name": "asymmetric", "clip": 0.1}}))
    nested: dict = {}
    for key, value in now.items():
        section, _, name = key.rpartition(".")
        (nested.setdefault(section, {}) if section else nested)[name] = value
    changes = changes_since(run / "checkpoints", nested, {"labels": "x", "training": "y"})
    assert changes.recipe == {"model.backbone": (None, "resnet18"), "loss.clip": (0.1, None)}
    assert set(changes.free) == {"data.format", "data.root"} and changes.data == []
    alone = changes_since(tmp_path / "elsewhere", nested, {"labels": "x"})
    assert "is not known: there is no config.yaml beside it" in alone.sentences(3)[0]
    alone.refuse(tmp_path, 3, allowed=False)
    (run / "config.yaml").write_text("[1, 2]")
    assert "config.yaml: damaged" in changes_since(run, nested, {"labels": "x"}).unknown


def test_a_long_list_of_changes_is_cut():
    many = Changes(recipe={f"optim.{letter}": (1, None) for letter in "abcdef"}, data=["test"])
    with pytest.raises(UsageError, match=r"optim\.d 1 -> none, 2 settings more, the test images or labels\. Going on"):
        many.refuse("runs/x", 7, allowed=False)
    many.refuse("runs/x", 7, allowed=True)


def test_sections_are_taken_apart_and_options_are_not():
    values = {"name": "a", "data": {"options": {"x": 1}, "mean": (1, 2)}, "sweep": {"grid": {}}}
    assert flattened(values) == {"name": "a", "data.options": {"x": 1}, "data.mean": [1, 2], "sweep.grid": {}}


def test_a_run_goes_on_with_its_normalisation_where_none_is_given(config_file, tmp_path):
    words = [str(config_file), "train.epochs=1"]
    assert train.main([*words, "data.mean=[0.4, 0.4, 0.4]"]) == 0
    kept = tmp_path / "runs" / "tiny" / "config.yaml"
    before = kept.read_text()
    assert train.main([str(config_file), "train.epochs=2", "--resume"]) == 0
    assert kept.read_text() == before.replace("epochs: 1", "epochs: 2") != before
    assert train.main([str(config_file), "train.epochs=3", "data.mean=[0.5, 0.5, 0.5]", "--resume"]) == 2


def test_with_changes_needs_resume(config_file, capsys):
    assert train.main([str(config_file), "--with-changes"]) == 2
    assert "--with-changes goes with --resume" in capsys.readouterr().err


def test_labels_that_are_kept_sparse(config_file, colour_set, tmp_path, monkeypatch, capsys):
    """A run on such labels trains, goes on and is evaluated; another label of one image is noticed."""
    monkeypatch.setattr("mlcfast.data.labels.DENSE_ENTRIES", 0)
    monkeypatch.setattr("mlcfast.data.labels.SPARSE_SHARE", 1.0)
    for split, images in (("train", 40), ("val", 13)):
        rows = [f"{colour_set / split}{k}.jpg,{'red;blue' if k % 3 else 'green'}" for k in range(images)]
        (tmp_path / f"{split}.csv").write_text("\n".join(["image,labels", *rows]))
    words = [str(config_file), f"data.train={tmp_path / 'train.csv'}", f"data.val={tmp_path / 'val.csv'}"]
    assert isinstance(open_samples(load_config(*words[:1], words[1:])).train.labels, SparseLabels)
    assert train.main([*words, "train.epochs=1"]) == 0
    assert train.main([*words, "--resume"]) == 0
    best = tmp_path / "runs" / "tiny" / "best"
    assert evaluate.main([*words, "--checkpoint", str(best)]) == 0
    table = tmp_path / "train.csv"
    table.write_text(table.read_text().replace("green", "red", 1))
    capsys.readouterr()
    assert train.main([*words, "train.epochs=3", "--resume"]) == 2
    assert "the training images, their order or their labels" in capsys.readouterr().err
