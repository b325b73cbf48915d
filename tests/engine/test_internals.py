"""The private parts of DeepSpeed and torch that the engines use are where they were, and a move is named."""

import inspect
import json
import random
from types import SimpleNamespace

import pytest
import torch
from deepspeed.comm.torch import build_shm_op
from deepspeed.runtime.fp16.loss_scaler import DynamicLossScaler
from torch.utils.cpp_extension import _get_build_directory

from mlcfast.engine.internals import ZeroState, check_deepspeed, extension_to_compile, follow, skips_on_device
from mlcfast.errors import RunError


def zero_optimizer(**changes):
    """What check_deepspeed looks at, with some of it moved (None)."""
    parts = {
        "single_partition_of_fp32_groups": [],
        "bit16_groups": [],
        "averaged_gradients": {},
        "average_tensor": lambda *bucket: None,
        "overflow": False,
        "loss_scaler": SimpleNamespace(cur_scale=1.0),
        "update_lp_params": lambda: None,
    } | changes
    return SimpleNamespace(**{name: part for name, part in parts.items() if part is not None})


def parameter(*names: str):
    held = torch.nn.Parameter(torch.zeros(1))
    held._hp_mapping = SimpleNamespace(**dict.fromkeys(names, 0))
    return held


WHOLE = ("lp_fragment_address", "hp_fragment_address")


@pytest.mark.skipif(torch.cuda.is_available(), reason="DeepSpeed compiles nothing beside a GPU")
def test_what_deepspeed_will_compile_is_known_before(tmp_path, monkeypatch):
    """It loads this extension and no other, and builds it from nothing where torch has none of it."""
    loaded = []
    monkeypatch.setattr("deepspeed.ops.op_builder.builder.OpBuilder.load", lambda self: loaded.append(self.NAME))
    build_shm_op()
    monkeypatch.setenv("TORCH_EXTENSIONS_DIR", str(tmp_path))
    name = extension_to_compile()
    assert [name] == loaded and _get_build_directory(name, False) == str(tmp_path / name)
    (tmp_path / name / f"{name}.so").touch()
    assert extension_to_compile() is None


ATTRIBUTES = ("single_partition_of_fp32_groups", "bit16_groups", "averaged_gradients", "overflow")
METHODS = ("average_tensor", "update_lp_params")


@pytest.mark.parametrize("part", [*ATTRIBUTES, *METHODS])
def test_a_part_that_moved_is_named(part):
    check_deepspeed(zero_optimizer(), [parameter(*WHOLE)])
    with pytest.raises(RunError, match=rf"has no optimizer\.{part} any more.*install deepspeed=="):
        check_deepspeed(zero_optimizer(**{part: None}), [parameter(*WHOLE)])


def scaler_of(monkeypatch, window: int = 5) -> tuple[ZeroState, DynamicLossScaler]:
    monkeypatch.setattr("deepspeed.comm.get_rank", lambda: 0)
    held = DynamicLossScaler(2.0**16, window, 1.0, delayed_shift=2, consecutive_hysteresis=False)
    return ZeroState(zero_optimizer(loss_scaler=held), {}), held


def test_the_loss_scaler_goes_on_where_it_was(monkeypatch):
    """After any course of overflows, with its growth counter: the same factors in every later step."""
    draw = random.Random(0)
    for _ in range(200):
        (state, first), (again, second) = scaler_of(monkeypatch), scaler_of(monkeypatch)
        for _ in range(draw.randrange(16)):
            first.update_scale(draw.random() < 0.2)
        again.scaler = json.loads(json.dumps(state.scaler))
        for _ in range(12):
            overflow = draw.random() < 0.2
            first.update_scale(overflow)
            second.update_scale(overflow)
            assert (first.cur_scale, first.cur_hysteresis) == (second.cur_scale, second.cur_hysteresis)


