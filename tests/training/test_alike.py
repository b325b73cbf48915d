"""Processes of one run that were given different things are told apart before they train; the rest is said once."""

import logging

import pytest

from mlcfast.config import load_config
from mlcfast.errors import UsageError
from mlcfast.training import alike, run


def two_ranks(monkeypatch, module, change):
    """Rank 0 as it is here, and beside it a rank 1 whose value is `change` of that."""
    monkeypatch.setattr(module, "all_gather_objects", lambda value: [value, change(value)])


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("optim.lr=0.5", "rank 1 has other settings: optim.lr 0.5 there, 0.25 on rank 0: give all"),
        ("loss.gamma_neg=3", r"loss.gamma_neg 3\.?0? there, "),
        ("engine.micro_batch=2", "engine.micro_batch 2 there"),
        ("train.log_every=7", "train.log_every 7 there"),
    ],
)
def test_another_configuration_on_one_rank_is_refused(config_file, monkeypatch, override, said):
    config, other = (load_config(config_file, ["optim.lr=0.25", *more]) for more in ([], [override]))
    seen = []
    monkeypatch.setattr(alike, "all_gather_objects", lambda value: seen.append(value) or [value])
    alike.refuse_other_settings(other)
    two_ranks(monkeypatch, alike, lambda value: seen[0])
    with pytest.raises(UsageError, match=said):
        alike.refuse_other_settings(config)


def test_a_machine_may_have_its_data_elsewhere(config_file, monkeypatch):
    seen = []
    monkeypatch.setattr(alike, "all_gather_objects", lambda value: seen.append(value) or [value, seen[0]])
    for root in ("here", "there"):
        alike.refuse_other_settings(load_config(config_file, [f"data.root={root}", "data.workers=3"]), resume=False)
    with pytest.raises(UsageError, match="resume False there, True on rank 0"):
        alike.refuse_other_settings(load_config(config_file), resume=True)


def test_other_data_or_another_checkpoint_on_one_rank_is_refused(monkeypatch):
    two_ranks(monkeypatch, alike, lambda value: ({"labels": "a", "training": "c"}, 29, None))
    with pytest.raises(UsageError, match="rank 1 has read other training data than rank 0, 29 and 37 training images"):
        alike.refuse_other_data({"labels": "a", "training": "b"}, 37, None)
    two_ranks(monkeypatch, alike, lambda value: (*value[:2], 4))
    with pytest.raises(UsageError, match="rank 1 would go on from step 4, rank 0 from step 8: put the run's directory"):
        alike.refuse_other_data({"labels": "a"}, 37, 8)


def test_a_run_asks(config_file, monkeypatch):
    asked = []
    monkeypatch.setattr(run, "refuse_other_settings", lambda *_, **more: asked.append(more))
    monkeypatch.setattr(run, "refuse_other_data", lambda *given: asked.append(given[1:]))
    monkeypatch.setattr(run, "copies", lambda parts: pytest.exit)  # as far as here
    monkeypatch.setattr(run, "refuse_copies", lambda *_: (_ for _ in ()).throw(UsageError("enough")))
    with pytest.raises(UsageError, match="enough"):
        run.run(load_config(config_file), run.Process())
    assert asked == [{"resume": False, "with_changes": False}, (40, None)]


@pytest.mark.parametrize(("rank", "said"), [(0, ["a label is rare"]), (1, [])])
def test_what_all_ranks_read_alike_is_said_by_the_first(config_file, monkeypatch, rank, said):
    heard = []
    handler = logging.Handler()
    handler.emit = lambda record: heard.append(record.getMessage())

    def open_samples(*_):
        run.LOGGER.warning("a label is rare")
        raise UsageError("enough")

    monkeypatch.setattr(run, "open_samples", open_samples)
    run.LOGGER.addHandler(handler)
    try:
        with pytest.raises(UsageError, match="enough"):
            run.run(load_config(config_file), run.Process(rank))
        assert heard == said
        run.LOGGER.warning("of this rank's own")
        assert heard[-1] == "of this rank's own"
    finally:
        run.LOGGER.removeHandler(handler)
