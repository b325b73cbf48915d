"""Cross-attention from a few label queries to the cells of a feature map."""

from mlcfast.ops.label_query_attention.op import label_query_attention

__all__ = ["label_query_attention"]
