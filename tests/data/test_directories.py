"""Directories as tools leave them, in miniature: their labels are found where they stand, or it is said where."""

import json
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from PIL import Image

from mlcfast import inspect
from mlcfast.config import DataConfig
from mlcfast.data.readers.pictures import look_at
from mlcfast.data.readers.recognise import read_all
from mlcfast.data.readers.source import TableOptions
from mlcfast.errors import UsageError
from tests.data.layouts import BOX, picture, samples_of, shard, touch

P, N = 1, -1
NAMES, SWAPPED = "train: images\nval: images\nnames: [cat, dog]\n", "train: images\nval: images\nnames: [dog, cat]\n"
DARKNET = "classes = 2\ntrain = data/train.txt\nnames = data/obj.names\n"
XML = "<annotation><filename>a.jpg</filename>{}</annotation>"
DELETED = "<object><name>cat</name><deleted>1</deleted></object><object><name>dog</name><deleted>0</deleted></object>"


def coco(*files: str) -> str:
    images = [{"id": number, "file_name": file} for number, file in enumerate(files)]
    annotations = [{"image_id": number, "category_id": 1} for number in range(len(files))]
    return json.dumps({"images": images, "categories": [{"id": 1, "name": "cat"}], "annotations": annotations})


def lay(root: Path, files: dict[str, str]) -> None:
    """Files by their paths; one that ends as an image and has no text is an image."""
    for name, text in files.items():
        if not text and name.endswith((".jpg", ".png")):
            touch(root, name)
        else:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)


def labelme(image: str, label: str) -> str:
    return json.dumps({"imagePath": image, "shapes": [{"label": label}]})


