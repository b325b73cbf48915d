"""The operator against nn.MultiheadAttention's mathematics, whatever the plan, shape, dtype and layout."""

import sys

import pytest
import torch

from bench.cases.attention import NAMES, accurate, gradients, learn, make
from bench.cases.problem import verdict
from mlcfast.ops import label_query_attention
from mlcfast.ops.label_query_attention import matmul
from mlcfast.ops.label_query_attention.plan import PLANS, Plan, cheapest, choose
from mlcfast.ops.label_query_attention.reference import label_query_attention as reference

AWKWARD = [(3, 5, 7, 12, 3), (2, 1, 13, 6, 2), (1, 7, 1, 8, 4), (2, 3, 5, 7, 1)]


@pytest.fixture
def lean(monkeypatch):
    """Run as on a GPU: keep little between the passes."""
    module = sys.modules["mlcfast.ops.label_query_attention.op"]
    monkeypatch.setattr(module, "choose", lambda *shape: Plan(choose(*shape).form, keep=False))


@pytest.fixture
def image_by_image(monkeypatch):
    monkeypatch.setattr(matmul, "SLICE_BYTES", 1)


def _agrees_with_reference(sizes, plan, shared, positions):
    B, K, N, D, H = sizes
    ours = learn(make(B, K, N, D, shared, positions))
    theirs = learn(ours)
    out, weights = label_query_attention(*ours, H, 0.0, True, plan)
    expected, expected_weights = reference(*theirs, H, 0.0, True)
    torch.testing.assert_close(out, expected, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(weights, expected_weights, rtol=1e-10, atol=1e-12)
    for got, want in zip(gradients(out, ours), gradients(expected, theirs), strict=True):
        torch.testing.assert_close(got, want, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("plan", [*PLANS, None])
@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("sizes", AWKWARD)
def test_outputs_and_gradients_equal_the_reference(sizes, shared, plan):
    for positions in (None, 1, sizes[0]):
        _agrees_with_reference(sizes, plan, shared, positions)


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("shared", [True, False])
def test_keeping_little_changes_nothing(lean, shared, plan):
    _agrees_with_reference(AWKWARD[0], plan, shared, 1)


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("shared", [True, False])
def test_slices_of_one_image_add_up(lean, image_by_image, shared, plan):
    for positions in (1, AWKWARD[0][0]):
        _agrees_with_reference(AWKWARD[0], plan, shared, positions)


@pytest.mark.parametrize("plan", PLANS)
def test_slices_draw_the_mask_of_the_whole(image_by_image, monkeypatch, plan):
    tensors = learn(make(4, 3, 5, 8))
    torch.manual_seed(7)
    sliced, _ = label_query_attention(*tensors, 2, 0.5, plan=plan)
    sliced_grads = gradients(sliced, tensors)
    monkeypatch.setattr(matmul, "SLICE_BYTES", 1 << 30)
    torch.manual_seed(7)
    whole, _ = label_query_attention(*tensors, 2, 0.5, plan=plan)
    torch.testing.assert_close(sliced, whole)
    for got, want in zip(sliced_grads, gradients(whole, tensors), strict=True):
        torch.testing.assert_close(got, want)


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("shared", [True, False])
def test_an_empty_batch_gives_zero_gradients(shared, plan):
    tensors = learn(make(0, 3, 4, 8, shared, 1))
    out, weights = label_query_attention(*tensors, 2, 0.0, True, plan)
    assert out.shape == (0, 3, 8) and weights.shape == (0, 3, 4)
    for got, tensor in zip(gradients(out, tensors), tensors, strict=True):
        assert got.shape == tensor.shape and not got.any()


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("positions", [None, 1])
def test_the_reference_takes_an_empty_batch_too(shared, positions, monkeypatch):
    monkeypatch.setenv("MLCFAST_BACKEND", "reference")
    tensors = learn(make(0, 3, 4, 8, shared, positions))
    out, weights = label_query_attention(*tensors, 2, 0.1, True)
    assert out.shape == (0, 3, 8) and weights.shape == (0, 3, 4)
    assert not any(gradient.any() for gradient in gradients(out, tensors))


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_gradients_are_those_of_finite_differences(dropout, plan):
    def attention(*tensors):
        torch.manual_seed(3)  # the same mask at every call
        return label_query_attention(*tensors, 2, dropout, plan=plan)[0]

    assert torch.autograd.gradcheck(attention, learn(make(2, 3, 5, 8)))
    assert torch.autograd.gradcheck(attention, learn(make(2, 2, 3, 6, shared=False, positions=2)))


@pytest.mark.parametrize("wanted", range(7))
def test_each_gradient_alone(wanted):
    tensors = make(2, 3, 5, 8)
    tensors[wanted].requires_grad_()
    everything = learn(tensors)
    whole = gradients(label_query_attention(*everything, 2)[0], everything)
    alone = label_query_attention(*tensors, 2)[0]
    direction = torch.randn(alone.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    alone.backward(direction)
    torch.testing.assert_close(tensors[wanted].grad, whole[wanted])
    assert all(t.grad is None for i, t in enumerate(tensors) if i != wanted)


def test_strided_and_expanded_inputs_and_gradients():
    dense = learn(make(3, 5, 7, 8, shared=False))
    strided = [t.detach() for t in dense]
    strided[0] = strided[0].transpose(0, 1).contiguous().transpose(0, 1)
    strided[1] = torch.stack([strided[1], strided[1]], dim=-1)[..., 0]
    strided[2] = strided[2].expand(3, -1, -1)
    strided[3] = strided[3].t().contiguous().t()
    strided = [t.requires_grad_() for t in strided]
    out, _ = label_query_attention(*strided, 2)
    expected, _ = label_query_attention(*dense, 2)
    torch.testing.assert_close(out, expected)
    grads = torch.autograd.grad(out.sum(), strided)  # an expanded gradient
    wanted = torch.autograd.grad(expected, dense, torch.ones_like(expected))
    for index, (got, want) in enumerate(zip(grads, wanted, strict=True)):
        torch.testing.assert_close(got.sum(0, keepdim=True) if index == 2 else got, want)


@pytest.mark.parametrize("problem", accurate("native"), ids=str)
def test_the_error_is_at_most_twice_plain_torch(problem):
    """Root-mean-square error against fp64 on the same rounded inputs."""
    torch.manual_seed(0)
    row = verdict(problem)
    assert row["passed"], row


def _rms(x):
    return x.square().mean().sqrt().item()


@pytest.mark.parametrize("fold", [(True, True), (True, False), (False, False)])
def test_operator_contract(fold):
    tensors = learn(make(2, 3, 5, 8))
    operator = torch.ops.mlcfast.label_query_attention.default
    for keep, dropout in ((True, 0.0), (False, 0.3)):
        seed = torch.tensor(5) if dropout else None
        arguments = (*tensors, seed, torch.float64, 2, dropout, *fold, keep, False, True, True)
        checks = ("test_schema", "test_autograd_registration", "test_faketensor")
        torch.library.opcheck(operator, arguments, test_utils=checks)


def test_operator_contract_under_compilation():
    tensors = learn(make(2, 3, 5, 8, shared=False))
    operator = torch.ops.mlcfast.label_query_attention.default
    arguments = (*tensors, torch.tensor(5), torch.float64, 2, 0.3, True, True, False, False, True, True)
    torch.library.opcheck(operator, arguments, test_utils="test_aot_dispatch_dynamic")


def test_compiles_in_one_graph():
    tensors = learn(make(2, 3, 5, 8))
    compiled = torch.compile(lambda *t: label_query_attention(*t, 2)[0], fullgraph=True, backend="aot_eager")
    for got, want in zip(
        gradients(compiled(*tensors), tensors),
        gradients(label_query_attention(*tensors, 2)[0], tensors),
        strict=True,
    ):
        torch.testing.assert_close(got, want)


def test_exports_as_one_operator():
    class Attend(torch.nn.Module):
        def forward(self, *tensors):
            return label_query_attention(*tensors, 2)[0]

    tensors = tuple(make(2, 3, 5, 8))
    program = torch.export.export(Attend(), tensors)
    assert "mlcfast.label_query_attention" in str(program.graph)
    torch.testing.assert_close(program.module()(*tensors), label_query_attention(*tensors, 2)[0])


def test_autocast_computes_in_its_dtype_and_returns_gradients_in_theirs():
    tensors = learn(make(3, 5, 7, 16, dtype=torch.float32))
    with torch.autocast("cpu", torch.bfloat16):
        out, _ = label_query_attention(*tensors, 2, 0.1)
        mixed = [tensors[0].bfloat16(), *tensors[1:]]
        assert label_query_attention(*mixed, 2)[0].dtype == torch.bfloat16
    assert out.dtype == torch.bfloat16
    assert all(g.dtype == torch.float32 for g in gradients(out, tensors))


def test_dropout_keeps_the_expected_share_and_the_mean():
    B, K, N, D, H, p = 8, 20, 49, 16, 2, 0.3
    tensors = make(B, K, N, D, dtype=torch.float32)
    plain, _ = label_query_attention(*tensors, H)
    mean = torch.stack([label_query_attention(*tensors, H, p)[0] for _ in range(200)]).mean(0)
    single = label_query_attention(*tensors, H, p)[0]
    # The mean of 200 draws is √200 ≈ 14 times nearer than one draw; 10 leaves room for chance.
    assert _rms(mean - plain) < _rms(single - plain) / 10


def test_dropout_of_everything_leaves_the_output_bias():
    tensors = make(2, 3, 5, 8)
    out, weights = label_query_attention(*tensors, 2, 1.0, True)
    torch.testing.assert_close(out, tensors[-1].expand(2, 3, 8))
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 3, dtype=torch.float64))


def test_dropout_follows_the_seed():
    tensors = make(2, 3, 5, 8)
    draws = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        draws.append(label_query_attention(*tensors, 2, 0.5)[0])
    assert torch.equal(draws[0], draws[1]) and not torch.equal(draws[0], draws[2])


@pytest.mark.parametrize(("name", "index"), [(name, i) for i, name in enumerate(NAMES)])
def test_a_wrong_shape_is_named(name, index):
    tensors = make(2, 3, 5, 8)
    tensors[index] = tensors[index][..., :-1]
    with pytest.raises(ValueError, match=r"queries must be" if name == "memory" else f"{name} must be"):
        label_query_attention(*tensors, 2)


def test_wrong_values_are_named():
    tensors = make(2, 3, 5, 8)
    with pytest.raises(ValueError, match="num_heads 3 does not divide the width 8"):
        label_query_attention(*tensors, 3)
    with pytest.raises(ValueError, match=r"dropout 1\.5 is not a probability"):
        label_query_attention(*tensors, 2, 1.5)
    with pytest.raises(ValueError, match="plan 'flat' is not one of folded, mixed, projected"):
        label_query_attention(*tensors, 2, plan="flat")
    with pytest.raises(ValueError, match=r"queries is torch\.float32 but memory is torch\.float64"):
        label_query_attention(tensors[0].float(), *tensors[1:], 2)
    with pytest.raises(ValueError, match="memory must be"):
        label_query_attention(tensors[0], tensors[1][:, :0], None, *tensors[3:], 2)
    with pytest.raises(ValueError, match="queries must be"):
        label_query_attention(tensors[0].expand(3, 3, 8), *tensors[1:], 2)


def test_the_rule_folds_few_labels_and_projects_many():
    assert choose(True, 80, 196, 2048, 4, "cpu", torch.float32) == Plan("folded", keep=True)
    assert choose(False, 80, 196, 2048, 4, "cuda", torch.bfloat16) == Plan("folded", keep=True, triton=True)
    assert choose(False, 80, 144, 1536, 4, "cuda", torch.bfloat16) == Plan("mixed", keep=True, triton=True)
    assert choose(True, 80, 144, 1536, 4, "cuda", torch.bfloat16) == Plan("folded", keep=True, triton=True)
    assert choose(False, 80, 144, 1536, 4, "cpu", torch.bfloat16) == Plan("folded", keep=True)
    assert choose(False, 80, 144, 1536, 4, "cuda", torch.bfloat16, "folded").form == "folded"
    assert choose(False, 80, 49, 1536, 4, "cuda", torch.float64, "mixed") == Plan("mixed", keep=False)
    assert cheapest(True, 400, 196, 2048, 4) == "mixed"
    assert cheapest(True, 9605, 196, 2048, 4) == "projected"
    assert cheapest(False, 1000, 576, 1024, 4) == "projected"


def test_asking_for_triton_where_it_cannot_run_says_so_once(monkeypatch, caplog):
    monkeypatch.setenv("MLCFAST_BACKEND", "triton")
    tensors = make(2, 3, 5, 8)
    out, _ = label_query_attention(*tensors, 2)
    label_query_attention(*tensors, 2)
    torch.testing.assert_close(out, reference(*tensors, 2)[0])
    assert [record.message for record in caplog.records] == [
        "label_query_attention: no Triton kernels for float64; torch's operations run instead"
    ]


def test_backend_reference_is_the_reference(monkeypatch):
    monkeypatch.setenv("MLCFAST_BACKEND", "reference")
    tensors = make(2, 3, 5, 8)
    assert torch.equal(label_query_attention(*tensors, 2)[0], reference(*tensors, 2)[0])


def test_autocast_leaves_double_precision_alone():
    tensors = make(2, 3, 5, 8)
    with torch.autocast("cpu", torch.bfloat16):
        out, _ = label_query_attention(*tensors, 2)
    torch.testing.assert_close(out, reference(*tensors, 2)[0])


def test_no_labels_at_all_is_refused():
    tensors = make(2, 0, 5, 8)
    with pytest.raises(ValueError, match=r"queries must be .* with K of at least 1"):
        label_query_attention(*tensors, 2)


def test_a_second_derivative_is_refused_with_its_remedy():
    tensors = (torch.randn(2, 8), torch.randn(1, 3, 8, requires_grad=True), None)
    parameters = (torch.randn(24, 8), torch.zeros(24), torch.randn(8, 8), torch.zeros(8))
    out, _ = label_query_attention(*tensors, *parameters, 2)
    with pytest.raises(NotImplementedError, match="MLCFAST_BACKEND=reference"):
        torch.autograd.grad(out.sum(), tensors[1], create_graph=True)
