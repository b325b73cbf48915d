import copy

import pytest
import torch

from mlcfast.errors import UsageError
from mlcfast.models import LinearClassifier, Query2Label, build_model

SIDE = 64
SMALL = {"embed_dim": 32, "feedforward": 48}


def small(num_labels=7, backbone="test_resnet", **options):
    torch.manual_seed(0)
    return build_model("query2label", backbone, num_labels, SIDE, **SMALL, **options)


def images(B=2, side=SIDE):
    return torch.randn(B, 3, side, side, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("num_labels", [1, 20, 81])
@pytest.mark.parametrize("self_attention", [False, True])
def test_shapes_and_gradients(num_labels, self_attention):
    model = small(num_labels, decoder_self_attention=self_attention)
    logits = model(images(3))
    assert logits.shape == (3, num_labels) and logits.dtype == torch.float32
    logits.square().sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_weights_are_distributions_over_the_grid():
    model = small().eval()
    logits, weights = model(images(), need_weights=True)
    assert model.grid == (2, 2) and weights.shape == (2, 7, 4)
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 7))
    torch.testing.assert_close(logits, model(images()))


def test_the_auxiliary_layer_learns_beside_the_decoder_and_counts_half():
    """It sees the map's mean; the decoder's own part is as it is without it."""
    model, x = small(auxiliary_linear=True), images()
    decoder, linear = model(x).chunk(2)
    features = model.backbone(x).mean(dim=(2, 3))
    torch.testing.assert_close(linear, model.auxiliary(features))
    assert decoder.shape == linear.shape == (2, 7)
    (decoder.sum() + linear.square().sum()).backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    model.eval()
    logits, weights = model(x, need_weights=True)
    beside = model.auxiliary(model.backbone(x).mean(dim=(2, 3)))
    model.auxiliary = None
    torch.testing.assert_close(logits, (model(x) + beside) / 2)
    assert weights.shape == (2, 7, 4)


def test_labels_are_equivariant():
    model = small().eval()
    order = torch.tensor([3, 0, 6, 2, 5, 1, 4])
    permuted = copy.deepcopy(model)
    permuted.query_embed.weight.data = model.query_embed.weight.data[order]
    permuted.fc.W.data, permuted.fc.b.data = model.fc.W.data[:, order], model.fc.b.data[:, order]
    torch.testing.assert_close(permuted(images()), model(images())[:, order], rtol=1e-5, atol=1e-5)


def test_images_do_not_see_each_other_in_eval_mode():
    model = small().eval()
    torch.testing.assert_close(model(images(4))[1:2], model(images(4)[1:2]), rtol=1e-5, atol=1e-5)


def test_dropout_differs_between_images_in_training():
    model = small(dropout=0.5)
    model.backbone.eval()
    first, second = model(images(1).expand(2, -1, -1, -1))
    assert (first - second).abs().max() > 1e-3


def test_wrong_image_size_is_named():
    for model in (small(), build_model("linear", "test_resnet", 3, SIDE)):
        with pytest.raises(ValueError, match=r"3×96×96.*3×64×64"):
            model(images(side=96))


def test_input_projection_only_where_the_widths_differ():
    assert isinstance(small().input_proj, torch.nn.Conv2d)
    channels = small().backbone.channels
    assert not list(build_model("query2label", "test_resnet", 3, SIDE, feedforward=8).input_proj.parameters())
    assert build_model("query2label", "test_resnet", 3, SIDE, feedforward=8).embed_dim == channels


def test_state_dict_round_trip_keeps_the_logits():
    model = small().eval()
    other = build_model("query2label", "test_resnet", 7, SIDE, **SMALL).eval()
    assert not torch.equal(other(images()), model(images()))
    other.load_state_dict(model.state_dict())
    assert torch.equal(other(images()), model(images()))


def test_names_match_the_published_layout():
    names = {name for name in small().state_dict() if not name.startswith("backbone.")}
    attention = ["in_proj_weight", "in_proj_bias", "out_proj.weight", "out_proj.bias"]
    layers = [f"transformer.encoder.layers.0.self_attn.{name}" for name in attention]
    modules = ["transformer.encoder.layers.0." + name for name in ("linear1", "linear2", "norm1", "norm2")]
    for layer in range(2):
        prefix = f"transformer.decoder.layers.{layer}."
        layers += [f"{prefix}multihead_attn.{name}" for name in attention]
        modules += [prefix + name for name in ("linear1", "linear2", "norm2", "norm3")]
    modules += ["transformer.decoder.norm", "input_proj"]
    parameters = [f"{module}.{kind}" for module in modules for kind in ("weight", "bias")]
    assert names == {*layers, *parameters, "query_embed.weight", "fc.W", "fc.b"}


def test_autocast_gives_fp32_logits_close_to_fp32():
    model = small().eval()
    exact = model(images())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits, weights = model(images(), need_weights=True)
    assert logits.dtype == torch.float32
    # bf16 keeps 8 bits: layer-normed states of size 1 carry errors of a few 2^-8 into a dot product of width 32.
    torch.testing.assert_close(logits, exact, rtol=0, atol=0.1)
    torch.testing.assert_close(weights.float().sum(-1), torch.ones(2, 7), rtol=0, atol=0.02)


