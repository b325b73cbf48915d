"""Weights of labels, given or balanced by how often each label is positive: one way for every loss that takes them."""

from collections.abc import Sequence

import torch
from torch import Tensor

from mlcfast.losses.base import LabelLoss
from mlcfast.ops.checks import as_number, check_logits, outlives_call
from mlcfast.ops.numerics import Weights

# What a method balances, and its number: an exponent, or β of the effective number of images.
METHODS = {"neg_pos": ("pos_weight", 1.0), "inv_freq": ("class_weight", 1.0), "effective_num": ("class_weight", 0.999)}


def balanced_weights(
    method: str, label_counts: Tensor | Sequence[float], images: int, number: float | None = None
) -> Tensor:
    """Weights (K,) in fp64 from the number of positives n of each label among M images; n is at least 1.

    neg_pos: ((M − n) / n)^number, 1 by default, and n at most M − 1, or a label that all images have would weigh
    nothing; inv_freq: (M / n)^number, 1 by default, over its mean; effective_num: 1 / (1 − number^n), 0.999 by default,
    over its mean (class-balanced loss, arXiv 1901.05555).
    label_counts: (K,), any real dtype. Raises ValueError for counts outside [0, M], another method or a number that it
    does not take.
    """
    counts = checked_counts(label_counts, images, images - (method == "neg_pos"))
    if method not in METHODS:
        raise ValueError(f"a method must be one of {', '.join(METHODS)}, not {method!r}")
    power = as_number(METHODS[method][1] if number is None else number, method)
    if method == "neg_pos":
        return ((images - counts) / counts) ** power
    if method == "effective_num":
        if not 0 < power < 1:
            raise ValueError(f"effective_num must be above 0 and below 1, not {number!r}")
        weights = 1 / (1 - power**counts)
    else:
        weights = (images / counts) ** power
    return weights / weights.mean()


def checked_counts(label_counts: object, images: int, most: int) -> Tensor:
    """Counts (K,) in fp64, drawn into [1, most]: frequencies are finite, and up to images − 1 odds; else ValueError."""
    try:
        counts = torch.as_tensor(label_counts, dtype=torch.float64, device="cpu")
    except (TypeError, ValueError, RuntimeError):
        raise ValueError(f"label_counts must be numbers, one a label, not {label_counts!r}") from None
    if counts.dim() != 1 or not (counts >= 0).all() or not (counts <= images).all() or images < 2:
        raise ValueError(f"label_counts must be (K,), each from 0 to the number of images, which is {images}")
    return counts.clamp(1, most)


class LabelWeights:
    """pos_weight multiplies the entries of positives, class_weight those of a label whatever its value.

    Each is a number, K numbers, the name of a method of `balanced_weights`, or {method: number}; None is 1. A soft
    positive y weighs class_weight · (1 + y (pos_weight − 1)). Methods wait for `set_label_counts`.
    """

    def __init__(self, pos_weight: object = None, class_weight: object = None) -> None:
        given = {"pos_weight": pos_weight, "class_weight": class_weight}
        self.given = {name: _parsed(value, name) for name, value in given.items() if value is not None}
        self.methods = {name: value for name, value in self.given.items() if isinstance(value, tuple)}
        self.values = {name: value for name, value in self.given.items() if isinstance(value, Tensor)}
        self.made: dict[tuple[torch.device | None, bool, int], Weights] = {}

    def set_label_counts(self, label_counts: Tensor, images: int) -> None:
        """See LabelLoss."""
        for name, (method, number) in self.methods.items():
            self.values[name] = balanced_weights(method, label_counts, images, number)
        self.made.clear()

    def of(self, logits: Tensor) -> Weights | None:
        """The weights of positives and of other entries, (K,) each, beside the logits (…, K); None for all 1.

        fp32, or fp64 for fp64 logits. Raises ValueError for logits that are none, where a method has not been given its
        counts, or where there is another number of weights.
        """
        if not self.given:
            return None
        check_logits(logits)
        key = (None if logits.is_cpu else logits.device, logits.dtype == torch.float64, logits.shape[-1])
        if key in self.made:
            return self.made[key]
        weights = self._make(logits.device, torch.float64 if key[1] else torch.float32, key[2])
        if outlives_call(weights[0]):
            self.made[key] = weights
        return weights

    def check_labels(self, K: int) -> None:
        """See LabelLoss."""
        for name, weights in self.values.items():
            if weights.numel() != 1 and weights.numel() != K:  # torch 2.11 compiles no `in` of a size that may vary
                raise ValueError(f"{name} must be a number or {K} numbers, one a label, not {weights.numel()}")

    def _make(self, device: torch.device, dtype: torch.dtype, K: int) -> Weights:
        for name in self.given:
            if name not in self.values:
                raise ValueError(f"{name} {self.methods[name][0]} needs label counts: call set_label_counts first")
        self.check_labels(K)
        one = torch.ones(1, dtype=torch.float64, device="cpu")  # whatever the default is
        other = self.values.get("class_weight", one)
        positive = self.values.get("pos_weight", one) * other
        positive, other = (weight.expand(K).to(device, dtype).contiguous() for weight in (positive, other))
        return positive, other

    def __repr__(self) -> str:
        shown = {name: value.tolist() if isinstance(value, Tensor) else value for name, value in self.given.items()}
        return "".join(f", {name}={value!r}" for name, value in shown.items())


def _parsed(value: object, name: str) -> Tensor | tuple[str, float | None]:
    """Weights as fp64, (1,) or (K,), or a method and its number."""
    if isinstance(value, dict) and len(value) == 1:
        ((value, number),) = value.items()
    else:
        number = None
    if isinstance(value, str):
        right = [method for method, (kind, _) in METHODS.items() if kind == name]
        if value not in right:
            raise ValueError(f"{name} must be a number, a number for each label, {' or '.join(right)}, not {value!r}")
        balanced_weights(value, [1.0], 2, number)
        return value, number
    try:
        weights = torch.as_tensor(value, dtype=torch.float64, device="cpu").detach().reshape(-1)
    except (TypeError, ValueError, RuntimeError):
        raise ValueError(f"{name} must be a number or a number for each label, not {value!r}") from None
    if not weights.isfinite().all() or (weights < 0).any() or not weights.numel():
        raise ValueError(f"{name} must be finite numbers of at least 0, not {value!r}")
    return weights


class WeighedLoss(LabelLoss):
    """A loss of entries that takes pos_weight and class_weight, see LabelWeights."""

    def __init__(self, pos_weight: object = None, class_weight: object = None) -> None:
        super().__init__()
        self.weights = LabelWeights(pos_weight, class_weight)
        if self.weights.methods:
            self.needs = self.needs | {"label_counts"}

    def set_label_counts(self, label_counts: Tensor, images: int) -> None:
        """See LabelLoss."""
        self.weights.set_label_counts(label_counts, images)

    def check_labels(self, K: int) -> None:
        """See LabelLoss."""
        self.weights.check_labels(K)
