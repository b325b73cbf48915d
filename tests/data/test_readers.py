"""Label files as the field's sets and tools write them, in miniature; and files that could be read in two ways."""

import json

import pytest

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
    "a spreadsheet in German": ("t.csv", "Bild;Katze;Hund\na.jpg;WAHR;FALSCH\nb.jpg;FALSCH;WAHR\n", ["Katze", "Hund"], [[P, N], [N, P]]),
    "oui et non": ("t.csv", "image;chat\na.jpg;Oui\nb.jpg;non\n", ["chat"], [[P], [N]]),
    "excel's separator": ("t.csv", "sep=;\nimage;cat;dog\na.jpg;1;0\nb.jpg;0;1\n", ["cat", "dog"], [[P, N], [N, P]]),
    "lists under another name": ("t.csv", "Id,Genre,Year\na,Drama|Film noir,1944\nb,Drama,1950\n", ["Drama", "Film noir"], [[P, P], [P, N]]),
    "json of records": ("l.json", '[{"image": "a.jpg", "cat": 1, "dog": 0}, {"image": "b.jpg", "cat": 0, "dog": 1}]', ["cat", "dog"], [[P, N], [N, P]]),
    "mmpretrain's json": (
        "ann.json",
        '{"metainfo": {"classes": ["cat", "dog"]}, "data_list": [{"img_path": "a.jpg", "gt_label": [0, 1]}, {"img_path": "b.jpg", "gt_label": 1}]}',
        ["cat", "dog"], [[P, P], [N, P]],
    ),
    "fastai": ("t.csv", "fname,labels,is_valid\na.jpg,car chair,True\nb.jpg,car,False\nc.jpg,chair,False\nd.jpg,chair car,True\n", ["car", "chair"], [[P, P], [P, N], [N, P], [P, P]]),
    "json of lists": ("l.json", '{"a.jpg": ["cat", "dog"], "b.jpg": ["dog"]}', ["cat", "dog"], [[P, P], [N, P]]),
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
    "label studio's csv": (
        "export.csv",
        "image,id,choice,annotator,annotation_id,created_at,updated_at,lead_time\n"
        '/data/upload/1/a.jpg,1,"{""choices"":[""cat"",""dog""]}",1,4,2024-01-01,2024-01-01,3.2\n'
        "/data/local-files/?d=deep/b.jpg,2,cat,1,5,2024-01-01,2024-01-01,1.0\n"
        "/data/upload/1/c.jpg,3,,1,6,2024-01-01,2024-01-01,1.0\n",
        ["cat", "dog"], [[P, P], [P, N], [N, N]],
    ),
    "label studio's boxes": (
        "export.csv",
        "image,id,label,annotator,annotation_id,lead_time\n"
        'a.jpg,1,"[{""x"":1,""width"":2,""rectanglelabels"":[""cat""]},{""x"":3,""rectanglelabels"":[""cat""]}]",1,4,3.2\n'
        'b.jpg,2,"[{""x"":1,""rectanglelabels"":[""dog""]}]",1,5,3.2\n',
        ["cat", "dog"], [[P, N], [N, P]],
    ),
    "wide metadata": (
        "metadata.jsonl", '{"file_name": "a.jpg", "cat": 1, "dog": false}\n{"file_name": "b.jpg", "cat": 0, "dog": true}\n',
        ["cat", "dog"], [[P, N], [N, P]],
    ),
    "metadata with boxes": (
        "metadata.jsonl",
        '{"file_name": "a.jpg", "objects": {"bbox": [[1, 2, 3, 4], [5, 6, 7, 8]], "categories": [0, 2]}}\n'
        '{"file_name": "b.jpg", "objects": {"bbox": [], "categories": []}}\n',
        ["0", "2"], [[P, P], [N, N]],
    ),
    "metadata as a table": (
        "metadata.csv", "file_name,cat,dog\na.jpg,1,0\nb.jpg,0,1\n", ["cat", "dog"], [[P, N], [N, P]],
    ),
    "metadata as a table of lists": (
        "metadata.csv", "file_name,labels\na.jpg,\"['cat', 'dog']\"\nb.jpg,[]\n", ["cat", "dog"], [[P, P], [N, N]],
    ),
    "decimal commas": ("t.csv", "image;cat;dog\na.jpg;1,0;0,0\nb.jpg;0,0;1,0\n", ["cat", "dog"], [[P, N], [N, P]]),
    "words that stand alone": (
        "t.csv", "image,tags\na.jpg,cat dog\nb.jpg,dog bird\nc.jpg,cat\nd.jpg,dog\ne.jpg,bird\n",
        ["bird", "cat", "dog"], [[N, P, P], [P, N, P], [N, P, N], [N, N, P], [P, N, N]],
    ),
    "blanks inside labels beside another sign": (
        "t.csv", "image,tags\na.jpg,traffic light|car\nb.jpg,traffic light\n", ["car", "traffic light"], [[P, P], [N, P]],
    ),
    "no finding in a long table": (
        "l.csv", "image,label\na.jpg,Mass\na.jpg,Nodule\nb.jpg,No Finding\n", ["Mass", "Nodule"], [[P, P], [N, N]],
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
        ("image,labels\na.jpg,traffic light\nb.jpg,traffic sign\n", "'traffic light' may be one label or 2"),
        ("image,tags\na.jpg,traffic light\nb.jpg,traffic sign\nc.jpg,car\n", "data.separator to ' ' for several"),
        ("image,tags\na.jpg,hot dog\nb.jpg,hot\nc.jpg,dog\n", "'hot dog' may be one label or 2"),
        ("image,Target\na.jpg,traffic light\nb.jpg,traffic light\n", "'traffic light' may be one label or 2"),
        ('image,labels\na.jpg,"[""cat"", ""dog""]"\nb.jpg,bird\n', "is a list in brackets and 'bird' is not"),
        ("image,label\na.jpg,1\nb.jpg,0\n", "'1' may be a class, 0 or 1, or say whether the image has the label"),
        (
            "image,labels,cat,dog,cow\na.jpg,owl,1,0,0\nb.jpg,owl;bat,0,1,0\n",
            "or be the columns 'cat', 'dog', 'cow': set data.label_columns to [labels] or to [cat,dog,cow]",
        ),
        (
            "image,label,cat\na.jpg,owl,1\na.jpg,bat,0\n",
            "column 'cat' may say whether the image has the label of its row",
        ),
        (
            "image,Finding Labels\na.png,Mass\nb.png,No Finding|Mass\n",
            "line 3, column 'Finding Labels': 'No Finding' means no label, but 'Mass'",
        ),
        ('image,labels\na.png,"[""No Finding"", ""Mass""]"\n', "line 2, column 'labels': 'No Finding' means no label"),
        (
            "image,label\na,Mass\na,No Finding\n",
            "line 3, column 'label': 'No Finding' means no label, but 'a' also has 'Mass'",
        ),
        ("a.jpg 0 1 0\nb.jpg 1 0 0\n", "name the 3 labels in data.label_columns, or in classes.txt"),
        ("image;cat\na.jpg;0,5\nb.jpg;1,0\n", "line 2, column 'cat': '0,5' must be 1, 0, -1 or blank"),
        ("image,labels,tags\na.jpg,cat,dog\n", "'labels' and 'tags' may both list the labels"),
        ("image,mask,cat\na.jpg,b.png,1\n", "'image' and 'mask' both hold image files"),
        ("image,label,confidence\na.jpg,cat,0.7\n", "line 2, column 'confidence': '0.7' must be 1 or 0"),
        ("image,labels\na.jpg,1 0 0\nb.jpg,0 1 0\n", "'1 0 0' may be classes or a flag for each"),
        ('image,labels\na.jpg,"[1, 0]"\nb.jpg,"[0, 1]"\n', "'[1, 0]' may be classes or a flag for each"),
        ("image,cat,split\na.jpg,1,0\nb.jpg,0,1\n", "'split' may be a label or say something of the image"),
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
        (
            "image,cat,dog\na.jpg,-1,-1\nb.jpg,0,\n",
            {"uncertain": {"cat": "positive"}},
            ["cat", "dog"],
            [[P, U], [N, U]],
        ),
        ("x,y,cat\na,b,1\n", {"image_column": "y"}, ["cat"], [[P]]),
        (
            "image,tags\na.jpg,traffic light\nb.jpg,traffic sign\n",
            {"separator": ";"},
            ["traffic light", "traffic sign"],
            [[P, N], [N, P]],
        ),
        ("image,label\na.jpg,1\nb.jpg,0\n", {"label_columns": ("label",)}, ["label"], [[P], [N]]),
        ("image,label\na.jpg,1\nb.jpg,0\n", {"separator": " "}, ["0", "1"], [[N, P], [P, N]]),
        (
            "image,labels,cat\na.jpg,owl,1\nb.jpg,bat,0\n",
            {"label_columns": ("labels",)},
            ["bat", "owl"],
            [[N, P], [P, N]],
        ),
        ("image,labels,cat\na.jpg,owl,1\nb.jpg,bat,0\n", {"label_columns": ("cat",)}, ["cat"], [[P], [N]]),
        ("image,labels,cat\na.jpg,owl,1\nb.jpg,bat,0\n", {"ignore_columns": ("labels",)}, ["cat"], [[P], [N]]),
        (
            "image,labels,cat\na.jpg,owl,1\nb.jpg,bat,0\n",
            {"ignore_columns": ("cat",)},
            ["bat", "owl"],
            [[N, P], [P, N]],
        ),
        (
            "image,tag1,tag2\na.jpg,owl,bat\nb.jpg,bat,\n",
            {"label_columns": ("tag1", "tag2")},
            ["bat", "owl"],
            [[P, P], [P, N]],
        ),
        ("a.jpg 0 1\nb.jpg 1 0\n", {"label_columns": ("cat", "dog")}, ["cat", "dog"], [[N, P], [P, N]]),
        ("a.jpg 0 1\nb.jpg 1 0\n", {"separator": " "}, ["0", "1"], [[P, P], [P, P]]),
        ("a.jpg 2\nb.jpg 1 0\n", {"label_columns": ("x", "y", "z")}, ["x", "y", "z"], [[N, N, P], [P, P, N]]),
    ],
)
def test_options_settle_it(tmp_path, content, options, labels, states):
    (tmp_path / "t.csv").write_text(content)
    source = read_labels(tmp_path / "t.csv", TableOptions(**options))
    assert source.names == labels and source.states.tolist() == states


