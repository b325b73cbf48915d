"""Translates names and values of backbone weights in their original files to the modules used here.

Every function takes the body and its original state dict, and returns one in the body's own names, or the dict itself
when it has those names already. A tensor it does not know keeps its name, so that loading reports it.
"""

import re
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from mlcfast.errors import UsageError

State = dict[str, Tensor]
ABN_EPS = 1e-5

CVT_TRANSFORMERS = (
    (r"^(?:cvt\.)?encoder\.stages\.(\d+)\.", r"stage\1."),
    (r"\.embedding\.convolution_embeddings\.projection\.", ".patch_embed.proj."),
    (r"\.embedding\.convolution_embeddings\.normalization\.", ".patch_embed.norm."),
    (r"\.layers\.(\d+)\.", r".blocks.\1."),
    (r"\.attention\.attention\.convolution_projection_([qkv])\w+\.convolution_projection\.", r".attn.conv_proj_\1."),
    (r"\.(conv_proj_\w)\.convolution\.", r".\1.conv."),
    (r"\.(conv_proj_\w)\.normalization\.", r".\1.bn."),
    (r"\.attention\.attention\.projection_([qkv])\w+\.", r".attn.proj_\1."),
    (r"\.attention\.output\.dense\.", ".attn.proj."),
    (r"\.layernorm_before\.", ".norm1."),
    (r"\.layernorm_after\.", ".norm2."),
    (r"\.intermediate\.dense\.", ".mlp.fc1."),
    (r"\.output\.dense\.", ".mlp.fc2."),
    (r"^layernorm\.", "norm."),
)
TRESNET = (
    # Where a block's stride is 2, an outer sequence holds convolution and norm as its element 0.
    (r"\.(conv\d)\.0\.0\.", r".\1.conv."),
    (r"\.(conv\d)\.0\.1\.", r".\1.bn."),
    (r"\.(conv\d)\.0\.", r".\1.conv."),
    (r"\.(conv\d)\.1\.", r".\1.bn."),
    (r"\.downsample\.(\d)\.0\.", r".downsample.\1.conv."),
    (r"\.downsample\.(\d)\.1\.", r".downsample.\1.bn."),
)
# Of the files of efficientnet_pytorch and its relatives; a block's own names, behind its number.
EFFICIENTNET = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2"}
EXPANDED = {
    "_expand_conv": "conv_pw", "_bn0": "bn1", "_depthwise_conv": "conv_dw", "_bn1": "bn2", "_project_conv": "conv_pwl",
    "_bn2": "bn3", "_se_reduce": "se.conv_reduce", "_se_expand": "se.conv_expand",
}  # fmt: skip
SEPARABLE = EXPANDED | {"_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}


def translate(body: nn.Module, state: State) -> State:
    """The state dict of a backbone's original file in the body's names: CvT's two layouts, TResNet's, Swin's and
    EfficientNet's."""
    family: Callable[[nn.Module, State], State] | None = {
        "CvT": _cvt,
        "TResNet": _tresnet,
        "SwinTransformer": _swin,
        "EfficientNet": _efficientnet,
    }.get(type(body).__name__)
    return state if family is None else family(body, state)


def _renamed(state: State, rules: tuple[tuple[str, str], ...]) -> State:
    renamed = {}
    for original, tensor in state.items():
        name = original
        for pattern, replacement in rules:
            name = re.sub(pattern, replacement, name)
        if name in renamed:
            raise UsageError(f"the weights hold {name} twice, once as {original}")
        renamed[name] = tensor
    return renamed


def _cvt(body: nn.Module, state: State) -> State:
    return _renamed(state, CVT_TRANSFORMERS)


def _tresnet(body: nn.Module, state: State) -> State:
    """In-place activated batch norm scales by |weight| + eps; the BatchNorm here by its weight itself."""
    if "body.conv1.0.weight" not in state:
        return state
    renamed = _renamed(state, TRESNET)
    return {name: tensor.abs() + ABN_EPS if name.endswith("bn.weight") else tensor for name, tensor in renamed.items()}


def _swin(body: nn.Module, state: State) -> State:
    """The original merges patches at a stage's end, timm at the next one's start; computed buffers are checked."""
    if "layers.0.downsample.reduction.weight" not in state:
        return state
    state = _without_equal_buffers(body, state)

    def later(match: re.Match) -> str:
        return f"layers.{int(match[1]) + 1}.downsample."

    return {re.sub(r"^layers\.(\d+)\.downsample\.", later, name): tensor for name, tensor in state.items()}


def _efficientnet(body: nn.Module, state: State) -> State:
    """The original counts its blocks through, timm within each stage; the classifier `_fc` is left out."""
    if "_conv_stem.weight" not in state:
        return state
    stages: Any = body.blocks  # of timm's EfficientNet
    places = [(f"blocks.{i}.{j}", block) for i, stage in enumerate(stages) for j, block in enumerate(stage)]
    renamed = {}
    for original, tensor in state.items():
        first, _, rest = original.partition(".")
        name = f"{EFFICIENTNET.get(first, first)}.{rest}"
        if first == "_blocks":
            number, part, rest = rest.split(".", 2)
            place, block = places[int(number)] if int(number) < len(places) else (f"blocks.{number}", None)
            own = SEPARABLE if not hasattr(block, "conv_pwl") else EXPANDED
            name = f"{place}.{own.get(part, part)}.{rest}"
        if first != "_fc":
            renamed[name] = tensor
    return renamed


def _without_equal_buffers(body: nn.Module, state: State) -> State:
    """`state` without the buffers that the body computes; a UsageError names one whose values differ."""
    computed = dict(body.named_buffers())
    kept = {}
    for name, tensor in state.items():
        if not name.endswith(("relative_position_index", "attn_mask")) or name not in computed:
            kept[name] = tensor
        elif tensor.shape != computed[name].shape or not _same(tensor, computed[name]):
            raise UsageError(f"the weights' {name} {tuple(tensor.shape)} is for another window or image size")
    return kept


def _same(tensor: Tensor, computed: Tensor) -> bool:
    return computed.is_meta or torch.equal(tensor.to(computed.dtype), computed)
