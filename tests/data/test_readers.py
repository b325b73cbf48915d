"""Label files as the field's sets and tools write them, in miniature; and files that could be read in two ways."""

import json
from pathlib import Path

import pytest

from mlcfast import inspect
from mlcfast.data.readers.paths import ImageFinder
from mlcfast.data.readers.recognise import read_labels
from mlcfast.data.readers.source import TableOptions
from mlcfast.errors import UsageError

P, N, U = 1, -1, 0

# name: file name, content, labels, states of the images in order
SHAPES = {
    "chexpert": (
        "train.csv",
        "Path,Sex,Age,Frontal/Lateral,AP/PA,No Finding,Edema,Pneumonia\n"
        "p1/a.jpg,Female,68,Frontal,AP,1.0,,0.0\np2/b.jpg,Male,87,Lateral,,,-1.0,1.0\n",
        ["No Finding", "Edema", "Pneumonia"], [[P, U, N], [U, U, P]],
    ),
    "chestxray14": (
        "d.csv", "Image Index,Finding Labels,Follow-up #\na.png,Mass|Nodule,0\nb.png,No Finding,1\nc.png,Mass,2\n",
        ["Mass", "Nodule"], [[P, P], [N, N], [P, N]],
    ),
    "planet": (
        "t.csv", "image_name,tags\ntrain_0,haze primary\ntrain_1,clear primary road\n",
        ["clear", "haze", "primary", "road"], [[N, P, P, N], [P, N, P, P]],
    ),
    "protein atlas": ("t.csv", "Id,Target\na1,16 0\nb2,7\n", ["0", "7", "16"], [[P, N, P], [N, P, N]]),
    "open images": (
        "v.csv", "ImageID,Source,LabelName,Confidence\na,verification,/m/0cat,1\na,verification,/m/0dog,0\nb,x,/m/0dog,1\n",
        ["/m/0cat", "/m/0dog"], [[P, N], [U, P]],
    ),
    "long without confidence": ("l.csv", "image,label\na.jpg,cat\na.jpg,dog\nb.jpg,dog\n", ["cat", "dog"], [[P, P], [N, P]]),
    "celeba": ("list_attr_celeba.txt", "2\nBald Smiling\na.jpg -1  1\nb.jpg  1 -1\n", ["Bald", "Smiling"], [[N, P], [P, N]]),
    "roboflow": ("_classes.csv", "filename, cat, dog\na.jpg, 1, 0\nb.jpg, 0, 1\n", ["cat", "dog"], [[P, N], [N, P]]),
    "mmpretrain": ("list.txt", "a.jpg 0 3\nb.jpg 1\n", ["0", "1", "2", "3"], [[P, N, N, P], [N, P, N, N]]),
    "flags": ("list.txt", "a.jpg,1 0 0 1\nb.jpg,0 1 0 0\n", ["0", "1", "2", "3"], [[P, N, N, P], [N, P, N, N]]),
    "tags with commas": ("t.csv", 'image,tags\na.jpg,"cat, dog"\nb.jpg,cat\n', ["cat", "dog"], [[P, P], [P, N]]),
    "json list": ("t.csv", 'image,labels\na.jpg,"[""cat"", ""dog""]"\nb.jpg,[]\n', ["cat", "dog"], [[P, P], [N, N]]),
    "python list": ("t.csv", "image,labels\na.jpg,\"['cat', 'dog']\"\nb.jpg,['dog']\n", ["cat", "dog"], [[P, P], [N, P]]),
    "pandas index": ("t.csv", ",image,cat\n0,a.jpg,1\n1,b.jpg,0\n", ["cat"], [[P], [N]]),
    "unnamed index": ("t.csv", "Unnamed: 0,image,cat\n5,a.jpg,1\n6,b.jpg,0\n", ["cat"], [[P], [N]]),
    "words": ("t.csv", "image,cat,dog\na.jpg,TRUE,no\nb.jpg,False,YES\n", ["cat", "dog"], [[P, N], [N, P]]),
    "crosses": ("t.csv", "image,cat,dog\na.jpg,x,\nb.jpg,,X\n", ["cat", "dog"], [[P, N], [N, P]]),
    "fractions": ("t.csv", "image,cat\na.jpg,1.0\nb.jpg,0.0\n", ["cat"], [[P], [N]]),
    "semicolons": ("t.csv", "image;cat;dog\na.jpg;1;0\nb.jpg;0;1\n", ["cat", "dog"], [[P, N], [N, P]]),
    "tabs": ("t.tsv", "image\tcat\na.jpg\t1\nb.jpg\t0\n", ["cat"], [[P], [N]]),
    "notes and blank ends": (
        "t.csv", "id,image,cat,notes,\n7,a.jpg,1,blurred,\n9,b.jpg,0,,\n,,,,\n,,,,\n", ["cat"], [[P], [N]],
    ),
    "capital and more columns": (
        "t.csv", "Image,Labels,Author\na.jpg,flower;circle,Ann\nb.jpg,circle,Bo\n", ["circle", "flower"], [[P, P], [P, N]],
    ),
    "a split column": ("t.csv", "image,split,cat\na.jpg,train,1\nb.jpg,val,0\n", ["cat"], [[P], [N]]),
    "our own partial labels": ("t.csv", "image,cat,dog\na.jpg,1,0\nb.jpg,-1,1\n", ["cat", "dog"], [[P, U], [N, P]]),
    "blank beside zero": ("t.csv", "image,cat,dog\na.jpg,1,\nb.jpg,0,1\n", ["cat", "dog"], [[P, U], [N, P]]),
    "label studio": (
        "tasks.json",
        json.dumps([
            {"data": {"image": "/data/upload/1/a.jpg"}, "annotations": [{"result": [{"value": {"choices": ["cat", "dog"]}}]}]},
            {"image": "b.jpg", "choice": "cat"},
        ]),
        ["cat", "dog"], [[P, P], [P, N]],
    ),
    "metadata": (
        "metadata.jsonl", '{"file_name": "a.jpg", "labels": ["cat"]}\n{"file_name": "b.jpg", "labels": []}\n', ["cat"], [[P], [N]],
    ),
    "coco of other tools": (
        "c.json",
        json.dumps({
            "images": [{"id": "a", "file_name": "a.jpg"}, {"id": "b", "file_name": "b.jpg"}],
            "categories": [
                {"id": 0, "name": "animals", "supercategory": "none"}, {"id": 1, "name": "cat", "supercategory": "animals"},
                {"id": 2, "name": "dog", "supercategory": "animals"}, {"id": 3, "name": "cat", "supercategory": "animals"},
            ],
            "annotations": [{"image_id": "a", "category_id": "3"}, {"image_id": "b", "category_id": 2}],
        }),
        ["cat", "dog"], [[P, N], [N, P]],
    ),
}  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES)
def test_labels_of_every_shape(tmp_path, shape):
    name, content, labels, states = SHAPES[shape]
    (tmp_path / name).write_text(content, encoding="utf-8")
    source = read_labels(tmp_path / name, TableOptions())
    assert source.names == labels
    assert source.states.tolist() == states
    assert len(source.images) == len(source.lines) == len(states)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_encodings(tmp_path, encoding):
    (tmp_path / "t.csv").write_bytes("image;Löwe\r\na.jpg;1\r\nb.jpg;0\r\n".encode(encoding))
    source = read_labels(tmp_path / "t.csv", TableOptions())
    assert source.names == ["Löwe"] and source.states.tolist() == [[P], [N]]
    assert any("Windows-1252" in line for line in source.assumptions) == (encoding == "cp1252")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (
            "image,cat,dog\na.jpg,1,0\nb.jpg,maybe,1\nc.jpg,1,1\n",
            "line 3, column 'cat': 'maybe' must be 1, 0, -1 or blank",
        ),
        ("image,labels\na.jpg,cat;dog|bird\n", "'labels' holds '|' and ';': name one with data.separator"),
        ("image,labels\na.jpg,traffic light\nb.jpg,fire hydrant\n", "'traffic light' may be one label or 2"),
        ("image,labels,tags\na.jpg,cat,dog\n", "'labels' and 'tags' may both list the labels"),
        ("image,mask,cat\na.jpg,b.png,1\n", "'image' and 'mask' both hold image files"),
        ("image,label,confidence\na.jpg,cat,0.7\n", "line 2, column 'confidence': '0.7' must be 1 or 0"),
        ("image,labels\na.jpg,1 0 0\nb.jpg,0 1 0\n", "'1 0 0' may be classes or a flag for each"),
        ('image,labels\na.jpg,"[1, 0]"\nb.jpg,"[0, 1]"\n', "'[1, 0]' may be classes or a flag for each"),
        ("image,cat,fold\na.jpg,1,0\nb.jpg,0,1\n", "'fold' may be a label or say something of the image"),
        ("image,label,confidence\na,cat,1\na,cat,0\n", "line 3: 'a' has 'cat' both as 1 and as 0"),
        ("a.jpg 0 1\nb.jpg 1 0\n", "line 1: 0 and 1 may be classes or a flag for each class"),
    ],
)
def test_what_could_be_read_in_two_ways_is_an_error(tmp_path, content, says):
    (tmp_path / "t.csv").write_text(content)
    if "both hold image files" in says:
        content = content.replace("image,", "x,").replace("x,mask", "first,mask")
        (tmp_path / "t.csv").write_text(content)
        says = says.replace("'image'", "'first'")
    with pytest.raises(UsageError) as caught:
        read_labels(tmp_path / "t.csv", TableOptions())
    assert says in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "options", "labels", "states"),
    [
        ("image,labels\na.jpg,traffic light\n", {"separator": ";"}, ["traffic light"], [[P]]),
        ("image,labels\na.jpg,traffic light\n", {"separator": " "}, ["light", "traffic"], [[P, P]]),
        ("image,cat,fold\na.jpg,1,0\n", {"ignore_columns": ("fold",)}, ["cat"], [[P]]),
        ("image,cat,fold\na.jpg,1,0\n", {"label_columns": ("cat",)}, ["cat"], [[P]]),
        ("image,cat,dog\na.jpg,-1,\nb.jpg,0,1\n", {"uncertain": "positive"}, ["cat", "dog"], [[P, U], [N, P]]),
        ("x,y,cat\na,b,1\n", {"image_column": "y"}, ["cat"], [[P]]),
    ],
)
def test_options_settle_it(tmp_path, content, options, labels, states):
    (tmp_path / "t.csv").write_text(content)
    source = read_labels(tmp_path / "t.csv", TableOptions(**options))
    assert source.names == labels and source.states.tolist() == states


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def test_images_by_name_without_folder_or_ending_and_with_back_slashes(tmp_path):
    touch(tmp_path, "deep/a.jpg", "b.png", "x/twice.jpg", "y/twice.jpg")
    finder = ImageFinder(tmp_path)
    for name, path in (("a", "deep/a.jpg"), ("a.jpg", "deep/a.jpg"), ("deep\\a.jpg", "deep/a.jpg"), ("b", "b.png")):
        assert finder.find(name, "t.csv: line 2") == str(tmp_path / path)
    assert finder.find("none.jpg", "t.csv: line 2") is None and finder.find("other/a.jpg", "t.csv: line 2") is None
    with pytest.raises(UsageError, match=r"line 2: 'twice\.jpg' may be"):
        finder.find("twice.jpg", "t.csv: line 2")


