"""Gives each parameter its learning rate and weight decay: backbone, head and label estimates, block by block."""

from typing import Any

from torch import nn

from mlcfast.config import OptimConfig
from mlcfast.engine.base import trainable
from mlcfast.engine.training_module import TrainingModule
from mlcfast.models.activation_checkpointing import backbone_units
from mlcfast.models.heads import Head

# Last parts of names: of biases that are no vectors, and of codes and tokens that are learnt like embeddings.
LIKE_BIASES = ("b", "bias", "pos_embed", "cls_token", "dist_token", "relative_position_bias_table")


def parameter_groups(settings: OptimConfig, module: TrainingModule) -> list[dict[str, Any]]:
    """torch's list of groups of the trainable parameters, in the order of the model, dense label estimates last.

    Parameters with one learning rate and one weight decay are one group, so that with every factor at 1 there is a
    single group of the model's. A group has a `weight_decay` of its own only where it is 0.
    """
    model = module.model
    depths = backbone_depths(model) if isinstance(model, Head) else {}
    spared = not_decayed(model) if settings.weight_decay_on == "matrices" else frozenset()
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
    for name, parameter in trainable(model).items():
        factor = settings.head_lr_factor
        if name.startswith("backbone."):
            factor = settings.backbone_lr_factor * settings.layer_lr_decay ** depths.get(name, 0)
        groups.setdefault((factor, name in spared), []).append(parameter)
    found: list[dict[str, Any]] = [
        {"params": parameters, "lr": settings.lr * factor} | ({"weight_decay": 0.0} if bare else {})
        for (factor, bare), parameters in groups.items()
    ]
    if module.estimator is not None and not module.estimator.sparse:
        rate = settings.lr * settings.estimator_lr_factor
        found.append({"params": list(module.estimator.parameters()), "lr": rate})
    return found


def backbone_depths(model: Head) -> dict[str, int]:
    """How many blocks lie between a backbone's parameter and the head, by the parameter's name in the model.

    0 for the last block and what comes after it; what lies between two blocks belongs to the later one; the stem, which
    is all before the first block, is one step further than that.
    """
    body, prefix = model.backbone.body, "backbone.body."
    units = backbone_units(body)
    of_unit = {id(p): number for number, unit in enumerate(units) for p in unit.parameters()}
    depths: dict[str, int] = {}
    first = min((i for i, p in enumerate(body.parameters()) if id(p) in of_unit), default=0)
    following = len(units) - 1
    for position, (name, parameter) in reversed(list(enumerate(body.named_parameters()))):
        following = of_unit.get(id(parameter), following)
        depths[prefix + name] = len(units) - 1 - following if position >= first else len(units)
    return depths


def not_decayed(model: nn.Module) -> frozenset[str]:
    """Names of what is no matrix of weights: norms, biases, embeddings, position codes, and what timm's model names."""
    named = set()
    for prefix, part in model.named_modules():
        own = getattr(part, "no_weight_decay", None)  # timm's models
        listed = own() if callable(own) else ()
        for name, parameter in part.named_parameters():
            if name in listed or _is_no_matrix(part, name, parameter):
                named.add(f"{prefix}.{name}" if prefix else name)
    return frozenset(named)


def _is_no_matrix(part: nn.Module, name: str, parameter: nn.Parameter) -> bool:
    return (
        parameter.dim() <= 1
        or name.rpartition(".")[2] in LIKE_BIASES
        or (isinstance(part, nn.Embedding) and name == "weight")
    )
