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
}  # fmt: skip

# Name: files with their texts, what the error says.
REFUSED = {
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
}  # fmt: skip
