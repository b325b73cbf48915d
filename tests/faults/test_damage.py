"""Damage to what a run keeps is named before it is used, and a resume falls back to what is whole.

`MLCFAST_DAMAGES=1000 pytest tests/faults/test_damage.py` is the long form, of that many damages to best/ and as many to
the newest checkpoint.
"""

import os
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from mlcfast.config import load_config
from mlcfast.engine import Process, load_checkpoint
from mlcfast.errors import RunError, UsageError
from mlcfast.files import publish_directory, remove_directory, sealed, unsealed
from mlcfast.models.card import check_file
from mlcfast.models.trained import load_trained
from mlcfast.report.record import read_run
from mlcfast.runs.directory import RunDirectory
from mlcfast.training.run import load_last_checkpoint, run

DAMAGES = int(os.environ.get("MLCFAST_DAMAGES", "60"))


@pytest.fixture(scope="module")
def runs(tmp_path_factory, colour_set) -> tuple[RunDirectory, RunDirectory, Path]:
    """Two finished runs of different seeds, with label estimates, and the first one's configuration."""
    root = tmp_path_factory.mktemp("damaged")
    file = root / "tiny.yaml"
    file.write_text(
        f"""
name: tiny
output: {root / "runs"}
data: {{format: csv, root: {colour_set}, train: rows.csv, labels: single_positive, image_size: 32, workers: 0}}
model: {{backbone: test_resnet, weights: none, embed_dim: 16, feedforward: 32, num_heads: 2}}
loss: {{name: role, expected_positives: 1.5}}
optim: {{lr: 1.0e-3}}
engine: {{precision: fp32, micro_batch: 8, global_batch: 8}}
train: {{epochs: 2, ema_decay: 0, log_every: 1, keep_checkpoints: 3}}
"""
    )
    lines = (colour_set / "train.csv").read_text().splitlines()
    labelled = [lines[0], *(line for line in lines[1:] if "1" in line.split(",", 1)[1])]
    (colour_set / "rows.csv").write_text("\n".join(labelled))
    for name, seed in (("tiny", 0), ("other", 1)):
        run(load_config(file, [f"name={name}", f"seed={seed}"]), Process())
    return RunDirectory(root / "runs" / "tiny"), RunDirectory(root / "runs" / "other"), file


def damage(file: Path, other: Path, draw: random.Random) -> str:
    """Flip a bit, cut the end off, clear a stretch, or put another run's file in its place."""
    content = bytearray(file.read_bytes())
    kind = draw.choice(["flip", "cut", "clear", "swap"])
    if kind == "flip":
        content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    elif kind == "cut":
        del content[draw.randrange(len(content)) :]
    elif kind == "clear":
        start = draw.randrange(len(content))
        part = content[start : start + 512]
        content[start : start + 512] = bytes(len(part)) if any(part) else b"\1" * len(part)
    else:
        content = bytearray(other.read_bytes())
    assert bytes(content) != file.read_bytes(), kind
    file.write_bytes(content)
    return kind


def use(run_directory: RunDirectory) -> None:
    """What predict, evaluate, the report, the sweep and train.initialise_from read of best/."""
    load_trained(run_directory.best)
    read_run(run_directory.path)
    run_directory.read_outcome()
    check_file(run_directory.estimates)


def test_damage_to_the_best_model_is_named(runs, tmp_path, tally):
    whole, other, _ = runs
    use(whole)
    draw = random.Random(0)
    names = sorted(entry.name for entry in whole.best.iterdir())
    assert names == ["estimates.npz", "model.json", "model.safetensors", "outcome.json", "validation.npz"]
    for number in range(DAMAGES):
        copy = RunDirectory(tmp_path / str(number))
        shutil.copytree(whole.path, copy.path)
        name = draw.choice(names)
        kind = damage(copy.best / name, other.best / name, draw)
        with pytest.raises((UsageError, RunError)) as caught:
            use(copy)
        message = str(caught.value)
        assert str(copy.best) in message and "\n" not in message, (kind, name, message)
        shutil.rmtree(copy.path)
        tally["damages to `best/` (bits flipped, ends cut off, stretches cleared, files of another run) named"] += 1


