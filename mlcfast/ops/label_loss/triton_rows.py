"""The Triton kernels of losses whose entries hang on others of their image: db and two_way; options as in op.py.

Distribution-balanced, one program an image: the formula stands in csrc/label_formulas.h; the sum over the image's
positives comes first.

Two-way, in four launches: of every column and of every row the largest y of each kind, m, and Σ e^(y − m), where
y = x/Tn of a negative, −x/Tp of a positive; then one program's margins Tn D + Tp U, losses and slopes σ(margin); then
the gradient, ± (slope_row e^(y − m_row) / Σ_row + slope_column e^(y − m_column) / Σ_column).
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from mlcfast.ops.autograd import REDUCTION_CODES
from mlcfast.ops.backend import INTERPRETED
from mlcfast.ops.label_loss.op import RowFormula
from mlcfast.ops.label_loss.triton_terms import bounded, focal_power, logit_terms
from mlcfast.ops.library import fake_gradient, fake_loss
from mlcfast.ops.triton_launch import NUM_WARPS, as_loaded, check_supported, row_block, sigmoid_pair, total_of

TILE = (16, 64)  # images and labels of a column's program
FINISH_BLOCK = 512  # terms at a time of two_way's last sum: at 1024 its registers spill on sm_80
INFINITY = tl.constexpr(float("inf"))


@triton.jit
def outside(z):
    """Whether a label is not in [−1, 1]."""
    return (z < -1.0) | (z > 1.0) | (z != z)


@triton.jit
def balanced_kernel(
    logits, labels, loss, gradient, inverse, shift, alpha, beta, mu, factor, gamma, balance,
    loss_scale, gradient_scale, K, PER_ENTRY: tl.constexpr, WITH_GRADIENT: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """One program a row: see the module for the mathematics."""
    row = tl.program_id(0).to(tl.int64)
    of_positives = tl.zeros([BLOCK], tl.float32)
    for start in range(0, K, BLOCK):
        at = start + tl.arange(0, BLOCK)
        inside = at < K
        z = tl.load(labels + row * K + at, mask=inside, other=0).to(tl.float32)
        of_positives += tl.where(inside & (z > 0), tl.load(inverse + at, mask=inside, other=0.0), 0.0)
    whole = tl.sum(of_positives, axis=0)
    of_image = tl.where(whole == 0, INFINITY, 1.0 / tl.where(whole == 0, 1.0, whole))
    total = tl.zeros([BLOCK], tl.float32)
    for start in range(0, K, BLOCK):
        at = start + tl.arange(0, BLOCK)
        inside = at < K
        x = tl.load(logits + row * K + at, mask=inside, other=0.0).to(tl.float32)
        z = tl.load(labels + row * K + at, mask=inside, other=0).to(tl.float32)
        own = tl.load(inverse + at, mask=inside, other=1.0)
        u = x - tl.load(shift + at, mask=inside, other=0.0)
        positive = z > 0
        p, q, up, down = logit_terms(tl.where(positive, u, -factor * u))
        share, _ = sigmoid_pair(beta * (own * of_image - mu))
        power = balance * (alpha + share) * focal_power(q, down, gamma)
        slope = power * (q + gamma * p * bounded(up))
        value = tl.where(outside(z), float("nan"), tl.where(positive, power * up, power * up / factor))
        if PER_ENTRY:
            tl.store(loss + row * K + at, value * loss_scale, mask=inside)
        else:
            total += tl.where(inside, value, 0.0)
        if WITH_GRADIENT:
            result = tl.where(outside(z), float("nan"), tl.where(positive, -slope, slope) * gradient_scale)
            tl.store(gradient + row * K + at, result.to(gradient.dtype.element_ty), mask=inside)
    if not PER_ENTRY:
        tl.store(loss + row, tl.sum(total, axis=0) * loss_scale)


@triton.jit
def columns_kernel(logits, labels, columns, tp, tn, B, K, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """One program some columns; columns (4, K): m and Σ of the negatives, then of the positives, −∞ and 0 for none."""
    k = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    other = tl.full([COLUMNS], -INFINITY, tl.float32)
    positive = tl.full([COLUMNS], -INFINITY, tl.float32)
    for start in range(0, B, ROWS):
        rows = start + tl.arange(0, ROWS)
        inside = (rows < B)[:, None] & (k < K)[None, :]
        at = rows.to(tl.int64)[:, None] * K + k[None, :]
        x = tl.load(logits + at, mask=inside, other=0.0).to(tl.float32)
        z = tl.load(labels + at, mask=inside, other=0).to(tl.float32)
        other = tl.maximum(other, tl.max(tl.where(inside & ~(z > 0), x / tn, -INFINITY), axis=0))
        positive = tl.maximum(positive, tl.max(tl.where(inside & (z > 0), -x / tp, -INFINITY), axis=0))
    others = tl.zeros([COLUMNS], tl.float32)
    positives = tl.zeros([COLUMNS], tl.float32)
    for start in range(0, B, ROWS):
        rows = start + tl.arange(0, ROWS)
        inside = (rows < B)[:, None] & (k < K)[None, :]
        at = rows.to(tl.int64)[:, None] * K + k[None, :]
        x = tl.load(logits + at, mask=inside, other=0.0).to(tl.float32)
        z = tl.load(labels + at, mask=inside, other=0).to(tl.float32)
        down, up = tl.exp(x / tn - other[None, :]), tl.exp(-x / tp - positive[None, :])
        others += tl.sum(tl.where(inside & ~(z > 0), down, 0.0), axis=0)
        positives += tl.sum(tl.where(inside & (z > 0), up, 0.0), axis=0)
    tl.store(columns + k, other, mask=k < K)
    tl.store(columns + K + k, others, mask=k < K)
    tl.store(columns + 2 * K + k, positive, mask=k < K)
    tl.store(columns + 3 * K + k, positives, mask=k < K)


@triton.jit
def rows_kernel(logits, labels, rows, tp, tn, B, K, BLOCK: tl.constexpr):
    """One program a row; rows (4, B) as columns_kernel's."""
    row = tl.program_id(0).to(tl.int64)
    largest_other = tl.full([BLOCK], -INFINITY, tl.float32)
    largest_positive = tl.full([BLOCK], -INFINITY, tl.float32)
    for start in range(0, K, BLOCK):
        at = start + tl.arange(0, BLOCK)
        inside = at < K
        x = tl.load(logits + row * K + at, mask=inside, other=0.0).to(tl.float32)
        z = tl.load(labels + row * K + at, mask=inside, other=0).to(tl.float32)
        largest_other = tl.maximum(largest_other, tl.where(inside & ~(z > 0), x / tn, -INFINITY))
        largest_positive = tl.maximum(largest_positive, tl.where(inside & (z > 0), -x / tp, -INFINITY))
    other, positive = tl.max(largest_other, axis=0), tl.max(largest_positive, axis=0)
    others = tl.zeros([BLOCK], tl.float32)
    positives = tl.zeros([BLOCK], tl.float32)
    for start in range(0, K, BLOCK):
        at = start + tl.arange(0, BLOCK)
        inside = at < K
        x = tl.load(logits + row * K + at, mask=inside, other=0.0).to(tl.float32)
        z = tl.load(labels + row * K + at, mask=inside, other=0).to(tl.float32)
        bad = outside(z)
        down = tl.where(bad, float("nan"), tl.exp(x / tn - other))
        others += tl.where(inside & ~(z > 0), down, 0.0)
        positives += tl.where(inside & (z > 0), tl.where(bad, float("nan"), tl.exp(-x / tp - positive)), 0.0)
    tl.store(rows + row, other)
    tl.store(rows + B + row, tl.sum(others, axis=0))
    tl.store(rows + 2 * B + row, positive)
    tl.store(rows + 3 * B + row, tl.sum(positives, axis=0))


