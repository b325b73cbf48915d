"""What the device itself can do, measured first: bytes copied a second, and bf16 and fp32 matrix products."""

from collections.abc import Callable

import torch

from bench.suites import Context, Row, Rows
from bench.timing import interleaved, quantiles_ms

GIB = 2**30


def rows(context: Context) -> Rows:
    """One row a ceiling: bytes a second (read plus written), FLOP a second; random data, far larger than a cache."""
    size = min(4 * GIB, torch.cuda.get_device_properties(0).total_memory // 8) // 4 * 4 if context.on_gpu else GIB // 4
    source = torch.randn(size // 4, device=context.device)
    target = torch.empty_like(source)
    yield _row("copy", lambda: target.copy_(source), 2 * size, context, bytes=size)
    yield product("bf16 product", torch.bfloat16, context)
    yield product("fp32 product", torch.float32, context)
    if context.on_gpu:
        torch.backends.cuda.matmul.allow_tf32 = True
        yield product("tf32 product", torch.float32, context)


def product(name: str, dtype: torch.dtype, context: Context) -> Row:
    """The row of square matrix products in one type."""
    side = 8192 if context.on_gpu else 1024
    left, right = (torch.randn(side, side, device=context.device).to(dtype) for _ in range(2))
    return _row(name, lambda: left @ right, 2 * side**3, context, side=side)


def _row(name: str, step: Callable[[], object], work: int, context: Context, **size: int) -> Row:
    row = quantiles_ms(interleaved({name: step}, 20, context.device)[name])
    return {"ceiling": name, "per_second": work / (row["p50_ms"] / 1e3), **row, **size}
