"""MS-COCO's layout: the label matrix, its cache, and what users get wrong."""

import json
import os

import numpy as np
import pytest
from PIL import Image

from mlcfast.data import coco, read_coco
from mlcfast.data.readers.source import TableOptions
from mlcfast.errors import UsageError

CATEGORIES = [{"id": 7, "name": "dog"}, {"id": 1, "name": "cat"}, {"id": 90, "name": "brush"}]
IMAGES = [{"id": i, "file_name": f"{i:04d}.jpg"} for i in (9, 10, 100, 2)]
ANNOTATIONS = [
    {"id": 1, "image_id": 9, "category_id": 90},
    {"id": 2, "image_id": 9, "category_id": 90},
    {"id": 3, "image_id": 9, "category_id": 7},
    {"id": 4, "image_id": 2, "category_id": 1, "iscrowd": 1},
    {"id": 5, "image_id": 100, "category_id": 7},
]


def test_labels_follow_the_files_orders_over_gapped_ids(coco_set):
    root = coco_set(IMAGES, ANNOTATIONS, CATEGORIES)
    records = read_coco(root, "train", keep_unlabelled=True)
    assert records.names == ["dog", "cat", "brush"]
    assert records.image_ids == ["9", "10", "100", "2"]
    assert records.paths == [str(root / "train" / image["file_name"]) for image in IMAGES]
    assert records.labels.dtype == np.int8
    assert records.labels.tolist() == [[1, 0, 1], [0, 0, 0], [1, 0, 0], [0, 1, 0]]


def test_unlabelled_images_are_dropped_and_crowds_count_as_labels(coco_set):
    records = read_coco(coco_set(IMAGES, ANNOTATIONS, CATEGORIES), "train")
    assert records.image_ids == ["9", "100", "2"]
    assert records.labels.tolist() == [[1, 0, 1], [1, 0, 0], [0, 1, 0]]


def test_sorting_by_id_is_as_text(coco_set):
    records = read_coco(coco_set(IMAGES, ANNOTATIONS, CATEGORIES), "train", keep_unlabelled=True).sorted_by_id_text()
    assert records.image_ids == ["10", "100", "2", "9"]
    assert records.labels[:, 0].tolist() == [0, 1, 0, 1]
    assert [os.path.basename(path) for path in records.paths] == ["0010.jpg", "0100.jpg", "0002.jpg", "0009.jpg"]


def test_split_by_explicit_folder_and_file(coco_set):
    root = coco_set(IMAGES, ANNOTATIONS, CATEGORIES)
    split = {"images": "train", "annotations": "annotations/instances_train.json"}
    assert read_coco(root, split).paths == read_coco(root, "train").paths


def test_nothing_is_printed(coco_set, capfd):
    read_coco(coco_set(IMAGES, ANNOTATIONS, CATEGORIES), "train")
    assert capfd.readouterr() == ("", "")


def test_second_read_uses_the_cache_until_the_content_changes(coco_set, monkeypatch):
    root = coco_set(IMAGES, ANNOTATIONS, CATEGORIES)
    first = read_coco(root, "train")
    parses = []
    parse = coco.parse_annotations
    monkeypatch.setattr(coco, "parse_annotations", lambda path, content: parses.append(path) or parse(path, content))
    again = read_coco(root, "train")
    assert not parses
    assert (again.labels == first.labels).all()
    assert (again.paths, again.names, again.image_ids) == (first.paths, first.names, first.image_ids)

    file = root / "annotations" / "instances_train.json"
    before = file.stat()
    file.write_text(file.read_text().replace('"category_id": 1,', '"category_id": 7,'))  # same size …
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))  # … and time
    assert file.stat().st_size == before.st_size
    assert read_coco(root, "train").labels.tolist() == [[1, 0, 1], [1, 0, 0], [1, 0, 0]]
    assert len(parses) == 1


