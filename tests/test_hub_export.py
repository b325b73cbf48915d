"""What `export --format hub` writes is read by the hub's parser, image processors and taggers, and names no place."""

import csv
import getpass
import json
import re
import shutil
import socket
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from mlcfast import export, predict
from mlcfast.data.transforms import EvalTransform
from mlcfast.errors import UsageError
from mlcfast.files import sealed, sha256_of
from mlcfast.models.card import load_card, save_model
from mlcfast.models.exported_forms import TAGGER
from mlcfast.models.hub_files import hub_config, hub_files, refuse_paths
from mlcfast.models.hub_front import About
from mlcfast.models.trained import load_trained
from tests.conftest import ROOT
from tests.test_export import MODELS, save_random

FILES = ["README.md", "config.json", "model.json", "model.safetensors", "preprocessor_config.json"]
SECRETS = ("alice", "patients", "codename", "warmstart", "/srv/", "C:\\")
PRIVATE = {
    "name": "codename",
    "output": "/home/alice/runs",
    "data": {
        "root": "/srv/patients",
        "train": "patients.csv",
        "labels": "full",
        "augment": "C:\\alice\\augment.py:soft",
    },
    "model": {"weights": "/home/alice/warmstart.pth"},
    "loss": {"name": "alice_losses:Mine"},
    "optim": {"name": "adamw", "lr": 0.003},
    "engine": {"global_batch": 64, "precision": "bf16"},
    "train": {"epochs": 7, "initialise_from": "/home/alice/warmstart"},
}
REPORT = {
    "images": 90, "mAP": 61.25, "CF1": 50.5, "OF1": 48.0, "support": {"red": 30, "a|b": 4},
    "per_label": {"red": 80.0, "a|b": 42.5, "blue, dark": 61.25},
}  # fmt: skip


@pytest.fixture(scope="module")
def best(tmp_path_factory):
    """A run's best model with a configuration, figures and labels that need care."""
    best = save_random(tmp_path_factory.mktemp("run") / "best", **MODELS["resnet"])
    model, card = load_trained(best)
    labels = ["red", "a|b", "blue, dark"]
    card = replace(card, labels=labels, thresholds=[0.0, 1.0, 0.0], config=PRIVATE, metrics=REPORT, step=1200)
    save_model(best, model.state_dict(), card)
    return best


@pytest.fixture(scope="module")
def given(best, tmp_path_factory):
    """The directory for the hub, with what a user says of it."""
    out = tmp_path_factory.mktemp("given") / "small-model"
    words = ["--format", "hub", "--license", "apache-2.0", "--dataset", "someone/shapes"]
    assert export.main([str(best), str(out), *words]) == 0
    return out


@pytest.fixture(scope="module")
def tagger(best, tmp_path_factory):
    """The directory with the taggers' files."""
    pytest.importorskip("onnxscript")
    out = tmp_path_factory.mktemp("tagger") / "out"
    assert export.main([str(best), str(out), "--format", "hub", "--tagger"]) == 0
    return out


def photo(path, size=(70, 50)):
    pixels = np.random.RandomState(0).randint(0, 255, (size[1] // 5, size[0] // 5, 3), np.uint8)
    Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC).save(path)
    return path


def test_the_directory_is_a_model_that_predicts_the_same(best, given, tmp_path, capsys):
    assert sorted(path.name for path in given.iterdir()) == FILES
    (one, first), (other, second) = load_trained(best), load_trained(given)
    assert replace(first, config={}, files={}) == replace(second, files={})
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))
    photo(tmp_path / "x.png")
    answers = []
    for path in (best, given):
        capsys.readouterr()
        assert predict.main([str(path), str(tmp_path / "x.png"), "--json"]) == 0
        answers.append(capsys.readouterr().out)
    assert answers[0] == answers[1]


@pytest.mark.parametrize("directory", ["given", "tagger"])
def test_nothing_of_this_machine_is_in_any_file(request, tmp_path, directory):
    out = request.getfixturevalue(directory)
    secrets = [*SECRETS, str(ROOT), str(tmp_path.parent), sys.prefix, "site-packages", f"/{getpass.getuser()}"]
    secrets += [socket.gethostname()] if len(socket.gethostname()) > 4 else []  # a shorter one may stand in weights
    for path in out.iterdir():
        content = path.read_bytes()
        assert not [secret for secret in secrets if secret.encode() in content], path.name


