"""Cases of test_tool_exports.py: tables as people and programs write them carelessly."""

import json

P, N, U = 1, -1, 0

# Name: file name, content, images, labels, states of the images in order.
READ = {
    "a printed minus": (
        "t.csv", "image,cat,dog\na.jpg,1,\u22121\nb.jpg,\u22121,1\n",
        ["a.jpg", "b.jpg"], ["cat", "dog"], [[P, N], [N, P]],
    ),
    "one image in two spellings": (
        "t.csv", "image,cat,dog\nimg\\a.jpg,1,\n./img/a.jpg,,1\nb.jpg,,1\nx/../b.jpg,,1\n",
        ["img\\a.jpg", "b.jpg"], ["cat", "dog"], [[P, P], [N, P]],
    ),
    "a row for each label": (
        "t.csv", "image,cat,dog\na.jpg,1,0\na.jpg,0,1\nb.jpg,0,0\n",
        ["a.jpg", "b.jpg"], ["cat", "dog"], [[P, P], [N, N]],
    ),
    "a long table in two spellings": (
        "t.csv", "image,label\na.jpg,cat\n./a.jpg,dog\nb.jpg,dog\n",
        ["a.jpg", "b.jpg"], ["cat", "dog"], [[P, P], [N, P]],
    ),
    "arrays of numpy": (
        "t.csv",
        "image,labels\na.jpg,\"array(['cat', 'dog'], dtype='<U3')\"\nb.jpg,\"array([], dtype=object)\"\n",
        ["a.jpg", "b.jpg"], ["cat", "dog"], [[P, P], [N, N]],
    ),
    "quotes behind a blank": (
        "t.csv", 'image, labels\na.jpg, "cat, dog"\nb.jpg, "dog"\n',
        ["a.jpg", "b.jpg"], ["cat", "dog"], [[P, P], [N, P]],
    ),
    "boxes of tensorflow": (
        "t.csv", "filename,width,class,xmin,ymin\na.jpg,9,cat,1,0\na.jpg,9,dog,1,1\nb.jpg,9,cat,1,1\n",
        ["a.jpg", "b.jpg"], ["cat", "dog"], [[P, P], [P, N]],
    ),
    "ontologies": (
        "t.csv", "image,labels\na.jpg,GO:0008150;GO:12\nb.jpg,GO:12\n",
        ["a.jpg", "b.jpg"], ["GO:0008150", "GO:12"], [[P, P], [N, P]],
    ),
    "blank labels": (
        "t.csv", 'image,labels\na.jpg,"[""cat"", """"]"\nb.jpg,"[null, ""dog""]"\n',
        ["a.jpg", "b.jpg"], ["cat", "dog"], [[P, N], [N, P]],
    ),
    "what programs write for nothing": (
        "t.csv", "image,cat,dog\na.jpg,1,#N/A\nb.jpg,0,<NA>\n", ["a.jpg", "b.jpg"], ["cat", "dog"], [[P, U], [N, U]],
    ),
    "dashes for nothing": (
        "t.csv", "image,labels\na.jpg,cat\nb.jpg,-\nc.jpg,\\N\n", ["a.jpg", "b.jpg", "c.jpg"], ["cat"], [[P], [N], [N]],
    ),
    "classes that became floats": (
        "t.csv", "image,label\na.jpg,3.0\nb.jpg,\nc.jpg,7.0\n",
        ["a.jpg", "b.jpg", "c.jpg"], ["3.0", "7.0"], [[P, N], [N, N], [N, P]],
    ),
    "sets of python": (
        "t.csv", "image,labels\na.jpg,\"{'cat', 'dog'}\"\nb.jpg,set()\nc.jpg,frozenset({'dog'})\nd.jpg,('cat')\n",
        ["a.jpg", "b.jpg", "c.jpg", "d.jpg"], ["cat", "dog"], [[P, P], [N, N], [N, P], [P, N]],
    ),
    "letters composed and apart": (
        "t.csv", "image,labels\na.jpg,caf\u00e9;cat\nb.jpg,cafe\u0301\nc.jpg,traffic\u00a0light;cat\u200b\n",
        ["a.jpg", "b.jpg", "c.jpg"], ["caf\u00e9", "cat", "traffic light"], [[P, P, N], [P, N, N], [N, P, P]],
    ),
    "joiners that join": (
        "t.csv", "image,\u0645\u06cc\u200c\u062e\na.jpg,1\nb.jpg,0\n",
        ["a.jpg", "b.jpg"], ["\u0645\u06cc\u200c\u062e"], [[P], [N]],
    ),
    "chinese commas": (
        "t.csv", "image,labels\na.jpg,\u732b\uff0c\u72d7\nb.jpg,\u732b\n",
        ["a.jpg", "b.jpg"], ["\u72d7", "\u732b"], [[P, P], [N, P]],
    ),
    "labels with a stroke": (
        "t.csv", "image,tags\na.jpg,/m/01\nb.jpg,and/or\nc.jpg,C++\n",
        ["a.jpg", "b.jpg", "c.jpg"], ["/m/01", "C++", "and/or"], [[P, N, N], [N, N, P], [N, P, N]],
    ),
    "a line that takes a step to its header": (
        "t.csv", ",labels\na.jpg,cat\nb.jpg,dog\n", ["a.jpg", "b.jpg"], ["cat", "dog"], [[P, N], [N, P]],
    ),
}  # fmt: skip