def test_damaged_cache_is_made_anew(coco_set):
    root = coco_set(IMAGES, ANNOTATIONS, CATEGORIES)
    expected = read_coco(root, "train").labels
    cache = root / "annotations" / ".mlcfast" / "instances_train.labels.npz"
    with np.load(cache) as arrays:  # of a version that knew less
        parts = dict(arrays)
    texts = {name: held for name, held in json.loads(parts["texts"].tobytes()).items() if name != "said"}
    np.savez(cache, **parts | {"texts": np.frombuffer(json.dumps(texts).encode(), np.uint8)})
    for content in (cache.read_bytes(), b"", b"garbage", cache.read_bytes()[:-100]):
        cache.write_bytes(content)
        assert (read_coco(root, "train").labels == expected).all()
    assert [path.name for path in cache.parent.iterdir() if "partial" in path.name] == []


def test_cache_of_a_directory_that_cannot_be_written_goes_to_the_user(coco_set, tmp_path, monkeypatch):
    root = coco_set(IMAGES, ANNOTATIONS, CATEGORIES)
    (root / "annotations" / ".mlcfast").write_text("a file where the cache folder would be")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user"))
    expected = read_coco(root, "train").labels
    assert len(list((tmp_path / "user" / "mlcfast").glob("*/instances_train.labels.npz"))) == 1
    monkeypatch.setattr(coco, "parse_annotations", None)
    assert (read_coco(root, "train").labels == expected).all()


def _fails(root, *parts):
    with pytest.raises(UsageError) as caught:
        read_coco(root, "train")
    message = str(caught.value)
    assert "\n" not in message
    for part in parts:
        assert str(part) in message
    assert not list(root.glob("annotations/.mlcfast/*.npz"))


def test_missing_root_split_and_annotations(coco_set, tmp_path):
    with pytest.raises(UsageError, match=r"absent: no such directory \(data\.root\)"):
        read_coco(tmp_path / "absent", "train")
    root = coco_set(IMAGES, ANNOTATIONS, CATEGORIES)
    with pytest.raises(UsageError, match=r"instances_test\.json: no such annotation file"):
        read_coco(root, "test")
    (root / "train").rename(root / "elsewhere")
    _fails(root, root / "train", "no such directory", "instances_train.json")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"{not json", "not valid JSON"),
        (b"", "not valid JSON"),
        (b"\xff\xfe\x00", "not valid JSON"),
        (b"[1, 2]", "not an MS-COCO annotation file"),
        (b"{}", "lacks 'images'"),
        (b'{"images": [{"id": 1}], "annotations": [], "categories": [{"id": 1, "name": "a"}]}', "lacks 'file_name'"),
    ],
)
def test_annotation_file_of_another_kind(coco_set, content, says):
    root = coco_set(IMAGES, ANNOTATIONS, CATEGORIES)
    (root / "annotations" / "instances_train.json").write_bytes(content)
    _fails(root, root / "annotations" / "instances_train.json", says)


def test_ids_that_refer_to_nothing(coco_set):
    stray = {"id": 6, "image_id": 9, "category_id": 12}
    _fails(coco_set(IMAGES, [*ANNOTATIONS, stray], CATEGORIES), "annotation 6", "category_id 12")
    stray = {"id": 6, "image_id": 77, "category_id": 7}
    _fails(coco_set(IMAGES, [*ANNOTATIONS, stray], CATEGORIES), "annotation 6", "image_id 77")


def test_repeated_ids(coco_set):
    twice = {"id": 9, "file_name": "0010.jpg"}
    _fails(
        coco_set([*IMAGES, twice], ANNOTATIONS, CATEGORIES),
        "1 images repeat an id, first 9: give each an id of its own",
    )


