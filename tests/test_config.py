"""Configuration: defaults, overrides, and one-line errors that suggest the fix."""

import pytest
import yaml

from mlcfast.config import IMAGENET_MEAN, IMAGENET_STD, load_config, parse_config
from mlcfast.errors import UsageError
from mlcfast.losses.build import LOSSES
from tests.conftest import ROOT

MINIMAL = {"name": "x", "data": {"format": "demo", "root": "d"}, "model": {"backbone": "resnet50"}}


def minimal() -> dict:
    return yaml.safe_load(yaml.safe_dump(MINIMAL))


def test_resolved_file_reads_back_equal(tmp_path):
    config = parse_config(minimal(), ["optim.lr=1e-3", "loss.gamma_neg=2", "train.ema_decay=0"])
    (tmp_path / "c.yaml").write_text(config.to_yaml())
    assert load_config(tmp_path / "c.yaml") == config
    assert (config.optim.lr, config.loss.options, config.train.ema_decay) == (1e-3, {"gamma_neg": 2}, 0)


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("optim.lrr=3", "unknown key optim.lrr: did you mean optim.lr?"),
        ("lr=3", "unknown key lr: did you mean optim.lr?"),
        ("optm.lr=1", "unknown key optm: did you mean optim?"),
        ("data.image_siz=3", "unknown key data.image_siz: did you mean data.image_size?"),
        ("loss.gama_neg=1", "loss: asymmetric has no option 'gama_neg': did you mean gamma_neg?"),
        ("loss.gamma_neg=-1", "loss: gamma_neg"),
        ("loss.name=assymetric", "did you mean asymmetric?"),
        ("loss.label_smoothing=1", "loss: label_smoothing must be at least 0 and below 1, not 1"),
        ("loss={name: zlpr, label_smoothing: 0.1}", "loss: zlpr takes no label_smoothing: it sums over the positives"),
        ("train.epochs=zero", "train.epochs: must be a whole number of at least 1, not 'zero'"),
        ("train.epochs=0", "train.epochs: must be a whole number of at least 1, not 0"),
        ("engine.precision=fp8", "engine.precision: must be fp32, bf16 or fp16, not 'fp8'"),
        ("name=a/b", "name: must be letters, digits"),
        ("optim.layer_lr_decay=50", "optim.layer_lr_decay: must be a number above 0 and at most 1, not 50"),
        (
            "data.image_size=100000",
            "data.image_size: must be a whole number of at least 8 and at most 4096, not 100000",
        ),
        ("train.epochs=", "train.epochs: must be a whole number of at least 1, not null"),
        ("name=..", "name: must be letters, digits"),
        ("train.epochs=true", "train.epochs: must be a whole number of at least 1, not true"),
        ("optim.lr=.inf", "optim.lr: must be a finite number"),
        ("data.std=[1,0,1]", "data.std.1: must be greater than 0, not 0"),
        ("data=3", "data: must be a section, keys with values, not 3"),
        ("engine", "override 'engine' is not of the form section.key=value"),
        ("name.x=1", "name.x: name is not a section"),
        ("data.format=features", "data.format features has no feature map for query2label"),
    ],
)
def test_bad_override_is_one_line_with_the_remedy(override, says):
    with pytest.raises(UsageError) as error:
        parse_config(minimal(), [override])
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def test_offload_without_zero2_is_refused():
    with pytest.raises(UsageError, match="offload_optimizer needs name: zero2, not ddp"):
        parse_config(minimal(), ["engine.name=ddp", "engine.offload_optimizer=true"])


def test_missing_key_is_named():
    with pytest.raises(UsageError, match=r"missing key data\.root"):
        parse_config({**minimal(), "data": {"format": "coco"}})


@pytest.mark.parametrize("text", ["a: [", "- 1", "just text", ""])
def test_file_that_is_no_mapping_is_one_line(tmp_path, text):
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(UsageError, match=r"c\.yaml: "):
        load_config(tmp_path / "c.yaml")


