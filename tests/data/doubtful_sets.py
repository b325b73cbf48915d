"""Cases of test_doubtful.py: folders, numbers and texts that are no labels, and others like them that are."""

import json

P, N = 1, -1
NAMES = [f"{letter}.jpg" for letter in "abcdefghijkl"]


def folders(*names: str) -> dict[str, str]:
    """Two images in each folder; no two have one content."""
    return {f"{name}/{number}.jpg": "" for name in names for number in range(2)}


def beside(*texts: str) -> dict[str, str]:
    """Images with a text file each."""
    return {f"{number:02d}.{ending}": held for number, text in enumerate(texts) for ending, held in
            (("jpg", ""), ("txt", text))}  # fmt: skip


def lines(*cells: str, sign: str = " ") -> str:
    """A list of images with what follows each."""
    return "".join(f"{name}{sign}{cell}\n" for name, cell in zip(NAMES, cells, strict=False))


def by_image(*held: object) -> str:
    return json.dumps(dict(zip(NAMES, held, strict=False)))


PIECES = "are called as pieces of the set are, and may be no labels: set data.format to folders if they are, else name"
DATES = "are called as dates are, and may be no labels"
SIZES = "are called as sizes of the images are"
VERSIONS = "are called as versions of the same images are"
# The folders of a directory, and what the error says of them.
FOLDERS = {
    ("fold1", "fold2"): PIECES, ("fold_0", "fold_1", "fold_2"): PIECES, ("part1", "part2"): PIECES,
    ("batch_1", "batch_2"): PIECES, ("images_001", "images_002"): PIECES, ("camera1", "camera2"): PIECES,
    ("ham_images_part_1", "ham_images_part_2"): PIECES, ("100CANON", "101CANON"): PIECES,
    ("patient001", "patient002"): PIECES, ("train_images", "extra_images"): PIECES, ("video1", "video2"): PIECES,
    ("original", "augmented"): VERSIONS, ("raw", "processed"): VERSIONS, ("input", "target"): VERSIONS,
    ("input", "GT"): VERSIONS, ("low", "high"): VERSIONS, ("LR", "HR"): VERSIONS, ("rgb", "depth"): VERSIONS,
    ("labeled", "unlabeled"): VERSIONS, ("128", "256", "512"): SIZES, ("64x64", "128x128"): SIZES,
    ("40X", "100X"): SIZES, ("2019", "2020"): DATES, ("2020-01-05", "2020-02-17"): DATES,
    ("20200105", "20200217"): DATES, ("2020_01", "2020_02"): DATES, ("January", "March"): DATES,
    ("3f", "a0", "bc"): "are called as the first letters of the images' checksums are",
    ("bounding_box_train", "bounding_box_test", "query"): "are called as parts of the set are",
    ("train/original", "train/augmented", "val/original", "val/augmented"): VERSIONS,
    ("train_images", "test_images"): "are called as parts of the data are",
    ("images", "masks"): "'images' is a folder of images, not a label",
}  # fmt: skip
LABELLED = (
    tuple("0123456789"), ("0", "1"), ("000", "001", "002"), ("00", "01", "02"), ("1", "2", "3", "4", "5"),
    ("A", "B", "C"), ("cat", "fold1"), ("2019", "cat"), ("7", "128", "999"), ("fold", "crease"), ("class1", "class2"),
    ("person_1", "person_2"), ("be", "de", "fa"), ("good", "bad"), ("left", "right"), ("n01440764", "n01443537"),
    ("stage 1", "stage 2"), ("sunny", "rainy", "foggy"),
)  # fmt: skip

