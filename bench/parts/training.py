"""Whole training steps of the published models: images a second, peak memory, and the share of the matrix rate.

`plain torch` is the step as people write it (bench.plain_query2label, the textbook loss); `mlcfast` is what this
project trains, on the same backbone; then its variants: the operators' definitions in place of the operators, blocks
recomputed in the backward pass, torch.compile. bf16 autocast, fused AdamW, 80 labels, random images. Useful work is
three forward passes of the whole model, counted on its plain form, and in a second share of the backbone alone; what is
recomputed is not counted. For ResNets and TResNets three is too much: their frozen first layers have no backward pass.
Before ours is timed, a row says how far its logits are from the plain ones; where they differ it is not timed.
"""

import gc
from collections.abc import Iterator

import torch

from bench.part import Context, first_line
from bench.parts.ceilings import product
from bench.plain_query2label import compared
from bench.record import read
from bench.training_steps import (
    COMPILED,
    DEFINITIONS,
    LABELS,
    OURS,
    PLAIN,
    PLAIN_COMPILED,
    RECOMPUTED,
    built,
    forward_flop,
    stepper,
    timed,
)
from mlcfast.models.published import PUBLISHED
from mlcfast.ops.backend import choose

MICRO_BATCHES = (16, 32, 64, 4, 8)
FIRST = ("Q2L-CvT_w24-384", "Q2L-SwinL-384", "Q2L-R101-448")
OPERATORS = ("label_query_attention", "groupwise_linear", "layer_norm", "quick_gelu")
LONGEST = 12.0  # seconds to build a model and to time its first micro-batch
SAME = 1e-9  # relative, in fp64: small models differ by 1e-15, another function by far more


def visits(on_gpu: bool) -> list[tuple[str, str]]:
    """(model, variant), in the order of what a reader wants to know first."""
    if not on_gpu:
        return [("Q2L-R101-448", variant) for variant in (PLAIN, OURS, DEFINITIONS)]
    found = [(name, variant) for name in FIRST for variant in (PLAIN, OURS)]
    found += [(name, RECOMPUTED) for name in FIRST]
    found += [(name, variant) for name in PUBLISHED if name not in FIRST for variant in (PLAIN, OURS)]
    found += [(name, DEFINITIONS) for name in FIRST]
    return found + [("Q2L-R101-448", variant) for variant in (COMPILED, PLAIN_COMPILED)]


def rows(context: Context) -> Iterator[dict]:
    """One row a model, variant and micro-batch; on the CPU a small ResNet-101 alone, which the row says."""
    rate = _matrix_rate(context)
    for name, variant in visits(context.on_gpu):
        if context.left() < LONGEST * (6 if "compile" in variant else 1):
            yield {"refused": f"no time left for {name}, {variant}"}
            continue
        size = PUBLISHED[name].image_size if context.on_gpu else 224
        common = {"model": name, "image_size": size, "K": LABELS, "dtype": "bfloat16" if context.on_gpu else "float32"}
        refused = _refusal(variant, context)
        if variant == OURS and not refused:
            yield common | _compared(name, size, context)
        refused = refused or (_differing.get(name) if variant.startswith(OURS) else None)
        done = set()
        for row in [] if refused else visit(name, variant, size, context):
            done.add(row["micro_batch"])
            refused = row.pop("broken", None)
            yield common | {"variant": variant} | row | _share(row, name, size, rate)
        for micro_batch in _micro_batches(variant, context) if refused else ():
            if micro_batch not in done:
                yield common | {"variant": variant, "micro_batch": micro_batch, "refused": refused}
        _release(context)
    for name in () if context.on_gpu else PUBLISHED:
        yield {"model": name, "image_size": PUBLISHED[name].image_size, "K": LABELS, "refused": "needs a GPU"}


def visit(name: str, variant: str, size: int, context: Context) -> Iterator[dict]:
    """Build one model and take steps with several micro-batches; one that does not fit ends the larger ones.

    A row with `broken` is the last: why there will be no others.
    """
    step, too_large = None, float("inf")
    for micro_batch in _micro_batches(variant, context):
        if context.left() < LONGEST / 4 or micro_batch >= too_large:
            continue
        row = {"micro_batch": micro_batch}
        try:
            step = step or stepper(name, variant, size, context.device)
            row |= timed(step, micro_batch, size, context.device)
        except torch.OutOfMemoryError:
            # An optimizer that was interrupted while it made its state cannot go on: the next size starts afresh.
            row["refused"], too_large, step = "out of memory", micro_batch, None
        except Exception as error:  # whatever a contender raises, the others are still to be measured
            row["refused"] = row["broken"] = first_line(error)
        if "refused" in row:  # outside the handler, which would hold what the step has allocated
            _release(context)
        yield row
        if "broken" in row:
            return


def _micro_batches(variant: str, context: Context) -> tuple[int, ...]:
    if not context.on_gpu:
        return (2,)
    return (32,) if "compile" in variant else MICRO_BATCHES


def _compared(name: str, size: int, context: Context) -> dict:
    """Our logits beside the plain ones; a difference keeps ours from being timed, a failure to compare does not."""
    half = torch.autocast(context.device, torch.bfloat16)
    row = {"check": "logits of plain torch and mlcfast"}
    try:
        images = torch.randn(1, 3, size, size, device=context.device)
        row |= compared(built(name, size, context.device), images, half)
        bound = 2 * max(row["half_error_plain"], torch.finfo(torch.bfloat16).eps)
        row["agrees"] = row["fp64_difference"] < SAME and row["half_error_mlcfast"] <= bound
        if not row["agrees"]:
            _differing[name] = (
                f"logits are {row['fp64_difference']:.1e} from the plain ones in fp64, and in bf16 "
                f"{row['half_error_mlcfast']:.1e} from the exact ones, plain torch {row['half_error_plain']:.1e}"
            )
    except Exception as error:
        row["refused"] = first_line(error)
    return row


_differing: dict[str, str] = {}


def _share(row: dict, name: str, size: int, rate: float | None) -> dict:
    """FLOP an image, and what the row's images a second are of the measured matrix rate."""
    backbone, whole = forward_flop(name, size)
    found = {"backbone_flop_per_image": backbone, "forward_flop_per_image": whole}
    if rate and "images_per_second" in row:
        done = 3 * row["images_per_second"] / rate
        found["share_of_matrix_rate"] = round(whole * done, 4)
        found["backbone_share_of_matrix_rate"] = round(backbone * done, 4)
    return found


def _matrix_rate(context: Context) -> float | None:
    """The product rate of this precision that the record holds for the device, else measured now."""
    wanted = "bf16 product" if context.on_gpu else "fp32 product"
    found = [row["per_second"] for row in read(context.record) if row.get("ceiling") == wanted and "per_second" in row]
    if found:
        return found[-1]
    try:
        return product(wanted, torch.bfloat16 if context.on_gpu else torch.float32, context)["per_second"]
    except RuntimeError:
        return None


def _refusal(variant: str, context: Context) -> str | None:
    """Why a variant of ours may not be timed; the definitions need no test."""
    if variant in (PLAIN, PLAIN_COMPILED, DEFINITIONS):
        return None
    wanted = [("asymmetric_loss", choose(context.device))] + [(operator, "native") for operator in OPERATORS]
    for operator, backend in wanted:
        if backend == "reference":  # the definition itself, where there are no kernels for the device
            continue
        reason = context.gate.refusal(operator, backend, context.device)
        if reason:
            return f"{operator} by {backend}: {reason}"
    return None


def _release(context: Context) -> None:
    gc.collect()
    if context.on_gpu:
        torch.cuda.empty_cache()
