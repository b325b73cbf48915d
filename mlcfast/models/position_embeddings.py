"""Learnt position embeddings of a vision transformer, at the size of image that a model is built for.

C channels of an embedding; a class token or other prefix may have embeddings too, which come first and stay.
"""

import logging
import math
from typing import Any

from torch import Tensor, nn

NAME = "pos_embed"


def at_the_size_of(module: nn.Module, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """`state` with each position embedding (1, N, C) of one of timm's transformers in `module` resampled to its grid.

    That is done as timm does it for its pretrained weights: bicubic, with antialiasing, in fp32. An embedding that
    fits, that is of another width, or whose cells are no square, is left as it is.
    """
    found = dict(state)
    for prefix, part in module.named_modules():
        name = f"{prefix}.{NAME}" if prefix else NAME
        own, given = getattr(part, NAME, None), state.get(name)
        grid = getattr(getattr(part, "patch_embed", None), "grid_size", None)
        if not isinstance(own, Tensor) or given is None or grid is None or given.shape == own.shape:
            continue
        before = 0 if getattr(part, "no_embed_class", False) else _tokens(part)
        if given.dim() != 3 or own.dim() != 3 or given.shape[::2] != own.shape[::2]:
            continue
        side = math.isqrt(max(given.shape[1] - before, 0))
        if side * side + before != given.shape[1] or grid[0] * grid[1] + before != own.shape[1]:
            continue
        from timm.layers import resample_abs_pos_embed  # loaded already: the module is of timm's

        found[name] = resample_abs_pos_embed(given, list(grid), num_prefix_tokens=before)
        logging.getLogger("mlcfast").info(
            f"the position embeddings of {side}×{side} cells are resampled to {grid[0]}×{grid[1]}"
        )
    return found


def _tokens(part: Any) -> int:
    return int(getattr(part, "num_prefix_tokens", 0))
