"""Layer normalisation of a half-precision stream."""

from mlcfast.ops.layer_norm.op import layer_norm

__all__ = ["layer_norm"]
