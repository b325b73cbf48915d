"""The training suite of bench.run: what may be timed, against what, and what a failure leaves."""

import copy
import gc
import os
import time
import weakref

import pytest
import torch

from bench.baselines.query2label import PlainQuery2Label, compared
from bench.record import Gate, append, setting
from bench.suites import Context, training
from mlcfast.models import build_model
from mlcfast.models import cvt as cvt_models
from mlcfast.models.published import PUBLISHED, Published
from mlcfast.ops.backend import choose
from mlcfast.ops.layer_norm import layer_norm_reference as layer_norm
from mlcfast.ops.quick_gelu import quick_gelu_reference as quick_gelu

SMALL = {"embed_dim": 32, "feedforward": 64}
NAME = "Q2L-R101-448"


@pytest.fixture
def context(tmp_path):
    return Context("cpu", 1000.0, tmp_path / "record.jsonl", Gate(tmp_path / "record.jsonl"))


@pytest.fixture
def on_gpu(monkeypatch):
    monkeypatch.setattr(Context, "on_gpu", property(lambda self: True))
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)


@pytest.fixture
def tiny(monkeypatch):
    monkeypatch.setitem(PUBLISHED, NAME, Published("test_resnet", 448, 0.0))
    monkeypatch.setattr(training, "forward_flop", lambda name, size: (10**9, 3 * 10**9))

    def build(name, size):
        return build_model("query2label", "test_resnet", training.LABELS, size, freeze="published", **SMALL)

    monkeypatch.setattr(training, "build", build)


def tested(context, failing=()):
    wanted = [("asymmetric_loss", choose("cpu"))] + [(operator, "native") for operator in training.OPERATORS]
    for operator, backend in wanted:
        row = {"operator": operator, "backend": backend, "case": "a case", "passed": operator not in failing}
        append(context.record, row | setting("cpu"))
    append(context.record, {"ceiling": "fp32 product", "per_second": 1e12})
    context.gate = Gate(context.record)


def test_a_cpu_run_has_every_row(tiny, context):
    tested(context)
    *rows, check = sorted(training.rows(context), key=lambda row: "check" in row)
    assert check["agrees"] and check["fp64_difference"] < 1e-12
    timed = {row["contender"]: row for row in rows if "p50_ms" in row}
    assert set(timed) == {training.PLAIN, training.OURS, training.DEFINITIONS}
    for row in timed.values():
        assert row["micro_batch"] == 2 and row["image_size"] == 224 and row["dtype"] == "float32" and row["K"] == 80
        share = 3 * 3e9 * row["images_per_second"] / 1e12
        assert row["share_of_matrix_rate"] == pytest.approx(share, abs=1e-4)
        assert row["backbone_share_of_matrix_rate"] == pytest.approx(share / 3, abs=1e-4)
    assert ["need a GPU" in row["refused"] for row in rows if "contender" not in row] == [True]


def test_a_failed_operator_leaves_the_plain_step_and_the_definitions(tiny, context):
    tested(context, failing=("groupwise_linear",))
    rows = {row.get("contender"): row for row in training.rows(context)}
    assert "p50_ms" in rows[training.PLAIN] and "p50_ms" in rows[training.DEFINITIONS]
    assert "groupwise_linear by native: failed 1 of 1" in rows[training.OURS]["refused"]
    assert rows[training.OURS]["micro_batch"] == 2 and "p50_ms" not in rows[training.OURS]


def test_other_logits_keep_ours_from_being_timed(tiny, context, monkeypatch):
    tested(context)
    forward = PlainQuery2Label.forward
    monkeypatch.setattr(PlainQuery2Label, "forward", lambda self, images: 1.001 * forward(self, images))
    rows = list(training.rows(context))
    assert [row["agrees"] for row in rows if "check" in row] == [False]
    refused = {row["contender"]: row["refused"] for row in rows if "contender" in row and "refused" in row}
    assert set(refused) == {training.OURS, training.DEFINITIONS} and "1.0e-03 from the plain ones" in refused["mlcfast"]


def test_on_the_cpu_variants_take_turns(context, monkeypatch):
    steps = []

    def stepper(name, variant, size, device):
        if variant == training.OURS:
            raise RuntimeError("cannot be built")
        return lambda images, labels: (steps.append(variant), time.sleep(1e-3))

    monkeypatch.setattr(training, "stepper", stepper)
    variants = dict.fromkeys((training.PLAIN, training.OURS, training.DEFINITIONS))
    found = training.timed_in_turns(NAME, 2, variants | {"untested": "failed"}, context)
    assert steps[-6:] == [training.PLAIN, training.DEFINITIONS] * 3
    assert [found[name].get("refused") for name in found] == [None, "RuntimeError: cannot be built", None, "failed"]
    assert "p50_ms" in found[training.PLAIN] and "p50_ms" in found[training.DEFINITIONS]