def test_fp64_model():
    model = small().double().eval()
    assert model(images().double()).dtype == torch.float64


def test_linear_classifier_pools_and_classifies():
    model = build_model("linear", "test_resnet", 5, SIDE).eval()
    features = model.features(images())
    assert isinstance(model, LinearClassifier) and features.shape == (2, model.backbone.channels)
    expected = model.backbone(images()).flatten(2).mean(-1) @ model.fc.weight.T + model.fc.bias
    torch.testing.assert_close(model(images()), expected)
    torch.testing.assert_close(model.classify(features), expected)


def test_activation_maps_count_positive_cells_more():
    model = build_model("cam", "test_resnet", 5, SIDE, boost=3).eval()
    cells = torch.einsum("bchw,kc->bkhw", model.backbone(images()), model.fc.weight) + model.fc.bias[:, None, None]
    torch.testing.assert_close(model.activation_map(images()), cells)
    assert (cells > 0).any() and (cells < 0).any()
    torch.testing.assert_close(model(images()), (cells + 2 * cells.clamp(min=0)).mean(dim=(2, 3)))
    linear = build_model("linear", "test_resnet", 5, SIDE).eval()
    plain = build_model("cam", "test_resnet", 5, SIDE, boost=1).eval()
    plain.load_state_dict(linear.state_dict())
    torch.testing.assert_close(plain(images()), linear(images()))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert model(images()).dtype == torch.float32


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"head": "query3label"}, "model.head"),
        ({"freeze": "some"}, "model.freeze"),
        ({"backbone": "resnet999"}, "model.backbone: 'resnet999'"),
        ({"embed_dim": 30, "num_heads": 4}, "divisible"),
        ({"embed_dim": 36, "num_heads": 8}, "divisible"),
        ({"heads": 3}, "heads"),
        ({"head": "cam", "boost": 0}, "boost must be above 0"),
        ({"backbone_options": {"no_such": 1}}, "no_such"),
        ({"backbone_options": {"out_index": 9}}, "out_index"),
        ({"weights": "/nowhere/weights.pth"}, "no such file"),
    ],
)
def test_bad_options_are_named(arguments, message):
    settings = {"head": "query2label", "backbone": "test_resnet", "num_labels": 3, "image_size": SIDE, **arguments}
    with pytest.raises(UsageError, match=message) as raised:
        build_model(**settings)
    assert "\n" not in str(raised.value)


def test_model_is_query2label_in_train_mode():
    model = small()
    assert isinstance(model, Query2Label) and model.training


def test_grouped_queries_serve_every_label():
    model = small(20, query_groups=7).eval()
    logits, weights = model(images(), need_weights=True)
    assert logits.shape == (2, 20) and weights.shape == (2, 20, 4)
    assert model.query_embed.weight.shape == (7, 32) and model.fc.W.shape == (1, 20, 32)
    assert torch.equal(weights[:, 0], weights[:, 2]) and not torch.equal(weights[:, 2], weights[:, 3])
    states, _ = model.transformer(
        model.input_proj(model.backbone(images())).flatten(2).transpose(1, 2), model.query_embed.weight, model.position
    )
    expected = model.transformer.decoder.norm(states)[:, 6] @ model.fc.W[0, 19] + model.fc.b[0, 19]
    torch.testing.assert_close(logits[:, 19], expected)
    model.train()(images()).sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_as_many_groups_as_labels_is_the_published_model():
    plain, grouped = small(7), small(7, query_groups=7)
    assert plain.state_dict().keys() == grouped.state_dict().keys()
    torch.testing.assert_close(grouped.eval()(images()), plain.eval()(images()))


def test_idle_groups_are_refused():
    with pytest.raises(UsageError, match="5 query groups leave some without a label of 7; 4 would fit"):
        small(7, query_groups=5)


def test_the_whole_model_equals_its_reference_ops(monkeypatch):
    results = []
    for backend in ("auto", "reference"):
        monkeypatch.setenv("MLCFAST_BACKEND", backend)
        model = small(20, dropout=0.0).double()
        out = model(images().double())
        out.square().sum().backward()
        results.append([out, *(parameter.grad for parameter in model.parameters() if parameter.grad is not None)])
    assert len(results[0]) > 40
    for got, want in zip(*results, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-8, atol=1e-9)


def test_compiles_as_one_graph_forward_and_backward():
    torch.manual_seed(0)
    model = build_model("query2label", "test_resnet", 5, 64, embed_dim=64, feedforward=32).eval()
    images = torch.randn(2, 3, 64, 64)
    expected = model(images)
    expected.square().sum().backward()
    gradients = {name: p.grad.clone() for name, p in model.named_parameters()}
    model.zero_grad()
    model.compile(backend="aot_eager", fullgraph=True)
    found = model(images)
    found.square().sum().backward()
    torch.testing.assert_close(found, expected)
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.grad, gradients[name], rtol=1e-4, atol=1e-5)
