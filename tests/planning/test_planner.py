"""Planned memory of the shipped configurations, and of cases small enough to count by hand."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from mlcfast import plan as command
from mlcfast.config import load_config
from mlcfast.planning import Estimate, Plan, Planner, Settings, Tracer, as_table
from mlcfast.planning.format import BOUNDS, COMPONENTS
from mlcfast.planning.planner import LARGEST
from mlcfast.planning.starting import this_machine
from mlcfast.planning.state import moment_bytes, state_bytes
from mlcfast.planning.trace import Sizes, StepTrace
from mlcfast.planning.tracker import LiveMemory

CONFIGS = Path(__file__).parents[2] / "configs"
GIB, MIB = 2**30, 2**20
CARD = 12 * GIB
WIDE = ("model.backbone=resnet50", "engine.micro_batch=16")  # a small backbone under a decoder of its full width


def configuration(name: str, *overrides: str):
    return load_config(CONFIGS / f"{name}.yaml", overrides)


def gib(size: int) -> float:
    return size / GIB


@pytest.fixture(scope="module")
def cvt() -> Planner:
    return Planner(configuration("cvt_w24"), gpus=2, gpu_memory=CARD)


@pytest.fixture(scope="module")
def swin() -> Planner:
    return Planner(configuration("swin_l"), gpus=2, gpu_memory=CARD)


@pytest.fixture(scope="module")
def resnet() -> Planner:
    return Planner(configuration("resnet101_448"), gpus=2, gpu_memory=CARD)


def zero2(micro_batch: int, offload: bool = False) -> Settings:
    return Settings("zero2", "blocks", offload, "adamw", micro_batch)


@pytest.mark.parametrize(("name", "expected"), [("cvt", 8.1), ("swin", 6.6)])
def test_large_models_fit_as_configured(name, expected, request):
    planner = request.getfixturevalue(name)
    estimate = planner.estimate(planner.configured())
    assert estimate.settings == zero2(48)
    assert gib(estimate.peak) == pytest.approx(expected, abs=0.2) and estimate.peak <= CARD
    assert estimate.peak == sum(estimate.breakdown.values())


@pytest.mark.parametrize("name", ["cvt", "swin"])
def test_large_models_fit_64_images_with_offload(name, request):
    estimate = request.getfixturevalue(name).estimate(zero2(64, offload=True))
    assert estimate.peak <= 8.5 * GIB
    assert estimate.breakdown["optimizer"] == 0 and estimate.breakdown["ema"] < GIB / 64
    assert estimate.host > 2 * GIB


@pytest.mark.parametrize(("checkpointing", "micro_batch"), [("none", 32), ("blocks", 64)])
def test_resnet_fits_under_ddp(resnet, checkpointing, micro_batch):
    estimate = resnet.estimate(Settings("ddp", checkpointing, False, "adamw", micro_batch))
    assert estimate.peak <= CARD
    assert gib(estimate.breakdown["parameters"]) == pytest.approx(193.6e6 * 4 / GIB, rel=0.01)


def test_known_activations():
    """ResNet-101 at 448 in bf16, batch 8, trained whole: 2.0 GiB."""
    config = configuration("resnet101_448", "model.head=linear", "model.weights=none", "model.freeze=none")
    trace = Tracer(config, 80, 1).trace(8, "none", half_weights=False, keep_gradients=False)
    assert gib(trace.activations) == pytest.approx(2.0, abs=0.03)


def test_two_linear_layers_by_hand():
    model = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 16))
    memory = LiveMemory()
    memory.leave_out(model.parameters())
    with memory:
        loss = model(torch.empty(4096, 16)).square().sum()
        kept = dict(memory.live)
        memory.kind = "temporary"
        loss.backward()
    assert kept["activations"] == 4 * 4096 * (16 + 32 + 16) + 512  # input, relu's result, the last layer's, the loss
    assert memory.peak > sum(kept.values()) and memory.live["activations"] == 512
    assert memory.flops == 2 * 4096 * 16 * 32 * (2 + 3)  # the first layer's input needs no gradient


@pytest.mark.parametrize("transposed", [False, True])
def test_each_gradient_of_a_depthwise_convolution_costs_as_much_as_its_forward_pass(transposed):
    kind = nn.ConvTranspose2d if transposed else nn.Conv2d
    model, memory = kind(64, 64, 3, stride=2, padding=1, groups=64), LiveMemory()
    with memory:
        out = model(torch.empty(2, 64, 8, 8).requires_grad_())
        forward = memory.flops
        out.sum().backward()
    places = 2 * 8 * 8 if transposed else 2 * 4 * 4
    assert forward == 2 * 64 * places * 9 and memory.flops == 3 * forward


def test_shards_of_zero2():
    sizes = Sizes(trainable=1000, largest=100, frozen=10, buffers=4)
    on_gpu = state_bytes(sizes, zero2(1), 2, "bf16", ema=True, accumulates=False)
    assert on_gpu.gpu["parameters"] == 2 * 1014 and on_gpu.gpu["optimizer"] == 12 * 500
    copied = 2 * (4 * 1000 + 10 + 2 * 4)  # half of weights, moments and average, in four bytes each
    assert on_gpu.gpu["ema"] == 4 * 500 + 4 * 4 and on_gpu.host == copied
    on_host = state_bytes(sizes, zero2(1, offload=True), 2, "bf16", ema=True, accumulates=False)
    assert on_host.gpu["optimizer"] == 0 and on_host.gpu["ema"] == 16 and on_host.host == copied + (12 + 4 + 6) * 500


def test_the_bucket_of_zero2_holds_no_more_than_all_gradients():
    """Two copies; DeepSpeed allocates what it is told, however small the model is."""
    small, large = (Sizes(trainable=count, largest=100, frozen=0, buffers=0) for count in (1000, 2**27))
    gradients = [
        state_bytes(sizes, zero2(1), 2, "bf16", ema=False, accumulates=False).gpu["gradients"]
        for sizes in (small, large)
    ]
    assert gradients == [2 * (500 + 100 + 2 * 1000), 2 * (2**26 + 100 + 2 * 2**25)]


def test_eight_bit_moments_take_two_bytes_and_a_scale_each_256(cvt):
    assert moment_bytes("adamw", 1000) == 8000 and moment_bytes("adamw8bit", 1000) == 2 * 1000 + 4 * 2 * 4
    exact, quantised = (cvt.estimate(replace(zero2(48), optimizer=name)) for name in ("adamw", "adamw8bit"))
    shard = cvt.sizes.trainable / 2
    assert exact.peak - quantised.peak == pytest.approx((8 - 2 - 8 / 256) * shard, abs=8)
    assert cvt.seconds(replace(zero2(48), optimizer="adamw8bit")) < cvt.seconds(zero2(48))


def test_eight_bit_moments_are_a_choice_after_exact_ones(cvt):
    optimizers = [settings.optimizer for settings in cvt._combinations(configured=False) if not settings.offload]
    assert optimizers == ["adamw", "adamw", "adamw8bit", "adamw8bit"]
    assert {settings.optimizer for settings in cvt._combinations(configured=True)} == {"adamw"}


def test_command_prints_one_json_document(capsys):
    status = command.main(
        [str(CONFIGS / "demo.yaml"), "--gpu-memory", "12GiB", "--gpus", "1", "--labels", "10", "--json"]
    )
    printed = json.loads(capsys.readouterr().out)
    assert status == 0 and printed["fits"] and printed["gpus"] == 1
    assert printed["peak_bytes"] == sum(printed["breakdown"].values())
    least, most = printed["peak_bounds_bytes"]
    assert least < printed["peak_bytes"] < most
    assert set(printed["breakdown"]) == {
        "parameters", "gradients", "optimizer", "ema", "activations", "temporary", "fixed",
    }  # fmt: skip
    assert printed["max_micro_batch"] >= 16 and printed["settings"]["engine.micro_batch"] == 16


def test_on_a_machine_with_gpus_the_least_that_is_free_counts(capsys, monkeypatch):
    free = {0: 9 * GIB, 1: 7 * GIB}
    monkeypatch.setattr(command, "usable_gpus", lambda: 2)
    monkeypatch.setattr(command, "gpu_memory", free.__getitem__)
    assert command.main([str(CONFIGS / "demo.yaml"), "--labels", "10", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert (printed["gpus"], printed["gpu_memory_bytes"]) == (2, 7 * GIB)


def test_gpus_that_torch_cannot_use_do_not_count(capsys, monkeypatch):
    """With an older driver than torch's CUDA wants, torch counts the cards but has none."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert command.main([str(CONFIGS / "demo.yaml"), "--labels", "10", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert (printed["gpus"], printed["gpu_memory_bytes"]) == (command.DEFAULT_GPUS, command.DEFAULT_MEMORY)
    assert (this_machine().gpus, this_machine().gpu_memory) == (0, 0)


