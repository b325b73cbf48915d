"""Programs of torch.export: the model's logits without this package, nothing of this machine in them, and compiled."""

import json
import os
import re
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from mlcfast import export, predict
from mlcfast.models.exported_forms import FACTS, TOLERANCE
from mlcfast.models.trained import load_trained
from tests.conftest import ROOT
from tests.test_export import MODELS, save_random, small_cvt  # noqa: F401  a fixture that every test here uses


class Body(nn.Module):
    """One convolution: the least with which AOTInductor can be tried."""

    def __init__(self, image_size: int, pretrained: bool):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 8, 8)

    def forward_features(self, images: torch.Tensor) -> torch.Tensor:
        """(B, 3, S, S) -> (B, 4, S / 8, S / 8)."""
        return self.conv(images).relu()


def exported(directory, **model):
    best = save_random(directory / "best", (0.0, 1.0, 0.0), **model)
    assert export.main([str(best), str(directory / "demo.pt2"), "--format", "torch_export"]) == 0
    return best, directory / "demo.pt2"


@pytest.mark.parametrize("name", MODELS)
def test_a_program_gives_the_models_logits(tmp_path, name):
    before = os.environ.get("MLCFAST_BACKEND")
    best, file = exported(tmp_path, **MODELS[name])
    assert os.environ.get("MLCFAST_BACKEND") == before
    model, card = load_trained(best)
    facts = dict.fromkeys(FACTS, "")
    program = torch.export.load(file, extra_files=facts).module()
    assert {key: json.loads(value) for key, value in facts.items()} == {key: getattr(card, key) for key in FACTS}
    side = MODELS[name]["image_size"]
    for batch in (1, 5):
        images = torch.randn(batch, 3, side, side)
        with torch.no_grad():
            torch.testing.assert_close(program(images), model(images), rtol=0, atol=TOLERANCE)
    with zipfile.ZipFile(file) as archive:
        content = b"".join(map(archive.read, archive.namelist()))
    assert str(ROOT).encode() not in content and b"torch.ops.mlcfast" not in content


def documented() -> str:
    """The program of docs/predict.md that loads one."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "predict.md").read_text(encoding="utf-8"), re.DOTALL)
    (found,) = [block for block in blocks if "torch.export.load" in block]
    return found


def test_the_documented_program_runs_without_this_package(tmp_path, capsys):
    random = np.random.RandomState(0)
    Image.fromarray(random.randint(0, 255, (50, 70, 3), np.uint8)).save(tmp_path / "photo.jpg")
    best, _ = exported(tmp_path, **MODELS["resnet"])
    program = f"import sys; sys.modules['mlcfast'] = None\n{documented()}"
    done = subprocess.run(
        [sys.executable, "-I", "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    capsys.readouterr()
    assert predict.main([str(best), str(tmp_path / "photo.jpg"), "--json"]) == 0
    expected = {label["name"]: label["score"] for label in json.loads(capsys.readouterr().out)[0]["labels"]}
    printed = dict(line.split() for line in done.stdout.splitlines())
    assert printed.keys() == expected.keys() == {"red", "blue"}
    assert all(float(score) == pytest.approx(expected[name], abs=1e-4) for name, score in printed.items())


COMPILE = """
import torch
program = torch.export.load("demo.pt2")
torch._inductor.aoti_compile_and_package(program, package_path="compiled.pt2")
compiled = torch._inductor.aoti_load_package("compiled.pt2")
for batch in (1, 5):
    images = torch.randn(batch, 3, 16, 16)
    torch.testing.assert_close(compiled(images), program.module()(images))
"""


@pytest.mark.slow
def test_aotinductor_compiles_one(tmp_path):
    """With a model as small as one can be; docs/notes.md says what else was tried."""
    _, file = exported(tmp_path, head="linear", backbone="tests.test_export_program:Body", image_size=16)
    assert file.exists()
    environment = os.environ | {"TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "cache")}
    done = subprocess.run(
        [sys.executable, "-I", "-c", COMPILE],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.parametrize("out", ["demo.onnx", "demo"])
def test_a_program_has_the_ending_that_torch_wants(tmp_path, out, capsys):
    best = save_random(tmp_path / "best", **MODELS["resnet_linear"])
    assert export.main([str(best), str(tmp_path / out), "--format", "torch_export"]) == 2
    assert "ends with .pt2" in capsys.readouterr().err
