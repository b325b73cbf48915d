"""Cases of test_known_sets.py: the files of sets and exports, and what they say."""

import json

from tests.data.layouts import BOX

P, N, U = 1, -1, 0

PETS = {f"{label}/{label}{number}.jpg": "" for label in ("cat", "dog") for number in (1, 2)}
OF_PETS = [[P, N], [P, N], [N, P], [N, P]]


def below(folder: str, files: dict[str, str]) -> dict[str, str]:
    return {f"{folder}/{name}": text for name, text in files.items()}


def scenes(*parts: str) -> dict[str, str]:
    return {f"{part}/{part}/{label}/{part}{label}.jpg": "" for part in parts for label in ("forest", "sea")}


def voc(folder: str) -> dict[str, str]:
    return below(folder, {
        **{f"JPEGImages/{name}.jpg": "" for name in "ab"},
        "Annotations/a.xml": "<annotation><filename>a.jpg</filename><object><name>cat</name></object></annotation>",
        "Annotations/b.xml": "<annotation><filename>b.jpg</filename></annotation>",
        "ImageSets/Main/train.txt": "a\n", "ImageSets/Main/val.txt": "b\n",
    })  # fmt: skip


OF_ROBOFLOW = "train: ../train/images\nval: ../valid/images\nnames: [cat, dog]\n"
COCO = json.dumps({
    "images": [{"id": 1, "file_name": "a.jpg"}], "categories": [{"id": 1, "name": "cat"}],
    "annotations": [{"image_id": 1, "category_id": 1}],
})  # fmt: skip
SURE = "<object><name>dog</name><score>1.0</score></object>"
SCORED_XML = f"<annotation>{SURE}<object><name>cat</name><score>0.83</score></object></annotation>"

