"""Cases of test_known_sets.py: projects of labelling tools, and sets that list images by number or in XML."""

import json

from tests.data.known_sets import N, P, below

BIRDS = {
    "images.txt": "1 001.Gull/a.jpg\n2 002.Crow/b.jpg\n3 001.Gull/c.jpg\n", "classes.txt": "1 001.Gull\n2 002.Crow\n",
    "image_class_labels.txt": "1 1\n2 2\n3 1\n", "train_test_split.txt": "1 1\n2 1\n3 0\n", "README": "x",
    "bounding_boxes.txt": "1 1.0 2.0 3.0 4.0\n", "attributes/image_attribute_labels.txt": "1 1 1 3 2.0\n",
    "images/001.Gull/a.jpg": "", "images/002.Crow/b.jpg": "", "images/001.Gull/c.jpg": "",
}  # fmt: skip
DOGS = {
    **{f"Annotation/{place}": f"<annotation>\n<filename>{written}</filename><object><name>{label}</name>"
       "</object></annotation>" for place, written, label in (("n1-Pug/n1_1", "n1_1", "Pug"),
                                                              ("n2-Dingo/n2_1", "%s", "dingo"))},
    "Images/n1-Pug/n1_1.jpg": "", "Images/n2-Dingo/n2_1.jpg": "",
}  # fmt: skip
SETTINGS = json.dumps(
    {"classes": [{"title": "cat"}, {"title": "dog"}], "tags": [{"name": "wet"}], "projectType": "images"}
)


def supervisely(*classes: str, **tags: str | None) -> str:
    """An annotation of Supervisely: classes of objects, and tags with their values."""
    told = [{"name": name, "value": value} for name, value in tags.items()]
    held = [{"classTitle": name, "geometryType": "rectangle", "tags": []} for name in classes]
    return json.dumps({"description": "", "tags": told, "size": {"height": 8, "width": 8}, "objects": held})


def datumaro(**items: list[int | None]) -> str:
    """Datumaro's file of images with the numbers of their labels."""
    names = [{"name": name, "parent": parent} for name, parent in (("cat", "pet"), ("dog", "pet"), ("pet", ""))]
    held = [
        {"id": name, "image": {"path": f"{name}.jpg", "size": [8, 8]}, "annotations": [
            {"type": "bbox", "label_id": number, "attributes": {"occluded": False}} for number in each]}
        for name, each in items.items()
    ]  # fmt: skip
    return json.dumps({"info": {}, "categories": {"label": {"labels": names}}, "items": held})