# Name: files with their texts, format, labels, states of the images of each split.
READ = {
    "keras": (
        {f"{split}/{part}": text for split in ("train", "valid") for part, text in {
            f"{split}.jpg": "", "_annotations.txt": f"{split}.jpg 1,2,3,4,1\n", "_classes.txt": "cat\ndog\n"}.items()},
        "file_list", ["cat", "dog"], {"train": [[N, P]], "valid": [[N, P]]},
    ),
    "keras, mirrored": (
        {"train/a.jpg": "", "train/_annotations.txt": "a.jpg 9,2,3,4,0\n"}, "file_list", ["0"], {"train": [[P]]},
    ),
    "tables in the folders of splits": (
        {"train/a.jpg": "", "train/t.csv": "image,cat,dog\na.jpg,1,0\n", "valid/b.jpg": "",
         "valid/t.csv": "image,cat,dog\nvalid/b.jpg,0,1\n"},
        "wide", ["cat", "dog"], {"train": [[P, N]], "valid": [[N, P]]},
    ),
    "create ml in the folders of splits": (
        {f"{split}/{part}": text for split in ("train", "valid") for part, text in {
            f"{split}.jpg": "",
            "_annotations.createml.json": json.dumps(
                [{"image": f"{split}.jpg", "annotations": [{"label": "cat", "coordinates": {}}]}])}.items()},
        "metadata", ["cat"], {"train": [[P]], "valid": [[P]]},
    ),
    "a file of darwin for each image": (
        {f"train/{name}.{end}": text for name in "ab" for end, text in {"jpg": "", "json": json.dumps(
            {"item": {"name": f"{name}.jpg"}, "annotations": [{"name": "cat"}]})}.items()},
        "metadata", ["cat"], {"train": [[P], [P]]},
    ),
    "dataloop": (
        {"a.jpg": "", "b.jpg": "", "c.jpg": "",
         "a.json": json.dumps({"filename": "/a.jpg", "annotations": [{"label": "cat", "type": "box"}]}),
         "b.json": json.dumps({"filename": "/b.jpg", "datasetId": "x", "annotations": []}),
         "c.json": json.dumps({"filename": "/c.jpg", "datasetId": "x", "annotated": False, "annotations": []})},
        "metadata", ["cat"], {"": [[P], [N]]},
    ),
    "coco called as its splits": (
        {"train/a.jpg": "", "annotations/train.json": coco("a.jpg"), "val/b.jpg": "",
         "annotations/val.json": coco("b.jpg")},
        "coco", ["cat"], {"train": [[P]], "val": [[P]]},
    ),
    "names in the folders of splits": (
        {f"{split}/{part}": text for split in ("train", "valid") for part, text in {
            "0.jpg": "", "0.txt": "", f"{split}.jpg": "", f"{split}.txt": f"1 {BOX}\n",
            "_darknet.labels": "cat\ndog\n"}.items()},
        "yolo", ["cat", "dog"], {"train": [[N, N], [N, P]], "val": [[N, N], [N, P]]},
    ),
    "corners of boxes": (
        {"images/a.jpg": "", "labels/a.txt": "1 0.1 0.1 0.2 0.1 0.2 0.2 0.1 0.2\n", "classes.txt": "cat\ndog\n"},
        "yolo", ["cat", "dog"], {"": [[N, P]]},
    ),
    "settings of another machine": (
        {"images/a.jpg": "", "labels/a.txt": f"1 {BOX}\n", "data.yaml": NAMES.replace("images", "/home/me/set/images")},
        "yolo", ["cat", "dog"], {"train": [[N, P]], "val": [[N, P]]},
    ),
    "boxes as cvat exports them, without the images": (
        {"obj.data": DARKNET, "train.txt": "data/obj/a b.png\ndata/obj/c.png\n", "obj.names": "cat\ndog\n",
         "obj/a b.txt": f"1 {BOX}\n", "obj/c.txt": ""},
        "yolo", ["cat", "dog"], {"train": [[N, P], [N, N]]},
    ),
    "objects that were deleted": ({"a.jpg": "", "a.xml": XML.format(DELETED)}, "voc", ["dog"], {"": [[P]]}),
    "a list of voc with a line below": (
        {"JPEGImages/a.jpg": "", "JPEGImages/b.jpg": "", "Annotations/a.xml": XML.format(DELETED),
         "Annotations/b.xml": XML.format(""), "ImageSets/Main/my_list.txt": "a\n", "ImageSets/Main/dog_x.txt": "a 1\n"},
        "voc", ["dog"], {"my_list": [[P]]},
    ),
    "boxes beside images": (
        {"a.jpg": "", "a.txt": f"1 {BOX}\n", "b.jpg": "", "b.txt": "", "classes.txt": "cat\ndog\n"},
        "yolo", ["cat", "dog"], {"": [[N, P], [N, N]]},
    ),
    "files of voc that were copied": (
        {"a.jpg": "", "a.xml": XML.format(DELETED), "b.jpg": "", "b.xml": XML.format("")}, "voc", ["dog"],
        {"": [[P], [N]]},
    ),
    "files of labelme that were copied": (
        {"a.jpg": "", "a.json": labelme("a.jpg", "cat"), "b.jpg": "", "b.json": labelme("a.jpg", "dog")},
        "labelme", ["cat", "dog"], {"": [[P, N], [N, P]]},
    ),
    "images that labelme knew elsewhere": (
        {"a.jpg": "", "a.json": labelme("..\\old\\a.jpg", "cat")}, "labelme", ["cat"], {"": [[P]]},
    ),
    "tags as other programs write them": (
        {"a.jpg": "", "a.txt": "cat;dog", "b.jpg": "", "b.jpg.txt": "none", "c.jpg": "", "c.caption": "dog"},
        "tag_files", ["cat", "dog"], {"": [[P, P], [N, N], [N, P]]},
    ),
    "tags that are faces": (
        {"a.jpg": "", "a.txt": "1girl, long hair, ;d, !", "b.jpg": "", "b.txt": "!?\n1girl"},
        "tag_files", ["!", "!?", "1girl", ";d", "long hair"], {"": [[P, N, P, P, P], [N, P, P, N, N]]},
    ),
    "what programs leave beside folders": (
        {"cat/a.jpg": "", "dog/b.jpg": "", "results.json": '{"acc": 1}', "log.csv": "epoch,loss\n7,8\n",
         "runs/1/plot.png": "", "checkpoints/x.json": "{}", "more/notes.txt": "x"},
        "folders", ["cat", "dog"], {"": [[P, N], [N, P]]},
    ),
    "a Mac's copies beside splits": (
        {**{f"{split}/{label}/{split}{label}.jpg": "" for split in ("test", "train") for label in ("cat", "dog")},
         "__MACOSX/train/cat/._a.jpg": "x"},
        "folders", ["cat", "dog"], {"test": [[P, N], [N, P]], "train": [[P, N], [N, P]]},
    ),
    "a readme in a folder": (
        {"cat/a.jpg": "", "dog/b.jpg": "", "docs/README.txt": "x", "cat/note.txt": "x"}, "folders", ["cat", "dog"],
        {"": [[P, N], [N, P]]},
    ),
}  # fmt: skip

