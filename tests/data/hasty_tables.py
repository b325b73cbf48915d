"""Cases of test_hasty_tables.py: tables written in haste, with marks of doubt, counts, stray quotes and rows twice."""

P, N = 1, -1


def table(header: str, *cells: str) -> str:
    """A table of numbered images."""
    return header + "\n" + "".join(f"{number}.jpg,{cell}\n" for number, cell in enumerate(cells))


def melted(header: str, yes: str = "1", no: str = "0") -> str:
    """A row for each image and label, as pandas' melt writes them, but for the last."""
    rows = [
        ("a.jpg", "cat", yes),
        ("a.jpg", "dog", no),
        ("b.jpg", "cat", no),
        ("b.jpg", "dog", yes),
        ("c.jpg", "cat", no),
    ]
    return "\n".join([header, *(",".join(row) for row in rows)]) + "\n"


FACTS = (
    "labelled", "is_labelled", "Labeled", "annotated", "isAnnotated", "checked", "checked_by", "usable", "valid",
    "is_public", "was_reviewed", "month", "week", "hour", "qc", "has_been_verified", "not_usable",
    "deleted", "skip", "labels_complete", "has_labels", "has_bbox", "consent", "validation", "in_test_set", "training",
    "cv", "part", "dataset", "augmented", "disagreement", "second_read", "expert", "n",
)  # fmt: skip
MARKED = {
    "cat (maybe)": "'cat (maybe)' may be a label or an uncertain 'cat'",
    "cat [possible]": "'cat [possible]' may be a label or an uncertain 'cat'",
    "possible cat": "'possible cat' may be a label or an uncertain 'cat'",
    "Probable cat": "'Probable cat' may be a label or an uncertain 'cat'",
    "cat maybe": "'cat maybe' may be a label or an uncertain 'cat'",
    "evtl. cat": "'evtl. cat' may be a label or an uncertain 'cat'",
    "cat x2": "'cat x2' may be a label or one with its value",
    "cat\u00d72": "'cat\u00d72' may be a label or one with its value",
    "2x cat": "'2x cat' may be a label or one with its value",
}
LISTS = ("cat bird", "cat", "cat dog bird", "cat", "dog bird", "bird", "dog", "")
OF_LISTS = [[P, P, N], [N, P, N], [P, P, P], [N, P, N], [P, N, P], [P, N, N], [N, N, P], [N, N, N]]  # bird, cat, dog

NUMBERS = ("9", "10", "3", "9", "10", "3")
WEATHER = ("sun", "rain", "fog", "fog", "rain", "sun")
ANIMALS = ("cat", "dog", "owl", "cat", "dog", "owl")
OF_ANIMALS = [[P, N, N], [N, P, N], [N, N, P]] * 2
PLACES = {"corners": ("xmin,ymin,xmax,ymax", "4,9,20,30"), "a list": ("bbox", '"[4, 9, 20, 30]"')}
SEVERAL = '"[[4, 9, 20, 30], [5, 9, 9, 30]]"'


def beside(*columns: tuple[str, ...]) -> list[str]:
    """The cells of several columns as rows."""
    return [",".join(row) for row in zip(*columns, strict=True)]


