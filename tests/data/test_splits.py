"""One label file in two parts: stratified by a share, whole groups, by a column, and kept with the run."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest

from mlcfast import inspect
from mlcfast.config import Config, DataConfig, parse_config
from mlcfast.data import LabelledImages, stratified_split
from mlcfast.data.build import Samples, open_samples, open_split
from mlcfast.data.splits import (
    SPLIT_FILE,
    divide,
    find_split,
    in_words,
    one_sided,
    side_counts,
    sides_of_run,
    trained_on,
    write_split,
)
from mlcfast.errors import UsageError
from tests.data.layouts import samples_of


def made_up(images: int, labels: int, rate: float = 0.1, seed: int = 0) -> np.ndarray:
    random = np.random.RandomState(seed)
    rates = rate * (0.2 + 1.8 * random.rand(labels))  # rare and frequent labels
    return (random.rand(images, labels) < rates).astype(np.int8)


@pytest.mark.parametrize(("images", "labels"), [(1000, 1), (1000, 20), (997, 81), (60, 3)])
@pytest.mark.parametrize("share", [0.1, 0.2, 0.5, 0.75])
def test_each_label_is_divided_by_the_share(images, labels, share):
    """More evenly than any of twenty divisions by chance."""
    matrix = made_up(images, labels)
    train, val = stratified_split(matrix, share, seed=3)
    assert np.sort(np.concatenate([train, val])).tolist() == list(range(images))
    assert train.tolist() == sorted(train) and val.tolist() == sorted(val)
    chance = [np.random.RandomState(draw).permutation(images)[: len(val)] for draw in range(20)]
    assert apart(matrix, val, share) <= min(apart(matrix, chosen, share) for chosen in chance)
    assert abs(len(val) - share * images) <= 0.02 * images


def apart(matrix: np.ndarray, val: np.ndarray, share: float) -> float:
    """How many positives the validation part has too many or too few, over all labels."""
    return float(np.abs(matrix[val].sum(axis=0) - share * matrix.sum(axis=0)).sum())


def test_labels_as_rare_as_those_of_photographs_are_divided_to_half_an_image_on_average():
    matrix = made_up(3000, 80, rate=0.036)
    _, val = stratified_split(matrix, 0.2, seed=0)
    assert apart(matrix, val, 0.2) / 80 < 0.5
    assert len(val) == 600


def test_the_seed_alone_decides():
    matrix = made_up(300, 10)
    first, again, other = (stratified_split(matrix, 0.2, seed)[1].tolist() for seed in (5, 5, 6))
    assert first == again and first != other


def test_the_division_stays_the_same():
    """A run that is evaluated without its split.csv draws it anew: the draw is part of the interface."""
    matrix = np.array([[1, 0], [1, 0], [1, 1], [1, 1], [0, 1], [0, 1], [0, 0], [0, 0], [1, 0], [0, 0]])
    assert [stratified_split(matrix, 0.3, seed)[1].tolist() for seed in (0, 1)] == [[3, 7, 9], [3, 6, 7]]


def test_only_a_one_is_a_positive():
    matrix = made_up(200, 6)
    partial = np.where(matrix == 1, 1, np.random.RandomState(1).choice([0, -1], matrix.shape))
    assert stratified_split(matrix, 0.2, 0)[1].tolist() == stratified_split(partial, 0.2, 0)[1].tolist()


@pytest.mark.parametrize("count", [4, 30, 150])
def test_groups_are_never_torn_apart(count):
    matrix = made_up(900, 12)
    groups = [f"patient {n}" for n in np.random.RandomState(2).randint(0, count, 900)]
    train, val = stratified_split(matrix, 0.25, 0, groups)
    assert not {groups[i] for i in train} & {groups[i] for i in val}
    if count > 100:
        assert abs(len(val) - 225) < 45
        assert (matrix[val].sum(axis=0) > 0).all()


def test_images_without_labels_are_divided_too():
    train, val = stratified_split(np.zeros((50, 3), np.int8), 0.2, 0)
    assert (len(train), len(val)) == (40, 10)


@pytest.mark.parametrize(
    ("matrix", "share", "groups", "says"),
    [
        (np.ones((1, 2)), 0.5, None, "a share of 0.5 of 1 image leaves"),
        (np.zeros((0, 2)), 0.5, None, "a share of 0.5 of 0 images leaves"),
        (np.ones((9, 2)), 0.2, ["one"] * 9, "a share of 0.2 of 1 group leaves"),
    ],
)
def test_a_part_is_never_empty(matrix, share, groups, says):
    with pytest.raises(ValueError, match=says):
        stratified_split(matrix, share, 0, groups)


def records_of(matrix: np.ndarray, groups: list[str] | None = None) -> LabelledImages:
    names = [f"{n}.jpg" for n in range(len(matrix))]
    return LabelledImages(names, matrix, [f"label {k}" for k in range(matrix.shape[1])], names, groups=groups)


def test_a_run_keeps_its_division(tmp_path):
    records = records_of(made_up(80, 4))
    train, val = divide(records, 0.25, seed=1)
    write_split(tmp_path, records.subset(train), records.subset(val))
    (tmp_path / "best").mkdir()
    assert find_split(tmp_path / "best") is None  # of somebody else: no run's configuration lies beside it
    for given, file in (("val.csv", None), ("0.25", tmp_path / SPLIT_FILE)):  # a file of its own divides nothing
        (tmp_path / "config.yaml").write_text(f"data: {{val: {given}}}\n")
        assert find_split(tmp_path / "best" / "model.safetensors") == file
    again = divide(records, 0.25, seed=2, held=tmp_path / SPLIT_FILE)
    assert again[0].tolist() == train.tolist() and again[1].tolist() == val.tolist()
    with pytest.raises(UsageError, match=r"split\.csv: does not hold '80\.jpg' \(1 images in all\)"):
        divide(records_of(made_up(81, 4)), 0.25, 1, tmp_path / SPLIT_FILE)
    assert find_split(tmp_path.parent / "none") is None


def parts_of(records: LabelledImages, train: np.ndarray, val: np.ndarray) -> dict[str, str]:
    sides = [(i, "train") for i in train] + [(i, "val") for i in val]
    return {records.image_ids[i]: side for i, side in sides}


def test_images_that_an_earlier_run_knows_keep_their_part():
    earlier = records_of(made_up(80, 4))
    train, val = divide(earlier, 0.25, seed=1)
    sides = parts_of(earlier, train, val)
    later = records_of(made_up(120, 5, seed=3))  # 40 more images, other labels
    learns, judges = divide(later, 0.25, 2, earlier=sides)
    assert set(train) <= set(learns) and set(val) <= set(judges)
    assert sorted([*learns, *judges]) == list(range(120)) and len(judges) - len(val) == 10
    assert not trained_on(later.subset(judges), sides) and trained_on(later.subset(learns), sides) == len(train)
    one_more = divide(records_of(made_up(81, 4)), 0.25, 2, earlier=sides)  # too few to divide
    assert one_more[0].tolist() == [*train, 80] and one_more[1].tolist() == val.tolist()
    paired = replace(later, groups=[str(i % 80) for i in range(120)])  # a new image beside one that is known
    learns, judges = divide(paired, 0.25, 2, earlier=sides)
    assert set(judges) == {*val, *(i for i in range(80, 120) if i - 80 in set(val))}


def test_what_an_earlier_run_does_not_know_is_divided_as_ever():
    earlier, others = records_of(made_up(80, 4)), records_of(made_up(40, 4, seed=5))
    others = replace(others, image_ids=[f"other{name}" for name in others.image_ids])
    train, val = divide(earlier, 0.25, seed=1)
    for some, seed in ((others, 2), (earlier.subset(train), 3)):  # none that it judged: it cannot be kept from these
        found, expected = divide(some, 0.25, seed, earlier=parts_of(earlier, train, val)), divide(some, 0.25, seed)
        assert [part.tolist() for part in found] == [part.tolist() for part in expected]


def test_parts_of_another_run_count_where_ids_mean_the_same_images(tmp_path):
    run = tmp_path / "runs" / "first"
    (run / "best").mkdir(parents=True)
    (run / "split.csv").write_text("image,split\na.jpg,train\n17,train\nb.jpg,val\n")
    (run / "config.yaml").write_text(f"data: {{root: {tmp_path}, train: labels.csv}}\n")
    everything = {"a.jpg": "train", "17": "train", "b.jpg": "val"}
    assert sides_of_run(run / "best", str(tmp_path), "labels.csv") == everything
    assert sides_of_run(run, str(tmp_path), "later.csv") == {"a.jpg": "train", "b.jpg": "val"}  # 17 may be another's
    assert sides_of_run(run, str(tmp_path / "other"), "labels.csv") == {}
    (run / "split.csv").write_text("image,split\na.jpg,train\na.jpg,val\n")
    assert sides_of_run(run, str(tmp_path), "labels.csv") == {"a.jpg": "train"}
    (run / "split.csv").write_text("image\na.jpg\n")
    assert sides_of_run(run, str(tmp_path), "labels.csv") == {} == sides_of_run(tmp_path, str(tmp_path), "labels.csv")


def test_a_test_by_the_validation_part_is_that_part(table):
    values = {"name": "x", "data": settings(table, val=0.25, test="val", allow_overlap=True).model_dump(mode="json")}
    values["model"] = {"backbone": "resnet18"}
    samples = open_samples(
        parse_config(values, []), None, {f"{n}.jpg": "val" if n < 10 else "train" for n in range(40)}
    )
    assert samples.test is samples.validation and len(samples.validation) == 10


@pytest.fixture
def table(tmp_path):
    """Forty images of ten patients, two labels, in parts: labels.csv with image, patient, split, cat and dog."""
    lines = ["image,patient,split,cat,dog"]
    for n in range(40):
        (tmp_path / f"{n}.jpg").touch()
        part = ("train", "train", "valid", "test")[n // 10]
        lines.append(f"{n}.jpg,p{n // 4},{part},{n % 2},{int(n % 5 == 0)}")
    (tmp_path / "labels.csv").write_text("\n".join(lines) + "\n")
    return tmp_path


def settings(root, **values) -> DataConfig:
    return DataConfig(format="auto", root=str(root), train="labels.csv", **{"workers": 0, **values})


def test_a_share_of_the_training_file(table):
    samples = samples_of(settings(table, val=0.25, ignore_columns=["patient", "split"]))
    assert (len(samples.train), len(samples.validation)) == (30, 10)
    assert samples.train.names == samples.validation.names == ["cat", "dog"]
    assert samples.validation.labels.sum(axis=0).tolist() == [5, 2]
    part = open_split(settings(table, val=0.25), 0.25, seed=0)
    assert (
        part.image_ids == open_split(settings(table, val=0.25), "val", seed=0).image_ids == samples.validation.image_ids
    )
    assert open_split(settings(table, val=0.25), "train", seed=0).image_ids == samples.train.image_ids
    assert len(open_split(settings(table, val=0.25), "labels.csv")) == 40
    (table / "labels.csv").rename(table / "train")
    assert len(open_split(settings(table, val=0.25).model_copy(update={"train": "train"}), "train")) == 40


def test_a_share_keeps_groups_whole(table):
    samples = samples_of(settings(table, val=0.25, group="patient"))
    assert samples.train.groups and not set(samples.train.groups) & set(samples.validation.groups)
    assert samples.train.names == ["cat", "dog"]


def test_a_column_divides_the_file(table):
    by_column = settings(table, split_column="split", test="test")
    samples = samples_of(by_column)
    assert [len(samples.train), len(samples.validation)] == [20, 10]
    assert samples.validation.image_ids == [f"{n}.jpg" for n in range(20, 30)]
    assert open_split(by_column, "test").image_ids == [f"{n}.jpg" for n in range(30, 40)]
    both = samples_of(settings(table, split_column="split", val=0.2))
    assert (len(both.train), len(both.validation)) == (16, 4)
    assert set(both.train.image_ids + both.validation.image_ids) == {f"{n}.jpg" for n in range(20)}


def parts_of_a_coco_file(root, **values) -> DataConfig:
    """Twelve images of six patients in one annotation file, the last two without a label."""
    (root / "annotations").mkdir()
    (root / "all").mkdir()
    images = [
        {"id": n, "file_name": f"{n}.jpg", "patient_id": n // 2, "split": ("train", "val", "test")[n // 4]}
        for n in range(12)
    ]
    for image in images:
        (root / "all" / image["file_name"]).touch()
    annotations = [{"image_id": n, "category_id": 1 + n % 2} for n in range(10)]
    categories = [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (root / "annotations" / "instances_all.json").write_text(json.dumps(content))
    return DataConfig(format="auto", root=str(root), train="all", workers=0, **values)


def opened(data: DataConfig) -> Samples:
    backbone = "none" if data.format == "features" else "resnet18"
    return open_samples(Config(name="x", data=data, model={"backbone": backbone, "head": "linear"}))


def parts_of_features(root, **values) -> DataConfig:
    """The same as stored features, with the columns in a table of labels."""
    (root / "all").mkdir()
    np.save(root / "all" / "features.npy", np.zeros((12, 3), np.float32))
    rows = [f"{n}.jpg,{n // 2},{('train', 'val', 'test')[n // 4]},{n % 2},{1 - n % 2}" for n in range(12)]
    (root / "all" / "labels.csv").write_text("\n".join(["image,patient_id,split,dog,cat", *rows, ""]))
    return DataConfig(format="features", root=str(root), train="all", workers=0, **values)


@pytest.mark.parametrize("made", [parts_of_a_coco_file, parts_of_features])
def test_groups_and_parts_of_an_annotation_file_and_of_stored_features(tmp_path, made):
    settings = made(tmp_path, split_column="split", test="test", group="patient_id")
    samples, first = opened(settings), int(made is parts_of_features)
    assert samples.train.image_ids == ([f"{n}.jpg" for n in range(4)] if first else list("0123"))
    assert samples.validation.groups == ["2", "2", "3", "3"] and len(samples.test) == (4 if first else 2)
    assert samples.train.labels[:, samples.train.names.index("dog")].tolist() == [0, 1, 0, 1]
    update = {"split_column": None, "val": 0.34, "test": None, "ignore_columns": ["split"] if first else []}
    whole = settings.model_copy(update=update)
    parts = opened(whole)
    assert parts.validation.groups and not set(parts.train.groups) & set(parts.validation.groups)
    for update, says in (({"group": "patent_id"}, r"data\.group"), ({"split_column": "fold"}, r"data\.split_column")):
        with pytest.raises(UsageError, match=says):
            opened(settings.model_copy(update=update))


def test_columns_of_stored_features_may_stand_in_their_note(tmp_path):
    settings = parts_of_features(tmp_path, val=0.34, group="patient_id")
    (tmp_path / "all" / "labels.csv").unlink()
    np.save(tmp_path / "all" / "labels.npy", np.eye(12, 2) + 0 * np.arange(2))
    note = {"columns": {"patient_id": [n // 2 for n in range(12)]}}
    (tmp_path / "all" / "features.json").write_text(json.dumps(note))
    samples = opened(settings)
    assert not set(samples.train.groups) & set(samples.validation.groups)
    note["columns"]["patient_id"].pop()
    (tmp_path / "all" / "features.json").write_text(json.dumps(note))
    with pytest.raises(UsageError, match=r"features\.json: columns must be lists of 12 cells"):
        opened(settings)


def test_stored_labels_whose_zeros_may_be_unknown_are_warned_of(tmp_path, caplog):
    for split, rows in (("train", "1,0\n-1,1\n"), ("val", "1,0\n0,1\n")):
        (tmp_path / split).mkdir()
        np.save(tmp_path / split / "features.npy", np.zeros((2, 3), np.float32))
        (tmp_path / split / "labels.csv").write_text(f"cat,dog\n{rows}")
    samples = opened(DataConfig(format="features", root=str(tmp_path), train="train", val="val", workers=0))
    assert samples.validation.labels.tolist() == [[1, 0], [0, 1]]
    assert "unknown labels cannot be told from absent ones there" in caplog.text


def test_numbered_folds(table):
    text = (table / "labels.csv").read_text()
    for number, word in enumerate(("train", "valid", "test")):
        text = text.replace(f",{word},", f",{number},")
    (table / "labels.csv").write_text(text)
    samples = samples_of(settings(table, split_column="split", val=1, test=2))
    assert [len(samples.train), len(samples.validation)] == [20, 10]


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"split_column": "split", "val": "holdout"}, r"'split' has no row of 'holdout'; it holds 'train' \(20\)"),
        ({"split_column": "part"}, "data.split_column: no column 'part'; there are image, patient"),
        ({"val": 0.25, "group": "who"}, "data.group: no column 'who'"),
        ({"split_column": "split", "group": "patient"}, "'p7' is in validation"),
        ({"val": 0.01}, "a share of 0.01 of 40 images leaves .* empty: data.val=0.05 makes 38 and 2 of them"),
        ({"val": 0.999}, "a share of 0.999 of 40 images leaves .* empty: data.val=0.5 makes 20 and 20 of them"),
        ({"val": 0.25, "group": "patient"}, "of 1 group leaves .* empty: no share divides them: add images, or name"),
    ],
)
def test_what_is_wrong_is_said(table, values, says):
    if "of 1 group" in says:
        text = (table / "labels.csv").read_text()
        (table / "labels.csv").write_text(re.sub(r",p\d+,", ",p0,", text))
    elif values.get("group") == "patient":
        says = "data.group: 'p4' is in training and in validation"
        text = (table / "labels.csv").read_text().replace("20.jpg,p5", "20.jpg,p4")
        (table / "labels.csv").write_text(text)
    with pytest.raises(UsageError, match=says):
        samples_of(settings(table, **values))


def test_a_blank_cell_and_two_groups_of_an_image_are_errors(table):
    text = (table / "labels.csv").read_text()
    (table / "labels.csv").write_text(text.replace("3.jpg,p0", "3.jpg,", 1))
    with pytest.raises(UsageError, match=r"line 5: data\.group: column 'patient' is blank"):
        samples_of(settings(table, val=0.25, group="patient"))
    (table / "labels.csv").write_text(text + "3.jpg,p9,train,1,0\n")
    with pytest.raises(UsageError, match=r"line 42, column 'patient': '3\.jpg' is 'p9' here and 'p0' before"):
        samples_of(settings(table, val=0.25, group="patient"))


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"val": 1.5}, "a share lies between 0 and 1"),
        ({"val": 0.0}, "a share lies between 0 and 1"),
        ({"val": "20%"}, "a share lies between 0 and 1"),
        ({"val": None, "group": "patient"}, "group needs val as a share"),
        ({"val": True}, "must be"),
    ],
)
def test_settings_that_make_no_sense(tmp_path, values, says):
    with pytest.raises(ValueError, match=says):
        settings(tmp_path, **values)


def test_a_single_positive_of_a_share(table):
    lines = (table / "labels.csv").read_text().splitlines()
    kept = [lines[0], *(line for line in lines[1:] if not line.endswith("0,0"))]
    (table / "labels.csv").write_text("\n".join(kept))
    samples = samples_of(settings(table, val=0.25, labels="single_positive", group="patient"))
    assert (samples.train.labels.sum(axis=1) == 1).all() and samples.hidden.any()
    assert (samples.validation.labels.sum(axis=1) == 2).any()
    assert not set(samples.train.groups) & set(samples.validation.groups)


def test_sides_that_lack_a_label_are_named():
    sides = {
        "train": side_counts(["cat", "dog"], np.array([[1, 0], [1, 0]])),
        "val": side_counts(["cat", "dog"], np.array([[0, 1]]), ["p"]),
    }
    assert one_sided(sides) == ["no image of train has these labels: dog", "no image of val has these labels: cat"]
    assert in_words(sides) == ("train 2 images, val 1 images of 1 groups; images with each label: dog 0 / 1, cat 2 / 0")


def test_inspect_says_what_each_part_holds(table, capsys):
    def inspected(*words: str) -> dict:
        assert inspect.main([str(table / "labels.csv"), "--json", *words]) == 0
        return json.loads(capsys.readouterr().out)

    splits = inspected("--val", "0.25", "--ignore-columns", "patient,split")["splits"]
    assert splits["train"]["images"] == 30 and splits["val"]["positives"] == {"cat": 5, "dog": 2}
    splits = inspected("--val", "0.25", "--group", "patient", "--ignore-columns", "split")["splits"]
    assert splits["train"]["groups"] + splits["val"]["groups"] == 10
    splits = inspected("--split-column", "split")["splits"]
    assert {part: held["images"] for part, held in splits.items()} == {"train": 20, "valid": 10, "test": 10}
    for word in ("valid", "val"):  # whose rows a share leaves out
        (table / "labels.csv").write_text((table / "labels.csv").read_text().replace(",valid,", f",{word},"))
        splits = inspected("--split-column", "split", "--val", "0.25")["splits"]
        assert {part: held["images"] for part, held in splits.items()} == {"train": 15, "val": 5, "test": 10}
    (table / "labels.csv").write_text((table / "labels.csv").read_text().replace(",val,", ",valid,"))
    text = (table / "labels.csv").read_text()
    (table / "labels.csv").write_text(text.replace("20.jpg,p5", "20.jpg,p4"))
    warnings = inspected("--split-column", "split", "--group", "patient")["warnings"]
    assert "1 of the 5 groups of train are elsewhere too" in warnings
    (table / "labels.csv").write_text(text.replace("1.jpg,p0,train", "1.jpg,P0,Train ", 1))
    about = inspected("--split-column", "split", "--group", "patient")
    assert list(about["splits"]) == ["train", "valid", "test"] and about["splits"]["train"]["images"] == 20
    alike = "data.group: the groups 'p0' and 'P0' look alike, and are two"
    assert alike in about["warnings"]
    (table / "labels.csv").write_text(text)
    assert inspected("--ignore-columns", "patient,split")["splits"] == {}
    assert inspect.main([str(table / "labels.csv"), "--val", "0.25"]) == 0
    assert "split: train 30 images, val 10 images; images with each label: " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("file", "split", "kept"),
    [("all.json", "all.json", 20), ("annotations/instances_all.json", "all", 16),
     ("annotations/notes.json", "annotations/notes.json", 20)],
)  # fmt: skip
def test_inspect_divides_an_annotation_file_as_training_does(tmp_path, capsys, file, split, kept):
    """Images without a label are in, but in MS-COCO's own layout; of a directory that holds the file it divides it."""
    images = [{"id": n, "file_name": f"{n}.jpg"} for n in range(20)]
    noted = [{"image_id": n, "category_id": 1 + n % 2} for n in range(16)]
    place = tmp_path / file
    place.parent.mkdir(exist_ok=True)
    categories = [{"id": n, "name": name} for n, name in ((1, "cat"), (2, "dog"))]
    place.write_text(json.dumps({"images": images, "categories": categories, "annotations": noted}))
    for image in images:
        (tmp_path / image["file_name"]).write_text(image["file_name"])
    target = place if place.parent == tmp_path else tmp_path
    assert inspect.main([str(target), "--val", "0.25", "--json"]) == 0
    splits = json.loads(capsys.readouterr().out)["splits"]
    samples = samples_of(DataConfig(format="auto", root=str(tmp_path), train=split, val=0.25, workers=0))
    assert {part: held["images"] for part, held in splits.items()} == {
        "train": len(samples.train), "val": len(samples.validation),
    }  # fmt: skip
    assert sum(held["images"] for held in splits.values()) == kept


def test_an_image_named_twice_is_not_torn_apart_by_a_share(tmp_path, colour_set):
    rows = (colour_set / "train.csv").read_text().splitlines()
    (tmp_path / "twice.csv").write_text("\n".join([rows[0], *rows[1:], *(f"./{row}" for row in rows[1:])]))
    for image in colour_set.glob("train*.jpg"):
        (tmp_path / image.name).write_bytes(image.read_bytes())
    words = {"format": "csv", "root": str(tmp_path), "train": "twice.csv", "val": 0.2}
    samples = open_samples(parse_config({"name": "t", "data": words, "model": {"backbone": "test_resnet"}}, []))
    held = samples.train.paths + samples.validation.paths
    assert len(held) == len(set(held)) == len(rows) - 1