@triton.jit
def finish_part(terms, share, factor, tp, tn, N, BLOCK: tl.constexpr):
    """The loss of rows or columns (4, N), each weighing `share`; their sums become the factors of the powers."""
    total = tl.zeros([BLOCK], tl.float32)
    for start in range(0, N, BLOCK):
        at = start + tl.arange(0, BLOCK)
        inside = at < N
        other, positive = tl.load(terms + at, mask=inside), tl.load(terms + 2 * N + at, mask=inside)
        others = tl.load(terms + N + at, mask=inside, other=0.0)
        positives = tl.load(terms + 3 * N + at, mask=inside, other=0.0)
        some = inside & (others != 0) & (positives != 0)  # without a negative, or a positive, it adds nothing
        others, positives = tl.where(some, others, 1.0), tl.where(some, positives, 1.0)
        margin = (tn * other + tp * positive) + (tn * tl.log(others) + tp * tl.log(positives))
        margin = tl.where(some, margin, 0.0)
        p, _, _, down = logit_terms(margin)
        total += tl.where(some, down * share, 0.0)
        slope = tl.where(some, p * share * factor, 0.0)
        tl.store(terms + N + at, slope / others, mask=inside)
        tl.store(terms + 3 * N + at, -slope / positives, mask=inside)
    return tl.sum(total, axis=0)


@triton.jit
def number_there(positives, N, BLOCK: tl.constexpr):
    """Of how many of N the positives' sum is not 0, at least 1."""
    there = tl.zeros([BLOCK], tl.float32)
    for start in range(0, N, BLOCK):
        at = start + tl.arange(0, BLOCK)
        there += tl.where(tl.load(positives + at, mask=at < N, other=0.0) != 0, 1.0, 0.0)
    return tl.maximum(tl.sum(there, axis=0), 1.0)


