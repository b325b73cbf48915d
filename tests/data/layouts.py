"""Miniature data sets as the field's tools lay them out: boxes in YOLO, VOC and CVAT, Parquet, Arrow and tar."""

import io
import json
import tarfile
import zlib
from pathlib import Path

import pyarrow
import pyarrow.parquet
from PIL import Image

from mlcfast.config import Config, DataConfig
from mlcfast.data.build import Samples, open_samples

BOX = "0.5 0.5 0.25 0.1"
VOC = "<annotation><filename>{}</filename>{}</annotation>"
OBJECT = "<object><name>{}</name><difficult>{}</difficult><bndbox><xmin>1</xmin></bndbox></object>"
CVAT = (
    '<?xml version="1.0" encoding="utf-8"?><annotations><version>1.1</version><meta><task><labels>'
    "<label><name>cat</name></label><label><name>dog</name></label><label><name>owl</name></label>"
    "</labels></task></meta>{}</annotations>"
)


def write(root: Path, **files: str) -> Path:
    """Text files by name, with / as two underscores and . as one; a name without a text is an empty image."""
    for name, text in files.items():
        file = root / name.replace("__", "/").replace("_", ".")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return root


def samples_of(data: DataConfig) -> Samples:
    """Both parts, as a run with these settings would open them."""
    return open_samples(Config(name="x", data=data, model={"backbone": "resnet18"}))


def colour_of(name: str) -> tuple[int, ...]:
    """A colour of its own for each name: files of the same content would be copies."""
    return tuple(zlib.crc32(name.encode()).to_bytes(4)[:3])


