"""docs/extending.md as it stands: its configuration and code, outside the repository, in one process and on two."""

import json
import os
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from mlcfast import predict, train
from mlcfast.config import load_config
from mlcfast.data.transforms import AUGMENTATIONS
from mlcfast.engine import OPTIMIZERS
from mlcfast.errors import UsageError
from mlcfast.models.build import HEADS
from mlcfast.registry import Registry, import_by_name
from tests import warm
from tests.conftest import COLOURS, DEEPSPEED, ROOT

PAGE = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
TORCHRUN = ("torchrun", "--nproc_per_node", "2", "-m")


def blocks(language: str) -> str:
    return "\n\n".join(re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL))


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """The page's two files beside photos in folders that name their labels."""
    tmp_path = tmp_path_factory.mktemp("project")
    (tmp_path / "extras.py").write_text(blocks("python"), encoding="utf-8")
    (tmp_path / "extras.yaml").write_text(blocks("yaml"), encoding="utf-8")
    random = np.random.RandomState(0)
    for split, count in (("train", 24), ("val", 12)):
        for number in range(count):
            labels = random.randint(0, 2, 3)
            labels[number % 3] = 1
            folder = (
                tmp_path / "photos" / split / "+".join(n for n, is_one in zip(COLOURS, labels, strict=True) if is_one)
            )
            folder.mkdir(parents=True, exist_ok=True)
            pixels = (random.rand(40, 40, 3) * 80 + labels * 120).astype(np.uint8)
            Image.fromarray(pixels).save(folder / f"{split}{number}.jpg")
    return tmp_path


def numbers_of(run: Path) -> list[str]:
    """The rows that the page's tracker wrote; the main process alone writes them."""
    return (run / "numbers.csv").read_text().splitlines()


def run_in(project: Path, *words: str) -> subprocess.CompletedProcess:
    path = f"{warm.shared().scripts}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        words, cwd=project, env=environment, capture_output=True, text=True, timeout=400, check=False
    )  # fmt: skip


@pytest.mark.parametrize(
    ("launcher", "engine"),
    [(("python", "-m"), "single"), (TORCHRUN, "ddp"), ((*DEEPSPEED, "-m"), "zero2")],
    ids=["single", "ddp", "zero2"],
)
def test_everything_of_ones_own_trains_and_resumes(project, launcher, engine):
    command = (*launcher, "mlcfast.train", "extras.yaml", f"name={engine}")
    done = run_in(project, *command)
    assert done.returncode == 0, done.stderr[-3000:]
    log = (project / "runs" / engine / "log.txt").read_text()
    assert f"engine {engine} on" in log + done.stderr
    assert (project / "runs" / engine / "best" / "model.safetensors").is_file()
    rows = numbers_of(project / "runs" / engine)
    assert len([row for row in rows if ",train/loss," in row]) == 3
    done = run_in(project, *command, "train.epochs=2", "--resume")
    assert done.returncode == 0, done.stderr[-3000:]
    more = numbers_of(project / "runs" / engine)
    assert more[: len(rows)] == rows and len([row for row in more if ",train/loss," in row]) == 6
    assert any(line.startswith("mAP ") for line in done.stdout.splitlines())


def test_a_model_of_ones_own_predicts(project, monkeypatch, capsys):
    monkeypatch.chdir(project)
    assert train.main(["extras.yaml", "name=alone"]) == 0
    photo = next((project / "photos" / "val").glob("*/*.jpg"))
    capsys.readouterr()
    assert predict.main(["runs/alone/best", str(photo), "--json"]) == 0
    (result,) = json.loads(capsys.readouterr().out)
    assert result["image"] == str(photo) and "error" not in result


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("loss.smothing=0.1", "loss: extras:SmoothedBCE has no option 'smothing': did you mean smoothing?"),
        ("loss.name=extras:SmoothedBEC", "extras has no 'SmoothedBEC': did you mean SmoothedBCE?"),
        ("loss.name=extra:SmoothedBCE", "there is no module extra in the current directory"),
        ("loss.name=extras:COLOURS", "extras has no 'COLOURS'"),
        ("loss.name=extras:sgd", "loss"),
        ("loss.name=torch.nn:BCELoss", "not a mlcfast.losses.LabelLoss"),
        ("model.head=extras:small_body", "no class derived from mlcfast.models.Head"),
        ("model.head_options.hiden=3", "has no option 'hiden': did you mean hidden?"),
        ("model.backbone=extras:gentle", "model.backbone_options do not fit extras:gentle"),
        ("model.backbone=extras.py:Bodies", "extras.py has no 'Bodies': did you mean Body?"),
        ("data.format=extras:gentle", "data.format extras:gentle has no option 'suffix'"),
        ("data.options.sufix=.png", "has no option 'sufix': did you mean suffix?"),
        ("data.augment=extras:F", "not a class or function"),
        ("data.augment=missing.py:change", "there is no file missing.py"),
        ("optim.name=builtins:dict optim.options={}", "not a torch.optim.Optimizer"),
        ("optim.options.momentun=0.9", "has no option 'momentun': did you mean momentum?"),
        ("optim.name=adamax", "optim.name: must be adamw, adam, adamw8bit or package.module:name"),
    ],
)
def test_what_does_not_fit_is_one_line(project, monkeypatch, capsys, override, says):
    monkeypatch.chdir(project)
    assert train.main(["extras.yaml", *override.split()]) == 2
    message = capsys.readouterr().err
    assert says in message.splitlines()[-1], message
    assert "Traceback" not in message


def test_a_module_that_fails_to_import_is_named(tmp_path, monkeypatch):
    (tmp_path / "broken_extras.py").write_text("raise RuntimeError('no licence')\n")
    (tmp_path / "needy_extras.py").write_text("import a_package_nobody_has\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="broken_extras cannot be imported: RuntimeError: no licence"):
        import_by_name("broken_extras:Loss")
    with pytest.raises(ValueError, match="needy_extras cannot be imported: No module named 'a_package_nobody_has'"):
        import_by_name("needy_extras:Loss")


def test_a_file_is_not_mistaken_for_a_module_of_its_name(tmp_path):
    (tmp_path / "yaml.py").write_text("def load(): pass\n")
    with pytest.raises(ValueError, match="another module is called yaml"):
        import_by_name(f"{tmp_path}/yaml.py:load")


@pytest.mark.parametrize(
    ("registry", "section", "key"),
    [(HEADS, "model", "head"), (OPTIMIZERS, "optim", "name"), (AUGMENTATIONS, "data", "augment")],
)
def test_the_configuration_knows_every_registered_name(config_file, registry, section, key):
    for name in registry:
        assert getattr(getattr(load_config(config_file, [f"{section}.{key}={name}"]), section), key) == name
    with pytest.raises(UsageError, match=f"must be {', '.join(registry)} or package.module:name"):
        load_config(config_file, [f"{section}.{key}=nothing"])


def test_a_registry_is_a_mapping_of_its_own_names_only():
    registry = Registry("colour", {"red": 1, "green": 2})
    assert dict(registry) == {"red": 1, "green": 2}
    assert registry.find("math:pi") > 3
    with pytest.raises(ValueError, match=r"colour must be one of red, green or .*, not 'grene': did you mean green"):
        registry.find("grene")
    assert yaml.safe_load(blocks("yaml"))["loss"]["name"] == "extras:SmoothedBCE"
