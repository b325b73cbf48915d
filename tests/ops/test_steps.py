"""By count, a step of the published models moves fewer bytes than plain torch's, with at most 5 % more launches."""

from typing import Any

import pytest

from tests.conftest import ROOT
from tests.ops.launches import Kernel
from tests.ops.steps import FORMS, MODELS, counted, row

pytest.importorskip("triton")
PLAIN, OURS, RECOMPUTED, _ = FORMS


def step(*arguments: Any) -> list[Kernel]:
    forward, backward = counted(*arguments)
    return [*forward, *backward]


@pytest.mark.parametrize(("model", "bytes_of_plain"), zip(MODELS, (0.3, 0.8), strict=True))
def test_a_step_beside_plain_torch(model, bytes_of_plain):
    plain, ours = (step(model, form, 32) for form in (PLAIN, OURS))
    assert sum(kernel.bytes for kernel in ours) < bytes_of_plain * sum(kernel.bytes for kernel in plain)
    assert len(ours) < 1.05 * len(plain)  # ResNet-101's folded norms trade a kernel for one


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
@pytest.mark.parametrize("model", MODELS)
def test_the_document_says_what_is_counted(model, form):
    """`python -m tests.ops.steps` prints its table anew."""
    lines = (ROOT / "docs" / "step.md").read_text(encoding="utf-8").splitlines()
    assert row(model, form, 32) in lines


def test_recomputing_a_resnet_takes_its_batch_whole():
    few, many = (step("Q2L-R101-448", RECOMPUTED, batch) for batch in (2, 8))
    assert [kernel.name for kernel in few] == [kernel.name for kernel in many]
