"""Files as users have them, how each is read, and changes of their bytes and of what they say."""

import dataclasses
import io
import json
import random
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import yaml
from PIL import Image

from mlcfast.config import load_config
from mlcfast.data import load_rgb, read_coco, read_csv, read_features
from mlcfast.data.readers.source import TableOptions
from mlcfast.models.build import build_model
from mlcfast.models.card import ModelCard, save_model
from mlcfast.models.trained import load_trained
from mlcfast.models.weights import read_state_dict
from tests.data.layouts import LAYOUTS, touch, write

NUMBERS = (b"-1", b"0", b"1e999", b"NaN", b"99999999999999999999", b"9" * 5000, b"2.5", b"null", b"true", b'""', b"1_0")
VALUES = (None, True, -1, 0.5, 10**30, float("nan"), "", "x" * 3000, "a\nb", [], [[]], {}, {"id": 1}, [None], "\ud800")


@dataclasses.dataclass(frozen=True)
class Kind:
    """A kind of input: `make` lays it out in a folder and returns the files to change; `use` reads what is there."""

    make: Callable[[Path], list[Path]]
    use: Callable[[Path], object]


def changed(content: bytes, name: str, draw: random.Random) -> bytes:
    """One or several changes of a file's content."""
    if name.endswith(".json") and draw.random() < 0.6:
        return _changed_json(content, draw)
    for _ in range(draw.choice((1, 1, 2, 5))):
        content = draw.choice(CHANGES)(bytearray(content or b"\0"), draw)
    return content


def _place(content: bytes, draw: random.Random) -> int:
    """Anywhere, and as often near the beginning, where headers are."""
    return draw.randrange(min(len(content), draw.choice((64, len(content)))))


def _flip(content: bytearray, draw: random.Random) -> bytes:
    content[_place(content, draw)] ^= 1 << draw.randrange(8)
    return bytes(content)


def _cut(content: bytearray, draw: random.Random) -> bytes:
    start = _place(content, draw)
    del content[start : start + draw.choice((1, 8, 64, len(content)))]
    return bytes(content)


def _repeat(content: bytearray, draw: random.Random) -> bytes:
    start = _place(content, draw)
    content[start:start] = content[start : start + draw.choice((1, 16, 200))] * draw.choice((1, 2, 50))
    return bytes(content)


def _insert(content: bytearray, draw: random.Random) -> bytes:
    start = _place(content, draw)
    odd = (b"\0", b"\xff\xfe", b"\n", b'"', b",", b"<", b"&", b"{", b"[" * 3000, b"x" * 200_000, b"\xe9", b"..", b": ")
    content[start:start] = draw.choice((*odd, draw.randbytes(9)))
    return bytes(content)


def _renumber(content: bytearray, draw: random.Random) -> bytes:
    found = list(re.finditer(rb"\d+", content))
    if found:
        place = draw.choice(found)
        content[place.start() : place.end()] = draw.choice(NUMBERS)
    return bytes(content)


def _reword(content: bytearray, draw: random.Random) -> bytes:
    found = list(re.finditer(rb"\w+", content))
    if found:
        place = draw.choice(found)
        content[place.start() : place.end()] = draw.choice((*(word[0] for word in found), b"", b"../../x", b"w" * 5000))
    return bytes(content)


CHANGES = (_flip, _flip, _cut, _repeat, _insert, _renumber, _reword)


def _changed_json(content: bytes, draw: random.Random) -> bytes:
    document = json.loads(content)
    holders = [each for each in _parts(document) if each]
    if not holders:
        return b"[]"
    holder = draw.choice(holders)
    key = draw.choice(list(holder) if isinstance(holder, dict) else range(len(holder)))
    if draw.random() < 0.25:
        del holder[key]
    else:
        holder[key] = draw.choice((*VALUES, *holders))
    try:
        return json.dumps(document).encode("utf-8", "surrogatepass")
    except ValueError:  # it holds itself now
        return b"{}"


def _parts(value: object) -> list:
    """The lists and mappings of a document."""
    if not isinstance(value, dict | list):
        return []
    inner = value.values() if isinstance(value, dict) else value
    return [value, *(part for each in inner for part in _parts(each))]


def _coco(root: Path) -> list[Path]:
    touch(root, "train/a.jpg", "train/b.jpg")
    document = {
        "images": [{"id": 1, "file_name": "a.jpg", "height": 8, "width": 8}, {"id": 2, "file_name": "b.jpg"}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 3}, {"id": 2, "image_id": 2, "category_id": 5}],
        "categories": [{"id": 3, "name": "cat", "supercategory": "animal"}, {"id": 5, "name": "dog"}],
    }
    (root / "annotations").mkdir()
    (root / "annotations" / "instances_train.json").write_text(json.dumps(document))
    return [root / "annotations" / "instances_train.json"]