@pytest.mark.parametrize("compiled", ["true", "auto", "false"])
def test_that_compiling_is_not_modelled_is_said(compiled, capsys):
    words = ["--gpus", "1", "--labels", "10", f"engine.compile={compiled}"]
    command.main([str(CONFIGS / "demo.yaml"), *words])
    table = capsys.readouterr().out
    command.main([str(CONFIGS / "demo.yaml"), *words, "--json"])
    notes = json.loads(capsys.readouterr().out)["notes"]
    assert (f"engine.compile={compiled} is not modelled" in table) == (len(notes) == 1) == (compiled != "false")
    assert "not measured" in table


def test_nothing_fits(capsys):
    assert command.main([str(CONFIGS / "demo.yaml"), "--gpu-memory", "64MiB", "--gpus", "1"]) == 1
    assert "nothing fits" in capsys.readouterr().out


@pytest.mark.parametrize("wrong", [("--gpu-memory", "lots"), ("--gpu-memory", "12"), ("--gpus", "0")])
def test_bad_usage(wrong, capsys):
    with pytest.raises(SystemExit) as stopped:
        command.main([str(CONFIGS / "demo.yaml"), *wrong])
    assert stopped.value.code == 2 and wrong[1] in capsys.readouterr().err


def test_columns_of_the_table_never_meet():
    """Names and values may be of any length."""
    settings = Settings("an_engine_with_a_long_name", "some_checkpointing", True, "an_optimizer_of_25_letters", 1024)
    sizes = dict.fromkeys(COMPONENTS, 123_456 * GIB)
    plan = Plan(Estimate(settings, sizes, 9 * GIB, 2), 0, Estimate(zero2(8), sizes, 0, 2), 2, CARD)
    rows = [re.split(r" {2,}", line) for line in as_table(plan).splitlines()]
    table = rows[: 3 + len(BOUNDS) + len(COMPONENTS) + len(settings.overrides())]
    assert table[0] == ["GiB a GPU", "as configured", "fastest that fits"]
    assert ["parameters", "123456.00", "123456.00"] in table
    for key, value in settings.overrides().items():
        assert [key, str(value).lower(), str(zero2(8).overrides()[key]).lower()] in table
    assert {len(row) for row in table} == {3}


