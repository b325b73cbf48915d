"""Learning rates and weight decay by part of the model: one group by default, else every parameter where it belongs."""

import itertools

import pytest
import torch
from torch import nn

from mlcfast.config import OptimConfig
from mlcfast.engine.optimizers import Schedule, build_optimizer
from mlcfast.engine.parameter_groups import backbone_depths, not_decayed, parameter_groups
from mlcfast.engine.training_module import TrainingModule
from mlcfast.losses import LabelEstimator
from mlcfast.models import build_model


@pytest.fixture(scope="module")
def module() -> TrainingModule:
    model = build_model(
        head="query2label", backbone="test_resnet", num_labels=1, image_size=32, embed_dim=16, feedforward=8,
        num_heads=2, weights="none",
    )  # fmt: skip
    return TrainingModule(model, nn.BCEWithLogitsLoss(), LabelEstimator(4, 1, sparse=False))


def rates(module: TrainingModule, **settings) -> dict[str, tuple[float, float]]:
    """Learning rate and weight decay of each parameter by name, as the optimizer has them."""
    optimizer = build_optimizer(OptimConfig(lr=1.0, weight_decay=0.5, **settings), module)
    names = {id(parameter): name for name, parameter in module.named_parameters()}
    return {names[id(p)]: (g["lr"], g["weight_decay"]) for g in optimizer.param_groups for p in g["params"]}


def test_by_default_the_model_is_one_group_and_the_estimates_learn_ten_times_as_fast(module):
    groups = parameter_groups(OptimConfig(lr=1e-3), module)
    assert [group["lr"] for group in groups] == [1e-3, 1e-2]
    trained = [parameter for parameter in module.model.parameters() if parameter.requires_grad]
    assert all(a is b for a, b in zip(groups[0]["params"], trained, strict=True))
    assert set(rates(module).values()) == {(1.0, 0.5), (10.0, 0.5)}


def test_backbone_head_and_estimates_have_their_own_rates(module):
    found = rates(module, backbone_lr_factor=0.1, head_lr_factor=3, estimator_lr_factor=5)
    assert {lr for name, (lr, _) in found.items() if name.startswith("model.backbone.")} == {0.1}
    assert {lr for name, (lr, _) in found.items() if name.startswith("model.") and ".backbone." not in name} == {3.0}
    assert found["estimator.table"][0] == 5


def test_every_block_learns_slower_than_the_next(module):
    depths = backbone_depths(module.model)
    assert depths.keys() == {name for name, _ in module.model.named_parameters() if name.startswith("backbone.")}
    by_stage = {name.split(".")[2]: depth for name, depth in depths.items()}
    assert by_stage["layer4"] == 0 < by_stage["layer3"] < by_stage["layer2"] < by_stage["layer1"] < by_stage["conv1"]
    assert sorted(set(depths.values())) == list(range(max(depths.values()) + 1))
    found = rates(module, layer_lr_decay=0.5, backbone_lr_factor=0.2)
    for name, depth in depths.items():
        if name in {held.removeprefix("model.") for held in found}:
            assert found[f"model.{name}"][0] == pytest.approx(0.2 * 0.5**depth)
    assert found["model.fc.W"][0] == 1.0


def test_only_matrices_decay(module):
    """With one label W is a row and the query embedding too, and the head's bias has two dimensions."""
    found = rates(module, weight_decay_on="matrices")
    spared = {name for name, (_, decay) in found.items() if decay == 0}
    assert {"model.fc.b", "model.query_embed.weight"} <= spared and "model.fc.W" not in spared
    parameters = dict(module.named_parameters())
    assert all(name in spared for name in found if parameters[name].dim() == 1)
    matrices = {name for name in found if parameters[name].dim() in (2, 4)} - spared
    assert matrices and all(name.endswith("weight") for name in matrices if name != "estimator.table")


def test_what_a_timm_model_spares_is_spared():
    class Body(nn.Module):
        def __init__(self):
            super().__init__()
            self.table, self.matrix = nn.Parameter(torch.ones(2, 2)), nn.Parameter(torch.ones(2, 2))

        def no_weight_decay(self) -> set[str]:
            return {"table"}

    assert not_decayed(nn.Sequential(Body())) == {"0.table"}


def test_cosine_rises_evenly_and_falls_to_nothing():
    optimizer = torch.optim.AdamW([nn.Parameter(torch.ones(1))], lr=2.0)
    schedule = Schedule(OptimConfig(schedule="cosine", warmup=0.2), optimizer, 20)
    factors = [schedule.at(step).factor for step in range(21)]
    assert factors[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert all(a > b for a, b in itertools.pairwise(factors[4:]))
    assert factors[12] == pytest.approx(0.5) and factors[19] > 0 and factors[20] == schedule.at(99).factor == 0
    schedule.apply(12)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(1.0) and optimizer.param_groups[0]["betas"][0] == 0.9
    assert Schedule(OptimConfig(schedule="cosine", warmup=0), optimizer, 1).at(0).factor == 1