# Name: content, labels, states of the images.
READ = {
    **{
        f"numbers under {name} beside the weather, boxes as {form}": (
            table(f"image,{name},weather,{header}", *(f"{cell},{box}" for cell in beside(NUMBERS, WEATHER))), ["10", "3", "9"],
            [[N, N, P], [P, N, N], [N, P, N]] * 2,
        )
        for name in ("species", "genre", "tags", "dx", "Target", "annotations", "label") for form, (header, box) in PLACES.items()
    },
    "words under annotations beside boxes": (
        table("image,annotations,city,bbox", *(f'{cell},"[4, 9, 20, 30]"' for cell in beside(ANIMALS, WEATHER))),
        ["cat", "dog", "owl"], OF_ANIMALS,
    ),
    **{
        f"names of the numbers in {numbers}, under {names}": (
            table(f"image,{numbers},{names}", *beside(("0", "1", "2") * 2, ANIMALS)), ["cat", "dog", "owl"], OF_ANIMALS,
        )
        for numbers, names in (("category_id", "class_name"), ("category_id", "genre"), ("category_id", "LabelName"))
    },
    **{
        f"lists of names of the lists under {name}": (
            table(f"image,{name},{name}_name", "0;2,cat;owl", "1,dog", "2;1,owl;dog", ","), ["cat", "dog", "owl"],
            [[P, N, P], [N, P, N], [N, P, P], [N, N, N]],
        )
        for name in ("label", "class", "target")
    },
    "an age that goes with the species": (table("image,species,age", *beside(ANIMALS, ("3", "4", "5") * 2)), ["cat", "dog", "owl"], OF_ANIMALS),
    "lists beside several boxes": (
        table("image,labels,bbox", *(f"{cell},{SEVERAL}" for cell in LISTS)), ["bird", "cat", "dog"], OF_LISTS,
    ),
    "lists under annotations": (
        table("image,annotations,boxes", *(f"{cell},{SEVERAL}" for cell in ('"cat, dog"', "cat"))), ["cat", "dog"], [[P, P], [P, N]],
    ),
    "lists with breaks, of an image in two rows": (
        'image,label\na.jpg,"cat\ndog"\nb.jpg,dog\nb.jpg,cat\n', ["cat", "dog"], [[P, P], [P, P]],
    ),
    "numpy's fractions of 0": (table("image,labels", "[2. 3.]", "[5.]", "[]"), ["2", "3", "5"], [[P, P, N], [N, N, P], [N] * 3]),
    "a list of numbers without a last one": ("0.jpg,0,3\n1.jpg,\n2.jpg,1\n", ["0", "1", "2", "3"], [[P, N, N, P], [N] * 4, [N, P, N, N]]),
    "lists between blanks with a row twice": (
        table("image,labels", *LISTS) + f"0.jpg,{LISTS[0]}\n", ["bird", "cat", "dog"], OF_LISTS,
    ),
    "lists between commas with a row twice": (
        table("image,labels", '"cat,dog"', "dog") + '0.jpg,"cat,dog"\n', ["cat", "dog"], [[P, P], [N, P]],
    ),
    "a row twice but for its number": (
        ",image,labels\n0,a.jpg,1 2\n1,b.jpg,2\n2,a.jpg,1 2\n", ["1", "2"], [[P, P], [N, P]],
    ),
    "rows of names with blanks": (
        "image,label\na.jpg,traffic light\na.jpg,car\nb.jpg,traffic light\n", ["car", "traffic light"], [[P, P], [N, P]],
    ),
    "a pattern called checked": (table("image,striped,checked", "1,0", "0,1"), ["striped", "checked"], [[P, N], [N, P]]),
    "day and night": (table("image,day,night", "1,0", "0,1"), ["day", "night"], [[P, N], [N, P]]),
    "months beside labels": (table("image,cat,dog,month", "1,0,3", "0,1,11"), ["cat", "dog"], [[P, N], [N, P]]),
    "blanks behind quotes": (table("image,labels", '"cat;dog" ', '"dog"'), ["cat", "dog"], [[P, P], [N, P]]),
    "quotes in a caption": (
        table("image,labels,caption", 'cat;dog,"Hello" she said', "dog,5\" tall"), ["cat", "dog"], [[P, P], [N, P]],
    ),
    **{
        f"rows of labels under {header}": (melted(f"image,{header}"), ["cat", "dog"], [[P, N], [N, P], [N, 0]])
        for header in ("variable,value", "attribute,value", "disease,present", "concept,is_present", "question,answer")
    },
    "rows of questions and answers": (melted("image,attribute,answer", "yes", "no"), ["cat", "dog"], [[P, N], [N, P], [N, 0]]),
    "letters": (table("image,a,b,n", "1,0,1", "0,1,0"), ["a", "b", "n"], [[P, N, P], [N, P, N]]),
    "training shoes": (table("image,training shoes,test tube", "1,0", "0,1"), ["training shoes", "test tube"], [[P, N], [N, P]]),
    "a break of pages in a name": (table("image,cat\x0b(small)", "1", "0"), ["cat (small)"], [[P], [N]]),
}  # fmt: skip
# Name: content, part of the error.
REFUSED = {
    "two columns called as labels": (
        table("image,LabelName,keywords", *beside(ANIMALS, WEATHER)),
        "'keywords' and 'LabelName' may both hold the labels: set data.label_columns to [keywords] or to [LabelName], or to",
    ),
    "a genre beside lists": (table("image,tags,genre", *beside(("a;b", "a", "b") * 2, WEATHER)), "'tags' and 'genre' may both hold"),
    "rows of labels and a genre": (
        table("image,label,genre", *beside(ANIMALS, WEATHER)) + "0.jpg,owl,sun\n", "'label' and 'genre' may both hold the labels",
    ),
    **{
        f"lists with {sign!r} beside a box": (
            table("image,labels,bbox", *(f'{cell.replace(" ", sign)},"[4, 9, 20, 30]"' for cell in LISTS)),
            f"line 2, column 'labels': 'cat{sign}bird' may be one label or 2: set data.format to long for one, as boxes have rows",
        )
        for sign in " /"
    },
    "lists with commas beside a box": (
        table("image,label,bbox", *(f'"{cell}","[4, 9, 20, 30]"' for cell in ("H, M", "M, D", "O"))),
        "line 2, column 'label': 'H, M' may be one label or 2: set data.format to long for one, as boxes have rows",
    ),
    "categories with blanks beside a box": (
        table("image,categories,bbox", *(f'{cell},"[4, 9, 20, 30]"' for cell in ("A B", "C", "C B"))), "'A B' may be one label or 2: set data.separator",
    ),
    "the weather beside boxes": (
        table("image,weather,xmin,ymin,xmax,ymax", *(f"{cell},4,9,20,30" for cell in WEATHER)),
        "column 'weather' may name the labels of the boxes or say something of the image",
    ),
    "names with a comma": (
        table("image,class", *('"Dress, long"', '"Hat, wool"', "Shirt", '"Dress, short"') * 3),
        "'Dress, long' may be one label or 2: set data.separator to ',' for several, to ';' for one",
    ),
    **{
        f"1 and 0 under {name}": (
            table(f"image,cat,dog,{name}", "1,0,1", "0,1,0", "1,1,1"), f"column {name!r} may be a label or say something",
        )
        for name in FACTS
    },
    **{f"{cell} beside cat": (table("image,labels", cell, "cat;dog"), f"line 2, column 'labels': {says}")
       for cell, says in MARKED.items()},
    "something behind a quote": (
        table("image,labels", "cat", '"cat"x'), "line 3: '\"cat\"x' goes on behind its closing quote: put quotes around",
    ),
    "quotes with a backslash": (table("image,labels", r'"[\"cat\", \"dog\"]"'), "line 2: '\"[\\\\\"cat\\\\\"' goes on"),
    "a quote that the next one closes": (table("image,labels", '"cat;dog', '"owl"'), "line 2: '\"cat;dog 1.jpg,\"owl\"'"),
    "a bell in a column's name": (
        table("image,cat\x07,dog", "1,0", "0,1"), r"the label 'cat\x07' holds the control character '\x07': take it out",
    ),
    "a colour in a list": (table("image,labels", "dog", "cat\x1b[31m;dog"), r"line 3: the label 'cat\x1b[31m' holds the"),
    "lists between blanks or rows": (
        table("image,labels", "cat dog", "cat", "dog") + "1.jpg,dog\n",
        "line 2, column 'labels': 'cat dog' may be one label or 2: set data.format to long for one",
    ),
    "classes in several columns": (
        table("image,label1,label2,label3", "3,5,-1", "1,-1,-1"), "set data.label_columns to [label1,label2,label3] if so",
    ),
    "classes 0 and 1 in several columns": (
        table("image,label1,label2", "0,1", "1,-1", "0,-1"),
        "set data.label_columns to [label1,label2] and data.separator to ' ' for classes, data.format to wide for labels",
    ),
}  # fmt: skip
# Name: content, part of a warning.
WARNED = {
    "a single -1": (
        table("image,cat,dog", "1,0", "-1,1", "0,1", "1,0"), "-1 stands in 1 cells, first line 3, column 'cat', and makes 0 unknown, in 3",
    ),
    "chexpert whose blanks were filled": (
        table("image,Atelectasis,Cardiomegaly,Consolidation,Edema,Pleural Effusion", "-1,0,0,-1,-1", "1,0,0,0,0", "0,1,0,0,-1"),
        "-1 stands in 4 cells, first line 2, column 'Atelectasis', and makes 0 unknown, in 9: if 0 is absent, say with",
    ),
    "a single 0": (
        table("image,cat,dog", *["1,", ",1", "1,1", ",", ",", ",1"] * 2, "0,"), "0 stands in 1 cells, first line 14, column 'cat', and makes a blank unknown",
    ),
    "a column of 1 and -1": (table("image,cat,dog", "1,-1", "0,1", "1,-1"), "column 'cat' holds 0 and no -1, column 'dog' -1 and no 0"),
    "a column of 1 and blanks": (table("image,cat,dog", "1,1", "0,", "0,1"), "no image is known to be without 'dog', as all that"),
    "crosses beside yes and no": (table("image,cat,dog,indoor", "x,,yes", ",x,no", "x,,no"), "no image is known to be without 'cat', nor 1 more"),
    "numbers of classes beside others": (
        table("image,class,category_id", *beside(ANIMALS, ("1", "2", "3", "3", "2", "1"))), "column 'class' is read, and 'category_id', which differs",
    ),
    "a label of Roboflow's": (table("filename, cat, Unlabeled", "1, 0", "0, 1"), "column 'Unlabeled' is read as a label: if it is none"),
    "what nobody saw": (table("image,species,count", "cat,1", "dog,0", "cat,2"), "line 3, column 'count': '0' may say that the labels do not hold"),
    **{
        f"1 and 0 under {name}": (table(f"image,cat,dog,{name}", "1,0,1", "0,1,0", "1,1,1"), f"column {name!r} is read as a label")
        for name in ("corrupt", "low_quality", "unsure", "rotated", "synthetic", "hospital", "worker", "positive")
    },
    "a day": (table("image,cat,day", "1,0", "0,1"), "column 'day' is read as a label: if it is none"),
    "a camera": (table("image,cat,camera", "1,0", "0,1"), "column 'camera' is read as a label"),
    "counts alone": (table("image,labels", "cat x2;dog x1", "cat x1"), "'cat x1' is read as a label: if it counts"),
    "a possibility alone": (table("image,labels", "cat (possible);dog", "dog"), "'cat (possible)' is read as a label: if it marks"),
    "a list beside what was done": (
        table("image,tags,labelled,usable,checked", "cat;dog,1,1,0", "dog,0,1,1"), "'labelled', 'usable', 'checked', of 1 and 0",
    ),
}  # fmt: skip
FILLED = table("image,label1,label2,label3", "3,5,-1", "1,-1,-1", "5,3.0,2")
ZEROS = table("image,label1,label2", "0,1", "1,-1", "-1,-1")
# Name: content, options, labels, states of the images, part of what is said.
SETTLED = {
    "a policy of one label": (
        table("image,cat,dog", "1,0", "-1,1", "0,-1"), {"uncertain": {"cat": "unknown"}}, ["cat", "dog"], [[P, N], [0, P], [N, 0]],
        "0 is absent, -1 is uncertain and taken as unknown for cat, else as unknown",
    ),
    "a column of 1 and 0 beside the one that is named": (
        melted("ImageID,LabelName,Confidence"), {"label_columns": ("LabelName",)}, ["cat", "dog"], [[P, N], [N, P], [N, 0]],
        "column 'Confidence' says with 1 and 0 whether the label is present",
    ),
    "all rows are present": (
        melted("image,label,score"), {"label_columns": ("label",), "ignore_columns": ("score",)}, ["cat", "dog"],
        [[P, P], [P, P], [P, N]], "column 'label' lists the labels",
    ),
    "classes filled up": (
        FILLED, {"label_columns": ("label1", "label2", "label3")}, ["1", "2", "3", "5"],
        [[N, N, P, P], [P, N, N, N], [N, P, P, P]], "-1 behind the classes of a row is taken as no label, in 3 cells",
    ),
    "classes 0 and 1 filled up": (
        ZEROS, {"label_columns": ("label1", "label2"), "separator": " "}, ["0", "1"], [[P, P], [N, P], [N, N]],
        "-1 behind the classes of a row",
    ),
    "states of labels": (ZEROS, {"form": "wide"}, ["label1", "label2"], [[0, P], [P, N], [N, N]], "0 is unknown"),
    "lists between blanks": (
        table("image,labels", "cat dog", "cat") + "1.jpg,dog\n", {"separator": " "}, ["cat", "dog"], [[P, P], [P, P]],
        "separated by ' '",
    ),
}  # fmt: skip