def test_sentences_are_no_lists(tmp_path):
    """A column that no name says to be labels, with cells as long as a sentence's, is not taken for one."""
    (tmp_path / "t.csv").write_text('image,what\na.jpg,"hi; there is a cat here"\nb.jpg,a dog\n')
    with pytest.raises(UsageError, match=r"no label column.*data.label_columns"):
        read_labels(tmp_path / "t.csv", TableOptions())


def test_utf16_without_its_mark(tmp_path):
    for encoding in ("utf-16-le", "utf-16-be"):
        (tmp_path / "t.csv").write_bytes("image;Löwe\r\na.jpg;1\r\nb.jpg;0\r\n".encode(encoding))
        source = read_labels(tmp_path / "t.csv", TableOptions())
        assert source.names == ["Löwe"] and source.states.tolist() == [[P], [N]]
        assert "the text is read as UTF-16, though it has no byte order mark" in source.assumptions


def test_flags_with_names_beside_them(tmp_path):
    (tmp_path / "list.txt").write_text("a.jpg 0 1 0\nb.jpg 1 0 1\n")
    (tmp_path / "classes.txt").write_text("cat\ndog\nowl\n")
    source = read_labels(tmp_path / "list.txt", TableOptions())
    assert source.names == ["cat", "dog", "owl"] and source.states.tolist() == [[N, P, N], [P, N, P]]
    (tmp_path / "list.txt").write_text("a.jpg,0 1\nb.jpg,1 0\n")
    with pytest.raises(UsageError, match="3 names for its labels, but the file holds 2 flags an image"):
        read_labels(tmp_path / "list.txt", TableOptions())


