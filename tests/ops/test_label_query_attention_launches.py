"""On a GPU the attention launches few kernels whatever the batch, and is predicted to beat SDPA, by count."""

import pytest

from bench.baselines.attention import sdpa, sdpa_repeated
from bench.cases.attention import PUBLISHED
from mlcfast.ops import label_query_attention
from tests.ops.launches import best, counted

pytest.importorskip("triton")
MODELS = [model for model in PUBLISHED if model != "Q2L-TResL_22k-448"]  # which has R101's shape


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("model", MODELS)
def test_kernels_bytes_and_predicted_time(model, shared):
    for B in (16, 64):
        ours = best([counted(label_query_attention, model, B, shared)])
        forms = (sdpa, sdpa_repeated) if shared else (sdpa,)
        theirs = best([counted(form, model, B, shared) for form in forms])
        assert ours["launches"][0] <= 20 and ours["launches"][1] <= 40, ours
        assert ours["bytes"] <= 1.3 * theirs["bytes"], (ours, theirs)
        assert all(a < b for a, b in zip(ours["seconds"], theirs["seconds"], strict=True)), (ours, theirs)


def test_autocast_adds_casts_and_no_slices():
    for B in (8, 300):
        forward, backward = counted(label_query_attention, "Q2L-TResL-448", B, shared=True, autocast=True)
        assert len(forward) <= 20 and len(backward) <= 40, [kernel.name for kernel in (*forward, *backward)]
        assert [kernel.name for kernel in (*forward, *backward)].count("attention_weights_backward") == 1
