"""Every candidate of every tile is right, in the process that test_label_query_attention_triton.py starts.

The cases and bounds are those of the operators' own tests, at sizes that take several tiles of each candidate.
"""

import contextlib
from functools import partial

import pytest
import torch

from bench.cases import elementwise
from bench.cases.attention import accurate, make
from bench.cases.losses import errors, sized_case
from bench.cases.problem import ONE_CASE, row_of, verdict, worst
from mlcfast.ops import tiles
from mlcfast.ops.tile_file import Card
from mlcfast.ops.tiles import CANDIDATES
from tests.ops.loss_cases import EVERY
from tests.ops.test_label_query_attention_triton import both_paths, poisoned  # noqa: F401  a fixture for all of these

pytestmark = pytest.mark.interpreted

LOSSES = {  # kernel -> a loss that it computes
    "asymmetric_kernel": "asymmetric",
    "weighted_bce_kernel": "an",
    "sums_kernel": "role",
    "label_kernel": "hill",
}
each = partial(pytest.mark.parametrize, ids=lambda tile: " ".join(map(str, tile.values())))


@contextlib.contextmanager
def taking(tile, *kernels):
    """Launches of the kernels take the tile, and each is launched."""
    with contextlib.ExitStack() as stack:
        asked = [stack.enter_context(tiles.forced(kernel, tile)) for kernel in kernels]
        yield
    assert all(asked)


@each("tile", CANDIDATES["weights_kernel"])
def test_attention(tile, monkeypatch):
    torch.manual_seed(0)
    with taking(tile, "weights_kernel", "weights_backward_kernel"):
        for problem in accurate("triton"):
            row = verdict(problem)
            assert row["passed"], row
    tensors = make(1, 19, 261, 8, False, 1, torch.float32)  # rows and cells that fill no tile
    with taking(tile, "weights_kernel", "weights_backward_kernel"):
        results = both_paths(tensors, 2, 0.4, monkeypatch)
    for got, want in zip(*results, strict=True):
        torch.testing.assert_close(got, want, rtol=2e-4, atol=2e-5)


@each("tile", CANDIDATES["layer_norm_kernel"])
def test_layer_norm(tile):
    torch.manual_seed(0)
    with taking(tile, "layer_norm_kernel", "layer_norm_backward_kernel"):
        for problem in elementwise.accurate("layer_norm"):
            if problem.dtype == torch.float16:  # the interpreter does not round to bf16
                row = verdict(problem)
                assert row["passed"], row


@each("tile", CANDIDATES["label_kernel"])
@pytest.mark.parametrize("kernel", LOSSES)
def test_losses(kernel, tile):
    """More entries than one program takes alone, a last block that is not full, and a chunk that ends within one."""
    torch.manual_seed(0)
    with taking(tile, kernel):
        pairs = errors(EVERY[LOSSES[kernel]], sized_case(21, 801), "mean").values()
    row = worst(row_of(LOSSES[kernel], torch.float32), [(*pair, ONE_CASE) for pair in pairs])
    assert row["passed"], row


def test_a_measurement_changes_what_runs_and_not_what_comes_out(monkeypatch):
    """From the card's file to the grid: eight programs instead of one."""
    logits, labels = torch.randn(9, 801), torch.ones(9, 801, dtype=torch.uint8)
    finer, key = CANDIDATES["label_kernel"][2], ("label_kernel", 4, logits.numel().bit_length())
    results = []
    for chosen in ({}, {key: finer}):
        monkeypatch.setattr(tiles, "_chosen", {})
        monkeypatch.setattr(tiles, "card_of", lambda device: Card("a card", "8.6", 28))
        monkeypatch.setattr(tiles, "read", lambda card, candidates, chosen=chosen: dict(chosen))
        arguments = (logits, labels, None, None, None, 1, [1.5, 1.0, 2.0], 0, True)
        results.append(torch.ops.mlcfast.label_loss_forward.triton(*arguments))
        assert tiles._chosen[-1][key] is (finer if chosen else CANDIDATES["label_kernel"][1])
    for got, want in zip(*results, strict=True):
        torch.testing.assert_close(got, want)
