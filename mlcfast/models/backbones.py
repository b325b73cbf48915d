"""Backbones by timm name, each reduced to one feature map of a fixed image size.

timm takes seconds to import, so it is imported where a model is looked for: much of what this package does needs none.

Shapes: B batch, S image side, C channels, H × W grid.
"""

import difflib
import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from mlcfast.errors import UsageError
from mlcfast.models.pretrained import hub_is_away


class Backbone(nn.Module):
    """A timm model as images (B, 3, S, S) -> features (B, C, H, W), after its final norm and without prefix tokens.

    body: the model, with `forward_features`; image_size: S. `channels` and `grid` (H, W) are found by a pass on the
    meta device, which computes nothing. join_index: of an earlier, finer feature map (timm's feature_info, -2 the one
    before the last) that is joined to the last one: its channels come first, and each of its cells has those of the
    coarser cell around it too, as a feature pyramid has them (arXiv 1612.03144). Raises UsageError when the body gives
    no feature map at this size, or none of that index.
    """

    def __init__(self, body: nn.Module, image_size: int, join_index: int | None = None):
        super().__init__()
        self.body, self.image_size, self.join_index = body, image_size, join_index
        if join_index is not None and not hasattr(body, "forward_intermediates"):
            name = type(body).__name__
            raise UsageError(f"model.backbone_options.join_index: {name} has no intermediate feature maps to join")
        self.prefix_tokens = getattr(body, "num_prefix_tokens", 0)
        self.channels_last = getattr(body, "output_fmt", "NCHW") == "NHWC"
        self.channels, height, width = self._feature_shape()
        self.grid = (height, width)

    def forward(self, images: Tensor) -> Tensor:
        """images (B, 3, S, S) -> features (B, C, H, W); ValueError for any other image size."""
        if images.shape[1:] != (3, self.image_size, self.image_size):
            size = "×".join(str(side) for side in images.shape[1:])
            raise ValueError(f"images of {size}; this model was built for 3×{self.image_size}×{self.image_size}")
        if self.join_index is not None:
            return self._joined(images, self.join_index)
        return self._to_map(self.body.forward_features(images))  # type: ignore[operator]  # a method of timm's models

    def _joined(self, images: Tensor, index: int) -> Tensor:
        body: Any = self.body  # with timm's method, as asked above
        last, (finer,) = body.forward_intermediates(images, indices=[index], norm=True)
        around = F.interpolate(self._to_map(last), size=finer.shape[2:], mode="nearest")
        return torch.cat((finer, around), dim=1)

    def _to_map(self, features: Tensor) -> Tensor:
        if features.dim() == 4:
            return features.permute(0, 3, 1, 2) if self.channels_last else features
        cells = features[:, self.prefix_tokens :]
        side = math.isqrt(cells.shape[1])
        return cells.transpose(1, 2).unflatten(2, (side, side))

    def _feature_shape(self) -> torch.Size:
        """(C, H, W)."""
        state = {name: tensor.to("meta") for name, tensor in (*self.named_parameters(), *self.named_buffers())}
        images = torch.empty(1, 3, self.image_size, self.image_size, device="meta")
        training = self.body.training
        self.body.eval()
        try:
            with torch.no_grad():
                features = functional_call(self, state, (images,))
        except (RuntimeError, ValueError, TypeError, AttributeError, AssertionError) as error:
            reason = str(error).strip().splitlines()[:1] or [type(error).__name__]
            joined = "" if self.join_index is None else f" with backbone_options.join_index {self.join_index!r}"
            wanted = f"{type(self.body).__name__} gives no feature map at image_size {self.image_size}{joined}"
            raise UsageError(f"{wanted}: {reason[0]}") from error
        finally:
            self.body.train(training)
        return features.shape[1:]


def check_timm(name: str, pretrained: bool) -> None:
    """UsageError where timm has no such model, or its weights are wanted and out of reach; nothing is built or loaded.

    pretrained: whether its weights are wanted. Whether they can be had takes some seconds to find out where they are
    not on this machine.
    """
    import timm

    if not timm.is_model(name):
        raise UsageError(f"model.backbone: {name!r} is no timm model of timm {timm.__version__}{_near_models(name)}")
    if pretrained and hub_is_away(name):
        raise UsageError(_not_downloaded(name, "there is no connection to the network"))


def timm_body(name: str, image_size: int, pretrained: bool, options: dict[str, Any]) -> nn.Module:
    """The timm model `name` without its classifier.

    options: for timm's constructor, and `out_index`: the feature level to stop at (timm's feature_info, -1 the last)
    instead of the model's end. Models with a fixed input size are built for image_size. Raises UsageError for an
    unknown name, options that do not fit, and weights that could not be downloaded.
    """
    import timm

    options = dict(options)
    out_index = options.pop("out_index", None)
    check_timm(name, pretrained)
    config = timm.get_pretrained_cfg(name)
    if config is not None and config.fixed_input_size:
        options.setdefault("img_size", image_size)
    body = _create(name, pretrained, options)
    return body if out_index is None else _cut(body, name, out_index)


def _near_models(name: str) -> str:
    """Names of models like one that there is not: those that hold it, else the nearest; nothing for no likeness."""
    import timm

    base = name.split(".")[0]
    near = timm.list_models(f"*{base}*")[:3] or difflib.get_close_matches(base, timm.list_models(), n=3)
    return f"; did you mean {' or '.join(near)}?" if near else ""


def _create(name: str, pretrained: bool, options: dict[str, Any]) -> nn.Module:
    import timm

    try:
        return timm.create_model(name, pretrained=pretrained, num_classes=0, **options)
    except TypeError as error:
        raise UsageError(f"model.backbone_options do not fit {name}: {error}") from error
    except Exception as error:
        if not pretrained:
            raise UsageError(f"model.backbone: {name} cannot be built with {options}: {error}") from error
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UsageError(_not_downloaded(name, f"{type(error).__name__}: {reason}")) from error


def _not_downloaded(name: str, reason: str) -> str:
    file = f"a local file{_address(name)}, to package:NAME for one in an installed package"
    return (
        f"model.weights: the pretrained weights of {name} could not be downloaded ({reason}); connect to the network "
        f"once, or set model.weights to {file}, or to none"
    )


def _address(name: str) -> str:
    """Where a browser finds the weights of a timm model, in brackets; "" where timm knows no place."""
    import timm

    config = timm.get_pretrained_cfg(name)
    return f" (from huggingface.co/{config.hf_hub_id})" if config is not None and config.hf_hub_id else ""


def _cut(body: nn.Module, name: str, out_index: int) -> nn.Module:
    if not hasattr(body, "prune_intermediate_layers"):
        raise UsageError(f"model.backbone_options.out_index: {name} has no intermediate feature maps to stop at")
    try:
        body.prune_intermediate_layers([out_index])  # type: ignore[operator]  # a method, as asked above
    except AssertionError as error:
        raise UsageError(f"model.backbone_options.out_index of {name}: {error}") from error
    return body
