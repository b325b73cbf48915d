import urllib.error

import pytest
import timm
import torch

from mlcfast.config import load_config
from mlcfast.errors import UsageError
from mlcfast.models import build_model
from mlcfast.models.pretrained import hub_is_away
from tests.conftest import ROOT

# name, image size, options, channels, grid: NCHW maps, NHWC maps, tokens with and without prefix tokens, fixed sizes
BACKBONES = [
    ("test_resnet", 96, {}, 96, (3, 3)),
    ("resnet10t", 96, {"out_index": 3}, 256, (6, 6)),
    ("test_convnext", 96, {}, 64, (3, 3)),
    ("test_efficientnet", 96, {}, 256, (3, 3)),
    ("test_vit", 96, {}, 64, (6, 6)),
    ("vit_tiny_patch16_224", 96, {"depth": 2}, 192, (6, 6)),
    ("vit_small_patch16_dinov3", 96, {"depth": 2}, 384, (6, 6)),
    ("eva02_tiny_patch14_224", 70, {"depth": 2}, 192, (5, 5)),
    ("swin_tiny_patch4_window7_224", 128, {"depths": (1, 1, 1, 1)}, 768, (4, 4)),
    ("swin_tiny_patch4_window7_224", 128, {"depths": (1, 1, 1, 1), "out_index": 2}, 384, (8, 8)),
]


@pytest.mark.parametrize(("name", "side", "options", "channels", "grid"), BACKBONES)
def test_feature_map(name, side, options, channels, grid):
    model = build_model("linear", name, 2, side, backbone_options=options).eval()
    features = model.backbone(torch.randn(2, 3, side, side))
    assert (model.backbone.channels, model.grid) == (channels, grid)
    assert features.shape == (2, channels, *grid)


# name, image size, options, index, finer map's shape (C, H, W), last map's
JOINED = [
    ("test_efficientnet", 96, {}, 3, (48, 6, 6), (256, 3, 3)),
    ("resnet10t", 100, {}, -2, (256, 7, 7), (512, 4, 4)),
    ("resnet10t", 96, {"out_index": 3}, 2, (128, 12, 12), (256, 6, 6)),
    ("test_vit", 96, {}, 0, (64, 6, 6), (64, 6, 6)),
    ("swin_tiny_patch4_window7_224", 128, {"depths": (1, 1, 1, 1)}, 1, (192, 16, 16), (768, 4, 4)),
]


@pytest.mark.parametrize(("name", "side", "options", "index", "finer", "last"), JOINED)
def test_a_finer_map_is_joined_to_the_last(name, side, options, index, finer, last):
    torch.manual_seed(0)
    plain = build_model("linear", name, 2, side, backbone_options=options).eval().backbone
    joined = build_model("linear", name, 2, side, backbone_options=options | {"join_index": index}).eval().backbone
    joined.load_state_dict(plain.state_dict())
    images = torch.randn(2, 3, side, side)
    features = joined(images)
    assert (joined.channels, joined.grid) == (finer[0] + last[0], finer[1:])
    assert features.shape == (2, joined.channels, *finer[1:])
    cut = build_model("linear", name, 2, side, backbone_options=options | {"out_index": index}).eval().backbone
    cut.load_state_dict(plain.state_dict(), strict=False)
    torch.testing.assert_close(features[:, : finer[0]], cut(images))
    rows = torch.arange(finer[1]) * last[1] // finer[1]
    torch.testing.assert_close(features[:, finer[0] :], plain(images)[:, :, rows][:, :, :, rows])


def test_a_map_to_join_that_there_is_not_is_an_error():
    with pytest.raises(UsageError, match=r"with backbone_options.join_index 9: .*9"):
        build_model("linear", "test_resnet", 2, 96, backbone_options={"join_index": 9})
    with pytest.raises(UsageError, match="join_index 'last'"):
        build_model("linear", "test_resnet", 2, 96, backbone_options={"join_index": "last"})
    with pytest.raises(UsageError, match="join_index: CvT has no intermediate feature maps to join"):
        build_model("linear", "cvt_13", 2, 64, backbone_options={"join_index": 1})


def test_tokens_become_cells_row_by_row():
    model = build_model("linear", "vit_tiny_patch16_224", 2, 96, backbone_options={"depth": 1}).eval()
    tokens = model.backbone.body.forward_features(images := torch.randn(1, 3, 96, 96))
    assert tokens.shape == (1, 37, 192)
    torch.testing.assert_close(model.backbone(images)[0, :, 2, 5], tokens[0, 1 + 2 * 6 + 5])


def test_building_under_the_meta_device_allocates_nothing():
    with torch.device("meta"):
        model = build_model("query2label", "resnet101", 80, 448, freeze="published")
    assert all(tensor.is_meta for tensor in (*model.parameters(), *model.buffers()))


def test_a_model_without_a_feature_map_is_an_error():
    with pytest.raises(UsageError, match="no feature map at image_size 40"):
        build_model(
            "linear", "vit_tiny_patch16_224", 2, 40, backbone_options={"dynamic_img_size": True, "img_size": 96}
        )


def test_pretrained_without_a_source_says_what_to_do(monkeypatch):
    def unreachable(*args, **kwargs):
        raise OSError("no route to host")

    monkeypatch.setattr("timm.create_model", unreachable)
    monkeypatch.setattr("mlcfast.models.backbones.hub_is_away", lambda name: False)
    with pytest.raises(
        UsageError, match=r"pretrained weights of resnet50 .*no route to host.*set model.weights to a local"
    ):
        build_model("linear", "resnet50", 2, 64, weights="pretrained")


@pytest.mark.parametrize(
    ("answer", "away"),
    [
        (urllib.error.URLError("no name server"), True),
        (TimeoutError(), True),
        (urllib.error.HTTPError("x", 403, "forbidden", None, None), False),
    ],
)
def test_a_hub_that_gives_no_answer_is_away(monkeypatch, tmp_path, answer, away):
    def asked(request, timeout):
        assert timeout <= 5
        raise answer

    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr("urllib.request.urlopen", asked)
    assert hub_is_away("resnet50") == away
    assert not hub_is_away("test_backbone_of_nobody")  # which has no weights there: timm says so itself
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert hub_is_away("resnet50")
    monkeypatch.setattr("mlcfast.models.pretrained.try_to_load_from_cache", lambda *_: str(tmp_path))
    assert not hub_is_away("resnet50")


@pytest.mark.parametrize("path", sorted((ROOT / "configs" / "backbones").glob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_backbones_are_as_timm_records_them(path):
    """Normalisation and licence are timm's; the model builds at its size and has the cells that file and page name."""
    config, text = load_config(path), path.read_text()
    held = timm.get_pretrained_cfg(config.model.backbone)
    assert (config.data.mean, config.data.std) == (held.mean, held.std) and f"timm: {held.license}" in text
    with torch.device("meta"):
        model = build_model(config.model.head, config.model.backbone, 80, config.data.image_size)
    cells = "{} × {}".format(*model.grid)
    assert f"{cells} cells at {config.data.image_size} pixels" in text
    row = f"`{config.model.backbone}` | {cells} at {config.data.image_size} pixels | {held.license}"
    assert row in (ROOT / "docs" / "questions.md").read_text()