BOXES = [f"{12 + number} 40 {200 + number} 300" for number in range(5)]
SENTENCES = [f"a man rides a {word} in town" for word in ("horse", "bike", "cart", "mule", "cow")]
AGES = [f"{20 + 7 * number}" for number in range(12)]
# Name: file, content, what the error says beside the file.
REFUSED = {
    "boxes of images": ("l.json", by_image([12, 40, 200, 300], [9, 12, 80, 90]), "entry 1: 'a.jpg' holds [12, 40, 200, 300], which may be no classes (four an image, 9 to 300, as the corners of a box are): set data.separator to ' '"),
    "boxes with a fraction": ("l.json", by_image([12.5, 40, 200.1, 300]), "entry 1: 'a.jpg' holds the number 12.5, which is no label"),
    "sizes of images": ("l.json", by_image({"width": 640, "height": 480}), "entry 1: 'a.jpg' holds 'width': 640, which is no label: write"),
    "sizes of images in lists": ("l.json", by_image([640, 480], [500, 375]), "(2 an image, 375 to 640, as sizes and places are)"),
    "ages of people": ("l.json", by_image(*map(int, AGES)), "entry 1: 'a.jpg' holds 20, which may be no classes (one an image, 20 to 97, 12 different"),
    "captions by image": ("l.json", by_image(*([each] for each in SENTENCES)), "entry 1, column 'labels': 'a man rides a horse in town' and others like it may be captions"),
    "captions under a key": ("l.json", by_image({"caption": SENTENCES[0]}), "entry 1: 'a.jpg' holds 'caption': 'a man rides a horse in town', which is no label"),
    "addresses": ("l.json", by_image("https://host/a.jpg", "https://host/b.jpg"), "'https://host/a.jpg' names a file or a page, and no label"),
    "masks": ("l.json", by_image("m/a.png", "m/b.png"), "'m/a.png' names a file or a page, and no label"),
    "a box a line": ("l.txt", lines(*BOXES), "line 1: '12 40 200 300' may be no classes (four an image, 12 to 300, as the corners of a box are): set data.separator to ' ' if they are, or name them in classes.txt"),
    "a box a line, between commas": ("l.csv", lines(*(each.replace(" ", ",") for each in BOXES), sign=","), "line 1: '12 40 200 300' may be no classes"),
    "boxes of small pictures": ("l.txt", lines("30 4 34 9", "1 2 7 33"), "(four an image, 1 to 34, as the corners of a box are)"),
    "a size a line": ("l.txt", lines("640 480", "500 375"), "line 1: '640 480' may be no classes (2 an image, 375 to 640"),
    "an age a line": ("l.txt", lines(*AGES), "line 1: '20' may be no classes (one an image, 20 to 97, 12 different ones in 12 images"),
    "a list that is filled up": ("l.txt", lines("3 7 -1 -1", "5 -1 -1 -1"), "line 1, column 'labels': '-1' may be a class or say that there is none"),
    "a list of words that is filled up": ("t.csv", "image,labels\na,cat;dog\nb,cat;-1\n", "line 3, column 'labels': '-1' may be a class or say"),
    "a list of JSON that is filled up": ("t.json", by_image([3, 7, -1], [5, -1, -1]), "entry 1, column 'labels': '-1' may be a class"),
    "numbers before a word without a header": ("l.txt", lines("10,20,30,40,cat", "1,2,3,4,dog"), "l.txt: the header has no label column"),
}  # fmt: skip
# Name: file, content, part of a warning.
WARNED = {
    "few ages": ("l.txt", lines("34", "56"), "line 1: '34' may be no classes (one an image, 34 to 56, 2 different ones in 2 images"),
    "years": ("l.txt", lines(*("1990", "1991", "1995") * 4), "(one an image, 1990 to 1995, 3 different ones in 12 images, as ages or counts are): set data.separator to ' '"),
    "few ages by image": ("l.json", by_image(34, 56), "entry 1: 'a.jpg' holds 34, which may be no classes"),
    "boxes under labels": ("t.csv", 'image,labels\na,"[12, 40, 200, 300]"\nb,"[9, 12, 80, 90]"\n', "line 2, column 'labels': '[12, 40, 200, 300]' may be no classes (four an image"),
    "numbers of plates": ("l.json", by_image(*(f"AB{number}CD" for number in range(12))), "12 of 12 labels are of one image each, first 'AB0CD': if they are texts, names"),
}  # fmt: skip
# Name: file, content, labels of the images.
READ = {
    "two classes a line": ("l.txt", lines("0 3", "1 2"), [["0", "3"], ["1", "2"]]),
    "a class a line": ("l.txt", lines("5", "3"), [["5"], ["3"]]),
    "some of eighty classes": ("l.txt", lines("17 62 79", "3", "44 61"), [["17", "62", "79"], ["3"], ["44", "61"]]),
    "all of forty classes": ("l.txt", "".join(f"{n}.jpg {n % 40}\n" for n in range(80)), [[str(n % 40)] for n in range(80)]),
    "digits": ("l.txt", "".join(f"{n}.jpg {n}\n" for n in range(10)), [[str(n)] for n in range(10)]),
    "four classes a line": ("l.txt", lines("0 3 7 9", "1 2 5 8"), [["0", "3", "7", "9"], ["1", "2", "5", "8"]]),
    "classes by image": ("l.json", by_image([0, 3], [2]), [["0", "3"], ["2"]]),
    "a class by image": ("l.json", by_image(0, 3, 2, 3, 1), [["0"], ["3"], ["2"], ["3"], ["1"]]),
    "lists of words without a header": ("l.txt", lines("cat", "cat,dog", "dog"), [["cat"], ["cat", "dog"], ["dog"]]),
    "lists of words behind tabs": ("l.txt", lines("cat,dog", "dog", sign="\t"), [["cat", "dog"], ["dog"]]),
    "words between tabs": ("l.txt", lines("cat\tdog", "dog", sign="\t"), [["cat", "dog"], ["dog"]]),
}  # fmt: skip
# Name: text files beside images, part of the error.
TEXTS = {
    "ages": (AGES, "00.txt: '20' may be no classes (one an image, 20 to 97, 12 different ones in 12 images, as ages or"),
    "captions": ([f"{each}, while others look on" for each in SENTENCES], "'a man rides a horse in town' and others like"),
    "several captions": ([f"{each}.\nIt is a fine day with {each}" for each in SENTENCES], "may be captions or texts in"),
    "points": (["3 4\n5 6\n", "1.5 2\n7 8\n"], "00.txt: '3 4' and the lines below are numbers, as points are, and not tags"),
}  # fmt: skip

