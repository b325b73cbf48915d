"""Tensors without memory: what operators return for them, and that a traced step is FakeTensorMode's to the byte."""

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from mlcfast.config import load_config
from mlcfast.planning import Tracer
from mlcfast.planning.empty_tensors import EmptyTensors, is_empty
from mlcfast.planning.tracker import ALLOCATION, LiveMemory
from tests.conftest import ROOT

PETABYTE = 2**50
SMALL = ("model.embed_dim=32", "model.feedforward=64", "model.weights=none", "data.image_size=64")
MODELS = {
    "demo": ("demo", ()),
    "resnet": ("resnet101_448", (*SMALL, "model.backbone=resnet18")),
    "swin": ("swin_l", (*SMALL, "model.backbone=swin_tiny_patch4_window7_224")),
    "role": ("role_finetune", (*SMALL[2:], "model.backbone=resnet18")),
}
STEPS = [(2, "none", False, True), (3, "blocks", False, False), (3, "blocks", True, False)]


class AsTorchDoes(FakeTensorMode):
    """FakeTensorMode as a tracer asks it, but what the norms keep is fp32, as on a GPU, whatever the weights are."""

    NORMS = (torch.ops.aten.native_layer_norm.default, torch.ops.aten.native_batch_norm.default)

    def answer(self, func, args, kwargs):
        with self:
            out = func(*args, **kwargs)
            if func in self.NORMS:
                out = (out[0], *(kept.float() for kept in out[1:]))
        return out


def tracer(name: str) -> Tracer:
    file, overrides = MODELS[name]
    return Tracer(load_config(ROOT / "configs" / f"{file}.yaml", overrides), 20, 100)


@pytest.mark.parametrize("name", MODELS)
def test_a_step_is_traced_as_with_fake_tensors(name, monkeypatch):
    """Every byte and every operation, over steps that share what was learnt of operators."""
    ours, torchs = tracer(name), tracer(name)
    monkeypatch.setattr(torchs, "_empty", AsTorchDoes())
    for step in STEPS:
        traced = ours.trace(*step)
        assert traced == torchs.trace(*step), step
        assert traced.peak > 0 and traced.flops > 0


def test_nothing_is_allocated_and_nothing_computed():
    with EmptyTensors():
        large = torch.empty(PETABYTE, dtype=torch.uint8)
        doubled = large * 2 + large.square().view(-1, 2)[:, 0].repeat_interleave(2)
        joined = torch.cat([doubled, large])
    assert joined.shape == (2 * PETABYTE,) and joined.dtype == torch.uint8
    assert joined.untyped_storage().nbytes() == 2 * PETABYTE and is_empty(joined)


def test_metadata_is_torchs():
    """Strides of channels-last convolutions, types by promotion, and several results."""
    image, weight = torch.randn(2, 3, 8, 8), torch.randn(4, 3, 3, 3)
    image = image.to(memory_format=torch.channels_last)

    def results(image, weight):
        numbers = torch.arange(6, device=image.device)
        values, where = image.max(dim=1)
        return [
            torch.conv2d(image, weight), numbers * 2, numbers * 2.0, numbers * True, image.half() * 2, values, where,
            *torch.var_mean(image, dim=(2, 3)), image.sum(), torch.zeros(()), image.transpose(1, 3).contiguous(),
        ]  # fmt: skip

    real = results(image, weight)
    with EmptyTensors():
        for _ in range(2):  # asked, then remembered
            empty = [torch.empty_strided(t.shape, t.stride(), dtype=t.dtype) for t in (image, weight)]
            for got, want in zip(results(*empty), real, strict=True):
                assert (got.shape, got.stride(), got.dtype) == (want.shape, want.stride(), want.dtype)
                assert is_empty(got)


def test_views_and_in_place_operators_share_what_they_are_given():
    with EmptyTensors():
        x = torch.empty(4, 6)
        assert x.view(6, 4).untyped_storage()._cdata == x.untyped_storage()._cdata
        assert x.add_(1) is x and x[1:].data_ptr() == x.data_ptr() + 24
        out = torch.empty(4, 6)
        assert torch.add(x, x, out=out) is out
        first, second = torch.empty(3), torch.empty(3)
        torch._foreach_add_([first, second], 1.0)


def test_operators_made_of_others_read_nothing_below_autograd():
    """There `to` and `reshape` reach a mode as they are, and copy: what they read would be somebody else's memory."""
    live = LiveMemory(EmptyTensors().answer)
    with EmptyTensors() as mode:
        x = torch.empty(
            4, 4
        )  # as much as what empty tensors point to holds: to read it fails here, and crashes nothing
    live.leave_out([x])
    for within in (mode, live):
        with within, torch._C._AutoDispatchBelowAutograd():
            results = [x.to(torch.bfloat16), x.t().reshape(-1), x.mT.contiguous(), x.to(torch.float32), x.flatten()]
        without_memory = [is_empty(result) for result in results]
        assert all(without_memory)
        assert [result.dtype for result in results] == [torch.bfloat16, *[torch.float32] * 4]
    assert live.live["activations"] == 3 * ALLOCATION  # what `to`, `reshape` and `contiguous` made
    del results
    assert live.live["activations"] == 0


def test_a_value_is_refused_but_that_of_a_real_tensor():
    kept = torch.tensor([3.0, 4.0])
    with EmptyTensors():
        assert (kept * 2).sum().item() == 14
        assert is_empty(torch.empty(2) + kept)
        with pytest.raises(RuntimeError, match="asks for a value"):
            torch.empty(()).item()


def test_gradients_reach_parameters():
    with EmptyTensors():
        layer = nn.Sequential(nn.Linear(5, 7), nn.BatchNorm1d(7), nn.ReLU(), nn.Linear(7, 1))
        layer(torch.empty(4, 5)).square().mean().backward()
        assert {name: p.grad.shape for name, p in layer.named_parameters()} == {
            name: p.shape for name, p in layer.named_parameters()
        }