def test_the_hubs_parser_reads_the_readme(given):
    hub = pytest.importorskip("huggingface_hub")
    card = hub.ModelCard.load(given / "README.md")
    data = card.data
    assert (data.license, data.library_name, data.pipeline_tag) == ("apache-2.0", "mlcfast", "image-classification")
    assert data.tags == ["multi-label-image-classification", "query2label", "test_resnet"]
    assert data.datasets == ["someone/shapes"] and data.model_name == "small-model"
    results = {(each.dataset_split, each.metric_name): each.metric_value for each in data.eval_results}
    assert results[("validation", "mAP")] == 61.25 and len(results) == 3
    assert {each.dataset_type for each in data.eval_results} == {"someone/shapes"}
    assert "| a\\|b | 1.000 | 42.5 | 4 |" in card.text and "learning rate: 0.003" in card.text
    assert "a file, which is not named" in card.text and "1200" in card.text
    assert "how it does on images that took no part" in card.text and "under which license" not in card.text


def test_what_nobody_said_is_named_as_unknown(tmp_path):
    hub = pytest.importorskip("huggingface_hub")
    best = save_random(tmp_path / "best", **MODELS["resnet_linear"])
    assert export.main([str(best), str(tmp_path / "out"), "--format", "hub"]) == 0
    card = hub.ModelCard.load(tmp_path / "out" / "README.md")
    assert card.data.license is None and card.data.get("datasets") is None
    assert {each.dataset_name for each in card.data.eval_results} == {"not named"}
    for words in ("under which license", "what images and labels", "the configuration was not kept"):
        assert words in card.text.partition("## Not known")[2]


def test_figures_of_the_test_images_stand_beside_those_of_the_validation_images(best, tmp_path):
    hub = pytest.importorskip("huggingface_hub")
    best = shutil.copytree(best, tmp_path / "best")
    outcome = {"epoch": 3, "validation_mAP": 61.25, "test_mAP": 40.0, "test": {**REPORT, "mAP": 40.0, "images": 33}}
    (best / "outcome.json").write_text(sealed({**outcome, "card": sha256_of(best / "model.json")}))
    assert export.main([str(best), str(tmp_path / "out"), "--format", "hub"]) == 0
    card = hub.ModelCard.load(tmp_path / "out" / "README.md")
    means = {each.dataset_split: each.metric_value for each in card.data.eval_results if each.metric_name == "mAP"}
    assert means == {"validation": 61.25, "test": 40.0} and "| test, 33 | 40.00 |" in card.text


def test_image_processors_prepare_an_image_as_the_model_wants_it(given, tmp_path):
    timm_data = pytest.importorskip("timm.data")
    transformers = pytest.importorskip("transformers")
    image = Image.open(photo(tmp_path / "x.png")).convert("RGB")
    how = load_card(given).preprocessing
    ours = EvalTransform(**how)(image)
    config = json.loads((given / "config.json").read_text())["timm_transform"]
    torch.testing.assert_close(timm_data.create_transform(**config)(image), ours)
    processor = transformers.AutoImageProcessor.from_pretrained(given)
    theirs = processor(image, return_tensors="pt")["pixel_values"][0]
    step = 1 / 255 / torch.tensor(how["std"])[:, None, None]  # of 8 bits, to which both round what they resize
    assert theirs.shape == ours.shape and ((theirs - ours).abs() <= 1.01 * step).all()