def test_the_loss_scaler_and_torchs_take_over_from_each_other(monkeypatch):
    state, held = scaler_of(monkeypatch, window=1000)
    for _ in range(7):
        held.update_scale(False)
    torchs = torch.amp.GradScaler("cpu")
    torchs.load_state_dict(torchs.state_dict() | state.scaler)
    assert {"scale": 2.0**16, "_growth_tracker": 7}.items() <= torchs.state_dict().items()
    other, _ = scaler_of(monkeypatch, window=1000)
    other.scaler = torchs.state_dict() | {"scale": 512.0}
    assert other.scaler == {"scale": 512.0, "_growth_tracker": 7, "hysteresis": 2}


def test_the_scale_and_the_mapping_are_looked_at_too():
    with pytest.raises(RunError, match="cur_scale"):
        check_deepspeed(zero_optimizer(loss_scaler=SimpleNamespace()), [parameter(*WHOLE)])
    moved = SimpleNamespace(cur_scale=1.0, dynamic=True, cur_iter=0, scale_window=1, cur_hysteresis=1, delayed_shift=1)
    with pytest.raises(RunError, match=r"loss_scaler\.last_overflow_iter"):
        check_deepspeed(zero_optimizer(loss_scaler=moved), [parameter(*WHOLE)])
    with pytest.raises(RunError, match=r"parameter\._hp_mapping"):
        check_deepspeed(zero_optimizer(), [torch.nn.Parameter(torch.zeros(1))])
    with pytest.raises(RunError, match="hp_fragment_address"):
        check_deepspeed(zero_optimizer(), [parameter("lp_fragment_address")])


def test_the_installed_deepspeed_has_them():
    """The names stand in the source that was installed; a run of engine zero2 checks the objects themselves."""
    from deepspeed.runtime.zero.stage_1_and_2 import DeepSpeedZeroOptimizer
    from deepspeed.utils import mixed_precision_linkage, tensor_fragment

    source = inspect.getsource(DeepSpeedZeroOptimizer)
    for name in (*ATTRIBUTES, "loss_scaler"):
        assert f"self.{name}" in source
    assert all(hasattr(DeepSpeedZeroOptimizer, name) for name in METHODS)
    assert "_hp_mapping" in inspect.getsource(mixed_precision_linkage)
    for name in WHOLE:
        assert name in inspect.getsource(tensor_fragment)


def test_ddp_takes_what_it_is_given():
    parameters = inspect.signature(torch.nn.parallel.DistributedDataParallel).parameters
    assert {"forward_sync_buffers", "broadcast_buffers"} & parameters.keys()
    assert hasattr(torch.nn.parallel.DistributedDataParallel, "_set_params_and_buffers_to_ignore_for_model")


def test_fused_optimizers_and_ours_skip_on_the_device():
    p = torch.nn.Parameter(torch.zeros(2))
    assert skips_on_device(torch.optim.AdamW([p], fused=True))
    assert not skips_on_device(torch.optim.AdamW([p]))


def test_the_fused_kernel_follows_as_written_and_reads_nothing_of_a_left_out_step():
    """To the bit what lerp gives below a weight of one half, in any layout; a source that is not finite is not read."""
    torch.manual_seed(0)
    shapes = [(3,), (0,), (), (4, 3, 5, 5)]
    averages = [torch.randn(shape) for shape in shapes]
    averages[3] = averages[3].to(memory_format=torch.channels_last)
    sources = [torch.randn_like(average) for average in averages]
    expected, before = [a.lerp(s, 3e-4) for a, s in zip(averages, sources, strict=True)], [s.clone() for s in sources]
    follow(averages, sources, 3e-4, torch.zeros(()))
    torch.testing.assert_close(averages, expected, rtol=0, atol=0)
    torch.testing.assert_close(sources, before, rtol=0, atol=0)
    follow(averages, [torch.full_like(s, float("nan")) for s in sources], 3e-4, torch.ones(()))
    torch.testing.assert_close(averages, expected, rtol=0, atol=0)
    follow([], [], 3e-4, torch.zeros(()))
