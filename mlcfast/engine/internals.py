"""Adapters to the private parts of DeepSpeed and torch that engines use, with the version each was read from.

DeepSpeed 0.19.8 (runtime/zero/stage_1_and_2.py, utils/mixed_precision_linkage.py, comm/torch.py) and torch 2.14's
DistributedDataParallel, fused kernels, nn.Module.compile and folder of extensions. `check_deepspeed` fails at the start
of a run, by name, when a later version has moved what a run needs; tests/engine/test_internals.py does so in the suite.
"""

import inspect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from mlcfast.errors import RunError
from mlcfast.stopwatch import Stopwatch

DEEPSPEED = "0.19.8"  # the version that the names below were read from
OF_THE_OPTIMIZER = (
    "single_partition_of_fp32_groups",
    "bit16_groups",
    "averaged_gradients",
    "average_tensor",
    "overflow",
    "loss_scaler",
    "update_lp_params",
)
OF_A_SCALER = ("cur_iter", "last_overflow_iter", "scale_window", "cur_hysteresis", "delayed_shift")  # one that moves
OF_A_FRAGMENT = ("lp_fragment_address", "hp_fragment_address")


def extension_to_compile() -> str | None:
    """The extension that `deepspeed.initialize` will have to compile here; None where there is nothing to compile.

    On the CPU alone it loads one (build_shm_op), which ninja makes in torch's folder of extensions for every later run.
    """
    from deepspeed.accelerator import get_accelerator
    from deepspeed.git_version_info import installed_ops
    from deepspeed.ops import __compatible_ops__ as fit
    from torch.utils import cpp_extension

    builder = get_accelerator().create_op_builder("ShareMemCommBuilder")
    folder_of = getattr(cpp_extension, "_get_build_directory", None)
    if builder is None or folder_of is None or not fit.get(builder.NAME) or installed_ops.get(builder.NAME):
        return None
    there = Path(folder_of(builder.NAME, verbose=False), f"{builder.NAME}.so").exists()
    return None if there else builder.NAME


