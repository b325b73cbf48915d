"""The CUDA kernels against the losses' definitions: every type, awkward sizes and addresses, bad labels and indices.

Not collected by itself: test_cuda_emulator.py runs it in a process whose CPU operators are the emulated CUDA kernels.
"""

import ctypes
import mmap
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from bench.cases.losses import LOSSES, Case, errors, run
from mlcfast import ops
from mlcfast.ops.expected_positives.reference import epr_loss as epr_reference
from mlcfast.ops.expected_positives.reference import role_loss as role_reference
from mlcfast.ops.label_bce.reference import weighted_bce as weighted_reference

SHAPES = ((1, 1), (1, 31), (3, 11), (1, 255), (31, 33), (41, 25), (1, 1025), (45, 91), (64, 64), (17, 241), (3, 2731))
MANY = (23, 2851)  # more entries than are spread over small blocks
LOGITS = (torch.float32, torch.float16, torch.bfloat16)
HARD_LABELS = (torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)
SOFT_LABELS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
IUN = {"positive": (1.0, 0.0), "unknown": (0.0, 0.0), "negative": (0.0, 1.0)}
ELEMENTWISE = ("asymmetric", "asymmetric published", "asymmetric fractional", "an_ls", "iun")
_MPROTECT = ctypes.CDLL(None, use_errno=True).mprotect
_MPROTECT.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
_NOBODY = 0  # PROT_NONE


