"""Which tile a launch takes: what arithmetic says, or what the card's file says where that file holds."""

import json
import logging
from pathlib import Path

import pytest
import torch

from mlcfast.ops import backend, tile_file, tiles
from mlcfast.ops.__main__ import tiles_in_use
from mlcfast.ops.tile_file import Card
from mlcfast.ops.tiles import CANDIDATES, by_arithmetic, chosen_tile

pytest.importorskip("triton")

CARD = Card("NVIDIA GeForce RTX 3060", "8.6", 28)
LARGE = Card("NVIDIA H100", "9.0", 132)
HALF, SINGLE = torch.empty(1, dtype=torch.bfloat16), torch.empty(1)
SIZES = (16 * 320, 576)  # rows and cells of CvT-w24's attention, 16 images
KEY = ("weights_kernel", 2, 13, 10)
ATTENTION, LOSS = CANDIDATES["weights_kernel"], CANDIDATES["label_kernel"]


@pytest.fixture(autouse=True)
def card(monkeypatch, tmp_path):
    """A function that puts a card in, none of whose launches has chosen yet; a small card is there already."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(backend, "_logged", set())

    def appear(card: Card) -> None:
        monkeypatch.setattr(tiles, "_chosen", {})
        for module in (tiles, tile_file):
            monkeypatch.setattr(module, "card_of", lambda device: card)

    appear(CARD)
    return appear


def plant(content: object, card: Card = CARD) -> Path:
    """Write a card's file: a document, or the bytes of what is none."""
    path = tile_file.path_of(card)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return path


def measured(**changes: object) -> dict:
    return tile_file.document(CARD, CANDIDATES, {KEY: ATTENTION[4]}) | changes


def test_arithmetic_looks_at_the_shape_and_the_card(card):
    assert chosen_tile("weights_kernel", HALF, *SIZES) == ATTENTION[0]
    assert chosen_tile("label_kernel", SINGLE, 256 * 9605) == LOSS[0]
    assert chosen_tile("label_kernel", SINGLE, 64 * 80) == LOSS[1]
    card(LARGE)
    assert chosen_tile("weights_kernel", HALF, *SIZES) == ATTENTION[2]  # few rows for many multiprocessors
    assert chosen_tile("weights_kernel", HALF, 64 * 320, 576) == ATTENTION[0]
    assert chosen_tile("weights_kernel", HALF, 320, 16) == ATTENTION[0]  # a tile of more cells would be empty
    assert chosen_tile("label_kernel", SINGLE, 64 * 9605) == LOSS[1]
    assert chosen_tile("label_kernel", SINGLE, 4096 * 9605) == LOSS[0]


@pytest.mark.parametrize("kernel", CANDIDATES)
def test_arithmetic_always_chooses_a_candidate(kernel):
    digits = 1 if CANDIDATES[kernel] is LOSS else 2
    for multiprocessors in (0, 1, 28, 132):
        for size in range(32):
            assert by_arithmetic((kernel, 2, *[size] * digits), multiprocessors) in CANDIDATES[kernel]


def test_a_measurement_is_followed_at_the_sizes_that_it_counts_for():
    plant(measured())
    assert chosen_tile("weights_kernel", HALF, *SIZES) is ATTENTION[4]
    assert chosen_tile("weights_kernel", HALF, 4096, 1023) is ATTENTION[4]
    for like, kernel, sizes in (
        (HALF, "weights_kernel", (8192, 576)),
        (HALF, "weights_kernel", (5120, 1024)),
        (SINGLE, "weights_kernel", SIZES),
        (HALF, "weights_backward_kernel", SIZES),
    ):
        assert chosen_tile(kernel, like, *sizes) is ATTENTION[0]


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{", b"\xff\xfe", b"[" * 100_000, b"[]", b"null", b"7", {}, {"chosen": []}, measured(chosen=5),
        measured(chosen=[7]), measured(chosen=[{"tile": ATTENTION[4]}]), measured(chosen=[{"key": [], "tile": {}}]),
        measured(chosen=[{"key": [["weights_kernel"], 2], "tile": ATTENTION[4]}]), measured(card="NVIDIA H100"),
        measured(capability="9.0"), measured(triton="3.0.0"), measured(candidates="another"),
    ],
    ids=lambda content: str(content)[:60],
)  # fmt: skip
def test_a_file_that_does_not_hold_is_ignored_with_one_warning(content, caplog):
    plant(content)
    with caplog.at_level(logging.WARNING, logger="mlcfast"):
        for _ in range(2):
            assert chosen_tile("weights_kernel", HALF, *SIZES) is ATTENTION[0]
            tiles.forget()
    (line,) = caplog.messages
    assert line.startswith(f"the tiles measured on {CARD.name} are left out, arithmetic chooses them: ")


