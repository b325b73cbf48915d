"""Registers, spills and shared memory of the attention's Triton kernels, compiled ahead of time, without a GPU too."""

import re
import subprocess
import tempfile
from pathlib import Path

import torch
import triton.backends.nvidia
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource, compile

from bench.suites import Context, Row, Rows
from mlcfast.ops.label_query_attention import triton_kernels
from mlcfast.ops.label_query_attention.triton_launch import NUM_STAGES, NUM_WARPS, tiles

KERNELS = ("attend", "backward_rows", "backward_cells")
WITHOUT_GPU = (80, 86, 90, 120)
DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}
_SUMS = ("lse", "row_sums", "beta", "deltas", "scratch")
_TENSORS = ("a", "x", "p", "pooled", "grad", "grad_a", "grad_x")
_MULTIPLES_OF_16 = ("D", "a_stride", "p_stride")  # as at run time for every published width


def rows(context: Context) -> Rows:
    """One row a kernel, dtype and architecture."""
    major, minor = torch.cuda.get_device_capability() if context.on_gpu else (0, 0)
    for arch in context.listed("architectures", (10 * major + minor,) if context.on_gpu else WITHOUT_GPU):
        for dtype in ("bf16", "fp32"):
            for kernel in KERNELS:
                yield resources(kernel, dtype, arch)


def resources(name: str, dtype: str, arch: int) -> Row:
    """Compile one kernel with position and dropout for compute capability arch / 10 and read its resource usage."""
    kernel = getattr(triton_kernels, name)
    constants = {"POSITION": True, "DROPOUT": True, **tiles(DTYPES[dtype])}
    types = dict.fromkeys(_SUMS, "*fp32") | dict.fromkeys(_TENSORS, f"*{dtype}") | {"seed": "*i64", "scale": "fp32"}
    types |= dict.fromkeys(constants, "constexpr")
    signature = {argument: types.get(argument, "i32") for argument in kernel.arg_names}
    aligned = [i for i, n in enumerate(kernel.arg_names) if signature[n].startswith("*") or n in _MULTIPLES_OF_16]
    attributes = {(i,): [["tt.divisibility", 16]] for i in aligned}
    source = ASTSource(kernel, signature, constexprs=constants, attrs=attributes)
    options = {"num_warps": NUM_WARPS, "num_stages": NUM_STAGES}
    compiled = compile(source, target=GPUTarget("cuda", arch, 32), options=options)
    tool = Path(triton.backends.nvidia.__file__).parent / "bin" / "cuobjdump"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(compiled.asm["cubin"])
        file.flush()
        report = subprocess.run([tool, "-res-usage", file.name], capture_output=True, text=True, check=True).stdout
    usage = {key: int(value) for key, value in re.findall(r"(REG|STACK):(\d+)", report)}
    row = {"kernel": name, "dtype": dtype, "arch": arch, "registers": usage["REG"], "spilled_bytes": usage["STACK"]}
    return row | {"shared_bytes": compiled.metadata.shared}
