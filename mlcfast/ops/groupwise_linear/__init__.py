"""One weight vector and one bias per label: the head that turns K decoded queries into K logits."""

from mlcfast.ops.groupwise_linear.op import groupwise_linear
from mlcfast.ops.groupwise_linear.reference import group_size

__all__ = ["group_size", "groupwise_linear"]