def test_a_file_that_cannot_be_read_is_ignored_with_a_warning(caplog):
    tile_file.path_of(CARD).mkdir(parents=True)
    assert chosen_tile("weights_kernel", HALF, *SIZES) is ATTENTION[0]
    assert "Is a directory" in caplog.text


def test_what_is_no_candidate_is_left_out_and_the_rest_followed():
    other = {"key": [*KEY[:3], 9], "tile": {"BN": 7, "BR": 32, "num_warps": 4}}
    unknown = {"key": ["no_kernel", 2, 1], "tile": ATTENTION[4]}
    as_floats = {"key": list(KEY), "tile": {name: float(value) for name, value in ATTENTION[4].items()}}
    plant(measured(chosen=[other, unknown, {"key": list(KEY), "tile": 3}, as_floats]))
    chosen = chosen_tile("weights_kernel", HALF, *SIZES)
    assert chosen is ATTENTION[4] and all(type(value) is int for value in chosen.values())
    assert chosen_tile("weights_kernel", HALF, 5120, 300) is ATTENTION[0]


def test_without_a_file_nothing_is_said_and_the_file_is_looked_for_once(caplog, monkeypatch):
    asked = []
    monkeypatch.setattr(tile_file, "path_of", lambda card: asked.append(card) or Path("/nowhere/tiles.json"))
    for kernel in CANDIDATES:
        chosen_tile(kernel, HALF, 100, 100) if CANDIDATES[kernel] is not LOSS else chosen_tile(kernel, HALF, 100)
    assert asked == [CARD] and not caplog.messages


def test_a_file_written_later_is_read_after_forgetting():
    chosen_tile("weights_kernel", HALF, *SIZES)
    plant(measured())
    assert chosen_tile("weights_kernel", HALF, *SIZES) is ATTENTION[0]
    tiles.forget()
    assert chosen_tile("weights_kernel", HALF, *SIZES) is ATTENTION[4]


def test_no_device_has_no_file(monkeypatch):
    monkeypatch.undo()
    assert tile_file.card_of(torch.device("cpu")) == Card()
    assert tile_file.read(Card(), CANDIDATES) == {}


@pytest.mark.parametrize("name", ["../../home", "/etc/x", "A100-SXM4 (80 GB)", "…"])
def test_a_card_of_any_name_has_its_file_in_the_folder(name, tmp_path):
    assert tile_file.path_of(Card(name)).parent == tmp_path / "mlcfast" / "tiles"


def test_a_forced_tile_comes_first_and_says_what_was_asked():
    plant(measured())
    with pytest.raises(ZeroDivisionError), tiles.forced("weights_kernel", ATTENTION[1]) as asked:
        assert chosen_tile("weights_kernel", HALF, *SIZES) is ATTENTION[1]
        assert chosen_tile("weights_backward_kernel", HALF, *SIZES) is ATTENTION[0]
        raise ZeroDivisionError
    assert asked == {KEY} and chosen_tile("weights_kernel", HALF, *SIZES) is ATTENTION[4]


def test_the_command_says_what_is_in_use():
    assert tiles_in_use(0) == "by arithmetic, none was measured on this card"
    path = plant(measured())
    assert tiles_in_use(0) == f"measured for 1 kernels and sizes, in {path}; others by arithmetic"


def test_tracing_reads_no_file(monkeypatch):
    """What is compiled, exported or planned runs on tensors without memory, which launch nothing."""
    from torch._subclasses.fake_tensor import FakeTensorMode

    monkeypatch.setattr(tiles, "read", None)
    with FakeTensorMode():
        x, weight = torch.empty(6, 40, dtype=torch.bfloat16), torch.empty(40)
        scores, seed = torch.empty(2, 7, 3, 2), torch.empty((), dtype=torch.int64)
        assert torch.ops.mlcfast.layer_norm(x, weight, weight, 1e-5)[0].shape == x.shape
        assert torch.ops.mlcfast.attention_weights(scores, 1.0, seed, 0.1, 0, False)[2].shape == (2, 3, 2)
