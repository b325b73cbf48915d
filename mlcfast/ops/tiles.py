"""Which tile a Triton kernel is launched with: of its candidates, as measured on the card or as arithmetic has it.

Every candidate is right for every shape: the choice decides about time and, as the order of sums follows the tile,
about last bits, and about nothing else. Sizes count by their binary digits: 4,096 to 8,191 rows are one size. A choice
is made once a kernel, card and such size, and is a look-up afterwards.

By arithmetic
    attention     memory answers after some 600 ns, in which every multiprocessor has to have IN_FLIGHT bytes on their
                  way: the first candidate under which rows times BN are as many, or else the one with the most.
    LayerNorm     the first; A_THREAD entries a thread.
    losses        the first, or, where it makes fewer than PROGRAMS programs a multiprocessor, the second, whose
                  programs are shorter.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor

from mlcfast.ops.tile_file import Key, Tile, card_of, read

IN_FLIGHT = 12 << 10  # 2.7 TB/s · 600 ns on the 132 multiprocessors of an H100; an RTX 3060 needs half of it
PROGRAMS = 4

_WEIGHTS = (  # cells and rows of a tile; 16 rows of two bytes are a sector of memory
    {"BN": 64, "BR": 32, "num_warps": 4},
    {"BN": 128, "BR": 16, "num_warps": 4},
    {"BN": 256, "BR": 16, "num_warps": 8},
    {"BN": 128, "BR": 32, "num_warps": 8},
    {"BN": 64, "BR": 32, "num_warps": 8},
)
_NORM = (  # entries of a tile, in whole rows, and of a thread
    {"ENTRIES": 2048, "A_THREAD": 16},
    {"ENTRIES": 2048, "A_THREAD": 8},
    {"ENTRIES": 1024, "A_THREAD": 8},
    {"ENTRIES": 4096, "A_THREAD": 16},
)
_LOSS = (  # entries of a block, of a program's chunk, and of a problem that one program does alone
    {"BLOCK": 1024, "CHUNK": 4096, "ALONE": 16384, "num_warps": 4},
    {"BLOCK": 1024, "CHUNK": 1024, "ALONE": 16384, "num_warps": 4},
    {"BLOCK": 1024, "CHUNK": 1024, "ALONE": 4096, "num_warps": 4},
    {"BLOCK": 1024, "CHUNK": 4096, "ALONE": 16384, "num_warps": 8},
)
CANDIDATES: dict[str, tuple[Tile, ...]] = {
    **dict.fromkeys(("weights_kernel", "weights_backward_kernel"), _WEIGHTS),
    **dict.fromkeys(("layer_norm_kernel", "layer_norm_backward_kernel"), _NORM),
    **dict.fromkeys(("asymmetric_kernel", "weighted_bce_kernel", "label_kernel", "sums_kernel"), _LOSS),
}

_chosen: dict[int, dict[Key, Tile]] = {}  # number of a CUDA device, −1 for the CPU -> what its launches take
_forced: dict[str, tuple[Tile, set[Key]]] = {}


def chosen_tile(kernel: str, like: Tensor, *sizes: int) -> Tile:
    """What a launch of `kernel` takes on the device of `like`, in whose type its entries are.

    sizes: rows B·K·H and cells N of the attention's kernels, rows and channels of LayerNorm's, entries of a loss.
    """
    key: Key = (kernel, like.element_size(), *[size.bit_length() for size in sizes])
    if kernel in _forced:
        found, asked = _forced[kernel]
        asked.add(key)
        return found
    device = like.get_device()
    if device not in _chosen:
        _chosen[device] = read(card_of(like.device), CANDIDATES)
    chosen = _chosen[device]
    if key not in chosen:
        chosen[key] = by_arithmetic(key, card_of(like.device).multiprocessors)
    return chosen[key]


def by_arithmetic(key: Key, multiprocessors: int) -> Tile:
    """The choice without a measurement: the first candidate where the number of multiprocessors is not known, 0."""
    kernel, entry_bytes, *digits = key
    candidates = CANDIDATES[str(kernel)]
    least = [1 << int(count) >> 1 for count in digits]  # the smallest sizes of these digits
    if candidates is _WEIGHTS:
        rows, cells = least
        on_their_way = [rows * min(each["BN"], 2 * cells) * int(entry_bytes) for each in candidates]
        enough = min(IN_FLIGHT * multiprocessors, max(on_their_way))
        return next(each for each, held in zip(candidates, on_their_way, strict=True) if held >= enough)
    if candidates is _LOSS and least[0] < PROGRAMS * multiprocessors * candidates[0]["CHUNK"]:
        return candidates[1]
    return candidates[0]


@contextmanager
def forced(kernel: str, chosen: Tile) -> Iterator[set[Key]]:
    """Launches of `kernel` take `chosen` inside the block, whatever was measured; yields the keys that they ask for."""
    asked: set[Key] = set()
    _forced[kernel] = (chosen, asked)
    try:
        yield asked
    finally:
        del _forced[kernel]


def forget() -> None:
    """The next launch reads the file of its card again."""
    _chosen.clear()