LISTED = [f"img{number}.jpg" for number in range(5)]


def listed(folder: str, *cells: str) -> dict[str, str]:
    """A labels.txt and the images in a folder, of which it names the files alone."""
    rows = "".join(f"{name} {cell}\n" for name, cell in zip(LISTED, cells, strict=False))
    return {"labels.txt": rows, **{f"{folder}{name}": "" for name in LISTED[: len(cells)]}}


# Name: files of a directory, labels, states of each split.
LISTS = {
    "class numbers": (listed("", "0", "1", "2"), ["0", "1", "2"], {"": [[P, N, N], [N, P, N], [N, N, P]]}),
    "several class numbers": (listed("images/", "0 3", "1", "2 3"), list("0123"),
                              {"": [[P, N, N, P], [N, P, N, N], [N, N, P, P]]}),
    "words": (listed("pictures/", "cat,dog", "dog"), ["cat", "dog"], {"": [[P, P], [N, P]]}),
    "words and names that no list has": (
        listed("", "cat", "dog", "dog") | {"README.txt": "img0.jpg is nice\n", "all.txt": "img0.jpg\nimg1.jpg\n"},
        ["cat", "dog"], {"": [[P, N], [N, P], [N, P]]},
    ),
    "a table": ({"labels.txt": "image,cat,dog\na.jpg,1,0\nb.jpg,0,1\n", "a.jpg": "", "b.jpg": ""}, ["cat", "dog"],
                {"": [[P, N], [N, P]]}),
    "parts": ({"train.txt": "images/a.jpg 0\nimages/b.jpg 1\n", "val.txt": "images/c.jpg 1\n",
               "classes.txt": "cat\ndog\n", **{f"images/{name}.jpg": "" for name in "abc"}}, ["cat", "dog"],
              {"train": [[P, N], [N, P]], "val": [[N, P]]}),
    "a part of folders of parts": ({"train.txt": "train/a.jpg 0\ntrain/b.jpg 1\n", "train/a.jpg": "", "train/b.jpg": "",
                                    "test/c.jpg": ""}, ["0", "1"], {"": [[P, N], [N, P]]}),
}  # fmt: skip
# Name: files of a directory, part of the error.
LISTS_REFUSED = {
    "folders that may be labels": (
        folders("cat", "dog") | {"train.txt": "cat/cat0.jpg 0\ndog/dog0.jpg 1\n"},
        "may be read as folders, each a label, 'cat' among them, or by train.txt: set data.format to folders, or name",
    ),
    "tags beside the images": (
        listed("", "0", "1") | {"img0.txt": "cat, dog"},
        "may be read as tag_files, by img0.txt, or by labels.txt: set data.format to tag_files, or name",
    ),
    "two lists": (listed("", "0", "1") | {"other.txt": "img0.jpg 1\n"}, "holds several label files, labels.txt, other.txt"),
}  # fmt: skip
