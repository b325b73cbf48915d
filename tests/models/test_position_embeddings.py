"""Weights of a model for one size of image in a model for another."""

import logging
from pathlib import Path

import pytest
import timm
import torch
import torch.nn.functional as F

from mlcfast.errors import UsageError
from mlcfast.models import build_model
from mlcfast.models.loading import fill

# name, cell, prefix tokens that have an embedding
TRANSFORMERS = [
    ("test_vit", 16, 1),
    ("vit_small_patch14_reg4_dinov2", 14, 0),
    ("eva02_tiny_patch14_224", 14, 1),
    ("vit_base_patch16_siglip_gap_384", 16, 0),
]


def model(name: str, side: int, head: str = "linear", **options):
    depth = {} if name == "test_vit" else {"backbone_options": {"depth": 1}}
    return build_model(head, name, 2, side, **depth, **options).eval()


@pytest.mark.parametrize(("name", "cell", "before"), TRANSFORMERS)
@pytest.mark.parametrize(("small", "large"), [(4, 6), (7, 3)])
def test_a_model_goes_on_at_another_size(name, cell, before, small, large, caplog):
    torch.manual_seed(0)
    one, other = (model(name, cells * cell) for cells in (small, large))
    own = one.backbone.body.pos_embed
    torch.nn.init.normal_(own)
    with caplog.at_level(logging.INFO, "mlcfast"):
        fill(other, one.state_dict(), Path("best"))
    map_ = own[:, before:].detach().transpose(1, 2).unflatten(2, (small, small))
    map_ = F.interpolate(map_, size=(large, large), mode="bicubic", antialias=True)
    expected = torch.cat((own[:, :before], map_.flatten(2).transpose(1, 2)), dim=1)
    torch.testing.assert_close(other.backbone.body.pos_embed, expected)
    assert f"of {small}×{small} cells are resampled to {large}×{large}" in caplog.text
    assert other(torch.randn(1, 3, large * cell, large * cell)).isfinite().all()


def test_timm_does_the_same_for_its_own_weights():
    body = timm.create_model("test_vit", img_size=96, num_classes=0)
    filtered = timm.models.vision_transformer.checkpoint_filter_fn(
        body.state_dict(), model(*("test_vit", 64)).backbone.body
    )
    ours = model("test_vit", 64)
    whole = ours.state_dict() | {f"backbone.body.{name}": tensor for name, tensor in body.state_dict().items()}
    fill(ours, whole, Path("best"))
    torch.testing.assert_close(ours.backbone.body.pos_embed, filtered["pos_embed"])


def test_query2label_on_a_transformer_too():
    small, large = (model("test_vit", side, "query2label", embed_dim=32, feedforward=32) for side in (64, 96))
    fill(large, small.state_dict(), Path("best"))
    assert large(torch.randn(1, 3, 96, 96)).isfinite().all()


def test_what_does_not_fit_for_another_reason_is_still_said():
    small, large = model("test_vit", 64), model("test_vit", 96)
    stored = small.state_dict()
    for wrong in (stored["backbone.body.pos_embed"][:, :, :32], stored["backbone.body.pos_embed"][:, :-1]):
        with pytest.raises(UsageError, match=r"1 of another shape: backbone\.body\.pos_embed"):
            fill(large, stored | {"backbone.body.pos_embed": wrong}, Path("best"))
