"""Backbones as published, without what this project does to them: plain operators and BatchNorm in eval mode."""

from unittest import mock

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mlcfast.models.freezing import FrozenBatchNorm2d
from mlcfast.ops.quick_gelu import quick_gelu_reference as quick_gelu


def unfused_attention(query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
    """Scores, softmax and product as three operators."""
    return torch.softmax(query @ key.mT * scale, dim=-1) @ value


def torch_layer_norm(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """As autocast runs it: fp32 in and out, and so a stream in fp32."""
    return F.layer_norm(x, weight.shape, weight, bias, eps)


PUBLISHED_NORM = mock.patch("mlcfast.models.cvt.layer_norm", torch_layer_norm)
PUBLISHED_GELU = mock.patch("mlcfast.models.cvt.quick_gelu", quick_gelu)
PUBLISHED_ATTENTION = mock.patch("torch.nn.functional.scaled_dot_product_attention", unfused_attention)


class FixedBatchNorm2d(nn.BatchNorm2d):
    """BatchNorm2d that stays in eval mode."""

    def train(self, mode: bool = True) -> "FixedBatchNorm2d":
        """Set eval mode whatever is asked for."""
        return super().train(False)


def unfolded(model: nn.Module) -> nn.Module:
    """Frozen norms as multiply-adds after their convolutions."""
    for module in model.modules():
        if isinstance(module, FrozenBatchNorm2d):
            module.folded = False
        if type(module).__name__ == "FoldedConv2d":
            module.forward = lambda x, conv=module: conv._conv_forward(x, conv.weight, conv.bias)
    return model


def batch_norm_in_eval_mode(model: nn.Module) -> nn.Module:
    """Frozen norms as BatchNorm2d in eval mode without gradients, as published."""
    for name, module in list(unfolded(model).named_modules()):
        if isinstance(module, FrozenBatchNorm2d):
            norm = FixedBatchNorm2d(len(module.weight), module.eps, device=module.weight.device)
            norm.load_state_dict(module.state_dict(), strict=False)  # all but num_batches_tracked
            norm.requires_grad_(False).eval()
            parent = model.get_submodule(name.rpartition(".")[0])
            setattr(parent, name.rpartition(".")[2], nn.Sequential(norm, module.act))
    return model
