"""Sets as Kaggle and their authors' archives lay them out, in miniature: read as they were meant, or said why not."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mlcfast.data.discover import discover
from mlcfast.data.readers.recognise import read_all, read_named
from mlcfast.data.readers.source import TableOptions
from mlcfast.data.readers.summary import open_sources
from mlcfast.errors import UsageError
from tests.data import known_projects, known_sets, misread_sets, published_sets
from tests.data.awkward_exports import coco
from tests.data.known_sets import COCO, SCORED_XML, N, P
from tests.data.layouts import BOX
from tests.data.test_directories import lay

SETS = (known_sets, known_projects, misread_sets, published_sets)
READ = {name: case for sets in SETS for name, case in sets.READ.items()}
REFUSED = {name: case for sets in SETS for name, case in sets.REFUSED.items()}


@pytest.mark.parametrize("name", READ)
def test_known_sets_are_read_as_they_were_meant(tmp_path, name):
    files, form, labels, states, said = READ[name]
    lay(tmp_path, files)
    sources = read_all(tmp_path, TableOptions())
    assert {(source.format, *source.names) for source in sources} == {(form, *labels)}
    assert {source.split: source.states.tolist() for source in sources} == states
    lines = [line for source in sources for line in (*source.assumptions, *source.warnings)]
    assert all(any(part in line for line in lines) for part in said), lines
    assert all(path is not None for _, paths in open_sources(tmp_path, None, TableOptions()) for path in paths)


# Whose parts are directories that are read alone by their names, or, MS-COCO's, by another function.
OWN_PARTS = {"settings that name no place, and boxes beside images", "supervisely in parts", "coco's absolute names"}


@pytest.mark.parametrize("name", [name for name in READ if "" not in READ[name][3] and name not in OWN_PARTS])
def test_a_part_of_a_known_set_is_read_by_its_name_as_with_all(tmp_path, name):
    files, form, labels, states, _ = READ[name]
    lay(tmp_path, files)
    for split, held in states.items():
        source = read_named(tmp_path, split, TableOptions())
        assert (source.format, source.states.tolist()) == (form, held) and set(source.names) == set(labels)


@pytest.mark.parametrize("name", REFUSED)
def test_what_known_sets_leave_open_is_one_line(tmp_path, name):
    files, says = REFUSED[name]
    lay(tmp_path, files)
    with pytest.raises(UsageError) as caught:
        read_all(tmp_path, TableOptions())
    said = str(caught.value)
    assert said.startswith(str(tmp_path)) and says in said and "\n" not in said


@pytest.mark.parametrize("name", misread_sets.COUNTED)
def test_numbers_beside_names_of_classes_count(tmp_path, name):
    file, content, labels = misread_sets.COUNTED[name]
    lay(tmp_path, misread_sets.LIST | {file: content})
    (source,) = read_all(tmp_path / "train.txt", TableOptions())
    found = [[source.names[k] for k, state in enumerate(row) if state == 1] for row in source.states]
    first = len(labels) == 3  # of those that count from 1
    assert source.names == labels
    assert found == [[labels[k - first] for k in each] for each in ([1, 3], [2], [1])]


def test_a_class_below_those_that_names_number(tmp_path):
    lay(tmp_path, misread_sets.LIST | {"train.txt": "a.jpg 1\nb.jpg 0\n", "classes.txt": "1 cat\n2 dog\n"})
    with pytest.raises(UsageError, match=r"train\.txt: line 2: class 0, but the names' own numbers begin at 1"):
        read_all(tmp_path / "train.txt", TableOptions())


def test_boxes_apart_from_their_images_are_trained_on(tmp_path):
    numbers = range(5)
    listed = "".join(f"data/obj/{number}.png\n" for number in numbers)
    lay(tmp_path, READ["darknet's settings, and images apart"][0] | {"train.txt": listed})
    lay(tmp_path, {f"obj/{number}.txt": f"{number % 2} {BOX}\n" for number in numbers})
    for number in numbers:
        colour = (40 * number, 0, 255 - 40 * number)
        Image.new("RGB", (8, 8), colour).save(tmp_path / "pictures" / f"{number}.png")
    found = discover(tmp_path)
    assert found.form == "yolo" and found.samples.train.names == ["cat", "dog"]
    paths = [*found.samples.train.paths, *found.samples.validation.paths]
    assert sorted(paths) == [str(tmp_path / "pictures" / f"{number}.png") for number in numbers]


def test_a_list_of_images_with_their_files_of_pascal_voc_is_no_table(tmp_path):
    lay(tmp_path, {"img/a.jpg": "", "xml/a.xml": SCORED_XML, "train.txt": "img/a.jpg xml/a.xml\n"})
    with pytest.raises(
        UsageError, match=r"train\.txt: line 1: 'img/a.jpg xml/a.xml' is an image and its file of Pascal"
    ):
        read_all(tmp_path / "train.txt", TableOptions())


@pytest.mark.parametrize("form", ["auto", "folders"])
def test_parts_of_another_name_are_named_by_their_word(tmp_path, form):
    lay(tmp_path, READ["scenes of Intel"][0])
    train, test = (read_named(tmp_path, word, TableOptions(form=form)) for word in ("train", "test"))
    assert train.names == ["forest", "sea"] and train.states.tolist() == test.states.tolist() == [[1, -1], [-1, 1]]


def test_a_set_in_the_only_folder_of_its_archive_is_trained_on(tmp_path):
    files = {
        f"set/{part}/{label}/{label}{part}.jpg": "" for part in ("train", "val", "test") for label in ("cat", "dog")
    }
    lay(tmp_path, files)
    found = discover(tmp_path)
    chosen = {"root": str(tmp_path / "set"), "train": "train", "val": "val"}
    assert found.settings.items() >= chosen.items()
    assert found.samples.train.names == ["cat", "dog"] and len(found.samples.validation) == 2


@pytest.mark.parametrize(
    "name", ["tables of the parts, and one of classes", "tables of the parts beside their folders"]
)
def test_tables_of_parts_are_named_by_their_words_and_found(tmp_path, name):
    lay(tmp_path, READ[name][0])
    for word, split in (("train", "train"), ("valid", "val")):
        assert read_named(tmp_path, word, TableOptions()).states.tolist() == READ[name][3][split]
    if name.endswith("classes"):
        found = discover(tmp_path, given={"allow_overlap": True})
        assert found.settings.items() >= {"train": "train_labels.csv", "val": "val_labels.csv"}.items()


@pytest.mark.parametrize(
    ("file", "content", "key"),
    [
        ("a.xml", SCORED_XML, "score"),
        ("c.json", coco([{"image_id": 1, "category_id": 0, "probability": 0.3}]), "probability"),
        ("c.json", coco([{"image_id": 1, "category_id": 0, "attributes": {"score": 0.3, "rotation": 0.5}}]), "score"),
    ],
)
def test_predictions_are_labels_where_the_user_says_so(tmp_path, file, content, key):
    (tmp_path / file).write_text(content)
    told = TableOptions(ignore_columns=(key,))
    for _ in range(2):  # what was read so is not kept for those who do not say it
        assert read_all(tmp_path / file, told)[0].names[0] == "cat"
        with pytest.raises(UsageError, match=rf"{key} 0\.\d+ makes it a prediction.*in data\.ignore_columns"):
            read_all(tmp_path / file, TableOptions())


def test_a_list_of_one_class_of_pascal_voc_says_nothing_of_others(tmp_path):
    lay(tmp_path, READ["pascal voc from above"][0] | {"VOCdevkit/VOC2007/ImageSets/Main/cat_train.txt": "a 1\nb -1\n"})
    with pytest.raises(UsageError, match="says of images whether they have one label"):
        read_all(tmp_path / "VOCdevkit" / "VOC2007" / "ImageSets" / "Main" / "cat_train.txt", TableOptions())
    assert read_named(tmp_path, "val", TableOptions()).images == ["JPEGImages/b.jpg"]


def test_images_of_lvis_of_which_nothing_is_known_to_be_absent(tmp_path):
    images = [{"id": 1, "coco_url": "http://host/a.jpg", "neg_category_ids": [], "not_exhaustive_category_ids": [0]}]
    (tmp_path / "l.json").write_text(coco([{"image_id": 1, "category_id": 0}], images=images))
    with pytest.raises(UsageError, match="neg_category_ids, all empty, so that no label is known to be absent"):
        read_all(tmp_path / "l.json", TableOptions())


def test_a_list_of_yolo_may_not_leave_its_set(tmp_path):
    settings = {"set/data.yaml": "train: train.txt\nnames: [cat]\n", "set/train.txt": "../x/a.jpg\n", "x/a.jpg": ""}
    lay(tmp_path, settings)
    with pytest.raises(UsageError, match=r"train\.txt: .*a\.jpg lies outside .*set: data\.allow_outside=true allows"):
        read_all(tmp_path / "set", TableOptions())
    assert len(read_all(tmp_path / "set", TableOptions(allow_outside=True))[0].images) == 1


def test_a_list_of_images_alone_beside_names_of_classes(tmp_path):
    lay(tmp_path, {"a.jpg": "", "train.txt": "a.jpg\n", "classes.txt": "cat\ndog\n"})
    with pytest.raises(UsageError, match=r"train\.txt: lists images and no labels: name the directory"):
        read_all(tmp_path / "train.txt", TableOptions())


def test_attributes_of_birds_are_read_where_their_file_is_named(tmp_path):
    lines = "1 1 1 3 2.0\n1 2 0 1 1.0\n2 1 0 4 1.0\n2 2 1 4 1.0\n3 1 1 4 1.0\n3 2 0 3 5 1\n"
    lay(tmp_path, {f"CUB_200_2011/{name}": text for name, text in READ["birds of caltech"][0].items()})
    lay(tmp_path, {"attributes.txt": "1 has_bill::curved\n2 has_wing::blue\n"})
    file = tmp_path / "CUB_200_2011" / "attributes" / "image_attribute_labels.txt"
    file.write_text(lines)
    (source,) = read_all(file, TableOptions())
    assert source.names == ["has_bill::curved", "has_wing::blue"]
    assert source.states.tolist() == [[1, 0], [-1, 1], [1, -1]]
    assert "0 and not visible (certainty 1) is unknown, in 1 rows" in source.assumptions
    assert (source.root / source.images[0]).is_file()
    file.write_text("1 3 1 4 1.0\n")
    with pytest.raises(
        UsageError, match=r"image_attribute_labels\.txt: line 1: '1 3 1 4 1\.0' is not an image, an attr"
    ):
        read_all(file, TableOptions())


def test_a_part_is_looked_for_in_its_folder_by_init_too(tmp_path):
    for part, shift in (("train", 0), ("test", 90)):
        (tmp_path / part / "images").mkdir(parents=True)
        for number in range(10):
            picture = Image.new("RGB", (8, 8), (20 * number, shift, 0))
            picture.save(tmp_path / part / "images" / f"{number}.png")
    rows = "".join(f"{number}.png,{('cat', 'dog')[number % 2]}\n" for number in range(10))
    lay(tmp_path, {"train.csv": f"file,label\n{rows}", "test.csv": "file\n0.png\n"})
    found = discover(tmp_path)
    assert found.settings["train"] == "train.csv" and "test" not in found.settings
    assert all(Path(path).parts[-3] == "train" for path in found.samples.train.paths)


def test_a_file_of_another_kind_named_as_darknets(tmp_path):
    lay(tmp_path, {"iris.data": "5.1,3.5,1.4,0.2,Iris-setosa\n"})
    with pytest.raises(UsageError, match=r"iris\.data: not Darknet's settings"):
        read_all(tmp_path / "iris.data", TableOptions())


@pytest.mark.parametrize("form", ["auto", "authors"])
def test_splits_of_authors_are_more_than_their_folders(tmp_path, form):
    lay(tmp_path, READ["tiny imagenet"][0])
    train, val = (read_named(tmp_path, word, TableOptions(form=form)) for word in ("train", "val"))
    assert (train.names, train.images[0], val.images) == (
        ["n01", "n02"],
        "train/n01/images/n01_0.JPEG",
        ["val/images/val_0.JPEG"],
    )


@pytest.mark.parametrize(
    ("name", "file", "text", "says"),
    [
        (
            "food-101",
            "meta/train.json",
            '["pie/1"]',
            "train.json: not Food-101's: needs a list of images for each label",
        ),
        (
            "tiny imagenet",
            "val/val_annotations.txt",
            "val_0.JPEG\n",
            "val_annotations.txt: line 1: 'val_0.JPEG' is not an",
        ),
        (
            "pets of Oxford",
            "annotations/trainval.txt",
            "# x\ncat 1 1 1\n",
            "trainval.txt: line 2: 'cat 1 1 1' is not an",
        ),
    ],
)
def test_sets_of_authors_that_are_damaged(tmp_path, name, file, text, says):
    lay(tmp_path, READ[name][0] | {file: text})
    with pytest.raises(UsageError, match=says):
        read_all(tmp_path, TableOptions())
    with pytest.raises(
        UsageError, match="not laid out as CelebA, DeepFashion, ChestX-ray14, CUB-200-2011, Food-101, MIRFLICKR, Tiny"
    ):
        read_all(tmp_path / file.partition("/")[0], TableOptions(form="authors"))


@pytest.mark.parametrize(
    ("arrays", "says"), [(None, "no .npz, or cut short"), ({"train_labels": [0]}, "of other arrays write a table with")]
)
def test_arrays_of_another_kind(tmp_path, arrays, says):
    """MedMNIST's hold images and labels of all parts."""
    file = tmp_path / "chestmnist.npz"
    file.write_bytes(b"PK\x03\x04")
    if arrays is not None:
        np.savez(file, **arrays)
    with pytest.raises(UsageError, match=says):
        read_all(file, TableOptions())


