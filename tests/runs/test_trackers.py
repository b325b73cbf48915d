"""What trackers are sent, and that one which fails or hangs neither ends a run nor stalls it."""

import json
import sys
import time

import pytest

from mlcfast import errors, settings, track, train
from mlcfast.runs.directory import RunDirectory
from mlcfast.runs.trackers import Delivery, Tracker, build, courier
from mlcfast.runs.trackers.delivery import BATCH
from mlcfast.runs.trackers.ledger import Ledger
from tests.runs.test_mlflow import expected
from tests.runs.tracked import Choosy, Hanging, Remembering

OURS = "tests.runs.tracked"


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """No test waits for a minute at a run's end, and each begins with nothing remembered."""
    monkeypatch.setattr(courier, "WAIT", 2.0)
    monkeypatch.setattr(courier, "INTERVAL", 0.05)
    for held in (Remembering.lines, Remembering.files, Remembering.opened, Remembering.closed):
        held.clear()


def arrived() -> list[tuple[str, int, float]]:
    return [(name, line.step, value) for line in Remembering.lines for name, value in line.values.items()]


def test_a_tracker_of_ones_own_receives_the_whole_run_and_a_resumed_one_only_what_is_new(config_file, tmp_path):
    words = [str(config_file), f"train.trackers=[{OURS}:Remembering]"]
    assert train.main([*words, "train.epochs=1"]) == 0
    run = RunDirectory(tmp_path / "runs" / "tiny")
    assert set(arrived()) == expected(run.metrics) and len(arrived()) == len(set(arrived()))
    assert Remembering.files == ["config.yaml", "result.png", "report.html", "summary.csv", "best"]
    assert Remembering.closed == [True]
    assert Remembering.opened[0].settings["optim.lr"] == 0.001 and Remembering.opened[0].name == "tiny"

    Remembering.lines.clear()
    assert train.main([*words, "train.epochs=2", "--resume"]) == 0
    assert {step for name, step, _ in arrived() if name == "train/loss"} == set(range(6, 11))
    assert len({run.key for run in Remembering.opened}) == 1 and Remembering.files[5:] == Remembering.files[:5]


def test_steps_that_are_run_again_are_not_sent_again(tmp_path):
    run = RunDirectory(tmp_path)
    run.config.write_text("name: again\n")
    lines = [{"event": "train", "step": step, "time": 1.0, "loss": float(step)} for step in range(1, BATCH + 3)]
    run.metrics.write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"torn": ')
    assert Delivery("own", Remembering(), run).attempt(finished=False, over=False)
    assert [line.step for line in Remembering.lines] == list(range(1, BATCH + 3))
    lines += [{"event": "train", "step": BATCH + 3, "time": 2.0, "loss": 1.0}]
    lines += [{"event": "evaluation", "weights": w, "step": BATCH + 2, "time": 2.0, "mAP": 1.0} for w in ("raw", "ema")]
    run.metrics.write_text("not a line\n" + "".join(json.dumps(line) + "\n" for line in lines))
    Remembering.lines.clear()
    assert Delivery("own", Remembering(), run).attempt(finished=False, over=False)
    names = [(line.step, *line.values) for line in Remembering.lines]
    assert names == [(BATCH + 3, "train/loss"), (BATCH + 2, "evaluation/raw/mAP"), (BATCH + 2, "evaluation/ema/mAP")]


@pytest.mark.parametrize(
    ("name", "reason"), [("Raising", "RuntimeError: no such luck"), ("Hanging", "has not answered")]
)
def test_a_tracker_that_fails_or_hangs_ends_no_run(config_file, tmp_path, capsys, name, reason):
    began = time.monotonic()
    words = [str(config_file), "train.epochs=1", f"train.trackers=[tensorboard, {OURS}:{name}, {OURS}:Remembering]"]
    assert train.main(words) == 0
    assert time.monotonic() - began < 300 < Hanging.SECONDS
    said = capsys.readouterr().err
    (line,) = [line for line in said.splitlines() if "not delivered" in line]
    directory = tmp_path / "runs" / "tiny"
    for part in (f"tracker {OURS}:{name}", "8 lines of metrics.jsonl", "report.html, summary.csv, best", reason):
        assert part in line
    assert line.endswith(f"python -m mlcfast.track {directory} sends it later")
    assert said.count("training goes on, and it is tried again") == (name == "Raising")
    assert set(arrived()) == expected(directory / "metrics.jsonl")  # the one beside it is not held up
    assert list((directory / "tensorboard").iterdir())


def test_what_was_not_delivered_is_sent_later(config_file, tmp_path, monkeypatch, capsys):
    directory = tmp_path / "runs" / "tiny"
    with monkeypatch.context() as away:
        away.setattr(Remembering, "open", lambda self, run: 1 / 0)
        assert train.main([str(config_file), f"train.trackers=[{OURS}:Remembering]", "train.epochs=1"]) == 0
        capsys.readouterr()
        assert track.main([str(directory)]) == 1
        assert "not delivered: " in capsys.readouterr().err
    assert track.main([str(directory)]) == 0
    assert set(arrived()) == expected(directory / "metrics.jsonl") and Remembering.files[-1] == "best"
    assert Remembering.closed == [True] and capsys.readouterr().out == "trackers 1, not reached 0\n"


