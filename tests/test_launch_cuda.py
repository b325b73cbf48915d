"""./launch.sh and the CUDA kernels on a machine with an NVIDIA driver: made-up drivers and compilers, no GPU."""

import subprocess
import sys
from pathlib import Path

import pytest

from mlcfast.ops import backend, library
from tests.conftest import ROOT
from tests.cuda_emulator.build import build_cuda  # which puts csrc on the path

import cards  # isort: skip

TORCH_CUDA = "13.0.2"
PACKAGES = "nvidia-cuda-nvcc==13.0.* nvidia-nvvm==13.0.* nvidia-cuda-crt==13.0.*"
KNOWN = ("sm_75", "sm_80", "sm_86", "sm_89", "sm_90", "sm_100", "sm_120", "sm_121")
# A python that writes down what pip is asked, and answers for csrc/cards.py.
PYTHON = """
case "$*" in
    "csrc/cards.py packages") echo "$ANSWER_PACKAGES" ;;
    "csrc/cards.py architectures") echo 8.6 ;;
    "csrc/cards.py outcome") echo "the outcome" ;;
    *) echo "$* archs=${MLCFAST_CUDA_ARCHS:-}" >>asked; echo "pip's chatter" ;;
esac
case "$*" in *nvcc*) exit $NVCC_FAILS ;; esac
"""


