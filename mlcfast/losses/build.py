"""Builds losses by the names a configuration uses."""

from collections.abc import Callable
from functools import partial

from mlcfast.losses.asymmetric import AsymmetricLoss
from mlcfast.losses.base import LabelLoss
from mlcfast.losses.expected_positives import EPRLoss, ROLELoss
from mlcfast.losses.full_labels import DistributionBalancedLoss, FocalLoss, PolyLoss, TwoWayLoss, ZLPRLoss
from mlcfast.losses.label_bce import KINDS, LabelBCE, PairwiseRankingLoss
from mlcfast.losses.label_smoothing import WITHOUT
from mlcfast.losses.missing_labels import (
    AsymmetricPseudoLabelLoss,
    EntropyMaximisationLoss,
    GeneralizedRobustLoss,
    HillLoss,
    LargeLossLoss,
    SelfPacedLossCorrection,
)
from mlcfast.registry import Registry, as_callable, check_options

_LOSSES: dict[str, Callable[..., LabelLoss]] = {
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

LOSSES = Registry("loss name", _LOSSES)
# Those for complete labels: what is not present they learn as absent, also what is unknown.
FOR_FULL_LABELS = frozenset({"asymmetric", "bce", "bce_ls", "focal", "poly", "db", "zlpr", "two_way"})


def build_loss(name: str, **options: object) -> LabelLoss:
    """The loss called `name`, a key of LOSSES or anybody's as `package.module:name`, with its options.

    The options are the parameters of its class. Every loss is called as
    loss(logits, labels, estimate_logits=None, true_labels=None) → scalar, mean over B·K.
    Raises ValueError for an unknown name or option, naming what there is, and for an object that is no LabelLoss.
    """
    make = as_callable(LOSSES.find(name), "loss name")
    if "label_smoothing" in options and name in WITHOUT:
        raise ValueError(f"loss {name} takes no label_smoothing: {WITHOUT[name]}")
    check_options(make, options, f"loss {name}", given=["kind"] if name in LOSSES else [])
    loss = make(**options)
    if not isinstance(loss, LabelLoss):
        raise ValueError(f"loss {name} gives a {type(loss).__name__}, not a mlcfast.losses.LabelLoss")
    return loss