# Name: files with their texts, format, labels, states of each split, parts of what is said.
READ = {
    "scenes of Intel": (
        scenes("seg_train", "seg_test") | {"seg_pred/seg_pred/1.jpg": "", "seg_pred/seg_pred/2.jpg": ""},
        "folders", ["forest", "sea"], {"train": [[P, N], [N, P]], "test": [[P, N], [N, P]]},
        ["the folder 'seg_pred' holds 2 images in no folder of a label: they are left out"],
    ),
    "a folder named alike within": (
        below("train/train", PETS), "folders", ["cat", "dog"], {"train": OF_PETS}, [],
    ),
    "an archive's only folder": (
        below("data", PETS) | {"README.md": "x"}, "folders", ["cat", "dog"], {"": OF_PETS}, ["data is the only folder"],
    ),
    "two folders of archives": (
        below("archive/images", PETS), "folders", ["cat", "dog"], {"": OF_PETS}, ["archive/images is the only folder"],
    ),
    "a table in an archive's only folder": (
        {"set/a.jpg": "", "set/t.csv": "image,cat,dog\na.jpg,1,0\n"}, "wide", ["cat", "dog"], {"": [[P, N]]}, [],
    ),
    "a test without labels": (
        below("train", PETS) | {"test/1.jpg": "", "test/2.jpg": ""}, "folders", ["cat", "dog"], {"train": OF_PETS},
        ["the folder 'test' holds 2 images in no folder of a label"],
    ),
    "a test without labels, by number": (
        below("train", PETS) | {"test1/1.jpg": ""}, "folders", ["cat", "dog"], {"train": OF_PETS},
        ["the folder 'test1' holds 1 images"],
    ),
    "images of parts": (
        below("train_images", PETS) | below("val_images", PETS), "folders", ["cat", "dog"],
        {"train": OF_PETS, "val": OF_PETS}, [],
    ),
    "pascal voc whose test is kept back": (
        voc("x") | {"x/ImageSets/Main/test.txt": "c\n", "x/JPEGImages/c.jpg": ""}, "voc", ["cat"],
        {"train": [[P]], "val": [[N]]}, ["test.txt names images without XML files: it is left out"],
    ),
    "pascal voc from above": (
        voc("VOCdevkit/VOC2007"), "voc", ["cat"], {"train": [[P]], "val": [[N]]}, ["VOCdevkit/VOC2007 is the only"],
    ),
    "two years of pascal voc": (
        voc("VOCdevkit/VOC2007") | voc("VOCdevkit/VOC2012") | {"VOCdevkit/VOCcode/VOCinit.m": "x",
         "VOCdevkit/VOC2007/ImageSets/Main/test.txt": "b\n", "VOCdevkit/VOC2012/ImageSets/Main/test.txt": "c\n",
         "VOCdevkit/.ipynb_checkpoints/a-checkpoint.jpg": ""},
        "voc", ["cat"], {"train": [[P], [P]], "val": [[N], [N]], "test": [[N]]},
        ["VOC2007 and VOC2012 are read as one set"],
    ),
    "objects365": (
        {f"{part}/patch1/{name}.jpg": "" for part, name in (("train", "a"), ("val", "b"))} | {
         f"zhiyuan_objv2_{part}.json": COCO.replace("a.jpg", f"images/v2/patch1/{name}.jpg")
         for part, name in (("train", "a"), ("val", "b"))},
        "coco", ["cat"], {"train": [[P]], "val": [[P]]}, [],
    ),
    "objects365 in images": (
        {"images/train/patch1/a.jpg": "", "images/val/patch1/a.jpg": "",
         "zhiyuan_objv2_train.json": COCO.replace("a.jpg", "images/v2/patch1/a.jpg")},
        "coco", ["cat"], {"": [[P]]}, [],
    ),
    "pascal voc's lists of one class": (
        {**{f"JPEGImages/{name}.jpg": "" for name in "abc"}, "ImageSets/Main/trainval.txt": "a\nb\nc\n",
         "ImageSets/Main/cat_trainval.txt": "a  1\nb -1\nc  0\n",
         "ImageSets/Main/pottedplant_trainval.txt": "a -1\nb  0\nc  1\n",
         "ImageSets/Main/room_trainval.txt": "a 1\nb 1\nc 1\n"},
        "voc", ["cat", "pottedplant", "room"], {"trainval": [[P, N, P], [N, U, P], [U, P, P]]}, ["0, a difficult"],
    ),
    "pascal voc's lists of one class and of names": (
        {**{f"JPEGImages/{name}.jpg": "" for name in "abc"}, "ImageSets/Main/train.txt": "a\nb\n",
         "ImageSets/Main/val.txt": "c\n", "ImageSets/Main/trainval.txt": "a\nb\nc\n",
         **{f"ImageSets/Main/{label}_{part}.txt": text for label, lines in (("cat", ("a  1\nb -1\n", "c -1\n")),
            ("dog", ("a -1\nb  1\n", "c  1\n"))) for part, text in zip(("train", "val"), lines, strict=True)}},
        "voc", ["cat", "dog"], {"train": [[P, N], [N, P]], "val": [[N, P]]}, ["-1 absent"],
    ),
    "cvat's lists for ultralytics": (
        {"data.yaml": "train: train.txt\nval: val.txt\nnames: {0: cat, 1: dog}\n", "images/train/a.jpg": "",
         "train.txt": "data/images/train/a.jpg\ndata/images/train/b.jpg\n", "images/train/b.jpg": "",
         "val.txt": "data/images/val/c.jpg\n", "images/val/c.jpg": "", "labels/train/a.txt": f"1 {BOX}\n",
         "labels/val/c.txt": f"0 {BOX}\n"},
        "yolo", ["cat", "dog"], {"train": [[N, P], [N, N]], "val": [[P, N]]},
        ["train.txt: names images in data, which is not there"],
    ),
    "darknet's settings": (
        {"obj.data": "classes = 2\ntrain = data/train.txt\nvalid = data/test.txt\nnames = data/obj.names\n",
         "obj.names": "cat\ndog\n", "train.txt": "data/obj/a.jpg\n", "test.txt": "data/obj/b.jpg\n", "obj/a.jpg": "",
         "obj/b.jpg": "", "obj/a.txt": f"1 {BOX}\n", "obj/b.txt": f"0 {BOX}\n"},
        "yolo", ["cat", "dog"], {"train": [[N, P]], "val": [[P, N]]}, ["named in obj.data"],
    ),
    "darknet's settings, and images apart": (
        {"obj.data": "train = data/train.txt\nnames = data/obj.names\n", "obj.names": "cat\ndog\n",
         "train.txt": "data/obj/a.png\ndata/obj/b.png\n", "obj/a.txt": f"1 {BOX}\n", "obj/b.txt": f"0 {BOX}\n",
         "pictures/a.png": "", "pictures/b.png": ""},
        "yolo", ["cat", "dog"], {"train": [[N, P], [P, N]]},
        ["2 images, first obj/a.png, are not where they are listed: they are looked for by name"],
    ),
    "settings that name no place, and images and labels below": (
        {"data.yaml": OF_ROBOFLOW, "export/images/a.jpg": "", "export/labels/a.txt": f"0 {BOX}\n",
         "export/images/b.jpg": "", "export/labels/b.txt": f"1 {BOX}\n"},
        "yolo", ["cat", "dog"], {"": [[P, N], [N, P]]},
        ["train ../train/images: no such directory or file beside it", "that have files of boxes are read instead"],
    ),
    "settings that name no place, and boxes beside images": (
        {"data.yaml": OF_ROBOFLOW, "images/c.jpg": "", "train/a.jpg": "", "train/a.txt": f"0 {BOX}\n",
         "train/_annotations.txt": "a.jpg 1,2,3,4,0\n", "valid/b.jpg": "", "valid/b.txt": f"1 {BOX}\n"},
        "yolo", ["cat", "dog"], {"train": [[P, N]], "val": [[N, P]]},
        ["val ../valid/images: no such directory or file beside it", "that have files of boxes are read instead"],
    ),
    "pascal voc in folders of other names": (
        {"DataImages/a.jpg": "", "DataImages/b.jpg": "",
         "DataLabels/a.xml": "<annotation><filename>a.jpg</filename><object><name>cat</name></object></annotation>"},
        "voc", ["cat"], {"": [[P]]},
        ["the files of Pascal VOC in DataLabels annotate the images in DataImages", "1 images in DataImages have no"],
    ),
    "images by their numbers": (
        {"images/55.jpg": "", "images/7.jpg": "", "t.json": '{"55": [1, 67], "7": [1]}'},
        "metadata", ["1", "67"], {"": [[P, P], [P, N]]}, ["each key is an image"],
    ),
    "settings of another program": (
        {"images/a.jpg": "", "labels/a.txt": f"1 {BOX}\n", "data.yaml": "train: images\nnames: [cat, dog]\n",
         "hyp.yaml": "lr0: 0.1\n", "small.yaml": "train: images/a\nnames: {0: cat, 1: dog}\n"},
        "yolo", ["cat", "dog"], {"train": [[N, P]]}, ["named in data.yaml"],
    ),
    "celeba": (
        {"list_attr_celeba.txt": "2\nBald Smiling \n000001.jpg -1  1\n000002.jpg  1 -1\n",
         "img_align_celeba/000001.jpg": "", "img_align_celeba/000002.jpg": ""},
        "authors", ["Bald", "Smiling"], {"": [[N, P], [P, N]]}, ["-1 is absent"],
    ),
    "celeba whole": (
        {"Anno/list_attr_celeba.txt": "2\nBald Smiling \n000001.jpg -1  1\n000002.jpg  1 -1\n",
         "Anno/identity_CelebA.txt": "000001.jpg 5\n", "Eval/list_eval_partition.txt": "000001.jpg 0\n000002.jpg 2\n",
         "Img/img_align_celeba/000001.jpg": "", "Img/img_align_celeba/000002.jpg": ""},
        "authors", ["Bald", "Smiling"], {"train": [[N, P]], "test": [[P, N]]}, ["list_eval_partition.txt says"],
    ),
    "celeba of Kaggle": (
        {"list_attr_celeba.csv": "image_id,Bald,Smiling\n000001.jpg,-1,1\n000002.jpg,1,-1\n",
         "list_eval_partition.csv": "image_id,partition\n000001.jpg,0\n000002.jpg,1\n",
         "list_bbox_celeba.csv": "image_id,x_1,y_1,width,height\n000001.jpg,1,2,3,4\n",
         **{f"img_align_celeba/img_align_celeba/00000{number}.jpg": "" for number in (1, 2)}},
        "authors", ["Bald", "Smiling"], {"train": [[N, P]], "val": [[P, N]]}, [],
    ),
    "food-101": (
        {"images/pie/1.jpg": "", "images/soup/2.jpg": "", "images/pie/3.jpg": "", "meta/classes.txt": "pie\nsoup\n",
         "meta/train.json": '{"pie": ["pie/1"], "soup": ["soup/2"]}',
         "meta/test.json": '{"pie": ["pie/3"], "soup": []}'},
        "authors", ["pie", "soup"], {"train": [[P, N], [N, P]], "test": [[P, N]]}, ["meta says which images train"],
    ),
    "retinanet's tables": (
        {"images/a.jpg": "", "images/b.jpg": "", "images/c.jpg": "", "classes.csv": "cat,0\ndog,1\n",
         "annotations.csv": "images/a.jpg,1,2,3,4,cat\nimages/a.jpg,1,2,3,4,dog\nimages/b.jpg,,,,,\n",
         "annotations_test.csv": "images/c.jpg,1,2,3,4,cat\nimages/c.jpg,1,2,3,4,dog\n"},
        "long", ["cat", "dog"], {"train": [[P, P], [N, N]], "test": [[P, P]]},
        ["classes.csv names no image", "annotations.csv is taken for training, as annotations_test.csv is for test"],
    ),
    "a table of a part, of which images in another have the names": (
        {"train.csv": "image,cat,dog\na.jpg,1,0\n", "train/images/a.jpg": "", "test/images/a.jpg": ""},
        "wide", ["cat", "dog"], {"": [[P, N]]}, [],
    ),
    "celeba in the wild": (
        {"Anno/list_attr_celeba.txt": "1\nBald Smiling \n000001.jpg -1  1\n", "Img/img_celeba/000001.jpg": ""},
        "authors", ["Bald", "Smiling"], {"": [[N, P]]}, [],
    ),
    "tiny imagenet": (
        {"train/n01/images/n01_0.JPEG": "", "train/n02/images/n02_0.JPEG": "", "val/images/val_0.JPEG": "",
         "train/n01/n01_boxes.txt": "n01_0.JPEG\t0\t0\t62\t62\n", "test/images/test_0.JPEG": "",
         "val/val_annotations.txt": "val_0.JPEG\tn02\t0\t32\t44\t62\n", "wnids.txt": "n01\nn02\n"},
        "authors", ["n01", "n02"], {"train": [[P, N], [N, P]], "val": [[N, P]]}, ["'test' holds 1 images without"],
    ),
    "pets of Oxford": (
        {"images/Abyssinian_1.jpg": "", "images/basset_hound_10.jpg": "",
         "annotations/list.txt": "#Image CLASS-ID SPECIES BREED ID\nAbyssinian_1 1 1 1\nbasset_hound_10 2 2 1\n",
         "annotations/trainval.txt": "Abyssinian_1 1 1 1\n", "annotations/test.txt": "basset_hound_10 2 2 1\n",
         "annotations/xmls/Abyssinian_1.xml": "<annotation><object><name>cat</name></object></annotation>"},
        "authors", ["Abyssinian", "basset_hound"], {"train": [[P, N]], "test": [[N, P]]}, ["the labels are the breeds"],
    ),
    "label studio's names of what was uploaded": (
        {"cat.jpg": "", "t.json": '[{"data": {"image": "/data/upload/1/a1b2c3d4-cat.jpg"}, "annotations": [{"result": '
                                  '[{"value": {"choices": ["cat"]}}]}]}]'},
        "label_studio", ["cat"], {"": [[P]]}, [],
    ),
    "labels in groups that hold a word for a part": (
        {"train_station/in/a.jpg": "", "test_tube/x/b.jpg": ""}, "folders", ["test_tube", "train_station"],
        {"": [[P, N], [N, P]]}, ["folders within those of the labels, such as test_tube/x, say nothing"],
    ),
    "a table and the form for predictions": (
        {"images/a.jpg": "", "train.csv": "id,label\na,cat\n", "sample_submission.csv": "id,label\nc,cat\n"},
        "list", ["cat"], {"": [[P]]}, ["sample_submission.csv is a form for predictions: it is not read"],
    ),
    "tables of the parts, and one of classes": (
        {"images/a.jpg": "", "images/b.jpg": "", "train_labels.csv": "filename,class\na.jpg,cat\n",
         "val_labels.csv": "filename,class\nb.jpg,cat\n", "classes.csv": "cat,0\ndog,1\n"},
        "list", ["cat"], {"train": [[P]], "val": [[P]]}, ["classes.csv names no image: it is not read"],
    ),
    "images in folders within another, and a table that names a part of their path": (
        {"images/NEL/a.jpg": "", "images/FAL/a.jpg": "",
         "t.csv": "image,cat,dog\nNEL/a.jpg,1,0\nFAL/a.jpg,0,1\n"},
        "wide", ["cat", "dog"], {"": [[P, N], [N, P]]}, [],
    ),
    "a table of ids, and one of their names": (
        {"images/a1.png": "", "images/b2.png": "", "train.csv": "id,attribute_ids\na1,0 2\nb2,2\n",
         "labels.csv": "attribute_id,attribute_name\n0,culture::french\n2,tag::men\n"},
        "list", ["culture::french", "tag::men"], {"": [[P, P], [N, P]]},
        ["the labels have their names from labels.csv, '0' is 'culture::french'"],
    ),
    "a manifest in its directory": (
        {"images/a.jpg": "", "images/b.jpg": "", "output.manifest": "".join(
            json.dumps({"source-ref": f"s3://b/images/{name}.jpg", "j": 0, "j-metadata": {"class-name": label}}) + "\n"
            for name, label in (("a", "cat"), ("b", "dog")))},
        "metadata", ["cat", "dog"], {"": [[P, N], [N, P]]}, ["read as SageMaker's class map"],
    ),
    "records that name the folders of their labels": (
        {**PETS, "all.json": json.dumps([{"title": f"t{n}", "genre": name.split("/")[0], "filename": name}
                                         for n, name in enumerate(PETS)])},
        "metadata", ["cat", "dog"], {"": OF_PETS}, ["column 'genre' lists the labels"],
    ),
    "tables of the parts beside their folders": (
        {f"{part}{name}": text for part in ("train", "val", "test") for name, text in {
            "/1.jpg": "", ".csv": "image,cat,dog\n1.jpg,1,0\n"}.items()},
        "wide", ["cat", "dog"], {"train": [[P, N]], "val": [[P, N]], "test": [[P, N]]}, [],
    ),
    "tables of the parts without a header": (
        {f"{part}{name}": text for part in ("train", "test") for name, text in {
            ".jpg": "", ".csv": f"{part}.jpg,1,2,3,4,cat\n"}.items()},
        "long", ["cat"], {"train": [[P]], "test": [[P]]}, [],
    ),
    "tables of Kaggle": (
        {"images/a.jpg": "", "images/c.jpg": "", "train.csv": "id,label\na,cat\n", "test.csv": "id\nc\n"},
        "list", ["cat"], {"train": [[P]]}, ["test.csv has no column 'label' as train.csv has: it is not read"],
    ),
    "json that names other images, beside roboflow's": (
        {"train/a.jpg": "", "train/_classes.csv": "filename,cat,dog\na.jpg,1,0\n", "about.json": '{"logo": "o.png"}'},
        "wide", ["cat", "dog"], {"train": [[P, N]]}, [],
    ),
    "labels that hold a word for a part": (
        {"train_station/a.jpg": "", "crash_test/b.jpg": "", "harbour/c.jpg": ""}, "folders",
        ["crash_test", "harbour", "train_station"], {"": [[P, N, N], [N, P, N], [N, N, P]]}, [],
    ),
}  # fmt: skip

