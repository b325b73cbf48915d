"""Signals amid training: the step is saved, the exit code is the documented one, and nothing is lost."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import safetensors.torch
import torch

from mlcfast.config import load_config
from mlcfast.engine import Process
from mlcfast.training.interruption import Signals
from mlcfast.training.run import run
from mlcfast.training.trainer import Trainer
from tests.conftest import DEEPSPEED, ROOT

LONG = ["train.epochs=400", "train.ema_decay=0"]


def events(directory: Path, kind: str) -> list[dict]:
    lines = map(json.loads, (directory / "metrics.jsonl").read_text().splitlines())
    timeless = (
        {k: v for k, v in line.items() if k not in ("time", "images_per_second", "host_peak_bytes")} for line in lines
    )
    return [line for line in timeless if line["event"] == kind]


def signal_after(monkeypatch, step: int, number: int) -> None:
    """The process receives the signal within the step after `step`."""
    original = Trainer._step

    def stepped(self, micro_batches):
        if self.progress.step == step:
            os.kill(os.getpid(), number)
        original(self, micro_batches)

    monkeypatch.setattr(Trainer, "_step", stepped)


@pytest.mark.parametrize("step", [2, 4, 6], ids=["mid-epoch", "before-an-evaluation", "second-epoch"])
@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 130)])
def test_stopped_and_resumed_equals_uninterrupted(config_file, tmp_path, monkeypatch, caplog, number, status, step):
    caplog.set_level("INFO", "mlcfast")
    config = load_config(config_file)
    run(config, Process())
    whole = tmp_path / "runs" / "tiny"
    moved = whole.rename(tmp_path / "whole")
    handlers = [signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGUSR1)]
    with monkeypatch.context() as patch:
        signal_after(patch, step, number)
        with pytest.raises(SystemExit) as ended:
            run(config, Process())
    assert ended.value.code == status
    assert handlers == [signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGUSR1)]
    assert (whole / "checkpoints" / "latest").read_text() == f"{step + 1:08d}"
    assert (
        f"{signal.Signals(number).name}: step {step + 1} is saved; --resume goes on" in (whole / "log.txt").read_text()
    )
    caplog.clear()
    run(config, Process(), config.run_directory)
    assert "epoch 1: mAP" in caplog.text or step == 6
    assert "; 0 on the training images" not in caplog.text  # before an evaluation none of them was gone through here
    for kind in ("train", "evaluation"):
        assert events(whole, kind) == events(moved, kind)
    for name in ("weights", "average", "moments"):
        a, b = (
            safetensors.torch.load_file(d / "checkpoints" / "00000010" / f"{name}.safetensors") for d in (moved, whole)
        )
        assert a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def test_usr1_saves_and_goes_on(config_file, tmp_path, monkeypatch):
    signal_after(monkeypatch, 2, signal.SIGUSR1)
    run(load_config(config_file, ["train.keep_checkpoints=9"]), Process())
    names = sorted(entry.name for entry in (tmp_path / "runs" / "tiny" / "checkpoints").iterdir())
    assert names == ["00000003", "00000005", "00000010", "latest"]


def test_ignored_signals_stay_ignored_and_other_threads_are_left_alone():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Signals(Process()) as signals:
            signal.raise_signal(signal.SIGHUP)
            signal.raise_signal(signal.SIGUSR1)
            assert signals.requested() == (0, signal.SIGUSR1, False)
            assert signals.requested(finish=True) == (0, 0, True)
    finally:
        signal.signal(signal.SIGHUP, before)
    failures = []

    def elsewhere():
        try:
            with Signals(Process()) as signals:
                failures.extend(signals.before)
        except ValueError as error:
            failures.append(error)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert failures == []


def test_a_second_signal_ends_at_once():
    code = (
        "import os, signal, time\n"
        "from mlcfast.engine import Process\n"
        "from mlcfast.training.interruption import Signals\n"
        "with Signals(Process()):\n"
        "    os.kill(os.getpid(), signal.SIGTERM); print('first', flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGTERM); time.sleep(60)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (-signal.SIGTERM, "first\n")


def started(config_file: Path, directory: Path, *words: str) -> subprocess.Popen:
    """A launcher with two ranks that has trained some steps; its log is `log` beside the configuration."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with (config_file.parent / "log").open("w") as log:
        process = subprocess.Popen(
            [*words, "mlcfast.train", str(config_file), *LONG], cwd=ROOT, env=environment, stdout=log, stderr=log
        )  # fmt: skip
    until(lambda: (directory / "metrics.jsonl").exists() and len(events(directory, "train")) > 2, 600)
    return process


def until(holds, seconds: float) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.2)


def ranks_of(config_file: Path) -> list[int]:
    """Processes with the configuration in their command line that are ranks, not launchers."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
            if str(config_file).encode() in words and b"RANK=" in (entry / "environ").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def test_torchrun_hands_sigterm_on_and_both_ranks_save_the_same_step(config_file, tmp_path):
    directory = tmp_path / "runs" / "tiny"
    launcher = started(config_file, directory, "torchrun", "--nproc_per_node", "2", "-m")
    try:
        launcher.send_signal(signal.SIGTERM)
        launcher.wait(60)
        log = (directory / "log.txt").read_text()
        step = int((directory / "checkpoints" / "latest").read_text())
        assert f"SIGTERM: step {step} is saved; --resume goes on" in log
        assert events(directory, "train")[-1]["step"] == step
        until(lambda: not ranks_of(config_file), 20)
    finally:
        launcher.kill()
        shutil.copy(config_file.parent / "log", tmp_path / "launcher.log")


@pytest.mark.parametrize(
    "words",
    [["torchrun", "--nproc_per_node", "2", "-m"], [*DEEPSPEED, "--module"]],
    ids=["torchrun", "deepspeed"],
)
def test_ranks_of_a_killed_launcher_save_and_end(config_file, tmp_path, words):
    directory = tmp_path / "runs" / "tiny"
    launcher = started(config_file, directory, *words)
    assert len(ranks_of(config_file)) >= 2
    launcher.kill()
    launcher.wait()
    until(lambda: not ranks_of(config_file), 60)
    assert (directory / "checkpoints" / "latest").exists()
    assert "--resume goes on" in (directory / "log.txt").read_text()


def test_a_rank_whose_launcher_was_killed_while_it_was_beginning_ends(tmp_path):
    """To import what it needs takes seconds, in which nothing watches yet."""
    place = tmp_path / "pid"
    rank = (
        "import mlcfast.cli, os, sys, time; from pathlib import Path\n"
        "launcher = os.getppid(); Path(sys.argv[1]).write_text(f'{os.getpid()} ')\n"
        "while os.getppid() == launcher: time.sleep(0.05)\n"
        "from mlcfast.engine import watch_ancestors; watch_ancestors(); time.sleep(200)"
    )
    launch = "import subprocess, sys; subprocess.run([sys.executable, '-c', *sys.argv[1:]])"
    launcher = subprocess.Popen([sys.executable, "-c", launch, rank, str(place)], cwd=ROOT)
    try:
        until(lambda: place.exists() and place.read_text().endswith(" "), 60)
    finally:
        launcher.kill()
        launcher.wait()
    until(lambda: not Path("/proc", place.read_text().strip()).exists(), 100)
