"""Which implementation runs on which card: no kernel is launched that has no image for it."""

import logging
import subprocess
import sys

import pytest
import torch

from mlcfast import ops
from mlcfast.ops import backend, library
from mlcfast.ops.__main__ import implementation, main
from mlcfast.ops.backend import choose, runs_on
from tests.conftest import run_command
from tests.cuda_emulator.build import build_cuda

BUILT = ("sm_86", "sm_90", "compute_86")  # setup.py's default
CARDS = {  # compute capability -> whether BUILT has an image for it
    (7, 5): False,
    (8, 0): False,
    (8, 6): True,
    (8, 9): True,
    (9, 0): True,
    (12, 0): True,
}


@pytest.fixture
def card(monkeypatch):
    """A function that makes a CUDA device of a compute capability appear, beside a library compiled for BUILT."""
    monkeypatch.delenv("MLCFAST_BACKEND", raising=False)
    monkeypatch.setitem(library.MISSING, "cuda", "")
    monkeypatch.setattr(backend, "CUDA_ARCHITECTURES", BUILT)
    monkeypatch.setattr(backend, "_unfit", {})
    monkeypatch.setattr(backend, "_logged", set())
    monkeypatch.setattr(backend, "_HAS_TRITON", True)

    def appear(capability: tuple[int, int]) -> torch.device:
        monkeypatch.setattr(backend, "card", lambda index: (index or 0, capability))
        return torch.device("cuda", 0)

    return appear


@pytest.mark.parametrize(("capability", "fits"), CARDS.items())
def test_default_images_by_card(capability, fits):
    assert runs_on(capability, BUILT) is fits


@pytest.mark.parametrize(
    ("capability", "architectures", "fits"),
    [
        ((12, 0), ("sm_86", "sm_90"), False),
        ((8, 9), ("sm_86",), True),
        ((8, 6), ("sm_89",), False),
        ((12, 0), ("compute_75",), True),
        ((9, 0), ("sm_90a",), True),
        ((10, 0), ("compute_90a",), False),
        ((12, 1), ("sm_120",), True),
        ((8, 6), (), False),
    ],
)
def test_machine_code_keeps_to_its_major_version_and_ptx_does_not(capability, architectures, fits):
    assert runs_on(capability, architectures) is fits


@pytest.mark.parametrize(("capability", "fits"), CARDS.items())
def test_a_card_without_an_image_gets_triton_and_is_told_once(card, caplog, capability, fits):
    device = card(capability)
    with caplog.at_level(logging.WARNING, logger="mlcfast"):
        chosen = [choose(device) for _ in range(2)] + [choose("cuda")]
    assert set(chosen) == {"native" if fits else "triton"}
    assert len(caplog.messages) == (not fits)
    if not fits:
        name = ".".join(map(str, capability))
        assert "for sm_86, sm_90, compute_86" in caplog.text and f"compute capability {name}" in caplog.text


def test_without_triton_or_with_fp64_plain_torch_runs(card, caplog, monkeypatch):
    device = card((7, 5))
    assert choose(device, torch.float64) == "reference"
    monkeypatch.setenv("MLCFAST_BACKEND", "native")
    with caplog.at_level(logging.WARNING, logger="mlcfast"):
        assert choose(device) == "reference"
    assert "compute capability 7.5" in caplog.text


def test_a_library_that_does_not_say_its_images_is_not_launched(card, monkeypatch):
    device = card((8, 6))
    monkeypatch.setattr(backend, "CUDA_ARCHITECTURES", ())
    assert choose(device) == "triton"


def test_the_choice_is_traced_as_a_constant(card):
    device = card((7, 5))

    def function(x: torch.Tensor) -> torch.Tensor:
        return x + 1 if choose(device) == "triton" else x

    compiled = torch.compile(function, fullgraph=True, backend="eager")
    assert compiled(torch.zeros(())) == 1


