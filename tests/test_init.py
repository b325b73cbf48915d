"""`mlcfast init`: a configuration that loads and trains, for data sets in many shapes."""

import csv
import json
from pathlib import Path

import pytest
import yaml

from mlcfast import init, train
from mlcfast.config import IMAGENET_MEAN, Config, load_config
from mlcfast.data import discover
from mlcfast.data.build import Samples, open_samples
from mlcfast.errors import UsageError
from mlcfast.planning import starting
from mlcfast.planning.starting import LARGER, LITE, LITE2, SHIPPED, SMALL, Machine, propose
from mlcfast.planning.written import as_yaml
from tests.conftest import ROOT, write_colour_set
from tests.data.layouts import LAYOUTS, touch, write

NAMES = [f"{letter}.jpg" for letter in "abcdefgh"]
TINY = ["model.backbone=test_resnet", "train.epochs=1", "data.workers=0", "engine.precision=fp32"]


def rows(path: Path, header: list[str], body: list[list[object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *body])


def splits_as_tables(root: Path) -> Path:
    write_colour_set(root, train=8, valid=3, test=2)
    return root


def one_table(root: Path) -> Path:
    touch(root, *NAMES)
    rows(root / "labels.csv", ["image", "cat", "dog"], [[name, i % 2, i // 4] for i, name in enumerate(NAMES)])
    return root


def a_file(root: Path) -> Path:
    return one_table(root) / "labels.csv"


def a_file_elsewhere(root: Path) -> Path:
    one_table(root)
    (root / "tables").mkdir()
    return (root / "labels.csv").rename(root / "tables" / "labels.csv")


def a_list(root: Path) -> Path:
    touch(root, *NAMES)
    rows(
        root / "labels.csv",
        ["image", "labels"],
        [[name, "cat;dog" if i % 2 else "dog"] for i, name in enumerate(NAMES)],
    )
    return root


def with_a_split_column(root: Path) -> Path:
    touch(root, *NAMES)
    parts = ["train"] * 5 + ["valid"] * 2 + ["test"]
    body = [[name, part, i % 2, i % 3 > 0] for i, (name, part) in enumerate(zip(NAMES, parts, strict=True))]
    rows(root / "all.csv", ["image", "split", "cat", "dog"], body)
    return root / "all.csv"


def with_patients(root: Path) -> Path:
    touch(root, *NAMES)
    body = [[name, f"p{i // 2}", i // 2 % 2, 1] for i, name in enumerate(NAMES)]
    rows(root / "all.csv", ["image", "patient_id", "cat", "dog"], body)
    return root


def partly_unknown(root: Path) -> Path:
    touch(root, *NAMES)
    rows(root / "all.csv", ["image", "cat", "dog"], [[name, i % 2, "" if i % 3 else 1] for i, name in enumerate(NAMES)])
    return root


def folders(root: Path) -> Path:
    touch(root, *(f"cat/{name}" for name in NAMES[:4]), *(f"dog/{name}" for name in NAMES[4:]))
    return root


def folders_of_splits(root: Path) -> Path:
    touch(root, *(f"train/{label}/{name}" for label in ("cat", "dog") for name in NAMES))
    touch(root, "val/cat/x.jpg", "val/dog/y.jpg")
    return root


def tag_files(root: Path) -> Path:
    touch(root, *NAMES)
    for i, name in enumerate(NAMES):
        (root / name).with_suffix(".txt").write_text("cat, dog" if i % 2 else "cat")
    return root


def annotations(names: list[str]) -> str:
    images = [{"id": i, "file_name": name} for i, name in enumerate(names)]
    found = [{"id": i, "image_id": i, "category_id": 1 + i % 2} for i in range(len(names))]
    return json.dumps(
        {"images": images, "annotations": found, "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]}
    )


def coco(root: Path) -> Path:
    touch(root, *(f"train2017/{name}" for name in NAMES), *(f"val2017/{name}" for name in NAMES[:2]))
    write(root, annotations__instances_train2017_json="", annotations__instances_val2017_json="")
    for file in (root / "annotations").iterdir():
        file.unlink()
    (root / "annotations" / "instances_train2017.json").write_text(annotations(NAMES))
    (root / "annotations" / "instances_val2017.json").write_text(annotations(NAMES[:2]))
    return root


def coco_of_one_split(root: Path) -> Path:
    touch(root, *(f"everything/{name}" for name in NAMES))
    (root / "annotations").mkdir()
    (root / "annotations" / "instances_everything.json").write_text(annotations(NAMES))
    return root


def coco_of_roboflow(root: Path) -> Path:
    for split, names in (("train", NAMES), ("valid", NAMES[:2])):
        touch(root, *(f"{split}/{name}" for name in names))
        (root / split / "_annotations.coco.json").write_text(annotations(names))
    return root


# Each with the images for training and for validation, and what the data section must say.
SETS = {
    splits_as_tables: (8, 3, {"train": "train.csv", "val": "valid.csv", "test": "test.csv"}),
    one_table: (6, 2, {"train": "labels.csv", "val": 0.2, "format": "wide"}),
    a_file: (6, 2, {"train": "labels.csv", "val": 0.2}),
    a_list: (6, 2, {"format": "list"}),
    with_a_split_column: (5, 2, {"split_column": "split", "val": "valid", "test": "test"}),
    with_patients: (6, 2, {"group": "patient_id", "val": 0.2}),
    partly_unknown: (6, 2, {"format": "wide"}),
    folders: (6, 2, {"format": "folders", "train": "."}),
    folders_of_splits: (8, 2, {"format": "folders", "train": "train", "val": "val"}),
    tag_files: (6, 2, {"format": "tag_files"}),
    coco: (8, 2, {"format": "coco", "train": "train2017", "val": "val2017"}),
    coco_of_one_split: (6, 2, {"format": "coco", "train": "everything", "val": 0.2}),
    coco_of_roboflow: (8, 2, {"train": "train", "val": "valid"}),
}


@pytest.fixture(autouse=True)
def _offline(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(starting, "is_shipped", lambda weights: False)


@pytest.fixture
def untimed(monkeypatch):
    monkeypatch.setattr(starting, "seconds_per_epoch", lambda config, samples: 1.0)


def in_file(data: Path, out: Path, *words: str) -> dict:
    """The configuration that the command writes, as YAML has it."""
    assert init.main([str(data), "--out", str(out), *words]) == 0
    return yaml.safe_load(out.read_text())


@pytest.mark.parametrize("make", SETS, ids=lambda make: make.__name__)
def test_a_configuration_for_every_shape_trains_as_it_is(tmp_path, capsys, make):
    root, out = tmp_path / "set", tmp_path / "c.yaml"
    root.mkdir()
    training, validation, expected = SETS[make]
    written = in_file(make(root), out, *TINY, f"output={tmp_path / 'runs'}")
    said = capsys.readouterr().out
    assert f"mlcfast train {out}" in said and f"mlcfast predict {tmp_path / 'runs'}" in said
    assert {key: written["data"].get(key) for key in expected} == expected
    samples = open_samples(load_config(out))
    assert abs(len(samples.train) - training) <= 1 and abs(len(samples.validation) - validation) <= 1
    assert (written["loss"]["name"] == "iu") == (make is partly_unknown)
    assert train.main([str(out)]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("mAP ")


@pytest.mark.usefixtures("untimed")
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_configuration_for_every_layout(tmp_path, layout):
    root = tmp_path / "set"
    root.mkdir()
    make, form = LAYOUTS[layout]
    make(root)
    written = in_file(root, tmp_path / "c.yaml")
    assert written["data"]["format"] == form
    samples = open_samples(load_config(tmp_path / "c.yaml"))
    assert (len(samples.train), len(samples.validation)) == (2, 1)


@pytest.mark.usefixtures("untimed")
def test_a_table_beside_no_images_takes_their_place(tmp_path):
    root = tmp_path / "set"
    root.mkdir()
    table = a_file_elsewhere(root)
    written = in_file(table, tmp_path / "c.yaml", "--images", str(root))
    assert written["data"]["root"] == str(root) and written["data"]["train"] == "tables/labels.csv"
    outside = table.rename(tmp_path / "labels.csv")
    written = in_file(outside, tmp_path / "d.yaml", "--images", str(root))
    assert written["data"]["train"] == str(outside)
    assert len(open_samples(load_config(tmp_path / "d.yaml")).train) == 6


@pytest.mark.usefixtures("untimed")
def test_a_file_is_replaced_by_force_alone(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pets").mkdir()
    one_table(tmp_path / "pets")
    assert init.main(["pets"]) == 0 and (tmp_path / "pets.yaml").is_file()
    (tmp_path / "pets.yaml").write_text("mine")
    assert init.main(["pets"]) == 2
    assert "pets.yaml: is there already: --force" in capsys.readouterr().err
    assert (tmp_path / "pets.yaml").read_text() == "mine"
    assert init.main(["pets", "--force"]) == 0
    assert load_config("pets.yaml").data.root == "pets"


@pytest.mark.usefixtures("untimed")
def test_settings_that_are_given_come_first(tmp_path):
    written = in_file(one_table(tmp_path), tmp_path / "c.yaml", "data.val=0.5", "data.label_columns=[dog]", "loss=bce")
    assert (
        written["data"]["val"] == 0.5
        and written["data"]["label_columns"] == ["dog"]
        and written["loss"] == {"name": "bce"}
    )
    with pytest.raises(UsageError, match=r"unknown key data\.lable_columns"):
        propose(tmp_path, overrides=["data.lable_columns=[dog]"])


def test_what_cannot_be_read_is_one_line_and_no_file(tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    for data, says in (("nowhere", "no such file or directory"), ("empty", "no labels found")):
        assert init.main([str(tmp_path / data), "--out", str(tmp_path / "c.yaml")]) == 2
        said = capsys.readouterr().err
        assert says in said and said.count("\n") == 1
    rows(tmp_path / "labels.csv", ["image", "cat"], [["gone.jpg", 1], ["lost.jpg", 0]])
    assert init.main([str(tmp_path / "labels.csv"), "--out", str(tmp_path / "c.yaml")]) == 2
    assert "gone.jpg" in capsys.readouterr().err
    (tmp_path / "coco").mkdir()
    assert init.main([str(coco(tmp_path / "coco")), "--images", str(tmp_path)]) == 2
    assert "leave --images out" in capsys.readouterr().err
    assert not (tmp_path / "c.yaml").exists()
    (tmp_path / "copied").mkdir()
    copied = splits_as_tables(tmp_path / "copied")
    (copied / "valid0.jpg").write_bytes((copied / "train1.jpg").read_bytes())
    assert init.main([str(copied), "--out", str(tmp_path / "c.yaml"), *TINY]) == 2
    assert "under another name, in validation" in capsys.readouterr().err and not (tmp_path / "c.yaml").exists()


@pytest.mark.parametrize(
    ("where", "weights", "says"),
    [("cached", "pretrained", "on this machine already"), ("reachable", "pretrained", "downloads"),
     ("unreachable", "none", "out of reach"), ("none", "none", "out of reach")],
)  # fmt: skip
@pytest.mark.usefixtures("untimed")
def test_weights_are_pretrained_where_they_can_be_had(tmp_path, where, weights, says):
    proposal = propose(one_table(tmp_path), machine=Machine(), weights=lambda backbone: where)
    assert proposal.config.model.weights == weights and says in " ".join(as_yaml(proposal).replace("#", "").split())


@pytest.mark.usefixtures("untimed")
def test_few_images_get_the_recipe_of_the_small_starting_point(tmp_path):
    starter = load_config(ROOT / "configs" / "own_data_small.yaml").model_dump(mode="json")
    assert all(starter[section] | settings == starter[section] for section, settings in SMALL.items())
    config = propose(one_table(tmp_path), machine=Machine(), weights=lambda _: "cached").config.model_dump(mode="json")
    own = {part: tuple(SMALL[part]) for part in ("model", "loss")}
    own |= {"data": ("mean", "std", "augment"), "optim": ("lr",)}
    for section, keys in own.items():
        assert {key: config[section][key] for key in keys} == {key: starter[section][key] for key in keys}
    assert config["train"]["ema_warmup"] and config["train"]["ema_decay"] == starter["train"]["ema_decay"]
    assert all(config["train"][name] == starter["train"][name] for name in ("early_stop", "choose"))


@pytest.mark.usefixtures("untimed")
@pytest.mark.parametrize(("loss", "beside"), [("focal", True), ("role", False), ("two_way", False)])
def test_the_auxiliary_layer_is_left_out_for_a_loss_that_takes_one_set_of_logits(tmp_path, loss, beside):
    config = propose(one_table(tmp_path), None, [f"loss={{name: {loss}}}"], Machine(), lambda _: "cached").config
    assert config.model.auxiliary_linear == beside


@pytest.mark.usefixtures("untimed")
def test_settings_that_training_refuses_together_are_not_written(tmp_path, capsys):
    words = [str(one_table(tmp_path)), "--out", str(tmp_path / "c.yaml"), "model.head=query2label"]
    assert init.main([*words, "model.auxiliary_linear=true", "loss={name: role}"]) == 2
    said = capsys.readouterr().err
    assert "set model.auxiliary_linear=false" in said and said.count("\n") == 1
    assert not (tmp_path / "c.yaml").exists()


@pytest.mark.usefixtures("untimed")
def test_a_linear_head_gets_the_recipe_without_the_decoders_settings(tmp_path):
    proposal = propose(one_table(tmp_path), None, ["model.head=linear"], Machine(), lambda _: "cached")
    assert proposal.values["model"] == {"head": "linear", "backbone": LITE, "weights": "pretrained"}
    assert "model.head" not in proposal.reasons and proposal.config.optim.lr == SMALL["optim"]["lr"]
    with_role = propose(
        one_table(tmp_path / "r"), None, ["model.head=linear", "loss={name: role}"], Machine(), lambda _: "cached"
    )
    assert (with_role.config.model.head, with_role.config.loss.name) == ("linear", "role")


@pytest.mark.parametrize(("seconds", "epochs"), [(60.0, 80), (1000.0, 7), (9000.0, 4)])
def test_on_a_cpu_many_images_get_it_too(tmp_path, monkeypatch, seconds, epochs):
    """Of 2,113 images it made 49.8 mAP in four epochs, the recipe for a GPU 18.0 (docs/notes.md)."""
    monkeypatch.setattr(starting, "FEW_IMAGES", 2)
    monkeypatch.setattr(starting, "seconds_per_epoch", lambda config, samples: seconds)
    cpu = propose(one_table(tmp_path), machine=Machine(), weights=lambda backbone: "cached").config
    assert (cpu.model.backbone, cpu.model.backbone_options, cpu.data.augment) == (LITE, {"join_index": -2}, "flip")
    assert (cpu.optim.lr, cpu.train.choose, cpu.train.epochs) == (1e-3, "last", epochs)


@pytest.mark.usefixtures("untimed")
def test_weights_of_a_package_go_with_their_backbone_alone(tmp_path, monkeypatch):
    data = one_table(tmp_path)
    monkeypatch.setattr(starting, "is_shipped", lambda weights: True)

    def proposed(where: str, *overrides: str) -> tuple:
        config = propose(data, None, overrides, Machine(), lambda backbone: where).config
        return config.model.backbone, config.model.weights, config.data.mean == IMAGENET_MEAN, config.optim.lr

    assert proposed("unreachable") == (LITE, SHIPPED[LITE], False, 1e-3)
    assert proposed("unreachable", f"model.backbone={LITE2}") == (LITE2, SHIPPED[LITE2], False, 1e-3)
    assert proposed("unreachable", "model.backbone=resnet18") == ("resnet18", "none", True, 1e-3)
    assert proposed("cached", "model.backbone=resnet18") == ("resnet18", "pretrained", True, 1e-4)
    assert proposed("unreachable", "model.weights=none") == ("resnet18", "none", True, 1e-3)


GPUS = Machine(2, 12 * 2**30, 8)


def test_a_gpu_gets_the_recipe_of_small_sets_at_a_larger_size(tmp_path):
    starter = load_config(ROOT / "configs" / "own_data.yaml").model_dump(mode="json")
    recipe = {**SMALL, "data": SMALL["data"] | LARGER["data"], "model": SMALL["model"] | LARGER["model"]}
    assert all(starter[section] | settings == starter[section] for section, settings in recipe.items())
    data = one_table(tmp_path)
    config = propose(data, None, ["data.image_size=320"], GPUS, lambda _: "cached").config.model_dump(mode="json")
    assert config["model"] | SMALL["model"] | LARGER["model"] == config["model"]
    assert config["optim"] == starter["optim"] and config["loss"] == starter["loss"]
    assert config["engine"]["precision"] == "bf16"


@pytest.mark.parametrize(("shipped", "backbone"), [((LITE, LITE2), LITE2), ((LITE,), LITE), ((), "resnet50")])
def test_a_gpu_without_network_takes_the_largest_backbone_that_a_package_ships(
    tmp_path, monkeypatch, shipped, backbone
):
    monkeypatch.setattr(starting, "is_shipped", lambda weights: weights in [SHIPPED[name] for name in shipped])
    config = propose(one_table(tmp_path), machine=GPUS, weights=lambda _: "unreachable").config
    assert (config.model.backbone, config.model.weights) == (backbone, SHIPPED.get(backbone, "none"))
    assert config.model.auxiliary_linear == bool(shipped)


def test_a_gpu_gets_what_the_planner_says_fits(tmp_path, monkeypatch):
    monkeypatch.setattr(starting, "FEW_IMAGES", 2)
    monkeypatch.setattr(starting, "MANY_IMAGES", 2)
    data = one_table(tmp_path)
    proposal = propose(data, None, ["engine.global_batch=32"], GPUS, lambda _: "cached")
    engine = proposal.config.engine
    assert proposal.config.model.backbone == "resnet50" and engine.precision == "bf16"
    assert "pos_weight" not in proposal.config.loss.options  # measured for the recipe of small sets alone
    assert engine.micro_batch == 16 and "of 12.0 GiB" in proposal.reasons["engine.micro_batch"]
    assert "timed" not in proposal.reasons["train.epochs"]


def test_epochs_fit_a_slow_machine(tmp_path, monkeypatch):
    monkeypatch.setattr(starting, "seconds_per_epoch", lambda config, samples: 600.0)
    proposal = propose(one_table(tmp_path), machine=Machine(), weights=lambda backbone: "none")
    assert proposal.config.train.epochs == 12 and "2.0 hours" in proposal.reasons["train.epochs"]


def test_what_was_recognised_is_said_where_auto_alone_reads_it(tmp_path, capsys, monkeypatch):
    def by_auto(config: Config) -> Samples:
        if config.data.format != "auto":
            raise UsageError("only auto reads it")
        return open_samples(config)

    monkeypatch.setattr(discover, "open_samples", by_auto)
    written = in_file(one_table(tmp_path / "set"), tmp_path / "c.yaml", *TINY)
    assert written["data"]["format"] == "auto"
    assert capsys.readouterr().out.startswith("read as wide: 6 images for training, 2 for validation, 2 labels\n")
    assert "format: auto # recognised as wide;" in (tmp_path / "c.yaml").read_text()
