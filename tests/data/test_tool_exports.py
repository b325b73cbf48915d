"""Label files of labelling tools and known sets, in miniature: read as they were meant, or refused with the remedy."""

import json
from pathlib import Path
from typing import Any

import pytest

from mlcfast.data.readers.recognise import read_all, read_labels
from mlcfast.data.readers.source import TableOptions
from mlcfast.errors import UsageError
from tests.data import awkward_exports, awkward_tables

P, N, U = 1, -1, 0


def lines(*rows: dict[str, Any]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def prodigy(image: str, answer: str, **more: Any) -> dict[str, Any]:
    return {"image": image, "answer": answer, "_input_hash": 1, "_task_hash": -1, **more}


def box(label: str) -> dict[str, Any]:
    return {"label": label, "coordinates": {"x": 1, "y": 1, "width": 2, "height": 2}}


# Name: file name, content, images, labels, states of the images in order.
READ = {
    "prodigy's choices": (
        "p.jsonl",
        lines(
            prodigy("a.jpg", "accept", accept=["cat", "dog"], options=[{"id": "cat"}, {"id": "dog"}]),
            prodigy("b.jpg", "accept", accept=[], options=[]),
            prodigy("c.jpg", "reject", accept=["cat"], options=[]),
            prodigy("d.jpg", "ignore", accept=["cat"], options=[]),
        ),
        ["a.jpg", "b.jpg"], ["cat", "dog"], [[P, P], [N, N]],
    ),
    "prodigy's questions": (
        "p.jsonl",
        lines(prodigy("a.jpg", "accept", label="cat"), prodigy("a.jpg", "reject", label="dog"),
              prodigy("b.jpg", "accept", label="dog"), prodigy("b.jpg", "ignore", label="cat")),
        ["a.jpg", "b.jpg"], ["cat", "dog"], [[P, N], [U, P]],
    ),
    "prodigy's spans": (
        "p.jsonl", lines(prodigy("data:image/png;base64,AA", "accept", path="a.jpg", spans=[{"label": "cat"}])),
        ["a.jpg"], ["cat"], [[P]],
    ),
    "doccano": (
        "all.jsonl", lines({"id": 1, "filename": "a.jpg", "label": ["cat", "dog"], "Comments": []},
                           {"id": 2, "filename": "b.jpg", "label": [], "Comments": []}),
        ["a.jpg", "b.jpg"], ["cat", "dog"], [[P, P], [N, N]],
    ),
    "create ml": (
        "c.json", json.dumps([{"image": "a.jpg", "annotations": [box("dog"), box("cat"), box("dog")]},
                              {"image": "b.jpg", "annotations": []}]),
        ["a.jpg", "b.jpg"], ["cat", "dog"], [[P, P], [N, N]],
    ),
    "imaterialist": (
        "train.json", json.dumps({"images": [{"url": "u", "imageId": "1"}, {"url": "u", "imageId": "2"}], "info": {},
                                  "annotations": [{"labelId": ["95", "66"], "imageId": "1"}]}),
        ["1", "2"], ["66", "95"], [[P, P], [N, N]],
    ),
    "fiftyone": (
        "labels.json", json.dumps({"classes": ["cat", "dog"], "labels": {"a": [1, 0], "b": 1, "c": None}}),
        ["a", "b", "c"], ["cat", "dog"], [[P, P], [N, P], [N, N]],
    ),
    "superannotate": (
        "s.json", json.dumps({"a.jpg": {"instances": [{"type": "bbox", "className": "cat"}], "tags": ["wet"]},
                              "b.jpg": {"instances": []}, "___sa_version___": "1.0"}),
        ["a.jpg", "b.jpg"], ["cat", "wet"], [[P, P], [N, N]],
    ),
    "darwin": (
        "a.json", json.dumps({"version": "2.0", "item": {"name": "a.jpg", "path": "/in"},
                              "annotations": [{"name": "cat", "tag": {}}, {"name": "dog", "bounding_box": {}}]}),
        ["in/a.jpg"], ["cat", "dog"], [[P, P]],
    ),
    "vertex ai": (
        "v.jsonl", lines({"imageGcsUri": "gs://b/x/a.jpg",
                          "classificationAnnotations": [{"displayName": "cat"}, {"displayName": "dog"}]},
                         {"imageGcsUri": "gs://b/y/a.jpg", "classificationAnnotation": {"displayName": "dog"}}),
        ["/b/x/a.jpg", "/b/y/a.jpg"], ["cat", "dog"], [[P, P], [N, P]],
    ),
    "sagemaker": (
        "output.manifest",
        lines({"source-ref": "s3://b/a.jpg", "j": [1, 0], "j-metadata": {"class-map": {"0": "cat", "1": "dog"}}},
              {"source-ref": "s3://b/b.jpg", "j": {"annotations": [{"class_id": 1}]},
               "j-metadata": {"class-map": {"1": "dog"}}},
              {"source-ref": "s3://b/c.jpg", "j": 0, "j-metadata": {"class-name": "cat"}}),
        ["/b/a.jpg", "/b/b.jpg", "/b/c.jpg"], ["cat", "dog"], [[P, P], [N, P], [P, N]],
    ),
    "padchest": (
        "p.csv", "ImageID,Labels\na.png,\"['chronic changes', nan, 'kyphosis']\"\nb.png,\"['normal']\"\nc.png,\n",
        ["a.png", "b.png", "c.png"], ["chronic changes", "kyphosis", "normal"], [[P, P, N], [N, N, P], [N, N, N]],
    ),
    "celeba": (
        "list_attr_celeba.txt", "2\n5_o_Clock_Shadow Smiling \n000001.jpg -1  1\n000002.jpg  1 -1\n",
        ["000001.jpg", "000002.jpg"], ["5_o_Clock_Shadow", "Smiling"], [[N, P], [P, N]],
    ),
    "excel with empty columns": (
        "e.csv", "image;cat;dog;;;\na.jpg;1;0;;;\nb.jpg;0;1;;;\n;;;;;\n",
        ["a.jpg", "b.jpg"], ["cat", "dog"], [[P, N], [N, P]],
    ),
    "vinbigdata": (
        "t.csv", "image_id,class_name,class_id,rad_id,x_min\na,No finding,14,R1,\nb,Mass,3,R1,6\nb,Mass,3,R2,7\n",
        ["a", "b"], ["Mass"], [[N], [P]],
    ),
    "one image a patient": (
        "t.csv", "patient_id,cat,dog\np1,1,0\np2,0,1\n", ["p1", "p2"], ["cat", "dog"], [[P, N], [N, P]],
    ),
}  # fmt: skip

# Name: file name, content, what the error says beside the file.
REFUSED = {
    "mimic": ("m.csv", "subject_id,study_id,Edema\n10,50,1.0\n10,51,\n", "'subject_id' says whom an image is of"),
    "mediamill": ("m.csv", "Att1,Att2,Class1\n0.1,0.2,1\n0.3,0.4,0\n", "'0.1' is a number: name it with data.image"),
    "a comma without quotes": (
        "s.csv",
        "id,category\n1.jpg,a\n2.jpg,b, c\n",
        "line 3 has 3 cells, the header 2: a cell",
    ),
    "odir": ("o.csv", "filename,labels,target\na.jpg,['N'],[1]\n", "'labels' and 'target' may both list the labels"),
    "one class of voc": ("cat_train.txt", "2008_08 -1\n2008_15  1\n2008_19  0\n", "name the directory of the data set"),
    "another json": ("x.json", json.dumps({"samples": [{"filepath": "a.jpg"}]}), "FiftyOne's samples: export them as"),
    "prodigy's images inside": (
        "p.jsonl",
        lines(prodigy("data:image/png;base64,AA", "accept", accept=["a"])),
        "line 1:",
    ),
    "prodigy without answers": ("p.jsonl", lines(prodigy("a.jpg", "ignore", label="cat")), "none of the 1 tasks"),
    "nobody labelled": ("l.json", json.dumps({"classes": ["cat"], "labels": {"a": None}}), "no image has a label"),
    "numpy's list": ("b.csv", "patch_id,labels\na,\"['sea' 'land']\"\n", "write the list with commas"),
}

EVERY_READ = READ | awkward_tables.READ | awkward_exports.READ
EVERY_REFUSED = REFUSED | awkward_tables.REFUSED | awkward_exports.REFUSED


@pytest.mark.parametrize("name", EVERY_READ)
def test_labels_are_those_that_were_meant(tmp_path, name):
    file, content, images, labels, states = EVERY_READ[name]
    (tmp_path / file).write_text(content)
    source = read_labels(tmp_path / file, TableOptions())
    assert (source.images, source.names, source.states.tolist()) == (images, labels, states)


@pytest.mark.parametrize("name", EVERY_REFUSED)
def test_what_cannot_be_told_is_one_line_with_the_remedy(tmp_path, name):
    file, content, says = EVERY_REFUSED[name]
    (tmp_path / file).write_text(content)
    with pytest.raises(UsageError) as caught:
        read_labels(tmp_path / file, TableOptions())
    said = str(caught.value)
    assert said.startswith(str(tmp_path / file)) and says in said and "\n" not in said


def write(root: Path, **texts: str) -> None:
    """Files by their path, with / as two underscores; without a text an empty image."""
    for name, text in texts.items():
        place = root / name.replace("__", "/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.with_suffix(".jpg" if not text else ".txt").write_text(text)


def nus_wide(root: Path) -> None:
    write(root, Flickr__actor__1="", Flickr__actor__2="", Flickr__zoo__3="", Concepts81="dog\ncat\n")
    write(root, ImageList__Imagelist="actor\\1.jpg\nactor\\2.jpg\nzoo\\3.jpg\n")
    write(root, Groundtruth__AllLabels__Labels_cat="1\n0\n1\n", Groundtruth__AllLabels__Labels_dog="0\n0\n1\n")


def test_nus_wide_is_read_whole_or_by_its_splits(tmp_path):
    nus_wide(tmp_path)
    (whole,) = read_all(tmp_path, TableOptions())
    assert (whole.format, whole.names, whole.root) == ("nus_wide", ["dog", "cat"], tmp_path / "Flickr")
    assert whole.images == ["actor/1.jpg", "actor/2.jpg", "zoo/3.jpg"]
    assert whole.states.tolist() == [[N, P], [N, N], [P, P]]
    place = "Groundtruth__TrainTestLabels__Labels_"
    write(tmp_path, **{f"{place}cat_Train": "1\n", f"{place}cat_Test": "0\n1\n"})
    write(tmp_path, ImageList__TrainImagelist="actor\\1.jpg\n", ImageList__TestImagelist="actor\\2.jpg\nzoo\\3.jpg\n")
    train, test = read_all(tmp_path, TableOptions(form="nus_wide"))
    assert (train.split, test.split, train.names, test.images) == ("train", "test", ["cat"], whole.images[1:])
    assert (train.states.tolist(), test.states.tolist()) == ([[P]], [[N], [P]])


@pytest.mark.parametrize(
    ("text", "says"), [("1\n0\n", "2 lines, but Imagelist.txt names 3"), ("1\n2\n0\n", "line 2: '2'")]
)
def test_a_label_of_nus_wide_that_does_not_fit_its_images(tmp_path, text, says):
    nus_wide(tmp_path)
    write(tmp_path, Groundtruth__AllLabels__Labels_cat=text)
    with pytest.raises(UsageError, match=says):
        read_all(tmp_path, TableOptions())


def test_directories_with_a_file_for_each_image(tmp_path):
    for name, label in (("a", "cat"), ("b", "dog")):
        content = {"item": {"name": f"{name}.jpg"}, "annotations": [{"name": label}]}
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    source = read_labels(tmp_path, TableOptions())
    assert (source.images, source.names) == (["a.jpg", "b.jpg"], ["cat", "dog"])
    (tmp_path / "c.json").write_text("{}")
    with pytest.raises(UsageError, match=r"c\.json: not of the same tool"):
        read_labels(tmp_path, TableOptions())


@pytest.mark.parametrize("labels", ["ann/a.jpg.json", "S2A_1/S2A_1_labels_metadata.json"])
def test_labels_that_lie_elsewhere_are_not_taken_from_the_folders(tmp_path, labels):
    write(tmp_path, S2A_1__a="", S2A_2__b="")
    (tmp_path / labels).parent.mkdir(exist_ok=True)
    (tmp_path / labels).write_text("{}")
    with pytest.raises(UsageError, match=r"is (Supervisely|BigEarthNet)'s[:,] "):
        read_labels(tmp_path, TableOptions())


def test_line_breaks_within_a_cell_stand_between_labels(tmp_path):
    (tmp_path / "t.csv").write_text('image,labels\na.jpg,"cat\ndog"\nb.jpg,cow\n')
    assert read_labels(tmp_path / "t.csv", TableOptions()).names == ["cat", "cow", "dog"]
    (tmp_path / "t.csv").write_text('image,labels\na.jpg,"cat;fox\ndog"\nb.jpg,cow\n')
    with pytest.raises(UsageError, match=r"name one with data\.separator"):
        read_labels(tmp_path / "t.csv", TableOptions())


def test_a_table_without_a_header_keeps_its_first_image(tmp_path):
    (tmp_path / "t.csv").write_text("a.jpg,1,-1\nb.jpg,-1,1\n")
    with pytest.raises(UsageError, match=r"line 1 names the image 'a\.jpg', where the header should be"):
        read_labels(tmp_path / "t.csv", TableOptions())


@pytest.mark.parametrize(("rows", "states"), [(["1,0", "-1,1"], [[P, N], [P, P]]), (["1,", "-1,1"], [[P, U], [P, P]])])
def test_a_policy_that_is_given_holds_without_blanks_or_zeros_too(tmp_path, rows, states):
    (tmp_path / "t.csv").write_text("image,cat,dog\n" + "".join(f"{n}.jpg,{row}\n" for n, row in enumerate(rows)))
    assert read_labels(tmp_path / "t.csv", TableOptions(uncertain="positive")).states.tolist() == states


def test_what_programs_keep_beside_images_is_no_label(tmp_path):
    for place in ("cat/a.jpg", "dog/b.jpg", "cat/.ipynb_checkpoints/a.jpg", "__MACOSX/cat/a.jpg", ".thumbs/b.jpg"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_bytes(place.encode())
    source = read_labels(tmp_path, TableOptions(form="folders"))
    assert source.names == ["cat", "dog"] and sorted(source.images) == ["cat/a.jpg", "dog/b.jpg"]


def test_tags_are_separated_by_commas_and_line_breaks_alike(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"")
    (tmp_path / "a.txt").write_text("cat\ndog, small\n")
    assert read_labels(tmp_path, TableOptions(form="tag_files")).names == ["cat", "dog", "small"]


def test_words_that_say_present_and_absent_are_no_labels(tmp_path):
    """Columns of T and F named as the labels' are not the labels T and F."""
    options = TableOptions(label_columns=("cat", "dog"))
    (tmp_path / "t.csv").write_text("image,cat,dog\na.jpg,T,F\nb.jpg,F,T\n")
    assert read_labels(tmp_path / "t.csv", options).states.tolist() == [[P, N], [N, P]]
    (tmp_path / "t.csv").write_text("image,cat,dog\na.jpg,on,off\nb.jpg,off,on\n")
    with pytest.raises(UsageError, match=r"'off' and 'on', which may say that a label is present or absent: write 1"):
        read_labels(tmp_path / "t.csv", options)


def test_a_cell_without_content_names_no_group(tmp_path):
    (tmp_path / "t.csv").write_text("image,cat,patient\na.jpg,1,p1\nb.jpg,0,NA\n")
    source = read_labels(tmp_path / "t.csv", TableOptions(group="patient"))
    with pytest.raises(UsageError, match=r"line 3: data.group: column 'patient' holds 'NA': fill it in"):
        source.column("patient", "data.group")
