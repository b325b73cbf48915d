"""Cases of test_known_sets.py: sets as PhysioNet, Kaggle and papers' authors give them out."""

import json

from tests.data.known_sets import N, P, U

SCANS = (("10000032", "50414267", "02aa804e-bde0afdd"), ("10000764", "57375967", "096052b7-d256dc40"))
MIMIC = {
    "mimic-cxr-2.0.0-chexpert.csv": "subject_id,study_id,Edema,Fracture\n10000032,50414267,1.0,\n"
    "10000764,57375967,0.0,-1.0\n10000764,57375968,,\n",
    "mimic-cxr-2.0.0-metadata.csv": "dicom_id,subject_id,study_id,ViewPosition,Rows\n"
    + "".join(f"{image},{patient},{study},PA,3056\n" for patient, study, image in SCANS),
    **{f"files/p10/p{patient}/s{study}/{image}.jpg": "" for patient, study, image in SCANS},
}
OF_STUDIES = "".join(
    f"{image},{study},{patient},{part}\n"
    for (patient, study, image), part in zip(SCANS, ("train", "validate"), strict=True)
)
SPLIT = {"mimic-cxr-2.0.0-split.csv": f"dicom_id,study_id,subject_id,split\n{OF_STUDIES}"}
VG500 = {
    "VG_100K/1.jpg": "", "VG_100K_2/7.jpg": "", "train_list_3.txt": "1.jpg\n", "test_list_3.txt": "7.jpg\n",
    "vg_category_3_labels_index.json": '{"1.jpg": [0, 2], "7.jpg": [2], "9.jpg": []}',
}  # fmt: skip


def xmp(*keywords: str) -> str:
    """An XMP file with these keywords, and with their place in a tree, which is none."""
    held = "".join(f"<rdf:li>{word}</rdf:li>" for word in keywords)
    tree = "".join(f"<rdf:li>pets|{word}</rdf:li>" for word in keywords)
    return (
        '<?xpacket begin="" id="W5M0"?><x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://w3/rdf#">'
        '<rdf:Description xmlns:dc="http://dc/" xmlns:lr="http://lr/" xmlns:xmp="http://x/" xmp:Rating="3">'
        f"<dc:subject><rdf:Bag>{held}</rdf:Bag></dc:subject><lr:hierarchicalSubject><rdf:Bag>{tree}</rdf:Bag>"
        '</lr:hierarchicalSubject></rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
    )


