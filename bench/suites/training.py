"""Whole training steps of the published models: images a second, peak memory, and the share of the matrix rate.

`plain torch` is the step as people write it (bench.baselines.query2label, the textbook loss); `mlcfast` is what this
project trains, on the same backbone; then its variants. Useful work is three forward passes of the whole model, counted
on its plain form; what is recomputed is not counted. Before ours is timed, a row says how far its logits are from the
plain ones; where they differ it is not timed. On the CPU, whose speed drifts, the variants take turns (they
take 10 GB together); on a GPU, whose memory is short, one is timed after the other.
"""

import functools
import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack, nullcontext
from unittest import mock

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from bench.baselines.backbones import PUBLISHED_GELU
from bench.baselines.losses import textbook_asymmetric
from bench.baselines.query2label import PlainQuery2Label, compared
from bench.record import read
from bench.suites import Context, Row, Rows, first_line, release
from bench.suites.ceilings import product
from bench.timing import forced, interleaved, quantiles_ms
from mlcfast.errors import UsageError
from mlcfast.losses import AsymmetricLoss
from mlcfast.models import Query2Label, build_model, enable_activation_checkpointing
from mlcfast.models.published import PUBLISHED
from mlcfast.ops.backend import choose
from mlcfast.ops.layer_norm import layer_norm_reference as layer_norm

LABELS = 80
PLAIN, OURS, DEFINITIONS = "plain torch", "mlcfast", "mlcfast, definitions"
RECOMPUTED = "mlcfast, blocks recomputed"
COMPILED, PLAIN_COMPILED = "mlcfast, torch.compile", "plain torch, torch.compile"
TIMED = 3  # steps
TURNS = 7  # of the variants on the CPU
DIFFER = "logits are {fp64_difference:.1e} from the plain ones in fp64, in bf16 {half_error_mlcfast:.1e} from exact"
DEFINED_NORM = mock.patch("mlcfast.models.cvt.layer_norm", layer_norm)
MICRO_BATCHES = (16, 32, 64, 4, 8)
FIRST = ("Q2L-CvT_w24-384", "Q2L-SwinL-384", "Q2L-R101-448")
OPERATORS = ("label_query_attention", "groupwise_linear", "layer_norm", "quick_gelu")
NATIVE, UNTESTED = [(operator, "native") for operator in OPERATORS], (PLAIN, PLAIN_COMPILED, DEFINITIONS)
LONGEST = 12.0  # seconds to build a model and to time its first micro-batch
SAME = 1e-9  # relative, in fp64: small models differ by 1e-15, another function by far more


def visits(context: Context) -> list[tuple[str, str]]:
    """(model, variant), in the order of what a reader wants to know first."""
    if not context.on_gpu:
        models = context.listed("models", ("Q2L-R101-448",))
        return [(name, variant) for name in models for variant in (PLAIN, OURS, DEFINITIONS)]
    found = [(name, variant) for name in FIRST for variant in (PLAIN, OURS)] + [(name, RECOMPUTED) for name in FIRST]
    found += [(name, variant) for name in PUBLISHED if name not in FIRST for variant in (PLAIN, OURS)]
    found += [(name, DEFINITIONS) for name in FIRST] + [(FIRST[-1], variant) for variant in (COMPILED, PLAIN_COMPILED)]
    return [visit for visit in found if visit[0] in context.listed("models", tuple(PUBLISHED))]


def rows(context: Context) -> Rows:
    """One row a model, variant and micro-batch; on the CPU a small ResNet-101 alone, which the row says."""
    rate, dtype = _matrix_rate(context), "bfloat16" if context.on_gpu else "float32"
    for row in (one_by_one if context.on_gpu else in_turns)(context):
        if "model" in row:
            common = {"model": row["model"], "image_size": _size(row["model"], context), "K": LABELS, "dtype": dtype}
            row = common | row | ({} if "check" in row else _share(row, row["model"], common["image_size"], rate))
        yield row
    if not context.on_gpu:
        yield {"refused": "the published sizes of every model need a GPU"}


def one_by_one(context: Context) -> Rows:
    """The rows of each visit, before the next is built."""
    for name, variant, refused, check in judged(context):
        yield from check
        for row in visit(name, variant, _size(name, context), context, refused) if variant else ():
            yield {"model": name, "contender": variant} | row
        release(context)


def in_turns(context: Context) -> Rows:
    """The rows of a model's variants, whose steps take turns."""
    for name, found in itertools.groupby(judged(context), key=lambda visit: visit[0]):
        refusals: dict[str, str | None] = {}
        for _, variant, refused, check in found:
            yield from check
            refusals |= {variant: refused} if variant else {}
        for micro_batch in context.listed("micro_batches", (2,)):
            if context.left() < LONGEST * len(refusals):
                yield {"refused": f"no time left for {name}, micro-batches of {micro_batch}"}
                continue
            for variant, row in timed_in_turns(name, micro_batch, refusals, context).items():
                yield {"model": name, "contender": variant, "micro_batch": micro_batch} | row


def judged(context: Context) -> Iterator[tuple[str, str, str | None, list[Row]]]:
    """(model, variant, why it may not be timed, rows to give before) of each visit; no variant where no time is left.

    Before ours comes how far its logits are from the plain ones.
    """
    differing = {}
    for name, variant in visits(context):
        if context.left() < LONGEST * (6 if "compile" in variant else 1):
            yield name, "", None, [{"refused": f"no time left for {name}, {variant}"}]
            continue
        refused = None if variant in UNTESTED else context.refusal(("asymmetric_loss", choose(context.device)), *NATIVE)
        check = []
        if variant == OURS and not refused:
            row = _compared(name, _size(name, context), context)
            if not row.get("agrees", True):
                differing[name] = DIFFER.format(**row)
            check = [{"model": name} | row]
        yield name, variant, refused or (differing.get(name) if variant.startswith(OURS) else None), check


def _size(name: str, context: Context) -> int:
    return PUBLISHED[name].image_size if context.on_gpu else 224


def visit(name: str, variant: str, size: int, context: Context, refused: str | None = None) -> Rows:
    """On a GPU build one model and take steps with several micro-batches; one that does not fit ends the larger ones.

    refused: why the variant may not be timed at all; so do the others once a step has raised.
    """
    step, too_large = None, float("inf")
    sizes = (32,) if "compile" in variant else MICRO_BATCHES
    for micro_batch in context.listed("micro_batches", sizes):
        row = {"micro_batch": micro_batch}
        if refused:
            yield row | {"refused": refused}
            continue
        if context.left() < LONGEST / 4 or micro_batch >= too_large:
            continue
        try:
            step = step or stepper(name, variant, size, context.device)
            row |= timed(step, micro_batch, size, context.device)
        except torch.OutOfMemoryError:
            # An optimizer that was interrupted while it made its state cannot go on: the next size starts afresh.
            row["refused"], too_large, step = "out of memory", micro_batch, None
        except Exception as error:  # whatever a contender raises, the others are still to be measured
            row["refused"] = refused = first_line(error)
        if "refused" in row:  # outside the handler, which would hold what the step has allocated
            release(context)
        yield row


def _compared(name: str, size: int, context: Context) -> Row:
    """Our logits beside the plain ones; a difference keeps ours from being timed, a failure to compare does not."""
    row = {"check": "logits of plain torch and mlcfast"}
    try:
        images = torch.randn(1, 3, size, size, device=context.device)
        half = torch.autocast(context.device, torch.bfloat16)
        row |= compared(built(name, size, context.device), images, half)
    except Exception as error:
        return row | {"refused": first_line(error)}
    bound = 2 * max(row["half_error_plain"], torch.finfo(torch.bfloat16).eps)
    return row | {"agrees": row["fp64_difference"] < SAME and row["half_error_mlcfast"] <= bound}


def _share(row: Row, name: str, size: int, rate: float | None) -> Row:
    """FLOP an image, and what the row's images a second are of the measured matrix rate."""
    flop = dict(zip(("backbone_flop_per_image", "forward_flop_per_image"), forward_flop(name, size), strict=True))
    if not rate or "images_per_second" not in row:
        return flop
    backbone, whole = (round(3 * count * row["images_per_second"] / rate, 4) for count in flop.values())
    return flop | {"share_of_matrix_rate": whole, "backbone_share_of_matrix_rate": backbone}


def _matrix_rate(context: Context) -> float | None:
    """The product rate of this precision that the record holds for the device, else measured now."""
    wanted, dtype = ("bf16 product", torch.bfloat16) if context.on_gpu else ("fp32 product", torch.float32)
    found = [row["per_second"] for row in read(context.record) if row.get("ceiling") == wanted and "per_second" in row]
    try:
        return found[-1] if found else product(wanted, dtype, context)["per_second"]
    except RuntimeError:
        return None


def stepper(name: str, variant: str, size: int, device: str) -> Callable[[Tensor, Tensor], None]:
    """A function that takes one optimizer step on images and labels."""
    model = built(name, size, device)
    criterion: Callable[[Tensor, Tensor], Tensor] = AsymmetricLoss(disable_torch_grad_focal_loss=True)
    if variant.startswith(PLAIN):
        model, criterion = PlainQuery2Label(model), functools.partial(textbook_asymmetric, detach_weight=True)
    if variant == RECOMPUTED:
        enable_activation_checkpointing(model)
    if not variant.startswith(PLAIN) or type(model.backbone.body).__name__ in ("ResNet", "TResNet"):
        model = model.to(memory_format=torch.channels_last)  # ours as the engine does it, plain ones as people do
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-5, fused=True)
    forward = torch.compile(model) if "compile" in variant else model
    half = torch.autocast(device, torch.bfloat16) if device == "cuda" else nullcontext()

    def step(images: Tensor, labels: Tensor) -> None:
        optimizer.zero_grad()
        with ExitStack() as stack:
            if variant == DEFINITIONS:
                for definition in (forced("reference"), DEFINED_NORM, PUBLISHED_GELU):
                    stack.enter_context(definition)
            with half:
                loss = criterion(forward(images), labels)
            loss.backward()
        optimizer.step()

    return step


def built(name: str, size: int, device: str) -> Query2Label:
    """On the device from the start, where random weights cost nothing; by way of the CPU where a backbone minds."""
    try:
        with torch.device(device):
            return build(name, size)
    except (RuntimeError, UsageError):
        return build(name, size).to(device)


def build(name: str, size: int) -> Query2Label:
    """A published model with random weights, its early layers and norms frozen as published."""
    return build_model("query2label", PUBLISHED[name].backbone, LABELS, size, freeze="published")


@functools.cache
def forward_flop(name: str, size: int) -> tuple[int, int]:
    """FLOP of an image's forward pass: the backbone's and the whole model's, of the plain form on the meta device."""
    with torch.device("meta"):
        model = PlainQuery2Label(build(name, size)).eval()
        image = torch.empty(1, 3, size, size)
    backbone, whole = FlopCounterMode(display=False), FlopCounterMode(display=False)
    with torch.no_grad(), whole:
        model(image)
    with torch.no_grad(), backbone:
        model.backbone(image)
    return backbone.get_total_flops(), whole.get_total_flops()


def timed(step: Callable, micro_batch: int, size: int, device: str) -> Row:
    """Quantiles of a step's milliseconds, images a second and, on a GPU, the peak of torch's allocator in bytes."""
    images, labels = inputs(micro_batch, size, device)
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    step(images, labels)
    seconds = interleaved({"": lambda: step(images, labels)}, TIMED, device)[""]  # after a second step to warm up
    peak = torch.cuda.max_memory_allocated() if device == "cuda" else None
    return _speed(seconds, micro_batch) | {"peak_bytes": peak}


def timed_in_turns(name: str, micro_batch: int, refusals: dict[str, str | None], context: Context) -> dict[str, Row]:
    """Each variant's quantiles and images a second, or why there are none; refusals: why it may not be timed."""
    size, device = _size(name, context), context.device
    images, labels = inputs(micro_batch, size, device)
    steps, found = {}, {}
    for variant, refused in refusals.items():
        try:
            if not refused:
                step = stepper(name, variant, size, device)
                step(images, labels)
                steps[variant] = functools.partial(step, images, labels)
        except Exception as error:  # whatever a contender raises, the others are still to be measured
            refused = first_line(error)
        found[variant] = {"refused": refused}
    for variant, seconds in interleaved(steps, TURNS, device).items():
        found[variant] = _speed(seconds, micro_batch) | {"peak_bytes": None}
    return found


def inputs(micro_batch: int, size: int, device: str) -> tuple[Tensor, Tensor]:
    """Images and labels of a step."""
    images = torch.randn(micro_batch, 3, size, size, device=device).contiguous(memory_format=torch.channels_last)
    return images, (torch.rand(micro_batch, LABELS, device=device) < 0.04).float()


def _speed(seconds: list[float], micro_batch: int) -> Row:
    row = quantiles_ms(seconds)
    return row | {"images_per_second": round(micro_batch / row["p50_ms"] * 1e3, 2)}