def test_without_time_for_all_variants_none_is_timed(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "timed_in_turns", lambda *arguments: pytest.fail("is timed"))
    record = tmp_path / "record.jsonl"
    rows = list(training.rows(Context("cpu", 1.5 * training.LONGEST, record, Gate(record))))
    assert [row["refused"] for row in rows if "contender" not in row and "check" not in row] == [
        "no time left for Q2L-R101-448, micro-batches of 2", "the published sizes of every model need a GPU",
    ]  # fmt: skip


def test_without_kernels_the_loss_is_its_definition(context):
    tested(context)
    assert context.refusal(("asymmetric_loss", "reference"), *training.NATIVE) is None


@pytest.mark.parametrize("backbone", ["cvt_13", "tresnet_m"])
def test_plain_form_is_the_same_function_in_double_precision(backbone):
    torch.manual_seed(0)
    model = build_model("query2label", backbone, 9, 64, freeze="published", **SMALL)
    errors = compared(model, torch.randn(1, 3, 64, 64), torch.autocast("cpu", torch.bfloat16))
    assert errors["fp64_difference"] < 1e-12
    assert 1e-5 < errors["half_error_plain"] < 0.1 and errors["half_error_mlcfast"] < 0.1


def test_plain_form_is_one_graph_to_torch_compile(tiny):
    plain = PlainQuery2Label(training.build(NAME, 64))
    torch.compile(plain, backend="eager", fullgraph=True)(torch.randn(1, 3, 64, 64))


def test_definitions_replace_every_operator(tiny, monkeypatch):
    found = []

    def loss(logits, labels):
        found.append((os.environ["MLCFAST_BACKEND"], cvt_models.layer_norm, cvt_models.quick_gelu))
        return logits.sum()

    monkeypatch.setattr(training, "AsymmetricLoss", lambda **options: loss)
    step = training.stepper(NAME, training.DEFINITIONS, 64, "cpu")
    step(torch.randn(1, 3, 64, 64), torch.zeros(1, 80))
    assert found == [("reference", layer_norm, quick_gelu)]
    assert cvt_models.layer_norm is not layer_norm


def test_what_ran_out_of_memory_is_let_go_and_made_afresh(context, on_gpu, monkeypatch):
    made, alive = [], []

    class Activation:
        pass

    def stepper(*arguments):
        made.append(None)

        def step(images, labels):
            activation = Activation()
            if len(images) >= 16:
                alive.append(weakref.ref(activation))
                raise torch.OutOfMemoryError("CUDA out of memory")

        return step

    collected = []
    monkeypatch.setattr(training, "stepper", stepper)
    monkeypatch.setattr(
        training, "release", lambda context: (gc.collect(), collected.append([r() for r in alive if r() is not None]))
    )
    rows = list(training.visit(NAME, training.OURS, 8, context))
    assert [(row["micro_batch"], row.get("refused")) for row in rows] == [(16, "out of memory"), (4, None), (8, None)]
    assert len(made) == 2 and collected == [[]]


@pytest.mark.parametrize("error", [AssertionError(), KeyError("exp_avg"), RuntimeError("CUDA error: misaligned")])
def test_a_variant_that_raises_is_refused_at_every_size(context, on_gpu, monkeypatch, error):
    def stepper(*arguments):
        raise error

    monkeypatch.setattr(training, "stepper", stepper)
    monkeypatch.setattr(training, "forward_flop", lambda name, size: (1, 1))
    monkeypatch.setattr(training, "_matrix_rate", lambda context: 1.0)
    monkeypatch.setattr(training, "visits", lambda context: [(NAME, training.PLAIN), (NAME, training.PLAIN_COMPILED)])
    rows = list(training.rows(context))
    assert sorted(row["micro_batch"] for row in rows if row["contender"] == training.PLAIN) == [4, 8, 16, 32, 64]
    assert [row["micro_batch"] for row in rows if row["contender"] == training.PLAIN_COMPILED] == [32]
    assert all(type(error).__name__ in row["refused"] for row in rows)


def test_the_plain_copy_leaves_no_trace_in_ours():
    torch.manual_seed(0)
    model = build_model("query2label", "cvt_13", 5, 64, **SMALL).eval()
    images = torch.randn(1, 3, 64, 64)
    before = model(images)
    PlainQuery2Label(copy.deepcopy(model))(images)
    torch.testing.assert_close(model(images), before, rtol=0, atol=0)


def test_the_matrix_rate_is_the_records_or_measured(context, monkeypatch):
    monkeypatch.setattr(training, "product", lambda name, dtype, context: {"per_second": 7.0})
    assert training._matrix_rate(context) == 7.0
    append(context.record, {"ceiling": "fp32 product", "per_second": 5.0})
    append(context.record, {"ceiling": "fp32 product", "refused": "out of memory"})
    assert training._matrix_rate(context) == 5.0