# Name: files with their texts, format, labels, states of each split, parts of what is said.
READ = {
    "studies of mimic": (
        MIMIC | SPLIT, "authors", ["Edema", "Fracture"], {"train": [[P, U]], "validate": [[N, U]]},
        ["an image has the labels of its study, in mimic-cxr-2.0.0-chexpert.csv", "-1 is uncertain"],
    ),
    "studies of mimic by another program": (
        {name.replace("chexpert", "negbio"): text for name, text in MIMIC.items()}, "authors", ["Edema", "Fracture"],
        {"": [[P, U], [N, U]]}, ["the images are those of mimic-cxr-2.0.0-metadata.csv"],
    ),
    "studies of mimic, some without labels": (
        MIMIC | SPLIT | {"mimic-cxr-2.0.0-chexpert.csv": "subject_id,study_id,Edema\n10000032,50414267,1.0\n",
                         "mimic-cxr-2.0.0-negbio.csv": "subject_id,study_id,Edema\n10000032,50414267,0.0\n"},
        "authors", ["Edema"], {"train": [[P]]},
        ["1 images are of a study without labels", "mimic-cxr-2.0.0-negbio.csv is not read, as mimic-cxr-2.0.0-chex"],
    ),
    "vg-500": (
        VG500, "authors", ["0", "1", "2"], {"train": [[P, N, P]], "test": [[N, N, P]]},
        ["train_list_3.txt says which images train", "the labels are the numbers of the categories"],
    ),
    "vg-500 with its lists apart": (
        {name if name.startswith("VG") else f"ssgrl_partition/{name}": text for name, text in VG500.items()},
        "authors", ["0", "1", "2"], {"train": [[P, N, P]], "test": [[N, N, P]]}, [],
    ),
    "uc merced's table beside the scenes": (
        {"Images/beach/beach00.tif": "x", "Images/river/river00.tif": "x",
         "LandUse_Multilabeled.txt": "IMAGE\\LABEL\tsand\tsea\r\nbeach00\t1\t1\r\nriver00\t0\t0\r\n"},
        "wide", ["sand", "sea"], {"": [[P, P], [N, N]]}, ["cells are separated by tabs"],
    ),
    "a form for predictions of a second stage": (
        {"images/a.jpg": "", "stage_2_train.csv": "image,cat,dog\na.jpg,1,0\n",
         "stage_2_sample_submission.csv": "image,cat,dog\nc.jpg,0,0\n"},
        "wide", ["cat", "dog"], {"": [[P, N]]},
        ["stage_2_sample_submission.csv is a form for predictions: it is not read"],
    ),
    "lvis of both parts in one folder": (
        {**{f"annotations/lvis_v1_{part}.json": json.dumps({
            "images": [{"id": 1, "coco_url": f"http://h/train2017/{part}.jpg", "neg_category_ids": [2],
                        "not_exhaustive_category_ids": []}],
            "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
            "annotations": [{"id": 1, "image_id": 1, "category_id": 1}]}) for part in ("train", "val")},
         "train2017/train.jpg": "", "train2017/val.jpg": ""},
        "coco", ["cat", "dog"], {"train": [[P, N]], "val": [[P, N]]}, [],
    ),
    "lists of images for gdal beside a table": (
        {"images/a.jpg": "", "train_filenames.lst": "a.jpg\n", "test_filenames.lst": "b.jpg\n",
         "labels.csv": "image,cat,dog\na.jpg,1,0\n"},
        "wide", ["cat", "dog"], {"": [[P, N]]}, ["train_filenames.lst names images and no labels: it is not read"],
    ),
    "outlines of clouds, an image and a label in a cell": (
        {"train_images/a.jpg": "", "train_images/b_1.jpg": "", "train.csv": "Image_Label,EncodedPixels\n"
         "a.jpg_Fish,264918 937 266318 937\na.jpg_Sugar,\nb_1.jpg_Fish,\nb_1.jpg_Sugar,7 1\n"},
        "long", ["Fish", "Sugar"], {"": [[P, N], [N, P]]},
        ["column 'Image_Label' names an image and a label in each row: 'a.jpg_Fish'", "where 'EncodedPixels' is blank"],
    ),
    "defects of steel, an image and a class in a cell": (
        {"a.jpg": "", "train.csv": "ImageId_ClassId,EncodedPixels\na.jpg_1,\na.jpg_2,29102 12 29346 24\n"},
        "long", ["1", "2"], {"": [[N, P]]}, [],
    ),
    "masks of lungs, -1 where there is none, and labels of two words": (
        {"a.jpg": "", "b.jpg": "", "t.csv": "ImageId_ClassId,EncodedPixels\na.jpg_air_leak,-1\na.jpg_lung,1 2\n"
         "b.jpg_air_leak,7 1\nb.jpg_lung,-1\n"},
        "long", ["air_leak", "lung"], {"": [[N, P], [P, N]]}, ["'EncodedPixels' is blank or -1, the label is absent"],
    ),
    "names of images in a column that is called as labels too": (
        {"img_0.jpg": "", "img_1.jpg": "", "t.csv": "image_label,Any\nimg_0,0\nimg_1,1\n"},
        "wide", ["Any"], {"": [[N], [P]]}, [],
    ),
    "names and labels of scans, without endings": (
        {"s_0.jpg": "", "s_1.jpg": "", "t.csv": "image_label,Any\ns_0_cat,0\ns_0_dog,1\ns_1_cat,1\ns_1_dog,1\n"},
        "long", ["cat", "dog"], {"": [[N, P], [P, P]]}, [],
    ),
    "class numbers and a name with a year": (
        {"a.jpg": "", "b.jpg": "", "t.csv": "image,labels\na.jpg,5\nb.jpg,2020_1;5\n"},
        "list", ["5", "2020_1"], {"": [[P, N], [P, P]]}, [],
    ),
    "boxes of open images": (
        {"a.jpg": "", "b.jpg": "", "train-annotations-bbox.csv": "ImageID,Source,LabelName,Confidence,XMin,XMax\n"
         "a,xclick,/m/cat,1,0.1,0.2\na,xclick,/m/dog,1,0.1,0.2\nb,xclick,/m/dog,1,0.1,0.2\n"},
        "long", ["/m/cat", "/m/dog"], {"": [[P, P], [U, P]]},
        ["no row of column 'Confidence' holds 0, so that no image is known to lack a label: name the column in data"],
    ),
    "keywords beside photographs": (
        {"a.jpg": "", "a.xmp": xmp("cat", "dog"), "2020/b.jpg": "", "2020/b.jpg.xmp": xmp("owl", "owl"), "c.jpg": "",
         "c.xmp": xmp(), "d.jpg": ""},
        "xmp", ["cat", "dog", "owl"], {"": [[N, N, P], [P, P, N], [N, N, N]]},
        ["keywords of the XMP file beside it", "1 images have no XMP file, first d.jpg: they are left out"],
    ),
    "keywords in files whose endings are capitals, and padded": (
        {"a.jpg": "", "a.XMP": xmp("cat") + "\0" * 9, "b.JPG": "", "b.JPG.Xmp": f"\n{xmp('dog')} \n\0"},
        "xmp", ["cat", "dog"], {"": [[P, N], [N, P]]}, [],
    ),
    "edits without keywords in folders of labels": (
        {"cat/a.jpg": "", "cat/a.jpg.xmp": xmp(), "dog/b.jpg": "", "dog/b.xmp": "damaged"},
        "folders", ["cat", "dog"], {"": [[P, N], [N, P]]}, [],
    ),
    "keywords in folders of labels": (
        {"cat/a.jpg": "", "cat/a.xmp": xmp("x"), "dog/b.jpg": ""}, "folders", ["cat", "dog"], {"": [[P, N], [N, P]]},
        ["1 images have keywords in XMP files, first cat/a.xmp, not read: set data.format to xmp if they are the lab"],
    ),
    "keywords in folders of labels of the only part": (
        {f"train/{label}/{label}.jpg{end}": text for label in ("cat", "dog")
         for end, text in (("", ""), (".xmp", xmp("x")))},
        "folders", ["cat", "dog"], {"train": [[P, N], [N, P]]}, ["2 images have keywords in XMP files"],
    ),
    "ingredients with signs": (
        {"1/1_1.jpg": "", "1/1_2.jpg": "", "classes.txt": "rice\negg\noil\n",
         "IngreLabel.txt": "/1/1_1.jpg 1 -1 -1\n/1/1_2.jpg -1 0 1\n"},
        "file_list", ["rice", "egg", "oil"], {"": [[P, N, N], [N, U, P]]}, ["1 is present, -1 absent, 0 unknown"],
    ),
}  # fmt: skip