def test_the_readmes_program_runs(given, capsys):
    pytest.importorskip("huggingface_hub")
    photo(given.parent / "photo.jpg")
    (program,) = re.findall(r"```python\n(.*?)```", (given / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=given.parent, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    capsys.readouterr()
    assert predict.main([str(given), str(given.parent / "photo.jpg"), "--json"]) == 0
    expected = {label["name"]: label["score"] for label in json.loads(capsys.readouterr().out)[0]["labels"]}
    printed = dict(line.rsplit(" ", 1) for line in done.stdout.splitlines())
    assert printed.keys() == expected.keys() == {"red", "blue, dark"}
    assert all(float(score) == pytest.approx(expected[name], abs=1e-4) for name, score in printed.items())


def test_a_program_that_tags_images_reads_names_and_probabilities(best, tagger, tmp_path):
    """In the way of such programs: names by column, the input's own size, a white square, blue-green-red, one bound."""
    onnxruntime = pytest.importorskip("onnxruntime")
    assert sorted(path.name for path in tagger.iterdir()) == sorted([*FILES, "model.onnx", "selected_tags.csv"])
    with (tagger / "selected_tags.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["tag_id"], row["name"], row["category"], row["count"]) for row in rows] == [
        ("0", "red", "0", "30"), ("1", "a|b", "0", "4"), ("2", "blue, dark", "0", "0"),
    ]  # fmt: skip
    session = onnxruntime.InferenceSession(str(tagger / "model.onnx"), providers=["CPUExecutionProvider"])
    (entry,), (result,) = session.get_inputs(), session.get_outputs()
    _, height, width, channels = entry.shape
    assert (height, width, channels, entry.type) == (32, 32, 3, "tensor(float)") and result.shape[1:] == [3]
    padded = ImageOps.pad(Image.open(photo(tmp_path / "x.png")), (width, height), Image.Resampling.BICUBIC, "white")
    pixels = np.asarray(padded, np.float32)
    (found,) = session.run([result.name], {entry.name: np.ascontiguousarray(pixels[None, :, :, ::-1])})
    model, card = load_trained(best)
    how = card.preprocessing
    images = torch.tensor((pixels / 255 - how["mean"]) / how["std"], dtype=torch.float32).permute(2, 0, 1)[None]
    with torch.no_grad():
        expected = model(images).sigmoid().numpy()
    np.testing.assert_allclose(found, expected, rtol=0, atol=TAGGER.tolerance)
    assert np.abs(found - expected[:, ::-1]).max() > 10 * TAGGER.tolerance  # the order of the labels matters


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"backbone_options": {"pretrained_cfg_overlay": {"file": "/home/alice/w.bin"}}}, "overlay.file"),
        ({"head": "/home/alice/heads.py:Mine"}, "model.head"),
        ({"backbone": "C:\\alice\\bodies.py:body"}, "model.backbone"),
        ({"backbone_options": {"file": "~/w.bin"}}, "model.backbone_options.file"),
        ({"backbone_options": {"url": "file:///home/alice/w.bin"}}, "model.backbone_options.url"),
        ({"backbone": "local-dir:/home/alice/body"}, "model.backbone"),
    ],
)
def test_a_path_among_the_models_arguments_is_refused(best, arguments, named):
    card = load_card(best)
    refuse_paths(card)
    with pytest.raises(UsageError, match=named):
        refuse_paths(replace(card, model=card.model | arguments))


def test_a_model_of_somebodys_code_says_so(best):
    card = load_card(best)
    own = replace(card, model=card.model | {"head": "extras:TwoLayer"})
    text = hub_files(own, About("x"))["README.md"].decode()
    assert "code of its author's, `extras:TwoLayer`, which" in text and "hf://" not in text
    assert hub_config(own)["model"]["head"] == "extras:TwoLayer" and "- extras" not in text.partition("# x")[0]


def test_a_directory_that_holds_something_is_refused(best, capsys):
    assert export.main([str(best), str(best), "--format", "hub"]) == 2
    assert capsys.readouterr().err == f"error: {best}: must be new or empty, for all that is in it is uploaded\n"


@pytest.mark.parametrize("option", [["--license", "mit"], ["--dataset", "x"], ["--tagger"]])
def test_options_of_the_hub_go_with_the_hub(best, tmp_path, option, capsys):
    assert export.main([str(best), str(tmp_path / "x"), "--format", "safetensors", *option]) == 2
    assert capsys.readouterr().err == f"error: {option[0]} goes with --format hub\n"
