import copy

import pytest
import torch

from mlcfast.models import activation_checkpointing as checkpointing
from mlcfast.models import build_model, enable_activation_checkpointing
from mlcfast.models.activation_checkpointing import backbone_units


def pair(backbone="test_resnet", dropout=0.1, head="query2label", **options):
    torch.manual_seed(0)
    if head == "query2label":
        options |= {"embed_dim": 32, "feedforward": 64, "dropout": dropout}
    model = build_model(head, backbone, 5, 64, **options)
    recomputed = copy.deepcopy(model)
    enable_activation_checkpointing(recomputed)
    return model, recomputed


def step(model):
    torch.manual_seed(1)
    images = torch.randn(4, 3, 64, 64)
    loss = model(images).square().mean()
    loss.backward()
    return loss


@pytest.mark.parametrize("head", ["query2label", "linear"])
@pytest.mark.parametrize("backbone", ["test_resnet", "test_convnext", "test_vit", "test_efficientnet"])
def test_same_loss_gradients_and_statistics(backbone, head):
    model, recomputed = pair(backbone, head=head)
    torch.testing.assert_close(step(recomputed), step(model), rtol=0, atol=0)
    for (name, expected), actual in zip(model.named_parameters(), recomputed.parameters(), strict=True):
        torch.testing.assert_close(actual.grad, expected.grad, rtol=1e-5, atol=1e-7, msg=name)
    for (name, expected), actual in zip(model.named_buffers(), recomputed.buffers(), strict=True):
        assert torch.equal(actual, expected), name


def test_names_stay_and_copies_keep_the_setting():
    model, recomputed = pair()
    assert list(recomputed.state_dict()) == list(model.state_dict())
    twin = copy.deepcopy(recomputed)
    assert saved_bytes(twin) < saved_bytes(model)
    enable_activation_checkpointing(recomputed)
    step(recomputed)


def saved_bytes(model):
    seen = {}

    def pack(tensor):
        seen[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss = model(torch.randn(2, 3, 64, 64)).sum()
    del loss
    return sum(seen.values())


def test_stores_less():
    model, recomputed = pair("resnet18")
    parameters = sum(parameter.numel() * 4 for parameter in model.parameters())
    assert saved_bytes(recomputed) < 0.5 * (parameters + saved_bytes(model))
    assert saved_bytes(recomputed) < 0.5 * saved_bytes(model)


def test_units_are_the_outermost_blocks():
    model, _ = pair("resnet18")
    assert [type(unit).__name__ for unit in model.checkpoint_units()] == ["BasicBlock"] * 8 + [
        "EncoderLayer",
        "DecoderLayer",
        "DecoderLayer",
    ]
    assert backbone_units(torch.nn.Linear(2, 2))[0].in_features == 2


@pytest.mark.parametrize("backbone", ["test_vit", "cvt_13"])
def test_slices_of_a_batch_change_nothing(backbone, monkeypatch):
    """cvt_13 has BatchNorm: its blocks stay whole and their MLPs are sliced."""
    options = {"backbone_options": {"drop_path": 0.0}} if backbone == "cvt_13" else {}
    model, recomputed = pair(backbone, dropout=0.0, **options)
    expected = step(model)
    monkeypatch.setattr(checkpointing, "SLICE_BYTES", 1)  # an image at a time
    monkeypatch.setattr(checkpointing, "LARGE_IMAGE", 0)
    torch.testing.assert_close(step(recomputed), expected, rtol=1e-5, atol=1e-7)
    for (name, parameter), actual in zip(model.named_parameters(), recomputed.parameters(), strict=True):
        torch.testing.assert_close(actual.grad, parameter.grad, rtol=1e-3, atol=1e-5, msg=name)
    for (name, buffer), actual in zip(model.named_buffers(), recomputed.buffers(), strict=True):
        torch.testing.assert_close(actual, buffer, rtol=1e-5, atol=1e-6, msg=name)
