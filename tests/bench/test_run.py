"""The command: suites in processes of their own, records that survive, and nothing wrong is timed."""

import copy
import datetime
import os
import subprocess
import sys
import time

import pytest
import torch

from bench import run
from bench.baselines.losses import textbook_asymmetric
from bench.baselines.query2label import PlainQuery2Label
from bench.cases import attention, elementwise
from bench.cases.losses import EVERY, Loss, nan_row, random_rows
from bench.cases.problem import evaluate, verdict
from bench.record import Gate, append, read, record_path, setting, sources_digest
from bench.suites import SUITES, Context, correctness, losses, measured, parse_options, training
from mlcfast import ops
from mlcfast.losses import AsymmetricLoss
from mlcfast.models import build_model
from mlcfast.ops.label_query_attention import dropout as masks
from mlcfast.ops.label_query_attention.folded import MANY_IMAGES
from tests.conftest import ROOT


def passed(operator="asymmetric_loss", backend="native", ok=True, **changes):
    return {"operator": operator, "backend": backend, "case": "a case", "passed": ok, **setting("cpu"), **changes}


def context(record, seconds=60.0):
    return Context("cpu", seconds, record, Gate(record))


def test_shares_fill_ten_minutes():
    assert sum(suite.seconds for suite in SUITES.values() if not suite.alone) == 600


@pytest.mark.parametrize(
    ("rows", "refusal"),
    [
        ([], "no correctness case"),
        ([passed()], None),
        ([passed(), passed(ok=False)], "failed 1 of 2"),
        ([passed(run="1", ok=False), passed(run="2")], None),
        ([passed(run="1"), passed(run="2", ok=False)], "failed 1 of 1"),
        ([passed(sources="another")], "no correctness case"),
        ([passed(torch="1.0")], "no correctness case"),
        ([passed(tested_on="a GPU")], "no correctness case"),
        ([passed(backend="triton")], "no correctness case"),
        ([passed(operator="epr_loss")], "no correctness case"),
    ],
)
def test_gate_wants_these_sources_this_torch_and_this_device(tmp_path, rows, refusal):
    record = tmp_path / "record.jsonl"
    for row in rows:
        append(record, row)
    reason = Gate(record).refusal("asymmetric_loss", "native", "cpu")
    assert reason is None if refusal is None else refusal in reason


def test_digest_follows_the_kernels(tmp_path):
    (tmp_path / "csrc").mkdir()
    before = sources_digest(tmp_path)
    (tmp_path / "csrc" / "op.cu").write_text("//")
    assert sources_digest(tmp_path) != before


def test_a_record_survives_a_cut_line(tmp_path):
    record = tmp_path / "deep" / "record.jsonl"
    append(record, {"a": 1})
    with record.open("a") as file:
        file.write('{"a": ')
    assert list(read(record)) == [{"a": 1}]


def test_record_is_named_after_device_and_day(tmp_path):
    path = record_path("NVIDIA H100 80GB HBM3", datetime.date(2026, 1, 2), tmp_path)
    assert path.name == "nvidia-h100-80gb-hbm3-2026-01-02.jsonl"


def test_a_failing_correctness_row_prevents_timing(tmp_path):
    record = tmp_path / "record.jsonl"
    append(record, passed())
    append(record, passed(ok=False))
    rows = list(losses.measure("asymmetric", 4, 5, "float32", False, context(record)))
    ours = [row for row in rows if row["contender"] == "mlcfast"]
    assert len(ours) == 1 and "failed 1 of 2" in ours[0]["refused"] and "p50_ms" not in ours[0]
    assert {row["contender"] for row in rows if "p50_ms" in row} == {"textbook", "in-place", "torchvision focal"}


def test_a_contender_that_is_off_is_not_timed(tmp_path, monkeypatch):
    record = tmp_path / "record.jsonl"
    append(record, passed())
    found = losses.contenders("asymmetric")
    monkeypatch.setattr(losses, "contenders", lambda loss: found | {"in-place": lambda x, y, e: x.sum() * 0 + 7})
    rows = {row["contender"]: row for row in losses.measure("asymmetric", 4, 5, "float32", False, context(record))}
    assert "gives 7.0, fp64" in rows["in-place"]["refused"] and rows["mlcfast"]["p50_ms"] > 0


