"""A program's surface: configurations, training with callbacks, and what comes of it."""

import json
import logging

import pytest
import yaml

from mlcfast.api import Callback, RunError, UsageError, load_config, train
from tests.conftest import run_command


@pytest.fixture
def settings(config_file) -> dict:
    return yaml.safe_load(config_file.read_text())


class Heard(Callback):
    """Notes every call, and stops at a step or an epoch if told to."""

    def __init__(self, stop_at_step=None, stop_at_epoch=None):
        self.calls, self.stop_at_step, self.stop_at_epoch = [], stop_at_step, stop_at_epoch

    def on_start(self, config):
        self.calls.append(("start", config.name, None))

    def on_step(self, step, values):
        self.calls.append(("step", step, values))
        if step == self.stop_at_step:
            self.stop()

    def on_evaluation(self, step, values):
        self.calls.append(("evaluation", step, values))

    def on_epoch(self, epoch, values):
        self.calls.append(("epoch", epoch, values))
        if epoch == self.stop_at_epoch:
            self.stop()

    def on_end(self, result):
        self.calls.append(("end", result.mAP, None))

    def of(self, kind):
        return [(where, values) for each, where, values in self.calls if each == kind]


def test_a_configuration_comes_from_a_file_or_from_values(config_file, settings):
    before = json.dumps(settings)
    of_file = load_config(config_file, {"optim.lr": 1e-5, "train.trackers": []})
    assert of_file == load_config(settings, ["optim.lr=1e-5", "train.trackers=[]"])
    assert of_file.optim.lr == 1e-5 and json.dumps(settings) == before
    assert load_config(settings, {"loss.name": "bce", "data.test": None}).loss.name == "bce"
    with pytest.raises(UsageError, match=r"unknown key optim\.lrr: did you mean optim\.lr\?"):
        load_config(settings, {"optim.lrr": 1})
    for source in (None, 3, ["a"]):
        with pytest.raises(UsageError, match=rf"^source: a {type(source).__name__}; a YAML file's path or a dict"):
            load_config(source)
    for overrides in (None, 3, "optim.lr=1e-5", {3: 1}, [None]):
        with pytest.raises(UsageError, match=r'^overrides: .*: a dict such as \{"optim\.lr": 1e-4\} or a list'):
            load_config(settings, overrides)


def test_callbacks_hear_what_the_journal_holds(settings):
    heard = Heard()
    result = train(settings, callbacks=[heard], quiet=True)
    lines = [json.loads(line) for line in (result.directory / "metrics.jsonl").read_text().splitlines()]
    for kind, event in (("step", "train"), ("evaluation", "evaluation")):
        wanted = [(line.pop("step"), line) for line in lines if line["event"] == event]
        assert heard.of(kind) == [(s, {k: v for k, v in w.items() if k not in ("event", "time")}) for s, w in wanted]
    assert heard.of("epoch") == [(row["epoch"], row) for row in result.epochs] and len(result.epochs) == 2
    assert [kind for kind, *_ in heard.calls][::19] == ["start"]
    assert heard.calls[0] == ("start", "tiny", None) and heard.calls[-1] == ("end", result.mAP, None)

    card = json.loads((result.best / "model.json").read_text())
    assert result.metrics == card["metrics"] and result.mAP == card["metrics"]["mAP"]
    shown = result.report._repr_html_()
    assert shown.startswith("<iframe ") and "&lt;html" in shown and "<html" not in shown
    assert result.report.path == result.directory / "report.html"
    assert set(result.classifier("cpu").labels) == {"red", "green", "blue"}


def test_a_callback_stops_a_run_within_an_epoch_and_it_is_resumed_to_the_same_end(settings):
    whole = train(settings | {"name": "whole"}, quiet=True)
    heard = Heard(stop_at_step=7)
    stopped = train(settings, callbacks=[heard], quiet=True)
    assert [step for step, _ in heard.of("step")] == list(range(1, 8))
    assert [row["step"] for row in stopped.epochs] == [5, 7] and heard.of("end")
    assert (stopped.directory / "best" / "outcome.json").is_file() and stopped.report.path.is_file()
    assert {place.name for place in (stopped.directory / "checkpoints").iterdir()} >= {"00000005", "00000007"}

    heard.stop_at_step = None
    resumed = train(settings, callbacks=[heard], resume=True, quiet=True)
    assert resumed.epochs == whole.epochs and resumed.metrics == whole.metrics


def test_a_callback_stops_a_run_after_an_epoch(settings):
    heard = Heard(stop_at_epoch=0)
    assert [row["step"] for row in train(settings, callbacks=[heard], quiet=True).epochs] == [5]
    heard.stop_at_epoch = None
    assert [row["step"] for row in train(settings, callbacks=[heard], resume=True, quiet=True).epochs] == [5, 10]


@pytest.mark.parametrize("method", ["on_start", "on_step", "on_evaluation", "on_epoch", "on_end"])
def test_an_exception_in_a_callback_ends_the_run_with_its_name(settings, method):
    def fail(self, *values):
        raise KeyError("a slip")

    Slipping = type("Slipping", (Callback,), {method: fail})
    handlers = list(logging.getLogger("mlcfast").handlers)
    with pytest.raises(RunError, match=rf"^callback Slipping\.{method}: KeyError: 'a slip'$"):
        train(settings, callbacks=[Slipping()], quiet=True)
    assert logging.getLogger("mlcfast").handlers == handlers  # its files are closed
    train(settings, resume=None, quiet=True)  # and its directory is free


def test_what_is_wrong_is_said_as_the_command_says_it(settings, tmp_path):
    with pytest.raises(UsageError, match="no checkpoint to resume from"):
        train(settings, resume=tmp_path / "nowhere", quiet=True)
    with pytest.raises(UsageError, match=r"unknown key model\.hed"):
        train(settings | {"model": settings["model"] | {"hed": 1}}, quiet=True)


def test_the_log_is_the_programs_own_where_it_asks_for_that(settings, capsys, monkeypatch):
    monkeypatch.setattr(logging.getLogger("mlcfast"), "handlers", [])  # an earlier test's command sets some up
    train(settings, quiet=True)
    assert "the best model:" not in capsys.readouterr().err
    train(settings)
    assert "the best model:" in capsys.readouterr().err
    train(settings, quiet=True)  # what the run before had set up is gone with it
    assert not capsys.readouterr().err and not logging.getLogger("mlcfast").handlers


def test_on_several_processes_the_main_one_alone_calls_and_all_stop(settings, tmp_path):
    (tmp_path / "two.py").write_text(
        "import os, sys\n"
        "from mlcfast.api import Callback, train\n\n\n"
        "class Stopping(Callback):\n"
        "    def on_step(self, step, values):\n"
        "        print('step', step, 'of rank', os.environ['RANK'])\n"
        "        if step == 3:\n"
        "            self.stop()\n\n\n"
        "result = train(sys.argv[1], callbacks=[Stopping()], quiet=True)\n"
        "print('rank', os.environ['RANK'], 'ended after step', result.epochs[-1]['step'])\n"
    )
    (tmp_path / "two.yaml").write_text(yaml.safe_dump(settings | {"engine": settings["engine"] | {"name": "ddp"}}))
    words = ("torch.distributed.run", "--nproc_per_node", "2", str(tmp_path / "two.py"), str(tmp_path / "two.yaml"))
    done = run_command(*words)
    assert done.returncode == 0, done.stderr[-2000:]
    assert sorted(line for line in done.stdout.splitlines() if line) == [
        "rank 0 ended after step 3",
        "rank 1 ended after step 3",
        *(f"step {step} of rank 0" for step in (1, 2, 3)),
    ]
