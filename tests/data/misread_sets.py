"""Cases of test_known_sets.py: numbers and names that are easily taken for others, without a word."""

import json

from tests.data.known_sets import N, P
from tests.data.layouts import BOX

IMAGES = {"a.jpg": "", "b.jpg": "", "c.jpg": ""}
LIST = {**IMAGES, "train.txt": "a.jpg 1 3\nb.jpg 2\nc.jpg 1\n"}
SIDE_BY_SIDE = {f"images/{name}": "" for name in ("a.jpg", "b.jpg")}
ABSOLUTE = "/home/anna/proj/images/"


def boxes(first: str, second: str = f"1 {BOX}") -> dict[str, str]:
    """YOLO's layout with these lines of the two images."""
    return {**SIDE_BY_SIDE, "labels/a.txt": f"{first}\n", "labels/b.txt": f"{second}\n"}


def table(header: str, *cells: str) -> dict[str, str]:
    """A table of images, one a row, with their images."""
    rows = [f"{number}.jpg,{cell}\n" for number, cell in enumerate(cells)]
    return {"labels.csv": f"{header}\n{''.join(rows)}", **{f"{number}.jpg": "" for number in range(len(cells))}}


def coco(file_name: str) -> str:
    """MS-COCO's annotations of two images in a folder, the first with both labels, the second with one."""
    return json.dumps({
        "images": [{"id": 1, "file_name": f"{file_name}a.jpg"}, {"id": 2, "file_name": f"{file_name}b.jpg"}],
        "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
        "annotations": [{"image_id": image, "category_id": label} for image, label in ((1, 1), (1, 2), (2, 2))],
    })  # fmt: skip