def test_a_micro_batch_beyond_what_is_looked_for_is_said_to_be_more():
    settings = Settings("single", "none", False, "adamw", 8)
    estimate = Estimate(settings, dict.fromkeys(COMPONENTS, GIB), 0, 1)
    said = [as_table(Plan(estimate, largest, estimate, 1, CARD)) for largest in (LARGEST, LARGEST - 1)]
    assert "its largest micro-batch is 1024 or more" in said[0] and said[1].endswith("micro-batch is 1023")


def test_the_error_bar_leaves_exact_what_is():
    """Weights and state keep their bytes; activations and temporaries, and what torch does not allocate, vary."""
    exact = dict.fromkeys(COMPONENTS, GIB) | {"activations": 0, "temporary": 0}
    estimates = [Estimate(zero2(8), exact, 0, gpus) for gpus in (1, 2)]
    assert [estimate.predicted for estimate in estimates] == [(4 * GIB, 4 * GIB, 4 * GIB)] * 2
    spans = [estimate.bounds[1] - estimate.bounds[0] for estimate in estimates]
    assert spans == [(600 - 150 + 256 - 18) * MIB, (600 - 150 + 256 - 18 + 400 - 30) * MIB]
    varying = exact | {"activations": 2 * GIB, "temporary": 2 * GIB}
    least, likely, most = Estimate(zero2(8), varying, 0, 1).predicted
    assert likely == 8 * GIB
    assert least == pytest.approx((4 + 0.97 * 4) * GIB, abs=2) and most == pytest.approx((4 + 1.06 * 4) * GIB, abs=2)


def test_a_verdict_that_the_error_bar_may_turn_round_says_so():
    estimate = Estimate(zero2(8), dict.fromkeys(COMPONENTS, GIB), 0, 2)
    least, most = estimate.bounds
    assert least < estimate.peak < most
    said = {room: as_table(Plan(estimate, 8, estimate, 2, room)) for room in (most, most - 1, least, least - 1)}
    assert [("it may" in text) for text in said.values()] == [False, True, True, False]
    assert "does not fit" in said[least] and "it may fit" in said[least] and "is safer" in said[most - 1]


