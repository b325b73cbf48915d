"""Checkpoints amid training: one at a time, and what a disk that takes nothing means for the run."""

import errno
import json
import threading

import pytest

from mlcfast.engine import Process, checkpoint
from mlcfast.errors import RunError, UsageError
from mlcfast.runs.directory import RunDirectory
from mlcfast.runs.journal import Journal
from mlcfast.training import run as training
from mlcfast.training.progress import Progress
from mlcfast.training.saving import Checkpoints
from tests.engine import runner
from tests.engine.test_background import trained


@pytest.fixture
def checkpoints(tmp_path, request) -> Checkpoints:
    """Of a run in tmp_path, with the setting that the test's parameter names."""
    directory = RunDirectory(tmp_path)
    config = runner.config_of([f"train.on_save_error={getattr(request, 'param', 'stop')}"])
    journal = Journal(directory, is_main=True)
    yield Checkpoints(trained(), config.train, journal, saved_step=0)
    journal.close()


def progress(step: int) -> Progress:
    return Progress(0, 8, 8, step=step)


def fill_disk(monkeypatch) -> None:
    def full(path, *arguments, **options):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(checkpoint, "write_share", full)


def test_the_next_save_waits_for_the_one_before_and_says_so_once(checkpoints, tmp_path, monkeypatch, caplog):
    caplog.set_level("INFO", "mlcfast")
    original, slow = checkpoint.write_share, threading.Event()
    monkeypatch.setattr(checkpoint, "write_share", lambda *a, **k: (slow.wait(0.1), original(*a, **k))[1])
    with checkpoints:
        for step in (2, 4, 6):
            checkpoints.save(progress(step))
            checkpoints.note_completed()
            assert checkpoints.saved_step == step - 2
    assert checkpoints.saved_step == 6
    assert caplog.text.count("step 4 is to be saved while the checkpoint of step 2 is being written") == 1
    assert caplog.text.count("is to be saved while") == 1
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if line["event"] == "checkpoint"] == [2, 4, 6]


def test_a_full_disk_ends_the_run_at_the_next_step(checkpoints, tmp_path, monkeypatch):
    with checkpoints:
        checkpoints.save(progress(2))
    fill_disk(monkeypatch)
    said = (
        rf"00000004\.partial/weights\.safetensors: cannot be written: No space left on device; the checkpoint before "
        rf"it, {tmp_path}/checkpoints/00000002, is intact: free space there and go on with --resume"
    )
    with pytest.raises(RunError, match=said), checkpoints:
        checkpoints.save(progress(4))
        checkpoints.note_completed(wait=True)
    assert checkpoints.saved_step == 2


def test_a_full_disk_at_the_first_checkpoint_does_not_advise_to_resume(checkpoints, monkeypatch):
    fill_disk(monkeypatch)
    said = "no checkpoint was written before it: free space there and begin again, without --resume, or set train"
    with pytest.raises(RunError, match=said), checkpoints:
        checkpoints.save(progress(2))
        checkpoints.note_completed(wait=True)


@pytest.mark.parametrize("checkpoints", ["continue"], indirect=True)
def test_a_full_disk_is_a_warning_with_continue(checkpoints, tmp_path, monkeypatch, caplog):
    with checkpoints, monkeypatch.context() as patch:
        fill_disk(patch)
        checkpoints.save(progress(2))
        checkpoints.note_completed(wait=True)
        assert checkpoints.saved_step == 0 and "training goes on and saves at the next occasion" in caplog.text
        patch.undo()
        checkpoints.save(progress(3))
    assert checkpoints.saved_step == 3


def test_where_training_fails_the_checkpoint_is_finished_and_its_own_error_is_a_warning(
    checkpoints, tmp_path, monkeypatch, caplog
):
    with pytest.raises(KeyError, match="training"), checkpoints:
        checkpoints.save(progress(2))
        raise KeyError("training")
    assert (tmp_path / "checkpoints" / "latest").read_text() == "00000002"
    checkpoints.note_completed()
    fill_disk(monkeypatch)
    with pytest.raises(KeyError, match="training"), checkpoints:
        checkpoints.save(progress(4))
        raise KeyError("training")
    assert "the checkpoint of step 4 was not written: [Errno 28]" in caplog.text


def test_a_directory_that_a_rank_does_not_see_is_refused(tmp_path, monkeypatch):
    directory = RunDirectory(tmp_path / "run")
    with directory.held(resume=False):
        training.require_shared(directory, Process(), seconds=0)
        monkeypatch.setattr(training, "all_gather_objects", lambda sees: [sees, False])
        with pytest.raises(UsageError, match=r"rank 1 does not see the directory that rank 0 \(process \d+ on .*share"):
            training.require_shared(directory, Process(), seconds=0)
    assert RunDirectory(tmp_path / "none").holder() == ""