TABLES = {
    "wide.csv": "image,cat,dog\na.jpg,1,0\nb.jpg,0,1\n", "blank.csv": "image;cat;dog\na.jpg;1;\nb.jpg;-1;1\n",
    "list.csv": 'image,labels\na.jpg,"cat,dog"\nb.jpg,dog\n',
    "json.csv": "image,labels\na.jpg,\"['cat', 'dog']\"\nb.jpg,[]\n",
    "long.csv": "image,label\na.jpg,cat\na.jpg,dog\nb.jpg,cat\n", "files.txt": "a.jpg 0,1\nb.jpg 1\n",
    "list_attr.txt": "2\ncat dog\na.jpg 1 -1\nb.jpg -1 1\n",
    "metadata.jsonl": '{"file_name": "a.jpg", "labels": ["cat"]}\n{"file_name": "b.jpg", "labels": ["cat", "dog"]}\n',
    "studio.json": '[{"data": {"image": "a.jpg"}, "annotations": [{"result": [{"value": {"choices": ["cat"]}}]}]}, '
    '{"data": {"image": "b.jpg"}, "annotations": [{"result": []}]}]',
}  # fmt: skip


def _table(name: str) -> Kind:
    def make(root: Path) -> list[Path]:
        touch(root, "a.jpg", "b.jpg")
        (root / name).write_text(TABLES[name])
        return [root / name]

    return Kind(make, lambda root: read_csv(root, name))


def _layout(name: str) -> Kind:
    make, form = LAYOUTS[name]

    def lay_out(root: Path) -> list[Path]:
        make(root)
        return sorted(file for file in root.rglob("*") if file.suffix in (".txt", ".yaml", ".xml", ".json", ".tar"))

    return Kind(lay_out, lambda root: read_csv(root, "train", options=TableOptions(form=form)))


def _features(root: Path) -> list[Path]:
    write(
        root,
        train__labels_csv="image,cat,dog\na.jpg,1,0\nb.jpg,0,1\n",
        train__features_json='{"names": ["cat", "dog"]}',
    )
    np.save(root / "train" / "features.npy", np.ones((2, 4), np.float32))
    np.save(root / "val_features.npy", np.ones((2, 4), np.float16))
    np.save(root / "val_labels.npy", np.array([[1, 0], [0, 1]], np.int8))
    return sorted(file for file in root.rglob("*") if file.is_file())


def _use_features(root: Path) -> None:
    for split in ("train", "val"):
        read_features(root, split)


def _configuration(root: Path) -> list[Path]:
    values = {
        "name": "x", "data": {"format": "csv", "root": str(root), "val": 0.2, "mean": [0.5, 0.5, 0.5]},
        "model": {"backbone": "resnet18", "backbone_options": {"drop_rate": 0.1}},
        "loss": {"name": "asymmetric", "gamma_negative": 4.0}, "optim": {"lr": 1e-3, "options": {"betas": [0.9, 0.99]}},
        "sweep": {"grid": {"optim.lr": [1e-3, 1e-4]}, "variants": {"a": {"seed": 1}}},
    }  # fmt: skip
    (root / "x.yaml").write_text(yaml.safe_dump(values))
    return [root / "x.yaml"]


def _card(root: Path) -> list[Path]:
    arguments = {"head": "linear", "backbone": "test_resnet", "num_labels": 2, "image_size": 32, "backbone_options": {}}
    sizes = {"image_size": 32, "mean": [0.5] * 3, "std": [0.5] * 3}
    card = ModelCard(["a", "b"], arguments, sizes, [0.5, 0.5], "raw", {"mAP": 50.0}, {"name": "x"}, 3)
    save_model(root, build_model(**arguments).state_dict(), card)
    (root / "model.json").write_text(json.dumps(dataclasses.asdict(card)))  # without digests, which would find all
    return [root / "model.json", root / "model.json", root / "model.safetensors"]


def _weights(root: Path) -> list[Path]:
    torch.save({"state_dict": {"a": torch.ones(3), "b": torch.ones(2, 2)}, "epoch": 3}, root / "w.pth")
    return [root / "w.pth"]


PICTURES = {
    "x.jpg": {}, "p.jpg": {"progressive": True}, "x.png": {}, "x.webp": {}, "x.gif": {},
    "x.tif": {"compression": "tiff_lzw"},
    "x.bmp": {}, "x.jp2": {}, "x.ico": {}, "x.tga": {}, "x.pcx": {}, "x.ppm": {},
}  # fmt: skip


def _pictures(root: Path) -> list[Path]:
    noise = Image.fromarray(np.random.RandomState(0).randint(0, 256, (24, 24, 3)).astype(np.uint8))
    for name, options in PICTURES.items():
        content = io.BytesIO()
        noise.save(content, Image.registered_extensions()[Path(name).suffix], **options)
        (root / name).write_bytes(content.getvalue())
    return sorted(root.iterdir())


def _use_pictures(root: Path) -> None:
    for file in sorted(root.iterdir()):
        load_rgb(str(file))


# Parquet and Arrow are left out: pyarrow ends the process on some damaged files (docs/reliability.md).
KINDS: dict[str, Kind] = {
    "coco": Kind(_coco, lambda root: read_coco(root, "train")),
    **{name: _table(name) for name in TABLES},
    **{name: _layout(name) for name, (_, form) in LAYOUTS.items() if form not in ("parquet", "huggingface")},
    "features": Kind(_features, _use_features),
    "configuration": Kind(_configuration, lambda root: load_config(root / "x.yaml")),
    "card": Kind(_card, load_trained),
    "weights": Kind(_weights, lambda root: read_state_dict(root / "w.pth")),
    "pictures": Kind(_pictures, _use_pictures),
}
