"""The six published Query2Label models of MS-COCO 2014 (arXiv 2107.10834) and their checkpoint format."""

import re
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from mlcfast.errors import UsageError
from mlcfast.models.build import build_model
from mlcfast.models.key_mapping import translate
from mlcfast.models.query2label import Query2Label
from mlcfast.models.transformer import sine_position
from mlcfast.models.weights import load_checked, read_state_dict

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
PLAIN = ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
FEEDFORWARD = "transformer.encoder.layers.0.linear1.weight"
# The position code follows from the grid; the file's may differ by the rounding of another build of sine and cosine.
POSITION_TOLERANCE = 1e-4


@dataclass(frozen=True)
class Published:
    """A published model: its backbone, input and preprocessing (mean and std per channel of images in [0, 1]).

    mAP: VOC-interpolated average precision on MS-COCO 2014 val, in percent, as published.
    """

    backbone: str
    image_size: int
    mAP: float  # noqa: N815 the field's spelling
    normalisation: tuple[tuple[float, ...], tuple[float, ...]] = IMAGENET


PUBLISHED = {
    "Q2L-R101-448": Published("resnet101.tv_in1k", 448, 84.9),
    "Q2L-R101-576": Published("resnet101.tv_in1k", 576, 86.5),
    "Q2L-TResL-448": Published("tresnet_l.miil_in1k_448", 448, 87.3, PLAIN),
    "Q2L-TResL_22k-448": Published("tresnet_v2_l.miil_in21k", 448, 89.2, PLAIN),
    "Q2L-SwinL-384": Published("swin_large_patch4_window12_384.ms_in22k", 384, 90.5),
    "Q2L-CvT_w24-384": Published("cvt_w24", 384, 91.3),
}


def load_published(name: str, path: str | Path) -> Query2Label:
    """A published model with a checkpoint's weights, in eval mode: images (B, 3, S, S) -> logits (B, K).

    name: a key of `PUBLISHED`; path: the original pickle, read with weights_only. The number of labels and the width of
    the feed-forward layers are the file's. `model.preprocessing` holds image_size, mean and std. Raises UsageError,
    listing names, unless every tensor of the file and of the model finds its counterpart.
    """
    if name not in PUBLISHED:
        raise UsageError(f"{name!r} is no published model; there are {', '.join(PUBLISHED)}")
    published, state = PUBLISHED[name], read_state_dict(path)
    for required in ("query_embed.weight", FEEDFORWARD):
        if required not in state or state[required].dim() != 2:
            raise UsageError(f"{path} is no checkpoint of {name}: it has no matrix {required}")
    model = build_model(
        "query2label",
        published.backbone,
        num_labels=len(state["query_embed.weight"]),
        image_size=published.image_size,
        feedforward=len(state[FEEDFORWARD]),
        freeze="published",
    )
    assert isinstance(model, Query2Label), "as the name of the head says"
    fill_published(model, state, f"{path} as {name}")
    mean, std = published.normalisation
    model.preprocessing = {"image_size": published.image_size, "mean": mean, "std": std}
    return model.eval()


def is_published_layout(state: dict[str, Tensor]) -> bool:
    """Whether the names are those of the original implementation rather than of this one."""
    return any(name.startswith("backbone.0.") for name in state)


def fill_published(model: Query2Label, state: dict[str, Tensor], source: str) -> None:
    """Copy a state dict in the original layout into a model of the same architecture; UsageError lists what differs."""
    state = dict(state)
    _check_position(model, state.pop("backbone.1.pe", None), source)
    prefix = re.compile(r"^backbone\.0\.(?:body\.)?")
    backbone = {prefix.sub("", name): t for name, t in state.items() if name.startswith("backbone.")}
    head = {name: tensor for name, tensor in state.items() if not name.startswith("backbone.")}
    renamed = {f"backbone.body.{name}": tensor for name, tensor in translate(model.backbone.body, backbone).items()}
    load_checked(model, renamed | head, source)


@torch.no_grad()
def _check_position(model: Query2Label, code: Tensor | None, source: str) -> None:
    """That a file's code is the published one, of whatever grid; where that is the model's it becomes its own."""
    if code is None:
        raise UsageError(f"{source} does not fit the model: 1 missing: backbone.1.pe")
    if code.dim() != 4 or code.shape[:2] != (1, model.embed_dim):
        shape = (1, model.embed_dim, *model.grid)
        raise UsageError(f"{source} does not fit the model: backbone.1.pe is {tuple(code.shape)}, not {shape}")
    cells = code.flatten(2).transpose(1, 2).to(model.position)
    height, width = code.shape[2:]
    expected = sine_position(height, width, model.embed_dim).to(cells)
    if not torch.allclose(cells, expected, rtol=0, atol=POSITION_TOLERANCE):
        raise UsageError(f"{source} has another position code than the published formula gives")
    if (height, width) == model.grid:
        model.position.copy_(cells)
