"""Exported models give the same logits elsewhere, and say by themselves what they need."""

import json
import re
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import safetensors
import torch
from PIL import Image

from mlcfast import export, predict
from mlcfast.models import build_model, cvt
from mlcfast.models.card import ModelCard, load_card, save_model
from mlcfast.models.exported_forms import TOLERANCE, largest_difference
from mlcfast.models.onnx_file import in_runtime
from mlcfast.models.temperature import _moved
from mlcfast.models.trained import load_trained
from tests.conftest import ROOT

SMALL = {"embed_dim": 16, "feedforward": 32, "num_heads": 2}
PLAIN = {"image_size": 32, "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}
ONE_LAYER = {"encoder_layers": 0, "decoder_layers": 1}
SWIN = {"window_size": 7, "depths": (1, 1), "embed_dim": 24, "num_heads": (1, 1)}
MODELS = {
    "resnet": {"backbone": "test_resnet", "image_size": 32, "query_groups": 2, "decoder_self_attention": True},
    "resnet_linear": {"backbone": "test_resnet", "image_size": 32, "head": "linear"},
    "swin": {"backbone": "swin_tiny_patch4_window7_224", "image_size": 56, "backbone_options": SWIN, **ONE_LAYER},
    "ml_decoder": {"backbone": "test_resnet", "image_size": 32, "head": "ml_decoder", "query_groups": 2},
    "joined": {"backbone": "test_efficientnet", "image_size": 64, "backbone_options": {"join_index": -2}, **ONE_LAYER},
    "cvt": {"backbone": "cvt_tiny", "image_size": 32, **ONE_LAYER},
}  # fmt: skip


@pytest.fixture(autouse=True)
def small_cvt(monkeypatch):
    """A CvT of the published kind that is quick to trace."""
    monkeypatch.setitem(cvt.CVT, "cvt_tiny", cvt._stages((16, 32, 32), (1, 1, 1), (1, 1, 2), 0.1))


def save_random(directory, thresholds=(0.5, 0.5, 0.5), **model):
    """A model whose BatchNorm statistics and biases are not at their start, saved as a run does."""
    torch.manual_seed(3)
    arguments = {"head": "query2label", "num_labels": 3} | model
    arguments |= {} if arguments["head"] == "linear" else SMALL
    built = build_model(**arguments)
    built(torch.randn(4, 3, arguments["image_size"], arguments["image_size"]))  # moves the running statistics
    preprocessing = {"image_size": arguments["image_size"], "mean": [0.5, 0.4, 0.3], "std": [0.2, 0.3, 0.25]}
    card = ModelCard(["red", "green", "blue"], arguments, preprocessing, list(thresholds), "ema", {"mAP": 50.0})
    save_model(directory, built.state_dict(), card)
    return directory


@pytest.mark.parametrize("name", MODELS)
def test_onnx_logits_equal_torchs(tmp_path, name, capsys, caplog):
    pytest.importorskip("onnxscript")
    onnxruntime = pytest.importorskip("onnxruntime")
    best = save_random(tmp_path / "best", **MODELS[name])
    file = tmp_path / "model.onnx"
    assert export.main([str(best), str(file), "--format", "onnx"]) == 0
    said = capsys.readouterr().err
    assert str(file) in said and said.count("\n") == 1
    assert str(ROOT).encode() not in file.read_bytes()  # the exporter notes source lines by their paths
    assert not [record for record in caplog.records if record.levelname == "WARNING"]  # of the exporter
    model, card = load_trained(best)
    side = MODELS[name]["image_size"]
    assert largest_difference(in_runtime(file.read_bytes()), model, side) <= TOLERANCE
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    facts = session.get_modelmeta().custom_metadata_map
    assert {key: json.loads(value) for key, value in facts.items()} == {
        "labels": card.labels, "preprocessing": card.preprocessing, "thresholds": card.thresholds,
        "weights": "ema", "metrics": {"mAP": 50.0},
    }  # fmt: skip
    (images,), (logits,) = session.get_inputs(), session.get_outputs()
    assert (images.name, images.shape[1:], logits.name, logits.shape[1:]) == ("images", [3, side, side], "logits", [3])
    for batch in (1, 5):
        pixels = np.random.RandomState(batch).standard_normal((batch, 3, side, side)).astype(np.float32)
        with torch.no_grad():
            expected = model(torch.from_numpy(pixels)).numpy()
        np.testing.assert_allclose(session.run(None, {"images": pixels})[0], expected, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("out", ["given", "given.safetensors"])
def test_safetensors_carry_the_card(tmp_path, out, capsys):
    best = save_random(tmp_path / "best", **MODELS["resnet"])
    assert export.main([str(best), str(tmp_path / out), "--format", "safetensors"]) == 0
    file = tmp_path / out if out.endswith("s") else tmp_path / out / "model.safetensors"
    assert replace(load_card(file), files={}) == replace(load_card(best), files={})
    with safetensors.safe_open(file, "pt") as opened:
        assert json.loads(opened.metadata()["labels"]) == ["red", "green", "blue"]
    assert all(torch.equal(a, b) for a, b in zip(*(load_trained(p)[0].parameters() for p in (file, best)), strict=True))
    Image.new("RGB", (40, 30), "red").save(tmp_path / "x.png")
    rows = []
    for path in (best, file):
        capsys.readouterr()
        assert predict.main([str(path), str(tmp_path / "x.png"), "--top-k", "3", "--json"]) == 0
        rows.append(json.loads(capsys.readouterr().out))
    assert rows[0] == rows[1]


def test_missing_package_is_named_with_its_remedy(tmp_path, capsys, monkeypatch):
    best = save_random(tmp_path / "best", **MODELS["resnet"])
    monkeypatch.setattr("mlcfast.models.onnx_file.NEEDED", ("onnx", "no_such_package"))
    assert export.main([str(best), str(tmp_path / "x.onnx"), "--format", "onnx"]) == 2
    says = "error: --format onnx needs no_such_package: pip install no_such_package\n"
    assert capsys.readouterr().err == says


def test_wrong_logits_leave_no_file(tmp_path, capsys, monkeypatch):
    pytest.importorskip("onnxscript")
    best = save_random(tmp_path / "best", **MODELS["resnet"])
    monkeypatch.setattr("mlcfast.models.onnx_file.largest_difference", lambda *_: float("nan"))
    monkeypatch.setattr("mlcfast.models.onnx_file._converted", lambda *_: b"")
    monkeypatch.setattr("mlcfast.models.onnx_file.in_runtime", lambda *_: None)
    assert export.main([str(best), str(tmp_path / "x.onnx"), "--format", "onnx"]) == 1
    assert "differ by nan" in capsys.readouterr().err
    assert not (tmp_path / "x.onnx").exists()


def test_directory_for_onnx_is_refused(tmp_path, capsys):
    best = save_random(tmp_path / "best", **MODELS["resnet"])
    assert export.main([str(best), str(tmp_path), "--format", "onnx"]) == 2
    assert "name the file" in capsys.readouterr().err


def snippets() -> dict[str, str]:
    """The Python programs of docs/predict.md that load what the export command wrote."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "predict.md").read_text(encoding="utf-8"), re.DOTALL)
    words = {"onnx": "demo.onnx", "safetensors": "exported/"}
    return {kind: next(block for block in blocks if word in block) for kind, word in words.items()}


@pytest.mark.parametrize(
    ("kind", "levels"),
    [("onnx", {"out_index": 2}), ("safetensors", {"out_index": 2}), ("safetensors", {"join_index": -2})],
)
def test_the_documented_programs_run_without_this_package(tmp_path, capsys, kind, levels):
    """In an isolated process that cannot import mlcfast, they print what the predict command reports."""
    if kind == "onnx":
        pytest.importorskip("onnxscript")
    random = np.random.RandomState(0)
    Image.fromarray(random.randint(0, 255, (50, 70, 3), np.uint8)).save(tmp_path / "photo.jpg")
    options = {"backbone": "test_resnet", "image_size": 32, "backbone_options": levels}
    options |= {"encoder_layers": 1, "decoder_layers": 2}
    best = save_random(tmp_path / "best", (0.0, 1.0, 0.0), **options)
    out = tmp_path / {"onnx": "demo.onnx", "safetensors": "exported"}[kind]
    assert export.main([str(best), str(out), "--format", kind]) == 0
    capsys.readouterr()
    assert predict.main([str(best), str(tmp_path / "photo.jpg"), "--json"]) == 0
    expected = {label["name"]: label["score"] for label in json.loads(capsys.readouterr().out)[0]["labels"]}
    program = f"import sys; sys.modules['mlcfast'] = None\n{snippets()[kind]}"
    words = [sys.executable, "-I", "-c", program]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    printed = dict(line.split() for line in done.stdout.splitlines())
    assert printed.keys() == expected.keys() == {"red", "blue"}
    for name, score in printed.items():
        assert float(score) == pytest.approx(expected[name], abs=1e-4)


def test_a_fused_file_is_the_same_model_in_fewer_operators(tmp_path, capsys):
    onnxruntime = pytest.importorskip("onnxruntime")
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxscript")
    best = save_random(tmp_path / "best", **MODELS["resnet"])
    files = [tmp_path / "plain.onnx", tmp_path / "fused.onnx"]
    for file, words in zip(files, ([], ["--fused"]), strict=True):
        assert export.main([str(best), str(file), "--format", "onnx", *words]) == 0
    assert re.search(r"fused\.onnx: logits within \S+ of torch's", capsys.readouterr().err)
    counts = [len(onnx.load(file).graph.node) for file in files]
    assert counts[1] < 0.8 * counts[0]
    sessions = [onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"]) for file in files]
    assert sessions[0].get_modelmeta().custom_metadata_map == sessions[1].get_modelmeta().custom_metadata_map
    images = np.random.RandomState(0).standard_normal((4, 3, 32, 32)).astype(np.float32)
    plain, fused = (session.run(["logits"], {"images": images})[0] for session in sessions)
    np.testing.assert_allclose(fused, plain, rtol=0, atol=TOLERANCE)
    assert str(tmp_path).encode() not in files[1].read_bytes()


def test_8_bits_are_set_by_training_images_and_compared_on_validation_images(tmp_path, capsys):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    best = save_random(tmp_path / "best", **MODELS["resnet_linear"])
    colours = {"red": (220, 30, 30), "green": (30, 220, 30), "blue": (30, 30, 220)}
    lines = ["image,red,green,blue"]
    for number in range(24):
        name = list(colours)[number % 3]
        pixels = np.random.default_rng(number).integers(-25, 26, (32, 32, 3)) + colours[name]
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(tmp_path / f"{number}.png")
        lines.append(",".join([f"{number}.png", *(str(int(name == other)) for other in colours)]))
    (tmp_path / "labels.csv").write_text("\n".join(lines) + "\n")
    config = tmp_path / "config.yaml"
    data = f"{{root: {tmp_path}, train: labels.csv, val: 0.25, format: csv, workers: 0}}"
    config.write_text(f"name: colours\ndata: {data}\n")
    plain, small = tmp_path / "plain.onnx", tmp_path / "small.onnx"
    assert export.main([str(best), str(plain), "--format", "onnx"]) == 0
    capsys.readouterr()
    assert export.main([str(best), str(small), "--format", "onnx", "--int8", str(config)]) == 0
    said = capsys.readouterr()
    assert not said.out and re.search(r"mAP [\d.]+ in 8 bits, [\d.]+ in fp32, on \d+ validation images; ", said.err)
    sessions = [onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"]) for file in (plain, small)]
    assert sessions[0].get_modelmeta().custom_metadata_map == sessions[1].get_modelmeta().custom_metadata_map
    assert small.stat().st_size < 0.6 * plain.stat().st_size
    mean, std = np.float32([0.5, 0.4, 0.3]), np.float32([0.2, 0.3, 0.25])
    images = np.stack([np.asarray(Image.open(tmp_path / f"{number}.png"), np.float32) for number in range(12)])
    images = ((images / 255 - mean) / std).transpose(0, 3, 1, 2)
    exact, rounded = (session.run(["logits"], {"images": images})[0] for session in sessions)
    assert 0 < np.abs(rounded - exact).max() < 0.1 * np.ptp(exact)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--format", "safetensors", "--int8", "c.yaml"], "--int8 goes with --format onnx"),
        (["--format", "onnx", "data.root=x"], "data.root=x: settings go with --int8 CONFIG"),
        (["--format", "onnx", "--fused", "--int8", "c.yaml"], "--fused goes with --format onnx, without --int8"),
        (["--format", "safetensors", "--fused"], "--fused goes with --format onnx"),
    ],
)
def test_8_bits_need_onnx_and_settings_need_8_bits(tmp_path, words, said, capsys):
    assert export.main([str(tmp_path), str(tmp_path / "out"), *words]) == 2
    assert said in capsys.readouterr().err


def test_the_fitted_temperature_is_that_of_the_card(tmp_path, capsys):
    arguments = {"head": "linear", "backbone": "none", "num_labels": 3, "image_size": 0, "in_features": 7}
    weights = build_model(**arguments).state_dict()
    held = ModelCard(["red", "green", "blue"], arguments, PLAIN, [0.5] * 3, "ema", calibration={"temperature": 1.7})
    save_model(tmp_path / "best", weights, held)
    for said in ("fitted", "1.7"):
        words = [str(tmp_path / "best"), str(tmp_path / said), "--format", "safetensors", "--temperature", said]
        assert export.main(words) == 0
    (one, card), (other, _) = load_trained(tmp_path / "fitted"), load_trained(tmp_path / "1.7")
    assert torch.equal(one.fc.weight, other.fc.weight) and not card.calibration
    words = [str(tmp_path / "fitted"), str(tmp_path / "again"), "--format", "safetensors", "--temperature", "fitted"]
    assert export.main(words) == 2
    assert "card holds no temperature" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["query2label", "auxiliary_linear", "ml_decoder", "linear", "cam", "features"])
def test_a_temperature_divides_the_logits_and_moves_the_thresholds(tmp_path, name):
    """In the weights, so that what is written is a model like any other; the same labels are found."""
    torch.manual_seed(0)
    of_features = {"head": "linear", "backbone": "none", "num_labels": 3, "image_size": 0, "in_features": 7}
    of_images = {"head": name, "backbone": "test_resnet", "num_labels": 3, "image_size": 32}
    of_images |= SMALL if name in ("query2label", "ml_decoder") else {}
    of_images |= {**SMALL, "head": "query2label", "auxiliary_linear": True} if name == "auxiliary_linear" else {}
    arguments = of_features if name == "features" else of_images
    card = ModelCard(["red", "green", "blue"], arguments, PLAIN, [0.0, 0.3, 0.9], "ema")
    save_model(tmp_path / "best", build_model(**arguments).state_dict(), card)
    words = [str(tmp_path / "best"), str(tmp_path / "out"), "--format", "safetensors", "--temperature", "1.7"]
    assert export.main(words) == 0
    (before, _), (after, moved) = load_trained(tmp_path / "best"), load_trained(tmp_path / "out")
    inputs = torch.randn(64, 7) if name == "features" else torch.randn(16, 3, 32, 32)
    with torch.no_grad():
        logits, divided = before(inputs), after(inputs)
    torch.testing.assert_close(divided, logits / 1.7)
    found, still = (x.sigmoid() > torch.tensor(t) for x, t in ((logits, card.thresholds), (divided, moved.thresholds)))
    assert torch.equal(found, still) and moved.thresholds[0] == 0
    assert moved.thresholds[1] == pytest.approx(0.3 ** (1 / 1.7) / (0.3 ** (1 / 1.7) + 0.7 ** (1 / 1.7)))


@pytest.mark.parametrize("wrong", ["0", "-1", "nan", "inf"])
def test_a_temperature_that_is_none_is_refused(tmp_path, wrong, capsys):
    save_random(tmp_path / "best", **MODELS["resnet_linear"])
    words = [str(tmp_path / "best"), str(tmp_path / "out"), "--format", "safetensors", f"--temperature={wrong}"]
    assert export.main(words) == 2
    assert "temperature" in capsys.readouterr().err and not (tmp_path / "out").exists()


@pytest.mark.parametrize(("threshold", "moved"), [(0.3, 0.0), (0.5, 0.5), (0.7, 1.0), (1e-300, 0.0)])
def test_a_threshold_moves_to_the_end_at_a_low_temperature(threshold, moved):
    """e to the divided logit is beyond what a float holds."""
    assert _moved(threshold, 1e-3) == moved