@triton.jit
def two_way_finish_kernel(rows, columns, share, loss, factor, tp, tn, B, K, GIVEN: tl.constexpr, BLOCK: tl.constexpr):
    """One program: the loss; share: what a row weighs, where it is given; factor: of the columns' gradient."""
    of_row = tl.load(share) if GIVEN else 1.0 / number_there(rows + 3 * B, B, BLOCK)
    of_column = 1.0 / number_there(columns + 3 * K, K, BLOCK)
    value = finish_part(rows, of_row, 1.0, tp, tn, B, BLOCK) + finish_part(columns, of_column, factor, tp, tn, K, BLOCK)
    tl.store(loss, value)


@triton.jit
def two_way_gradient_kernel(logits, labels, gradient, rows, columns, tp, tn, B, K, BLOCK: tl.constexpr):
    """One program a row."""
    row = tl.program_id(0).to(tl.int64)
    other, for_other = tl.load(rows + row), tl.load(rows + B + row)
    positive, for_positive = tl.load(rows + 2 * B + row), tl.load(rows + 3 * B + row)
    for start in range(0, K, BLOCK):
        at = start + tl.arange(0, BLOCK)
        inside = at < K
        x = tl.load(logits + row * K + at, mask=inside, other=0.0).to(tl.float32)
        z = tl.load(labels + row * K + at, mask=inside, other=0).to(tl.float32)
        kind = tl.where(z > 0, 2, 0) * K + at
        most = tl.load(columns + kind, mask=inside, other=0.0)
        scale = tl.load(columns + kind + K, mask=inside, other=0.0)
        y = tl.where(z > 0, -x / tp, x / tn)
        within = tl.exp(y - tl.where(z > 0, positive, other)) * tl.where(z > 0, for_positive, for_other)
        result = within + tl.exp(y - most) * scale
        tl.store(gradient + row * K + at, result.to(gradient.dtype.element_ty), mask=inside)


def forward(
    logits: Tensor,
    labels: Tensor,
    threshold: Tensor | None,
    positive_weight: Tensor | None,
    other_weight: Tensor | None,
    formula: int,
    options: list[float],
    reduction: int,
    with_gradient: bool,
) -> tuple[Tensor, Tensor]:
    """The loss and, with_gradient, its gradient, in the logits' type; threshold: of two_way, what a row weighs."""
    check_supported(logits)
    logits, labels = logits.contiguous(), as_loaded(labels)
    gradient = fake_gradient(logits, with_gradient)
    if not logits.numel():
        return fake_loss(logits, reduction).zero_(), gradient
    cut_off = INTERPRETED and logits.dtype == torch.bfloat16  # the interpreter does not round to bf16
    stored = gradient.float() if cut_off else gradient
    scale = 1.0 / logits.numel() if reduction == REDUCTION_CODES["mean"] else 1.0
    if formula == RowFormula.TWO_WAY:
        loss = _two_way(logits, labels, stored, threshold, positive_weight, other_weight, options)
    else:
        whole = reduction == REDUCTION_CODES["none"]
        given = (positive_weight, other_weight)
        columns = [column.to(logits.device, torch.float32) for column in given if column is not None]
        loss = torch.empty(logits.shape if whole else len(logits), device=logits.device)
        balanced_kernel[(len(logits),)](
            logits, labels, loss, stored, *columns, *options, scale, scale, logits.shape[1],
            PER_ENTRY=whole, WITH_GRADIENT=with_gradient, **row_block(logits.shape[1]),
        )  # fmt: skip
        loss = loss if whole else total_of(loss)
    if cut_off:
        gradient.copy_(stored)
    return loss, gradient


def _two_way(
    logits: Tensor,
    labels: Tensor,
    gradient: Tensor,
    share: Tensor | None,
    up: Tensor | None,
    down: Tensor | None,
    options: list[float],
) -> Tensor:
    """The loss, 0-d; gradient: (B, K) to fill, or empty. up, down: fp64 (K,), of each label over a larger batch."""
    (B, K), (tp, tn, _, factor) = logits.shape, options
    rows, columns = (torch.empty(4, n, device=logits.device) for n in (B, K))
    loss = torch.empty((), device=logits.device)
    if up is None or down is None:
        tiles = (triton.cdiv(K, TILE[1]),)
        columns_kernel[tiles](logits, labels, columns, tp, tn, B, K, *TILE, num_warps=NUM_WARPS)
    else:
        for place, log_sum in ((0, down), (2, up)):  # as the nearest fp32 and the power that is missing from it
            columns[place] = log_sum
            power = torch.exp(log_sum - columns[place].double())
            columns[place + 1] = torch.where(log_sum.isinf(), (log_sum > 0).double(), power)
    rows_kernel[(B,)](logits, labels, rows, tp, tn, B, K, **row_block(K))
    given = rows if share is None else share.float()
    finish = {"GIVEN": share is not None, "BLOCK": FINISH_BLOCK, "num_warps": NUM_WARPS}
    two_way_finish_kernel[(1,)](rows, columns, given, loss, factor, tp, tn, B, K, **finish)
    if gradient.numel():
        two_way_gradient_kernel[(B,)](logits, labels, gradient, rows, columns, tp, tn, B, K, **row_block(K))
    return loss
