"""The sweep command: the grid it runs, what it skips and takes up again, its table, and what it refuses."""

import csv
import gc
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image

from mlcfast import sweep
from mlcfast.config import load_config
from mlcfast.losses import FOR_FULL_LABELS, LOSSES
from mlcfast.sweeps import runner
from mlcfast.sweeps.grid import make_cells, parse_axes, parse_variants
from mlcfast.sweeps.results import Result, table, write_means
from mlcfast.sweeps.runner import run_all
from tests.conftest import ROOT
from tests.test_single_positive import feature_config  # noqa: F401 - a fixture


def cells_of(config_file: Path, *words: str, variants: tuple[str, ...] = ()):
    plain, axes = parse_axes(words)
    return make_cells(load_config(config_file, plain), axes, parse_variants(variants))


def test_words_are_overrides_or_axes():
    plain, axes = parse_axes(["seed=3", "optim.lr=1e-2,1.0e-3", "data.mean=[0.1,0.2,0.3]", "loss={name: an, x: 1}"])
    assert plain == ["seed=3", "data.mean=[0.1,0.2,0.3]", "loss={name: an, x: 1}"]
    assert axes == {"optim.lr": [0.01, 0.001]}


def test_published_grid(feature_config, tmp_path):  # noqa: F811
    """Every run has a directory of its own; a smaller global batch needs no other micro-batch."""
    words = ["optim.lr=1e-2,1e-3,1e-4,1e-5", "engine.global_batch=8,16", "engine.micro_batch=16", "train.epochs=9"]
    cells = cells_of(feature_config, *words)
    assert len({cell.config.run_directory for cell in cells}) == 8
    assert cells[1].config.run_directory == tmp_path / "runs" / "linear" / "lr_0.01-global_batch_16"
    assert [cell.config.engine.micro_batch_for(1) for cell in cells[:2]] == [8, 16]
    assert {cell.config.train.epochs for cell in cells} == {9}


def test_variants_change_what_belongs_together(feature_config):  # noqa: F811
    words = ["role: loss.expected_positives=1.5", "full: data.labels=full loss.name=bce"]
    role, full = cells_of(feature_config, variants=words)
    assert (role.config.name, role.config.loss.options) == ("role", {"expected_positives": 1.5})
    assert (full.config.loss.name, full.config.loss.options, full.config.data.labels) == ("bce", {}, "full")


def test_every_backbone_of_a_sweep_has_its_own_normalisation(config_file):
    small, own = ["model.backbone=tresnet_l.miil_in1k_448", "model.weights=pretrained"], "data.mean=[0.3, 0.3, 0.3]"
    axes = {"model.backbone": ["vit_base_patch16_siglip_gap_384", "resnet50"]}
    for words, means in ((small, [0.5, 0.485]), ([*small, own], [0.3, 0.3])):
        cells = make_cells(load_config(config_file, words), axes, {})
        assert [cell.config.data.mean[0] for cell in cells] == means


def test_the_shipped_comparison_has_every_loss_for_one_positive():
    config = load_config(ROOT / "configs" / "demo_methods.yaml")
    cells = make_cells(config, config.sweep.grid, config.sweep.variants)
    losses = {cell.choices["variant"]: cell.config.loss.name for cell in cells}
    full = load_config(ROOT / "configs" / "demo_full_labels.yaml")
    assert {settings["loss.name"] for settings in full.sweep.variants.values()} == FOR_FULL_LABELS
    assert set(losses.values()) == set(LOSSES) - (FOR_FULL_LABELS - {"bce"})
    assert {name for name, loss in losses.items() if name != loss} == {"full"}
    assert {cell.config.data.labels for cell in cells if cell.choices["variant"] != "full"} == {"single_positive"}
    assert full.data.labels == "full" and full.data.model_copy(update={"labels": "single_positive"}) == config.data
    for section in ("model", "optim", "engine", "train"):
        assert getattr(full, section) == getattr(config, section)
    assert full.sweep.grid == config.sweep.grid


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["seed=0,1", "optim.lrate=1,2"], "unknown key optim.lrate: did you mean optim.lr"),
        (["seed=0,0"], "two runs of the sweep would be called 'seed_0'"),
        (["seed"], "'seed' is not of the form"),
        (["sweep.grid=1,2"], "sweep.grid cannot be part of a sweep"),
        (["seed=1"], "nothing to sweep over"),
        (["seed=0,1", "engine.name=ddp"], "engine.name ddp: a sweep's runs are of one process each"),
        (["seed=0,1", "--variant", "an loss.name=an"], "variant 'an loss.name=an' is not of the form"),
        (["seed=0,1", "--jobs", "0"], "--jobs must be at least 1"),
    ],
)
def test_wrong_words_are_one_line(feature_config, capsys, tmp_path, words, says):  # noqa: F811
    assert sweep.main([str(feature_config), *words]) == 2
    error = capsys.readouterr().err
    assert says in error and error.count("\n") == 1
    assert not (tmp_path / "runs").exists()


