"""Launches of the Triton kernels whose tiles are chosen: the published shapes, and the steps that run them.

B images, K labels, N cells, H heads, C channels. A step calls a registered operator as training does and returns its
tensors. In Triton's interpreter, which tests use, the same steps run on the CPU.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from bench.cases.attention import HEADS, PUBLISHED
from mlcfast.ops.asymmetric_loss.reference import AsymmetricOptions
from mlcfast.ops.autograd import REDUCTION_CODES
from mlcfast.ops.label_loss.op import Formula

Step = Callable[[], tuple[Tensor, ...]]
K, DROPOUT, WIDTH = 80, 0.1, 512
CHANNELS = ((9216, 192), (2304, 768), (576, 1024))  # CvT-w24 at 384: cells and channels of its stages
LOSSES = ((16, 80), (64, 80), (256, 80), (64, 1280), (64, 9605), (256, 9605))


class Launch(NamedTuple):
    """A kernel on one shape: (B, N, K, H) of the attention's scores, (rows, C) of a LayerNorm, (B, K) of a loss.

    operator: the one whose cases prove the kernel right in bench.run's correctness suite, "" where that has none.
    """

    kernel: str
    shape: tuple[int, ...]
    dtype: torch.dtype
    operator: str = ""

    def step(self, device: str) -> Step:
        """What is timed, on tensors of its own."""
        make = {4: _attention, 2: _norm if self.kernel.startswith("layer_norm") else _loss}[len(self.shape)]
        return make(self.kernel, self.shape, self.dtype, device)


def launches(batches: tuple[int, ...]) -> Iterator[Launch]:
    """Attention of every published model, LayerNorms of CvT-w24's stages, then losses, in the types of training."""
    for kernel in ("weights_kernel", "weights_backward_kernel"):
        for B in batches:
            for cells in dict.fromkeys(N for _, N in PUBLISHED.values()):
                yield Launch(kernel, (B, cells, K, HEADS), torch.bfloat16, "label_query_attention")
    for kernel in ("layer_norm_kernel", "layer_norm_backward_kernel"):
        for B in batches:
            for cells, channels in CHANNELS:
                yield Launch(kernel, (B * cells, channels), torch.bfloat16)
    named = {"asymmetric_kernel": "asymmetric_loss", "weighted_bce_kernel": "weighted_bce", "sums_kernel": "role_loss"}
    for kernel in (*named, "label_kernel"):
        for shape in LOSSES:
            yield Launch(kernel, shape, torch.float32, named.get(kernel, ""))


def _normal(shape: tuple[int, ...], device: str, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator(device).manual_seed(seed), device=device)


def _attention(kernel: str, shape: tuple[int, ...], dtype: torch.dtype, device: str) -> Step:
    B, _, labels, heads = shape
    scores, seed = _normal(shape, device).to(dtype), torch.tensor(5, device=device)
    if kernel == "weights_kernel":
        return lambda: torch.ops.mlcfast.attention_weights(scores, WIDTH**-0.5, seed, DROPOUT, 0, False)
    weights, grad = torch.softmax(scores.float(), 1).to(dtype), _normal(shape, device, 1).to(dtype)
    given = (grad, _normal((B, labels, heads), device, 2).to(dtype), WIDTH**-0.5, weights, seed, DROPOUT, 0)
    return lambda: torch.ops.mlcfast.attention_weights_backward(*given)


def _norm(kernel: str, shape: tuple[int, ...], dtype: torch.dtype, device: str) -> Step:
    x, weight, bias = _normal(shape, device).to(dtype), *_normal((2, shape[1]), device, 1)
    if kernel == "layer_norm_kernel":
        return lambda: torch.ops.mlcfast.layer_norm(x, weight, bias, 1e-5)
    _, mean, rstd = torch.ops.mlcfast.layer_norm(x, weight, bias, 1e-5)
    grad = _normal(shape, device, 2).to(dtype)
    return lambda: torch.ops.mlcfast.layer_norm_backward(grad, x, weight, mean, rstd)


def _loss(kernel: str, shape: tuple[int, ...], dtype: torch.dtype, device: str) -> Step:
    logits, rows = _normal(shape, device).to(dtype), _normal(shape, device, 1)
    labels, mean = (rows > 1).to(torch.uint8), REDUCTION_CODES["mean"]
    ops = torch.ops.mlcfast
    return {
        "asymmetric_kernel": lambda: ops.asymmetric_loss_forward.triton(
            logits, labels, list(AsymmetricOptions()), mean, 1.0, True
        ),
        "weighted_bce_kernel": lambda: ops.weighted_bce_forward.triton(
            logits, labels, None, 1.0, 0.0, 0.0, 1.0, 0.0, 1.0, 1e-5, mean, True
        ),
        "sums_kernel": lambda: ops.expected_positives_forward.triton(
            logits, labels, rows, None, None, 2.9, 1.0, 1e-5
        ),
        "label_kernel": lambda: ops.label_loss_forward.triton(
            logits, labels, None, None, None, int(Formula.HILL), [1.5, 1.0, 2.0], mean, True
        ),
    }[kernel]  # fmt: skip