def fenced(values: Tensor, aligned: bool = False) -> Tensor:
    """A contiguous copy whose last byte is the last before a page that stops who reads or writes there.

    aligned: its address is a multiple of 16, so that up to 15 bytes of NaN may follow; else it is one only where its
    size is. OSError where the pages cannot be protected.
    """
    size = values.numel() * values.element_size()
    if size == 0:
        return values.contiguous()
    room = -(-size // mmap.PAGESIZE) * mmap.PAGESIZE
    memory = mmap.mmap(-1, room + mmap.PAGESIZE)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    if _MPROTECT(address + room, mmap.PAGESIZE, _NOBODY) != 0:
        raise OSError(ctypes.get_errno(), "mprotect")
    memory[:room] = b"\xff" * room
    start = (room - size) // 16 * 16 if aligned else room - size
    copy = torch.frombuffer(memory, dtype=values.dtype, count=values.numel(), offset=start)
    return copy.copy_(values.reshape(-1)).view(values.shape)


def some_labels(shape: tuple[int, int], dtype: torch.dtype, random: torch.Generator) -> Tensor:
    """Fifths of positives and, where the type has them, negatives and soft labels of either sign."""
    draw = torch.randint(0, 5, shape, generator=random)
    positive, negative = (draw == 0).double(), (draw == 1).double()
    if dtype.is_floating_point:
        return (positive - negative + (draw == 2) * 0.375 - (draw == 3) * 0.625).to(dtype)
    return (positive if dtype in (torch.bool, torch.uint8) else positive - negative).to(dtype)


def some_case(shape: tuple[int, int], dtype: torch.dtype, labels: torch.dtype, aligned: bool = True) -> Case:
    """A case in fenced memory."""
    random = torch.Generator().manual_seed(0)
    logits = torch.randn(shape, generator=random, dtype=torch.float64) * 3
    truth = some_labels(shape, labels, random)
    rows = torch.randn(shape, generator=random)
    tensors = (logits.to(dtype), some_labels(shape, labels, random), rows, truth)
    return Case(*(fenced(tensor, aligned) for tensor in tensors))


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_type_and_size(shape, name):
    """An error is at most twice plain torch's, which counts as two roundings where it is exact by luck."""
    for dtype in LOGITS:
        for labels in (*HARD_LABELS, *SOFT_LABELS) if shape == (31, 33) else (torch.bool, torch.int8, torch.float32):
            for number, reduction in enumerate((*LOSSES[name].reductions, "mean")):
                case = some_case(shape, dtype, labels, aligned=number < len(LOSSES[name].reductions))
                for output, (fused, plain) in errors(LOSSES[name], case, reduction).items():
                    assert fused <= 2 * max(plain, 2.0), (labels, reduction, output, fused, plain)


@pytest.mark.parametrize("labels", (torch.bool, torch.int64, torch.float64), ids=str)
@pytest.mark.parametrize("name", LOSSES)
def test_fp64_agrees_with_the_definition(name, labels):
    """Both round a few times in 2^-53; where a gradient nearly cancels, relative to the largest."""
    for shape in SHAPES:
        case = some_case(shape, torch.float64, labels)
        case.rows = case.rows.double()
        for ours, plain in zip(
            *(run(f, case, "mean") for f in (LOSSES[name].fused, LOSSES[name].reference)), strict=True
        ):
            torch.testing.assert_close(ours, plain, rtol=1e-14, atol=2e-15 * float(plain.abs().max()))


@pytest.mark.parametrize("name", LOSSES)
def test_many_entries(name):
    for dtype, labels in ((torch.float32, torch.bool), (torch.bfloat16, torch.float32), (torch.float16, torch.int64)):
        found = errors(LOSSES[name], some_case(MANY, dtype, labels), LOSSES[name].reductions[-1])
        for output, (fused, plain) in found.items():
            assert fused <= 2 * max(plain, 2.0), (output, fused, plain)


@pytest.mark.parametrize("unaligned", ("logits", "labels", "rows", "truth", "all"))
@pytest.mark.parametrize("name", LOSSES)
def test_unaligned_addresses(name, unaligned):
    for dtype in (torch.float32, torch.bfloat16):
        case = some_case((7, 96), dtype, torch.uint8)
        for field, tensor in vars(case).items():
            if unaligned in (field, "all"):
                whole = torch.zeros(tensor.numel() + 1, dtype=tensor.dtype)
                setattr(case, field, whole[1:].view(tensor.shape).copy_(tensor))
        for output, (fused, plain) in errors(LOSSES[name], case, "mean").items():
            assert fused <= 2 * max(plain, 2.0), (dtype, output, fused, plain)


@pytest.mark.parametrize("labels", (*HARD_LABELS, *SOFT_LABELS), ids=str)
@pytest.mark.parametrize("truth", (torch.int8, torch.uint8, torch.bool, torch.float32, torch.float64), ids=str)
def test_true_labels_of_another_type(labels, truth):
    random = torch.Generator().manual_seed(1)
    shape, x = (9, 33), torch.randn(9, 33, generator=random)
    observed, true = some_labels(shape, labels, random), some_labels(shape, truth, random)
    if truth.is_floating_point:
        true[0, :4] = torch.tensor([0.4, -0.4, torch.nan, 1e-30])
    ours, plain = x.clone().requires_grad_(), x.clone().requires_grad_()
    loss = ops.weighted_bce(ours, observed, **IUN, true_labels=true)
    expected = weighted_reference(plain, observed, **IUN, true_labels=true)
    loss.backward()
    expected.backward()
    torch.testing.assert_close(loss, expected, rtol=1e-6, atol=0)
    torch.testing.assert_close(ours.grad, plain.grad, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("empty", (True, False), ids=("empty part", "part"))
@pytest.mark.parametrize("role", (True, False), ids=("role", "epr"))
def test_part_of_a_global_batch(role, empty):
    images = 0 if empty else 5
    x, rows = torch.randn(images, 4), torch.randn(images, 4)
    observed, statistic = torch.zeros(images, 4), torch.tensor([13.0, 17.0, 8.0, 2.0])
    estimate = (rows,) if role else ()
    loss = (ops.role_loss if role else ops.epr_loss)(x, observed, *estimate, 2.9, statistic=statistic)
    expected = (role_reference if role else epr_reference)(x, observed, *estimate, 2.9, statistic=statistic)
    torch.testing.assert_close(loss, expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize("name", (*ELEMENTWISE, "epr", "role", "pr"))
@pytest.mark.parametrize("bad", (torch.nan, 1.5, -2.0))
def test_a_bad_label_makes_its_entry_nan(name, bad):
    case = some_case((3, 41), torch.float32, torch.float32)
    case.labels[1, 7] = bad
    case.rows.copy_(case.logits)
    loss, gradient, rows = run(LOSSES[name].fused, case, "mean")
    assert torch.isnan(loss)
    for found in (gradient, rows) if name == "role" else (gradient,):
        if name != "pr":
            assert torch.isnan(found[1, 7]) and torch.isnan(found).sum() == 1


@pytest.mark.parametrize("dtype", (torch.uint8, torch.int8, torch.int64), ids=str)
def test_a_bad_integer_label_makes_the_loss_nan(dtype):
    x, labels = fenced(torch.randn(3, 5)), torch.zeros(3, 5, dtype=dtype)
    for bad in (2, 127) if dtype != torch.int64 else (2, -3, 2**32, 2**32 + 1, -(2**63)):
        labels[2, 4] = bad
        assert torch.isnan(ops.asymmetric_loss(x, labels)) and torch.isnan(ops.pairwise_ranking(x, labels))


def test_true_labels_beyond_32_bits_keep_their_sign():
    x, true = torch.randn(1, 4), torch.tensor([[2**40, -(2**40), 2**32, -(2**32)]])
    labels = torch.zeros(1, 4, dtype=torch.int64)
    loss = ops.weighted_bce(x, labels, **IUN, true_labels=true)
    torch.testing.assert_close(loss, weighted_reference(x, labels, **IUN, true_labels=true), rtol=1e-6, atol=0)


@pytest.mark.parametrize("bad", (-1, 30, 2**40, -(2**62)))
def test_a_bad_index_makes_its_row_nan(bad):
    x, table = torch.randn(5, 7).requires_grad_(), fenced(torch.randn(30, 7)).requires_grad_()
    index = fenced(torch.tensor([4, 29, bad, 4, 0]))
    loss = ops.role_loss(x, torch.eye(5, 7), table, 2.9, index)
    assert torch.isnan(loss)
    logits_gradient, table_gradient = torch.autograd.grad(loss, (x, table), torch.ones(()))
    for rows in (logits_gradient, table_gradient._values()):
        assert torch.isnan(rows[2]).all() and torch.isfinite(rows[[0, 1, 3, 4]]).all()


@pytest.mark.parametrize("dtype", (torch.float32, torch.bfloat16, torch.float64), ids=str)
@pytest.mark.parametrize("K", (1, 3, 4, 7, 20, 80, 81, 255, 256, 257, 1025))
def test_rows_are_read_from_a_table(K, dtype):
    """K = 20: packs of eight reach into the next row, K = 81: rows start anywhere."""
    random = torch.Generator().manual_seed(K)
    B, N = 5000 // K, 9
    labels = torch.rand(B, K, generator=random) < 0.2
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    x = fenced(torch.randn(B, K, generator=random).to(dtype), aligned=True).requires_grad_()
    table = fenced(torch.randn(N, K, generator=random).to(wide), aligned=True).requires_grad_()
    index = fenced(torch.randint(0, N, (B,), generator=random))
    rows = table.detach()[index].requires_grad_()
    by_index, by_rows = ops.role_loss(x, labels, table, 2.9, index), ops.role_loss(x, labels, rows, 2.9)
    assert torch.equal(by_index, by_rows)
    of_index, of_rows = torch.autograd.grad(by_index, (x, table)), torch.autograd.grad(by_rows, (x, rows))
    assert torch.equal(of_index[0], of_rows[0]) and torch.equal(of_index[1]._values(), of_rows[1])


@pytest.mark.parametrize("name", LOSSES)
def test_the_same_bits_in_any_order_of_threads_and_blocks(name):
    case = some_case((90, 101), torch.float32, torch.int8)
    first = run(LOSSES[name].fused, case, "mean")
    for _ in range(3):
        assert all(map(torch.equal, run(LOSSES[name].fused, case, "mean"), first))


@pytest.fixture
def device() -> Iterator[ctypes.CDLL]:
    """The emulator's own functions; memory that a test hides is shown again."""
    library = ctypes.CDLL(os.environ["MLCFAST_EMULATED_LIBRARY"])
    library.emulator_launches.restype = ctypes.c_int64
    library.emulator_set_stream.argtypes = [ctypes.c_void_p]
    library.emulator_hide.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    yield library
    library.emulator_show_all()
    library.emulator_set_stream(None)


def documented_launches(name: str) -> list[int]:
    """Forward and backward of a loss: the numbers with which the cells of the table in docs/kernels.md begin."""
    text = (Path(__file__).parents[2] / "docs" / "kernels.md").read_text().split("## What a step launches")[1]
    group = {"pr": "`pr`", "epr": "EPR", "role": "ROLE"}.get(name, "asymmetric")
    ((_, *cells),) = [row.strip("| ").split(" | ") for row in text.split("\n\n")[1].splitlines() if group in row]
    return [int(re.match(r"\d+\b", cell)[0]) for cell in cells]


@pytest.mark.parametrize("shape", ((3, 11), MANY), ids=str)
@pytest.mark.parametrize("name", LOSSES)
def test_a_step_launches_what_the_documentation_says(device, name, shape):
    for dtype in (torch.float32, torch.bfloat16, torch.float64):
        case = some_case(shape, dtype, torch.uint8)
        learnt = [
            case.logits.requires_grad_(),
            case.rows.to(torch.promote_types(dtype, torch.float32)).requires_grad_(),
        ]
        before = device.emulator_launches()
        loss = LOSSES[name].fused(learnt[0], case, learnt[1], "mean")
        forward = device.emulator_launches()
        torch.autograd.grad(loss, learnt, torch.tensor(0.5, dtype=loss.dtype), allow_unused=True)
        counted = [forward - before, device.emulator_launches() - forward]
        assert counted == documented_launches(name), (dtype, counted)


def hide(device: ctypes.CDLL, *tensors: Tensor | None) -> None:
    """From now on only kernels read and write them, and what the operators allocate."""
    for tensor in tensors:
        if tensor is not None:
            pages = tensor.data_ptr() // mmap.PAGESIZE * mmap.PAGESIZE
            size = tensor.data_ptr() - pages + tensor.numel() * tensor.element_size()
            device.emulator_hide(pages, -(-size // mmap.PAGESIZE) * mmap.PAGESIZE)


@pytest.mark.parametrize("dtype", (torch.float32, torch.bfloat16, torch.float64), ids=str)
def test_the_host_looks_at_nothing_of_the_device(device, dtype):
    """As a graph is captured: every tensor stops the host that touches it, on a stream that is not the first."""
    wide, operators = torch.promote_types(dtype, torch.float32), torch.ops.mlcfast
    case = some_case((41, 25), dtype, torch.float64 if dtype == torch.float64 else torch.uint8)
    x, y, truth, rows = case.logits, case.labels, case.truth, fenced(case.rows.to(wide))
    one, statistic = fenced(torch.tensor([0.5], dtype=wide)), fenced(torch.tensor([90.0, 80.0, 41.0, 1.0], dtype=wide))
    index = fenced(torch.arange(41).flip(0))
    device.emulator_set_stream(4096)
    hide(device, x, y, truth, rows, one, statistic, index)
    before = device.emulator_launches()
    kept = []
    for reduction in (0, 1):  # none, mean
        kept += operators.asymmetric_loss_forward(x, y, [2.5, 1.0, 0.05, 1e-8, 0.0], reduction, 1.0, True)
        for true_labels in (None, truth):
            kept += operators.weighted_bce_forward(x, y, true_labels, 1, 0, 0.1, 0.9, 0, 1, 1e-8, reduction, True)
    kept += operators.pairwise_ranking_forward(x, y, 1, True)
    operators.rescale_gradient_(kept[-1], one, 1.0, False)
    for estimate, by in ((None, None), (rows, None), (rows, index)):
        for given in (None, statistic):
            kept += operators.expected_positives_forward(x, y, estimate, by, given, 2.9, 1.0, 1e-5)
        kept += operators.expected_positives_backward(one, x, y, estimate, by, statistic, 2.9, 1.0, 1e-5)
    assert device.emulator_launches() - before == 3 * (1 + 2) + 2 + 1 + 3 * (2 + 2 + 1)
    device.emulator_show_all()
    assert all(tensor.isfinite().all() for tensor in kept)


def test_memory_that_is_hidden_stops_the_host(device):
    """In a process of its own, which a signal ends."""
    x = fenced(torch.randn(3, 41))
    hide(device, x)
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGSEGV, signal.SIG_DFL)
        float(x[1, 1])
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGSEGV
