"""What the losses owe torch: autograd, opcheck, compile, export, autocast, and errors that name the argument."""

import inspect
import math
import warnings
from contextlib import nullcontext
from functools import partial

import pytest
import torch
from torch import Tensor

from bench.cases.losses import Case, run
from mlcfast import ops
from mlcfast.ops.asymmetric_loss import AsymmetricOptions
from mlcfast.ops.backend import choose
from mlcfast.ops.expected_positives.reference import role_loss as role_definition
from mlcfast.ops.label_loss.full_labels import focal
from mlcfast.ops.label_loss.missing_labels import large_loss_threshold, large_losses
from mlcfast.ops.label_loss.op import Formula, RowFormula
from mlcfast.ops.library import MISSING, direct
from tests.ops.loss_cases import LOSSES

needs_native = pytest.mark.skipif(choose("cpu") != "native", reason="the compiled library is not built")
# Those of these that run here: the emulated CUDA kernels are not those of the later losses.
COMPILED = {"asymmetric", "an", "pr", "epr", "role", "gr", "large flipped", "focal weighed"}


def make_case(B: int = 5, K: int = 7, dtype: torch.dtype = torch.float32) -> Case:
    random = torch.Generator().manual_seed(0)
    logits = torch.randn(B, K, generator=random, dtype=torch.float64).to(dtype)
    labels = torch.randint(-1, 2, (B, K), generator=random)
    return Case(logits, labels, torch.randn(B, K, generator=random).to(dtype), (labels > 0).long())


def call(name: str, x: Tensor, case: Case, rows: Tensor, reduction: str = "mean") -> Tensor:
    return LOSSES[name].fused(x, case, rows, reduction)


@pytest.mark.parametrize("name", LOSSES)
def test_gradcheck(name):
    case = make_case(3, 4, torch.float64)
    x, rows = case.logits.requires_grad_(), case.rows.requires_grad_()
    # Stop-gradients make it no gradient of a function: it is compared with the definition's.
    if name == "role" or not LOSSES[name].exact_gradient:
        assert all(
            torch.allclose(a, b, rtol=1e-12)
            for a, b in zip(*(run(f, case, "mean") for f in (LOSSES[name].fused, LOSSES[name].reference)), strict=True)
        )
        return
    reductions = [r for r in LOSSES[name].reductions if "detach" not in name]
    if name == "asymmetric published":
        return
    for reduction in reductions:
        assert torch.autograd.gradcheck(lambda x, r=reduction: call(name, x, case, rows, r), (x,))


@needs_native
@pytest.mark.parametrize("reduction", (0, 1, 2))
def test_opcheck_elementwise(reduction):
    case = make_case()
    x = case.logits.requires_grad_()
    options = (list(AsymmetricOptions()), reduction, 2.0)
    torch.library.opcheck(torch.ops.mlcfast.asymmetric_loss.default, (x, case.labels, *options))
    weights = (1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1e-5, reduction)
    torch.library.opcheck(torch.ops.mlcfast.weighted_bce.default, (x, case.labels, case.truth, *weights))
    if reduction:
        torch.library.opcheck(torch.ops.mlcfast.pairwise_ranking.default, (x, case.labels, reduction))
    forward = (x.detach(), case.labels, *options, True)
    torch.library.opcheck(torch.ops.mlcfast.asymmetric_loss_forward.default, forward)
    with pytest.raises(ValueError, match=f"takes {len(AsymmetricOptions())} options, not"):
        torch.ops.mlcfast.asymmetric_loss(x, case.labels, options[0][:4], *options[1:])


FORMULAS = {
    "entropy": (0.1, 0.9, 1.0),
    "hill": (1.5, 1.0, 2.0),
    "focal": (2.0, 1.0, 0.25, 0.75, 1.0, 0.4),
    "robust": (1.5, -2.0, 0.7, 0.8, 0.01, 1.0),
    "large": (1.0, 0.0),
    "asymmetric": AsymmetricOptions(),
    "weighted_bce": (1.0, 0.0, 0.1, 0.9, 0.0, 1.0, 1e-5),
}


@needs_native
@pytest.mark.parametrize("weighed", (False, True))
@pytest.mark.parametrize("formula", FORMULAS)
def test_opcheck_label_loss(formula, weighed):
    case = make_case()
    x = case.logits.requires_grad_()
    weights = (torch.rand(7), torch.rand(7)) if weighed else (None, None)
    threshold = torch.tensor(0.3) if formula == "large" else None
    number = Formula[formula.upper()]
    for reduction in range(3):
        arguments = (x, case.labels, threshold, *weights, int(number), list(FORMULAS[formula]), reduction)
        torch.library.opcheck(torch.ops.mlcfast.label_loss.default, arguments)
    forward = (x.detach(), *arguments[1:], True)
    torch.library.opcheck(torch.ops.mlcfast.label_loss_forward.default, forward)
    with pytest.raises(ValueError, match="options"):
        torch.ops.mlcfast.label_loss(*arguments[:6], [1.0] * 9, 1)
    if weighed:
        with pytest.raises(ValueError, match=r"positive_weight must be \(7,\)"):
            torch.ops.mlcfast.label_loss(x, case.labels, threshold, torch.rand(6), weights[1], *arguments[5:])


@needs_native
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("count", [1, 3, 10, 99])
def test_large_losses_by_rank_are_those_of_the_threshold(count, dtype):
    case = make_case(dtype=dtype)
    threshold = large_loss_threshold(case.logits, case.labels, count)
    results = []
    for given, rank in ((threshold, 0.0), (None, float(count))):
        x = case.logits.clone().requires_grad_()
        loss = torch.ops.mlcfast.label_loss(x, case.labels, given, None, None, int(Formula.LARGE), [1.0, rank], 1)
        loss.backward()
        results.append((loss.detach(), x.grad))
    assert all(torch.equal(*pair) for pair in zip(*results, strict=True))


@needs_native
def test_large_losses_need_a_threshold_or_its_rank():
    x, z = torch.randn(2, 3), torch.zeros(2, 3)
    for logits, rank in ((x, 0.0), (x.double(), 1.0)):
        with pytest.raises(ValueError, match="a threshold or, but for fp64, its rank"):
            torch.ops.mlcfast.label_loss(logits, z, None, None, None, int(Formula.LARGE), [1.0, rank], 1)


@pytest.mark.parametrize("name", ["asymmetric", "an", "large", "focal"])
@pytest.mark.parametrize(
    ("logits", "labels", "says"),
    [
        (torch.zeros(2, 3, dtype=torch.int64), torch.zeros(2, 3), "logits must be float32"),
        (torch.zeros(()), torch.zeros(()), "logits must have at least one dimension"),
        (torch.zeros(2, 3), torch.zeros(3, 2), "must have the shape of logits"),
        (torch.zeros(2, 3), torch.zeros(2, 3).to_sparse(), "must be dense, not"),
        (torch.zeros(2, 3), torch.zeros(2, 3, device="meta"), "must be on cpu like logits, not on meta"),
        (torch.zeros(2, 3), torch.zeros(2, 3, dtype=torch.complex64), "must be bool, integer or floating, not"),
        (torch.zeros(2, 3), torch.zeros(2, 3).requires_grad_(), "must not require a gradient"),
        (torch.zeros(2, 3), [[0.0] * 3] * 2, "must be a tensor, not list"),
        ([[0.0] * 3] * 2, torch.zeros(2, 3), "logits must be a tensor, not list"),
    ],
)
@pytest.mark.parametrize("backend", ["auto", "reference"])
def test_what_does_not_go_together_is_named_alike(name, logits, labels, says, backend, monkeypatch):
    """By the checks in Python and by those of the compiled operators."""
    monkeypatch.setenv("MLCFAST_BACKEND", backend)
    function = {
        "asymmetric": ops.asymmetric_loss,
        "an": ops.weighted_bce,
        "large": partial(large_losses, threshold=None, count=2),
        "focal": focal,
    }[name]
    with pytest.raises(ValueError, match=says):
        function(logits, labels)