def test_damage_to_a_checkpoint_is_named_and_the_one_before_is_taken(runs, tmp_path, caplog, tally):
    caplog.set_level("WARNING", "mlcfast")
    whole, other, _ = runs
    first, second = sorted(entry for entry in whole.checkpoints.iterdir() if entry.is_dir())
    held = load_checkpoint(first)
    copy = RunDirectory(tmp_path / "run")
    shutil.copytree(whole.path, copy.path)
    newest = copy.checkpoints / second.name
    draw = random.Random(2)
    names = sorted(entry.name for entry in second.iterdir())
    for number in range(DAMAGES):
        name = draw.choice(names)
        kind = damage(newest / name, other.checkpoints / second.name / name, draw)
        caplog.clear()
        state, progress = load_last_checkpoint(copy.path, Process())
        said = list(dict.fromkeys(record.getMessage() for record in caplog.records))
        assert len(said) == 2 and str(newest) in said[0] and str(copy.checkpoints / first.name) in said[1], (kind, said)
        assert progress == held[1] and state.weights.keys() == held[0].weights.keys(), (number, kind, name)
        assert all(torch.equal(state.weights[key], held[0].weights[key]) for key in state.weights), (number, kind, name)
        shutil.copyfile(second / name, newest / name)
        tally["such damages to the newest checkpoint named, and the one before it taken to the bit"] += 1
    assert load_last_checkpoint(copy.path, Process())[1] == load_checkpoint(second)[1]


def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(runs, tmp_path, caplog):
    caplog.set_level("INFO", "mlcfast")
    whole, other, file = runs
    draw = random.Random(1)
    steps = sorted(entry.name for entry in whole.checkpoints.iterdir() if entry.is_dir())
    assert len(steps) == 2
    for name in sorted(entry.name for entry in (whole.checkpoints / steps[-1]).iterdir()):
        config = load_config(file, [f"output={tmp_path / name}"])
        shutil.copytree(whole.path, config.run_directory)
        copy = RunDirectory(config.run_directory)
        damage(copy.checkpoints / steps[-1] / name, other.checkpoints / steps[-1] / name, draw)
        caplog.clear()
        progress = run(config, Process(), resume=copy.path)
        assert f"going on from {copy.checkpoints / steps[0]}: the {int(steps[1]) - int(steps[0])} steps" in caplog.text
        assert progress.step == int(steps[1])
        again, before = (np.load(directory.validation)["scores"] for directory in (copy, whole))
        assert np.array_equal(again, before)


def test_where_every_checkpoint_is_damaged_the_resume_is_an_error(runs, tmp_path):
    whole, _, file = runs
    config = load_config(file, [f"output={tmp_path}"])
    shutil.copytree(whole.path, config.run_directory)
    for weights in config.run_directory.glob("checkpoints/*/weights.safetensors"):
        weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(RunError, match="damaged"):
        run(config, Process(), resume=config.run_directory)


def test_going_back_to_an_earlier_checkpoint_gives_up_the_later_best(runs, tmp_path, caplog):
    whole, _, file = runs
    config = load_config(file, [f"output={tmp_path}"])
    shutil.copytree(whole.path, config.run_directory)
    copy = RunDirectory(config.run_directory)
    first, second = sorted(entry for entry in copy.checkpoints.iterdir() if entry.is_dir())
    best_at = copy.best_step()
    progress = run(config, Process(), resume=first)
    assert ("which this run goes back from" in caplog.text) == (best_at > int(first.name))
    assert progress.step == int(second.name) and copy.best_step() == best_at
    assert copy.read_outcome()["validation_mAP"] == pytest.approx(whole.read_outcome()["validation_mAP"])


def test_a_directory_takes_anothers_place_whole(tmp_path):
    for name, content in (("old", "1"), ("new", "2")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(content)
    publish_directory(tmp_path / "new", tmp_path / "old")
    publish_directory(tmp_path / "old", tmp_path / "fresh")
    assert [entry.name for entry in tmp_path.iterdir()] == ["fresh"]
    assert (tmp_path / "fresh" / "file").read_text() == "2"


def test_a_directory_that_is_half_removed_has_lost_its_name(tmp_path, monkeypatch):
    place = tmp_path / "00000002"
    for _ in range(2):  # the second time beside what is left of the first
        place.mkdir()
        (place / "file").write_text("1")
        with monkeypatch.context() as patch:
            patch.setattr(shutil, "rmtree", lambda *_, **__: None)  # ends before anything is gone
            if not list(tmp_path.glob(".*")):
                remove_directory(place)
                assert [entry.name for entry in tmp_path.iterdir()] == [".00000002.partial"]
    remove_directory(place)
    assert not list(tmp_path.iterdir())


def test_a_sealed_document_shows_every_changed_byte():
    text = sealed({"mAP": 61.25, "labels": ["cat", "très"], "nothing": None})
    assert unsealed(text) == {"mAP": 61.25, "labels": ["cat", "très"], "nothing": None}
    for place in range(len(text)):
        changed = text[:place] + ("1" if text[place] != "1" else "2") + text[place + 1 :]
        try:
            document = unsealed(changed)
        except ValueError:
            continue
        assert document.keys() - {"mAP", "labels", "nothing"}, changed  # the digest's own name, then an unknown key
    assert unsealed('{"written": "by hand"}') == {"written": "by hand"}
