"""The ML-Decoder head against timm's own implementation of it, and the original layout of whole models."""

from pathlib import Path

import pytest
import torch
from timm.layers.ml_decoder import MLDecoder as TimmDecoder
from torch import nn

from mlcfast.errors import UsageError
from mlcfast.models import build_model
from mlcfast.models.loading import fill

SIDE = 64
FILE = Path("published.pth")


def head(num_labels, groups=100, width=32, **options):
    """A small model with the head, in evaluation mode."""
    torch.manual_seed(0)
    made = {"query_groups": groups, "embed_dim": width, **options}
    return build_model("ml_decoder", "resnet10t", num_labels, SIDE, **made).eval()


def timm_decoder(num_labels, groups=-1, width=32, features=512):
    torch.manual_seed(1)
    decoder = TimmDecoder(num_labels, groups, width, features).eval()
    nn.init.normal_(decoder.duplicate_pooling_bias)
    decoder.decoder.forward = decoder.decoder.layers[0].forward  # torch 2.14's looks for a self-attention in the layer
    return decoder


def original_layout(model, decoder, classifier="fc"):
    """The model's backbone and timm's head under the names of the original implementation."""
    head = {f"{classifier}.decoder.{n.removeprefix('decoder.')}": t for n, t in decoder.state_dict().items()}
    return dict(model.backbone.body.state_dict()) | head


@pytest.mark.parametrize(("num_labels", "groups"), [(1, -1), (5, -1), (80, -1), (80, 20), (101, -1), (211, 50), (7, 3)])
def test_logits_and_gradients_are_timms(num_labels, groups):
    model, decoder = head(num_labels, 100 if groups < 0 else groups), timm_decoder(num_labels, groups)
    fill(model, original_layout(model, decoder), FILE)
    images = torch.randn(3, 3, SIDE, SIDE)
    features = model.backbone(images).detach()
    model.backbone.forward = lambda _: features
    for made in (model, decoder):
        for module in made.modules():
            if isinstance(module, nn.Dropout | nn.MultiheadAttention) or hasattr(module, "plan"):
                setattr(module, "p" if isinstance(module, nn.Dropout) else "dropout", 0.0)
        made.train()
    ours, theirs = model(images), decoder(features)
    assert torch.allclose(ours, theirs, rtol=1e-4, atol=1e-5)
    weights = torch.randn(3, num_labels)
    (ours * weights).sum().backward()
    (theirs * weights).sum().backward()
    projection = decoder.embed_standart.weight.grad
    assert torch.allclose(model.input_proj.weight.grad, projection, rtol=1e-3, atol=1e-4 * projection.abs().max())
    pooled = decoder.duplicate_pooling.grad.transpose(1, 2).flatten(0, 1)[:num_labels]
    assert torch.allclose(model.fc.W.grad[0], pooled, rtol=1e-3, atol=1e-4 * pooled.abs().max())
    assert model.query_embed.weight.grad is None


@pytest.mark.parametrize(
    ("num_labels", "groups", "queries"), [(80, 100, 80), (101, 100, 51), (9605, 100, 100), (3, 1, 1)]
)
def test_as_many_queries_as_have_labels(num_labels, groups, queries):
    with torch.device("meta"):
        model = build_model("ml_decoder", "resnet10t", num_labels, SIDE, query_groups=groups)
    assert len(model.query_embed.weight) == queries
    assert (queries - 1) * model.labels_per_query < num_labels <= queries * model.labels_per_query


def test_timms_own_layout_is_read_as_well():
    model, decoder = head(5), timm_decoder(5)
    timms = {f"head.fc.{name}": tensor for name, tensor in decoder.state_dict().items()}
    fill(model, dict(model.backbone.body.state_dict()) | timms, FILE)
    images = torch.randn(2, 3, SIDE, SIDE)
    assert torch.allclose(model(images), decoder(model.backbone(images)), rtol=1e-4, atol=1e-5)


def test_begins_as_published():
    model, decoder = head(100, 20, 256), timm_decoder(100, 20, 256)
    assert model.fc.W.std().item() == pytest.approx(decoder.duplicate_pooling.std().item(), rel=0.05)
    assert not model.fc.b.any()
    assert model.query_embed.weight.std().item() == pytest.approx(1, rel=0.05)
    assert not model.query_embed.weight.requires_grad
    assert head(5, learn_queries=True).query_embed.weight.requires_grad


def test_in_training_every_image_has_queries_of_its_own():
    model = head(5, dropout=0.5)
    images = torch.randn(1, 3, SIDE, SIDE).expand(2, -1, -1, -1)
    assert torch.equal(*model(images))
    for norm in model.backbone.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.momentum = 0.0
    model.layer.train()
    first, second = model(images)
    assert not torch.allclose(first, second)


def test_weights_of_a_group_are_shared_and_sum_to_one():
    model = head(7, 3)
    logits, weights = model(torch.randn(2, 3, SIDE, SIDE), need_weights=True)
    assert logits.shape == (2, 7)
    assert weights.shape == (2, 7, 4)
    assert torch.allclose(weights.sum(-1), torch.ones(2, 7))
    assert torch.equal(weights[:, 0], weights[:, 2])
    assert not torch.equal(weights[:, 2], weights[:, 3])


def test_a_file_of_another_model_is_told_by_what_differs():
    model, decoder = head(5), timm_decoder(6)
    with pytest.raises(
        UsageError, match=r"published.pth does not fit the model: 3 of another shape: fc.W .*query_embed"
    ):
        fill(model, original_layout(model, decoder), FILE)
    state = original_layout(model, timm_decoder(5)) | {"fc.decoder.layers.1.norm1.weight": torch.zeros(32)}
    with pytest.raises(UsageError, match=r"1 unexpected: layers.1.norm1.weight"):
        fill(model, state, FILE)
    torch.manual_seed(0)
    linear = build_model("linear", "resnet10t", 5, SIDE)
    with pytest.raises(
        UsageError, match=r"published.pth: an ML-Decoder as published, which needs model.head ml_decoder"
    ):
        fill(linear, original_layout(model, timm_decoder(5)), FILE)
    broken = original_layout(model, timm_decoder(5))
    del broken["fc.decoder.query_embed.weight"]
    with pytest.raises(UsageError, match=r"published.pth: an ML-Decoder without its queries"):
        fill(model, broken, FILE)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"query_groups": 0}, "query_groups must be at least 1"),
        ({"embed_dim": 0}, "embed_dim must be at least 1, not 0"),
        ({"embed_dim": -8}, "embed_dim must be at least 1, not -8"),
        ({"feedforward": 0}, "feedforward must be at least 1, not 0"),
        ({"num_heads": 5}, "embed_dim 32 is not divisible by num_heads 5"),
        ({"groups": 5}, "did you mean query_groups"),
    ],
)
def test_options_that_do_not_fit(options, said):
    with pytest.raises(UsageError, match=said):
        build_model("ml_decoder", "resnet10t", 5, SIDE, **{"embed_dim": 32, **options})


def test_compiles_in_one_graph():
    model = head(5)
    images = torch.randn(2, 3, SIDE, SIDE)
    with torch.no_grad():
        assert torch.allclose(torch.compile(model, fullgraph=True, backend="eager")(images), model(images), atol=1e-5)
