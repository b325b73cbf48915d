import copy

import pytest
import torch
from torch import nn

from mlcfast.errors import UsageError
from mlcfast.models import build_model, enable_activation_checkpointing
from mlcfast.models.cvt import CVT, CvT, QuickGELU, Stage
from mlcfast.models.key_mapping import translate
from mlcfast.models.weights import state_mismatch

TRANSFORMERS = {
    "cvt_13": {},
    "cvt_21": {"depth": [1, 4, 16]},
    "cvt_w24": {"embed_dim": [192, 768, 1024], "num_heads": [3, 12, 16], "depth": [2, 2, 20]},
}
TINY = (
    Stage(8, 1, 1, patch=7, stride=4, padding=2),
    Stage(16, 1, 2, patch=3, stride=2, padding=1),
    Stage(24, 3, 3, patch=3, stride=2, padding=1, class_token=True, drop_path=0.5),
)


def transformers_model(name):
    """The classifier of `transformers` with random weights, norms near 1, statistics away from their start."""
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    with torch.device("meta"):
        model = transformers.CvtForImageClassification(transformers.CvtConfig(**TRANSFORMERS[name]))
    model = model.to_empty(device="cpu").eval()
    for key, tensor in model.state_dict().items():
        if "running" in key or (tensor.ndim == 1 and key.endswith("weight")):
            tensor.uniform_(0.5, 1.5)
        elif tensor.is_floating_point():
            tensor.normal_(std=0.02)
        else:
            tensor.zero_()
    return model


def empty_cvt(name):
    with torch.device("meta"):
        model = CvT(CVT[name], activation="gelu")
    return model.to_empty(device="cpu").eval()


@pytest.mark.parametrize("name", CVT)
def test_equals_transformers(name):
    theirs = transformers_model(name)
    state = {key: tensor for key, tensor in theirs.state_dict().items() if not key.startswith("classifier")}
    ours = empty_cvt(name)
    translated = translate(ours, state)
    assert state_mismatch(ours.state_dict(), translated) == "" and len(translated) == len(state)
    ours.load_state_dict(translated)
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        cells = theirs.cvt(images).last_hidden_state.permute(0, 2, 3, 1)
        expected = theirs.layernorm(cells).permute(0, 3, 1, 2)
        torch.testing.assert_close(ours.forward_features(images), expected, rtol=0, atol=2e-5)


def test_file_in_the_names_of_transformers_loads_by_path(tmp_path):
    theirs = transformers_model("cvt_13")
    torch.save(theirs.state_dict(), tmp_path / "cvt.pth")
    model = build_model("linear", "cvt_13", 2, 32, weights=str(tmp_path / "cvt.pth"))
    expected = theirs.cvt.encoder.stages[2].cls_token
    assert torch.equal(model.backbone.body.stage2.cls_token, expected)


def test_original_names():
    names = set(CvT(CVT["cvt_13"]).state_dict())
    for name in (
        "stage0.patch_embed.proj.weight",
        "stage1.blocks.1.attn.conv_proj_k.conv.weight",
        "stage2.cls_token",
        "stage2.blocks.9.attn.conv_proj_v.bn.running_var",
        "stage2.blocks.0.attn.proj_q.bias",
        "stage2.blocks.0.mlp.fc2.weight",
        "norm.weight",
    ):
        assert name in names
    assert "stage0.cls_token" not in names


@pytest.mark.parametrize(("name", "millions"), [("cvt_13", 19.61), ("cvt_21", 31.24), ("cvt_w24", 276.17)])
def test_parameter_counts(name, millions):
    with torch.device("meta"):
        count = sum(parameter.numel() for parameter in CvT(CVT[name]).parameters())
    assert round(count / 1e6, 2) == millions


def test_quick_gelu():
    x = torch.randn(100, dtype=torch.float64)
    torch.testing.assert_close(QuickGELU()(x), x / (1 + torch.exp(-1.702 * x)))


def test_attention_scale_is_that_of_the_stage_width():
    assert CvT(CVT["cvt_w24"][:0] + TINY).stage2.blocks[0].attn.scale == 24**-0.5


def test_stochastic_depth_rises_in_the_last_stage_and_keeps_the_stream():
    model = CvT(TINY)
    rates = [block.drop_path.drop_prob for block in model.stage2.blocks]
    assert rates == pytest.approx([0, 0.25, 0.5])
    assert [block.drop_path.drop_prob for block in model.stage0.blocks] == [0]
    block = model.stage2.blocks[2].train()
    block.drop_path.drop_prob = 1 - 1e-9
    tokens = torch.randn(3, 17, 24)
    assert torch.equal(block(tokens, (4, 4)), tokens)


def test_stochastic_depth_drops_whole_images_and_keeps_the_mean():
    block = CvT(TINY).stage2.blocks[2].train()
    block.mlp.requires_grad_(False)
    for parameter in block.mlp.parameters():
        parameter.zero_()
    for module in block.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
    tokens = torch.randn(1, 17, 24).expand(400, -1, -1)
    branch = (block(tokens, (4, 4)) - tokens).detach()
    kept = branch.flatten(1).abs().sum(1) > 0
    assert 150 < kept.sum() < 250
    expected = block.attn(block.norm1(tokens[:1]), (4, 4)) / 0.5
    torch.testing.assert_close(branch[kept], expected.expand(int(kept.sum()), -1, -1), rtol=1e-4, atol=1e-6)


def test_checkpointing_gives_the_same_step_and_updates_statistics_once():
    model = CvT(TINY, drop_path=0.5).train()
    recomputed = copy.deepcopy(model)
    recomputed.checkpoint_units = lambda: [block for i in range(3) for block in getattr(recomputed, f"stage{i}").blocks]
    enable_activation_checkpointing(recomputed)
    images = torch.randn(4, 3, 64, 64)
    for net in (model, recomputed):
        torch.manual_seed(3)
        net.forward_features(images).square().mean().backward()
    for (name, expected), actual in zip(model.named_parameters(), recomputed.parameters(), strict=True):
        torch.testing.assert_close(actual.grad, expected.grad, rtol=1e-5, atol=1e-7, msg=name)
    for (name, expected), actual in zip(model.named_buffers(), recomputed.named_buffers(), strict=True):
        assert torch.equal(actual[1], expected), name
        assert not name.endswith("num_batches_tracked") or expected == 1


def test_bf16_autocast_keeps_a_bf16_stream():
    model = CvT(TINY).eval()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert model.forward_features(torch.randn(1, 3, 64, 64)).dtype == torch.bfloat16


def test_errors():
    with pytest.raises(UsageError, match="cvt_13 has no downloadable weights"):
        build_model("linear", "cvt_13", 2, 64, weights="pretrained")
    with pytest.raises(UsageError, match="backbone_options"):
        build_model("linear", "cvt_13", 2, 64, backbone_options={"activation": "relu"})