def test_tables_of_one_header_are_read_as_one(tmp_path):
    """MLRSNet has a table for each scene."""
    scenes = ("pier", "sea")
    lay(tmp_path, {f"Images/{scene}/{scene}_{n}.jpg": "" for scene in scenes for n in range(6)})
    for scene in scenes:
        rows = "".join(f"{scene}_{n}.jpg,{n % 2},{1 - n % 2},0\n" for n in range(6))
        lay(tmp_path, {f"Labels/{scene}.csv": f"image,sea,sand,ship\n{rows}"})
    ((source, paths),) = open_sources(tmp_path / "Labels", tmp_path / "Images", TableOptions())
    assert all(paths) and source.names == ["sea", "sand", "ship"]
    assert source.states.tolist() == [[P, N, N] if n % 2 else [N, P, N] for _ in scenes for n in range(6)]
    assert "2 tables have the same columns and other images, first pier.csv: they are read as one" in source.assumptions
    found = discover(tmp_path / "Labels", tmp_path / "Images", {"val": 0.34, "allow_overlap": True})
    assert len(found.samples.train) + len(found.samples.validation) == 12


@pytest.mark.parametrize(
    ("names", "pieces"),
    [
        (("part1", "part2"), True), (("labels_01", "labels_02"), True), (("sea", "sand"), True),
        (("labels", "holdout"), False), (("labels", "held_out"), False), (("labels", "evaluation"), False),
        (("labels", "exclude"), False), (("labels", "predictions"), False), (("labels", "pseudo_labels"), False),
        (("labels", "labels_old"), False), (("seen", "unseen"), False), (("query", "gallery"), False),
        (("predictions1", "predictions2"), False), (("fold1", "fold2"), False), (("a", "b"), False),
    ],
)  # fmt: skip
def test_tables_of_one_header_are_pieces_by_their_names(tmp_path, names, pieces):
    for k, name in enumerate(names):
        lay(tmp_path, {f"{name}.csv": f"image,sea,sand\nx{k}.jpg,1,0\ny{k}.jpg,0,1\n"})
        lay(tmp_path, {f"{letter}{k}.jpg": "" for letter in "xy"})
    if pieces:
        assert read_all(tmp_path, TableOptions())[0].states.tolist() == [[P, N], [N, P]] * 2
    else:
        with pytest.raises(UsageError, match="holds several label files"):
            read_all(tmp_path, TableOptions())


