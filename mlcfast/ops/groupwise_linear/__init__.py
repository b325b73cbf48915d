"""One weight vector and one bias per label: the head that turns K decoded queries into K logits."""

from mlcfast.ops.groupwise_linear.op import group_size, groupwise_linear

__all__ = ["group_size", "groupwise_linear"]