# Name: files with their texts, what the error says.
REFUSED = {
    "oriented boxes": (
        {"data.yaml": "train: ../train/images\nnames: [cat]\n", "train/images/a.jpg": "",
         "train/labelTxt/a.txt": "0 0 0 2 2 2 2 0 cat 0\n"},
        "train/labelTxt/a.txt: DOTA's, and no image has a file of YOLO's boxes",
    ),
    "measures beside images": (
        {"train/1.jpg": "", "train/1.txt": '108 225 132 0 1 0 0 1 3 "F"\n'},
        "begins with numbers, as boxes and measures do",
    ),
    "several tables beside the images": (
        {"annotations/age.csv": "x,y\n1,2\n", "annotations/labels.csv": "x,y\n1,2\n", "images/a.jpg": ""},
        "annotations/labels.csv or annotations/age.csv may hold the labels: name the one that does",
    ),
    "labels in the names of files": (
        {"train/cat.0.jpg": "", "train/dog.0.jpg": "", "test/1.jpg": ""},
        "no labels found: images stand directly in 'test' and 'train', such as test/1.jpg: name the file of the labels",
    ),
    "a label and a part": (
        below("train", PETS) | {"cat/3.jpg": ""}, "'train' may be a split or a label, as 'cat' beside it is",
    ),
    "two sets of pascal voc": (
        voc("sets/VOC2007") | voc("sets/mine"),
        "holds several data sets, 'VOC2007' (voc) and 'mine' (voc): name one of them",
    ),
    "two years of pascal voc that are divided otherwise": (
        {name: text for name, text in (voc("VOC2007") | voc("VOC2012")).items() if "2007/ImageSets/Main/v" not in name},
        "holds several data sets, 'VOC2007' (voc) and 'VOC2012' (voc): name one of them",
    ),
    "a list of pascal voc of another form": (
        {"JPEGImages/a.jpg": "", "ImageSets/Main/cat_train.txt": "a 1\nb -1\na -1\n"},
        "ImageSets/Main/cat_train.txt: line 3: 'a' stood before with another number",
    ),
    "predictions of pascal voc": (
        {"a.jpg": "", "a.xml": SCORED_XML}, "a.xml: score 0.83 makes it a prediction, not a label: keep the objects",
    ),
    "settings beside others": (
        {"images/a.jpg": "", "labels/a.txt": f"1 {BOX}\n", "data.yaml": "train: images\nnames: [cat, dog]\n",
         "data2.yaml": "train: images\nnames: [dog, cat]\n"},
        "holds data.yaml and data2.yaml: name one of them",
    ),
    "a part of celeba that nothing names": (
        {"list_attr_celeba.txt": "1\nBald \n1.jpg  1\n", "list_eval_partition.txt": "2.jpg 0\n",
         "img_align_celeba/1.jpg": ""},
        "list_eval_partition.txt: does not say in which part '1.jpg' is, with 0, 1 or 2 or in words",
    ),
    "roboflow's classes twice": (
        {"a.jpg": "", "b.jpg": "", "_classes.csv": "filename,cat\na.jpg,1\nb.jpg,0\n",
         "train_classes.csv": "filename,cat\na.jpg,1\n"},
        "may be read as _classes.csv or as train_classes.csv: name the file of the labels",
    ),
    "roboflow's annotations twice": (
        {"a.jpg": "", "_annotations.coco.json": COCO, "val_annotations.json": COCO, "test/b.jpg": "",
         "test/_annotations.coco.json": COCO.replace("a.jpg", "b.jpg")},
        "may be read as _annotations.coco.json or as val_annotations.json or as test/_annotations.coco.json: name",
    ),
    "roboflow's classes and annotations in one folder": (
        {"train/a.jpg": "", "train/_annotations.coco.json": COCO, "train/_classes.csv": "filename,cat\na.jpg,1\n"},
        "may be read as train/_annotations.coco.json or as train/_classes.csv: name the file of the labels",
    ),
    "cvat's annotations and MS-COCO's, without the images": (
        {"annotations.xml": '<annotations><image id="0" name="a.jpg"><box label="cat"/></image></annotations>',
         "instances.json": COCO},
        "may be read as cvat or as instances.json: name the file of the labels, or set data.format",
    ),
    "an empty file of pascal voc beside create ml's": (
        {f"{name}.{end}": text for name in "ab" for end, text in {"jpg": "", "json": json.dumps(
            [{"image": f"{name}.jpg", "annotations": [{"label": "cat", "coordinates": {}}]}])}.items()}
        | {"a.xml": "<annotation><filename>a.jpg</filename></annotation>"},
        "may be read as voc or as a.json or as b.json: name the file of the labels, or set data.format",
    ),
    "tables of parts that are called otherwise": (
        {"a.jpg": "", **{f"annotations{part}.csv": "image,label\na.jpg,cat\n" for part in ("", "_test")}},
        "holds several label files, annotations.csv, annotations_test.csv: name one of them, or one in data.train and",
    ),
    "settings that name no place, and nothing else": (
        {"data.yaml": OF_ROBOFLOW, "a.jpg": ""},
        "train ../train/images: no such directory or file beside it: put it there, or write where the images are",
    ),
    "images or labels by their numbers": (
        {"images/1.jpg": "", "images/7.jpg": "", "t.json": '{"1": [7], "7": [1, 7]}'},
        "its keys may be images and its lists their labels, or the other way round: write the images with their",
    ),
    "pascal voc apart from folders that may be labels": (
        {"cat/a.jpg": "", "dog/b.jpg": "", "notes/a.xml": "<annotation><object><name>cat</name></object></annotation>"},
        "notes/a.xml may hold the labels: set data.format to voc",
    ),
    "a set twice": (
        PETS | below("pets", PETS), "the folders in 'pets' are called as those beside it, 'cat' the first",
    ),
    "a folder that is the only one": ({"cat/a.jpg": ""}, "'cat' is the only folder of images"),
}  # fmt: skip
