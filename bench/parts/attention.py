"""Label-query attention at the published shapes against every SDPA backend, nn.MultiheadAttention and torch.compile."""

from collections.abc import Iterator

import torch

from bench.attention import PUBLISHED, Case, Setting, measure
from bench.part import Context, first_line
from mlcfast.ops.label_query_attention.plan import PLANS

NATIVE = ("ours", *(f"ours_{plan}" for plan in PLANS))
CVT = "Q2L-CvT_w24-384"
OPERATOR = "label_query_attention"
LONGEST = 10.0  # seconds a case may take with its compilation


def cases(on_gpu: bool) -> list[tuple[Case, str, bool]]:
    """(case, mode, with torch.compile), in the order of what a reader wants to know first."""
    if not on_gpu:
        return [(Case(model, 2, 80), "training", False) for model in (CVT, "Q2L-SwinL-384")]
    found = [(Case(model, 64, 80, queries), "training", False) for queries in QUERIES for model in PUBLISHED]
    found += [(Case(CVT, 16, K), "training", False) for K in (20, 80, 320, 1000, 9605)]
    found += [(Case(CVT, B, 80), "training", False) for B in (1, 4, 256)]
    found += [(Case(model, 64, 80), "inference", False) for model in PUBLISHED]
    found += [(Case(model, 64, 80), "training", True) for model in (CVT, "Q2L-SwinL-384", "Q2L-R101-448")]
    return found + [(Case(model, 1, 80, queries), "training", False) for queries in QUERIES for model in PUBLISHED]


QUERIES = ("shared", "per image")


def rows(context: Context) -> Iterator[dict]:
    """One row a contender and case: bf16 with dropout on a GPU, fp32 without on a CPU."""
    refusals = _refusals(context)
    for case, mode, compiled in cases(context.on_gpu):
        words = f"{case.model}, B {case.B}, K {case.K}, {case.queries} queries, {mode}"
        if context.left() < LONGEST * (2 if compiled else 1):
            yield {"refused": f"no time left for {words}{', torch.compile' * compiled}"}
            continue
        setting = _setting(context, mode, compiled, refusals)
        try:
            yield from (row | {"mode": mode} for row in measure(case, setting, (mode,)))
        except Exception as error:  # one case's trouble, whatever it is, must not cost the others
            yield {"refused": f"{words}: {first_line(error)}"}
        if context.on_gpu:
            torch.cuda.empty_cache()


def _refusals(context: Context) -> dict[str, str]:
    """Why contenders of ours may not be timed: torch's products by any plan, or Triton's kernels."""
    found = dict.fromkeys(NATIVE, context.gate.refusal(OPERATOR, "native", context.device))
    found["ours_triton"] = context.gate.refusal(OPERATOR, "triton", context.device)
    return {name: reason for name, reason in found.items() if reason}


def _setting(context: Context, mode: str, compiled: bool, refusals: dict[str, str]) -> Setting:
    setting = Setting(context.device, compiled=compiled, refusals=refusals)
    if context.on_gpu:
        setting.dtype, setting.dropout = "bfloat16", 0.1 if mode == "training" else 0.0
    else:
        setting.rounds = 3
    return setting