class ZeroState:
    """ZeRO-2's partitioned state of one rank, as DeepSpeed's optimizer holds it.

    parameters: the module's trainable parameters by name. Raises RunError where DeepSpeed has moved what is read here.
    """

    def __init__(self, zero: Any, parameters: dict[str, nn.Parameter]):
        self._zero, self.parameters = zero, parameters
        check_deepspeed(zero, parameters.values())

    @property
    def masters(self) -> list[Tensor]:
        """This rank's flat fp32 part of each parameter group."""
        return self._zero.single_partition_of_fp32_groups

    @property
    def groups(self) -> dict[str, int]:
        """The number of each parameter's group."""
        numbers = {id(p): number for number, group in enumerate(self._zero.bit16_groups) for p in group}
        return {name: numbers[id(parameter)] for name, parameter in self.parameters.items()}

    @property
    def gradients(self) -> list[Tensor]:
        """This rank's parts of the mean gradient, from the last micro-batch's backward pass until the step.

        Padding between them is zeros.
        """
        held = self._zero.averaged_gradients
        return [part for number in range(len(self._zero.bit16_groups)) for part in held[number]]

    @property
    def overflow(self) -> bool:
        """Whether the last step was left out for a gradient that is not finite."""
        return bool(self._zero.overflow)

    @property
    def scaler(self) -> dict[str, float]:
        """fp16's factor of the loss, its growth counter, and how many more overflows leave it as it is.

        The first two under the names of torch's GradScaler. The counter is of good steps since the factor last changed,
        as DeepSpeed counts them: from 1 to the number that it grows after, 0 before the first.
        """
        held = self._zero.loss_scaler
        good = held.cur_iter - held.last_overflow_iter - 1
        counted = (good - 1) % held.scale_window + 1 if good else 0
        return {"scale": float(held.cur_scale), "_growth_tracker": counted, "hysteresis": held.cur_hysteresis}

    @scaler.setter
    def scaler(self, state: dict[str, float]) -> None:
        held = self._zero.loss_scaler
        held.cur_scale = state["scale"]
        held.last_overflow_iter = held.cur_iter - 1 - int(state.get("_growth_tracker", 0))
        held.cur_hysteresis = int(state.get("hysteresis", held.delayed_shift))  # GradScaler has none

    def time_exchange(self, stopwatch: Stopwatch) -> None:
        """Let `stopwatch` time every reduction of a bucket of gradients, for which the backward pass waits."""
        reduce = self._zero.average_tensor

        def timed(*bucket: Any) -> None:
            with stopwatch.of("exchanging"):
                reduce(*bucket)

        self._zero.average_tensor = timed

    def refresh_parameters(self) -> None:
        """Give every rank the parameters in the training precision anew from the masters; a collective."""
        self._zero.update_lp_params()

    def pieces(self, name: str, shard: Tensor, flat: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """(view of the flattened parameter `flat`, view of this rank's `shard`) where the rank holds a piece of it."""
        for start, held in self.held(name, shard):
            yield flat.narrow(0, start, held.numel()), held

    def held(self, name: str, shard: Tensor) -> Iterator[tuple[int, Tensor]]:
        """(start in the flattened parameter, view of this rank's `shard`) where the rank holds a piece of it."""
        mapping = getattr(self.parameters[name], "_hp_mapping")  # noqa: B009 - torch does not know the attribute
        if mapping is not None:
            here, there = mapping.lp_fragment_address, mapping.hp_fragment_address
            yield here.start, shard.detach().narrow(0, there.start, there.numel)


def check_deepspeed(zero: Any, parameters: Iterable[nn.Parameter]) -> None:
    """RunError that names the first private part of DeepSpeed which is not where it was."""
    gone = [f"optimizer.{name}" for name in OF_THE_OPTIMIZER if not hasattr(zero, name)]
    if not gone and not hasattr(zero.loss_scaler, "cur_scale"):
        gone = ["loss_scaler.cur_scale"]
    if not gone and getattr(zero.loss_scaler, "dynamic", False):
        gone = [f"loss_scaler.{name}" for name in OF_A_SCALER if not hasattr(zero.loss_scaler, name)]
    mappings = [getattr(parameter, "_hp_mapping", "") for parameter in parameters]
    if "" in mappings:
        gone.append("parameter._hp_mapping")
    held = next((mapping for mapping in mappings if mapping), None)
    gone += [f"_hp_mapping.{name}" for name in OF_A_FRAGMENT if held is not None and not hasattr(held, name)]
    if gone:
        import deepspeed

        raise RunError(
            f"DeepSpeed {deepspeed.__version__} has no {gone[0]} any more, which engine zero2 reads: "
            f"install deepspeed=={DEEPSPEED}"
        )


def data_parallel(module: nn.Module, devices: list[int] | None, ignored: Sequence[str] = ()) -> DistributedDataParallel:
    """DDP that sends no buffers with each step and leaves the parameters called `ignored` alone."""
    if ignored:
        DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(module, list(ignored))
    renamed = "forward_sync_buffers" in inspect.signature(DistributedDataParallel).parameters  # since torch 2.15
    unsent: dict[str, Any] = {"forward_sync_buffers" if renamed else "broadcast_buffers": False}
    return DistributedDataParallel(module, device_ids=devices, gradient_as_bucket_view=True, **unsent)


def inside_data_parallel(module: nn.Module) -> AbstractContextManager[None]:
    """Within the block torch.compile cuts what it compiles at DDP's buckets, as it does where DDP calls the module.

    So gradients are exchanged while the backward pass goes on. Nothing where `module` is no DDP.
    """
    return module._inside_ddp_forward() if isinstance(module, DistributedDataParallel) else nullcontext()


def execute_as(model: nn.Module, options: Mapping[str, Any] | None) -> None:
    """Compile `model` by these options of torch.compile where it trains; None leaves it as it is written.

    In evaluation mode it stays as it is written: compiling it again, for other shapes too, takes longer than most runs
    would gain. Copies and state dicts of the model know nothing of it. RuntimeError where torch no longer keeps the
    compiled form where it is looked for here.
    """
    model._compiled_call_impl = None
    if options is None:
        return
    model.compile(**options)
    compiled, plain = model._compiled_call_impl, model._call_impl
    if compiled is None:
        raise RuntimeError(f"torch {torch.__version__} keeps the compiled form of a module elsewhere")
    model._compiled_call_impl = lambda *args, **named: (compiled if model.training else plain)(*args, **named)


def skips_on_device(optimizer: torch.optim.Optimizer) -> bool:
    """Whether a step reads `found_inf` on the device: torch's fused optimizers, as GradScaler asks them, and ours."""
    return getattr(optimizer, "_step_supports_amp_scaling", False) or hasattr(type(optimizer), "found_inf")


@torch.no_grad()
def follow(averages: Sequence[Tensor], sources: Sequence[Tensor], weight: float, skipped: Tensor) -> None:
    """average ← average + weight · (source − average) for every pair, or nothing at all where `skipped` is 1.

    averages, sources: fp32 on one device, each pair of one layout in memory; skipped: 0-d fp32 there. One operation,
    which reads `skipped` on the device and touches 12 bytes an element: torch's fused SGD, whose step is
    average − lr · (source + decay · average), with lr = −weight and decay = −1.
    """
    if averages:
        torch._fused_sgd_(
            list(averages),
            list(sources),
            [],
            weight_decay=-1.0,
            momentum=0.0,
            lr=-weight,
            dampening=0.0,
            nesterov=False,
            maximize=False,
            is_first_step=False,
            found_inf=skipped,
        )
