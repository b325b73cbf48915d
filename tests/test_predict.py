"""The predict command: what it prints, what it does with bad files, and that it needs the model's two files only."""

import csv
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mlcfast import cli, predict
from mlcfast.data import EvalTransform, find_images, load_rgb
from mlcfast.data.readers.recognise import read_labels
from mlcfast.data.readers.source import TableOptions
from mlcfast.engine import Predictor, Process
from mlcfast.errors import UsageError
from mlcfast.evaluation.predict_files import label_numbers, predict_files
from mlcfast.evaluation.tables import PredictionTable
from mlcfast.models import build_model
from mlcfast.models.card import ModelCard, save_model
from mlcfast.models.trained import load_trained
from tests.conftest import ROOT, without_digests, write_colour_set

NAMES = ["red", "green", "blue"]
MODEL = {
    "head": "query2label", "backbone": "test_resnet", "num_labels": 3, "image_size": 32, "backbone_options": {},
    "embed_dim": 16, "feedforward": 32, "num_heads": 2,
}  # fmt: skip
PREPROCESSING = {"image_size": 32, "mean": [0.5, 0.4, 0.3], "std": [0.2, 0.3, 0.25]}


def save_untrained(directory: Path, thresholds=(0.5, 0.5, 0.5), names=NAMES, **changes) -> Path:
    """A model as a run leaves it, with random weights."""
    torch.manual_seed(0)
    arguments = MODEL | changes
    card = ModelCard(list(names), arguments, PREPROCESSING, list(thresholds), "raw")
    save_model(directory, build_model(**arguments).state_dict(), card)
    return directory


@pytest.fixture(scope="module")
def best(tmp_path_factory) -> Path:
    return save_untrained(tmp_path_factory.mktemp("best"))


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("photos")
    write_colour_set(root, val=5)
    return root


def documents(capsys, *words: str | Path, status: int = 0) -> list[dict]:
    assert predict.main([*map(str, words), "--json"]) == status
    return json.loads(capsys.readouterr().out)


def scores(rows: list[dict]) -> list[list[float]]:
    return [[{label["name"]: label["score"] for label in row["labels"]}[name] for name in NAMES] for row in rows]


def test_scores_are_the_models_on_the_evaluation_transform(best, photos, capsys):
    """Batches of 2 of 5 images, decoded in threads, in the order of their names."""
    rows = documents(capsys, best, photos, "--top-k", "3", "--batch-size", "2", "--workers", "3")
    assert [Path(row["image"]).name for row in rows] == [f"val{n}.jpg" for n in range(5)]
    model, _ = load_trained(best)
    transform = EvalTransform(**PREPROCESSING)
    images = torch.stack([transform(load_rgb(row["image"])) for row in rows])
    with torch.no_grad():
        expected = torch.sigmoid(model(images)).numpy()
    np.testing.assert_allclose(scores(rows), expected, atol=2e-6)
    assert all(row["labels"] == sorted(row["labels"], key=lambda label: -label["score"]) for row in rows)


def test_thresholds_and_top_k_choose(best, photos, tmp_path, capsys):
    image = photos / "val0.jpg"
    (all_three,) = documents(capsys, best, image, "--threshold", "0")
    first, second, third = (label["score"] for label in all_three["labels"])
    own = {label["name"]: 1.0 for label in all_three["labels"]} | {all_three["labels"][2]["name"]: third}
    strict = save_untrained(tmp_path / "strict", thresholds=[own[name] for name in NAMES])

    def found(*words) -> list[float]:
        return [label["score"] for label in documents(capsys, *words)[0]["labels"]]

    assert found(strict, image) in ([third], [])  # the card's thresholds; the score in it was rounded
    assert found(strict, image, "--threshold", str(second - 1e-6)) == [first, second]
    assert found(strict, image, "--top-k", "2") == [first, second]
    assert found(strict, image, "--top-k", "2", "--threshold", str(first - 1e-6)) == [first]