def test_addresses_of_images_of_which_another_column_names_some(tmp_path):
    """Of Kaggle's posters of films a few are given out."""
    rows = "".join(f"{n},http://host/{n}x.jpg,{('Drama', 'Comedy|Drama')[n % 2]}\n" for n in range(100, 110))
    lay(tmp_path, {"t.csv": f"imdbId,Poster,Genre\n{rows}", **{f"posters/{n}.jpg": "" for n in range(100, 107)}})
    ((source, _),) = open_sources(tmp_path, None, TableOptions())
    said = "no image is found: column 'imdbId' names images that are there: set data.image_column to imdbId"
    assert said in source.warnings


@pytest.mark.parametrize("said", [{"form": "wide"}, {"image_column": "Image_Label"}])
def test_a_column_called_as_images_and_labels_is_whole_where_it_is_said(tmp_path, said):
    """What is said then of the other column, or of both, is done."""
    lay(tmp_path, {"t.csv": "Image_Label,Any\na_x,0\na_y,1\nb_x,1\nb_y,1\n"})
    lay(tmp_path, {f"{name}.png": "" for name in ("a", "b", "a_x", "a_y", "b_x", "b_y")})
    with pytest.raises(UsageError, match=r"set data\.format to long if so, or data\.label_columns to \[Any\] if it is"):
        read_all(tmp_path / "t.csv", TableOptions(**said))
    for more, names, states in (
        ({"label_columns": ("Any",)}, ["Any"], [[N], [P], [P], [P]]),
        ({"form": "long"}, ["x", "y"], [[N, P], [P, P]]),
    ):
        ((source, paths),) = open_sources(tmp_path / "t.csv", None, TableOptions(**said | more))
        assert all(paths) and source.names == names and source.states.tolist() == states