def touch(root: Path, *names: str) -> None:
    """Small images; those of one name below one folder are the same."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), colour_of(f"{Path(name).parts[0]} {Path(name).name}")).save(root / name)


def picture(colour: str = "red", name: str = "") -> bytes:
    image = Image.new("RGB", (8, 8), colour)
    if name:
        image.putpixel((0, 0), colour_of(name))
    held = io.BytesIO()
    image.save(held, "PNG")
    return held.getvalue()


def yolo_ultralytics(root: Path) -> None:
    touch(root, "images/train/a.jpg", "images/train/b.jpg", "images/val/c.jpg")
    write(root, data_yaml="path: .\ntrain: images/train\nval: images/val\nnames:\n  0: cat\n  1: dog\n")
    write(
        root,
        labels__train__a_txt=f"1 {BOX}\n0 {BOX}\n1 {BOX}\n",
        labels__train__b_txt="",
        labels__val__c_txt=f"1 {BOX}",
    )


def yolo_roboflow(root: Path) -> None:
    touch(root, "train/images/a.jpg", "train/images/b.jpg", "valid/images/c.jpg")
    write(root, data_yaml="train: ../train/images\nval: ../valid/images\nnc: 2\nnames: ['cat', 'dog']\n")
    write(root, train__labels__a_txt=f"0 {BOX}\n1 0.1 0.2 0.3 0.4 0.5 0.6\n", valid__labels__c_txt=f"1 {BOX}\n")


def yolo_plain(root: Path) -> None:
    touch(root, "images/train/a.jpg", "images/train/b.jpg", "images/val/c.jpg")
    write(root, classes_txt="cat\ndog\n", labels__train__a_txt=f"0 {BOX}\n1 {BOX}\n", labels__val__c_txt=f"1 {BOX}\n")


def voc_devkit(root: Path) -> None:
    touch(root, "JPEGImages/a.jpg", "JPEGImages/b.jpg", "JPEGImages/c.jpg")
    write(
        root,
        Annotations__a_xml=VOC.format("a.jpg", OBJECT.format("dog", 0) + OBJECT.format("cat", 1)),
        Annotations__b_xml=VOC.format("b.jpg", ""),
        Annotations__c_xml=VOC.format("wrong.jpg", OBJECT.format("dog", 0)),
        ImageSets__Main__train_txt="a\nb\n",
        ImageSets__Main__val_txt="c\n",
        ImageSets__Main__trainval_txt="a\nb\nc\n",
    )
    (root / "ImageSets" / "Main" / "cat_train.txt").write_text("a  1\nb -1\n")


def voc_roboflow(root: Path) -> None:
    touch(root, "train/a.jpg", "train/b.jpg", "valid/c.jpg")
    write(
        root,
        train__a_xml=VOC.format("a.jpg", OBJECT.format("dog", 0) + OBJECT.format("cat", 0)),
        train__b_xml=VOC.format("b.jpg", ""),
        valid__c_xml=VOC.format("c.jpg", OBJECT.format("dog", 0)),
    )


def cvat_subsets(root: Path) -> None:
    touch(root, "images/a.jpg", "images/b.jpg", "images/c.jpg")
    images = (
        '<image id="0" name="a.jpg" subset="train"><box label="dog" xtl="1"/><tag label="cat"/></image>'
        '<image id="1" name="b.jpg" subset="train"></image>'
        '<image id="2" name="c.jpg" subset="val"><polygon label="dog" points="1,2"/></image>'
    )
    write(root, annotations_xml=CVAT.format(images))


def table_of(names: list[str], labels: list[list[int]], colour: str = "red") -> pyarrow.Table:
    """An image column as Hugging Face writes it, and lists of classes with their names in the schema."""
    images = [{"bytes": picture(colour, name), "path": name} for name in names]
    kind = {"_type": "ClassLabel", "names": ["cat", "dog"]}
    info = {"info": {"features": {"image": {"_type": "Image"}, "labels": {"_type": "Sequence", "feature": kind}}}}
    table = pyarrow.table({"image": images, "labels": labels})
    return table.replace_schema_metadata({"huggingface": json.dumps(info)})


def parquet_shards(root: Path) -> None:
    (root / "data").mkdir(parents=True)
    pyarrow.parquet.write_table(table_of(["a.png"], [[0, 1]]), root / "data" / "train-00000-of-00002.parquet")
    pyarrow.parquet.write_table(table_of(["b.png"], [[]]), root / "data" / "train-00001-of-00002.parquet")
    pyarrow.parquet.write_table(table_of(["c.png"], [[1]]), root / "data" / "validation-00000-of-00001.parquet")


def saved_dict(root: Path) -> None:
    """What DatasetDict.save_to_disk writes, by its format: Arrow streams, state.json and dataset_info.json."""
    for split, table in (("train", table_of(["a.png", "b.png"], [[0, 1], []])), ("val", table_of(["c.png"], [[1]]))):
        folder = root / split
        folder.mkdir(parents=True)
        info = json.loads(table.schema.metadata[b"huggingface"])["info"]
        with pyarrow.ipc.new_stream(folder / "data-00000-of-00001.arrow", table.schema) as stream:
            stream.write_table(table)
        (folder / "dataset_info.json").write_text(json.dumps(info))
        state = {"_data_files": [{"filename": "data-00000-of-00001.arrow"}], "_split": split}
        (folder / "state.json").write_text(json.dumps(state))
    (root / "dataset_dict.json").write_text('{"splits": ["train", "val"]}')


def shard(file: Path, **members: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(file, "w") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name.replace("_", "."))
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def webdataset_json(root: Path) -> None:
    both, none = b'{"labels": ["cat", "dog"], "caption": "two"}', b'{"labels": []}'
    shard(root / "train-000000.tar", a_png=picture(name="a"), a_json=both, b_json=none, b_png=picture(name="b"))
    shard(root / "val-000000.tar", c_json=b'{"labels": ["dog"]}', c_png=picture(name="c"))


def webdataset_cls(root: Path) -> None:
    shard(root / "train-000000.tar", a_png=picture(name="a"), a_cls=b"0 1")
    shard(root / "train-000001.tar", b_png=picture(name="b"), b_cls=b"")
    shard(root / "val-000000.tar", c_png=picture(name="c"), c_cls=b"1")
    (root / "classes.txt").write_text("cat\ndog\n")


def labelme(root: Path) -> None:
    touch(root, "train/a.jpg", "train/b.jpg", "val/c.jpg")
    shapes = [{"label": "cat", "points": [[0, 0], [1, 1]]}, {"label": "cat", "points": []}]
    for name, content in {
        "train/a": {"imagePath": "a.jpg", "shapes": shapes, "flags": {"dog": True, "blurred": False}},
        "train/b": {"imagePath": "b.jpg", "shapes": [], "flags": {}},
        "val/c": {"imagePath": "c.jpg", "shapes": [{"label": "dog"}]},
    }.items():
        (root / f"{name}.json").write_text(json.dumps(content))


def datumaro(root: Path) -> None:
    touch(root, "images/train/a.jpg", "images/train/b.jpg", "images/val/c.jpg")
    names = {"label": {"labels": [{"name": "cat", "parent": ""}, {"name": "dog", "parent": ""}]}}
    kinds = ({"type": "label", "label_id": 0}, {"type": "bbox", "label_id": 1, "bbox": [0, 0, 1, 1]})
    (root / "annotations").mkdir()
    for split, labels in {"train": {"a": kinds, "b": ()}, "val": {"c": kinds[1:]}}.items():
        items = [
            {"id": name, "annotations": [*each], "image": {"path": f"{name}.jpg"}} for name, each in labels.items()
        ]
        content = {"info": {}, "categories": names, "items": items}
        (root / "annotations" / f"{split}.json").write_text(json.dumps(content))


def supervisely(root: Path) -> None:
    touch(root, "train/img/a.jpg", "train/img/b.jpg", "val/img/c.jpg")
    for name, tags, classes in (
        ("train/ann/a.jpg.json", [{"name": "cat", "value": None}], ["dog", "dog"]),
        ("train/ann/b.jpg.json", [], []),
        ("val/ann/c.jpg.json", [], ["dog"]),
    ):
        objects = [{"classTitle": label, "geometryType": "rectangle"} for label in classes]
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(json.dumps({"size": {"height": 8, "width": 8}, "tags": tags, "objects": objects}))
    (root / "meta.json").write_text(json.dumps({"classes": [{"title": "dog"}], "tags": [{"name": "cat"}]}))


# Each holds a (cat and dog) and b (nothing) for training, c (dog) for validation.
LAYOUTS = {
    "yolo of ultralytics": (yolo_ultralytics, "yolo"),
    "yolo of roboflow": (yolo_roboflow, "yolo"),
    "yolo with classes.txt": (yolo_plain, "yolo"),
    "voc": (voc_devkit, "voc"),
    "voc of roboflow": (voc_roboflow, "voc"),
    "cvat": (cvat_subsets, "cvat"),
    "labelme": (labelme, "labelme"),
    "datumaro": (datumaro, "datumaro"),
    "supervisely": (supervisely, "supervisely"),
    "parquet": (parquet_shards, "parquet"),
    "hugging face on disk": (saved_dict, "huggingface"),
    "webdataset with json": (webdataset_json, "webdataset"),
    "webdataset with cls": (webdataset_cls, "webdataset"),
}
