"""Evaluations every few epochs: which there are, what is chosen at them, early stop, resumption, a callback's stop."""

import shutil

import pytest
import safetensors.torch

from mlcfast.api import Callback, train
from mlcfast.config import load_config
from mlcfast.training import trainer
from mlcfast.training.unobserved import read_unobserved
from tests.conftest import copy_as_stopped
from tests.test_single_positive import feature_config  # noqa: F401 - a fixture
from tests.test_train import NEWEST, events, run, without_time

EVERY_OTHER = ("train.epochs=5", "train.evaluate_every=2", "train.keep_checkpoints=9")


def evaluated(directory) -> list[int]:
    rows = (directory / "summary.csv").read_text().splitlines()[1:]
    return [int(row.split(",")[0]) for row in rows]


def test_weights_are_the_same_and_judged_less_often(config_file, tmp_path):
    """Of epochs 1 to 5 the second, the fourth and the last; each has a checkpoint and a line on its time."""
    run(config_file, *EVERY_OTHER, "name=seldom")
    run(config_file, "train.epochs=5", "train.keep_checkpoints=9", "name=each")
    seldom, each = tmp_path / "runs" / "seldom", tmp_path / "runs" / "each"
    assert (evaluated(seldom), evaluated(each)) == ([1, 3, 4], [0, 1, 2, 3, 4])
    assert {line["epoch"] for line in events(seldom, "spent")} == {0, 1, 2, 3, 4}
    assert without_time(events(seldom, "train")) == without_time(events(each, "train"))
    last = [directory / "checkpoints" / "00000025" / "weights.safetensors" for directory in (seldom, each)]
    assert last[0].read_bytes() == last[1].read_bytes()
    judged = [line for line in events(each, "evaluation") if line["epoch"] in (1, 3, 4)]
    assert without_time(events(seldom, "evaluation")) == without_time(judged) and len(judged) == 6


@pytest.mark.parametrize("stopped_at", [5, 17])
def test_it_goes_on_to_the_same_end(config_file, tmp_path, stopped_at):
    """After an epoch without an evaluation, before the first one, and within an epoch after it."""
    settings = [*EVERY_OTHER, "train.checkpoint_every=1", "train.keep_checkpoints=30"]
    run(config_file, *settings)
    whole, cut = tmp_path / "runs" / "tiny", tmp_path / "cut" / "tiny"
    copy_as_stopped(whole, cut, stopped_at)
    run(config_file, *settings, f"output={tmp_path / 'cut'}", resume=NEWEST)
    for kind in ("train", "evaluation"):
        assert without_time(events(cut, kind)) == without_time(events(whole, kind))
    assert (cut / "summary.csv").read_text() == (whole / "summary.csv").read_text()
    files = [safetensors.torch.load_file(each / "best" / "model.safetensors") for each in (whole, cut)]
    assert all(files[0][name].equal(files[1][name]) for name in files[0] | files[1])


def test_early_stop_is_asked_at_evaluations(config_file, tmp_path, monkeypatch):
    """The best is that of the third epoch; one evaluation that is not better is never enough, however late it is."""
    seen: list[int] = []
    measure = trainer.Trainer._measure

    def falling(self, epoch):
        results = measure(self, epoch)
        seen.append(epoch)
        for result in results.values():
            result.report["mAP"] = 50.0 - epoch
        return results

    monkeypatch.setattr(trainer.Trainer, "_measure", falling)
    run(config_file, "train.epochs=20", "train.evaluate_every=3", "train.early_stop=1")
    assert seen == [2, 5, 8] and evaluated(tmp_path / "runs" / "tiny") == [2, 5, 8]


def test_a_run_that_goes_on_to_where_it_is_is_evaluated_there(config_file, tmp_path, caplog):
    """Stopped after its third epoch, which was not judged, it is told that this is the last one."""
    settings = [*EVERY_OTHER, "train.evaluate_every=4", "train.checkpoint_every=5"]
    run(config_file, *settings)
    whole, cut = tmp_path / "runs" / "tiny", tmp_path / "cut" / "tiny"
    copy_as_stopped(whole, cut, 15)
    shutil.rmtree(cut / "best")
    words = ["train.epochs=3", "train.evaluate_every=5", f"output={tmp_path / 'cut'}"]
    with caplog.at_level("INFO", "mlcfast"):
        run(config_file, *settings, *words, resume=NEWEST)
    assert evaluated(cut) == [2] and (cut / "best" / "outcome.json").is_file()
    assert "train.evaluate_every 4 -> 5: the best is chosen of other epochs" in caplog.text


class StopsAt(Callback):
    """Asks to stop at a step."""

    def __init__(self, step: int):
        self.step = step

    def on_step(self, step, values):
        if step == self.step:
            self.stop()


@pytest.mark.parametrize(("step", "epoch"), [(3, 0), (5, 0)])
def test_a_run_that_a_callback_stops_is_evaluated_where_it_stops(config_file, step, epoch):
    stopped = train(load_config(config_file, list(EVERY_OTHER)), callbacks=[StopsAt(step)], quiet=True)
    assert (stopped.epochs[-1]["step"], stopped.epochs[-1]["epoch"]) == (step, epoch)
    assert (stopped.directory / "best" / "outcome.json").is_file()


def test_a_stop_that_is_asked_for_after_an_epoch_is_evaluated_too(config_file, monkeypatch):
    callback = StopsAt(-1)
    say = trainer.Trainer._say_where_time_went

    def said(self):
        say(self)
        callback.stop()

    monkeypatch.setattr(trainer.Trainer, "_say_where_time_went", said)
    stopped = train(load_config(config_file, list(EVERY_OTHER)), callbacks=[callback], quiet=True)
    assert [(row["step"], row["epoch"]) for row in stopped.epochs] == [(5, 0)]
    resumed = train(load_config(config_file, list(EVERY_OTHER)), resume=True, quiet=True)
    assert [row["epoch"] for row in resumed.epochs] == [0, 1, 3, 4]


def test_hidden_positives_are_counted_at_evaluations(feature_config, tmp_path):  # noqa: F811
    run(feature_config, *EVERY_OTHER)
    watched = read_unobserved(tmp_path / "runs" / "linear" / "unobserved.npz")
    assert watched["epochs"].tolist() == [1, 3, 4] == evaluated(tmp_path / "runs" / "linear")
    assert (tmp_path / "runs" / "linear" / "unobserved.png").is_file()
