"""A run's directory: who may write to it, going back, and what is found there to resume from."""

import contextlib
import json
import multiprocessing
from pathlib import Path

import numpy as np
import pytest

from mlcfast.errors import UsageError
from mlcfast.files import lock_file, sealed
from mlcfast.runs import directory
from mlcfast.runs.directory import RunDirectory, find_checkpoints, write_arrays
from mlcfast.runs.journal import Journal


def directory_with_best(path, step: int) -> RunDirectory:
    run = RunDirectory(path)
    run.best.mkdir(parents=True)
    run.card.write_text(sealed({"step": step}))
    return run


def test_damaged_lines_are_left_out_with_a_warning(tmp_path, caplog):
    """A disk that filled up, a crash amid a line, a flipped bit: none of them ends a resume."""
    caplog.set_level("WARNING", "mlcfast")
    good = [json.dumps({"event": "train", "step": step, "loss": 1.0}) for step in (1, 2, 9)]
    bad = [b'{"event": "train", "st', b"\xff\xfe{}", b'{"step": "x"}', b"[3]", b"null"]
    run = RunDirectory(tmp_path)
    run.metrics.write_bytes(b"\n".join([good[0].encode(), *bad, good[1].encode(), good[2].encode()]))
    run.rewind(2, 0)
    journal = Journal(run, is_main=True)
    journal.record("train", 3, loss=0.5)
    journal.close()
    lines = [json.loads(line) for line in run.metrics.read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3]
    assert "5 of 8 lines are damaged and left out" in caplog.text


def test_going_back_drops_a_best_model_of_a_later_step(tmp_path, caplog):
    run = directory_with_best(tmp_path, step=10)
    run.outcome.write_text("{}")
    run.rewind(10, 2)
    assert run.best_step() == 10 and not run.outcome.exists()
    run.rewind(9, 1)
    assert run.best_step() is None and not run.best.exists()
    assert "of step 10, which this run goes back from" in caplog.text


def test_a_best_model_whose_card_is_damaged_is_dropped(tmp_path, caplog):
    run = directory_with_best(tmp_path, step=10)
    run.card.write_text(run.card.read_text().replace("10", "11"))
    run.rewind(20, 2)
    assert not run.best.exists() and "is damaged and is dropped" in caplog.text


def test_going_back_drops_later_epochs_and_drafts(tmp_path):
    run = RunDirectory(tmp_path)
    write_arrays(run.unobserved, epochs=np.arange(4), counts=np.arange(8).reshape(4, 2), true=2.5)
    (tmp_path / ".best.partial").mkdir()
    (tmp_path / ".best.partial" / "model.safetensors").write_text("half")
    (tmp_path / "checkpoints" / ".00000012.partial").mkdir(parents=True)
    (tmp_path / "summary.csv.partial").write_text("half")
    run.rewind(6, 2)
    with np.load(run.unobserved) as held:
        assert held["epochs"].tolist() == [0, 1] and held["counts"].shape == (2, 2) and held["true"] == 2.5
    assert not list(tmp_path.rglob("*.partial"))


def test_checkpoints_to_resume_from_begin_with_the_last_complete_one(tmp_path):
    root = tmp_path / "checkpoints"
    for step in (5, 10, 15):
        (root / f"{step:08d}").mkdir(parents=True)
        (root / f"{step:08d}" / "manifest.json").write_text("{}")
    (root / "00000020").mkdir()  # without a manifest: never finished
    (root / "latest").write_text("00000010")
    assert [entry.name for entry in find_checkpoints(tmp_path)] == ["00000010", "00000005"]
    (root / "latest").write_bytes(b"\xff\xfe")
    assert [entry.name for entry in find_checkpoints(root)] == ["00000015", "00000010", "00000005"]
    assert find_checkpoints(root / "00000005") == [root / "00000005"]
    with pytest.raises(UsageError, match="no checkpoint to resume from"):
        find_checkpoints(tmp_path / "elsewhere")


def _hold(path, ready, done):
    with RunDirectory(path).held(resume=False):
        ready.set()
        done.wait(60)


def test_a_second_run_in_one_directory_is_refused_with_the_first_ones_process(tmp_path):
    context = multiprocessing.get_context("spawn")
    ready, done = context.Event(), context.Event()
    first = context.Process(target=_hold, args=(tmp_path / "run", ready, done))
    first.start()
    try:
        assert ready.wait(60)
        for resume in (True, False):
            with (
                pytest.raises(UsageError, match=f"process {first.pid} on .* is writing to it"),
                RunDirectory(tmp_path / "run").held(resume),
            ):
                pass
        assert not (tmp_path / "run.1").exists()
    finally:
        done.set()
        first.join()
    with RunDirectory(tmp_path / "run").held(resume=True):
        pass


def test_of_two_runs_that_begin_at_the_same_moment_one_is_refused(tmp_path, monkeypatch):
    """The second has looked at the earlier run's directory when the first has put a new one in its place."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.yaml").write_text("name: earlier")
    first, second = (RunDirectory(tmp_path / "run") for _ in range(2))
    whole, refused = contextlib.ExitStack(), []

    def begin_second(kept):
        with pytest.raises(UsageError, match="is writing to it"), second.held(resume=False):
            pass
        refused.append(kept.name)
        return rename(first.path, kept)

    rename = Path.rename
    with monkeypatch.context() as patched, whole:
        patched.setattr(Path, "rename", lambda path, kept: begin_second(kept) if not refused else rename(path, kept))
        whole.enter_context(first.held(resume=False))
        assert refused == ["run.1"]
        (first.path / "config.yaml").write_text("name: first")
        assert (tmp_path / "run.1" / "config.yaml").read_text() == "name: earlier"
        assert not (tmp_path / "run.2").exists()


def test_a_lock_of_a_directory_that_was_set_aside_meanwhile_is_not_this_ones(tmp_path, monkeypatch):
    run = RunDirectory(tmp_path / "run")
    run.path.mkdir()
    (run.path / "config.yaml").write_text("name: earlier")

    def lock_late(file, wait=True):
        monkeypatch.undo()
        run.path.rename(tmp_path / "run.1")
        with RunDirectory(tmp_path / "run").held(resume=False):
            pass
        return lock_file(file, wait)

    monkeypatch.setattr(directory, "lock_file", lock_late)
    with pytest.raises(UsageError, match="another process is writing to it"), run.held(resume=False):
        pass
    assert not (tmp_path / "run.2").exists()


def test_an_earlier_run_is_set_aside_and_an_empty_directory_is_used(tmp_path):
    with RunDirectory(tmp_path / "run").held(resume=False):
        pass
    with RunDirectory(tmp_path / "run").held(resume=False):
        (tmp_path / "run" / "config.yaml").write_text("name: run")
    with RunDirectory(tmp_path / "run").held(resume=False):
        assert (tmp_path / "run.1" / "config.yaml").exists() and not (tmp_path / "run" / "config.yaml").exists()


def test_a_data_worker_that_outlives_its_run_does_not_hold_the_directory(tmp_path):
    """An interpreter that keeps the last exception keeps the loader of the run that failed, and its workers."""
    forked, over = multiprocessing.get_context("fork"), multiprocessing.get_context("fork").Event()
    worker = forked.Process(target=over.wait, daemon=True)
    with RunDirectory(tmp_path / "run").held(resume=False):
        worker.start()
    try:
        with RunDirectory(tmp_path / "run").held(resume=False):
            assert worker.is_alive()
    finally:
        over.set()
        worker.join()
