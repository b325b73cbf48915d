"""The losses as people write them, beside ours: textbook and in-place forms, torch.compile and torchvision."""

from collections.abc import Callable

import torch
from torch import Tensor

from mlcfast import ops
from mlcfast.ops.asymmetric_loss.reference import asymmetric_loss as asymmetric_reference
from mlcfast.ops.expected_positives.reference import epr_loss as epr_reference
from mlcfast.ops.expected_positives.reference import role_loss as role_reference
from mlcfast.ops.label_bce.reference import weighted_bce as bce_reference
from tests.ops import textbook_losses

OPERATORS = {"asymmetric": "asymmetric_loss", "role": "role_loss", "epr": "epr_loss", "an": "weighted_bce"}
OURS, COMPILED, FOCAL = "mlcfast", "torch.compile", "torchvision focal"
POSITIVES = 2.9

Inputs = tuple[Tensor, Tensor, Tensor]


def contenders(loss: str) -> dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]]:
    """name -> loss(logits, float labels, estimate logits)."""
    if loss in textbook_losses.TEXTBOOKS:
        return _of_two(_later(loss))
    ours, definition, textbook = {
        "role": (ops.role_loss, role_reference, textbook_role),
        "epr": (ops.epr_loss, epr_reference, textbook_epr),
        "an": (ops.weighted_bce, bce_reference, textbook_an),
        "asymmetric": (ops.asymmetric_loss, asymmetric_reference, textbook_asymmetric),
    }[loss]
    if loss == "role":
        fast = compiled(lambda x, y, e: definition(x, y, e, POSITIVES))
        return {OURS: lambda x, y, e: ours(x, y, e, POSITIVES), "textbook": textbook, COMPILED: fast}
    more = (POSITIVES,) if loss == "epr" else ()
    found = {OURS: lambda x, y: ours(x, y, *more), "textbook": textbook}
    found |= {"in-place": InPlaceAsymmetric(), FOCAL: _focal} if loss == "asymmetric" else {}
    found |= {COMPILED: compiled(lambda x, y: definition(x, y, *more))}
    return _of_two(found)


def _later(loss: str) -> dict[str, Callable[[Tensor, Tensor], Tensor]]:
    book = textbook_losses.TEXTBOOKS[loss]
    forms = {"textbook": book.entries} | ({"products": book.products} if book.products else {})
    means = {name: lambda x, z, entries=entries: entries(x, z).mean() for name, entries in forms.items()}
    found = {OURS: textbook_losses.ours(loss), **means, COMPILED: compiled(means[list(means)[-1]])}
    return found | ({"torch's own": book.own} if book.own else {})


def _of_two(
    found: dict[str, Callable[[Tensor, Tensor], Tensor]],
) -> dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]]:
    return {name: lambda x, y, e, function=function: function(x, y) for name, function in found.items()}


def compiled(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """torch.compile of a reference, for the shapes of one benchmark."""
    torch._dynamo.reset()
    return torch.compile(function, fullgraph=True, dynamic=False)


def make_inputs(B: int, K: int, device: str, dtype: torch.dtype) -> Inputs:
    """Logits, float labels with 3 % positives, an estimator's logits; the first and the last learn."""
    logits = torch.randn(B, K, device=device).to(dtype).requires_grad_()
    labels = (torch.rand(B, K, device=device) < 0.03).float()
    return logits, labels, torch.randn(B, K, device=device).requires_grad_()


def stepper(function: Callable[..., Tensor], sets: list[Inputs]) -> Callable[[], None]:
    """Forward and backward on the next of the rotating inputs."""
    turn = [0]

    def step() -> None:
        x, y, e = sets[turn[0] % len(sets)]
        turn[0] += 1
        x.grad = e.grad = None
        function(x, y, e).backward()

    return step


def textbook_asymmetric(x: Tensor, y: Tensor, detach_weight: bool = False) -> Tensor:
    """Eq. 4-7 of arXiv 2009.14119 line by line in fp32, gamma 4 and 1, clip 0.05, eps 1e-8, mean over entries.

    detach_weight: the focal weight has no gradient, as published training computes it. fp64 stays fp64.
    """
    x = x if x.dtype == torch.float64 else x.float()
    p = torch.sigmoid(x)
    q = (1 - p + 0.05).clamp(max=1)
    loss = y * torch.log(p.clamp(min=1e-8)) + (1 - y) * torch.log(q.clamp(min=1e-8))
    with torch.set_grad_enabled(torch.is_grad_enabled() and not detach_weight):
        weight = torch.pow(1 - p * y - q * (1 - y), 1 * y + 4 * (1 - y))
    return -(loss * weight).sum() / x.numel()


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


def textbook_role(x: Tensor, z: Tensor, e: Tensor, masked: bool = True) -> Tensor:
    """ROLE (arXiv 2106.09708) line by line; masked: with boolean-mask indexing, as published, or by products."""
    f, estimate = torch.sigmoid(x), torch.sigmoid(e)

    def positive(p: Tensor) -> Tensor:
        if not masked:
            return z * _neglog(p)
        terms = torch.zeros_like(p)
        terms[z == 1] = _neglog(p[z == 1])
        return terms

    def side(p: Tensor, target: Tensor) -> Tensor:
        return (positive(p) + target * _neglog(p) + (1 - target) * _neglog(1 - p)).mean() + _penalty(p)

    return 0.5 * (side(f, estimate.detach()) + side(estimate, f.detach()))


def textbook_epr(x: Tensor, z: Tensor) -> Tensor:
    """EPR with boolean-mask indexing."""
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


def _focal(x: Tensor, y: Tensor) -> Tensor:
    from torchvision.ops import sigmoid_focal_loss  # a different loss of a similar shape

    return sigmoid_focal_loss(x, y, reduction="mean")


def _neglog(p: Tensor) -> Tensor:
    return -torch.log(p + 1e-5)


def _penalty(p: Tensor) -> Tensor:
    return ((p.sum(1).mean() - POSITIVES) / p.shape[1]) ** 2
