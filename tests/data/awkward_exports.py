"""Cases of test_tool_exports.py: exports of annotation platforms, and their scores, gaps and predictions."""

import json
from typing import Any

P, N, U = 1, -1, 0


def lines(*rows: dict[str, Any]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def coco(annotations: list[Any], **more: Any) -> str:
    images = [{"id": 1, "file_name": "a.jpg"}, {"id": 2, "file_name": "b.jpg"}]
    categories = [{"id": 0, "name": "cat"}, {"id": 1, "name": "dog"}]
    return json.dumps({"images": images, "categories": categories, "annotations": annotations} | more)


def task(image: str, *annotations: list[Any], **more: Any) -> dict[str, Any]:
    """Label Studio's, with the results of each annotation."""
    return {"data": {"image": image}, "annotations": [{"result": results} for results in annotations], **more}


def result(kind: str, *held: Any, field: str = "f") -> dict[str, Any]:
    return {"type": kind, "from_name": field, "value": {"text" if kind == "textarea" else kind: list(held)}}


def labelbox(image: str, *labels: dict[str, Any]) -> dict[str, Any]:
    held = [{"annotations": {"objects": [], "classifications": [], **each}} for each in labels]
    return {"data_row": {"id": "x", "external_id": image}, "projects": {"p": {"labels": held}}}


def question(name: str, *answers: str) -> dict[str, Any]:
    return {"classifications": [{"name": name, "checklist_answers": [{"name": answer} for answer in answers]}]}


VIA = {
    "a.jpg9": {"filename": "a.jpg", "size": 9, "regions": [{"region_attributes": {"kind": "cat"}}],
               "file_attributes": {"caption": "", "public_domain": "no", "image_url": ""}},
    "b.jpg9": {"filename": "b.jpg", "size": 9, "file_attributes": {},
               "regions": {"0": {"region_attributes": {"kind": {"dog": True, "cat": False}}}}},
}  # fmt: skip
STARTED, NOT_STARTED = {"name": "a.jpg", "status": "Completed"}, {"name": "c.jpg", "status": "NotStarted"}
TWO = [["cat"], ["dog"]]


def kili(image: str, *labels: dict[str, Any], **more: Any) -> dict[str, Any]:
    """An asset of Kili's export with its labels."""
    return {"id": image, "externalId": image, "content": "u", "labels": list(labels)} | more


def kili_label(*classes: str, objects: tuple[str, ...] = (), **more: Any) -> dict[str, Any]:
    told = [{"name": name, "confidence": 100} for name in classes]
    boxes = [{"type": "rectangle", "children": {}, "categories": [{"name": name}]} for name in objects]
    return {"labelType": "DEFAULT", "jsonResponse": {"J0": {"categories": told}, "J1": {"annotations": boxes}}} | more


# Name: file name, content, images, labels, states of the images in order.
READ = {
    "kili": (
        "k.json",
        json.dumps([kili("a.jpg", kili_label("CAT", objects=("DOG",))), kili("b.jpg", kili_label()), kili("c.jpg"),
                    kili("d.jpg", kili_label("CAT", labelType="PREDICTION")),
                    kili("e.jpg", kili_label("CAT", createdAt="1"),
                         kili_label("DOG", createdAt="3", labelType="REVIEW"),
                         kili_label("OWL", createdAt="2", labelType="REVIEW"))]),
        ["a.jpg", "b.jpg", "e.jpg"], ["CAT", "DOG"], [[P, P], [N, N], [N, P]],
    ),
    "kili's latest labels": (
        "k.json",
        json.dumps([{"externalId": "a", "latestLabel": {
                        "jsonResponse": json.dumps({"J": {"categories": [{"name": "CAT"}]}})}},
                    {"externalId": "b", "latestLabel": None}]),
        ["a"], ["CAT"], [[P]],
    ),
    "via's project": (
        "v.json", json.dumps({"_via_settings": {}, "_via_img_metadata": VIA}), ["a.jpg", "b.jpg"], ["cat", "dog"],
        [[P, N], [N, P]],
    ),
    "via's annotations": ("v.json", json.dumps(VIA), ["a.jpg", "b.jpg"], ["cat", "dog"], [[P, N], [N, P]]),
    "bdd100k": (
        "det_train.json",
        json.dumps([{"name": "a.jpg", "attributes": {"weather": "clear"}, "labels": [{"category": "car"}]},
                    {"name": "b.jpg", "labels": None}]),
        ["a.jpg", "b.jpg"], ["car"], [[P], [N]],
    ),
    "scalabel": (
        "s.json", json.dumps({"frames": [{"name": "a.jpg", "labels": [{"category": "car"}]}], "config": {}}),
        ["a.jpg"], ["car"], [[P]],
    ),
    "visual genome": (
        "objects.json",
        json.dumps([{"image_id": 1, "objects": [{"names": ["tree"]}, {"names": ["car", "auto"]}]},
                    {"image_id": 2, "objects": []}]),
        ["1.jpg", "2.jpg"], ["auto", "car", "tree"], [[P, P, P], [N, N, N]],
    ),
    "labelbox": (
        "export.ndjson",
        lines(labelbox("a.jpg", {"objects": [{"name": "cat"}]}, question("Where?", "indoors")),
              labelbox("b.jpg", {}), labelbox("c.jpg")),
        ["a.jpg", "b.jpg"], ["cat", "indoors"], [[P, P], [N, N]],
    ),
    **{
        f"a table in JSON, {name}": (
            "t.json", json.dumps(content), ["a.jpg", "b.jpg"], ["cat", "dog"], [[P, N], [N, P]],
        )
        for name, content in {
            "by columns": {"image": {"0": "a.jpg", "1": "b.jpg"}, "label": {"0": "cat", "1": "dog"}},
            "in lists": {"image": ["a.jpg", "b.jpg"], "label": ["cat", "dog"]},
            "table": {"schema": {"fields": [{"name": "index", "type": "integer"}], "primaryKey": ["index"]}, "data": [
                {"index": 0, "image": "a.jpg", "label": "cat"}, {"index": 1, "image": "b.jpg", "label": "dog"}]},
            "split": {"columns": ["image", "label"], "index": [0, 1], "data": [["a.jpg", "cat"], ["b.jpg", "dog"]]},
            "by index": {"0": {"image": "a.jpg", "label": "cat"}, "1": {"image": "b.jpg", "label": "dog"}},
            "under a key": {"data": [{"image": "a.jpg", "label": "cat"}, {"image": "b.jpg", "label": "dog"}], "n": 2},
            "by label": {"cat": ["a.jpg"], "dog": ["b.jpg"]},
        }.items()
    },
    "an object a line, though named .json": (
        "t.json", lines({"image": "a.jpg", "labels": ["cat"]}, {"image": "b.jpg", "labels": []}), ["a.jpg", "b.jpg"],
        ["cat"], [[P], [N]],
    ),
    "coco with filename": (
        "c.json", coco([{"image_id": 1, "category_id": 0}], images=[{"id": 1, "filename": "a.jpg"}]), ["a.jpg"],
        ["cat", "dog"], [[P, N]],
    ),
    "vertex ai's table": (
        "t.csv", "TRAIN,gs://b/a.jpg,cat,dog\nVALIDATION,gs://b/b.jpg,cat\nUNASSIGNED,gs://b/c.jpg\n",
        ["gs://b/a.jpg", "gs://b/b.jpg", "gs://b/c.jpg"], ["cat", "dog"], [[P, P], [P, N], [N, N]],
    ),
    "vertex ai's table without sets": (
        "t.csv", "gs://b/a.jpg,cat,dog\ngs://b/b.jpg,cat\n", ["gs://b/a.jpg", "gs://b/b.jpg"], ["cat", "dog"],
        [[P, P], [P, N]],
    ),
    "vertex ai's boxes": (
        "t.csv",
        "TRAIN,gs://b/a.jpg,cat,0.1,0.1,,,0.3,0.3,,\nTRAIN,gs://b/a.jpg,dog,0.1,0.1,,,0.3,0.3,,\nTEST,gs://b/b.jpg,,,,,,,,,\n",
        ["gs://b/a.jpg", "gs://b/b.jpg"], ["cat", "dog"], [[P, P], [N, N]],
    ),
    "make sense's boxes": (
        "labels.csv", "cat,1,2,3,4,a.jpg,640,480\ndog,1,2,3,4,a.jpg,640,480\ncat,1,2,3,4,b.jpg,640,480\n",
        ["a.jpg", "b.jpg"], ["cat", "dog"], [[P, P], [P, N]],
    ),
    "retinanet's boxes": (
        "t.csv", "a.jpg,1,2,3,4,cat\nb.jpg,,,,,\nc.jpg,1,2,3,4,dog\n", ["a.jpg", "b.jpg", "c.jpg"], ["cat", "dog"],
        [[P, N], [N, N], [N, P]],
    ),
    "signs of german roads": (
        "GT-00000.csv", "Filename;Width;Height;Roi.X1;ClassId\n0.ppm;29;30;5;0\n1.ppm;30;30;5;1\n",
        ["0.ppm", "1.ppm"], ["0", "1"], [[P, N], [N, P]],
    ),
    "azure's words": (
        "t.jsonl", lines({"image_url": "AmlDatastore://x/a.jpg", "label": ["cat", "dog"]},
                         {"image_url": "AmlDatastore://x/b.jpg", "label": ["dog"]}),
        ["AmlDatastore://x/a.jpg", "AmlDatastore://x/b.jpg"], ["cat", "dog"], [[P, P], [N, P]],
    ),
    "azure's boxes": (
        "t.jsonl", lines({"image_url": "azureml://x/a.jpg", "image_details": {"format": "jpg"},
                          "label": [{"label": "cat", "topX": 0.1, "isCrowd": 0}]},
                         {"image_url": "azureml://x/b.jpg", "label": []}),
        ["azureml://x/a.jpg", "azureml://x/b.jpg"], ["cat"], [[P], [N]],
    ),
    "fiftyone's detections": (
        "labels.json", json.dumps({"classes": ["cat", "dog"],
                                   "labels": {"a": [{"label": 1, "bounding_box": [0.1, 0.1, 0.2, 0.2]}], "b": []}}),
        ["a", "b"], ["dog"], [[P], [N]],
    ),
    **{
        f"fiftyone's labels without classes, {name}": (
            "labels.json", json.dumps(without | {"labels": {"a": "cat", "b": ["dog", "cat"], "c": None}}),
            ["a", "b", "c"], ["cat", "dog"], [[P, N], [P, P], [N, N]],
        )
        for name, without in (("null", {"classes": None}), ("left out", {}))
    },
    "scale": (
        "tasks.json",
        json.dumps([{"task_id": "1", "params": {"attachment": "s3://b/a.jpg"},
                     "response": {"annotations": [{"label": "cat"}]}},
                    {"task_id": "2", "params": {"attachment": "s3://b/b.jpg"}, "status": "pending"}]),
        ["s3://b/a.jpg"], ["cat"], [[P]],
    ),
    "hasty": (
        "h.json",
        json.dumps({"project_name": "p", "images": [
            {"image_name": "a.jpg", "image_status": "Done", "labels": [{"class_name": "cat"}], "tags": ["wet"]},
            {"image_name": "b.jpg", "image_status": "Done", "labels": []},
            {"image_name": "c.jpg", "image_status": "New", "labels": []}]}),
        ["a.jpg", "b.jpg"], ["cat", "wet"], [[P, P], [N, N]],
    ),
    "superannotate's list": (
        "s.json",
        json.dumps([{"metadata": STARTED, "instances": [{"className": "cat"}], "tags": []},
                    {"metadata": NOT_STARTED, "instances": [], "tags": []}]),
        ["a.jpg"], ["cat"], [[P]],
    ),
    "superannotate by image": (
        "s.json", json.dumps({"a.jpg": {"metadata": STARTED, "instances": [{"className": "cat"}]},
                              "c.jpg": {"metadata": NOT_STARTED, "instances": []}}),
        ["a.jpg"], ["cat"], [[P]],
    ),
    "sagemaker's failures": (
        "o.manifest",
        lines({"source-ref": "s3://b/a.jpg", "j": 0, "j-metadata": {"class-name": "cat"}},
              {"source-ref": "s3://b/b.jpg", "j-metadata": {"failure-reason": "expired"}}, {"source-ref": "s3://b/c.jpg"}),
        ["/b/a.jpg"], ["cat"], [[P]],
    ),
    "a list of records": (
        "r.json", json.dumps([{"file_name": "a.jpg", "labels": ["cat"]}, {"file_name": "b.jpg", "labels": []}]),
        ["a.jpg", "b.jpg"], ["cat"], [[P], [N]],
    ),
    "records with a sign between labels": (
        "r.json", json.dumps([{"url": "a.jpg", "labels": "cat, dog"}, {"url": "b.jpg", "labels": "dog"}]),
        ["a.jpg", "b.jpg"], ["cat", "dog"], [[P, P], [N, P]],
    ),
    "create ml's words": (
        "r.json", json.dumps([{"imagefilename": "a.jpg", "annotation": "cat"}, {"imagefilename": "b.jpg",
                                                                                "annotation": "dog"}]),
        ["a.jpg", "b.jpg"], ["cat", "dog"], [[P, N], [N, P]],
    ),
    "words by image": (
        "r.json", json.dumps({"a.jpg": "cat;dog", "b.jpg": "dog"}), ["a.jpg", "b.jpg"], ["cat", "dog"],
        [[P, P], [N, P]],
    ),
    "truths by image": (
        "r.json", json.dumps({"a.jpg": {"cat": 1, "dog": 0}, "b.jpg": {"cat": 0, "dog": 1}}), ["a.jpg", "b.jpg"],
        ["cat", "dog"], [[P, N], [N, P]],
    ),
    "a file of labelme": (
        "a.json", json.dumps({"imagePath": "a.jpg", "shapes": [{"label": "cat"}]}), ["a.jpg"], ["cat"], [[P]],
    ),
    "scores of an image": (
        "m.jsonl", lines({"file_name": "a.jpg", "labels": ["cat"], "aesthetic_score": 0.7}), ["a.jpg"], ["cat"], [[P]],
    ),
    "coco with floats for ids": (
        "c.json", coco([{"image_id": 1.0, "category_id": 0.0}, {"image_id": "2", "category_id": 1, "score": 1.0}]),
        ["a.jpg", "b.jpg"], ["cat", "dog"], [[P, N], [N, P]],
    ),
    "panoptic": (
        "p.json", coco([{"image_id": 1, "segments_info": [{"category_id": 0}, {"category_id": 1}]},
                        {"image_id": 2, "segments_info": []}]),
        ["a.jpg", "b.jpg"], ["cat", "dog"], [[P, P], [N, N]],
    ),
    "lvis": (
        "l.json",
        coco([{"image_id": 1, "category_id": 0}],
             images=[{"id": 1, "coco_url": "http://host/train2017/a.jpg", "neg_category_ids": [1]},
                     {"id": 2, "coco_url": "http://host/train2017/b.jpg", "neg_category_ids": [0]}]),
        ["http://host/train2017/a.jpg", "http://host/train2017/b.jpg"], ["cat", "dog"], [[P, N], [N, U]],
    ),
    "label studio's tree": (
        "t.json", json.dumps([task("a.jpg", [result("taxonomy", ["Animal", "Cat"], ["Plant"])]), task("b.jpg", [])]),
        ["a.jpg", "b.jpg"], ["Animal/Cat", "Plant"], [[P, P], [N, N]],
    ),
    "label studio's min with a tree": (
        "t.json", json.dumps([{"image": "a.jpg", "annotation_id": 1, "taxonomy": [["A", "B"], ["C"]]}]),
        ["a.jpg"], ["A/B", "C"], [[P, P]],
    ),
    "a key for each label": (
        "m.jsonl", lines({"file_name": "a.jpg", "owl": 1, "labels": {"cat": True, "dog": 0}},
                         {"file_name": "b.jpg", "owl": 0, "labels": {"cat": 0, "dog": 1}}),
        ["a.jpg", "b.jpg"], ["owl", "cat", "dog"], [[P, P, N], [N, N, P]],
    ),
    "label studio's min under another key": (
        "t.json",
        json.dumps([{"image": "a.jpg", "annotation_id": 1, "animals": {"choices": ["cat", "dog"]}},
                    {"image": "b.jpg", "annotation_id": 2, "animals": {"choices": ["dog"]}},
                    {"image": "c.jpg", "annotation_id": 3}]),
        ["a.jpg", "b.jpg", "c.jpg"], ["cat", "dog"], [[P, P], [N, P], [N, N]],
    ),
}  # fmt: skip

DETECTIONS = {"images": [{"file": "a.jpg", "detections": [{"category": "1", "conf": 0.9}]}], "detection_categories": {}}
SCORED = {"file_name": "a.jpg", "labels": ["cat"], "confidence": 0.3}
COLOURED = {"a.jpg": {"filename": "a.jpg", "regions": [{"region_attributes": {"kind": "cat", "colour": "red"}}]}}

# Name: file name, content, what the error says beside the file.
REFUSED = {
    "labels or images": (
        "t.json",
        json.dumps({"a": ["cat"], "b": ["dog"]}),
        "its keys may be images and its lists their",
    ),
    "coco's categories as words": (
        "c.json",
        coco([{"image_id": 1, "category_id": 0}], categories=["cat"]),
        'category 1 of 1 is "cat": write an object with its keys',
    ),
    "an entry without an image": (
        "r.json",
        json.dumps([{"image": "a.jpg", "labels": ["cat"]}, {"image": "", "labels": ["cat"]}]),
        "entry 2: column 'image' is blank",
    ),
    "a map of numbers to classes": (
        "labels.json",
        json.dumps({"labels": {"0": "cat", "1": "dog"}}),
        "none of MS-COCO annotations",
    ),
    "annotations that are null": (
        "c.json",
        json.dumps(json.loads(coco([])) | {"annotations": None}),
        "'annotations' holds null: write a list there, [] for none",
    ),
    "an annotation that is null": (
        "c.json",
        coco([{"image_id": 1, "category_id": 0}, None]),
        "annotation 2 of 2 is null: write an object with its keys",
    ),
    "fiftyone's predictions": (
        "labels.json",
        json.dumps({"classes": ["cat"], "labels": {"a": [{"label": 0, "confidence": 0.4}]}}),
        "FiftyOne's detections with a confidence, which are predictions: write a table",
    ),
    "coco's scores": (
        "c.json",
        coco([{"id": 7, "image_id": 1, "category_id": 0, "score": 0.12}]),
        "annotation 7: score",
    ),
    "objects for labels": (
        "r.json",
        json.dumps([{"image": "a.jpg", "labels": [{"name": "cat", "confidence": 0.2}]}]),
        "is no list of labels: write it as",
    ),
    "labels and a choice": (
        "r.json",
        json.dumps([{"image": "a.jpg", "labels": ["cat"]}, {"image": "b.jpg", "choice": "dog"}]),
        "'choice' and 'labels' may both list the labels: name one with data.label_columns",
    ),
    "a task with objects for labels": (
        "t.json",
        json.dumps([{"image": "a.jpg", "annotation_id": 1, "labels": [{"class": "cat"}]}]),
        "entry 1: 'labels' holds \"{'class': 'cat'}\": write a label, or a list of labels",
    ),
    "numbers alone": ("r.json", "[1, 2]", "entry 1: '1' names no image: write an object"),
    "coco's results": (
        "r.json",
        json.dumps([{"image_id": 1, "category_id": 0, "bbox": [], "score": 0.1}]),
        "which are predictions: write",
    ),
    "coco's annotations alone": (
        "r.json",
        json.dumps([{"image_id": 1, "category_id": 0}]),
        "name the file that also has",
    ),
    "captions": (
        "captions_train.json",
        json.dumps({"images": [{"id": 1, "file_name": "a.jpg"}], "annotations": [{"image_id": 1, "caption": "a cat"}]}),
        "captions, which are no labels: name a file of labels, such as instances_*",
    ),
    "a category without a name": (
        "c.json",
        coco([], categories=[{"id": 3, "name": None}]),
        "category 3 has no name: write",
    ),
    "scores in lines": ("m.jsonl", lines(SCORED), "line 1: confidence 0.3 makes it a prediction"),
    "values of labels in an object": (
        "m.jsonl",
        lines({"file_name": "a.jpg", "labels": {"cat": "sharp"}}),
        "line 1: 'labels' holds 'sharp': write a list of labels",
    ),
    "scores by label": (
        "m.jsonl",
        lines({"file_name": "a.jpg", "labels": ["cat", "dog"], "label_scores": {"cat": 0.9, "dog": 0.1}}),
        "line 1: label_scores 0.9 makes it a prediction",
    ),
    "scores of boxes": (
        "m.jsonl",
        lines({"file_name": "a.jpg", "objects": {"categories": ["cat"], "scores": [0.2]}}),
        "line 1: scores 0.2",
    ),
    "megadetector": (
        "d.json",
        json.dumps(DETECTIONS),
        "MegaDetector's detections, which are predictions: write a table",
    ),
    "via with two attributes": ("v.json", json.dumps(COLOURED), "the attributes 'kind' and 'colour': keep the one"),
    "labelbox's yes and no": (
        "e.ndjson",
        lines(labelbox("a.jpg", question("Wet?", "Yes"))),
        "the answer 'Yes' to 'Wet?' is no label: write",
    ),
    "label studio's predictions": (
        "t.json",
        json.dumps([task("a.jpg", predictions=[{"result": [result("choices", "cat")]}])]),
        "1 have predictions, which are no labels",
    ),
    "label studio's min without labels": (
        "t.json",
        json.dumps([{"image": "a.jpg", "annotation_id": 1, "animals": "cat"}]),
        "entry 1: annotated, but not under choice, choices, label, labels: name the keys of labels with",
    ),
    "encord": (
        "e.json",
        json.dumps([{"label_hash": "x", "data_units": {}, "data_title": "a.jpg"}]),
        "Encord's: export",
    ),
    "kili": (
        "k.json",
        json.dumps([{"externalId": "a", "labels": [{"jsonResponse": {}}]}]),
        "k.json: no image has a label: none of Kili's 1 assets has a category",
    ),
    "kili's answers of yes and no": (
        "k.json",
        json.dumps([kili("a.jpg", kili_label("YES"))]),
        "entry 1: the answer 'YES' to 'J0' is no label: write a table with a column for each question",
    ),
    "labels of kili alone": (
        "k.json",
        json.dumps([{"externalId": "a", "jsonResponse": {}}]),
        "labels of Kili without their assets: export its assets with their labels",
    ),
    "an image of supervisely": (
        "a.jpg.json",
        json.dumps({"size": {"height": 1, "width": 1}, "tags": [], "objects": []}),
        "Supervisely's, of one image: name the directory of the project",
    ),
    "segments.ai": (
        "s.json",
        json.dumps({"name": "v1", "created_at": "", "dataset": {"samples": []}}),
        "of Segments.ai:",
    ),
    "supervisely": (
        "m.json",
        json.dumps({"classes": [], "tags": [], "projectType": "images"}),
        "Supervisely's settings: name the directory of the project, whose folders hold img and ann",
    ),
    "nuimages": (
        "object_ann.json",
        json.dumps([{"token": "x", "category_token": "y"}]),
        "a table of nuImages: write",
    ),
    "cityscapes": ("a.json", json.dumps({"imgHeight": 1, "imgWidth": 1, "objects": []}), "Cityscapes': write a table"),
    "relationships": (
        "r.json",
        json.dumps([{"image_id": 1, "relationships": []}]),
        "Visual Genome's relationships: name",
    ),
    "an archive": ("labels.csv.gz", "", "an archive: unpack it"),
}