def test_what_a_reader_left_out_is_named(tmp_path):
    """A column that may have been a label is a warning with its first bad cell; a text column is an assumption."""
    rows = "".join(f"{n}.jpg,1,{'1' if n < 3 else 'seen'},sharp\n" for n in range(9))
    (tmp_path / "t.csv").write_text(f"image,cat,dog,quality\n{rows}")
    source = read_labels(tmp_path / "t.csv", TableOptions())
    assert source.names == ["cat"] and "columns that are no labels: dog, quality" in source.assumptions
    (warning,) = source.warnings
    for part in (
        "'dog'",
        "fewer than half",
        "line 5, column 'dog': 'seen'",
        "data.ignore_columns",
        "data.label_columns",
    ):
        assert part in warning
    assert read_labels(tmp_path / "t.csv", TableOptions(ignore_columns=("dog",))).warnings == []
    (tmp_path / "t.csv").write_text("image,cat,dog\na.jpg,1,there\nb.jpg,0,gone\nc.jpg,1,gone\n")
    (warning,) = read_labels(tmp_path / "t.csv", TableOptions()).warnings
    assert "line 2, column 'dog': 'there'" in warning


def test_no_finding_is_no_label_and_is_said(tmp_path):
    name, content, _, _ = SHAPES["chestxray14"]
    (tmp_path / name).write_text(content)
    source = read_labels(tmp_path / name, TableOptions())
    assert "'No Finding' is taken as no label, in 1 rows" in source.assumptions