def test_an_image_that_two_entries_name_is_one(coco_set):
    twice = {"id": 11, "file_name": "./0009.jpg"}
    other = {"id": 6, "image_id": 11, "category_id": 1}
    records = read_coco(coco_set([*IMAGES, twice], [*ANNOTATIONS, other], CATEGORIES), "train")
    assert records.image_ids == ["9", "100", "2"] and records.labels.tolist()[0] == [1, 1, 1]


def test_annotations_that_are_marked_with_ignore_are_said(coco_set, caplog):
    marked = [each | {"ignore": 1} for each in ANNOTATIONS[:2]]
    read_coco(coco_set(IMAGES, [*marked, *ANNOTATIONS[2:]], CATEGORIES), "train")
    assert "2 annotations are marked with ignore: they count like any other" in caplog.text


def test_empty_sets(coco_set):
    _fails(coco_set(IMAGES, [], []), "the list of categories is empty")
    _fails(coco_set([], [], CATEGORIES), "the list of images is empty")
    root = coco_set(IMAGES, [], CATEGORIES)
    with pytest.raises(UsageError, match="no image has a label"):
        read_coco(root, "train")


def test_listed_images_that_are_absent_are_named_and_counted(coco_set):
    root = coco_set(IMAGES, ANNOTATIONS, CATEGORIES)
    (root / "train" / "0100.jpg").unlink()
    (root / "train" / "0002.jpg").unlink()
    with pytest.raises(UsageError) as caught:
        read_coco(root, "train")
    annotations = root / "annotations" / "instances_train.json"
    assert str(caught.value) == (
        f"{root}/train/0100.jpg: no such image; 2 of 4 images listed in {annotations} are missing, first image 100"
    )


def test_image_names_with_folders(coco_set):
    root = coco_set(IMAGES, ANNOTATIONS, CATEGORIES)
    file = root / "annotations" / "instances_train.json"
    (root / "train" / "deep").mkdir()
    (root / "train" / "deep" / "a.jpg").touch()
    content = json.loads(file.read_text())
    content["images"][0]["file_name"] = "deep/a.jpg"
    file.write_text(json.dumps(content))
    assert read_coco(root, "train").paths[0] == str(root / "train" / "deep" / "a.jpg")


@pytest.mark.parametrize("place", ["train", "images/train", "images", "."])
def test_where_the_images_of_a_split_may_be(tmp_path, place):
    content = {
        "images": [{"id": 1, "file_name": "a.jpg"}],
        "categories": [{"id": 1, "name": "cat"}],
        "annotations": [{"image_id": 1, "category_id": 1}],
    }
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations" / "instances_train.json").write_text(json.dumps(content))
    (tmp_path / place).mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8)).save(tmp_path / place / "a.jpg")
    assert read_coco(tmp_path, "train").paths == [str(tmp_path / place / "a.jpg")]


@pytest.mark.parametrize(
    ("categories", "said", "warned"),
    [
        ([("pets", "none"), ("cat", "pets"), ("dog", "pets")], ["the super-category 'pets' is no label"], []),
        ([("pets", "none"), ("pets", "pets"), ("cat", "pets")], ["1 categories share a name with another, first"], []),
        ([("cat", "none"), ("cat", "none"), ("dog", "none")], [], ["share a name with another, first 'cat': merged"]),
    ],
)
def test_super_categories_are_no_warning(tmp_path, categories, said, warned):
    listed = [{"id": n, "name": name, "supercategory": above} for n, (name, above) in enumerate(categories)]
    noted = [{"image_id": 1, "category_id": n} for n in (1, 2)]
    content = {"images": [{"id": 1, "file_name": "a.jpg"}], "categories": listed, "annotations": noted}
    (tmp_path / "t.json").write_text(json.dumps(content))
    for _ in range(2):  # parsed, and from the cache
        source = coco.coco_source(tmp_path / "t.json", TableOptions())
        for parts, lines in ((said, source.assumptions), (warned, source.warnings)):
            assert len(parts) == len(lines) and all(part in line for part, line in zip(parts, lines, strict=True))