# Name: files with their texts, what the error says.
REFUSED = {
    "two files of names": (
        {"images/a.jpg": "", "labels/a.txt": f"0 {BOX}\n", "classes.txt": "dog\ncat\n", "data.yaml": NAMES},
        "data.yaml and classes.txt name the classes differently: keep the one that is right",
    ),
    "names among the labels": (
        {"images/a.jpg": "", "labels/a.txt": f"0 {BOX}\n", "classes.txt": "cat\n", "labels/classes.txt": "dog\ncat\n"},
        "classes.txt and labels/classes.txt name the classes differently",
    ),
    "two settings": (
        {"images/a.jpg": "", "labels/a.txt": f"0 {BOX}\n", "dataset.yaml": SWAPPED, "data.yaml": NAMES},
        "holds data.yaml and dataset.yaml: name one of them",
    ),
    "boxes of other images": (
        {"images/a.jpg": "", "labels/x.txt": f"0 {BOX}\n", "labels/y.txt": f"0 {BOX}\n", "data.yaml": NAMES},
        "labels/x.txt: no image is called so, nor as any other of the 2 files of boxes",
    ),
    "neither images nor boxes": (
        {"obj.data": DARKNET, "train.txt": "data/obj/a.png\n", "obj.names": "cat\ndog\n", "obj/b.txt": f"1 {BOX}\n"},
        "neither the 1 images that are listed, first data/obj/a.png, nor files of boxes for them are there",
    ),
    "a confidence": (
        {"images/a.jpg": "", "labels/a.txt": f"0 {BOX} 0.87\n"},
        "labels/a.txt: line 1: a sixth number, 0.87, is a model's confidence",
    ),
    "names with a gap": (
        {"images/a.jpg": "", "data.yaml": "train: images\nnames: {0: cat, 2: dog}\n"},
        "names must be numbered 0 to 1: there is no 1",
    ),
    "labels that are no boxes": (
        {"images/a.jpg": "", "labels/a.txt": "cat 0.5 0.5 0.2 0.2\n"},
        "labels/a.txt is not as YOLO's are, a class number and a box a line for an image in `images`: write",
    ),
    "folds": (
        {f"fold{fold}/{label}/{fold}.jpg": "" for fold in (1, 2) for label in ("cat", "dog")},
        "fold1/cat and fold2/cat are called alike, so the labels may be 'fold1' or 'cat'",
    ),
    "captions alone": (
        {"train2017/a.jpg": "", "annotations/captions_train2017.json": "{}"},
        "annotations/captions_train2017.json may hold the labels: name it, or its folder, or set data.format",
    ),
    "tags in a folder of their own": (
        {f"{folder}/{name}.{ending}": held for name in "ab" for folder, ending, held in
         (("images", "jpg", ""), ("tags", "txt", "cat"))},
        "tags/a.txt may hold the labels: put it and the others beside their images, where they are read as tags",
    ),
    "kitti": ({"image_2/a.png": "", "label_2/a.txt": "Car 0.00 0 -1.57\n"}, "label_2/a.txt is KITTI's: write a table"),
    "datumaro": (
        {"images/train/a.jpg": "", "annotations/train.json": '{"items": [], "categories": {}}'},
        "annotations/train.json: not Datumaro's: needs items, and names of labels under categories.label.labels",
    ),
    "files of voc that are exchanged": (
        {"a.jpg": "", "a.xml": XML.format("").replace("a.jpg", "b.jpg"), "b.jpg": "", "b.xml": XML.format("")},
        "a.xml: names the image 'b.jpg', but there is one called 'a' too: write that in it",
    ),
    "labelme apart": (
        {"images/a.jpg": "", "json/a.json": labelme("../images/a.jpg", "cat")},
        "json/a.json may hold the labels: set data.format to labelme, or",
    ),
    "labelme in a folder called as another tool's": (
        {"images/a.jpg": "", "ann/a.json": labelme("../images/a.jpg", "cat")},
        "ann/a.json may hold the labels: set data.format to labelme, or",
    ),
    **{
        f"tags: {text}": ({"a.jpg": "", "a.txt": text, "b.jpg": "", "b.txt": other}, f"a.txt: {says}")
        for text, other, says in (
            ("cat dog", "cat", "'cat dog' may be one label or 2: set data.separator to ' '"),
            ("cat;dog, owl", "dog", "'cat;dog' may be one label or 2: write a comma between several"),
            ("cat/dog", "dog", "'cat/dog' may be one label or 2: set data.separator to '/' for several"),
            ("hot dog", "hot, dog", "'hot dog' may be one label or 2: write ',' between several"),
            ("cat?", "cat", "'cat?' may be a label or an uncertain 'cat'"),
            ("0 1 0", "1 0 0", "'0 1 0' may be classes or a flag for each label: write the names"),
            ('["cat", "dog"]', "dog", "'[\"cat\", \"dog\"]' is a list in brackets: write the tags alone"),
            ("cat, none", "dog", "'none' means no label, but 'cat' stands beside it: keep one"),
        )
    },
    "a text beside one image of folders": (
        {"cat/a.jpg": "", "cat/a.txt": "x", "dog/b.jpg": "", "dog/c.jpg": ""},
        "may be read as folders, each a label, or as tag_files, by cat/a.txt: set data.format to",
    ),
    "keras with a box of four": (
        {"train/a.jpg": "", "train/_annotations.txt": "a.jpg 1,2,3,4,0 1,2,3,4,1\na.jpg 1,2,3,4 1,2,3,4\n"},
        "line 2: not `image left,top,right,bottom,class …`, as line 1 has it",
    ),
    "keras beside a table": (
        {"train/a.jpg": "", "train/_annotations.txt": "a.jpg 1,2,3,4,0\n",
         "train/_classes.csv": "filename,cat\na.jpg,1\n"},
        "train: holds _classes.csv and _annotations.txt: name one of them",
    ),
    "an archive alone": ({"set.zip": ""}, "set.zip: an archive: unpack it"),
    "photographs of a phone": (
        {"cat/a.heic": "", "dog/b.HEIC": ""},
        "2 files are of kinds that are not read (.heic), first cat/a.heic: save those that are",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", READ)
def test_labels_are_found_where_they_stand(tmp_path, name):
    files, form, labels, states = READ[name]
    lay(tmp_path, files)
    sources = read_all(tmp_path, TableOptions())
    assert {(source.format, *source.names) for source in sources} == {(form, *labels)}
    assert {source.split: source.states.tolist() for source in sources} == states


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_label_is_not_taken_for_one(tmp_path, name):
    files, says = REFUSED[name]
    lay(tmp_path, files)
    with pytest.raises(UsageError) as caught:
        read_all(tmp_path, TableOptions())
    assert says in str(caught.value) and "\n" not in str(caught.value)


def test_splits_are_named_by_any_of_their_words(tmp_path):
    lay(tmp_path, READ["tables in the folders of splits"][0])
    settings = DataConfig(format="auto", root=str(tmp_path), train="train", val="val", workers=0)
    assert samples_of(settings).validation.labels.tolist() == [[0, 1]]
    lay(tmp_path / "coco", READ["coco called as its splits"][0])
    settings = DataConfig(format="coco", root=str(tmp_path / "coco"), train="train", val="val", workers=0)
    assert samples_of(settings).train.labels.tolist() == [[1]]


def test_names_tell_boxes_from_classes(tmp_path):
    lay(tmp_path, {"train.txt": "a.jpg 124,99,151,152,1\n", "classes.txt": "cat\ndog\n"})
    assert read_all(tmp_path / "train.txt", TableOptions())[0].states.tolist() == [[N, P]]


def test_settings_that_are_named_decide(tmp_path):
    lay(tmp_path, REFUSED["two files of names"][0])
    assert read_all(tmp_path / "data.yaml", TableOptions())[0].states.tolist() == [[P, N]]


@pytest.mark.parametrize(
    ("members", "says"),
    [({"a_png": picture(), "a_txt": b"a cat"}, "no sample has a .json or .cls"),
     ({"a_png": picture(), "a_json": b'{"caption": "a cat", "key": "0", "status": "success", '
       b'"error_message": null, "exif": "{}"}'},
      "img2dataset's captions, which are no labels"),
     ({"a_png": picture(), "a_json": b'{"facts": [], "size": 8}'}, "the header has no label column"),
     ({"a_png": picture(), "a_json": b'{"tags": ["cat"], "score": 0.3}'}, "a.png: score 0.3 makes it a prediction")],
)  # fmt: skip
def test_captions_and_scores_in_shards(tmp_path, members, says):
    shard(tmp_path / "s.tar", **members)
    with pytest.raises(UsageError, match=says):
        read_all(tmp_path, TableOptions())


def test_images_that_are_not_what_they_seem(tmp_path, capsys):
    frames = [Image.new("RGB", (9, 9), colour) for colour in ("red", "lime")]
    lay(tmp_path, {"cat/a.jpg": "", "dog/text.png": "no image", "dog/plan.svg": "<svg/>", "todo/b.jpg": ""})
    frames[0].save(tmp_path / "cat" / "two.gif", save_all=True, append_images=frames[1:])
    (tmp_path / "dog" / "really.jpg").write_bytes(picture())
    assert inspect.main([str(tmp_path), "--json"]) == 0
    about = json.loads(capsys.readouterr().out)
    assert about["formats"] == {"JPEG": 2, "GIF": 1, "PNG": 1} and about["sizes"] == [[8, 8], [9, 9]]
    said = "\n".join(about["warnings"])
    for part in ("1 files are of kinds that are not read (.svg), first dog/plan.svg", "text.png: not an image",
                 "1 of 5 images are of another format than their ending says", "1 of 5 images hold several pictures",
                 "the folder 'todo' is a label like any other"):  # fmt: skip
        assert part in said
    assert look_at([])["sizes"] == []


@pytest.mark.parametrize("file", ["a.xml", "a.json"])
def test_images_without_a_file_of_their_own_are_counted(tmp_path, file):
    shapes = {"imagePath": "a.jpg", "flags": {"cat": True}, "shapes": []}
    text = XML.format(DELETED) if file == "a.xml" else json.dumps(shapes)
    lay(tmp_path, {"a.jpg": "", "b.jpg": "", "c.jpg": "", file: text})
    (source,) = read_all(tmp_path, TableOptions())
    assert source.images == ["a.jpg"] and len(source.warnings) == 1
    assert source.warnings[0].endswith("have no annotation file, first b.jpg: they are left out")


def test_what_is_left_aside_and_labels_that_look_alike_over_splits_are_said(tmp_path):
    lay(
        tmp_path,
        {"train/dog/a.jpg": "", "val/Dog/b.jpg": "", "val/owl/c.jpg": "", "runs/1/p.png": "", "x.json": '{"acc": 1}'},
    )
    said = read_all(tmp_path, TableOptions())[0].warnings
    for part in (
        "'runs' is taken for a program's",
        "x.json names no image: it is not read",
        "'dog' and 'Dog' look alike",
    ):
        assert any(part in line for line in said)


def test_folders_that_are_empty_or_links(tmp_path):
    lay(tmp_path / "set", {"cat/a.jpg": "", "dog/b.jpg": ""})
    (tmp_path / "set" / "owl").mkdir()
    (source,) = read_all(tmp_path / "set", TableOptions())
    assert source.warnings == ["the folder 'owl' holds no images: it is no label (1 in all)"]
    lay(tmp_path, {"elsewhere/c.jpg": ""})
    (tmp_path / "set" / "fox").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="fox: a link to a folder, which is not followed"):
        read_all(tmp_path / "set", TableOptions())


def test_sentences_beside_images_and_scores_in_a_column(tmp_path):
    lay(tmp_path, {"a.jpg": "", "a.txt": "a photo of a cat, sitting"})
    assert "'a photo of a cat' may be a caption's words" in read_all(tmp_path, TableOptions())[0].warnings[0]
    table = pyarrow.table({"file_name": ["a.jpg"], "labels": [["cat"]], "confidence": [0.3]})
    pyarrow.parquet.write_table(table, tmp_path / "t.parquet")
    with pytest.raises(UsageError, match=r"row 1: confidence 0.3 makes it a prediction"):
        read_all(tmp_path / "t.parquet", TableOptions())
    assert read_all(tmp_path / "t.parquet", TableOptions(ignore_columns=("confidence",)))[0].names == ["cat"]
    lay(tmp_path, {"m.jsonl": '{"file_name": "a.jpg", "labels": [0, 2]}\n', "classes.txt": "cat\ndog\nowl\n"})
    assert "3 names beside m.jsonl are not read" in read_all(tmp_path / "m.jsonl", TableOptions())[0].warnings[0]


def test_a_column_of_splits_is_not_passed_over_where_there_are_splits(tmp_path, capsys):
    lay(tmp_path, READ["names in the folders of splits"][0])
    assert inspect.main([str(tmp_path), "--split-column", "part"]) == 2
    assert "data.split_column: a file of this kind (yolo) has no column 'part'" in capsys.readouterr().err
