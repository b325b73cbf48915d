"""Losses and the table's optimizer where somebody else's code calls, copies, traces or transforms them."""

import copy
import pickle

import pytest
import torch
from torch import nn

from mlcfast.losses import AsymmetricLoss, LabelEstimator, ROLELoss, TableAdam, build_loss

WEIGHED = [
    ("asymmetric", {"pos_weight": 2.0}),
    ("bce", {"class_weight": [1.0, 2.0, 3.0]}),
    ("focal", {"pos_weight": 2.0}),
    ("db", {"label_counts": [1, 2, 3], "images": 10}),
]


def problem() -> tuple[torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(0)
    return torch.randn(4, 3, generator=random), (torch.rand(4, 3, generator=random) < 0.4).float()


class Model(nn.Module):
    def __init__(self, loss: nn.Module) -> None:
        super().__init__()
        self.loss = loss

    def forward(self, x: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        return self.loss(x, z)


@pytest.mark.parametrize(("name", "options"), WEIGHED)
def test_what_traces_or_transforms_a_loss_first_leaves_it_as_it_was(name, options):
    x, z = problem()
    expected = build_loss(name, **options)(x, z)
    exported = Model(build_loss(name, **options))
    torch.export.export(exported, (x, z))
    transformed = Model(build_loss(name, **options))
    torch.func.grad(lambda logits: transformed(logits, z))(x)
    on_meta = Model(build_loss(name, **options))
    on_meta(x.to("meta"), z.to("meta"))
    for model in (exported, transformed, on_meta):
        for each in (model, copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
            assert torch.equal(each(x, z), expected)


def test_the_large_losses_of_a_transform_are_not_kept():
    x, z = problem()
    loss = build_loss("ll_r", delta=0.3)
    loss.begin_epoch(1, 3)
    torch.func.grad(lambda logits: loss(logits, z))(x)
    copy.deepcopy(loss)
    assert loss.changed is None
    loss(x, z)
    assert loss.changed.any()


@pytest.mark.parametrize(("name", "options"), WEIGHED)
def test_the_default_device_is_none_of_a_losss_business(name, options):
    x, z = problem()
    expected = build_loss(name, **options)(x, z)
    with torch.device("meta"):
        built = build_loss(name, **options)
        assert torch.equal(built(x, z), expected)
    assert torch.equal(built(x, z), expected)


def test_forward_mode_derivatives_of_coupled_losses_are_the_reverse_modes():
    x, z = problem()
    e = torch.randn(4, 3, generator=torch.Generator().manual_seed(1))
    for loss in (lambda a: build_loss("epr")(a, z), lambda a: ROLELoss(1.5)(a, z, e), lambda b: ROLELoss(1.5)(x, z, b)):
        torch.testing.assert_close(torch.func.jacfwd(loss)(x), torch.func.grad(loss)(x), check_dtype=False)
        twice = torch.func.jacrev(torch.func.jacrev(loss))(x)
        torch.testing.assert_close(torch.func.hessian(loss)(x), twice, check_dtype=False)


@pytest.mark.parametrize("name", ["zlpr", "two_way"])
def test_derivatives_of_every_kind_where_an_image_has_no_label_or_all(name):
    x = torch.randn(4, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    z = torch.tensor([[1.0, 0, 1], [0, 0, 0], [1, 1, 1], [0, 1, 0]])

    def loss(logits: torch.Tensor) -> torch.Tensor:
        return build_loss(name)(logits, z)

    torch.testing.assert_close(torch.func.jacfwd(loss)(x), torch.func.grad(loss)(x))
    twice = torch.func.jacrev(torch.func.jacrev(loss))(x)
    torch.testing.assert_close(torch.func.hessian(loss)(x), twice)
    for row, column in ((0, 0), (1, 1), (2, 2), (3, 0)):
        step = torch.zeros_like(x)
        step[row, column] = 1e-5
        slope = (torch.func.grad(loss)(x + step) - torch.func.grad(loss)(x - step)) / 2e-5
        torch.testing.assert_close(twice[:, :, row, column], slope, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("weight", [None, 2.0])
def test_smoothing_takes_no_label_for_another(weight):
    x, z = problem()
    loss = AsymmetricLoss(label_smoothing=0.1, pos_weight=weight)
    for wrong in (-100.0, 1.05):
        z[0, 2] = wrong
        with pytest.raises(ValueError, match=r"targets must lie in \[-1, 1\]"):
            loss(x, z)
    with pytest.raises(ValueError, match="bool, integer or floating"):
        loss(x, z.to(torch.complex64))


def value_and_gradient(loss, x: torch.Tensor, z: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    x = x.clone().requires_grad_()
    value = loss(x, z)
    value.backward()
    return value.detach(), x.grad


@pytest.mark.parametrize(("name", "times"), [("splc", 2), ("ll_cp", 2), ("ll_r", 2), ("ll_ct", 2), ("gr", 1)])
def test_a_compiled_loss_is_compiled_once_a_phase_and_not_each_epoch(name, times):
    torch._dynamo.reset()
    x, z = problem()
    loss, compiled = build_loss(name), []

    def backend(graph, inputs):
        compiled.append(graph)
        return graph

    loss(x, z)  # a first call looks at the labels' values
    quick = torch.compile(loss, backend=backend, fullgraph=True)
    for epoch in range(12):
        loss.begin_epoch(epoch, 12)
        values, gradients = zip(*(value_and_gradient(each, x, z) for each in (quick, loss)), strict=True)
        assert torch.equal(*values) and torch.allclose(*gradients, rtol=1e-6)
    assert len(compiled) == times
    reading = [node.target for graph in compiled for node in graph.graph.nodes if "of_epoch" in str(node.target)]
    assert all(torch.Tag.cudagraph_unsafe in operator.tags for operator in reading)
    assert len(reading) == (name.startswith("ll_"))


@pytest.mark.parametrize("name", ["ll_r", "gr", "asymmetric"])
@pytest.mark.parametrize("transform", [torch.func.grad, torch.func.vmap])
def test_a_transform_within_a_compiled_function_gives_what_it_does_outside(name, transform):
    torch._dynamo.reset()
    x, z = problem()
    loss = build_loss(name)
    for epoch in (1, 2):
        loss.begin_epoch(epoch, 3)
        transformed = transform(lambda *pair: loss(*pair))
        quick = torch.compile(transformed, backend="aot_eager", fullgraph=True)
        both = (x, z) if transform is torch.func.grad else (x[None], z[None])
        found, expected = quick(*both), transformed(*both)
        assert torch.allclose(found, expected) and found.abs().max() > 0


@pytest.mark.parametrize("name", ["ll_r", "gr"])
def test_an_epoch_may_begin_wherever_the_loss_was_built(name):
    torch._dynamo.reset()
    x, z = problem()
    with torch.inference_mode():
        loss = build_loss(name)
    with torch.device("meta"):
        loss.begin_epoch(1, 3)
    quick = torch.compile(loss, backend="aot_eager", fullgraph=True)
    expected = value_and_gradient(loss, x, z)
    x.requires_grad_()
    value = quick(x, z)
    loss.begin_epoch(2, 3)
    value.backward()
    assert torch.equal(value, expected[0]) and torch.allclose(x.grad, expected[1])


def test_the_tables_optimizer_in_double_precision_is_dense_adam():
    random = torch.Generator().manual_seed(0)
    start = torch.randn(7, 3, generator=random, dtype=torch.float64)
    sparse, dense = LabelEstimator(7, 3).double(), LabelEstimator(7, 3, sparse=False).double()
    for each in (sparse, dense):
        each.table.data.copy_(start)
    ours, adam = TableAdam(sparse, 0.1), torch.optim.Adam(dense.parameters(), 0.1)
    for _ in range(30):
        index = torch.randperm(7, generator=random)[:2]
        weight = torch.randn(2, 3, generator=random, dtype=torch.float64)
        for estimator, optimizer in ((sparse, ours), (dense, adam)):
            optimizer.zero_grad()
            (estimator(index) * weight).sum().backward()
            optimizer.step()
    ours.catch_up()
    torch.testing.assert_close(sparse.table, dense.table, rtol=1e-9, atol=1e-9)


def test_an_estimator_is_copied_without_its_optimizer():
    estimator = LabelEstimator(4, 3)
    optimizer = TableAdam(estimator, 0.1)
    for one in (copy.deepcopy(estimator), pickle.loads(pickle.dumps(estimator))):
        assert torch.equal(one(torch.tensor([1])), estimator.table[1:2])
        assert one.before_read is None and one.table is not estimator.table
    assert estimator.before_read == optimizer._before_read


def test_the_tables_optimizer_takes_a_closure_that_goes_backward():
    estimator = LabelEstimator(4, 3)
    optimizer = TableAdam(estimator, 0.1)
    before = estimator.table.detach().clone()

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = estimator(torch.tensor([2])).sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    moved = (estimator.table != before).all(1)
    assert moved.tolist() == [False, False, True, False]