def test_bleedings_are_read_where_it_is_said_that_names_hold_labels(tmp_path):
    """RSNA's have a row for each image and label, and a few rows twice."""
    rows = [f"ID_{image}_{label},{int(label == 'any')}" for image in "ab" for label in ("any", "epidural")]
    lay(tmp_path, {"t.csv": "\n".join(["ID,Label", *rows, rows[0], ""]), "x/ID_a.png": "", "x/ID_b.png": ""})
    with pytest.raises(
        UsageError, match=r"'ID_a_any' holds the image and the label 'any', one of 2: set data\.format to"
    ):
        read_all(tmp_path / "t.csv", TableOptions())
    ((source, paths),) = open_sources(tmp_path / "t.csv", None, TableOptions(form="long"))
    assert all(paths) and source.names == ["any", "epidural"] and source.states.tolist() == [[P, N], [P, N]]
    assert discover(tmp_path / "t.csv", given={"format": "long", "val": 0.5, "allow_overlap": True}).form == "long"


def test_labels_of_what_another_table_has_images_of(tmp_path):
    """Yelp's labels are those of restaurants."""
    rows = "".join(f"{n},{1000 + n % 2}\n" for n in range(6))
    lay(tmp_path, {"train.csv": "business_id,labels\n1000,1 2\n1001,0\n", **{f"photos/{n}.jpg": "" for n in range(6)},
                   "train_photo_to_biz_ids.csv": f"photo_id,business_id\n{rows}"})  # fmt: skip
    says = "'photo_id' of train_photo_to_biz_ids.csv names images that are there, each with its 'business_id'"
    with pytest.raises(UsageError, match=f"{says}: write a table of these images with the labels of that"):
        discover(tmp_path)