# Name: files with their texts, what the error says.
REFUSED = {
    "labels of mimic without their images": (
        {"mimic-cxr-2.0.0-chexpert.csv": MIMIC["mimic-cxr-2.0.0-chexpert.csv"], "files/p10/a.jpg": ""},
        "this one has the labels of studies: put mimic-cxr-2.0.0-split.csv beside it, and name their directory",
    ),
    "a part of mimic that is none": (
        MIMIC | {name: text.replace("validate", "v") for name, text in SPLIT.items()},
        "mimic-cxr-2.0.0-split.csv: 'v' is no part of the data: there are train, validate, test",
    ),
    "an image of vg-500 that is not there": (
        VG500 | {"test_list_3.txt": "8.jpg\n"}, "test_list_3.txt: '8.jpg' is no image of vg_category_3_labels_index",
    ),
    "names in place of the numbers of vg-500": (
        VG500 | {"vg_category_3_labels_index.json": '{"1.jpg": ["cat"]}'},
        "vg_category_3_labels_index.json: not VG-500's: needs an object with a list of category numbers for each image",
    ),
    "persons of wider attribute": (
        {"w.json": json.dumps({"images": [{"file_name": "a.jpg", "scene_id": 0, "targets": [
            {"attribute": [1, -1, 0], "bbox": [1.5, 2, 3, 4]}]}], "attribute_id_map": {"0": "Male"}})},
        "w.json: WIDER Attribute's, which says of each person in a box what is seen: cut the boxes out, and write",
    ),
    "answers of volunteers": (
        {"s-classifications.csv": "classification_id,user_name,workflow_id,metadata,annotations,subject_data\n"
                                  '1,ann,7,{},"[{""task"":""T0"",""value"":""Lion""}]","{""1"":{}}"\n'},
        "s-classifications.csv: Zooniverse's classifications, each the answer of one volunteer: reduce them, and write",
    ),
    "a set in a folder beside its test": (
        {"planet/planet/train_classes.csv": "image_name,tags\ntrain_0,haze primary\n", "more/more/x.jpg": "",
         "planet/planet/train-jpg/train_0.jpg": "", "planet/planet/test-jpg/test_0.jpg": ""},
        "may be read as folders, each a label, 'more' among them, or by planet/planet/train_classes.csv: set data.for",
    ),
    "vectors of corel": (
        {"1000/1001.jpg": "", "2000/2001.jpg": "", "corel5k_train_annot.hvecs": "x", "corel5k_words.txt": "sky\n"},
        "may be read as folders, each a label, '1000' among them, or by corel5k_train_annot.hvecs",
    ),
    "one folder of images and matlab's labels": (
        {"release_data/1.jpg": "", "annotation.mat": "MATLAB 5.0 MAT-file"},
        "is the only folder of images, so all of them would have that label",
    ),
    "matlab's labels": (
        {"release_data/1.jpg": "", "annotation.mat": "MATLAB 5.0 MAT-file"},
        "or set data.format to folders; if 'annotation.mat' holds the labels, name it",
    ),
    "attributes in each folder of pedestrians": (
        {f"{place}/archive/{name}": text for place in ("GRID", "VIPeR") for name, text in {
            f"{place}1.jpg": "", "Label.txt": "1 hairLong upperBodyCasual\n"}.items()},
        "or by a label file in each,",
    ),
    "lists of names beside the labels": (
        {"photos/1/1.jpg": "", "notes/FoodList.txt": "rice\n", "notes/IngreLabel.txt": "/1/1.jpg 1 -1\n",
         "notes/TE.txt": "/1/1.jpg\n"},
        "notes/IngreLabel.txt may hold the labels: name it",
    ),
    "tables of parts by letters": (
        {"1. Images/a/1.png": "", **{f"2. Truth/{letter}. Set_{part}_Labels.csv": "ID,DR,MH\n1,1,0\n"
         for letter, part in zip("abc", ("Training", "Validation", "Testing"), strict=True)}},
        "name 2. Truth/a. Set_Training_Labels.csv and 2. Truth/b. Set_Validation_Labels.csv in data.train and data.val",
    ),
    "a table of cases and indexes of parts": (
        {"images/NEL/a.jpg": "", "meta/meta.csv": "case,streaks\n1,absent\n", "meta/train_indexes.csv": "indexes\n0\n",
         "meta/test_indexes.csv": "indexes\n1\n"},
        "meta/meta.csv or meta/train_indexes.csv or meta/test_indexes.csv may hold the labels: name the one that does",
    ),
    "tables of training and of tests": (
        {"1. Images/a/1.png": "",
         **{f"2. Truth/{part} Labels.csv": "ID,DR,MH\n1,1,0\n" for part in ("Training", "Testing")}},
        "name 2. Truth/Training Labels.csv and 2. Truth/Testing Labels.csv in data.train and data.test, each for its",
    ),
    "ms-coco's annotations in the folder of their archive": (
        {f"{part}2017/1.jpg": "" for part in ("train", "val")}
        | {f"annotations_trainval2017/annotations/instances_{part}2017.json": "{}" for part in ("train", "val")},
        "the file of the labels, such as annotations_trainval2017/annotations/instances_train2017.json, or set data",
    ),
    "tables in the folders of parts": (
        {f"{place}_Set/{place}_Set/{name}": text
         for place, part in (("Training", "Training"), ("Evaluation", "Validation"))
         for name, text in {f"RFMiD_{part}_Labels.csv": "ID,DR,MH\n1,1,0\n", f"{part}/1.png": ""}.items()},
        "name the file of the labels, such as Training_Set/Training_Set/RFMiD_Training_Labels.csv, or set data.format",
    ),
    "tables of one header apart from the images": (
        {"Images/sea/sea_1.jpg": "", "Images/pier/pier_1.jpg": "",
         **{f"Labels/{scene}.csv": f"image,sea,sand\n{scene}_1.jpg,1,0\n" for scene in ("sea", "pier")}},
        "may hold the labels: name Labels, whose tables have one header, and the images' folder, or set data.format",
    ),
    "tables of one header and one image": (
        {"a.jpg": "", **{f"{name}.csv": "image,sea,sand\na.jpg,1,0\n" for name in ("old", "new")}},
        "holds several label files, new.csv, old.csv: name one of them",
    ),
    "ingredients without names": (
        {"1/1_1.jpg": "", "labels.txt": "/1/1_1.jpg 1 -1 1\n"},
        "labels.txt: line 1: 3 numbers say with 1, -1 and 0 which labels an image has, and nothing names them",
    ),
    "lists of two classes that are filled up": (
        {**{f"{n}.jpg": "" for n in range(4)}, "classes.txt": "cat\ndog\n",
         "list.txt": "0.jpg 0 -1\n1.jpg 1 -1\n2.jpg 0 1\n3.jpg -1 -1\n"},
        "list.txt: line 1, column 'labels': '-1' may be a class or say that there is none",
    ),
    "ingredients of which a line lacks one": (
        {"a.jpg": "", "b.jpg": "", "classes.txt": "rice\negg\n",
         "IngreLabel.txt": "a.jpg -1 1\n" * 1000 + "b.jpg 1\n"},
        "IngreLabel.txt: line 1001: needs an image and 2 of 1, -1 and 0",
    ),
    "clothes with the numbers of their attributes": (
        {"a.jpg": "", "t.csv": "ImageId,EncodedPixels,Height,ClassId\na.jpg,1 2,8,6\na.jpg,3 4,8,31_115_136\n"},
        "column 'ClassId': '31_115_136' may be a label or class 31 with the numbers of its attributes: write the class",
    ),
    "keywords in folders of parts": (
        {f"{part}/{part}.jpg{end}": text for part in ("train", "val") for end, text in (("", ""), (".xmp", xmp("x")))},
        "into a folder of its name; 2 images have keywords in XMP files, first train/train.jpg.xmp: set data.format to",
    ),
    "keywords of fewer than half of the images": (
        {"a.jpg": "", "a.xmp": xmp("x"), "b.jpg": "", "b.xmp": xmp(), "c.jpg": ""},
        "1 images have keywords in XMP files, first a.xmp: set data.format to xmp if they are the labels",
    ),
    "keywords beside a photograph and folders of labels": (
        {"cat/a.jpg": "", "cat/a.xmp": xmp("x"), "dog/b.jpg": "", "cover.jpg": ""},
        "cover.jpg: an image beside the folders of the labels: move it into one, or away; 1 images have keywords in XM",
    ),
    "keywords and a table elsewhere": (
        {"photos/a.jpg": "", "photos/a.xmp": xmp("x"), "notes/labels.csv": "image,cat\na.jpg,1\n"},
        "notes/labels.csv may hold the labels: name it",
    ),
    "ratings alone beside photographs": (
        {"a.jpg": "", "a.xmp": xmp()}, "a .txt or an XMP file with keywords beside each image, and a folder of images",
    ),
    "keywords twice": (
        {"a.jpg": "", "a.xmp": xmp("x"), "a.jpg.xmp": xmp("y")},
        "a.xmp: and a.jpg.xmp beside it are of one image: keep one of them",
    ),
}  # fmt: skip
