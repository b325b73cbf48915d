"""Registers, spills and shared memory of the attention's Triton kernels, compiled without a GPU.

python -m bench.triton_resources [--arch 86 90] prints one JSON line a kernel, dtype and architecture.
"""

import argparse
import json
import re
import subprocess
import tempfile
from pathlib import Path

import torch
import triton.backends.nvidia
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource, compile

from mlcfast.ops.label_query_attention import triton_kernels
from mlcfast.ops.label_query_attention.triton_launch import NUM_STAGES, NUM_WARPS, tiles

KERNELS = ("attend", "backward_rows", "backward_cells")
DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}
_SUMS = ("lse", "row_sums", "beta", "deltas", "scratch")
_TENSORS = ("a", "x", "p", "pooled", "grad", "grad_a", "grad_x")
_MULTIPLES_OF_16 = ("D", "a_stride", "p_stride")  # as at run time for every published width


def resources(name: str, dtype: str, arch: int) -> dict[str, int | str]:
    """Compile one kernel with position and dropout for compute capability arch / 10 and read its resource usage."""
    kernel = getattr(triton_kernels, name)
    constants = {"POSITION": True, "DROPOUT": True, **tiles(DTYPES[dtype])}
    types = dict.fromkeys(_SUMS, "*fp32") | dict.fromkeys(_TENSORS, f"*{dtype}") | {"seed": "*i64", "scale": "fp32"}
    types |= dict.fromkeys(constants, "constexpr")
    signature = {argument: types.get(argument, "i32") for argument in kernel.arg_names}
    aligned = [i for i, n in enumerate(kernel.arg_names) if signature[n].startswith("*") or n in _MULTIPLES_OF_16]
    source = ASTSource(
        kernel, signature, constexprs=constants, attrs={(i,): [["tt.divisibility", 16]] for i in aligned}
    )
    options = {"num_warps": NUM_WARPS, "num_stages": NUM_STAGES}
    compiled = compile(source, target=GPUTarget("cuda", arch, 32), options=options)
    usage = _usage(compiled.asm["cubin"])
    return {
        "kernel": name,
        "dtype": dtype,
        "arch": arch,
        "registers": usage["REG"],
        "spilled_bytes": usage["STACK"],
        "shared_bytes": compiled.metadata.shared,
    }


def _usage(cubin: bytes) -> dict[str, int]:
    tool = Path(triton.backends.nvidia.__file__).parent / "bin" / "cuobjdump"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        report = subprocess.run([tool, "-res-usage", file.name], capture_output=True, text=True, check=True).stdout
    return {key: int(value) for key, value in re.findall(r"(REG|STACK):(\d+)", report)}


def main() -> None:
    """Print the resources of every kernel."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arch", type=int, nargs="+", default=[80, 86, 90, 120])
    parser.add_argument("--dtype", nargs="+", default=["bf16", "fp32"], choices=list(DTYPES))
    args = parser.parse_args()
    for arch in args.arch:
        for dtype in args.dtype:
            for name in KERNELS:
                print(json.dumps(resources(name, dtype, arch)))


if __name__ == "__main__":
    main()