def test_there_is_nothing_to_send_later_for_tensorboard(config_file, tmp_path, capsys):
    assert train.main([str(config_file), "train.epochs=1"]) == 0
    assert track.main([str(tmp_path / "runs" / "tiny")]) == 2
    assert "train.trackers names none that is sent anything" in capsys.readouterr().err


def test_a_run_that_fails_is_closed_as_unfinished(config_file, monkeypatch):
    monkeypatch.setattr("mlcfast.training.trainer.Trainer._evaluate", lambda self: 1 / 0)
    assert train.main([str(config_file), f"train.trackers=[{OURS}:Remembering]"]) == 1
    assert Remembering.closed == [False] and Remembering.files == ["config.yaml"]
    assert {step for _, step, _ in arrived()} == set(range(1, 6))


def test_without_trackers_no_tensorboard_is_written(config_file, tmp_path):
    assert train.main([str(config_file), "train.epochs=1", "train.trackers=[]"]) == 0
    assert not (tmp_path / "runs" / "tiny" / "tensorboard").exists()


def test_tensorboard_holds_numbers_pictures_configuration_and_card(config_file, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    assert train.main([str(config_file), "train.epochs=1"]) == 0
    run = RunDirectory(tmp_path / "runs" / "tiny")
    board = EventAccumulator(str(run.tensorboard)).Reload()
    tags = board.Tags()
    assert {"train/loss", "evaluation/mAP", "spent/seconds"} <= set(tags["scalars"])
    assert [event.step for event in board.Scalars("train/loss")] == [1, 2, 3, 4, 5]
    assert tags["images"] == ["result"]
    said = b"".join(board.Tensors(tag)[0].tensor_proto.string_val[0] for tag in tags["tensors"])
    assert b"backbone: test_resnet" in said and str(run.best).encode() in said


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        (f"{{name: '{OURS}:Choosy', color: red}}", "has no option 'color': did you mean colour?"),
        (f"{{name: '{OURS}:Choosy', colour: green}}", "colour must be red or blue, not 'green'"),
        (f"{OURS}:RunDirectory", "is not a class derived from mlcfast.runs.trackers.Tracker"),
        (f"{OURS}:Nothing", "has no 'Nothing'"),
        ("{name: tensorboard, uri: x}", "has no option 'uri'; it has none"),
        ("mlflw", "did you mean mlflow?"),
    ],
)
def test_a_tracker_that_cannot_be_is_an_error_before_any_training(config_file, tmp_path, capsys, entry, says):
    assert train.main([str(config_file), f"train.trackers=[{entry}]"]) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert "train.trackers" in said and says in said
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("package", ["mlflow", "wandb"])
def test_a_package_that_is_missing_is_named_with_its_extra(config_file, monkeypatch, capsys, package):
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    assert train.main([str(config_file), f"train.trackers=[{package}]"]) == 2
    line = f"error: train.trackers: {package} is not installed: pip install 'mlcfast[{package}]'"
    assert capsys.readouterr().err.splitlines()[-1] == line
    assert errors.EXTRA_OF[package] == package


def test_the_options_of_an_entry_reach_its_constructor():
    assert Choosy("blue").colour == "blue" and Choosy.check_installed() is None
    with pytest.raises(NotImplementedError):
        Tracker().scalars([])


def test_a_damaged_ledger_and_another_place_begin_anew(tmp_path):
    path = tmp_path / "trackers" / "own.json"
    kept = Ledger("here", sent={"train": 3})
    kept.write(path)
    assert Ledger.read(path, "here") == kept and not kept.lacks({"event": "train", "step": 3})
    elsewhere = Ledger.read(path, "there")
    assert not elsewhere.sent and elsewhere.key != kept.key
    path.write_text('{"place": ')
    assert not Ledger.read(path, "here").sent


def test_a_call_that_comes_back_after_the_end_sends_nothing_more(tmp_path):
    run = RunDirectory(tmp_path)
    run.config.write_text("name: late\n")
    run.metrics.write_text('{"event": "train", "step": 1, "time": 1.0, "loss": 2.0}\n')
    delivery = Delivery("own", Remembering(), run)
    delivery.give_up()
    assert not delivery.attempt(finished=True, over=True) and not Remembering.lines and not delivery.is_closed
    assert delivery.missing(finished=False) == "1 lines of metrics.jsonl, config.yaml"


def test_a_folder_of_the_packages_name_is_not_the_package(tmp_path, monkeypatch):
    (tmp_path / "wandb_folder").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(errors.EXTRA_OF, "wandb_folder", "wandb")
    with pytest.raises(errors.UsageError, match=r"wandb_folder is not installed: pip install 'mlcfast\[wandb\]'"):
        type("Own", (Tracker,), {"needs": ("wandb_folder",)}).check_installed()


def test_the_settings_know_the_trackers_that_there_are():
    assert tuple(build.TRACKERS) == settings.TRACKERS
