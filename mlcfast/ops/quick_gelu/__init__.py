"""The activation of CvT's MLPs."""

from mlcfast.ops.quick_gelu.op import quick_gelu

__all__ = ["quick_gelu"]