def test_without_a_device_no_driver_is_asked(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert backend.why_unfit(None) == ""


def test_the_build_lists_its_images(monkeypatch):
    monkeypatch.delenv("MLCFAST_CUDA_ARCHS", raising=False)
    assert tuple(build_cuda.architectures()) == BUILT
    monkeypatch.setenv("MLCFAST_CUDA_ARCHS", "7.5;12.0")
    assert build_cuda.architectures() == ["sm_75", "sm_120", "compute_75"]


@pytest.mark.skipif(bool(library.MISSING["cuda"]), reason=library.MISSING["cuda"])
def test_the_compiled_library_names_its_images():
    assert library.CUDA_ARCHITECTURES, "built before it could say; python setup.py build_ext --inplace"
    assert all(name.startswith(("sm_", "compute_")) for name in library.CUDA_ARCHITECTURES)


def test_the_command_names_every_operator():
    done = run_command("mlcfast.ops")
    assert done.returncode == 0, done.stderr
    listed = [tuple(line.split()[:2]) for line in done.stdout.split("\n\n")[1].splitlines()]
    named = [(name, device) for name in ops.__all__ for device in ("cpu", "cuda")]
    assert listed == sorted([*named, ("pixels", "cpu")])
    assert f"compiled CPU kernels: {library.MISSING['cpu'] or 'loaded'}" in done.stdout


def test_the_remedy_for_missing_kernels_is_said_once(monkeypatch, capsys):
    monkeypatch.delenv("MLCFAST_BACKEND", raising=False)
    monkeypatch.setitem(library.MISSING, "cuda", "the file is not built (a remedy)")
    assert main([]) == 0
    said = capsys.readouterr().out
    assert said.count("a remedy") == 1
    (line,) = [line for line in said.splitlines() if line.startswith("epr_loss               cuda")]
    assert line.endswith("the compiled kernels are missing, as said above")


def test_the_command_refuses_an_implementation_that_there_is_not():
    done = run_command("mlcfast.ops", MLCFAST_BACKEND="bogus")
    says = "error: MLCFAST_BACKEND='bogus' is not one of auto, triton, native, reference\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", says)


def rows(monkeypatch, requested: str) -> dict[tuple[str, str], tuple[str, str]]:
    monkeypatch.setenv("MLCFAST_BACKEND", requested)
    return {(name, device): implementation(name, device) for name in ops.__all__ for device in ("cpu", "cuda")}


def test_the_command_says_what_the_calls_choose(card, monkeypatch):
    card((7, 5))
    monkeypatch.setitem(library.MISSING, "cpu", "")
    auto = rows(monkeypatch, "auto")
    assert auto["role_loss", "cpu"] == ("the compiled kernels", "built for this machine")
    name, why = auto["role_loss", "cuda"]
    assert name == "Triton's kernels" and "compute capability 7.5" in why
    assert auto["groupwise_linear", "cuda"][0] == auto["quick_gelu", "cpu"][0] == "torch's operations"
    assert auto["label_query_attention", "cuda"][0] == auto["layer_norm", "cuda"][0] == "Triton's kernels"
    asked = rows(monkeypatch, "triton")
    assert asked["role_loss", "cpu"] == ("the plain torch path", "Triton's kernels run on CUDA tensors other than fp64")
    assert asked["label_query_attention", "cuda"][0] == asked["role_loss", "cuda"][0] == "Triton's kernels"
    plain = rows(monkeypatch, "reference")
    assert plain["groupwise_linear", "cpu"] == ("the plain torch path", "MLCFAST_BACKEND=reference")
    assert plain["quick_gelu", "cuda"] == ("the plain torch path", "MLCFAST_BACKEND=reference")


def test_the_command_says_what_is_missing(card, monkeypatch):
    card((9, 0))
    monkeypatch.setitem(library.MISSING, "cuda", "it is not built")
    monkeypatch.setattr(backend, "_HAS_TRITON", False)
    assert rows(monkeypatch, "auto")["epr_loss", "cuda"] == ("the plain torch path", "it is not built")


def test_the_losses_run_where_triton_may_not_even_be_looked_for():
    code = """
import sys

class Refuses:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "triton":
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Refuses())
import torch
from mlcfast.losses import AsymmetricLoss
AsymmetricLoss()(torch.zeros(2, 3, requires_grad=True), torch.ones(2, 3)).backward()
print("ran")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "ran\n", done.stderr
