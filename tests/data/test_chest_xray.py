"""ChestX-ray14's download and tables of MIMIC-CXR, in miniature."""

import pytest
import yaml

from mlcfast import init, inspect
from mlcfast.data.discover import discover
from mlcfast.data.readers.recognise import read_all, read_named
from mlcfast.data.readers.source import TableOptions
from mlcfast.data.readers.summary import open_sources
from mlcfast.errors import UsageError
from tests.data.layouts import touch, write

P, N, U = 1, -1, 0
LABELS = ["Cardiomegaly", "Effusion"]
FINDINGS = {"No Finding": [N, N], "Cardiomegaly|Effusion": [P, P], "Effusion": [N, P]}
NAMES = [f"{patient:08d}_{scan:03d}.png" for patient in range(1, 7) for scan in range(2)]
HEADERS = {
    "Data_Entry_2017.csv": "Patient Gender,View Position,OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y],",
    "Data_Entry_2017_v2020.csv": "Patient Sex,View Position,OriginalImageWidth,OriginalImageHeight,"
    "OriginalImagePixelSpacing_x,OriginalImagePixelSpacing_y",
}


def finding(number):
    return [*FINDINGS][number % 3]


def download(root, table="Data_Entry_2017.csv", lists=True):
    """The archive unpacked: images in numbered folders, two tables, and the lists of what trains and tests."""
    touch(root, *(f"images_{1 + number % 12:03d}/images/{name}" for number, name in enumerate(NAMES)))
    end = "," if table == "Data_Entry_2017.csv" else ""
    rows = [
        f"{name},{finding(number)},{number % 2},{1 + number // 2},57,M,PA,2682,2749,0.143,0.143{end}"
        for number, name in enumerate(NAMES)
    ]
    header = f"Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,{HEADERS[table]}"
    (root / table).write_text("\n".join([header, *rows, ""]))
    boxes = "Image Index,Finding Label,Bbox [x,y,w,h],,,\n" + f"{NAMES[1]},Effusion,1.5,2.5,30.0,40.0,,,\n"
    (root / "BBox_List_2017.csv").write_text(boxes)
    (root / "README_CHESTXRAY.pdf").write_bytes(b"%PDF-1.4")
    if lists:
        (root / "train_val_list.txt").write_text("\n".join(NAMES[:8]))
        (root / "test_list.txt").write_text("\n".join(NAMES[8:]) + "\n")
    return root


@pytest.mark.parametrize("table", HEADERS)
def test_the_download_is_read_by_its_lists(tmp_path, table):
    download(tmp_path, table)
    train, test = read_all(tmp_path, TableOptions())
    assert (train.format, train.split, test.split, train.names) == ("authors", "train", "test", LABELS)
    assert train.states.tolist() == [FINDINGS[finding(number)] for number in range(8)]
    assert test.images == NAMES[8:] and test.states.tolist() == [FINDINGS[finding(number)] for number in range(8, 12)]
    assert "train_val_list.txt and test_list.txt say which images train and test" in train.assumptions
    assert all(path for _, paths in open_sources(tmp_path, None, TableOptions()) for path in paths)


def test_init_keeps_patients_together(tmp_path, monkeypatch):
    download(tmp_path)
    found = discover(tmp_path)
    assert found.settings.items() >= {"train": "train", "test": "test", "val": 0.2, "group": "Patient ID"}.items()
    train, validation = found.samples.train, found.samples.validation
    assert len(train) + len(validation) == 8 and not {*train.groups} & {*validation.groups}
    assert sorted(found.samples.test.image_ids) == NAMES[8:]
    monkeypatch.setattr("mlcfast.planning.starting.seconds_per_epoch", lambda config, samples: 1.0)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert init.main([str(tmp_path), "--out", str(tmp_path / "c.yaml")]) == 0
    assert yaml.safe_load((tmp_path / "c.yaml").read_text())["data"]["format"] == "authors"