def test_problems_pass_and_a_broken_operator_is_caught():
    torch.manual_seed(0)
    problem = next(elementwise.accurate("layer_norm"))
    assert verdict(problem)["passed"]

    def wrong_gradient(*tensors):
        exact = problem.definition(*tensors)
        return exact.detach() + 1.01 * (exact - exact.detach())

    for broken in (
        wrong_gradient,
        lambda *t: problem.definition(*t) * 1.001,
        lambda *t: problem.definition(*t) * torch.nan,
        lambda *t: problem.definition(*t)[None],
        lambda *t: problem.definition(*t).double(),
    ):
        problem.ours = broken
        assert not verdict(problem)["passed"]
    problem.ours = lambda *t: ops.layer_norm(t[0], t[1][:1], t[2])
    row = verdict(problem)
    assert not row["passed"] and row["reason"].startswith(("ValueError", "RuntimeError"))


@pytest.mark.parametrize(
    "wrong", [lambda loss: loss * 1.001, lambda loss: loss.detach() + 1.01 * (loss - loss.detach())]
)
def test_a_loss_that_is_off_is_caught(wrong, monkeypatch):
    broken = Loss(lambda *arguments: wrong(EVERY["an"].reference(*arguments)), EVERY["an"].reference)
    monkeypatch.setitem(EVERY, "an", broken)
    rows = list(random_rows("an", 20))
    assert rows and not all(row["passed"] for row in rows)


@pytest.mark.parametrize("operator", ["groupwise_linear", "layer_norm", "quick_gelu", "pairwise_ranking"])
def test_every_case_of_small_operators_passes(operator):
    torch.manual_seed(0)
    verdicts = list(correctness.verdicts(operator, "native", "cpu", "tiny"))
    assert len(verdicts) >= 6 and all(row["passed"] for row in verdicts), [r for r in verdicts if not r["passed"]]


def test_a_group_that_crashes_has_failed(tmp_path, monkeypatch):
    monkeypatch.setattr(correctness, "setting", lambda device: {})
    rows = correctness.try_group(context(tmp_path / "record.jsonl", 600), "no_such_operator", "native")
    assert [row["passed"] for row in rows] == [False] and "exit status 1: KeyError" in rows[0]["reason"]


def test_a_group_without_time_says_so(tmp_path):
    (row,) = correctness.try_group(context(tmp_path / "record.jsonl", seconds=1), "asymmetric_loss", "native")
    assert row == {"operator": "asymmetric_loss", "backend": "native", "refused": "no time left"}


