"""Where an epoch's time is said to go, by clocks that are told what happens."""

import json
import logging

import pytest
import torch

from mlcfast.config import load_config
from mlcfast.engine import Process
from mlcfast.report.page import render
from mlcfast.report.record import read_run
from mlcfast.stopwatch import Stopwatch
from mlcfast.training.run import run
from mlcfast.training.spent import KINDS, TimeSpent, in_words, remedy


class Clock:
    now = 50.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_every_second_is_of_one_kind(clock):
    """Of 40 s: 12 until batches were there, 2 of them for the way to the device, 3 exchanging, 5 and 8 on the host."""
    stopwatch = Stopwatch(torch.device("cpu"), clock)
    spent = TimeSpent(stopwatch, clock)
    clock.now += 100  # before the epoch
    spent.begin()

    def loader():
        for number in range(2):
            clock.now += 5
            with stopwatch.of("transferring"):
                clock.now += 1
            yield number

    for _ in spent.batches(loader()):
        clock.now += 4.5  # computing
        with stopwatch.of("exchanging"):
            clock.now += 1.5
        spent.note()
    with spent.of("evaluating"):
        clock.now += 5
    with spent.of("saving"):
        clock.now += 8
    clock.now += 3
    shares = spent.shares()
    assert shares["seconds"] == 40 and sum(shares[kind] for kind in KINDS) == pytest.approx(100)
    assert shares == {
        "computing": 30, "waiting for data": 25, "transferring": 5, "exchanging": 7.5, "evaluating": 12.5,
        "saving": 20, "seconds": 40,
    }  # fmt: skip
    assert in_words(shares).startswith("30 % computing, 25 % waiting for data, 20 % saving")
    spent.begin()
    clock.now += 1
    assert spent.shares()["computing"] == 100


def test_an_error_within_a_wait_is_timed_and_passed_on(clock):
    stopwatch = Stopwatch(torch.device("cpu"), clock)
    with pytest.raises(OSError, match="gone"), stopwatch.of("saving"):
        clock.now += 2
        raise OSError("gone")
    assert stopwatch.take() == {"saving": 2} and stopwatch.take() == {}


@pytest.mark.parametrize(
    ("kind", "settings", "change"),
    [
        ("waiting for data", [], "data.resized_cache=true"),
        ("waiting for data", ["data.resized_cache=true", "data.workers=3"], "data.workers=6"),
        ("waiting for data", ["data.resized_cache=true"], "data.workers=1"),
        ("evaluating", [], "train.evaluate_every=2"),
        ("evaluating", ["train.epochs=1"], ""),
        ("saving", ["train.checkpoint_every=5"], "train.checkpoint_every=10"),
        ("saving", [], ""),
        ("exchanging", ["engine.micro_batch=8"], "engine.global_batch=16"),
        ("exchanging", [], ""),
        ("computing", [], ""),
    ],
)
def test_the_setting_that_would_help_most(config_file, kind, settings, change):
    config = load_config(config_file, settings)
    shares = dict.fromkeys(KINDS, 2.0) | {kind: 90.0}
    assert remedy(shares, config, processes=1) == change
    assert remedy(dict.fromkeys(KINDS, 9.9), config, processes=1) == ""


def test_a_run_says_it_in_log_journal_and_report(config_file, tmp_path, caplog):
    with caplog.at_level(logging.INFO, logger="mlcfast"):
        run(load_config(config_file), Process())
    directory = tmp_path / "runs" / "tiny"
    lines = [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]
    spent = [line for line in lines if line["event"] == "spent"]
    assert [(line["epoch"], line["step"]) for line in spent] == [(0, 5), (1, 10)]
    for line in spent:
        assert line["seconds"] > 0 and line["waiting for data"] > 0 and line["evaluating"] > 0 and line["saving"] > 0
        assert sum(line[kind] for kind in KINDS) == pytest.approx(100, abs=0.5)
    assert " % waiting for data" in (directory / "log.txt").read_text()
    assert "Where the time went" in render(read_run(directory))
