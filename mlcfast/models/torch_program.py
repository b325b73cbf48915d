"""A trained model as a program of torch.export, which runs and compiles (AOTInductor) without this package."""

import io
from pathlib import Path

import torch
from torch import nn
from torch.export import ExportedProgram
from torch.fx import GraphModule

from mlcfast.errors import RunError
from mlcfast.models.card import ModelCard
from mlcfast.models.exported_forms import LOGITS, facts_of, image_side, largest_difference
from mlcfast.ops.backend import plain_torch


def program_file(model: nn.Module, card: ModelCard, file: Path) -> tuple[bytes, float]:
    """The content of a .pt2 file, and how far its logits are from the model's at most, on random images.

    Input (batch, 3, S, S) float32, normalised; output (batch, K) float32; batch is free, from 1 on. Only operators of
    torch's own are in it. The card's facts lie beside them as extra files, each JSON: see `facts_of`.
    file: for what it is, which errors name. RunError if the check fails.
    """
    whole, side = LOGITS.make(model, card).eval(), image_side(model)
    with plain_torch(), torch.no_grad():
        images = LOGITS.draw(2, side, torch.Generator())
        program = torch.export.export(whole, (images,), dynamic_shapes=({0: torch.export.Dim("batch")},))
    _forget_sources(program)
    content = io.BytesIO()
    torch.export.save(program, content, extra_files=dict(facts_of(card)))
    again = torch.export.load(io.BytesIO(content.getvalue())).module()
    difference = largest_difference(again, whole, side)
    if not difference <= LOGITS.tolerance:
        raise RunError(f"{file}: not written: the program's logits differ by {difference:.2g} from the model's")
    return content.getvalue(), difference


def _forget_sources(program: ExportedProgram) -> None:
    """Leave out the source lines that each operator came from, which are noted by their paths on this machine."""
    for module in program.graph_module.modules():
        if isinstance(module, GraphModule):
            for node in module.graph.nodes:
                node.meta.pop("stack_trace", None)
