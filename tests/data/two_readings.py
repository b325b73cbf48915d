"""Cases of test_two_readings.py: label files that can be read in two ways, of which one is right or neither is."""

from tests.data.layouts import BOX

P, N, U = 1, -1, 0


def table(header: str, *cells: str) -> str:
    """A table of numbered images."""
    return header + "\n" + "".join(f"{number}.jpg,{cell}\n" for number, cell in enumerate(cells))


def images(*names: str) -> dict[str, str]:
    return dict.fromkeys(names, "")


WHOLE = (["2", "3", "5"], [[P, P, N], [N, N, P]])  # labels and states of `2, 3` and `5`
# Name: content of a table, labels, states of the images, parts of what is said.
READ = {
    **{
        f"whole numbers in {name}": (table("image,labels", f'"{several}"', f'"{one}"'), *WHOLE, said)
        for name, several, one, said in (
            ("NumPy's arrays", "[2. 3.]", "[5.]", ()),
            ("NumPy's arrays of both kinds", "[2 3]", "[5.]", ()),
            ("lists of NumPy's numbers", "[np.int64(2), np.int64(3)]", "[np.int64(5)]", ()),
            ("lists of NumPy's fractions", "[np.float64(2.0), np.float64(3.0)]", "[np.float64(5.0)]", ("'2.0' is '2'",)),
            ("lists of fractions", "[2.0, 3.0]", "[5.0]", ("without their fraction of 0: '2.0' is '2'",)),
            ("lists of both kinds", "[2.0, 3.0]", "[5]", ("without their fraction of 0: '2.0' is '2'",)),
            ("printed arrays", "array([2., 3.])", "array([5])", ("without their fraction of 0: '2.0' is '2'",)),
            ("printed tensors", "tensor([2., 3.])", "tensor([5.])", ("without their fraction of 0: '2.0' is '2'",)),
        )
    },
    "NumPy's words": (
        table("image,labels", "\"[np.str_('cat'), np.str_('dog')]\"", "[np.str_('cat')]"), ["cat", "dog"], [[P, P], [P, N]], (),
    ),
    "versions in quotes": (
        table("image,labels", '"[""2.0"", ""3.0""]"', '"[""3.0""]"'), ["2.0", "3.0"], [[P, P], [N, P]], (),
    ),
    "numbers between commas": (
        table("image,class", *['"1, 2"', '"3, 4"'] * 3), list("1234"), [[P, P, N, N], [N, N, P, P]] * 3, ("separated by ','",),
    ),
    "words between commas that mix": (
        table("image,class", *['"Hat, wool"', '"Coat, wool"'] * 3), ["Coat", "Hat", "wool"], [[N, P, P], [P, N, P]] * 3,
        ("separated by ','",),
    ),
    "NA beside words": (
        table("image,label", "NA", "cat", "", "dog"), ["cat", "dog"], [[N, N], [P, N], [N, N], [N, P]],
        ("'NA' counts as a blank cell, in 1 rows: if it is a label, call it otherwise", "a blank cell is no label, in 1 rows"),
    ),
}  # fmt: skip
# Name: content, part of a warning.
WARNED = {
    "NA beside words as short": (
        table("image,continent", "NA", "EU", "AS", "EU"), "'NA' counts as a blank cell, in 1 rows: if it is a label, call it",
    ),
    "NA beside words as short in rows": (
        "image,label\na,EU\na,AS\nb,NA\nc,EU\n", "'NA' counts as a blank cell, in 1 rows: if it is a label, call it",
    ),
}  # fmt: skip
# Name: content, part of the error.
REFUSED = {
    "a name with a comma": (
        table("image,category", *['"Hat, wool"', "Shirt"] * 2), "'Hat, wool' may be one label or 2: set data.separator to ','",
    ),
    "names with a comma, none twice": (
        table("image,category", '"Hat, wool"', '"Dress, long"', '"Gown, red"', '"Cap, flat"', "Shirt"),
        "'Hat, wool' may be one label or 2: set data.separator to ','",
    ),
    "NA in a list": (
        table("image,labels", "NA;EU", "AS"), "'NA' means no label, but 'EU' stands beside it: keep one of the two, or call",
    ),
    "NA in rows": (
        "image,label\na,EU\na,NA\nb,NA\nc,EU\n", "'NA' means no label, but 'a' also has 'EU': keep one of the two, or call",
    ),
}  # fmt: skip
CLOTHES = "2\nattribute_name  attribute_type\nv-neck   1\nabstract print   2\n"
ATTRIBUTES = "3\nimage_name  attribute_labels\nimg/a/1.jpg    1 -1\nimg/a/2.jpg   -1  1\nimg/a/3.jpg    0  1\n"
FASHION = {"Anno/list_attr_img.txt": ATTRIBUTES, **images("img/a/1.jpg", "img/a/2.jpg", "img/a/3.jpg")}
FASHION_PARTS = "3\nimage_name  evaluation_status\nimg/a/1.jpg  train\nimg/a/2.jpg  val\nimg/a/3.jpg  train\n"
OF_FASHION = ["v-neck", "abstract print"]
TABLES = {"train.csv": table("image,labels", "cat;dog", "cat"), "val.csv": "image,labels\n2.jpg,dog;cat\n"}
# Name: files, place that is read, labels, states of each split.
READ_SETS = {
    "deepfashion": (
        FASHION | {"Anno/list_attr_cloth.txt": CLOTHES}, "", OF_FASHION, {"": [[P, N], [N, P], [U, P]]},
    ),
    "deepfashion's table": (
        FASHION | {"Anno/list_attr_cloth.txt": CLOTHES}, "Anno/list_attr_img.txt", OF_FASHION, {"": [[P, N], [N, P], [U, P]]},
    ),
    "deepfashion in parts": (
        FASHION | {"Anno/list_attr_cloth.txt": CLOTHES, "Eval/list_eval_partition.txt": FASHION_PARTS}, "", OF_FASHION,
        {"train": [[P, N], [U, P]], "val": [[N, P]]},
    ),
    **{
        f"tables of parts in {folder}": (
            {f"{folder}/{name}": text for name, text in TABLES.items()} | images(*(f"{place}{name}" for name in names)), "",
            ["cat", "dog"], {"train": [[P, P], [P, N]], "val": [[P, P]]},
        )
        for folder, place in (("labels", "images/"), ("annotations", ""))
        for names in [("train/0.jpg", "train/1.jpg", "val/2.jpg")]
    },
    "a list between commas with a blank one": (
        {"train.txt": "0.jpg,0,2\n1.jpg,\n2.jpg,1\n", **images("0.jpg", "1.jpg", "2.jpg")}, "train.txt", list("012"),
        {"": [[P, N, P], [N, N, N], [N, P, N]]},
    ),
}  # fmt: skip
FLAT = images("images/a.jpg", "images/b.jpg")
# Name: files, place that is read, part of the error.
REFUSED_SETS = {
    "deepfashion without names": (
        FASHION, "Anno/list_attr_img.txt", "DeepFashion's, whose 2 attributes are named in list_attr_cloth.txt: put that file",
    ),
    "deepfashion with a name too many": (
        FASHION | {"Anno/list_attr_cloth.txt": CLOTHES + "red  1\n"}, "", "list_attr_cloth.txt: 3 names, one a line with its kind",
    ),
    "deepfashion with other values": (
        FASHION | {"Anno/list_attr_cloth.txt": CLOTHES, "Anno/list_attr_img.txt": ATTRIBUTES + "img/a/4.jpg  2 1\n"}, "",
        "line 6: 2 values of 1 or -1 must follow the image",
    ),
    "numbers before images": (
        {"t.txt": "2 0.jpg\n1 1.jpg\n"}, "t.txt", "if '2' of line 1: '2 0.jpg' is the label, write it behind the image, '0.jpg 2'",
    ),
    "words before images": ({"t.txt": "cat 0.jpg\ndog 1.jpg\n"}, "t.txt", "write it behind the image, '0.jpg cat'"),
    "tables of parts beside folders of labels": (
        {f"labels/{name}": text for name, text in TABLES.items()} | images("cat/0.jpg", "dog/1.jpg", "dog/2.jpg"), "",
        "may be read as folders, each a label, 'cat' among them, or by train.csv",
    ),
    "boxes in a folder of a part": (
        FLAT | {"labels/train/a.txt": f"0 {BOX}\n", "labels/train/b.txt": f"1 {BOX}\n", "classes.txt": "cat\ndog\n"}, "",
        "labels/train/a.txt: no image has a file of boxes, and 2 lie deeper: put them into",
    ),
}  # fmt: skip
