"""What a run says before and after training."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from mlcfast.config import load_config
from mlcfast.data import LabelledImages
from mlcfast.engine import HostProcess
from mlcfast.errors import UsageError
from mlcfast.evaluation.bootstrap import percent_interval
from mlcfast.runs.directory import RunDirectory, find_checkpoints
from mlcfast.training.announce import (
    announce_end,
    announce_samples,
    announce_training,
    next_commands,
    unknown_as_absent,
)
from mlcfast.training.saving import delete_old_checkpoints


@pytest.fixture(autouse=True)
def heard(caplog):
    caplog.set_level("INFO", "mlcfast")


def records(prefix: str, *rows: tuple[int, ...]) -> LabelledImages:
    paths = [f"{prefix}{number}.jpg" for number in range(len(rows))]
    return LabelledImages(paths, np.array(rows, np.int8), ["cat", "dog"], paths)


def test_the_data_are_counted_and_what_is_odd_is_said(caplog):
    train, validation = records("t", (1, 0), (1, 1), (0, 0)), records("v", (1, 0), (0, -1))
    shared = LabelledImages(["v0.jpg"], np.array([[1, 1]], np.int8), ["cat", "dog"], ["v0.jpg"])
    announce_samples({"training": train, "validation": validation, "test": shared})
    assert caplog.messages == [
        "training 3 images, validation 2 images, test 1 images; images with each label: dog 1 / 0 / 1, cat 2 / 1 / 1",
        "1 of 3 training images have no label: they are trained on as images with none of the labels",
        "1 of 2 validation images have unknown labels and none that is there",
        "1 images are in validation and in test, first v0.jpg",
        "no validation image has these labels, which count as AP 0 in the mAP and get threshold 0.5: dog",
    ]


def test_unknown_labels_that_are_learnt_as_absent_are_said():
    partial, full = records("t", (1, 0), (-1, 1), (0, 1)), records("v", (1, 0), (0, 1))
    (said,) = unknown_as_absent("asymmetric", partial)
    assert said.startswith("2 labels are unknown, and loss.name=asymmetric learns them as absent: loss.name=iu")
    assert unknown_as_absent("iu", partial) == unknown_as_absent("asymmetric", full) == []


def test_model_device_and_steps_are_said(caplog, config_file):
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    model[0].requires_grad_(False)
    trainer = SimpleNamespace(
        engine=SimpleNamespace(training_module=SimpleNamespace(model=model)),
        progress=SimpleNamespace(step=5),
        is_resumed=True,
        steps_per_epoch=5,
        total_steps=10,
    )
    announce_training(load_config(config_file), trainer, HostProcess())
    first, second, third, fourth = caplog.messages
    assert first == ("model: query2label on test_resnet, 26 parameters, 10 of them trained, images of 32 × 32 pixels")
    threads = torch.get_num_threads()
    assert second == f"device: CPU with {threads} thread" + ("s" if threads > 1 else "")
    assert third.startswith("steps: 5 an epoch of 8 images each, 10 in 2 epochs, of which 5 are done;")
    assert fourth.startswith("the average of the weights will still hold 35 % of the initial ones at the end:")
    caplog.clear()
    announce_training(load_config(config_file, ["train.ema_warmup=true"]), trainer, HostProcess())
    assert len(caplog.messages) == 3
    caplog.clear()
    announce_training(
        load_config(config_file, ["model.head=ml_decoder", "model.feedforward=9", "model.auxiliary_linear=true"]),
        trainer,
        HostProcess(),
    )
    (said,) = [message for message in caplog.messages if "ml_decoder has its own" in message]
    assert "model.feedforward" in said and "auxiliary" not in said


def test_the_end_names_the_figure_that_counts_and_what_to_type(caplog, config_file):
    config, progress = load_config(config_file), SimpleNamespace(best=63.4, best_epoch=3, rows=[])
    directory = RunDirectory(config.run_directory)
    announce_end(config, directory, progress, 13, None, None)
    assert caplog.messages[0].startswith("the figure that counts: validation mAP 63.40 on 13 images, after epoch 4;")
    assert caplog.messages[1] == f"the best model: {directory.best}"
    assert len([line for line in caplog.messages if line.startswith("next: ")]) == 3
    caplog.clear()
    test = SimpleNamespace(
        report={"mAP": 61.25, "images": 7}, rows=None, scores=np.zeros((7, 3)), labels=np.ones((7, 3), np.int8)
    )
    announce_end(config, directory, progress, 13, None, test)
    assert caplog.messages[0] == (
        "the figure that counts: test mAP 61.25 [100.00, 100.00] on 7 images; validation, mAP 63.40, chose epoch 4"
    )


def test_the_end_names_no_choice_where_the_last_weights_are_kept(caplog, config_file):
    config = load_config(config_file, ["train.choose=last"])
    rows = [{"epoch": epoch, "raw_mAP": 99.0} for epoch in range(4)]
    progress, directory = SimpleNamespace(best=63.4, best_epoch=3, rows=rows), RunDirectory(config.run_directory)
    announce_end(config, directory, progress, 13, (60.0, 70.0), None)
    said = "the figure that counts: validation mAP 63.40 [60.00, 70.00] on 13 images, after the last epoch, 4"
    assert caplog.messages[:2] == [said, f"the best model: {directory.best}"]
    caplog.clear()
    test = SimpleNamespace(
        report={"mAP": 61.25, "images": 7}, rows=[0], scores=np.zeros((7, 3)), labels=np.ones((7, 3), np.int8)
    )
    announce_end(config, directory, progress, 13, None, test)
    assert caplog.messages[0].endswith("on 7 images; validation, mAP 63.40, after the last epoch, 4")


def test_epochs_that_are_as_good_as_the_best_one_are_counted(caplog, config_file):
    config, random = load_config(config_file), np.random.default_rng(0)
    labels = (random.random((20, 2)) < 0.5).astype(np.int8)
    scores = np.clip(0.5 * labels + 0.6 * random.random((20, 2)), 0, 1)
    directory = RunDirectory(config.run_directory)
    low, high = percent_interval(scores, labels)
    rows = [{"epoch": e, "raw_mAP": value, "ema_mAP": 1.0} for e, value in enumerate((low - 1, low + 1, 99.0, high))]
    announce_end(config, directory, SimpleNamespace(best=99.0, best_epoch=2, rows=rows), 20, (low, high), None)
    assert f"validation mAP 99.00 [{low:.2f}, {high:.2f}] on 20 images" in caplog.messages[0]
    assert caplog.messages[1].startswith("2 other epochs lie within that 95 % interval: on 20 validation images")


def test_commands_are_quoted_as_a_shell_needs(config_file, tmp_path):
    config = load_config(config_file, [f"output={tmp_path / 'my runs'}"])
    predict, evaluate, _ = next_commands(config, RunDirectory(config.run_directory))
    best = f"'{tmp_path}/my runs/tiny/best'"
    assert predict == f"python -m mlcfast.predict {best} IMAGES"
    assert evaluate == f"python -m mlcfast.evaluate '{tmp_path}/my runs/tiny/config.yaml' --checkpoint {best}"


def finished_run(path, keep="null", finished=True, name="run[1]"):
    directory = RunDirectory(path)
    step = directory.checkpoints / "00000005"
    step.mkdir(parents=True)
    (step / "weights.safetensors").write_bytes(bytes(3_000_000))
    directory.config.write_text(f"name: {name}\ntrain: {{keep_finished: {keep}}}")
    directory.best.mkdir()
    if finished:
        directory.outcome.write_text("{}")
    return directory


@pytest.mark.parametrize("keep", [True, None])
def test_what_the_checkpoints_of_a_finished_run_take_is_said(tmp_path, caplog, keep):
    directory = finished_run(tmp_path / "run")
    delete_old_checkpoints(directory, keep)
    assert directory.checkpoints.exists() and "takes 3 MB" in caplog.text
    assert "train.keep_finished=false" in caplog.text
    assert ("when a later run of this name has finished" in caplog.text) == (keep is None)


def test_checkpoints_that_a_finished_run_does_not_keep_are_deleted_and_resuming_says_what_to_do(tmp_path, caplog):
    directory = finished_run(tmp_path / "run", "false")
    delete_old_checkpoints(directory, keep=False)
    assert not directory.checkpoints.exists() and "is deleted, 3 MB" in caplog.text
    with pytest.raises(UsageError, match=f"deleted; a new run with train.initialise_from={directory.path} starts"):
        find_checkpoints(directory.path)


def test_checkpoints_of_earlier_finished_runs_of_the_name_go_unless_kept(tmp_path, caplog):
    places = {name: tmp_path / name for name in ("run[1]", "run[1].1", "run[1].2", "run[1].3", "run[1].old", "run1.1")}
    runs = {name: finished_run(place, finished=name != "run[1].3") for name, place in places.items()}
    runs["run[1].2"].config.write_text("name: run[1]\ntrain: {keep_finished: true}")
    runs["run[1].4"] = finished_run(tmp_path / "run[1].4", name="run[1].4")  # a run that was called so
    delete_old_checkpoints(runs["run[1]"], keep=True)
    assert all(run.checkpoints.exists() for run in runs.values())
    delete_old_checkpoints(runs["run[1]"], keep=None)
    assert [name for name, run in runs.items() if not run.checkpoints.exists()] == ["run[1].1"]
    assert runs["run[1].1"].best.exists() and f"deleted, 3 MB: {places['run[1].1']}; train" in caplog.text


def test_images_of_unknown_labels_are_no_images_without_one(caplog):
    train, validation = records("t", (1, 0), (0, 0), (-1, 0), (-1, -1)), records("v", (1, -1), (-1, -1))
    counts = announce_samples({"training": train, "validation": validation})["sides"]
    assert (counts["training"]["unlabelled"], counts["validation"]["unlabelled"]) == (1, 1)
    assert "2 of 4 training images have unknown labels and none that is there" in caplog.messages
    assert "1 of 4 training images have no label" in caplog.text
    assert "validation images have unknown" not in caplog.text