def test_no_image_leaves_the_root(tmp_path):
    touch(tmp_path, "root/in.jpg", "out.jpg")
    (tmp_path / "root" / "link.jpg").symlink_to(tmp_path / "out.jpg")
    (tmp_path / "root" / "door").symlink_to(tmp_path)
    finder = ImageFinder(tmp_path / "root")
    for name in ("../out.jpg", str(tmp_path / "out.jpg"), "link.jpg", "door/out.jpg", "/etc/passwd"):
        with pytest.raises(UsageError, match=r"line 3: .*data\.allow_outside=true"):
            finder.find(name, "t.csv: line 3")
    assert finder.find("../root/in.jpg", "t.csv: line 3") is not None
    assert ImageFinder(tmp_path / "root", allow_outside=True).find("../out.jpg", "line 3") is not None


def test_a_link_found_by_its_name_alone_does_not_leave_the_root_either(tmp_path):
    touch(tmp_path, "root/deep/in.jpg", "out.jpg")
    (tmp_path / "root" / "deep" / "link.jpg").symlink_to(tmp_path / "out.jpg")
    for name in ("link.jpg", "link"):
        with pytest.raises(UsageError, match=r"line 3: .*data\.allow_outside=true"):
            ImageFinder(tmp_path / "root").find(name, "t.csv: line 3")


