"""What the device itself can do, measured first: bytes copied a second, and bf16 and fp32 matrix products."""

from collections.abc import Callable, Iterator

import torch

from bench.record import Row
from bench.suites import Context
from bench.timing import interleaved, quantiles_ms

GIB = 2**30


def rows(context: Context) -> Iterator[Row]:
    """One row a ceiling: bytes a second (read plus written), FLOP a second; random data, far larger than a cache."""
    size = min(4 * GIB, torch.cuda.get_device_properties(0).total_memory // 8) if context.on_gpu else GIB // 4
    size -= size % 4
    yield _copy(size, context)
    for name, dtype, tf32 in (
        ("bf16 product", torch.bfloat16, False),
        ("fp32 product", torch.float32, False),
        ("tf32 product", torch.float32, True),
    ):
        if tf32 and not context.on_gpu:
            continue
        torch.backends.cuda.matmul.allow_tf32 = tf32
        yield product(name, dtype, context)


def product(name: str, dtype: torch.dtype, context: Context) -> Row:
    """The row of square matrix products in one type."""
    side = 8192 if context.on_gpu else 1024
    left, right = (torch.randn(side, side, device=context.device).to(dtype) for _ in range(2))
    return _row(name, lambda: left @ right, 2 * side**3, context, side=side)


def _copy(size: int, context: Context) -> Row:
    source = torch.randn(size // 4, device=context.device)
    target = torch.empty_like(source)
    return _row("copy", lambda: target.copy_(source), 2 * size, context, bytes=size)


def _row(name: str, step: Callable[[], object], work: int, context: Context, **size: int) -> Row:
    times = interleaved({name: step}, 20, context.device)[name]
    row = quantiles_ms(times)
    return {"ceiling": name, "per_second": work / (row["p50_ms"] / 1e3), **row, **size}
