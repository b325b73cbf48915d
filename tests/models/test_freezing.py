import copy

import pytest
import torch
from torch import nn

from mlcfast.engine.base import RunningStatistics
from mlcfast.models import build_model
from mlcfast.models.freezing import FoldedConv2d, FrozenBatchNorm2d, fix_batch_norm, fold_frozen_norms, freeze_backbone

SIDE = 64


def resnet(freeze, name="resnet10t"):
    torch.manual_seed(0)
    return build_model("linear", name, 3, SIDE, freeze=freeze)


def trained_norm(channels=6):
    norm = nn.BatchNorm2d(channels)
    for tensor in (norm.weight.data, norm.bias.data, norm.running_mean, norm.running_var):
        tensor.uniform_(0.5, 2)
    return norm.eval()


def test_frozen_norm_equals_batch_norm_in_eval_mode_and_saves_no_activation():
    norm = trained_norm()
    frozen = FrozenBatchNorm2d.from_batch_norm(norm).train()
    x = torch.randn(2, 6, 5, 5, requires_grad=True)
    torch.testing.assert_close(frozen(x), norm(x))
    saved = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t.numel()) or t, lambda t: t):
        frozen(x).sum().backward()
    assert sum(saved) <= 6
    torch.testing.assert_close(x.grad, (norm.weight / (norm.running_var + 1e-5).sqrt())[:, None, None].expand_as(x))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_frozen_norm_keeps_the_type_of_its_input(dtype):
    assert FrozenBatchNorm2d(4)(torch.randn(1, 4, 2, 2, dtype=dtype)).dtype == dtype


def test_published_freezing_of_a_resnet():
    model = resnet("published")
    body = model.backbone.body
    trained = {name for name, parameter in body.named_parameters() if parameter.requires_grad}
    assert trained and all(name.startswith(("layer2", "layer3", "layer4")) for name in trained)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in body.modules())
    assert not any("bn" in name for name in trained)


def test_frozen_statistics_and_affine_survive_a_training_step():
    model = resnet("published").train()
    frozen = {name: tensor.clone() for name, tensor in model.backbone.body.named_buffers()}
    assert len(frozen) >= 40
    optimizer = torch.optim.AdamW([parameter for parameter in model.parameters() if parameter.requires_grad], lr=0.1)
    layer4, conv1 = (copy.deepcopy(module.weight) for module in (model.backbone.body.layer4[0].conv1, model.fc))
    model(torch.randn(4, 3, SIDE, SIDE)).square().sum().backward()
    optimizer.step()
    assert all(torch.equal(tensor, frozen[name]) for name, tensor in model.backbone.body.named_buffers())
    assert not torch.equal(layer4, model.backbone.body.layer4[0].conv1.weight)
    assert not torch.equal(conv1, model.fc.weight)


def test_published_freezing_of_a_tresnet_leaves_batch_norm_training():
    body = build_model("linear", "tresnet_m", 3, SIDE).backbone.body
    freeze_backbone(body, "published")
    frozen = {name for name, parameter in body.named_parameters() if not parameter.requires_grad}
    assert frozen and all(name.startswith(("body.conv1", "body.layer1")) for name in frozen)
    assert any(isinstance(module, nn.BatchNorm2d) for module in body.modules())


def test_auto_freezes_only_with_weights(tmp_path):
    assert all(parameter.requires_grad for parameter in resnet("auto").parameters())
    path = tmp_path / "backbone.pth"
    torch.save(resnet("none").backbone.body.state_dict(), path)
    model = build_model("linear", "resnet10t", 3, SIDE, weights=str(path))
    assert not model.backbone.body.layer1[0].conv1.weight.requires_grad


@pytest.mark.parametrize("name", ["resnet10t", "test_efficientnet", "test_vit"])
def test_a_frozen_backbone_gives_the_same_features_in_training(name):
    plain, frozen = resnet("none", name), resnet("backbone", name)
    frozen.load_state_dict(plain.state_dict(), strict=False)
    assert [n for n, parameter in frozen.named_parameters() if parameter.requires_grad] == ["fc.weight", "fc.bias"]
    images = torch.randn(2, 3, SIDE, SIDE)
    torch.testing.assert_close(frozen.train()(images), plain.eval()(images), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["resnet10t", "resnet26", "resnet26d"])
def test_folded_norms_give_the_same_features_and_gradients(name):
    torch.manual_seed(0)
    body = build_model("linear", name, 3, SIDE).backbone.body.double()
    for key, buffer in body.named_buffers():
        if "running" in key:
            buffer.uniform_(0.5, 2)
    fix_batch_norm(body)
    folded = copy.deepcopy(body)
    fold_frozen_norms(folded)
    norms = [module for module in folded.modules() if isinstance(module, FrozenBatchNorm2d)]
    assert norms and all(norm.folded for norm in norms)
    assert list(folded.state_dict()) == list(body.state_dict())
    images = torch.randn(2, 3, SIDE, SIDE).double()
    outputs = [net.forward_features(images) for net in (body, folded)]
    torch.testing.assert_close(outputs[1], outputs[0], rtol=1e-9, atol=1e-9)
    for output in outputs:
        output.square().mean().backward()
    for expected, actual in zip(body.parameters(), folded.parameters(), strict=True):
        torch.testing.assert_close(actual.grad, expected.grad, rtol=1e-8, atol=1e-10)


def test_a_copy_folds_its_own_norms():
    model = resnet("published").eval()
    twin, images = copy.deepcopy(model), torch.randn(1, 3, SIDE, SIDE)
    expected = model(images)
    for module in model.modules():
        if isinstance(module, FrozenBatchNorm2d):
            module.bias.add_(1)
    assert torch.equal(twin(images), expected) and not torch.equal(model(images), expected)


def test_folded_training_stores_half_an_image():
    def stored(body, images):
        sizes = {}

        def pack(tensor):
            sizes[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            output = body.forward_features(torch.randn(images, 3, 64, 64))
        del output
        return sum(sizes.values())

    def per_image(body):
        return stored(body, 5) - stored(body, 4)

    plain, published = (resnet(freeze, "resnet26").backbone.body for freeze in ("none", "published"))
    assert any(isinstance(module, FoldedConv2d) for module in published.modules())
    assert per_image(published) < 0.55 * per_image(plain)


def test_scale_and_shift_are_computed_once_for_the_same_buffers():
    """Another value of a buffer gives others, in whatever way it comes; a copy and inference mode have their own."""
    norm = FrozenBatchNorm2d.from_batch_norm(trained_norm())
    first = norm.affine()
    assert norm.affine()[0] is first[0]
    norm.running_var.mul_(4)
    torch.testing.assert_close(norm.affine()[0], norm.weight / (norm.running_var + norm.eps).sqrt())
    assert not torch.equal(norm.affine()[0], first[0])
    twin = copy.deepcopy(norm)
    twin.load_state_dict(trained_norm().state_dict())
    assert not torch.equal(twin.affine()[0], norm.affine()[0])
    with torch.inference_mode():
        assert norm.affine()[1].is_inference()
    weight = torch.ones(6, requires_grad=True)
    (weight * norm.affine()[0]).sum().backward()  # refuses a tensor made in inference mode
    assert norm.double().affine()[0].dtype == torch.float64
    statistics = RunningStatistics(nn.Sequential(norm, nn.BatchNorm2d(6)))
    assert [buffer.dtype for buffer in statistics.buffers] == [torch.float32, torch.float32]