def test_missing_file_is_named(tmp_path):
    with pytest.raises(UsageError, match=r"none\.yaml: cannot read the configuration: No such file"):
        load_config(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    ("overrides", "name", "options"),
    [
        (["loss.name=bce"], "bce", {}),
        (["loss=bce"], "bce", {}),
        (
            ["loss.weight=2", "loss.expected_positives=3", "loss.name=epr"],
            "epr",
            {"weight": 2, "expected_positives": 3},
        ),
        (["loss.name=asymmetric"], "asymmetric", {"gamma_neg": 2}),
        (["loss.gamma_neg=null"], "asymmetric", {}),
    ],
)
def test_another_loss_drops_the_options_of_the_one_before(overrides, name, options):
    values = {**minimal(), "loss": {"name": "asymmetric", "gamma_neg": 2}}
    loss = parse_config(values, overrides).loss
    assert (loss.name, loss.options) == (name, options)


@pytest.mark.parametrize(
    ("global_batch", "micro_batch", "devices", "expected"),
    [(64, 16, 1, 16), (16, 16, 2, 8), (64, 7, 1, 4), (64, 48, 2, 32), (6, 4, 2, 3), (2, 16, 2, 1), (7, 5, 1, 1)],
)
def test_micro_batch_is_the_largest_divisor_of_a_devices_share(global_batch, micro_batch, devices, expected):
    config = parse_config(minimal(), [f"engine.global_batch={global_batch}", f"engine.micro_batch={micro_batch}"])
    assert config.engine.micro_batch_for(devices) == expected


@pytest.mark.parametrize("devices", [3, 128])
def test_processes_that_cannot_share_the_global_batch(devices):
    config = parse_config(minimal(), ["engine.global_batch=64"])
    with pytest.raises(UsageError, match=f"engine.global_batch 64 cannot be shared evenly by {devices} processes"):
        config.engine.micro_batch_for(devices)


@pytest.mark.parametrize("path", sorted((ROOT / "configs").rglob("*.yaml")), ids=lambda path: path.stem)
def test_every_shipped_configuration_is_valid(path):
    assert load_config(path).loss.name in LOSSES


@pytest.mark.parametrize(
    ("settings", "mean"),
    [
        (["model.backbone=vit_base_patch16_siglip_gap_384.v2_webli"], (0.5, 0.5, 0.5)),
        (["model.backbone=tresnet_l.miil_in1k_448"], (0.0, 0.0, 0.0)),
        (["model.backbone=resnet50"], IMAGENET_MEAN),
        (["model.backbone=cvt_w24"], IMAGENET_MEAN),  # which timm does not have
        (["model.backbone=vit_base_patch16_siglip_gap_384.no_such_tag"], IMAGENET_MEAN),  # said where it is built
        (["model.backbone=vit_base_patch16_siglip_gap_384.v2_webli", "model.weights=none"], IMAGENET_MEAN),
        (["model.backbone=tresnet_l.miil_in1k_448", "data.mean=[0.1, 0.2, 0.3]"], (0.1, 0.2, 0.3)),
    ],
)
def test_pixels_are_normalised_as_a_pretrained_backbone_was_trained(settings, mean):
    config = parse_config(minimal(), settings)
    assert config.data.mean == mean
    assert (config.data.std == IMAGENET_STD) == (mean in (IMAGENET_MEAN, (0.1, 0.2, 0.3)))
    again = parse_config(yaml.safe_load(config.to_yaml()))  # as a run keeps it
    assert (again.data.mean, again.data.std) == (config.data.mean, config.data.std)


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("data.val=[1]", r"data\.val: must be a number or text or null, not \[1\]"),
        ("engine.compile=maybe", "engine.compile: must be true or false or auto, not 'maybe'"),
    ],
)
def test_a_setting_of_several_kinds_is_named_by_its_key(config_file, word, says):
    with pytest.raises(UsageError, match=f": {says}$"):
        load_config(config_file, [word])


@pytest.mark.parametrize(("word", "value"), [("true", True), ("false", False), ("auto", "auto")])
def test_compile_is_a_truth_value_or_auto(config_file, word, value):
    assert load_config(config_file, [f"engine.compile={word}"]).engine.compile is value
