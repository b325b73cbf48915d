"""The losses as people write them, the formulas of their papers in tensor operations; bench.run times ours beside them.

x: logits (B, K); z: labels, 1 positive, 0 unknown; each function gives the entries, (B, K), unless it says otherwise.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from mlcfast.losses import build_loss
from mlcfast.ops.label_loss import reference as definitions

Entries = Callable[[Tensor, Tensor], Tensor]
EPOCH, EPOCHS, SHARE = 3, 8, 0.002  # of the losses that follow the epoch; delta of the ll_*
IMAGES = 1000  # of which the labels of db are counted


def cross_entropy(x: Tensor, a: Tensor, b: Tensor, eps: float = 1e-5) -> Tensor:
    """a neglog(f) + b neglog(1 − f)."""
    f = torch.sigmoid(x)
    return -a * torch.log(f + eps) - b * torch.log(1 - f + eps)


def masked(x: Tensor, z: Tensor, positive: tuple[float, float], other: tuple[float, float], value: int = 0) -> Tensor:
    """The same with boolean-mask indexing, as arXiv 2106.09708 published it: (a, b) of z = 1 and of z = `value`."""
    f = torch.sigmoid(x)
    entries = torch.zeros_like(f)
    for mask, (a, b) in ((z == 1, positive), (z == value, other)):
        entries[mask] = -a * torch.log(f[mask] + 1e-5) - b * torch.log(1 - f[mask] + 1e-5)
    return entries


def em(x: Tensor, z: Tensor, alpha: float = 0.1, beta: float | None = None) -> Tensor:
    """ArXiv 2203.16219, Eqs. 4 and 6."""
    f = torch.sigmoid(x)
    entries = torch.where(z == 1, cross_entropy(x, z, 0 * z), -alpha * cross_entropy(x, f, 1 - f))
    return entries if beta is None else torch.where((z < 0) & (z > -1), beta * cross_entropy(x, -z, 1 + z), entries)


def large_losses(x: Tensor, z: Tensor, times: int, flip: bool) -> Tensor:
    """ArXiv 2206.03740: the largest losses of unknown labels by topk."""
    entries = cross_entropy(x, z, 1 - z, 0.0)
    of_unknown = entries.detach() * (z == 0)
    bound = of_unknown.flatten().topk(math.ceil(x.numel() * times * SHARE)).values[-1]
    return torch.where(of_unknown < bound, entries, cross_entropy(x, 1 - z, z, 0.0) if flip else 0 * entries)


def hill(x: Tensor, z: Tensor) -> Tensor:
    """ArXiv 2112.07368, Eq. 4."""
    f, lowered = torch.sigmoid(x), torch.sigmoid(x - 1)
    return -z * (1 - lowered) ** 2 * torch.log(lowered) + (1 - z) * (1.5 - f) * f**2


def focal(x: Tensor, z: Tensor, gamma: float, alpha: float | None, epsilon: float = 0.0) -> Tensor:
    """ArXiv 1708.02002, and with ε the poly loss of 2204.12511."""
    f = torch.sigmoid(x)
    of_label = f * z + (1 - f) * (1 - z)
    entries = -torch.log(of_label)
    if gamma:
        entries = (1 - of_label) ** gamma * entries
    if epsilon:
        entries = entries + epsilon * (1 - of_label) ** (gamma + 1)
    return entries if alpha is None else (alpha * z + (1 - alpha) * (1 - z)) * entries


def splc(x: Tensor, z: Tensor) -> Tensor:
    """ArXiv 2112.07368, Eq. 7, after its first epoch."""
    corrected = torch.where(torch.sigmoid(x) > 0.6, torch.ones_like(z), z)
    return focal(torch.where(z == 1, x - 1, x), corrected, 2.0, None)


def robust(x: Tensor, z: Tensor, w: float, b: float, mu: float, sigma: float) -> Tensor:
    """ArXiv 2405.03501, Eqs. 5 to 9."""
    f = torch.sigmoid(x)
    k, v = torch.sigmoid(w * f.detach() + b), torch.exp(-0.5 * ((f.detach() - mu) / sigma) ** 2)
    unknown = v * (k * (1 - f**0.01) / 0.01 + (1 - k) * (1 - (1 - f)))
    return torch.where(z == 1, -torch.log(f + 1e-7), unknown)


def counts(K: int) -> Tensor:
    """Of how many of IMAGES images each label is."""
    return torch.arange(K) % 100 + 1.0


def balanced(x: Tensor, z: Tensor) -> Tensor:
    """ArXiv 2007.09654: our definition is its lines."""
    mapping = (0.1, 10.0, 0.2)
    return definitions.distribution_balanced(x, z, counts(x.shape[1]).to(x), IMAGES, mapping, 2.0, 0.05, 2.0, 2.0)


@dataclass(frozen=True)
class Textbook:
    """A loss of ours by name and options, and its textbook form.

    products: where that is by masks, without them. own: an operator of torch's that is nearly the same.
    """

    name: str
    entries: Entries
    options: dict[str, float] = field(default_factory=dict)
    products: Entries | None = None
    own: Entries | None = None


def _smoothed(name: str) -> Textbook:
    def products(x: Tensor, z: Tensor) -> Tensor:
        return cross_entropy(x, 0.9 * z + 0.1 * (1 - z), 0.1 * z + 0.9 * (1 - z))

    return Textbook(name, partial(masked, positive=(0.9, 0.1), other=(0.1, 0.9)), {}, products)


def _with_logits(x: Tensor, z: Tensor, pos_weight: float | None = None) -> Tensor:
    weight = None if pos_weight is None else x.new_tensor(pos_weight)
    return F.binary_cross_entropy_with_logits(x, z, pos_weight=weight)


def _weighed(x: Tensor, z: Tensor, entries: Entries) -> Tensor:
    return (1 + 2 * z) * entries(x, z)


def _assume_negative(x: Tensor, z: Tensor) -> Tensor:
    return cross_entropy(x, z, 1 - z)


_focal = partial(focal, gamma=2.0, alpha=0.25)
TEXTBOOKS = {
    "bce": Textbook("bce", partial(masked, positive=(1, 0), other=(0, 1)), {}, _assume_negative, _with_logits),
    "bce_ls": _smoothed("bce_ls"),
    "an_ls": _smoothed("an_ls"),
    "wan": Textbook(
        "wan", lambda x, z: masked(x, z, (1, 0), (0, 1 / (x.shape[1] - 1))), {},
        lambda x, z: cross_entropy(x, z, (1 - z) / (x.shape[1] - 1)),
    ),
    "iu": Textbook(
        "iu", partial(masked, positive=(1, 0), other=(0, 1), value=-1), {},
        lambda x, z: cross_entropy(x, (z == 1).to(x), (z == -1).to(x)),
    ),
    "bce_weighed": Textbook(
        "bce", partial(_weighed, entries=_assume_negative), {"pos_weight": 3.0},
        own=partial(_with_logits, pos_weight=3.0),
    ),
    "em": Textbook("em", em),
    "em_apl": Textbook("em_apl", partial(em, beta=0.9)),
    "ll_r": Textbook("ll_r", partial(large_losses, times=EPOCH, flip=False), {"delta": SHARE}),
    "ll_ct": Textbook("ll_ct", partial(large_losses, times=EPOCH, flip=True), {"delta": SHARE}),
    "ll_cp": Textbook("ll_cp", partial(large_losses, times=1, flip=True), {"delta": SHARE}),
    "hill": Textbook("hill", hill),
    "splc": Textbook("splc", splc),
    "gr": Textbook("gr", partial(robust, w=0.75, b=-2.0, mu=0.65, sigma=1.25)),
    "focal": Textbook("focal", _focal),
    "focal_1.5": Textbook("focal", partial(focal, gamma=1.5, alpha=0.25), {"gamma": 1.5}),
    "focal_weighed": Textbook("focal", partial(_weighed, entries=_focal), {"pos_weight": 3.0}),
    "poly": Textbook("poly", partial(focal, gamma=0.0, alpha=None, epsilon=2.0)),
    "db": Textbook("db", balanced),
    "zlpr": Textbook("zlpr", definitions.zlpr),  # (B,)
    "two_way": Textbook("two_way", lambda x, z: definitions.two_way(x, z, 4.0, 1.0)),  # a scalar
}  # fmt: skip


def ours(loss: str) -> Entries:
    """Ours, as a trainer calls it in epoch EPOCH; a scalar."""
    book = TEXTBOOKS[loss]
    module = build_loss(book.name, **book.options)
    module.begin_epoch(EPOCH, EPOCHS)
    counted: set[int] = set()

    def call(x: Tensor, z: Tensor) -> Tensor:
        if "label_counts" in module.needs and x.shape[1] not in counted:
            module.set_label_counts(counts(x.shape[1]), IMAGES)
            counted.add(x.shape[1])
        return module(x, z)

    return call
