"""Convolutional vision transformers (CvT, arXiv 2103.15808) as backbones; timm has none.

Shapes: B batch, C width of a stage, H × W its grid, N tokens (H·W, and one class token in the last stage).
Names of modules and parameters are the original repository's.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mlcfast.ops import layer_norm, quick_gelu


@dataclass(frozen=True)
class Stage:
    """One stage: a convolution that makes tokens, then `depth` blocks."""

    width: int
    depth: int
    heads: int
    patch: int
    stride: int
    padding: int
    class_token: bool = False
    drop_path: float = 0.0


def _stages(
    widths: tuple[int, int, int], depths: tuple[int, int, int], heads: tuple[int, int, int], drop_path: float
) -> tuple[Stage, ...]:
    return (
        Stage(widths[0], depths[0], heads[0], patch=7, stride=4, padding=2),
        Stage(widths[1], depths[1], heads[1], patch=3, stride=2, padding=1),
        Stage(widths[2], depths[2], heads[2], patch=3, stride=2, padding=1, class_token=True, drop_path=drop_path),
    )


CVT = {
    "cvt_13": _stages((64, 192, 384), (1, 2, 10), (1, 3, 6), 0.1),
    "cvt_21": _stages((64, 192, 384), (1, 4, 16), (1, 3, 6), 0.1),
    "cvt_w24": _stages((192, 768, 1024), (2, 2, 20), (3, 12, 16), 0.3),
}


class QuickGELU(nn.Module):
    """x · sigmoid(1.702 x)."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape and floating type, elementwise."""
        return quick_gelu(x)


ACTIVATIONS = {"quick_gelu": QuickGELU, "gelu": nn.GELU}


class LayerNorm(nn.LayerNorm):
    """LayerNorm (eps 1e-5) computed in fp32 that returns its input's type, so that a bf16 stream stays bf16."""

    def forward(self, x: Tensor) -> Tensor:
        """(…, C) -> the same shape and dtype."""
        return layer_norm(x, self.weight, self.bias, self.eps)


class ConvEmbed(nn.Module):
    """A strided convolution and a LayerNorm: image or map to a map of tokens."""

    def __init__(self, channels: int, stage: Stage):
        super().__init__()
        self.proj = nn.Conv2d(channels, stage.width, stage.patch, stage.stride, stage.padding)
        self.norm = LayerNorm(stage.width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C_in, H_in, W_in) -> (B, H, W, C), contiguous."""
        return self.norm(self.proj(x).permute(0, 2, 3, 1))


def conv_projection(width: int, stride: int) -> nn.Sequential:
    """Depth-wise 3×3 convolution and BatchNorm."""
    conv = nn.Conv2d(width, width, 3, stride, padding=1, bias=False, groups=width)
    projection = nn.Sequential()
    projection.add_module("conv", conv)
    projection.add_module("bn", nn.BatchNorm2d(width))
    return projection


class Attention(nn.Module):
    """Attention whose queries (stride 1), keys and values (stride 2) are convolved from the map before projection.

    The scale is width^-0.5, not (head width)^-0.5. The class token skips the convolutions.
    """

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads, self.scale = heads, width**-0.5
        self.conv_proj_q = conv_projection(width, 1)
        self.conv_proj_k = conv_projection(width, 2)
        self.conv_proj_v = conv_projection(width, 2)
        self.proj_q, self.proj_k, self.proj_v = (nn.Linear(width, width) for _ in range(3))
        self.proj = nn.Linear(width, width)

    def forward(self, tokens: Tensor, grid: tuple[int, int]) -> Tensor:
        """tokens (B, N, C), class token first if there is one -> (B, N, C)."""
        B, N, C = tokens.shape
        extra = N - grid[0] * grid[1]
        # Token-major memory is a channels-last map: the convolutions read and write it without a copy.
        cells = tokens[:, extra:].unflatten(1, grid).permute(0, 3, 1, 2)
        mixed = F.scaled_dot_product_attention(
            self._heads(self.proj_q, self.conv_proj_q(cells), tokens[:, :extra]),
            self._heads(self.proj_k, self.conv_proj_k(cells), tokens[:, :extra]),
            self._heads(self.proj_v, self.conv_proj_v(cells), tokens[:, :extra]),
            scale=self.scale,
        )
        return self.proj(mixed.transpose(1, 2).reshape(B, N, C))

    def _heads(self, projection: nn.Linear, cells: Tensor, class_token: Tensor) -> Tensor:
        tokens = cells.permute(0, 2, 3, 1).flatten(1, 2)
        if class_token.shape[1]:
            tokens = torch.cat((class_token.to(tokens.dtype), tokens), dim=1)
        return projection(tokens).unflatten(2, (self.heads, -1)).transpose(1, 2)


class Mlp(nn.Module):
    """Two linear layers, four times as wide between them."""

    def __init__(self, width: int, activation: str):
        super().__init__()
        self.fc1 = nn.Linear(width, 4 * width)
        self.act = ACTIVATIONS[activation]()
        self.fc2 = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, C) -> (B, N, C)."""
        return self.fc2(self.act(self.fc1(x)))