def test_a_list_printed_by_numpy_is_refused(tmp_path):
    """Python would join its two texts to one label."""
    (tmp_path / "t.csv").write_text("image,labels\na.jpg,['cat' 'dog']\n")
    with pytest.raises(UsageError, match=r"line 2, column 'labels': .* write the list with commas"):
        read_labels(tmp_path / "t.csv", TableOptions())


def inspected(capsys, *words: str) -> dict:
    assert inspect.main([*words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_inspect_counts_what_is_there(tmp_path, capsys):
    touch(tmp_path, "a.jpg", "b.jpg")
    (tmp_path / "t.csv").write_text("image,cat,dog\na.jpg,1,\nb.jpg,0,1\nz.jpg,,\na.jpg,,1\n")
    about = inspected(capsys, str(tmp_path / "t.csv"))
    assert (about["format"], about["images"], about["missing"], about["labels"]) == ("wide", 3, 1, ["cat", "dog"])
    assert about["positives"] == {"cat": 1, "dog": 2}
    assert about["negatives"] == {"cat": 1, "dog": 0}
    assert about["unknown"] == {"cat": 1, "dog": 1}
    text = " ".join(about["warnings"])
    assert "z.jpg" in text and "line 5: merged" in text and "1 images have no label" in text
    assert inspect.main([str(tmp_path / "t.csv")]) == 0
    assert "3 images (1 missing), 2 labels" in capsys.readouterr().out


def test_inspect_reads_directories(tmp_path, capsys):
    touch(tmp_path, "tags/a.jpg", "tags/b.jpg", "folders/cat/a.jpg", "folders/dog/a.jpg", "folders/dog/b.jpg")
    (tmp_path / "tags" / "a.txt").write_text("cat, dog")
    touch(tmp_path, "rf/train/a.jpg", "rf/valid/b.jpg")
    for split, name in (("train", "a.jpg"), ("valid", "b.jpg")):
        (tmp_path / "rf" / split / "_classes.csv").write_text(f"filename, cat, dog\n{name}, 1, 0\n")
    for place, form, images, positives in (
        ("tags", "tag_files", 2, {"cat": 1, "dog": 1}),
        ("folders", "folders", 2, {"cat": 1, "dog": 2}),
        ("rf", "wide", 2, {"cat": 2, "dog": 0}),
    ):
        about = inspected(capsys, str(tmp_path / place))
        assert (about["format"], about["images"], about["missing"]) == (form, images, 0)
        assert about["positives"] == positives


def test_folders_tell_images_of_one_name_apart(tmp_path, capsys):
    touch(tmp_path, "cat/1.jpg", "dog/1.jpg", "owl/1.jpg")
    (tmp_path / "dog" / "1.jpg").write_bytes(b"another")
    assert inspected(capsys, str(tmp_path))["positives"] == {"cat": 1, "dog": 1, "owl": 1}
    assert inspected(capsys, str(tmp_path))["images"] == 2
    touch(tmp_path, "loose.jpg")
    assert inspect.main([str(tmp_path)]) == 2
    assert "loose.jpg: an image beside the folders" in capsys.readouterr().err


def test_boxes_beside_images_are_not_tags(tmp_path, capsys):
    touch(tmp_path, "a.jpg")
    (tmp_path / "a.txt").write_text("0 0.5 0.5 0.25 0.1\n3 0.1 0.2 0.3 0.4\n")
    assert inspect.main([str(tmp_path)]) == 2
    assert "a.txt: boxes of YOLO, not tags" in capsys.readouterr().err


def test_inspect_fails_in_one_line(tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    for place in ("empty", "absent", "empty/x.csv"):
        assert inspect.main([str(tmp_path / place), "--json"]) == 2
        said = capsys.readouterr()
        assert said.out == "" and said.err.startswith("error: ") and said.err.count("\n") == 1