def test_a_table_of_mimic_is_read_with_the_others(tmp_path):
    lay(tmp_path, published_sets.MIMIC)
    for kind, has in (("chexpert", "labels of studies"), ("metadata", "images")):
        with pytest.raises(UsageError, match=f"this one has the {has}: name their directory, {tmp_path}$"):
            read_all(tmp_path / f"mimic-cxr-2.0.0-{kind}.csv", TableOptions())


def test_both_years_of_pascal_voc_have_the_list_of_what_trains_and_validates(tmp_path):
    lists = {f"VOCdevkit/VOC{year}/ImageSets/Main/trainval.txt": "a\nb\n" for year in (2007, 2012)}
    lay(tmp_path, READ["two years of pascal voc"][0] | lists)
    source = read_named(tmp_path / "VOCdevkit", "trainval", TableOptions())
    assert source.images == [f"VOC{year}/JPEGImages/{name}.jpg" for year in (2007, 2012) for name in "ab"]
    assert source.states.tolist() == [[P], [N], [P], [N]]
    test = read_named(tmp_path / "VOCdevkit", "test", TableOptions())  # that of 2012 is kept back
    assert (test.images, test.states.tolist()) == (["VOC2007/JPEGImages/b.jpg"], [[N]])


def test_years_of_pascal_voc_in_small_letters(tmp_path):
    lay(tmp_path, known_sets.voc("voc2007") | known_sets.voc("voc2012"))
    train, _ = read_all(tmp_path, TableOptions())
    assert train.images == ["voc2007/JPEGImages/a.jpg", "voc2012/JPEGImages/a.jpg"]


