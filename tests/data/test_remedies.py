"""Errors of label files name the file, the place in it and what to do: one line each."""

import json

import pytest

from mlcfast.data.readers.recognise import read_labels
from mlcfast.data.readers.source import TableOptions
from mlcfast.errors import UsageError

IMAGES = [{"id": 1, "file_name": "a.jpg"}, {"id": 2, "file_name": "b.jpg"}]
CATEGORIES = [{"id": 0, "name": "cat"}, {"id": 1, "name": "dog"}]


def coco(*annotations, categories=CATEGORIES, images=IMAGES):
    return json.dumps({"images": images, "categories": categories, "annotations": annotations})


NAMES = {"classes.txt": "cat\ndog\n"}
# Name: file name, content, what the error says behind the file, other files.
REFUSED = {
    "a class without a name": (
        "l.txt",
        "a.jpg 0\n\nb.jpg 1 7\nc.jpg 9\n",
        "line 3: class 7, but classes.txt has 2 names, for classes from 0 on: name it there, or mend the line",
        NAMES,
    ),
    "classes counted from 1": (
        "l.txt",
        "a.jpg 1\nb.jpg 2\n",
        "line 2: class 2, but classes.txt has 2 names, for classes from 0 on: if the first name is class 1",
        NAMES,
    ),
    "a class beyond names that count from 1": (
        "l.txt",
        "a.jpg 1\nb.jpg 3\n",
        "line 2: class 3, but classes.txt has 2 names, for classes from 1 on: name it there, or mend the line",
        {"classes.txt": "1 cat\n2 dog\n"},
    ),
    "annotations without categories": (
        "c.json",
        '{"images": [{"id": 1, "file_name": "a.jpg"}], "annotations": [{"image_id": 1, "category_id": 7}]}',
        "it holds 'images', 'annotations' and lacks 'categories': write that list beside them, "
        '{"id": 1, "name": "cat"} for each category (the annotations refer to 7)',
        {},
    ),
    "a category without its name": (
        "c.json",
        coco(categories=[{"id": 3, "name": "cat"}, {"id": 5}]),
        "not an MS-COCO annotation file: category 2 of 2 (id 5) lacks 'name': write it",
        {},
    ),
    "an image without its file": (
        "c.json",
        coco(images=[{"id": 1, "filename": "a.jpg"}, {"id": 4}]),
        "image 2 of 2 (id 4) lacks 'file_name': write it",
        {},
    ),
    "an annotation without its image": (
        "c.json",
        coco({"id": 8, "image_id": 1, "category_id": 0}, {"category_id": 0}),
        "annotation 2 of 2 lacks 'image_id': write it",
        {},
    ),
    "a segment without its category": (
        "c.json",
        coco({"image_id": 1, "segments_info": [{"category_id": 1}, {}]}),
        "annotation 1 of 1 lacks 'category_id': write it",
        {},
    ),
    "an annotation of no category": (
        "c.json",
        coco({"id": 8, "image_id": 1, "category_id": 7}),
        "annotation 8 refers to category_id 7, which the file does not define: add it to the list of categories",
        {},
    ),
    "an annotation of no image": (
        "c.json",
        coco({"id": 8, "image_id": 7, "category_id": 0}),
        "annotation 8 refers to image_id 7, which the file does not define: add it to the list of images, or take",
        {},
    ),
    "a list and columns that differ in a row": (
        "t.csv",
        "Id,Genre,Action,Drama,Crime\na,Action|Crime,1,0,1\nb,Drama,0,1,0\nc,Drama,1,1,0\n",
        "may be listed in column 'Genre' or be the columns 'Action', 'Drama'",
        {},
    ),
    "a row of sums": (
        "t.csv",
        "image,cat,dog\na.jpg,1,0\nb.jpg,1,1\nTotal:,2,1\n",
        "line 4 holds 'Total:' in place of an image, and is a row of sums: take it out",
        {},
    ),
    "a row of sums that are 1 and 0": (
        "t.csv",
        "image;Hund;Katze\na.jpg;1;0\nb.jpg;0;0\nSumme;1;0\n",
        "line 4 holds 'Summe' in place of an image",
        {},
    ),
    "a row of a sum below a list": ("t.csv", "image,labels\na,cat;dog\nb,cat\ntotal,3\n", "line 4 holds 'total'", {}),
    "grades in all columns": (
        "t.csv",
        "image,edema,effusion\na.jpg,0,0\nb.jpg,1,3\nc.jpg,2,1\n",
        "line 3, column 'effusion': '3' must be 1, 0, -1 or blank; so it is in all 2 columns of labels: write 1 where"
        " an image has the label (of grades",
        {},
    ),
    "1 for yes and 2 for no": (
        "t.csv",
        "image,cat,dog,owl\na,1,1,0\nb,1,2,1\nc,2,1,0\n",
        "line 3, column 'dog': '2' must be 1, 0, -1 or blank; if 1 is yes and 2 is no, write 1 and 0; a column",
        {},
    ),
    "quotes around each line": (
        "t.csv",
        '"image,cat"\n"a.jpg,1"\n"b.jpg,0"\n',
        "line 1: quotes stand around the whole line, as around all others",
        {},
    ),
    "quotes around a line": (
        "t.csv",
        'image;cat\na.jpg;1\n"b.jpg;0"\n',
        "line 3 has 1 cells, the header 2: quotes around the whole line make it one",
        {},
    ),
    "chinese of which some looks like UTF-8": (
        "t.csv",
        "\u56fe\u7247,\u732b,\u72d7\na.jpg,1,0\n".encode("gbk"),
        "line 1: '\u00cd\u00bc\u00c6\u00ac' makes no sense as Windows-1252, nor is it UTF-8: save it as UTF-8",
        {},
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_an_error_names_the_place_and_the_remedy(tmp_path, name):
    file, content, says, beside = REFUSED[name]
    for other, text in ({file: content} | beside).items():
        (tmp_path / other).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UsageError) as caught:
        read_labels(tmp_path / file, TableOptions())
    said = str(caught.value)
    assert said.startswith(str(tmp_path / file)) and says in said and "\n" not in said


def test_a_text_that_may_hold_the_labels_of_a_directory_is_named(tmp_path):
    for name in ("a.jpg", "classes.txt", "README.txt", "train.txt", "images/b.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("a 0\n")  # an image without its ending
    with pytest.raises(UsageError, match=r"no labels found: .*; if 'train\.txt' holds the labels, name it$"):
        read_labels(tmp_path, TableOptions())
    (tmp_path / "images" / "b.jpg").rename(tmp_path / "b.jpg")
    (tmp_path / "images").rmdir()
    with pytest.raises(UsageError, match=r"looked for annotations/.*; if 'train\.txt' holds the labels, name it$"):
        read_labels(tmp_path, TableOptions())


def test_xml_in_another_encoding_than_it_says(tmp_path):
    (tmp_path / "a.xml").write_bytes(
        "<annotation><object><name>L\u00f6we</name></object></annotation>".encode("latin-1")
    )
    with pytest.raises(
        UsageError, match=r"a\.xml: not valid XML: .*: its letters are not UTF-8's: save it as UTF-8, or"
    ):
        read_labels(tmp_path, TableOptions(form="voc"))
    (tmp_path / "a.xml").write_text("<annotation><object>")
    with pytest.raises(UsageError, match=r"a\.xml: not valid XML: .*: write the file anew"):
        read_labels(tmp_path, TableOptions(form="voc"))


def test_a_row_that_is_called_as_sums_are_but_holds_words_is_an_image(tmp_path):
    (tmp_path / "t.csv").write_text("image,labels\nsum,cat;dog\ntotal,cat\n")
    assert read_labels(tmp_path / "t.csv", TableOptions()).images == ["sum", "total"]


def test_a_class_of_hugging_face_without_a_name_is_named_by_file_and_row(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    kind = {"feature": {"_type": "ClassLabel", "names": ["cat", "dog"]}, "_type": "Sequence"}
    note = {"huggingface": json.dumps({"info": {"features": {"labels": kind}}})}
    for number, labels in enumerate(([[0], [1]], [[1], [0, 2]])):
        table = pyarrow.table({"file_name": [f"{number}{row}.jpg" for row in range(2)], "labels": labels})
        parquet.write_table(table.replace_schema_metadata(note), tmp_path / f"train-{number}.parquet")
    says = r"train-1\.parquet: row 2, column 'labels': class 2, but its features hold 2 names, 0 to 1: name it there"
    with pytest.raises(UsageError, match=says):
        read_labels(tmp_path, TableOptions(form="parquet"))
