"""Files made to cost memory, time or more than they show: refused in one line and in seconds."""

import dataclasses
import io
import json
import os
import struct
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mlcfast.config import load_config
from mlcfast.data import ResizedCache, load_rgb
from mlcfast.data.dataset import ImageDataset
from mlcfast.data.records import LabelledImages
from mlcfast.data.transforms import EvalTransform
from mlcfast.documents import MOST_CHARACTERS, parse_json, parse_yaml
from mlcfast.engine import Process
from mlcfast.errors import LONGEST, RunError, UsageError
from mlcfast.files import sealed
from mlcfast.models.build import build_model
from mlcfast.models.card import ModelCard, save_model
from mlcfast.models.trained import load_trained
from mlcfast.training.run import run

SECONDS = 5.0  # of this process's own time, which other work on the machine does not lengthen


@pytest.fixture(autouse=True)
def in_seconds():
    began = time.process_time()
    yield
    assert time.process_time() - began < 4 * SECONDS  # several files a test, and what is built to damage


class Quick:
    """Within the block what is said must be said in SECONDS."""

    def __enter__(self):
        self.began = time.process_time()

    def __exit__(self, kind, error, trace):
        assert time.process_time() - self.began < SECONDS


@pytest.fixture
def records(tmp_path) -> LabelledImages:
    random = np.random.RandomState(0)
    paths = [str(tmp_path / f"{number}.png") for number in range(6)]
    for path in paths:
        Image.fromarray(random.randint(0, 256, (20, 20, 3)).astype(np.uint8)).save(path)
    return LabelledImages(paths, np.ones((6, 1), np.int8), ["a"], [str(number) for number in range(6)])


def flip(file: Path, place: int) -> None:
    with file.open("r+b") as opened:
        opened.seek(place)
        byte = opened.read(1)[0]
        opened.seek(place)
        opened.write(bytes([byte ^ 4]))


def test_a_flipped_bit_in_the_cache_of_resized_images_is_found_and_the_image_made_again(records, caplog):
    cache = ResizedCache.build(records, 16)
    data = ImageDataset(records, EvalTransform(16), 0, cache)
    before = data[4][0]
    flip(cache.path, 4 * 16 * 16 * 3 + 100)
    again = ResizedCache.build(records, 16)
    assert (again[3] == cache[3]).all()
    with pytest.raises(RunError, match=r"uint8: image 4 is damaged .* delete it"):
        again[4]
    assert (ImageDataset(records, EvalTransform(16), 0, again)[4][0] == before).all()
    assert str(cache.path) in caplog.text and records.paths[4] in caplog.text


def test_a_cache_without_its_checksums_is_made_again(records):
    cache = ResizedCache.build(records, 16)
    sums = cache.path.with_name(cache.path.name + ".crc32")
    sums.write_bytes(sums.read_bytes()[:-4])
    assert len(np.fromfile(ResizedCache.build(records, 16).path.with_name(sums.name), np.uint32)) == 6


def progressive(side: int, scans: int) -> bytes:
    """A progressive JPEG whose last scan is said again and again."""
    picture = io.BytesIO()
    noise = np.random.RandomState(0).randint(0, 256, (side, side)).astype(np.uint8)
    Image.fromarray(noise).resize((side, side)).save(picture, "JPEG", progressive=True, quality=20)
    content = picture.getvalue()
    last = content.rindex(b"\xff\xda")
    return content[:last] + content[last:-2] * scans + content[-2:]


def test_a_jpeg_of_very_many_scans_is_not_decoded(tmp_path):
    file = tmp_path / "scans.jpg"
    file.write_bytes(progressive(256, 1000))
    with Quick(), pytest.raises(RunError, match=r"scans\.jpg: a progressive JPEG of 1\d\d\d scans"):
        load_rgb(str(file))
    file.write_bytes(progressive(256, 3))
    assert load_rgb(str(file)).size == (256, 256)


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width: int, height: int, *chunks: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + b"".join(chunks) + chunk(b"IEND", b"")


IDAT = chunk(b"IDAT", zlib.compress(b"\0\0"))
MANY_ZEROS = b"k\0\0" + zlib.compress(bytes(2**27))
BOMBS = {
    "size.png": png(30_000, 30_000, chunk(b"IDAT", zlib.compress(bytes(2**20)))),
    "side.png": png(2**30, 1, chunk(b"IDAT", zlib.compress(b"\0"))),
    "text.png": png(1, 1, chunk(b"zTXt", MANY_ZEROS), IDAT),
    "profile.png": png(1, 1, chunk(b"iCCP", MANY_ZEROS), IDAT),
    "rows.png": png(8, 8, chunk(b"IDAT", zlib.compress(bytes(2**26)))),
    "script.eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n",
}  # fmt: skip


@pytest.mark.parametrize("name", BOMBS)
def test_image_bombs(tmp_path, name):
    file = tmp_path / name
    file.write_bytes(BOMBS[name])
    with Quick():
        try:
            assert load_rgb(str(file)).size in ((1, 1), (8, 8))
        except RunError as error:
            assert str(error).startswith(f"{file}: ") and len(str(error)) <= LONGEST and "\n" not in str(error)
        else:
            assert name in ("profile.png", "rows.png")  # what is too much of them is not unpacked