def test_tasks_without_annotation_are_unlabelled(tmp_path):
    choice = {"result": [{"value": {"choices": ["cat"]}}]}
    tasks = [
        {"data": {"image": "a.jpg"}, "annotations": [choice]},
        {"data": {"image": "b.jpg"}, "annotations": []},
        {"data": {"image": "c.jpg"}, "annotations": [{"was_cancelled": True, "result": []}]},
        {"data": {"image": "d.jpg"}, "annotations": [{"result": []}]},
        {"image": "e.jpg"},
        {"image": "f.jpg", "annotation_id": 7, "choice": ""},
    ]
    (tmp_path / "tasks.json").write_text(json.dumps(tasks))
    source = read_labels(tmp_path / "tasks.json", TableOptions())
    assert source.images == ["a.jpg", "d.jpg", "f.jpg"] and source.states.tolist() == [[P], [N], [N]]
    assert source.warnings == ["3 of 6 tasks have no annotation: they are left out"]
    (tmp_path / "tasks.json").write_text(json.dumps(tasks[1:2]))
    with pytest.raises(UsageError, match=r"none of the 1 tasks .* data\.label_columns"):
        read_labels(tmp_path / "tasks.json", TableOptions())


def test_a_list_printed_by_numpy_is_refused(tmp_path):
    """Python would join its two texts to one label."""
    (tmp_path / "t.csv").write_text("image,labels\na.jpg,['cat' 'dog']\n")
    with pytest.raises(UsageError, match=r"line 2, column 'labels': .* write the list with commas"):
        read_labels(tmp_path / "t.csv", TableOptions())


@pytest.mark.parametrize("other", ["traffic  light", "traffic_light", "Traffic-Light", "trafficlight"])
def test_labels_that_are_nearly_the_same_are_warned_of(tmp_path, other):
    (tmp_path / "t.csv").write_text(f"image,labels\na.jpg,Traffic light;cat\nb.jpg,{other};dog\n")
    (warning,) = read_labels(tmp_path / "t.csv", TableOptions()).warnings
    assert f"'Traffic light' and {other!r} look alike" in warning


def test_signs_beside_numbers_tell_labels_apart(tmp_path):
    (tmp_path / "t.csv").write_text("image,labels\na.jpg,grade 1-2;C-;H2\nb.jpg,grade 12;C;H_2\n")
    assert read_labels(tmp_path / "t.csv", TableOptions()).warnings == []


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("filename,region_count,region_attributes\na.jpg,1,{}\n", "outlines, of which none has an attribute"),
        ("filename,region_attributes\na.jpg,{}\nb.jpg,kind\n", "line 3: attributes that are no JSON"),
        ("file,region_attributes\na.jpg,{}\n", "needs a column 'filename'"),
        ('filename,region_attributes\na.jpg,"{""kind"":""cat"",""hue"":""red""}"\n', "attributes 'kind' and 'hue'"),
    ],
)
def test_regions_without_labels(tmp_path, content, says):
    (tmp_path / "via.csv").write_text(content)
    with pytest.raises(UsageError, match=says):
        read_labels(tmp_path / "via.csv", TableOptions())
