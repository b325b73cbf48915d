"""Losses by the names a configuration uses."""

import difflib
import inspect
from collections.abc import Callable
from functools import partial

from mlcfast.losses.asymmetric import AsymmetricLoss
from mlcfast.losses.base import LabelLoss
from mlcfast.losses.expected_positives import EPRLoss, ROLELoss
from mlcfast.losses.full_labels import DistributionBalancedLoss, FocalLoss, PolyLoss, TwoWayLoss, ZLPRLoss
from mlcfast.losses.label_bce import KINDS, LabelBCE, PairwiseRankingLoss
from mlcfast.losses.missing_labels import (
    AsymmetricPseudoLabelLoss,
    EntropyMaximisationLoss,
    GeneralizedRobustLoss,
    HillLoss,
    LargeLossLoss,
    SelfPacedLossCorrection,
)

LOSSES: dict[str, Callable[..., LabelLoss]] = {
    "asymmetric": AsymmetricLoss,
    **{kind: partial(LabelBCE, kind) for kind in KINDS},
    "epr": EPRLoss,
    "role": ROLELoss,
    "pr": PairwiseRankingLoss,
    "em": EntropyMaximisationLoss,
    "em_apl": AsymmetricPseudoLabelLoss,
    **{kind: partial(LargeLossLoss, kind) for kind in ("ll_r", "ll_ct", "ll_cp")},
    "hill": HillLoss,
    "splc": SelfPacedLossCorrection,
    "gr": GeneralizedRobustLoss,
    "focal": FocalLoss,
    "poly": PolyLoss,
    "db": DistributionBalancedLoss,
    "zlpr": ZLPRLoss,
    "two_way": TwoWayLoss,
}


def build_loss(name: str, **options: object) -> LabelLoss:
    """The loss called `name`, a key of LOSSES, with its options: the parameters of its class.

    Every loss is called as loss(logits, labels, estimate_logits=None, true_labels=None) → scalar, mean over B·K.
    Raises ValueError for an unknown name or option, naming what there is.
    """
    if not isinstance(name, str) or name not in LOSSES:
        near = difflib.get_close_matches(str(name), LOSSES, n=1)
        hint = f": did you mean {near[0]}?" if near else ""
        raise ValueError(f"loss name must be one of {', '.join(LOSSES)}, not {name!r}{hint}")
    known = set(inspect.signature(LOSSES[name]).parameters) - {"kind"}
    for option in options:
        if option not in known:
            near = difflib.get_close_matches(option, known, n=1)
            hint = f": did you mean {near[0]}?" if near else ""
            raise ValueError(f"loss {name} has no option {option!r}{hint}; it has {', '.join(sorted(known)) or 'none'}")
    return LOSSES[name](**options)
