"""Traces that are kept from one process to the next."""

import json
from dataclasses import replace

import pytest

from mlcfast import plan as command
from mlcfast.config import load_config
from mlcfast.planning import StepTrace, Tracer
from mlcfast.planning.kept import KeptTraces, trace_directory
from tests.conftest import ROOT

STEP = (4, "none", False, True)


def tracer(directory, *overrides: str, labels: int = 10) -> Tracer:
    return Tracer(load_config(ROOT / "configs" / "demo.yaml", overrides), labels, 100, directory)


def test_a_step_is_traced_once(tmp_path, monkeypatch):
    first = tracer(tmp_path).trace(*STEP)
    monkeypatch.setattr(Tracer, "_trace", lambda *_: pytest.fail("traced anew"))
    assert tracer(tmp_path).trace(*STEP) == first
    assert tracer(tmp_path, "optim.lr=1e-3", "train.epochs=3", "engine.micro_batch=4").trace(*STEP) == first


@pytest.mark.parametrize(
    "change",
    [
        ["data.image_size=64"], ["model.embed_dim=64"], ["engine.precision=bf16"], ["model.head=linear"],
        ["model.backbone=resnet18"], ["loss.name=bce"], ["model.freeze=backbone"],
    ],
)  # fmt: skip
def test_another_configuration_is_another_step(tmp_path, change):
    assert tracer(tmp_path, *change)._kept.path != tracer(tmp_path)._kept.path
    assert tracer(tmp_path, labels=11)._kept.path != tracer(tmp_path)._kept.path


def test_other_code_is_another_step(tmp_path, monkeypatch):
    before = KeptTraces(tmp_path, {}).path
    monkeypatch.setattr("mlcfast.planning.kept.version", lambda package: "another")
    assert KeptTraces(tmp_path, {}).path != before
    monkeypatch.undo()
    monkeypatch.setattr("mlcfast.planning.kept._sources", lambda: "others")
    assert KeptTraces(tmp_path, {}).path != before


@pytest.mark.parametrize(
    "content", ["", "[1, 2]", '{"x', json.dumps({repr(STEP): [1, 2]}), json.dumps({repr(STEP): "1"})]
)
def test_what_cannot_be_read_is_traced_anew(tmp_path, monkeypatch, content):
    ours, truth = tracer(tmp_path), StepTrace(1, 2, 3, 4)
    ours._kept.path.write_text(content)
    monkeypatch.setattr(Tracer, "_trace", lambda *_: truth)
    assert ours.trace(*STEP) == truth
    assert ours._kept.get(STEP, 4) == (1, 2, 3, 4)
    monkeypatch.setattr(Tracer, "_trace", lambda *_: replace(truth, flops=5))
    assert tracer(tmp_path).trace(*STEP) == truth


def test_a_directory_that_cannot_be_written_is_done_without(tmp_path):
    (tmp_path / "file").touch()
    kept = KeptTraces(tmp_path / "file" / "traces", {})
    kept.put(STEP, (1, 2))
    assert kept.get(STEP, 2) is None


def test_the_command_keeps_what_it_traced(capsys, monkeypatch):
    words = [str(ROOT / "configs" / "demo.yaml"), "--gpus", "1", "--labels", "10", "--json"]
    assert command.main(words) == 0
    first = capsys.readouterr().out
    assert list(trace_directory().glob("*.json"))
    monkeypatch.setattr(Tracer, "_trace", lambda *_: pytest.fail("traced anew"))
    assert command.main(words) == 0 and capsys.readouterr().out == first
