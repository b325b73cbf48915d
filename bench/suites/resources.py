"""Registers, spills and shared memory of the models' Triton kernels, compiled ahead of time, without a GPU too."""

import re
import subprocess
import tempfile
from pathlib import Path

import torch
import triton.backends.nvidia
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource, CompiledKernel, compile

from bench.suites import Context, Row, Rows
from mlcfast.ops import tiles, triton_layers
from mlcfast.ops.groupwise_linear import triton as triton_head
from mlcfast.ops.label_query_attention import triton_kernels

# Kernel -> its module, constants and warps, with the tiles that arithmetic chooses for a small card; channels as in
# CvT's widest stage, keys folded and values projected, the head as wide as TResNet-L's (2432), the widest published.
_LAYOUTS = {"SCORES_BY_HEAD": False, "KEPT_BY_HEAD": True}
_WEIGHTS = {"DROPOUT": True, "KEPT": True, **_LAYOUTS, **tiles.CANDIDATES["weights_kernel"][0]}
_GELU = {"SLOPE": 1.702, "BLOCK": triton_layers.BLOCK, "num_warps": triton_layers.NUM_WARPS}
_NORM = triton_layers.norm_launch(1024, tiles.CANDIDATES["layer_norm_kernel"][0])
_LINEAR = {"BLOCK": 4096, "num_warps": triton_head.warps(4096)}
KERNELS = {"weights_kernel": (triton_kernels, _WEIGHTS)}
KERNELS |= {"weights_backward_kernel": (triton_kernels, {"BETA": True, **_WEIGHTS})}
KERNELS |= {f"quick_gelu{way}_kernel": (triton_layers, _GELU) for way in ("", "_backward")}
KERNELS |= {f"layer_norm{way}_kernel": (triton_layers, _NORM) for way in ("", "_backward")}
KERNELS |= {f"groupwise_linear{way}_kernel": (triton_head, _LINEAR) for way in ("", "_backward")}
WITHOUT_GPU = (80, 86, 90, 120)
_HALF = ("grad_x", "scores", "weights", "kept", "row_sums", "grad", "beta", "grad_scores", "x", "y", "dx")
_WIDE = ("weight", "bias", "mean", "rstd", "dw", "db")
_HEAD = ("grad", "gamma", "beta", "logits", "moments")  # fp32 in the head's kernels, whatever its states are
_SCALARS = {"seed": "*i64", **dict.fromkeys(("scale", "temperature", "eps"), "fp32")}
_MULTIPLES_OF_16 = ("K", "C", "G", "D", "entries")  # as at run time for 80 labels and published widths


def rows(context: Context) -> Rows:
    """One row a kernel, dtype and architecture."""
    major, minor = torch.cuda.get_device_capability() if context.on_gpu else (0, 0)
    for arch in context.listed("architectures", (10 * major + minor,) if context.on_gpu else WITHOUT_GPU):
        for dtype in ("bf16", "fp32"):
            for kernel in KERNELS:
                yield resources(kernel, dtype, arch)


def compiled(name: str, dtype: str, arch: int, **changed: int) -> CompiledKernel:
    """One kernel with dropout, compiled for compute capability arch / 10; changed: other constants than the table's."""
    module, own = KERNELS[name]
    constants = own | changed
    warps = constants.pop("num_warps")
    kernel = getattr(module, name)
    types = dict.fromkeys(_WIDE, "*fp32") | dict.fromkeys(_HALF, f"*{dtype}") | _SCALARS
    types |= dict.fromkeys(_HEAD, "*fp32") if module is triton_head else {}
    types |= dict.fromkeys(constants, "constexpr")
    signature = {argument: types.get(argument, "i32") for argument in kernel.arg_names}
    aligned = [i for i, n in enumerate(kernel.arg_names) if signature[n].startswith("*") or n in _MULTIPLES_OF_16]
    attributes = {(i,): [["tt.divisibility", 16]] for i in aligned}
    source = ASTSource(kernel, signature, constexprs=constants, attrs=attributes)
    return compile(source, target=GPUTarget("cuda", arch, 32), options={"num_warps": warps})


def resources(name: str, dtype: str, arch: int, **changed: int) -> Row:
    """Compile one kernel and read its resource usage."""
    kernel = compiled(name, dtype, arch, **changed)
    tool = Path(triton.backends.nvidia.__file__).parent / "bin" / "cuobjdump"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(kernel.asm["cubin"])
        file.flush()
        report = subprocess.run([tool, "-res-usage", file.name], capture_output=True, text=True, check=True).stdout
    usage = {key: int(value) for key, value in re.findall(r"(REG|STACK):(\d+)", report)}
    row = {"kernel": name, "dtype": dtype, "arch": arch, "registers": usage["REG"], "spilled_bytes": usage["STACK"]}
    return row | {"shared_bytes": kernel.metadata.shared}