def test_of_a_png_with_very_many_frames_one_is_read(tmp_path):
    file, frames = tmp_path / "frames.png", 20_000
    control = chunk(b"acTL", struct.pack(">II", frames, 0))
    each = struct.pack(">IIIIIHHBB", 0, 4, 4, 0, 0, 1, 1, 0, 0)
    pixels = zlib.compress(bytes(20))
    further = b"".join(chunk(b"fcTL", each) + chunk(b"fdAT", bytes(4) + pixels) for _ in range(frames))
    file.write_bytes(png(4, 4, control, chunk(b"IDAT", pixels), further))
    with Quick():
        assert load_rgb(str(file)).size == (4, 4)


def test_a_yaml_that_unfolds_without_bound_is_refused(tmp_path, config_file):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 30)]
    for text, says in (
        ("\n".join(lines), "its aliases stand for more"),
        ("a: &a [*a]", "refers to what holds it"),
        ("[" * 100_000, "nested too deeply"),
        ("a: " + "9" * 10_000, "integer string"),
        ("? [a]\n: b", "unhashable"),
        ("x" * (MOST_CHARACTERS + 1), "at most"),
    ):
        with Quick(), pytest.raises(ValueError, match=says):
            parse_yaml(text)
        file = tmp_path / "bomb.yaml"
        file.write_text(text)
        with Quick(), pytest.raises(UsageError) as caught:
            load_config(file)
        assert str(caught.value).startswith(f"{file}: ") and len(str(caught.value)) <= LONGEST
    assert parse_yaml("a: &x [1, 2]\nb: *x") == {"a": [1, 2], "b": [1, 2]}
    with pytest.raises(ValueError, match="nested too deeply"):
        parse_json("[" * 200_000)


def card_of(folder: Path) -> ModelCard:
    """A tiny trained model in `folder`."""
    arguments = {"head": "linear", "backbone": "test_resnet", "num_labels": 2, "image_size": 32, "backbone_options": {}}
    sizes = {"image_size": 32, "mean": [0.5] * 3, "std": [0.5] * 3}
    card = ModelCard(["a", "b"], arguments, sizes, [0.5, 0.5], "raw")
    save_model(folder, build_model(**arguments).state_dict(), card)
    load_trained(folder)
    return dataclasses.replace(card, files={})


QUERY = {"head": "query2label", "embed_dim": 16, "num_heads": 2, "feedforward": 32}
ASKS = {
    "labels": {"num_labels": 10**9},
    "features": {"backbone": "none", "in_features": 10**9},
    "features as many as may be": {"backbone": "none", "in_features": 2**20},
    "side": {"image_size": 10**9},
    "fraction of a side": {"image_size": 31.5},
    "width": {**QUERY, "feedforward": 2**20, "embed_dim": 2**20},
    "layers": {**QUERY, "decoder_layers": 2**20},
    "layers of nothing": {**QUERY, "encoder_layers": 10**9},
    "backbone": {"backbone": "vit_base_patch16_224", "backbone_options": {"depth": 2**16}},
    "long lists": {"backbone": "vit_base_patch16_224", "backbone_options": {"depth": 2**20}},
    "download": {"weights": "pretrained"},
    "no backbone": {"backbone": ["test_resnet"]},
    "nonsense": {"backbone_options": {"layers": [[[-1]]]}},
    "endless": {"image_size": float("inf")},
}


@pytest.mark.parametrize("asked", ASKS)
def test_a_card_that_asks_for_more_than_its_weights_is_refused(tmp_path, asked):
    card = card_of(tmp_path)
    file = tmp_path / "model.json"
    file.write_text(sealed(dataclasses.asdict(dataclasses.replace(card, model=card.model | ASKS[asked]))))
    with Quick(), pytest.raises(UsageError) as caught:
        load_trained(tmp_path)
    assert str(tmp_path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "change",
    [{"labels": "ab"}, {"labels": [1, 2]}, {"thresholds": [0.5, None]}, {"thresholds": "ab"}, {"preprocessing": []},
     {"metrics": 3}, {"preprocessing": {"image_size": 32, "mean": [0], "std": [1, 1, 1]}}, {"files": []},
     {"preprocessing": {"image_size": 32, "mean": [0, 0, 0], "std": [0, 1, 1]}}],
    ids=str,
)  # fmt: skip
def test_a_card_with_entries_of_another_type_is_refused(tmp_path, change):
    card = card_of(tmp_path)
    (tmp_path / "model.json").write_text(json.dumps(dataclasses.asdict(card) | change))
    with Quick(), pytest.raises(UsageError, match=r"model\.json: not a model card: "):
        load_trained(tmp_path)


def test_file_names_that_are_not_utf8_do_not_cost_the_report(tmp_path, config_file):
    root = tmp_path / "named"
    random = np.random.RandomState(0)
    for label in ("one", "two"):
        (root / label).mkdir(parents=True)
        for number in range(12):
            name = os.fsencode(root / label) + b"/caf\xe9%d.png" % number
            with open(name, "wb") as file:
                Image.fromarray(random.randint(0, 256, (32, 32, 3)).astype(np.uint8)).save(file, "PNG")
    words = ["data.format=folders", f"data.root={tmp_path}", "data.train=named", "data.val=0.34", "train.epochs=1"]
    run(load_config(config_file, [*words, "data.bad_images=skip", "data.resized_cache=true"]), Process())
    directory = tmp_path / "runs" / "tiny"
    assert (directory / "report.html").stat().st_size > 1000
    assert b"caf\xe9" in (directory / "split.csv").read_bytes()
    run(load_config(config_file, [*words, "train.epochs=2"]), Process(), directory)