@pytest.mark.parametrize("named", ["val/patch1/a.jpg", "images/test/patch1/a.jpg", "x/patch1/a.jpg"])
def test_an_image_of_another_part_is_not_looked_for_in_that_of_the_table(tmp_path, named):
    """Nor one whose own folder is there."""
    lay(tmp_path, {"train.json": COCO.replace("a.jpg", named), "train/patch1/a.jpg": "", "x/patch1/b.jpg": ""})
    ((source, paths),) = open_sources(tmp_path, None, TableOptions())
    assert paths == [None] and f"{named!r} is missing" in " ".join(source.warnings)


def test_an_image_in_another_folder_is_named_with_its_remedy(tmp_path):
    file = COCO.replace("a.jpg", "images/v1/patch0/a.jpg")
    lay(tmp_path, {"t.json": file, "train/patch0/a.jpg": "", "val/patch0/b.jpg": ""})
    ((source, paths),) = open_sources(tmp_path, None, TableOptions())
    remedy = f"if train/patch0/a.jpg is meant, name {tmp_path / 'train'} in data.root, or with --images"
    assert paths == [None] and f"'images/v1/patch0/a.jpg' is missing: {remedy}" in source.warnings
    ((_, paths),) = open_sources(tmp_path / "t.json", tmp_path / "train", TableOptions())
    assert paths == [str(tmp_path / "train/patch0/a.jpg")]


def test_images_of_a_part_whose_folder_is_missing_are_not_those_of_another(tmp_path):
    """Files of both parts may be called alike; that of training says no folder, nor does that of validation."""
    text = coco([{"image_id": 1, "category_id": 0}], images=[{"id": 1, "file_name": "0.jpg"}])
    lay(tmp_path, {**{f"annotations/instances_{part}.json": text for part in ("train", "val")}, "train/0.jpg": ""})
    (_, trained), (validated, paths) = open_sources(tmp_path, None, TableOptions())
    assert all(trained) and paths == [None]
    assert f"no images are found in {tmp_path / 'val'}" in " ".join(validated.warnings)


def test_keywords_in_folders_of_parts_are_trained_on_where_it_is_said(tmp_path):
    for part, shift in (("train", 0), ("val", 90)):
        (tmp_path / part).mkdir()
        for n in range(4):
            Image.new("RGB", (8, 8), (20 * n, shift, 0)).save(tmp_path / part / f"{n}.png")
            (tmp_path / part / f"{n}.xmp").write_text(published_sets.xmp(("cat", "dog")[n % 2]))
    found = discover(tmp_path, given={"format": "xmp"})
    assert found.settings.items() >= {"format": "xmp", "train": "train", "val": "val"}.items()
    assert len(found.samples.train) == len(found.samples.validation) == 4