def test_sweep_trains_skips_and_goes_on(feature_config, capsys, tmp_path):  # noqa: F811
    """Of three runs one fails, its neighbours end; then the failed one is mended and another one taken up again."""
    words = [str(feature_config), "--variant", "an: loss.name=an", "--variant", "role: loss.name=role", "--jobs", "2"]
    words += ["--variant", "bad: data.root=/no/such/place", "train.checkpoint_every=5"]
    assert sweep.main(words) == 1
    out, directory = capsys.readouterr(), tmp_path / "runs" / "linear"
    assert "bad   /no/such/place: no such directory (data.root)" in out.out
    rows = {row["run"]: row for row in csv.DictReader((directory / "sweep.csv").open())}
    outcome = json.loads((directory / "role" / "best" / "outcome.json").read_text())
    assert float(rows["role"]["validation_mAP"]) == pytest.approx(outcome["validation_mAP"], abs=1e-4)
    assert float(rows["role"]["test_mAP"]) == pytest.approx(outcome["test_mAP"], abs=1e-4)
    assert rows["bad"]["problem"].startswith("/no/such/place")
    best = max(("an", "role"), key=lambda name: float(rows[name]["validation_mAP"]))
    assert out.out.splitlines()[-1].startswith(f"best {best}: validation mAP {float(rows[best]['validation_mAP']):.2f}")
    assert (directory / "unobserved.png").exists()
    assert (directory / "role" / "log.txt").read_text().count("epoch 2: mAP") == 1
    # As if killed after step 15: the outcome is missing, the newest checkpoints too.
    (directory / "role" / "best" / "outcome.json").unlink()
    (directory / "role" / "checkpoints" / "latest").write_text("00000015")
    stamp = (directory / "an" / "metrics.jsonl").stat().st_mtime_ns
    assert sweep.main([*words[:5], "train.checkpoint_every=5"]) == 0
    assert "2 runs, 1 of them finished before" in capsys.readouterr().err
    again = json.loads((directory / "role" / "best" / "outcome.json").read_text())
    own = ("card", "sha256")  # safetensors writes its header in any order, so that the digests differ
    assert {k: v for k, v in again.items() if k not in own} == {k: v for k, v in outcome.items() if k not in own}
    assert (directory / "an" / "metrics.jsonl").stat().st_mtime_ns == stamp
    assert not (directory / "role.1").exists()


def test_a_runs_process_imports_what_takes_long_without_the_collector(feature_config, monkeypatch):  # noqa: F811
    collects = []
    for name in runner.NEEDS:
        monkeypatch.setitem(sys.modules, name, None)
        monkeypatch.delitem(sys.modules, name)
    run = SimpleNamespace(run=lambda *_: None)

    def imported(name: str) -> None:
        collects.append(gc.isenabled())
        sys.modules[name] = run

    monkeypatch.setattr("importlib.import_module", imported)
    try:
        assert runner._train(load_config(feature_config)) == ""
    finally:
        gc.unfreeze()
    assert collects == [False, False] and gc.isenabled()


def test_seeds_are_judged_by_the_same_images_where_that_is_asked(config_file, tmp_path, capsys, monkeypatch):
    words = [str(config_file), "train.epochs=1", "data.val=0.25", "engine.name=single"]
    assert sweep.main([*words, "seed=0,1", "data.val_seed=0"]) == 0
    parts = [(tmp_path / "runs" / "tiny" / f"seed_{seed}" / "split.csv").read_text() for seed in (0, 1)]
    assert sorted(parts[0].splitlines()) == sorted(parts[1].splitlines())
    told = "each seed divides data.train anew"
    assert told not in capsys.readouterr().err
    monkeypatch.setattr(runner, "_finished_runs", lambda todo, jobs: iter(()))
    run_all(cells_of(config_file, *words[1:], "seed=0,1"), 1)
    assert told in capsys.readouterr().err


def test_table_has_means_over_seeds(tmp_path):
    scores = {("role", 0): (80.0, 70.0), ("role", 1): (82.0, 74.0), ("an", 0): (60.0, 50.0)}
    results = [Result(f"{v}-{s}", {"variant": v, "seed": s}, 3, *pair, "") for (v, s), pair in scores.items()]
    lines = table(results).splitlines()
    assert lines[1].split() == ["role-1", "3", "82.00", "74.00"]
    assert any(line.split() == ["role", "2", "81.00", "±", "1.41", "72.00", "±", "2.83"] for line in lines)
    assert lines[-1] == "best role-1: validation mAP 82.00, test mAP 74.00"
    failed = Result("an-1", {"variant": "an", "seed": 1}, None, None, None, "no such file")
    write_means(tmp_path, [*results, failed])
    assert (tmp_path / "sweep.md").read_text().splitlines()[2:] == [
        "| role | 2 | 81.00 ± 1.41 | 72.00 ± 2.83 | 70.00 / 74.00 |",
        "| an | 1 | 60.00 | 50.00 | 50.00 |",
    ]
    with Image.open(tmp_path / "scores.png") as picture:
        assert picture.width > picture.height