def test_table_has_a_line_an_image(best, photos, capsys):
    assert predict.main([str(best / "model.safetensors"), str(photos / "val1.jpg"), "--threshold", "0"]) == 0
    captured = capsys.readouterr()
    assert re.fullmatch(rf"{re.escape(str(photos))}/val1.jpg(  (red|green|blue) 0\.\d\d){{3}}\n", captured.out)
    assert captured.err == "done 1, failed 0\n"


def test_needs_the_two_files_only(best, photos, tmp_path):
    """Copied elsewhere, run from elsewhere; the heavy packages of training stay unloaded."""
    moved = tmp_path / "given away"
    moved.mkdir()
    for name in ("model.safetensors", "model.json"):
        shutil.copy(best / name, moved)
    code = (
        "import sys; from mlcfast import predict; status = predict.main(sys.argv[1:]);"
        "heavy = {'deepspeed', 'matplotlib', 'tensorboard', 'pycocotools', 'sklearn'} & set(sys.modules);"
        "sys.exit(f'loaded {heavy}' if heavy else status)"
    )
    words = [sys.executable, "-c", code, str(moved), str(photos), "--json"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)) == 5


def _png(width: int, height: int, lines: int) -> bytes:
    """A grey PNG of this size whose data holds the first `lines` rows, all black: small whatever its size."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    data = zlib.compress(bytes((width + 1) * lines))
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def _hostile(root: Path) -> dict[str, str]:
    """Files that must not do harm; name -> what their error must say, nothing for those that are fine."""
    image = Image.fromarray(np.random.RandomState(0).randint(0, 255, (64, 64, 3), np.uint8))
    image.save(root / "good.jpg")
    content = (root / "good.jpg").read_bytes()
    (root / "empty.jpg").write_bytes(b"")
    (root / "truncated.jpg").write_bytes(content[: len(content) // 2])
    (root / "text.jpg").write_text("no image\n" * 100)
    (root / "postscript.png").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n")
    image.save(root / "jpeg_named.png", format="JPEG")
    (root / "bomb.png").write_bytes(_png(50_000, 50_000, 100))
    (root / "dense.png").write_bytes(_png(12_000, 12_000, 100))
    (root / "wide.png").write_bytes(_png(60_000, 4, 4))
    os.mkfifo(root / "pipe.jpg")
    (root / "linked.jpg").symlink_to(root / "good.jpg")
    (root / "dangling.jpg").symlink_to(root / "nothing.jpg")
    (root / "loop.jpg").symlink_to(root / "loop.jpg")
    (root / "device.jpg").symlink_to("/dev/zero")
    (root / "up").symlink_to(root)
    return {
        "bomb.png": "too large", "dangling.jpg": "no such image", "dense.png": "too large: 12000 × 12000 pixels",
        "device.jpg": "neither a file nor a directory", "empty.jpg": "0 bytes", "good.jpg": "", "jpeg_named.png": "",
        "linked.jpg": "", "loop.jpg": "symbolic links", "pipe.jpg": "neither a file nor a directory",
        "postscript.png": "not an image", "text.jpg": "not an image", "truncated.jpg": "truncated",
        "wide.png": "too large: 60000 × 4 pixels",
    }  # fmt: skip


def test_hostile_files_are_named_and_the_rest_is_done(best, tmp_path):
    """In a process of its own, whose peak memory stays within 100 MB of that for the one good image."""
    expected = _hostile(tmp_path)
    code = (
        "import json, resource, sys; from mlcfast import predict; model, *images = sys.argv[1:]\n"
        "for image in images:\n"
        "    status = predict.main([model, image, '--json'])\n"
        "    print(json.dumps([status, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss]))"
    )
    words = [sys.executable, "-c", code, str(best), str(tmp_path / "good.jpg"), str(tmp_path)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)
    _, (_, before), rows, (status, after) = map(json.loads, done.stdout.splitlines())
    assert status == 1
    assert [Path(row["image"]).name for row in rows] == sorted(expected)
    for row in rows:
        says = expected[Path(row["image"]).name]
        assert says in row.get("error", "") and ("labels" in row) == (not says), row
    assert after - before < 100 * 1024  # KiB
    assert f"{tmp_path}/bomb.png: too large" in done.stderr
    assert done.stderr.splitlines()[-1] == "done 3, failed 11"


def test_arguments_that_name_no_image(best, photos, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    words = [tmp_path / "empty", tmp_path / "*.jpg", tmp_path / "none.jpg", photos / "val0.jpg"]
    rows = documents(capsys, best, *words, status=1)
    assert [row.get("error") for row in rows] == [
        "no images in this directory", "no file matches this pattern", "no such image", None
    ]  # fmt: skip


def test_directories_and_patterns(tmp_path):
    for name in ("b.JPG", "a/2.png", "a/1.webp", "a/notes.txt", ".hidden/x.jpg", ".y.jpg", "odd[1].jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()

    def names(*arguments: str) -> list[str]:
        found = find_images([str(tmp_path / argument) for argument in arguments])
        return [os.path.relpath(source.path, tmp_path) for source in found]

    assert names(".") == ["b.JPG", "odd[1].jpg", "a/1.webp", "a/2.png"]
    assert names("a/*") == ["a/1.webp", "a/2.png", "a/notes.txt"]
    assert names("**/*.[pw]*") == ["a/1.webp", "a/2.png"]
    assert names("*") == ["a/1.webp", "a/2.png", "b.JPG", "odd[1].jpg"]
    assert names("odd[1].jpg", "b.JPG", "b.JPG") == ["odd[1].jpg", "b.JPG", "b.JPG"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--top-k", "0"], "'0' is not a whole number of at least 1"),
        (["--threshold", "50"], "'50' is not a number from 0 to 1"),
        (["--threshold", "nan"], "'nan' is not a number from 0 to 1"),
        (["--attention", "{tmp}", "--labels", "red,gren"], "no label 'gren': did you mean green?"),
        (["--attention", "{tmp}", "--labels", '"red,blue'], "is no list of names such as A,B or"),
        (["--labels", "red"], "--labels goes with --attention DIR"),
    ],
)
def test_bad_usage_is_one_line(best, photos, tmp_path, capsys, words, says):
    words = [word.replace("{tmp}", str(tmp_path)) for word in words]
    try:
        status = predict.main([str(best), str(photos), *words])
    except SystemExit as stopped:
        status = stopped.code
    captured = capsys.readouterr()
    assert (status, captured.out) == (2, "")
    assert says in captured.err and captured.err.count("\n") == 1


def test_a_label_with_a_semicolon_is_quoted_among_others(tmp_path):
    with PredictionTable(tmp_path / "t.csv", ["a;b", "c"]) as table:
        table.write("x.jpg", [0, 1], np.array([0.9, 0.8]))
    with (tmp_path / "t.csv").open(newline="") as file:
        assert next(csv.DictReader(file))["labels"] == '"a;b";c'


def test_a_label_with_a_comma_is_named_in_quotes():
    known = ["cat, black", "dog", 'a "big" one']
    for text, numbers in (('"cat, black",dog', [0, 1]), ('dog, "cat, black"', [1, 0]), ('a "big" one', [2])):
        assert label_numbers(cli.names(text), known) == numbers
    with pytest.raises(UsageError, match=r"label 'cat': known are \"cat, black\", dog.*in double quotes"):
        label_numbers(cli.names("cat, black"), known)
    with pytest.raises(UsageError, match="did you mean red") as caught:
        label_numbers(["rad"], NAMES)
    assert "quotes" not in str(caught.value)


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda d: (d / "model.json").unlink(), "model.json: cannot be read: No such file"),
        (lambda d: (d / "model.safetensors").unlink(), "no such checkpoint"),
        (lambda d: (d / "model.json").write_text("[]"), "model.json: not a model card"),
        (lambda d: (d / "model.json").write_text('{"labels": ["a"]}'), "not a model card: "),
        (lambda d: (d / "model.safetensors").write_bytes(b"\x80\x04pickle"), "model.safetensors: damaged"),
        (lambda d: _edit(d, thresholds=[0.5]), "3 labels and 1 thresholds for a model of 3"),
        (lambda d: _edit(d, model=MODEL | {"embed_dim": 32}), "does not fit the model"),
        (lambda d: _edit(d, model={"num_labels": 3}), "not a model card: model: "),
        (lambda d: _edit(d, preprocessing={"image_size": 32}), "preprocessing lacks mean, std"),
    ],
)
def test_damaged_model_is_named(best, photos, tmp_path, capsys, damage, says):
    model = Path(shutil.copytree(best, tmp_path / "model"))
    damage(model)
    assert predict.main([str(model), str(photos)]) == 2
    captured = capsys.readouterr()
    assert says in captured.err and captured.err.count("\n") == 1 and captured.out == ""


def _edit(directory: Path, **changes) -> None:
    card = json.loads((directory / "model.json").read_text())
    (directory / "model.json").write_text(json.dumps(card | changes))
    without_digests(directory)


def test_linear_head_predicts_but_does_not_attend(photos, tmp_path, capsys):
    linear = {"head": "linear", "backbone": "test_resnet", "num_labels": 3, "image_size": 32}
    card = ModelCard(NAMES, linear, PREPROCESSING, [0.5] * 3, "ema")
    save_model(tmp_path / "linear", build_model(**linear).state_dict(), card)
    assert len(documents(capsys, tmp_path / "linear", photos)) == 5
    assert predict.main([str(tmp_path / "linear"), str(photos), "--attention", str(tmp_path / "maps")]) == 2
    assert "a linear head looks at no places" in capsys.readouterr().err


def test_attention_writes_a_picture_an_image(best, photos, tmp_path, capsys):
    """A panel for the image and one for each label found or chosen, beside a colour bar."""
    maps = tmp_path / "new" / "maps"
    words = [best, photos / "val0.jpg", photos / "val1.jpg", "--attention", maps]
    every, chosen = (documents(capsys, *words, *more) for more in (["--top-k", "3"], ["--labels", "blue"]))
    assert [row["attention"] for row in every] == [str(maps / "val0.png"), str(maps / "val1.png")]
    assert [set(row) for row in chosen] == [{"image", "labels", "attention"}] * 2
    narrow = Image.open(maps / "val0.png")
    documents(capsys, *words, "--top-k", "3")
    wide = Image.open(maps / "val0.png")
    assert wide.size[0] > 1.5 * narrow.size[0] and wide.size[1] == narrow.size[1]
    assert len(np.unique(np.asarray(wide.convert("RGB")).reshape(-1, 3), axis=0)) > 500


def test_maps_are_the_models_weights(best, photos):
    model, card = load_trained(best)
    predictor = Predictor(Process(), model, "fp32")
    sources = list(find_images([str(photos)]))
    seen = list(predict_files(predictor, card, sources, batch_size=2, attention=True))
    transform = EvalTransform(**PREPROCESSING)
    images = torch.stack([transform(load_rgb(source.path)) for source in sources])
    with torch.no_grad():
        logits, weights = model(images, need_weights=True)
    np.testing.assert_allclose(np.stack([s.scores for s in seen]), torch.sigmoid(logits), atol=1e-6)
    found = np.stack([s.maps for s in seen])
    assert found.shape == (5, 3, *model.grid)
    np.testing.assert_allclose(found.reshape(5, 3, -1), weights, atol=1e-6)
    np.testing.assert_allclose(found.sum(axis=(2, 3)), 1, atol=1e-5)


def test_streams_and_batches_give_the_same_scores_in_order(best, photos):
    """Whatever the threads and the batch, bad files between good ones included; torch's threads are left as found."""
    model, card = load_trained(best)
    predictor = Predictor(Process(), model, "fp32")
    sources = list(find_images([str(photos), "nothing.jpg", str(photos)]))
    threads = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        (one, *others) = (
            list(predict_files(predictor, card, sources, batch_size, workers))
            for batch_size, workers in ((4, 1), (4, 2), (1, 3), (64, 3))
        )
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(threads)
    assert [seen.image for seen in one] == [source.path for source in sources] and one[len(sources) // 2].error
    for other in others:
        assert [(seen.image, seen.error) for seen in other] == [(seen.image, seen.error) for seen in one]
        for mine, theirs in zip(one, other, strict=True):
            if not mine.error:
                np.testing.assert_allclose(mine.scores, theirs.scores, rtol=1e-5)


def test_a_classifier_of_stored_features_takes_no_images(photos, tmp_path, capsys):
    card = ModelCard(NAMES, {"head": "linear", "backbone": "none", "num_labels": 3, "image_size": 32, "in_features": 4},
                     PREPROCESSING, [0.5] * 3, "raw")  # fmt: skip
    save_model(tmp_path, build_model(**card.model).state_dict(), card)
    assert predict.main([str(tmp_path), str(photos)]) == 2
    assert (
        capsys.readouterr()
        .err.strip()
        .endswith("a classifier of stored features (model.backbone none) takes no images")
    )


def test_a_table_for_a_spreadsheet(best, photos, tmp_path, capsys):
    """--csv holds what --json does: the labels found and every label's score; a bad file has its error."""
    bad = tmp_path / "empty.jpg"
    bad.touch()
    table = tmp_path / "predictions.csv"
    words = [best, photos / "val0.jpg", bad, "--threshold", "0.5", "--csv", table]
    first, failed = documents(capsys, *words, status=1)
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["image", "labels", "error", *NAMES]
    assert [row["image"] for row in rows] == [str(photos / "val0.jpg"), str(bad)]
    assert rows[0]["labels"] == ";".join(label["name"] for label in first["labels"])
    for label in first["labels"]:
        assert float(rows[0][label["name"]]) == pytest.approx(label["score"], abs=1e-6)
    assert rows[1]["error"] == failed["error"] and not any(rows[1][name] for name in ("labels", *NAMES))


def test_a_label_that_a_spreadsheet_takes_for_a_formula_is_said(photos, tmp_path, capsys):
    model, table = save_untrained(tmp_path / "best", names=("=1+1", "b", "c")), tmp_path / "predictions.csv"
    assert predict.main([str(model), str(photos / "val0.jpg"), "--csv", str(table)]) == 0
    says = f"{table}: a spreadsheet takes '=1+1' for a formula: import its columns as text\n"
    assert says in capsys.readouterr().err and "=1+1" in table.read_text().splitlines()[0].split(",")


def test_probabilities_for_another_model(best, photos, tmp_path, capsys):
    """--probabilities holds every score of what could be read, and training's reader finds the images by it."""
    (tmp_path / "empty.jpg").touch()
    words = [best, photos / "val0.jpg", tmp_path / "empty.jpg", photos / "val1.jpg", "--top-k", "3"]
    rows = documents(capsys, *words, "--probabilities", tmp_path / "soft.npz", status=1)
    with np.load(tmp_path / "soft.npz", allow_pickle=False) as held:
        np.testing.assert_allclose(held["probabilities"], scores([rows[0], rows[2]]), atol=5e-4)
        assert held["labels"].tolist() == NAMES
    source = read_labels(tmp_path / "soft.npz", TableOptions())
    assert [(source.root / image).resolve() for image in source.images] == [photos / "val0.jpg", photos / "val1.jpg"]
    for wrong in ("soft.csv", "no/soft.npz"):
        assert predict.main([*map(str, words[:2]), "--probabilities", str(tmp_path / wrong)]) == 2


def test_flip_is_the_mean_of_an_image_and_its_mirror(best, tmp_path, capsys):
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    for name, image in (("a.png", pixels), ("b.png", pixels[:, ::-1])):
        Image.fromarray(image).save(tmp_path / name)
    words = [best, tmp_path / "a.png", tmp_path / "b.png", "--top-k", "3"]
    plain, flipped = scores(documents(capsys, *words)), scores(documents(capsys, *words, "--flip"))
    np.testing.assert_allclose(flipped, [np.mean(plain, axis=0)] * 2, atol=2e-6)
    assert np.abs(np.subtract(*plain)).max() > 1e-4
    assert predict.main([*map(str, words), "--flip", "--attention", str(tmp_path / "maps")]) == 2