def test_the_interpreter_is_tried_before_kernels_are_blamed():
    code = "from bench.suites.correctness import interpreter_trouble; print(repr(interpreter_trouble()))"
    environment = os.environ | {"TRITON_INTERPRET": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == "''", done.stderr[-500:]


def test_a_part_that_is_skipped_or_out_of_time_says_so(tmp_path, monkeypatch):
    part = context(tmp_path / "record.jsonl")
    assert list(measured("memory", part)) == [{"event": "skipped", "reason": "needs a GPU"}]

    def without_package(context):
        import no_such_package  # noqa: F401

        yield

    monkeypatch.setattr("bench.suites.device.rows", without_package)
    assert list(measured("device", part)) == [{"event": "skipped", "reason": "no_such_package is not installed"}]
    monkeypatch.setattr("bench.suites.device.rows", lambda context: iter([{"n": 1}, {"n": 2}]))
    rows = list(measured("device", context(tmp_path / "record.jsonl", seconds=0)))
    assert rows[0] == {"n": 1} and rows[1]["event"] == "out of time" and len(rows) == 2


def test_the_command_records_its_parts(tmp_path):
    record = tmp_path / "record.jsonl"
    append(record, {"run": "1", "suite": "run", "event": "begin", **setting("cpu")})
    append(record, {"run": "1", "suite": "correctness", "event": "done"})
    assert run.main(["device", "memory", "--record", str(record), "--minutes", "9"]) == 0
    begin, *rows, end = list(read(record))[2:]
    assert begin["event"] == "begin" and begin["torch"] == torch.__version__ and end["event"] == "end"
    assert {row["run"] for row in rows} == {begin["run"]} == {end["run"]}
    assert [row["event"] for row in rows if "event" in row] == ["done", "skipped"]


def test_correctness_comes_before_what_is_timed(tmp_path):
    record = tmp_path / "record.jsonl"
    assert run._with_correctness(["losses"], record, "cpu") == ["correctness", "losses"]
    append(record, {"run": "1", "suite": "run", "event": "begin", **setting("cpu")})
    append(record, {"run": "1", "suite": "correctness", "event": "stopped"})
    assert run._with_correctness(["losses"], record, "cpu") == ["correctness", "losses"]
    append(record, {"run": "1", "suite": "correctness", "event": "done"})
    assert run._with_correctness(["losses"], record, "cpu") == ["losses"]
    assert run._with_correctness(["device"], tmp_path / "none.jsonl", "cpu") == ["device"]


@pytest.mark.parametrize(
    ("code", "seconds", "event"), [("import time; time.sleep(600)", 1.0, "stopped"), ("1 / 0", 300.0, "crashed")]
)
def test_a_part_that_hangs_or_crashes_is_a_row(tmp_path, monkeypatch, code, seconds, event):
    record = tmp_path / "record.jsonl"
    start = subprocess.Popen
    monkeypatch.setattr(run, "GRACE", 0)
    monkeypatch.setattr(run.subprocess, "Popen", lambda command, **how: start([sys.executable, "-c", code], **how))
    run.run_suite("device", [], record, "now", "cpu", seconds)
    assert [row["event"] for row in read(record)] == [event] and run._problems(record, "now") == [f"device {event}"]


def test_a_suite_that_is_short_of_time_is_told_what_gives_it_more(tmp_path, monkeypatch, capsys):
    record = tmp_path / "record.jsonl"

    def stopped(suite, words, record, name, device, seconds):
        append(record, {"run": name, "suite": suite, "event": "stopped"})

    monkeypatch.setattr(run, "run_suite", stopped)
    assert run.main(["device", "--record", str(record), "--minutes", "1.5"]) == 1
    said = capsys.readouterr().out.splitlines()
    assert said[1] == "  device stopped" and "--minutes 3 gives" in said[2]
    assert list(read(record))[-1]["problems"] == ["device stopped"]


def test_unknown_parts_are_named(capsys):
    with pytest.raises(SystemExit):
        run.main(["loses"])
    assert "no suite 'loses'" in capsys.readouterr().err


def test_plain_model_is_the_same_function():
    torch.manual_seed(0)
    options = {"embed_dim": 32, "feedforward": 64, "dropout": 0.0, "freeze": "published"}
    for backbone in ("test_resnet", "cvt_13"):
        ours = build_model("query2label", backbone, 9, 64, **options)
        for module in ours.modules():
            if hasattr(module, "drop_prob"):
                module.drop_prob = 0.0
        plain = PlainQuery2Label(copy.deepcopy(ours)).train()
        images, labels = torch.randn(2, 3, 64, 64), (torch.rand(2, 9) < 0.3).float()
        torch.testing.assert_close(ours(images), plain(images), rtol=1e-5, atol=1e-5)
        AsymmetricLoss(disable_torch_grad_focal_loss=True)(ours(images), labels).backward()
        textbook_asymmetric(plain(images), labels, detach_weight=True).backward()
        mine = {name: p.grad for name, p in ours.named_parameters() if p.grad is not None}
        theirs = {name: p.grad for name, p in plain.named_parameters() if p.grad is not None}
        largest = max(float(gradient.norm()) for gradient in theirs.values())
        assert mine.keys() == theirs.keys()
        for name, gradient in mine.items():
            assert float((gradient - theirs[name]).norm()) < 1e-5 * largest, name


@pytest.mark.parametrize(("name", "gigaflop"), [("Q2L-CvT_w24-384", 388), ("Q2L-SwinL-384", 208), ("Q2L-R101-448", 62)])
def test_backbone_work_is_as_published(name, gigaflop):
    backbone, whole = training.forward_flop(name, 448 if "448" in name else 384)
    assert abs(backbone / 1e9 - gigaflop) < 0.01 * gigaflop and whole > backbone


def test_out_of_memory_is_a_row_and_smaller_batches_go_on(tmp_path, monkeypatch):
    def step(images, labels):
        if len(images) >= 32:
            raise torch.OutOfMemoryError("CUDA out of memory")
        time.sleep(1e-3)

    monkeypatch.setattr(training, "stepper", lambda *arguments: step)
    monkeypatch.setattr(Context, "on_gpu", property(lambda self: True))
    monkeypatch.setattr(training.torch.cuda, "empty_cache", lambda: None)
    rows = list(training.visit("Q2L-R101-448", "mlcfast", 8, context(tmp_path / "record.jsonl")))
    assert [row["micro_batch"] for row in rows if "refused" in row] == [32]
    assert [row["micro_batch"] for row in rows if "p50_ms" in row] == [16, 4, 8]


def test_untested_operators_keep_our_step_from_being_timed(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "stepper", lambda *arguments: lambda images, labels: time.sleep(1e-3))
    monkeypatch.setattr(training, "forward_flop", lambda *arguments: (1, 1))
    rows = {row.get("contender"): row for row in training.rows(context(tmp_path / "record.jsonl", 600))}
    assert "no correctness case" in rows["mlcfast"]["refused"]
    assert "refused" not in rows["plain torch"] and "refused" not in rows["mlcfast, definitions"]


def test_what_needs_no_configuration_loads_without_it():
    """Where pydantic and DeepSpeed are missing the suites of a run load, but for one, which is skipped."""
    code = (
        "import sys; sys.modules['pydantic'] = sys.modules['deepspeed'] = None\n"
        "import importlib\n"
        "from bench.suites import SUITES\n"
        "for name, suite in SUITES.items():\n"
        "    try:\n"
        "        suite.alone or importlib.import_module(f'bench.suites.{name}')\n"
        "    except ModuleNotFoundError as error:\n"
        "        print(name, error.name)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "memory pydantic", done.stderr[-500:]


def test_options_reach_the_suites_that_know_them():
    found = parse_options(["losses", "attention"], ["rounds=7", "losses=role"])
    assert found["losses"]["rounds"] == found["attention"]["rounds"] == 7 and found["losses"]["losses"] == "role"
    with pytest.raises(ValueError, match="no option 'shaps' of losses; there are: losses, shapes"):
        parse_options(["losses"], ["shaps=64x80"])
    with pytest.raises(ValueError, match="rounds=few: rounds is a number"):
        parse_options(["losses"], ["rounds=few"])


def test_attention_is_tried_as_it_trains():
    """Triton's own backward pass runs with a position that does not learn and with dropout."""
    found = [p for p in attention.problems("triton", "cpu", "tiny") if "dropout=0.1" in p.name]
    assert found and all(p.make()[2] is not None and not p.make()[2].requires_grad for p in found)
    assert any(len(p.make()[1]) >= MANY_IMAGES for p in found)
    assert verdict(next(attention.problems("native", "cpu", "tiny")))["passed"]


def test_a_dropout_mask_that_is_another_is_caught(monkeypatch):
    problem = next(attention.problems("native", "cpu", "tiny"))
    seeds = iter((0, 0, 1))  # fp64, plain torch, ours
    monkeypatch.setattr(masks, "draw_seed", lambda device: torch.tensor(next(seeds)))
    assert verdict(problem, draws=1)["passed"] is False


def test_nan_that_is_hidden_is_caught(monkeypatch):
    assert nan_row("an")["passed"]
    hidden = Loss(lambda x, *others: EVERY["an_ls"].reference(x.nan_to_num(), *others), EVERY["an"].reference)
    monkeypatch.setitem(EVERY, "an", hidden)
    assert nan_row("an")["passed"] is False


def test_a_problem_is_evaluated_in_its_own_type_or_in_another():
    x = torch.ones(3, requires_grad=True)
    assert [t.tolist() for t in evaluate(lambda x: x * 2, [x])] == [[2, 2, 2], [1, 2, 3]]
    assert [t.dtype for t in evaluate(lambda x: x * 2, [x], torch.float64)] == [torch.float64] * 2


def test_a_few_entries_do_not_fail_by_luck():
    """One entry a draw: plain torch is now and then exact, and a right operator must pass all the same."""
    for seed in range(20):
        torch.manual_seed(seed)
        found = elementwise.problems("quick_gelu", "native", "cpu", "tiny")
        assert all(verdict(problem)["passed"] for problem in found if problem.small)


def test_what_runs_in_plain_torch_is_not_recorded_as_a_kernel(monkeypatch):
    monkeypatch.setenv("MLCFAST_BACKEND", "native")
    monkeypatch.setitem(correctness.MISSING, "cpu", "not built")
    assert correctness.unavailable("asymmetric_loss", "native", "cpu") == "not built"
    assert correctness.unavailable("quick_gelu", "native", "cpu") == ""


def test_nvcc_behind_a_script_is_found_where_it_lies(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "csrc"))
    import build_cuda

    script = tmp_path / "bin" / "nvcc"
    script.parent.mkdir()
    script.write_text(f"#!/bin/sh\necho '#$ TOP={tmp_path}/cuda/bin/..' >&2\n")
    script.chmod(0o755)
    assert build_cuda._home(str(script)) == tmp_path / "cuda"
    script.write_text("#!/bin/sh\n")
    assert build_cuda._home(str(script)) == tmp_path
