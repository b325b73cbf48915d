"""The wheel, installed into an environment that holds torch and numpy alone."""

import importlib.metadata
import os
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from mlcfast import errors
from mlcfast.ops.backend import choose
from tests.conftest import ROOT

sys.path.insert(0, str(ROOT / "csrc"))
import requirements

# What one process has seen of the world after it imported the losses and the metrics.
IMPORTED = """
import sys
import torch
before = set(sys.modules)
import mlcfast.losses, mlcfast.metrics, mlcfast.ops
print(*sorted({name.partition('.')[0] for name in set(sys.modules) - before}))
"""
LOSSES = """
import math, numpy, torch
from mlcfast.losses import AsymmetricLoss, build_loss
from mlcfast.metrics import average_precision
from mlcfast.ops.backend import choose
import mlcfast
assert choose('cpu') == 'native', choose('cpu')
torch.manual_seed(0)
logits = (4 * torch.randn(5, 7)).requires_grad_()
labels = torch.randint(0, 2, (5, 7))
AsymmetricLoss(gamma_neg=2, gamma_pos=1, clip=0)(logits, labels).backward()
exact = logits.detach().double().requires_grad_()
p = exact.sigmoid()
loss = -(labels * (1 - p) * p.log() + (1 - labels) * p ** 2 * (1 - p).log()).mean()
loss.backward()
torch.testing.assert_close(logits.grad.double(), exact.grad, rtol=1e-4, atol=1e-7)
assert math.isfinite(build_loss('an')(logits, labels).item())
assert average_precision(numpy.array([[0.9], [0.1]]), numpy.array([[1], [0]])).tolist() == [1.0]
print(mlcfast.__version__, mlcfast.__file__)
"""


def closure(*names: str) -> set[str]:
    """The distributions that these need, themselves included, as pip would install them here."""
    found, waiting = set(), [Requirement(name) for name in names]
    while waiting:
        requirement = waiting.pop()
        key = (requirement.name.lower().replace("_", "-"), *sorted(requirement.extras))
        if key in found:
            continue
        found.add(key)
        try:
            needs = importlib.metadata.requires(requirement.name) or []
        except importlib.metadata.PackageNotFoundError:
            continue
        for line in needs:
            needed = Requirement(line)
            extras = requirement.extras or {""}
            if needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in extras):
                waiting.append(needed)
    return {name for name, *_ in found}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """Built from this tree without isolation; compiled objects are taken from build/ where they are up to date."""
    place = tmp_path_factory.mktemp("wheel")
    words = [
        "egg_info",
        "--egg-base",
        place,
        "build",
        "--build-base",
        place / "build",
        "bdist_wheel",
        "--dist-dir",
        place,
    ]
    done = subprocess.run(
        [sys.executable, "setup.py", "-q", *map(str, words)],
        cwd=ROOT, env=os.environ | {"MLCFAST_CUDA": "0", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    (built,) = place.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def bare(tmp_path_factory, wheel) -> Path:
    """The Python of an environment with torch, numpy, what they need, and the wheel; pip found nothing missing."""
    folder = tmp_path_factory.mktemp("bare")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    (site,) = folder.glob("lib/python3*/site-packages")
    for name in closure("torch", "numpy"):
        try:
            distribution = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:  # for another system
            continue
        tops = {file.parts[0] for file in distribution.files or () if file.parts[0] not in ("..", "__pycache__")}
        for top in tops:
            if not (site / top).exists():
                (site / top).symlink_to(distribution.locate_file(top))
    python = folder / "bin" / "python"
    words = ["--python", str(python), "install", "--no-index", "--no-compile", "--quiet", str(wheel)]
    done = subprocess.run([sys.executable, "-m", "pip", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return python


def outside(python: Path, *words: str) -> subprocess.CompletedProcess:
    """A command in an empty directory, with nothing of this tree on the path."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MLCFAST", "PYTHON"))}
    return subprocess.run(
        [str(python), *words], cwd=python.parent, env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.skipif(choose("cpu") != "native", reason="the compiled library is not built")
def test_losses_are_native_and_right_with_torch_alone(bare):
    done = outside(bare, "-c", LOSSES)
    assert done.returncode == 0, done.stderr
    version, file = done.stdout.split()
    assert version == importlib.metadata.version("mlcfast") and file.startswith(str(bare.parents[1]))


def test_losses_import_nothing_but_torch_and_numpy(bare):
    done = outside(bare, "-c", IMPORTED)
    assert done.returncode == 0, done.stderr
    ours = set(done.stdout.split())
    assert "mlcfast" in ours
    assert not ours - sys.stdlib_module_names - {"mlcfast", "torch", "numpy"}


@pytest.mark.parametrize(
    ("command", "extra"),
    [("train", "train"), ("predict", "train"), ("inspect", "data"), ("export", "export"), ("report", "train")],
)
def test_a_command_without_its_extra_says_what_to_install(bare, command, extra):
    for words in (["-m", f"mlcfast.{command}", "--help"], ["-m", "mlcfast", command, "x"]):
        done = outside(bare, *words)
        assert done.returncode == 2, done.stderr
        assert done.stderr.startswith(f"error: mlcfast {command} needs ") and done.stderr.count("\n") == 1
        assert done.stderr.endswith(f": pip install 'mlcfast[{extra}]'\n")
    assert "Traceback" in outside(bare, "-m", "mlcfast", command, "--debug").stderr


def test_the_script_and_its_help_need_nothing_else(bare):
    done = outside(bare.parent / "mlcfast", "--help")
    assert done.returncode == 0 and "  train " in done.stdout
    assert outside(bare.parent / "mlcfast", "--version").stdout.strip() == importlib.metadata.version("mlcfast")


def test_every_extra_that_an_error_names_brings_the_package():
    distributions = importlib.metadata.packages_distributions()
    for package, extra in errors.EXTRA_OF.items():
        wanted = {name.lower() for name in distributions.get(package, [package])}
        brought = {Requirement(line).name.lower() for line in requirements.EXTRAS[extra]}
        assert wanted & brought, f"{extra} does not bring {package}"
    assert {Requirement(line).name for line in requirements.REQUIRED} == set(errors.OF_ALL)


def test_a_build_without_a_compiler_ends_with_the_reason(tmp_path):
    words = ["egg_info", "--egg-base", str(tmp_path), "build", "--build-base", str(tmp_path)]
    environment = os.environ | {"MLCFAST_CUDA": "0", "CXX": "no-such-compiler", "PYTHONDONTWRITEBYTECODE": "1"}
    for native, status in (("1", 1), ("auto", 0), ("0", 0)):
        done = subprocess.run(
            [sys.executable, "setup.py", "-q", *words], cwd=ROOT, env=environment | {"MLCFAST_NATIVE": native},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == status, done.stderr
        assert ("no-such-compiler" in done.stderr) == (native != "0")
        assert ("MLCFAST_NATIVE=0 installs without" in done.stderr) == (status == 1)