def script(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def install(folder: Path, *beside: str, packages: str = PACKAGES, nvcc_fails: int = 0, **more: str) -> tuple[str, str]:
    """What pip is asked by launch.sh's install, and what the screen shows, with these programs beside the system's."""
    script(folder / ".venv" / "bin" / "python", PYTHON)
    for name in beside:
        script(folder / "tools" / name, "")
    (folder / "launch.sh").write_text((ROOT / "launch.sh").read_text())
    define = """eval "$(sed -n '/^say()/,/^deepspeed_command/p' launch.sh | sed '$d')"
        eval "$(sed -n '/^logged()/,/^setup()/p' launch.sh | sed '$d')"; set -euo pipefail; install all"""
    environment = {"PATH": f"{folder / 'tools'}:/usr/bin:/bin", "ANSWER_PACKAGES": packages} | more
    done = subprocess.run(
        ["bash", "-c", define], cwd=folder, env=environment | {"NVCC_FAILS": str(nvcc_fails)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout == "" and "chatter" in (folder / ".venv" / "install.log").read_text()
    return (folder / "asked").read_text(), done.stderr


@pytest.mark.parametrize(
    "beside", [["nvidia-smi"], ["nvidia-smi", "nvcc"]], ids=["no nvcc", "an nvcc that does not fit"]
)
def test_the_compiler_comes_from_pypi(tmp_path, beside):
    """Whether one fits is for csrc/cards.py to say, not for what the PATH holds. Kernels are for the card."""
    asked, screen = install(tmp_path, *beside)
    _, compiler, package = asked.splitlines()
    assert compiler.startswith(f"-m pip install {PACKAGES}")
    assert package == "-m pip install --no-build-isolation -e .[all] archs=8.6"
    assert "fetching PyPI's" in screen and screen.endswith("the outcome\n") and "chatter" not in screen


def test_a_compiler_that_fits_is_kept(tmp_path):
    asked, screen = install(tmp_path, "nvidia-smi", "nvcc", packages="")
    assert "nvcc" not in asked and "archs=8.6" in asked and screen.endswith("the outcome\n")


def test_a_compiler_that_pypi_lacks_does_not_end_the_installation(tmp_path):
    asked, screen = install(tmp_path, "nvidia-smi", nvcc_fails=1)
    assert "-e .[all]" in asked and f"pip found no {PACKAGES}" in screen and screen.endswith("the outcome\n")


def test_what_the_user_sets_counts(tmp_path):
    asked, _ = install(tmp_path, "nvidia-smi", MLCFAST_CUDA_ARCHS="7.5;9.0")
    assert "archs=7.5;9.0" in asked
    (tmp_path / "asked").unlink()
    asked, screen = install(tmp_path, "nvidia-smi", MLCFAST_CUDA="0")
    assert "nvcc" not in asked and screen.endswith("the outcome\n")


def test_without_a_driver_there_is_no_word_of_it(tmp_path):
    asked, screen = install(tmp_path)
    assert "nvcc" not in asked and "archs=8.6" not in asked and "outcome" not in screen


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A function that makes an nvcc of a version and a driver that says this appear; None: it is not there."""
    monkeypatch.delenv("MLCFAST_CUDA", raising=False)
    monkeypatch.delenv("MLCFAST_NATIVE", raising=False)
    monkeypatch.setattr("torch.version.cuda", TORCH_CUDA)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)

    def appear(nvcc: str | None = "13.0", driver: str | None = None) -> None:
        home = tmp_path / "cuda"
        monkeypatch.setattr(build_cuda, "_roots", lambda major: [home])
        if nvcc is not None:
            listed = "\\n".join(KNOWN)
            script(
                home / "bin" / "nvcc", f'[ "$1" = --version ] && echo "tools, release {nvcc}, V1" || printf "{listed}"'
            )
        for name in ("include/cuda_runtime.h", "include/crt/host_config.h", "lib64/libcudart.so.13"):
            (home / name).parent.mkdir(parents=True, exist_ok=True)
            (home / name).touch()
        asks = '[ "$*" = "--query-gpu=compute_cap --format=csv,noheader" ] || exit 1'
        if driver is not None:
            script(tmp_path / "tools" / "nvidia-smi", f"{asks}\n{driver}")
        monkeypatch.setenv("PATH", f"{tmp_path / 'tools'}:/usr/bin:/bin")

    return appear


@pytest.mark.parametrize(("nvcc", "wanted"), [(None, PACKAGES), ("11.5", PACKAGES), ("12.9", PACKAGES), ("13.0", "")])
def test_what_is_asked_of_pip(machine, monkeypatch, nvcc, wanted):
    machine(nvcc)
    assert " ".join(cards.packages()) == wanted
    monkeypatch.setenv("MLCFAST_CUDA", "0")
    assert cards.packages() == []
    monkeypatch.delenv("MLCFAST_CUDA")
    monkeypatch.setattr("torch.version.cuda", None)
    assert cards.packages() == []


def test_an_nvcc_that_does_not_run_is_none(machine, tmp_path):
    machine("13.0")
    (tmp_path / "cuda" / "bin" / "nvcc").chmod(0o644)
    assert " ".join(cards.packages()) == PACKAGES


@pytest.mark.parametrize("text", ["#!/nowhere/sh\n", "of another processor"])
def test_neither_is_one_on_the_path(tmp_path, monkeypatch, text):
    """Where it is asked for its own place before it is asked for its version."""
    script(tmp_path / "bin" / "nvcc", "")
    (tmp_path / "bin" / "nvcc").write_text(text)
    monkeypatch.delenv("MLCFAST_CUDA", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr("torch.version.cuda", "99.7")  # which no other place has
    assert cards.packages() == build_cuda.packages("99.7")


@pytest.mark.parametrize(
    ("driver", "wanted"),
    [
        ("echo 8.6", "8.6"),
        ("printf '8.6\\n8.6\\n'", "8.6"),
        ("printf '12.0\\n7.5\\n8.9\\n'", "7.5;8.9;12.0"),  # PTX of the first, which every later one takes
        ("printf '8.6\\n[N/A]\\n'", "8.6"),
        ("echo 8.7", "8.6"),  # machine code for 8.6 runs on 8.7
        ("echo 13.5", "12.1"),  # by its PTX
        ("echo 6.1", ""),  # nothing that this nvcc makes runs there: the default is built
        ("echo 'Field \"compute_cap\" is not a valid field to query.'; exit 2", ""),
        ("echo 'NVIDIA-SMI has failed because it could not communicate with the NVIDIA driver.'; exit 9", ""),
        (None, ""),
    ],
)
def test_architectures_are_those_of_the_cards(machine, monkeypatch, driver, wanted):
    machine(driver=driver)
    assert cards.architectures() == wanted
    monkeypatch.setenv("MLCFAST_CUDA_ARCHS", wanted)
    built = tuple(build_cuda.architectures())
    if not wanted:
        assert built == ("sm_86", "sm_90", "compute_86")
    else:
        assert all(backend.runs_on(card, built) for card in cards.capabilities())


def test_a_driver_that_does_not_know_the_question_is_asked_by_torch(machine, monkeypatch):
    machine(driver="exit 2")
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setattr("torch.cuda.get_device_capability", lambda number: [(9, 0), (8, 0)][number])
    assert cards.architectures() == "8.0;9.0"


def test_without_a_compiler_there_is_nothing_to_compile_for(machine):
    machine("11.5", "echo 8.6")
    assert cards.architectures() == ""


def test_the_outcome_says_what_was_built(machine, monkeypatch):
    machine(driver="printf '8.6\\n6.1\\n'")
    monkeypatch.setitem(library.MISSING, "cuda", "")
    monkeypatch.setattr(library, "CUDA_ARCHITECTURES", ("sm_86", "compute_86"))
    monkeypatch.setattr(backend, "_HAS_TRITON", True)
    assert cards.outcome() == (
        "CUDA kernels of the losses: built for sm_86, compute_86; not for compute capability 6.1, "
        "where Triton's kernels run"
    )
    machine(driver="echo 8.6")
    assert cards.outcome() == "CUDA kernels of the losses: built for sm_86, compute_86"


def test_the_outcome_of_what_was_built_and_does_not_load(machine, monkeypatch):
    machine(driver="echo 8.6")
    for device in library.BUILT:
        monkeypatch.setitem(library.BUILT, device, True)
    monkeypatch.setitem(library.MISSING, "cuda", "kernels.so: no libcudart.so.13")
    monkeypatch.setattr(backend, "_HAS_TRITON", True)
    monkeypatch.setattr("torch.version.cuda", "13.0")
    assert cards.outcome() == (
        "CUDA kernels of the losses: kernels.so: no libcudart.so.13; Triton's kernels run instead"
    )


def test_the_outcome_says_why_nothing_was_built_and_what_runs(machine, monkeypatch):
    monkeypatch.setitem(library.BUILT, "cuda", False)
    monkeypatch.setitem(library.MISSING, "cuda", "it does not load, for it is not there")
    monkeypatch.setattr(backend, "_HAS_TRITON", True)
    machine("11.5")
    found = cards.outcome()
    assert found.startswith(
        "CUDA kernels of the losses: not built, Triton's kernels run instead: nvcc 13.0 is needed, found 11.5"
    )
    assert PACKAGES in found
    machine("13.0")
    monkeypatch.setattr(backend, "_HAS_TRITON", False)
    assert "the plain torch path runs instead: nvcc is there and the build failed" in cards.outcome()
    monkeypatch.setenv("MLCFAST_CUDA", "0")
    assert cards.outcome().endswith(": MLCFAST_CUDA=0")
    monkeypatch.delenv("MLCFAST_CUDA")
    monkeypatch.setenv("MLCFAST_NATIVE", "0")
    assert cards.outcome().endswith(": MLCFAST_NATIVE=0")
    monkeypatch.delenv("MLCFAST_NATIVE")
    monkeypatch.setattr("torch.version.cuda", None)
    assert cards.outcome().endswith("not built, nothing runs on the card: this torch is built without CUDA")


@pytest.mark.parametrize("question", ["packages", "architectures", "outcome"])
def test_every_question_has_an_answer_of_one_line_here(question):
    command = [sys.executable, str(ROOT / "csrc" / "cards.py"), question]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.count("\n") == 1
