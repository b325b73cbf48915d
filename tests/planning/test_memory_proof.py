"""bench/memory_proof.py as far as a machine without a GPU runs it."""

import pytest
import torch

from bench import memory_proof


def test_without_a_gpu_it_refuses_in_one_line(monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert memory_proof.main(["swin_l", "--steps", "2"]) == 2
    assert capsys.readouterr().err.strip().splitlines() == [
        "memory_proof needs a GPU: torch.cuda.is_available() is false here"
    ]


@pytest.mark.parametrize("wrong", [("vgg16",), ("--steps", "0"), ("--gib", "0"), ("--steps", "few")])
def test_bad_usage(wrong, capsys):
    with pytest.raises(SystemExit) as stopped:
        memory_proof.main(list(wrong))
    assert stopped.value.code == 2 and "error:" in capsys.readouterr().err
