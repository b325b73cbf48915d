"""One weight vector and one bias per label: the head that turns K decoded queries into K logits."""

from mlcfast.ops.groupwise_linear.reference import groupwise_linear

__all__ = ["groupwise_linear"]
