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
    "a column without a cell": (
        table("image,cat,dog,Kommentar", "1,0,", "0,1,"), ["cat", "dog"], [[P, N], [N, P]],
        ("columns that are no labels: Kommentar (blank)",),
    ),
    "a column of lists without a cell": (
        table("image,cat,dog,labels", "1,0,", "0,1,"), ["cat", "dog"], [[P, N], [N, P]], ("no labels: labels (blank)",),
    ),
    "NA beside words": (
        table("image,label", "NA", "cat", "", "dog"), ["cat", "dog"], [[N, N], [P, N], [N, N], [N, P]],
        ("'NA' counts as a blank cell, in 1 rows: if it is a label, call it otherwise", "a blank cell is no label, in 1 rows"),
    ),
}  # fmt: skip
# Name: content, part of a warning.
WARNED = {
    "a label that no cell names": (
        table("image,cat,dog,owl", "1,,", ",1,"),
        "no image has the label 'owl', whose column is blank: if it is none, name it in data.ignore_columns",
    ),
    "a list called a description beside yes and no": (
        table("image,is_day,description", 'yes,"cat, dog"', "no,dog"), "column 'description' is taken as no label, though",
    ),
    "words of a place beside yes and no": (
        table("image,is_day,city", 'yes,"Rome, IT"', 'no,"Pisa, IT"'), "column 'city' is taken as no label, though its",
    ),
    "counts of annotations beside labels": (
        table("image,annotations,cat,dog", "0,1,0", "1,0,1", "2,1,0", "3,0,1", "2,0,1", "3,1,0"),
        "column 'annotations' is taken as no label, because fewer than half of its cells are 1, 0, -1 or blank",
    ),
    "a word beside yes and no": (table("image,is_day,color", "yes,red", "no,blue", "no,red"), "column 'color' is taken as no label"),
    "kinds of which none was seen": (
        table("image,species,count", "owl,2", "cat,0", "owl,1"), "line 3, column 'count': '0' may say that the labels do not hold",
    ),
    "labels beside a model's": (
        table("image,label,prediction", "cat,cat", "dog,owl", "owl,dog"), "'prediction', which differs from it, is not: if both",
    ),
    "NA beside words as short": (
        table("image,continent", "NA", "EU", "AS", "EU"), "'NA' counts as a blank cell, in 1 rows: if it is a label, call it",
    ),
    "NA beside words as short in rows": (
        "image,label\na,EU\na,AS\nb,NA\nc,EU\n", "'NA' counts as a blank cell, in 1 rows: if it is a label, call it",
    ),
}  # fmt: skip
BOXES = ("10,20,30,40,nike", "10,20,50,60,puma", "20,20,50,60,nike")
BRANDS = table("image,xmin,ymin,xmax,ymax,brand", *BOXES)
TWICE = ("cat;dog,cat", "dog,dog;cat", "cat,owl", "owl;dog,dog")
SINGLE = ("cat,cat", "dog,owl", "owl,dog", "cat,cat")
BLANKS = ("cat dog,cat", "dog,dog", "cat,cat dog", "cat,dog")
# Name: content, part of the error.
REFUSED = {
    **{
        f"labels beside {name}": (
            table(f"image,{own},{name}", *cells), f"{own!r} and {name!r} may both hold the labels: set data.label_columns to [{own}] or",
        )
        for own, name, cells in (
            ("labels", "labels_corrected", TWICE), ("label", "label_fixed", SINGLE), ("labels", "gt", TWICE),
            ("labels_anna", "labels_ben", ("cat;dog,cat", "dog,owl", "owl;dog,dog")), ("labels", "labels_new", BLANKS),
        )
    },
    "labels beside those that are absent": (
        table("image,labels,absent", *TWICE), "'labels' may list the labels, and 'absent' those that are absent: set",
    ),
    **{
        f"a list called {name} beside yes and no": (
            table(f"image,{name},is_day", '"cat, dog",yes', "dog,no", '"cat, owl",no'), f"the labels may be listed in column {name!r} or be",
        )
        for name in ("objects", "ingredients", "annotations")
    },
    "a name with a comma": (
        table("image,category", *['"Hat, wool"', "Shirt"] * 2), "'Hat, wool' may be one label or 2: set data.separator to ','",
    ),
    "a numbered name with a comma": (
        table("image,class_id,class_name", *['0,"lamp, floor"', "1,chair", "2,sofa"] * 2),
        "column 'class_name': 'lamp, floor' may be one label or 2: set data.separator to ',' for several, to ';' for one",
    ),
    "words of a brand beside boxes": (
        BRANDS, "column 'brand' may name the labels of the boxes or say something of the image: set data.format to long",
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
COLOURS = table("image,upper_color,lower_color", "red,blue", "blue,red", "red,red")
# Name: content, options, labels, states of the images.
SETTLED = {
    "a column without a cell that an option names": (
        table("image,cat,owl", "1,", "-1,", "0,"), {"uncertain": {"cat": "positive", "owl": "negative"}}, ["cat", "owl"],
        [[P, U], [P, U], [N, U]],
    ),
    "one of two lists": (table("image,labels,labels_new", *TWICE), {"label_columns": ("labels",)}, ["cat", "dog", "owl"],
                         [[P, P, N], [N, P, N], [P, N, N], [N, P, P]]),
    "a list that another corrects": (table("image,labels,labels_new", *TWICE), {"ignore_columns": ("labels_new",)}, ["cat", "dog", "owl"],
                                     [[P, P, N], [N, P, N], [P, N, N], [N, P, P]]),
    "colours, wherever": (COLOURS, {"label_columns": ("upper_color", "lower_color"), "form": "list"}, ["blue", "red"],
                          [[P, P], [P, P], [N, P]]),
    "colours and shapes": (table("image,color,shape", "red,round", "blue,long"), {"label_columns": ("color", "shape")},
                           ["blue", "long", "red", "round"], [[N, N, P, P], [P, P, N, N]]),
    **{
        f"{first} and {second}": (table(f"image,{first},{second}", "red,blue", "blue,black"), {"label_columns": (first, second)},
                                  ["black", "blue", "red"], [[N, P, P], [P, P, N]])
        for first, second in (("tag1", "tag2"), ("label", "more_labels"), ("animal", "second_animal"), ("species", "other"))
    },
    "a name with a comma": (table("image,category", *['"Hat, wool"', "Shirt"] * 2), {"separator": ";"}, ["Hat, wool", "Shirt"],
                            [[P, N], [N, P]] * 2),
    "words of a brand beside boxes": (BRANDS, {"form": "long"}, ["nike", "puma"], [[P, N], [N, P], [P, N]]),
    "words of a brand alone beside boxes that are ignored": (
        BRANDS, {"ignore_columns": ("xmin", "ymin", "xmax", "ymax")}, ["nike", "puma"], [[P, N], [N, P], [P, N]],
    ),
    "words of a brand beside boxes and labels": (
        table("image,xmin,ymin,xmax,ymax,brand,cat,dog", *map("{},1,0".format, BOXES)), {}, ["cat", "dog"], [[P, N]] * 3,
    ),
    "a numbered name with a comma": (
        table("image,class_id,class_name", *['0,"lamp, floor"', "1,chair"] * 2), {"separator": ";"}, ["chair", "lamp, floor"],
        [[N, P], [P, N]] * 2,
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