def test_the_operators_are_called_past_torchs_wrapper():
    """A private name of torch's: see ops.library.direct."""
    overload = torch.ops.mlcfast.label_loss.default
    assert direct(overload) is not overload


@needs_native
@pytest.mark.parametrize("name", sorted(LOSSES.keys() & {*COMPILED, "two_way"}))
def test_compiled_autograd_gives_the_same(name):
    """Whose graph takes the nodes apart; an incoming gradient that is not 1."""
    case = make_case()
    results = []
    for compiled in (False, True):
        x, rows = (tensor.clone().requires_grad_() for tensor in (case.logits, case.rows))
        loss = 3 * call(name, x, case, rows)
        with torch._dynamo.compiled_autograd._enable(torch.compile(backend="eager")) if compiled else nullcontext():
            loss.backward()
        results.append((x.grad, rows.grad))
    torch.testing.assert_close(*results)


class WithoutGradient(torch.autograd.Function):
    """What gives back no gradient at all, which stands for zeros."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx, incoming: Tensor) -> None:
        return None


@needs_native
@pytest.mark.parametrize("name", sorted(LOSSES.keys() & {*COMPILED, "two_way"}))
def test_no_incoming_gradient_is_zeros(name):
    case = make_case()
    x = case.logits.requires_grad_()
    WithoutGradient.apply(call(name, x, case, case.rows)).backward()
    assert not x.grad.any()


@needs_native
@pytest.mark.parametrize("formula", RowFormula)
def test_opcheck_of_whole_images(formula):
    case, operator = make_case(), torch.ops.mlcfast.label_loss.default
    x, columns = case.logits.requires_grad_(), (torch.rand(7) + 0.1, torch.randn(7))
    options, with_columns, reductions, says = {
        RowFormula.BALANCED: ([0.1, 10.0, 0.2, 2.0, 2.0, 2.0], (True,), (0, 1, 2), "takes weights"),
        RowFormula.ZLPR: ([7.0], (False,), (1, 2), "must be mean or sum"),
        RowFormula.TWO_WAY: ([4.0, 1.0, 0.0, 1.0], (True, False), (2,), "must be sum"),
    }[formula]
    for given in with_columns:
        for reduction in reductions:
            own = columns if given else (None, None)
            arguments = (x, case.labels, None, *own, int(formula), options, reduction)
            torch.library.opcheck(operator, arguments)
    forward = (x.detach(), *arguments[1:], True)
    torch.library.opcheck(torch.ops.mlcfast.label_loss_forward.default, forward)
    with pytest.raises(ValueError, match=says):
        operator(x, case.labels, None, None, None, int(formula), options, 0)


@needs_native
@pytest.mark.parametrize("estimate", (False, True))
def test_opcheck_expected_positives(estimate):
    case = make_case()
    x, rows = case.logits.requires_grad_(), case.rows.requires_grad_()
    inputs = (x, case.labels, rows if estimate else None, None, None, 2.9, 1.0, 1e-5)
    torch.library.opcheck(torch.ops.mlcfast.expected_positives.default, inputs)


@pytest.mark.parametrize("name", sorted(LOSSES.keys() & COMPILED))
def test_compile_fullgraph_gives_the_same(name):
    case = make_case()
    compiled = torch.compile(lambda x, rows: call(name, x, case, rows) * 3, fullgraph=True, backend="aot_eager")
    results = []
    for function in (compiled, lambda x, rows: call(name, x, case, rows) * 3):
        x, rows = case.logits.clone().requires_grad_(), case.rows.clone().requires_grad_()
        loss = function(x, rows)
        loss.backward()
        results.append((loss.detach(), x.grad, torch.zeros(()) if rows.grad is None else rows.grad))
    for ours, plain in zip(*results, strict=True):
        torch.testing.assert_close(ours, plain, rtol=1e-6, atol=1e-9)


def test_export_keeps_the_loss():
    class Module(torch.nn.Module):
        def forward(self, x: Tensor, y: Tensor) -> Tensor:
            return ops.asymmetric_loss(x, y)

    case = make_case()
    program = torch.export.export(Module(), (case.logits, case.labels))
    torch.testing.assert_close(
        program.module()(case.logits, case.labels), ops.asymmetric_loss(case.logits, case.labels)
    )


@pytest.mark.parametrize("name", LOSSES)
def test_autocast_computes_in_fp32(name):
    case = make_case()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = call(name, case.logits, case, case.rows)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, call(name, case.logits, case, case.rows), rtol=0, atol=0)


@pytest.mark.parametrize("name", LOSSES)
def test_graph_kept_for_a_second_backward(name):
    case = make_case()
    x = case.logits.requires_grad_()
    loss = call(name, x, case, case.rows)
    (first,) = torch.autograd.grad(loss, x, torch.tensor(3.0), retain_graph=True)
    kept = first.clone()
    (second,) = torch.autograd.grad(loss, x, torch.tensor(2.0))
    torch.testing.assert_close(second, kept * (2 / 3), rtol=3e-7, atol=1e-8)
    assert torch.equal(first, kept)


@needs_native
@pytest.mark.parametrize("name", LOSSES)
def test_second_derivative_is_refused(name):
    case = make_case()
    x = case.logits.requires_grad_()
    with pytest.raises(NotImplementedError, match="no second derivative"):
        torch.autograd.grad(call(name, x, case, case.rows), x, create_graph=True)


@pytest.mark.parametrize("name", LOSSES)
def test_a_batch_of_gradients(name):
    """Which torch.autograd.functional.jacobian(vectorize=True) asks for."""
    case = make_case()
    x = case.logits.requires_grad_()
    expected = [torch.autograd.grad(call(name, x, case, case.rows) * scale, x)[0] for scale in (1.0, -3.0)]
    batch = torch.tensor([1.0, -3.0])
    (found,) = torch.autograd.grad(call(name, x, case, case.rows), x, batch, is_grads_batched=True)
    torch.testing.assert_close(found, torch.stack(expected), rtol=3e-7, atol=1e-8)


@pytest.mark.parametrize("name", LOSSES)
def test_inference_mode_and_no_grad(name):
    case = make_case()
    expected = call(name, case.logits, case, case.rows)
    with torch.inference_mode():
        assert torch.equal(call(name, case.logits, case, case.rows), expected)
    with torch.no_grad():
        loss = call(name, case.logits.requires_grad_(), case, case.rows)
    assert torch.equal(loss, expected) and not loss.requires_grad


def test_role_gathers_rows_and_writes_a_sparse_gradient():
    case = make_case()
    table = torch.randn(30, 7).requires_grad_()
    index = torch.tensor([4, 29, 0, 4, 11])
    rows = table.detach()[index].requires_grad_()
    x, y = case.logits.clone().requires_grad_(), case.logits.clone().requires_grad_()
    by_index = ops.role_loss(x, case.labels, table, 2.9, index)
    by_rows = ops.role_loss(y, case.labels, rows, 2.9)
    by_index.backward()
    by_rows.backward()
    torch.testing.assert_close(by_index, by_rows, rtol=1e-6, atol=0)
    torch.testing.assert_close(x.grad, y.grad, rtol=1e-6, atol=1e-9)
    assert table.grad.is_sparse and table.grad._nnz() == 5
    dense = torch.zeros(30, 7).index_add_(0, index, rows.grad)
    torch.testing.assert_close(table.grad.to_dense(), dense, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("gathered", [False, True])
@pytest.mark.parametrize("threads", [1, 3])
def test_the_second_pass_covers_every_row_from_the_last_on(gathered, threads):
    """More entries a thread than are read in their order at once, and rows that fill no register."""
    B, K = 2051, 257
    x, rows = (torch.randn(B, K, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1))
    z, index = (x + rows > 1).float(), torch.arange(B - 1, -1, -1) if gathered else None
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        found = [tensor.clone().requires_grad_() for tensor in (x, rows)]
        ops.role_loss(found[0], z, found[1], 2.9, index=index).backward()
        wanted = [tensor.double().requires_grad_() for tensor in (x, rows)]
        role_definition(wanted[0], z, wanted[1], 2.9, index=index).backward()
    finally:
        torch.set_num_threads(before)
    for got, want in zip(found, wanted, strict=True):
        torch.testing.assert_close(got.grad.to_dense().double(), want.grad.to_dense(), rtol=1e-4, atol=1e-10)


def wrong(**changed: object) -> dict[str, object]:
    return {"logits": torch.zeros(2, 3), "targets": torch.zeros(2, 3)} | changed


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (wrong(targets=torch.zeros(3, 2)), "targets"),
        (wrong(targets=torch.zeros(2, 1)), "targets"),
        (wrong(logits=torch.zeros(2, 3, dtype=torch.int64)), "logits"),
        (wrong(targets=torch.zeros(2, 3, dtype=torch.complex64)), "targets"),
        (wrong(targets=torch.zeros(2, 3, device="meta")), "targets"),
        (wrong(targets=torch.full((2, 3), 2.0)), "targets"),
        (wrong(targets=torch.full((2, 3), torch.nan)), "targets"),
        (wrong(targets=torch.full((2, 3), -3, dtype=torch.int8)), "targets"),
        (wrong(targets=torch.zeros(2, 3).requires_grad_()), "targets"),
        (wrong(reduction="average"), "reduction"),
        (wrong(gamma_neg=-1.0), "gamma_neg"),
        (wrong(gamma_neg=None), "gamma_neg"),
        (wrong(gamma_pos="1"), "gamma_pos"),
        (wrong(clip=[0.1]), "clip"),
        (wrong(eps=float("inf")), "eps"),
        (wrong(gamma_pos=float("nan")), "gamma_pos"),
        (wrong(clip=1.0), "clip"),
        (wrong(eps=0.0), "eps"),
        (wrong(detach_focal_weight="yes"), "detach_focal_weight"),
        (wrong(detach_focal_weight=-1), "detach_focal_weight"),
    ],
)
def test_wrong_arguments_are_named(arguments, named):
    with pytest.raises(ValueError, match=named):
        ops.asymmetric_loss(**arguments)


@pytest.mark.parametrize(
    ("estimate", "index", "named"),
    [
        (torch.zeros(2, 4), None, "estimate_logits"),
        (torch.zeros(9, 4), torch.zeros(2, dtype=torch.int64), "estimate_logits"),
        (torch.zeros(9, 3), torch.zeros(3, dtype=torch.int64), "index"),
        (torch.zeros(9, 3), torch.zeros(2, dtype=torch.int32), "index"),
        (torch.zeros(9, 3), torch.tensor([0, 9]), "index"),
        (torch.zeros(9, 3, dtype=torch.int64), torch.tensor([0, 1]), "estimate_logits"),
    ],
)
def test_wrong_estimates_are_named(estimate, index, named):
    with pytest.raises(ValueError, match=named):
        ops.role_loss(torch.zeros(2, 3), torch.zeros(2, 3), estimate, 2.9, index)


def test_backends_agree(monkeypatch):
    case = make_case(64, 80)
    for name in LOSSES:
        monkeypatch.setenv("MLCFAST_BACKEND", "auto")
        fused = run(LOSSES[name].fused, case, "mean")
        monkeypatch.setenv("MLCFAST_BACKEND", "reference")
        for ours, plain in zip(fused, run(LOSSES[name].fused, case, "mean"), strict=True):
            torch.testing.assert_close(ours, plain, rtol=2e-6, atol=1e-9)


def test_unknown_backend_is_named(monkeypatch):
    monkeypatch.setenv("MLCFAST_BACKEND", "fast")
    with pytest.raises(ValueError, match="MLCFAST_BACKEND"):
        ops.asymmetric_loss(torch.zeros(1, 1), torch.zeros(1, 1))


def test_no_warning_and_no_grad_mode_left_behind():
    case = make_case()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ops.asymmetric_loss(case.logits.requires_grad_(), case.labels, detach_focal_weight=True).backward()
    assert torch.is_grad_enabled()


@pytest.mark.parametrize("backend", ["auto", "reference"])
def test_byte_labels(monkeypatch, backend):
    monkeypatch.setenv("MLCFAST_BACKEND", backend)
    logits, labels = torch.randn(3, 4), torch.tensor([[0, 1, 0, 0], [1, 1, 0, 1], [0, 0, 0, 0]], dtype=torch.uint8)
    torch.testing.assert_close(ops.asymmetric_loss(logits, labels), ops.asymmetric_loss(logits, labels.float()))
    with pytest.raises(ValueError, match="targets must lie in"):
        ops.asymmetric_loss(logits, labels * 2)


@pytest.mark.parametrize("dtype", [torch.int8, torch.int16, torch.int32, torch.int64])
def test_integer_labels(dtype):
    logits, labels = torch.randn(5, 131), torch.randint(-1, 2, (5, 131)).to(dtype)
    torch.testing.assert_close(ops.pairwise_ranking(logits, labels), ops.pairwise_ranking(logits, labels.float()))


@pytest.mark.parametrize("dtype", [torch.int8, torch.int16, torch.int32, torch.int64])
def test_integers_that_are_no_labels(dtype):
    """They are refused also where their low 32 bits, or their low byte, are a label."""
    logits, labels = torch.randn(5, 131), torch.randint(-1, 2, (5, 131)).to(dtype)
    for bad in (2, -2, 2**8, 2**32, 2**32 + 1, -(2**32), -(2**63)):
        if torch.iinfo(dtype).min <= bad <= torch.iinfo(dtype).max:
            spoilt = labels.clone()
            spoilt[3, 130] = bad
            with pytest.raises(ValueError, match="must lie in"):
                ops.pairwise_ranking(logits, spoilt)


@needs_native
@pytest.mark.parametrize("wrong", [-math.inf, -1.5, 1.5, 1e30, math.inf, math.nan])
@pytest.mark.parametrize("K", [5, 32, 37])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_one_number_that_is_no_label_is_named(dtype, K, wrong):
    """Wherever it is: in a whole register or in the last one, beside labels that are hard."""
    labels = torch.eye(2, K, dtype=dtype)
    labels[1, K - 1] = wrong
    for function in (
        ops.asymmetric_loss,
        ops.weighted_bce,
        ops.pairwise_ranking,
        focal,
        partial(ops.epr_loss, expected_positives=1.0),
    ):
        with pytest.raises(ValueError, match="must lie in"):
            function(torch.zeros(2, K), labels)


def test_inside_transforms_and_forward_mode():
    logits, labels = torch.randn(3, 4), (torch.rand(3, 4) < 0.4).float()
    leaf = logits.clone().requires_grad_()
    ops.asymmetric_loss(leaf, labels).backward()
    torch.testing.assert_close(torch.func.grad(ops.asymmetric_loss)(logits, labels), leaf.grad)
    _, tangent = torch.func.jvp(lambda x: ops.asymmetric_loss(x, labels), (logits,), (torch.ones_like(logits),))
    torch.testing.assert_close(tangent, leaf.grad.sum())
    if not MISSING["cpu"]:
        with torch.autograd.forward_ad.dual_level(), pytest.raises(NotImplementedError, match="MLCFAST_BACKEND"):
            ops.asymmetric_loss(torch.autograd.forward_ad.make_dual(logits, torch.ones_like(logits)), labels)


def test_help_shows_the_asymmetric_losss_options_one_by_one():
    shown = inspect.signature(ops.asymmetric_loss).parameters
    assert list(shown)[2:7] == list(AsymmetricOptions._fields)
    assert [shown[name].default for name in AsymmetricOptions._fields] == list(AsymmetricOptions())
