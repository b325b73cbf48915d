"""Checkpoints written beside training, by one process; tests/engine/test_parity.py has two."""

import errno
import threading

import pytest
import torch

from mlcfast.engine import BackgroundSave, Process, build_engine, checkpoint, load_checkpoint
from tests.engine import runner


@pytest.fixture
def held(monkeypatch) -> threading.Event:
    """The disk takes nothing until this is set."""
    event, original = threading.Event(), checkpoint.write_share

    def waiting(*arguments, **options):
        assert event.wait(60)
        return original(*arguments, **options)

    monkeypatch.setattr(checkpoint, "write_share", waiting)
    return event


def trained():
    engine = build_engine(runner.config_of([]), Process(), runner.training_module())
    runner.train(engine, 8)
    return engine


def test_what_is_written_is_the_state_at_the_save(tmp_path, held):
    engine, background = trained(), BackgroundSave(Process(), tmp_path, keep=1)
    for step in (1, 2):  # the second copy goes where the first one was
        held.clear()
        before = engine.export_state()
        background.begin(step, engine.share_of_state(), {"step": step})
        assert background.collect(wait=False) is None
        runner.train(engine, 8)
        held.set()
        assert background.collect(wait=True) == (step, None)
        assert background.collect(wait=True) is None
        state, _ = load_checkpoint(tmp_path / f"{step:08d}")
        for name in ("weights", "average", "moments"):
            torch.testing.assert_close(getattr(state, name), getattr(before, name), rtol=0, atol=0)
        assert not torch.equal(engine.export_state().weights["model.1.1.weight"], state.weights["model.1.1.weight"])
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["00000002", "latest"]


def test_one_at_a_time(tmp_path, held):
    engine, background = trained(), BackgroundSave(Process(), tmp_path, keep=1)
    background.begin(1, engine.share_of_state(), {})
    with pytest.raises(RuntimeError, match="checkpoint 1 is still being written"):
        background.begin(2, engine.share_of_state(), {})
    held.set()
    assert background.collect(wait=True) == (1, None)


@pytest.mark.parametrize("by", ["collect", "leave"])
def test_a_write_that_fails_is_told_and_leaves_nothing(tmp_path, monkeypatch, by):
    def full(path, *arguments, **options):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(checkpoint, "write_share", full)
    background = BackgroundSave(Process(), tmp_path, keep=1)
    background.begin(1, trained().share_of_state(), {})
    error = background.leave() if by == "leave" else background.collect(wait=True)[1]
    assert (error.errno, error.filename) == (errno.ENOSPC, str(tmp_path / ".00000001.partial" / "weights.safetensors"))
    assert list(tmp_path.iterdir()) == []


def test_a_checkpoint_is_finished_though_training_has_failed(tmp_path, held):
    background = BackgroundSave(Process(), tmp_path, keep=1)
    background.begin(3, trained().share_of_state(), {"step": 3})
    threading.Timer(0.2, held.set).start()
    assert background.leave() is None
    assert load_checkpoint(tmp_path / "00000003")[1] == {"step": 3}


def test_the_main_process_gives_up_on_a_share_that_never_comes(tmp_path, monkeypatch):
    monkeypatch.setattr("mlcfast.engine.background.LAST_WAIT", 0.3)
    background = BackgroundSave(Process(0, 0, 2, "torchrun"), tmp_path, keep=1)
    background.begin(1, trained().share_of_state(), {})
    background.leave()
    background._thread.join(60)
    assert not background._thread.is_alive() and isinstance(background._error, checkpoint.CancelledError)
    assert [entry.name for entry in tmp_path.iterdir()] == [".00000001.partial"]  # swept when the run is resumed
