"""The six shipped configurations: what they say, and one training step of each model at a reduced image size."""

from pathlib import Path

import pytest
import torch

from mlcfast.config import load_config
from mlcfast.models import PUBLISHED, build_model

CONFIGS = Path(__file__).parents[2] / "configs"
FILES = {
    "Q2L-R101-448": "resnet101_448",
    "Q2L-R101-576": "resnet101_576",
    "Q2L-TResL-448": "tresnet_l_448",
    "Q2L-TResL_22k-448": "tresnet_l_22k_448",
    "Q2L-SwinL-384": "swin_l",
    "Q2L-CvT_w24-384": "cvt_w24",
}


def configuration(name):
    return load_config(CONFIGS / f"{FILES[name]}.yaml", [])


@pytest.mark.parametrize("name", PUBLISHED)
def test_configuration_is_the_published_recipe(name):
    config, published = configuration(name), PUBLISHED[name]
    assert (config.model.backbone, config.data.image_size) == (published.backbone, published.image_size)
    assert (config.data.mean, config.data.std) == published.normalisation
    assert config.model.embed_dim is None and config.model.decoder_self_attention is False
    assert (config.model.encoder_layers, config.model.decoder_layers) == (1, 2)
    assert (config.model.feedforward, config.model.num_heads, config.model.dropout) == (8192, 4, 0.1)
    assert (config.optim.lr, config.optim.weight_decay, config.optim.warmup) == (1e-4, 1e-2, 0.2)
    assert (config.train.epochs, config.train.ema_decay, config.train.early_stop) == (80, 0.9997, 8)
    assert 64 <= config.engine.global_batch <= 256
    options = {"gamma_neg": 2, "gamma_pos": 0, "clip": 0, "eps": 1e-5, "disable_torch_grad_focal_loss": True}
    assert config.loss.name == "asymmetric" and config.loss.options == options | {"scale": 1000}


@pytest.mark.parametrize("name", [name for name in PUBLISHED if name != "Q2L-R101-576"])
def test_training_step_at_reduced_size(name):
    config = configuration(name)
    torch.manual_seed(0)
    model = build_model("query2label", config.model.backbone, 4, 64, freeze=config.model.freeze, feedforward=32)
    trained = {key: parameter for key, parameter in model.named_parameters() if parameter.requires_grad}
    before = {key: parameter.detach().clone() for key, parameter in trained.items() if parameter.ndim == 1}
    optimizer = torch.optim.SGD(trained.values(), lr=0.1)
    images, targets = torch.randn(2, 3, 64, 64), torch.tensor([[1.0, 0, 0, 1], [0, 1, 0, 0]])
    torch.nn.functional.binary_cross_entropy_with_logits(model(images), targets).backward()
    assert all(parameter.grad.isfinite().all() for parameter in trained.values())
    optimizer.step()
    assert all(parameter.grad is None for parameter in model.parameters() if not parameter.requires_grad)
    moved = sum(not torch.equal(parameter, before[key]) for key, parameter in trained.items() if key in before)
    assert moved > len(before) / 3  # a TResNet's residual branches start at zero and pass no gradient yet
    frozen = {key for key, parameter in model.named_parameters() if not parameter.requires_grad}
    assert bool(frozen) == config.model.backbone.startswith(("resnet", "tresnet"))