@pytest.mark.parametrize(("micro_batch", "helps"), [(8, True), (1, False)])
def test_a_smaller_micro_batch_is_advised_where_it_helps(micro_batch, helps):
    estimate = Estimate(zero2(micro_batch), dict.fromkeys(COMPONENTS, GIB), 0, 2)
    said = as_table(Plan(estimate, 8, estimate, 2, estimate.bounds[1] - 1))
    assert ("a smaller engine.micro_batch is safer" in said) == helps and "it may take up to" in said
    small = Estimate(zero2(micro_batch), dict.fromkeys(COMPONENTS, MIB), 0, 2)  # the context and its like decide
    assert "is safer" not in as_table(Plan(small, 8, small, 2, small.peak))


def test_a_suggestion_that_may_not_fit_says_so():
    sure, doubtful = (Estimate(zero2(8), dict.fromkeys(COMPONENTS, size), 0, 2) for size in (GIB // 2, GIB))
    other = replace(doubtful, settings=zero2(16))
    said = as_table(Plan(sure, 8, other, 2, other.bounds[1] - 1)).splitlines()
    assert said[-2].startswith("suggested: ") and said[-1].startswith("it may take up to") and "may" not in said[-3]


def test_the_optimizers_step_is_exact(cvt):
    """Where it is the peak, it takes what it takes; a batch of one image shows it."""
    estimate = cvt.estimate(zero2(1))
    assert estimate.breakdown["activations"] == 0 and estimate.breakdown["temporary"] > GIB / 2
    assert estimate.predicted == (estimate.allocated,) * 3


def test_images_that_a_mix_adds_are_counted():
    """Eight with two mixed ones are ten."""
    trace = {
        (mix, size): Tracer(configuration("demo", f"data.mix={mix}"), 10, 100).trace(size, "none", False, False)
        for mix, size in (("none", 10), ("splicemix", 8), ("mixup", 8), ("none", 8))
    }
    assert trace["splicemix", 8].activations == pytest.approx(trace["none", 10].activations, rel=1e-3)
    assert trace["splicemix", 8].flops == trace["none", 10].flops
    assert trace["mixup", 8] == trace["none", 8]


GROWTH = {  # bytes of a pass over so many images
    "in proportion": lambda size: 40 * MIB * size,
    "with its square": lambda size: 2 * MIB * size**2,
    "in jumps": lambda size: 400 * MIB * (1 + size // 10),
    "slower once it is cut": lambda size: 60 * MIB * size if size < 20 else 900 * MIB + 15 * MIB * size,
}


def planner_with(growth: str, memory: int, monkeypatch, *overrides: str) -> Planner:
    """Of a card whose traces are made up."""
    planner = Planner(configuration("resnet101_448", *WIDE, *overrides), gpus=1, gpu_memory=memory)
    traced = lambda size, *_: StepTrace(GROWTH[growth](size), 0, 0, 10**9 * size)  # noqa: E731  # shorter than a def
    monkeypatch.setattr(planner.tracer, "trace", traced)
    return planner


@pytest.mark.parametrize("memory", [4.2, 5, 6, 9])
@pytest.mark.parametrize("growth", GROWTH)
def test_the_largest_micro_batch_fits_and_one_image_more_does_not(growth, memory, monkeypatch):
    planner = planner_with(growth, int(memory * GIB), monkeypatch)
    settings = planner.configured()
    largest = planner.largest_micro_batch(settings)
    estimates = [planner.estimate(replace(settings, micro_batch=size)) for size in (largest, largest + 1)]
    assert estimates[0].peak <= memory * GIB < estimates[1].peak
    best = planner.best()
    largest = planner.largest_micro_batch(best.settings)
    assert best.settings.micro_batch == max(size for size in (1, 2, 4, 8, 16, 32, 64) if size <= largest)


def test_no_micro_batch_is_named_where_the_optimizers_step_does_not_fit(monkeypatch):
    one_image = ("engine.micro_batch=1", "engine.global_batch=1")
    planner = planner_with("in proportion", int(3.5 * GIB), monkeypatch, *one_image)
    settings = planner.configured()
    assert planner._excess(settings, 1) < 0 < planner.estimate(settings).peak - planner.gpu_memory
    assert planner.largest_micro_batch(settings) == 0


def test_of_very_many_labels_the_largest_micro_batch_is_that_of_the_suggestion():
    plan = Planner(configuration("resnet101_448", *WIDE), gpus=1, gpu_memory=CARD, num_labels=10_000).plan()
    assert replace(plan.best.settings, micro_batch=0) == replace(plan.estimate.settings, micro_batch=0)
    assert plan.max_micro_batch == plan.best.settings.micro_batch == 4
