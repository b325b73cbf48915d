"""What a run gives a loss that needs more than logits and labels."""

import numpy as np
import pytest
import torch

from mlcfast.config import load_config
from mlcfast.data.build import open_samples
from mlcfast.engine import Process
from mlcfast.errors import UsageError
from mlcfast.models.hub import PretrainedModel
from mlcfast.training.build import make_training_module
from mlcfast.training.mix import make_training_mix
from mlcfast.training.run import run


@pytest.mark.parametrize(
    "overrides",
    [
        ("loss.name=db",),
        ("loss.name=focal", "loss.class_weight=effective_num"),
        ("loss.name=bce", "loss.pos_weight={neg_pos: 0.5}"),
        ("loss.name=asymmetric", "loss.pos_weight=[1, 2, 3]"),
    ],
)
def test_label_counts_are_those_of_the_training_images(config_file, overrides):
    config = load_config(config_file, overrides)
    records = open_samples(config).train
    loss = make_training_module(config, records).loss
    x, z = torch.randn(4, 3), torch.randint(0, 2, (4, 3))
    given = make_training_module(config, records).loss
    given.set_label_counts(torch.from_numpy(records.labels).clamp(min=0).sum(0), len(records))
    assert torch.equal(loss(x, z), given(x, z))


def test_two_way_sees_every_rank(config_file):
    config = load_config(config_file, ["loss.name=two_way"])
    loss = make_training_module(config, open_samples(config).train).loss
    assert loss.all_gather(torch.arange(3.0)).tolist() == [[0, 1, 2]]


@pytest.mark.parametrize("name", ["db", "two_way", "poly"])
def test_a_run_trains_by_it(config_file, name):
    config = load_config(config_file, [f"loss.name={name}", "train.epochs=1"])
    progress = run(config, Process())
    assert progress.step == 5 and np.isfinite(progress.best)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_an_auxiliary_layer_has_a_loss_of_its_own(config_file, reduction):
    """The mean of both, whatever the loss makes of a batch."""
    config = load_config(config_file, ["model.auxiliary_linear=true", "loss.name=bce", f"loss.reduction={reduction}"])
    module = make_training_module(config, open_samples(config).train).eval()
    images, labels = torch.randn(4, 3, 32, 32), torch.randint(0, 2, (4, 3)).float()
    module.model.auxiliary.train()
    module.model.training = True  # of the decoder, whose dropout stays off
    parts = module.model(images).chunk(2)
    found = module(images, labels, torch.arange(4))
    torch.testing.assert_close(found, (module.loss(parts[0], labels) + module.loss(parts[1], labels)) / 2)


def test_what_is_told_of_a_batch_is_the_models_own_mean(config_file):
    """Of the images that have an index alone: a mix puts others behind them."""
    config, told = load_config(config_file, ["model.auxiliary_linear=true", "loss.name=bce"]), []
    module = make_training_module(config, open_samples(config).train).eval()
    module.on_logits = lambda logits, index: told.append(logits)
    images, labels = torch.randn(6, 3, 32, 32), torch.randint(0, 2, (6, 3)).float()
    expected = module.model(images)[:4]
    module.training = module.model.training = True  # the rest stays as it was
    module(images, labels, torch.arange(4))
    torch.testing.assert_close(told, [expected])


def test_a_head_with_one_set_of_logits_cannot_give_two(config_file):
    config = load_config(config_file, ["loss.name=bce"])
    module = make_training_module(config, open_samples(config).train)
    images, labels = torch.randn(4, 3, 32, 32), torch.randint(0, 2, (4, 3)).float()
    module.model.forward = lambda images: torch.zeros(8, 3)
    with pytest.raises(ValueError, match="shape of logits"):
        module(images, labels, torch.arange(4))


def test_a_run_with_an_auxiliary_layer_predicts_as_it_validates(config_file):
    config = load_config(config_file, ["model.auxiliary_linear=true", "train.epochs=1"])
    progress = run(config, Process())
    assert progress.step == 5 and np.isfinite(progress.best)
    model = PretrainedModel.from_pretrained(str(config.run_directory / "best")).eval()
    assert model.model.auxiliary is not None and model(torch.zeros(2, 3, 32, 32)).shape == (2, 3)


@pytest.mark.parametrize("name", ["role", "epr", "two_way", "ll_cp"])
def test_an_auxiliary_layer_is_refused_where_a_loss_takes_one_set_of_logits(config_file, name):
    config = load_config(config_file, ["model.auxiliary_linear=true", f"loss.name={name}"])
    with pytest.raises(UsageError, match=f"auxiliary_linear: loss.name {name} .* set model.auxiliary_linear=false"):
        run(config, Process())


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (("loss.name=bce", "loss.pos_weight=[1, 2]"), "pos_weight must be a number or 3 numbers, one a label, not 2"),
        (("loss.name=focal", "loss.class_weight=[1, 2, 3, 4]"), "class_weight must be .* 3 numbers, one a label, not"),
        (("loss.name=db", "loss.label_counts=[5, 5]", "loss.images=40"), "label_counts of 3 labels are needed, 2 are"),
    ],
)
def test_lists_for_other_labels_are_refused_before_training(config_file, overrides, says):
    config = load_config(config_file, overrides)
    with pytest.raises(UsageError, match=f"loss {config.loss.name}: {says}"):
        make_training_module(config, open_samples(config).train)


@pytest.mark.parametrize("mix", ["mixup", "cutmix", "splicemix"])
@pytest.mark.parametrize("loss", ["asymmetric", "two_way"])
def test_a_run_mixes_its_images(config_file, mix, loss):
    """With two micro-batches a step; two_way couples the mixed images of both, whose labels must be hard."""
    config = load_config(config_file, [f"loss.name={loss}", f"data.mix={mix}", "train.epochs=1"])
    if loss == "two_way" and mix != "splicemix":
        with pytest.raises(UsageError, match=f"data.mix {mix}: makes soft labels, which loss two_way does not know"):
            run(config, Process())
        return
    progress = run(config, Process())
    assert progress.step == 5 and np.isfinite(progress.best)


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (("data.mix=splicemix", "engine.micro_batch=2"), "a micro-batch of 2 is too small for a mixed image"),
        (("data.mix=mixup", "loss={name: role, expected_positives: 1}"), "loss role keeps something of every image"),
        (
            ("data.mix=splicemix", "loss={name: epr, expected_positives: 1}"),
            "loss epr expects a number of labels an im",
        ),
        (
            ("data.mix=cutmix", "loss.name=an", "data.labels=single_positive"),
            "a share of an unknown label means nothing",
        ),
        (("data.mix=mixup", "loss.name=iu"), "a share of an unknown label means nothing"),
    ],
)
def test_losses_and_batches_that_no_mix_is_made_for_are_refused(config_file, overrides, says):
    config = load_config(config_file, overrides)
    records = open_samples(config.model_copy(update={"data": config.data.model_copy(update={"labels": "full"})})).train
    with pytest.raises(UsageError, match=says):
        make_training_mix(config, make_training_module(config, records), records)


@pytest.mark.parametrize(("mix", "soft"), [("mixup", True), ("cutmix", True), ("splicemix", False), ("none", False)])
def test_a_loss_is_told_of_the_soft_labels_that_a_mix_makes(config_file, mix, soft):
    config = load_config(config_file, [f"data.mix={mix}"])
    records = open_samples(config).train
    module = make_training_module(config, records)
    make_training_mix(config, module, records)
    assert module.loss.soft_labels is soft