# Name: files with their texts, format, labels, states of each split, parts of what is said.
READ = {
    "yolo's boxes that reach a little beyond": (
        boxes("0 0.5 1.0001 -0.0001 1.05"), "yolo", ["0", "1"], {"": [[P, N], [N, P]]}, [],
    ),
    "yolo's names counted from 1": (
        {**boxes(f"1 {BOX}", f"2 {BOX}"), "classes.txt": "1 cat\n2 dog\n"}, "yolo", ["cat", "dog"],
        {"": [[P, N], [N, P]]}, ["the names in classes.txt stand beside the numbers of their classes, 1 to 2"],
    ),
    "yolo's names counted from 0": (
        {**boxes(f"0 {BOX}"), "classes.txt": "0: cat\n1: dog\n", "data.yaml": "names: [cat, dog]\n"}, "yolo",
        ["cat", "dog"], {"": [[P, N], [N, P]]}, [],
    ),
    "darknet's names counted from 1": (
        {"images/a.jpg": "", "labels/a.txt": f"2 {BOX}\n", "train.txt": "images/a.jpg\n",
         "obj.data": "classes = 2\ntrain = train.txt\nnames = obj.names\n", "obj.names": "1 cat\n2 dog\n"},
        "yolo", ["cat", "dog"], {"train": [[N, P]]}, [],
    ),
    "a column of annotators beside names of images": (
        table("annotation_id,image_name,cat,dog,annotator", "0.jpg,1,0,anna", "1.jpg,0,1,ben"), "wide", ["cat", "dog"],
        {"": [[P, N], [N, P]]}, ["columns that are no labels: annotation_id, annotator"],
    ),
    "coco's absolute names": (
        {"images/a.jpg": "", "images/b.jpg": "", "annotations/instances_train.json": coco(ABSOLUTE)}, "coco",
        ["cat", "dog"], {"train": [[P, P], [N, P]]}, [],
    ),
    "grades called scores": (
        table("image,score", *(str(age) for age in (0, 1, 2, 3, 4, 5, 0, 1, 2, 3))), "list",
        ["0", "1", "2", "3", "4", "5"], {"": [[P if k == age else N for k in range(6)] for age in
                                             (0, 1, 2, 3, 4, 5, 0, 1, 2, 3)]},
        ["its numbers, 0 to 5, are classes, one a row"],
    ),
    "numbers that may count from 1": (
        LIST | {"classes.txt": "ant\ncat\ndog\nowl\n"}, "file_list", ["ant", "cat", "dog", "owl"],
        {"": [[N, P, N, P], [N, N, P, N], [N, P, N, N]]},
        ["no image has the label 'ant', class 0: if the numbers count from 1, subtract 1 from each"],
    ),
    "a list below a comment": (
        IMAGES | {"train.txt": "# by Ann\na.jpg 0 1\nb.jpg 1\nc.jpg 0\n"}, "file_list", ["0", "1"],
        {"": [[P, P], [N, P], [P, N]]}, ["1 lines begin with # and are not read, first line 1: '# by Ann'"],
    ),
    "a list with colons": (
        IMAGES | {"labels.txt": "a.jpg: cat\nb.jpg: dog\nc.jpg:\n"}, "list", ["cat", "dog"],
        {"": [[P, N], [N, P], [N, N]]}, ["read as an image and its labels, with a colon between"],
    ),
    "lists of the images of a table": (
        table("image,cat,dog", "1,0", "0,1", "1,1")
        | {"train.txt": "0.jpg\n2\n", "val.txt": "1.jpg\n", "of.txt": "x\n"},
        "wide", ["cat", "dog"], {"": [[P, N], [N, P], [P, P]]},
        ["train.txt, val.txt list images alone, and are not read: if they are parts of the data, write a column of"],
    ),
    "numbers called labels": (
        table("image,label", *(str(age) for age in (20, 21, 22, 23, 24, 25, 20, 21, 22, 23))), "list",
        ["20", "21", "22", "23", "24", "25"],
        {"": [[P if k == age else N for k in range(20, 26)] for age in (20, 21, 22, 23, 24, 25, 20, 21, 22, 23)]},
        ["its numbers, 20 to 25, are classes, one a row"],
    ),
    "class numbers and their names": (
        table("image,class_id,class_name", "0,owl", "1,cat", "2,dog", "0,owl"), "list", ["cat", "dog", "owl"],
        {"": [[N, N, P], [P, N, N], [N, P, N], [N, N, P]]}, ["it names the classes that column 'class_id' numbers"],
    ),
    "labels by number and their names": (
        table("image,label,label_name", "0,owl", "1,cat", "2,dog", "0,owl"), "list", ["cat", "dog", "owl"],
        {"": [[N, N, P], [P, N, N], [N, P, N], [N, N, P]]}, ["it names the classes that column 'label' numbers"],
    ),
    "class numbers with a fraction and their names": (
        table("image,label,class_name", "0.0,owl", "1.0,cat", "2.0,dog", "0.0,owl"), "list", ["cat", "dog", "owl"],
        {"": [[N, N, P], [P, N, N], [N, P, N], [N, N, P]]}, ["it names the classes that column 'label' numbers"],
    ),
    "class numbers of one name": (
        table("image,label,label_name", "0,owl", "1,owl", "2,dog", "0,owl"), "list", ["0", "1", "2"],
        {"": [[P, N, N], [N, P, N], [N, N, P], [P, N, N]]}, ["column 'label' lists the labels"],
    ),
    "lists between commas": (
        table("image,species", *['"Aster, blue"', '"Rose, blue"', "Iris"] * 5), "list",
        ["Aster", "Iris", "Rose", "blue"], {"": [[P, N, N, P], [N, N, P, P], [N, P, N, N]] * 5}, [],
    ),
}  # fmt: skip
REFUSED = {
    "boxes in pixels": (boxes("0 12 40 200 300"), "labels/a.txt: line 1: 12 is no share of the image; YOLO's lines"),
    "boxes with their class behind": (
        boxes(f"0 {BOX}", "34 0 0 91 1"), "labels/b.txt: line 1: 91 is no share of the image",
    ),
    "yolo's names counted from 1 and boxes from 0": (
        {**boxes(f"0 {BOX}"), "classes.txt": "1 cat\n2 dog\n"},
        "labels/a.txt: line 1: class 0, but the names' own numbers begin at 1",
    ),
    "names that miscount": (
        {**boxes(f"0 {BOX}"), "classes.txt": "0 cat\n2 dog\n"},
        "classes.txt: line 2: '2 dog' numbers its class, but the 2 lines do not number theirs 0 to 1, each once",
    ),
    "a number of its own in each row": (
        table("image,target", *(str(37 * row % 1000) for row in range(12))),
        "column 'target' holds 12 different numbers, 0 to 407, in 12 rows, which may be measures",
    ),
    "names with a comma": (
        table("image,species", *['"Aster, blue"', '"Aster, white"', "Rose"] * 5),
        "column 'species': 'Aster, blue' may be one label or 2: set data.separator to ',' for several, to ';' for one",
    ),
    "kitti's in a folder of a part": (
        {"training/image_2/a.png": "", "training/label_2/a.txt": "Car 0.00 0 1.85 387 181 423 203 1 2 3 4 5 6 7\n"},
        "training/label_2/a.txt is KITTI's: write a table of the images and their labels",
    ),
    "lists of parts beside folders of labels": (
        {"images/cat/a.jpg": "", "images/dog/b.jpg": "", "labels/train1.txt": "cat/a.jpg\n"},
        "labels/train1.txt lists images, 'cat/a.jpg' the first: name",
    ),
    "tags in a folder of their own": (
        {"pictures/a.jpg": "", "tags/a.txt": "cat, dog\n"},
        "tags/a.txt may hold the labels: put it and the others beside their images, where they are read as tags",
    ),
    "boxes in a folder of another name": (
        {"images/a.jpg": "", "labels_1/a.txt": f"0 {BOX}\n"},
        "labels_1/a.txt may hold the labels: call its folder `labels`, and that of the images `images`",
    ),
    "names of folders that are numbers": (
        {"names.json": '{"1": "owl", "2": "cat"}', "set/train/1/a.jpg": "", "set/train/2/b.jpg": ""},
        "'1' may be a class with its name, 'owl', or an image with its label: name the directory whose folders",
    ),
    "captions of img2dataset": (
        {"metadata.jsonl": '{"file_name": "a.jpg", "url": "u", "caption": "a cat", "key": "0", "status": "success", '
         '"error_message": null, "exif": "{}"}\n', "a.jpg": ""},
        "img2dataset's captions, which are no labels",
    ),
}  # fmt: skip
# Name: file of names beside the train.txt of LIST, its text, labels.
COUNTED = {
    "before the names, from 1": ("classes.txt", "1 cat\n2 dog\n3 owl\n", ["cat", "dog", "owl"]),
    "before the names, from 0": ("labels.txt", "0 ant\n1 cat\n2 dog\n3 owl\n", ["ant", "cat", "dog", "owl"]),
    "with a sign": ("classes.txt", "0: ant\n1: cat\n2: dog\n3: owl\n", ["ant", "cat", "dog", "owl"]),
    "behind the names, in another order": (
        "classes.txt", "owl: 3\nant: 0\ncat: 1\ndog: 2\n", ["ant", "cat", "dog", "owl"],
    ),
    "parts of the names": ("classes.txt", "stage 0\nstage 1\nstage 2\nstage 3\n",
                           ["stage 0", "stage 1", "stage 2", "stage 3"]),
    "parts of the names, in front": ("classes.txt", "2 doors\n3 wheels\n4 wings\n5 cats\n",
                                     ["2 doors", "3 wheels", "4 wings", "5 cats"]),
}  # fmt: skip
