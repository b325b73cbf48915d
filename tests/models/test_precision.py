"""Models whose parameters, but not buffers, are in bf16, as DeepSpeed casts them."""

import pytest
import torch

from mlcfast.models import build_model
from mlcfast.models.precision import prepare_half_weights

NAMES = {"cvt_13": {}, "test_resnet": {}, "swin_s3_tiny_224": {}, "resnet18": {"freeze": "published"}}


@pytest.mark.parametrize("backbone", NAMES)
def test_trains_and_keeps_statistics_in_fp32(backbone):
    torch.manual_seed(0)
    model = build_model("query2label", backbone, 3, 64, embed_dim=32, feedforward=32, **NAMES[backbone])
    names = list(model.state_dict())
    prepare_half_weights(model, torch.bfloat16)
    for parameter in model.parameters():
        parameter.data = parameter.data.bfloat16()
    with torch.enable_grad():
        logits = model(torch.randn(4, 3, 64, 64, dtype=torch.bfloat16))
        logits.square().mean().backward()
    assert list(model.state_dict()) == names and logits.isfinite().all()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.requires_grad and p.grad is not None)
    statistics = {name: b for name, b in model.named_buffers() if name.endswith("running_var")}
    assert all(buffer.dtype == torch.float32 for buffer in statistics.values())
    prepare_half_weights(model, torch.bfloat16)  # a second time changes nothing
