"""The losses as people write them: textbook forms, and the in-place form of the asymmetric loss."""

from collections.abc import Callable

import torch
from torch import Tensor


def textbook_asymmetric(x: Tensor, y: Tensor) -> Tensor:
    """Eq. 4-7 of arXiv 2009.14119 line by line, gamma 4 and 1, clip 0.05, eps 1e-8, mean over entries."""
    p = torch.sigmoid(x)
    q = (1 - p + 0.05).clamp(max=1)
    loss = y * torch.log(p.clamp(min=1e-8)) + (1 - y) * torch.log(q.clamp(min=1e-8))
    target = p * y + q * (1 - y)
    return -(loss * torch.pow(1 - target, 1 * y + 4 * (1 - y))).sum() / x.numel()


class InPlaceAsymmetric(torch.nn.Module):
    """The memory-saving form: buffers on the module, steps in place where they can be, the focal weight detached."""

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """The same defaults as the textbook form."""
        self.not_y = 1 - y
        self.p = torch.sigmoid(x)
        self.q = 1.0 - self.p
        self.q.add_(0.05).clamp_(max=1)
        self.loss = y * torch.log(self.p.clamp(min=1e-8))
        self.loss.add_(self.not_y * torch.log(self.q.clamp(min=1e-8)))
        with torch.no_grad():
            self.p = self.p * y
            self.q = self.q * self.not_y
            self.weight = torch.pow(1 - self.p - self.q, 1 * y + 4 * self.not_y)
        self.loss *= self.weight
        total = -self.loss.sum() / x.numel()
        del self.not_y, self.p, self.q, self.loss, self.weight  # autograd holds what backward needs; no more is counted
        return total


def textbook_role(x: Tensor, z: Tensor, e: Tensor) -> Tensor:
    """ROLE with boolean-mask indexing, as in published code, expected positives 2.9."""
    B, K = x.shape
    f, estimate = torch.sigmoid(x), torch.sigmoid(e)
    return 0.5 * (_role_side(f, estimate.detach(), z) + _role_side(estimate, f.detach(), z)) / (B * K) + 0.5 * (
        _penalty(f) + _penalty(estimate)
    )


def textbook_epr(x: Tensor, z: Tensor) -> Tensor:
    """EPR with boolean-mask indexing, expected positives 2.9."""
    f = torch.sigmoid(x)
    terms = torch.zeros_like(f)
    terms[z == 1] = _neglog(f[z == 1])
    return terms.mean() + _penalty(f)


def textbook_an(x: Tensor, z: Tensor) -> Tensor:
    """Assume negative with boolean-mask indexing."""
    f = torch.sigmoid(x)
    terms = torch.zeros_like(f)
    terms[z == 1] = _neglog(f[z == 1])
    terms[z == 0] = _neglog(1 - f[z == 0])
    return terms.mean()


def compiled(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """torch.compile of a reference, for the shapes of one benchmark."""
    torch._dynamo.reset()
    return torch.compile(function, fullgraph=True, dynamic=False)


def _neglog(p: Tensor) -> Tensor:
    return -torch.log(p + 1e-5)


def _role_side(p: Tensor, target: Tensor, z: Tensor) -> Tensor:
    positive = torch.zeros_like(p)
    positive[z == 1] = _neglog(p[z == 1])
    return (positive + target * _neglog(p) + (1 - target) * _neglog(1 - p)).sum()


def _penalty(p: Tensor) -> Tensor:
    return ((p.sum(1).mean() - 2.9) / p.shape[1]) ** 2