class Block(nn.Module):
    """Pre-norm attention and MLP; stochastic depth zeroes a whole residual branch of an image, never the stream."""

    def __init__(self, width: int, heads: int, drop_path: float, activation: str):
        from timm.layers import DropPath  # timm takes seconds to import

        super().__init__()
        self.norm1 = LayerNorm(width)
        self.attn = Attention(width, heads)
        self.norm2 = LayerNorm(width)
        self.mlp = Mlp(width, activation)
        self.drop_path = DropPath(drop_path)

    def forward(self, tokens: Tensor, grid: tuple[int, int]) -> Tensor:
        """(B, N, C) -> (B, N, C)."""
        tokens = tokens + self.drop_path(self.attn(self.norm1(tokens), grid))
        return tokens + self.drop_path(self.mlp(self.norm2(tokens)))


class CvTStage(nn.Module):
    """Tokens from a map, blocks, and a map again; the class token lives and ends here."""

    def __init__(self, channels: int, stage: Stage, activation: str):
        super().__init__()
        self.patch_embed = ConvEmbed(channels, stage)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, stage.width)) if stage.class_token else None
        rates = torch.linspace(0, stage.drop_path, stage.depth, device="cpu").tolist()
        self.blocks = nn.ModuleList(Block(stage.width, stage.heads, rate, activation) for rate in rates)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C_in, H_in, W_in) -> (B, C, H, W) in channels-last memory."""
        cells = self.patch_embed(x)
        grid = tuple(cells.shape[1:3])
        tokens = cells.flatten(1, 2)
        if self.cls_token is not None:
            class_token = self.cls_token.to(tokens.dtype).expand(tokens.shape[0], -1, -1)
            tokens = torch.cat((class_token, tokens), dim=1)
        for block in self.blocks:
            tokens = block(tokens, grid)
        return tokens[:, -grid[0] * grid[1] :].unflatten(1, grid).permute(0, 3, 1, 2)


class CvT(nn.Module):
    """A CvT without its classifier.

    stages: three of `Stage`; activation: quick_gelu as published, or gelu as `transformers` computes it; drop_path:
    stochastic depth of the last block, None for the variant's own. Starts as published: linear layers truncated normal
    of 0.02 with zero bias, class token the same, convolutions as torch starts them.
    """

    num_stages = 3

    def __init__(self, stages: tuple[Stage, ...], activation: str = "quick_gelu", drop_path: float | None = None):
        super().__init__()
        if activation not in ACTIVATIONS:
            raise ValueError(f"activation {activation!r} is not one of {', '.join(ACTIVATIONS)}")
        channels = 3
        for i, stage in enumerate(stages):
            if drop_path is not None and stage.drop_path:
                stage = Stage(**{**vars(stage), "drop_path": drop_path})
            self.add_module(f"stage{i}", CvTStage(channels, stage, activation))
            channels = stage.width
        self.norm = LayerNorm(channels)
        self.apply(_initialise)

    def forward_features(self, images: Tensor) -> Tensor:
        """images (B, 3, S, S) -> (B, C, S/16, S/16): the last stage's map after the final norm."""
        x = images
        for i in range(self.num_stages):
            x = getattr(self, f"stage{i}")(x)
        return self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def _initialise(module: nn.Module) -> None:
    from timm.layers import trunc_normal_

    if isinstance(module, nn.Linear):
        trunc_normal_(module.weight, std=0.02)
        nn.init.zeros_(module.bias)
    elif isinstance(module, CvTStage) and module.cls_token is not None:
        trunc_normal_(module.cls_token, std=0.02)