# Name: file name, content, what the error says beside the file.
REFUSED = {
    "rows that contradict one another": (
        "t.csv",
        "image,cat,dog\na.jpg,1,1\nb.jpg,0,1\n./a.jpg,0,1\n",
        "line 2 says that 'a.jpg' has the label 'cat', line 4 that it has not: write one row for each image",
    ),
    "records that contradict one another": (
        "t.json",
        json.dumps([{"file_name": "a", "cat": 1, "dog": 1}, {"file_name": "a", "cat": -1, "dog": 1}]),
        "entry 1 says that 'a' has the label 'cat', entry 2 that it has not",
    ),
    "groups of one image": (
        "m.jsonl",
        '{"file_name": "a.jpg", "labels": ["x"], "labels": ["y"]}\n',
        "the key 'labels' stands twice",
    ),
    "values of labels": (
        "t.csv",
        "image,labels\na.jpg,cat:0.9;dog:0.1\n",
        "'cat:0.9' may be a label or one with its value",
    ),
    "quotes of another kind": (
        "t.csv",
        "image,labels\na.jpg,'cat;dog'\n",
        "line 2, column 'labels': the quotes are a part",
    ),
    "bars between cells": ("t.csv", "image|cat\na.jpg|1\n", "line 1 is separated by '|': save the table with commas"),
    "yaml of another kind": ("l.yaml", "a.jpg: [cat]\n", "not YOLO's settings"),
    "scores": ("t.csv", "image,labels\na.jpg,0.5;0.2\nb.jpg,0.1\n", "'0.1' may be a score"),
    "a compound or two labels": (
        "t.csv",
        "image,tags\na.jpg,cat-dog\nb.jpg,cat\nc.jpg,dog\n",
        "'cat-dog' may be one label or 2: set data.separator to '-'",
    ),
    "the header again": (
        "t.csv",
        "image,labels\na.jpg,cat\nimage,labels\nb.jpg,dog\n",
        "line 3 is the header again: take it out",
    ),
    "a partition": (
        "t.csv",
        "image,partition\na.jpg,0\nb.jpg,1\n",
        "'partition' may be a label or say something of the image",
    ),
    "attributes that contradict one another": (
        "list_attr.txt",
        "2\nBald Smiling\na.jpg -1 1\n./a.jpg 1 1\n",
        "line 4 says that 'a.jpg' has the label 'Bald', line 3 that",
    ),
    "a key twice": (
        "l.json",
        '{"a.jpg": ["cat"], "a.jpg": ["dog"]}',
        "the key 'a.jpg' stands twice in one place: keep one",
    ),
    "labels with values": ("t.csv", "image,labels\na.jpg,\"{'cat': 1, 'dog': 0}\"\n", "line 2, column 'labels'"),
    "names that look alike": (
        "t.csv",
        "image,caf\u00e9,cafe\u0301\na.jpg,1,0\n",
        "line 1: columns 2 and 3, 'caf\\xe9' and 'cafe\\u0301', are both",
    ),
    "a stroke or two labels": (
        "t.csv",
        "image,tags\na.jpg,cat/dog\nb.jpg,cat\n",
        "'cat/dog' may be one label or 2: set data.separator to '/' for several",
    ),
    "flags in one word": (
        "t.csv",
        "image,labels\na.jpg,101\nb.jpg,010\n",
        "'101' may be classes or a flag for each: name the 3",
    ),
    "flags that lost zeros": (
        "t.csv",
        "image,labels\na.jpg,101\nb.jpg,10\n",
        "'101' may be a class, or flags of which a program",
    ),
    "an image without a name": (
        "t.csv",
        "image,cat\na.jpg,1\n,0\n",
        "line 3: column 'image' is blank: name the image there",
    ),
    "a title above the header": (
        "t.csv",
        "Survey 2024,,\n\nimage,cat,dog\na.jpg,1,0\n",
        "line 1 holds 'Survey 2024' alone, as a title does, and line 3 looks",
    ),
    "a title in one cell": ("t.csv", "# by Ann\nimage;cat\na.jpg;1\n", "line 2 looks like the header, 'image,cat'"),
    "a header twice": (
        "t.csv",
        "image,cat,dog,cat\na.jpg,1,0,0\n",
        "repeats 'cat', in columns 2 and 4: rename one, or take",
    ),
    "true and false alone": ("t.csv", "image,label\na.jpg,TRUE\nb.jpg,FALSE\n", "set data.label_columns to [label]"),
    "a row with its probability": (
        "t.csv",
        "image,label,probability\na.jpg,cat,0.9\na.jpg,dog,0.01\n",
        "'0.9' must be 1 or 0; name the column in data.ignore_columns",
    ),
    "flags in JSON": (
        "x.json",
        '{"a.jpg": [1, 0, 1], "b.jpg": [0, 1, 0]}',
        "may be classes or a flag for each: name the 3 labels",
    ),
    "flags of MMPretrain": (
        "x.json",
        json.dumps({"data_list": [{"img_path": "a.jpg", "gt_label": [1, 0, 1]}]}),
        "looks like a flag for each label",
    ),
    "a column that says what is for validation": (
        "t.csv",
        "image,cat,holdout\na.jpg,1,0\n",
        "'holdout' may be a label",
    ),
}