# Name: files with their texts, format, labels, states of each split, parts of what is said.
READ = {
    "vott": (
        {"a b.jpg": "", "c.jpg": "", "p.json": json.dumps({"name": "p", "assets": {
            "1": {"asset": {"name": "a%20b.jpg", "state": 2}, "regions": [{"tags": ["cat", "dog"]}, {"tags": ["cat"]}]},
            "2": {"asset": {"name": "c.jpg", "state": 1}, "regions": []},
            "3": {"asset": {"name": "d.jpg", "state": 0}, "regions": []}}})},
        "metadata", ["cat", "dog"], {"": [[P, P], [N, N]]}, ["VoTT's tags", "nobody annotated 1 of 3 images"],
    ),
    "vott, a file for each image": (
        {f"{name}{end}": text for name, label in (("a", "cat"), ("b", "dog")) for end, text in {
            ".jpg": "", "-asset.json": json.dumps({"asset": {"name": f"{name}.jpg", "state": 2}, "version": "2.2.0",
                                                   "regions": [{"tags": [label]}]})}.items()},
        "metadata", ["cat", "dog"], {"": [[P, N], [N, P]]}, [],
    ),
    "birds of caltech": (
        BIRDS, "authors", ["001.Gull", "002.Crow"], {"train": [[P, N], [N, P]], "test": [[P, N]]},
        ["train_test_split.txt says with 1 and 0", "attributes/image_attribute_labels.txt is not read: name it"],
    ),
    "birds, a part of them": (
        BIRDS | {"images.txt": "2 002.Crow/b.jpg\n"}, "authors", ["002.Crow"], {"train": [[P]]},
        ["2 images of image_class_labels.txt are none of images.txt: they are left out"],
    ),
    "birds in their archive": (
        below("CUB_200_2011", BIRDS) | {"attributes.txt": "1 has_bill::curved\n"}, "authors", ["001.Gull", "002.Crow"],
        {"train": [[P, N], [N, P]], "test": [[P, N]]}, [],
    ),
    "dogs of stanford": (DOGS, "voc", ["Pug", "dingo"], {"": [[P, N], [N, P]]}, []),
    "dogs of stanford from Kaggle": (
        {f"{'annotations' if name[0] == 'A' else 'images'}/{name}": text for name, text in DOGS.items()}, "voc",
        ["Pug", "dingo"], {"": [[P, N], [N, P]]}, [],
    ),
    "datumaro": (
        {"annotations/default.json": datumaro(a=[0, 1, None], b=[]),
         "images/default/a.jpg": "", "images/default/b.jpg": ""},
        "datumaro", ["cat", "dog"], {"": [[P, P], [N, N]]}, ["the parent 'pet' is no label"],
    ),
    "datumaro in parts": (
        {"annotations/train.json": datumaro(a=[0]), "annotations/val.json": datumaro(a=[1]),
         "images/train/a.jpg": "", "images/val/a.jpg": ""},
        "datumaro", ["cat", "dog"], {"train": [[P, N]], "val": [[N, P]]}, ["no image has the label 'dog'"],
    ),
    "supervisely": (
        {"meta.json": SETTINGS, "ds0/ann/a.jpg.json": supervisely("cat", "cat", wet=None), "ds0/img/a.jpg": "",
         "ds0/ann/b.png.json": supervisely("dog", place="indoors"), "ds0/img/b.png": "", "ds0/img/c.jpg": ""},
        "supervisely", ["cat", "dog", "wet"], {"": [[P, N, P], [N, P, N]]},
        ["1 tags 'place' have a value: they are no labels", "1 images in img have no annotation file"],
    ),
    "supervisely in parts": (
        {"meta.json": SETTINGS, **{f"{part}/{name}": text for part, label in (("train", "cat"), ("val", "dog"))
                                   for name, text in {"ann/a.jpg.json": supervisely(label), "img/a.jpg": ""}.items()}},
        "supervisely", ["cat", "dog"], {"train": [[P, N]], "val": [[N, P]]}, [],
    ),
    "supervisely in two data sets": (
        {"meta.json": SETTINGS, **{f"ds{n}/{name}": text for n, label in enumerate(("cat", "dog"))
                                   for name, text in {"ann/a.jpg.json": supervisely(label), "img/a.jpg": ""}.items()}},
        "supervisely", ["cat", "dog"], {"": [[P, N], [N, P]]}, ["the data sets ds0, ds1 are read as one"],
    ),
    "supervisely's answers": (
        {"meta.json": SETTINGS, "ds0/ann/a.jpg.json": supervisely(breed="pug"), "ds0/img/a.jpg": "",
         "ds0/ann/b.jpg.json": supervisely(breed="dingo"), "ds0/img/b.jpg": ""},
        "supervisely", ["dingo", "pug"], {"": [[N, P], [P, N]]}, ["the values of the tag 'breed' are the labels"],
    ),
}  # fmt: skip

# Name: files with their texts, what the error says.
REFUSED = {
    "a project of supervisely without images": (
        {"meta.json": SETTINGS, "ds0/ann/a.jpg.json": supervisely("cat"), "ds0/images/a.jpg": ""},
        "meta.json: Supervisely's settings: name the directory of the project, whose folders hold img and ann",
    ),
    "a label of datumaro that is none": (
        {"annotations/default.json": datumaro(a=[7]), "images/default/a.jpg": ""},
        "item 'a': label_id 7 is none of its 3",
    ),
    "a bird that is not listed": (
        BIRDS | {"image_class_labels.txt": "1 1\n"}, "names no class of image 2, which is in images.txt",
    ),
    "a bird of no class": (BIRDS | {"image_class_labels.txt": "1 9\n"}, "class 9 of image 1 is none of classes.txt"),
    "a bird of no part": (BIRDS | {"train_test_split.txt": "1 1\n"}, "train_test_split.txt: does not say with 1 or 0"),
}  # fmt: skip
