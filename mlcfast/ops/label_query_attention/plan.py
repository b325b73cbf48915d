"""Which form of the attention runs for a shape, and who implements it; docs/notes.md has the measurements behind it."""

from typing import NamedTuple

PLANS = {"folded": (True, True), "mixed": (True, False), "projected": (False, False)}


class Plan(NamedTuple):
    """form: folded | mixed | projected (PLANS: fold the keys, fold the values); keep: every intermediate is kept."""

    form: str
    keep: bool


def choose(shared: bool, K: int, N: int, D: int, H: int, device_type: str) -> Plan:
    """The form with the fewest multiplications, forward and backward, an image; intermediates are kept on the CPU.

    Multiply-adds, forward, in units that leave out what all forms share; the backward pass doubles every term.
      keys     folded K·H·N·D (+ K·D² for queries per image)    projected N·D² + K·N·D
      values   folded K·H·N·D + K·D²                            projected N·D² + K·N·D
    On the CPU memory is plentiful and arithmetic dear; on a GPU the small redone products cost less than their room.
    """
    projected = N * D * D + K * N * D
    folded_values = K * H * N * D + K * D * D
    folded_keys = K * H * N * D + (0 if shared else K * D * D)
    keep = device_type == "cpu"
    if folded_values < projected:
        return Plan("folded", keep)
    return Plan("mixed" if folded_keys < projected else "projected", keep)