def test_a_table_of_the_download_is_read_without_the_lists_too(tmp_path):
    download(tmp_path)
    assert len(read_named(tmp_path, "Data_Entry_2017.csv", TableOptions()).images) == len(NAMES)
    (tmp_path / "test_list.txt").write_text(f"{NAMES[9]}\nlost.png\n")
    warnings = read_all(tmp_path, TableOptions())[0].warnings
    assert "3 images are in no list, first 00000005_000.png: they are left out" in warnings
    assert "1 images of the lists are not in Data_Entry_2017.csv, first lost.png: they are left out" in warnings
    (tmp_path / "Data_Entry_2017_v2020.csv").write_text("")
    with pytest.raises(UsageError, match=r"holds Data_Entry_2017\.csv and Data_Entry_2017_v2020\.csv: keep one"):
        read_all(tmp_path, TableOptions())


def test_the_download_without_lists_is_one_set(tmp_path):
    download(tmp_path, lists=False)
    (source,) = read_all(tmp_path, TableOptions())
    assert source.images == NAMES and discover(tmp_path).settings["train"] == "."


SCANS = [(10000032 + number // 4, 50414260 + number // 2, f"{number:08x}-1f") for number in range(12)]


def mimic(root, header, cells):
    """A table of MIMIC-CXR's images; cells: the form of a row, with places for patient, study, image and 1 or 0."""
    touch(root, *(f"p10/p{patient}/s{study}/{scan}.jpg" for patient, study, scan in SCANS))
    rows = [
        cells.format(patient, study, scan, number % 2, "train" if number < 8 else "validate")
        for number, (patient, study, scan) in enumerate(SCANS)
    ]
    (root / "mimic.csv").write_text("\n".join([header, *rows, ""]))
    return root / "mimic.csv"


@pytest.mark.parametrize(
    ("header", "cells"),
    [
        ("subject_id,study_id,dicom_id,Edema,Fracture", "{},{},{},{}.0,-1.0"),
        ("subject_id,study_id,dicom_id,Edema,Fracture", "{}.0,{}.0,{},{}.0,-1.0"),
        ("subject_id,study_id,path,Edema,Fracture", "{0},{1},files/p10/p{0}/s{1}/{2}.jpg,{3},-1"),
    ],
)
def test_patients_and_studies_are_no_labels(tmp_path, header, cells):
    table = mimic(tmp_path, header, cells)
    ((source, paths),) = open_sources(table, None, TableOptions())
    assert source.names == ["Edema", "Fracture"] and all(paths)
    assert "columns that are no labels: subject_id, study_id" in source.assumptions
    assert discover(table).settings["group"] == "subject_id"


def test_the_parts_of_mimic_are_those_of_its_column(tmp_path):
    table = mimic(tmp_path, "dicom_id,study_id,subject_id,Edema,split", "{2},{1},{0},{3},{4}")
    found = discover(table)
    assert found.settings.items() >= {"split_column": "split", "val": "validate"}.items()
    assert (len(found.samples.train), len(found.samples.validation)) == (8, 4)


def test_a_table_of_studies_names_no_image(tmp_path):
    table = mimic(tmp_path, "subject_id,study_id,Edema", "{0},{1},{3}")
    with pytest.raises(UsageError, match=r"'subject_id' says whom an image is of: .*, or write a row for each image"):
        read_all(table, TableOptions())


def test_names_of_images_that_became_floats(tmp_path, capsys):
    touch(tmp_path, *(f"x/{number}.jpg" for number in range(123, 127)))
    rows = "".join(f"{number}.0,{number % 2},1\n" for number in range(123, 127))
    write(tmp_path, t_csv=f"photo_no,cat,dog\n{rows}")
    assert inspect.main([str(tmp_path / "t.csv")]) == 0
    said = capsys.readouterr().out
    assert "4 images (0 missing)" in said
    assert "4 images are found under another spelling, first '123.0' as 'x/123.jpg'" in said
