"""One training step on fake tensors: what it allocates on a GPU and computes, with neither a GPU nor the arithmetic."""

import copy
from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mlcfast.config import Config
from mlcfast.data.mixing import make_mix
from mlcfast.engine.training_module import TrainingModule, make_model, model_arguments
from mlcfast.losses import LabelEstimator, TableRows, build_loss
from mlcfast.models import enable_activation_checkpointing
from mlcfast.models.precision import prepare_half_weights
from mlcfast.ops.backend import has_triton, requested
from mlcfast.planning.cuda_emulation import cuda_kernels
from mlcfast.planning.empty_tensors import EmptyTensors
from mlcfast.planning.kept import KeptTraces
from mlcfast.planning.tracker import LiveMemory

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class StepTrace:
    """Bytes alive at the step's peak beyond weights and optimizer state, and floating-point operations.

    activations: allocated by the forward pass; temporary: by the backward pass, recomputed activations included;
    gradients: of parameters, where they were kept; flops: of matrix products, convolutions and attention.
    """

    activations: int
    temporary: int
    gradients: int
    flops: int

    @property
    def peak(self) -> int:
        """The sum of all kinds of bytes at the step's peak."""
        return self.activations + self.temporary + self.gradients


@dataclass(frozen=True)
class Sizes:
    """Numbers of elements: parameters the optimizer owns, the largest of them, other parameters, floating buffers."""

    trainable: int
    largest: int
    frozen: int
    buffers: int


class Tracer:
    """Traces steps of one configuration; a trace is made once for the same arguments.

    num_labels, num_images: of the training set, which need not be there; images matter to ROLE's table only.
    directory: where traces are kept from one process to the next, if anywhere.
    """

    def __init__(self, config: Config, num_labels: int, num_images: int, directory: Path | None = None):
        self.config, self.num_labels = config, num_labels
        self._kept = KeptTraces(directory, _about(config, num_labels, num_images)) if directory else None
        self.skeleton = _skeleton(config, num_labels, num_images)
        self._empty = EmptyTensors()  # what it has learnt in one trace, such as parameters' shapes, serves the next
        self._traces: dict[tuple[int, str, bool, bool], StepTrace] = {}

    def sizes(self) -> Sizes:
        """Count the elements of the model and, for ROLE, of its table."""
        parameters = list(self.skeleton.parameters())
        owned = [p.numel() for p in parameters if p.requires_grad]
        frozen = sum(p.numel() for p in parameters if not p.requires_grad)
        buffers = sum(b.numel() for b in self.skeleton.buffers() if b.is_floating_point())
        return Sizes(sum(owned), max(owned), frozen, buffers)

    def trace(self, micro_batch: int, checkpointing: str, half_weights: bool, keep_gradients: bool) -> StepTrace:
        """Trace the forward and backward pass of one micro-batch.

        checkpointing: none or blocks; half_weights: the weights themselves are of the training precision, as under
        ZeRO-2, rather than cast by autocast; keep_gradients: count them, rather than leave that to the caller.
        """
        arguments = (micro_batch, checkpointing, half_weights, keep_gradients)
        if arguments not in self._traces:
            kept = self._kept.get(arguments, len(fields(StepTrace))) if self._kept else None
            self._traces[arguments] = StepTrace(*kept) if kept else self._trace(*arguments)
            if self._kept and not kept:
                self._kept.put(arguments, astuple(self._traces[arguments]))
        return self._traces[arguments]

    def _trace(self, micro_batch: int, checkpointing: str, half_weights: bool, keep_gradients: bool) -> StepTrace:
        module = copy.deepcopy(self.skeleton)
        if not half_weights:
            module.model.to(memory_format=torch.channels_last)
        if checkpointing == "blocks":
            enable_activation_checkpointing(module.model)
        precision = DTYPES[self.config.engine.precision]
        if half_weights:
            prepare_half_weights(module, precision)
        memory = LiveMemory(self._empty.answer)
        with cuda_kernels():
            with self._empty:
                materialise(module, precision if half_weights else None)
            memory.leave_out((*module.parameters(), *module.buffers()))
            _watch_gradients(module.parameters(), memory, keep_gradients)
            with memory:
                batch = self._batch(micro_batch)
                loss = _forward(module.train(), batch, precision, half_weights)
                memory.kind = "temporary"
                loss.backward()
        at_peak = memory.at_peak
        return StepTrace(at_peak["activations"], at_peak["temporary"], at_peak["gradients"], memory.flops)

    def _batch(self, micro_batch: int) -> tuple[Tensor, Tensor, Tensor]:
        """As the trainer holds it for the whole micro-step: images in fp32, labels, index."""
        size, mix = self.config.data.image_size, make_mix(self.config.data.mix, self.config.data.mix_options)
        images = mix.images(micro_batch) if mix else micro_batch
        return (
            torch.empty(images, 3, size, size),
            torch.empty(images, self.num_labels),
            torch.zeros(micro_batch, dtype=torch.int64),
        )


def _forward(module: TrainingModule, batch: tuple[Tensor, ...], precision: torch.dtype, half_weights: bool) -> Tensor:
    """As the engines call it."""
    images, labels, index = batch
    if half_weights:
        return module(images.to(precision), labels, index)
    with torch.autocast("cpu", precision, enabled=precision != torch.float32):
        return module(images, labels, index)


def _about(config: Config, num_labels: int, num_images: int) -> dict[str, Any]:
    """All of a configuration that a trace depends on."""
    model = config.without_initial_weights().model
    return {
        "model": model_arguments(config, num_labels),
        "freeze": model.freeze,
        "precision": config.engine.precision,
        "loss": config.loss.model_dump(mode="json"),
        "images": num_images,
        "mix": (config.data.mix, config.data.mix_options),
        "backend": (requested(), has_triton("cuda")),
    }


def _skeleton(config: Config, num_labels: int, num_images: int) -> TrainingModule:
    """The module on the meta device."""
    needs = build_loss(config.loss.name, **config.loss.options).needs
    with torch.device("meta"):
        model = make_model(config.without_initial_weights(), num_labels)
        estimator = LabelEstimator(num_images, num_labels) if "estimates" in needs else None
    return TrainingModule(model, _AnyLoss(), estimator)


class _AnyLoss(nn.Module):
    """Stands in for every loss: what they keep, a few values a logit, does not matter beside a model."""

    def forward(self, logits: Tensor, labels: Tensor, estimate_logits: TableRows | None = None) -> Tensor:
        estimates = 0 if estimate_logits is None else estimate_logits.gather().sigmoid()
        return (logits.float().sigmoid() - labels + estimates).square().mean()


def materialise(module: nn.Module, half: torch.dtype | None) -> None:
    """Replace meta tensors by new ones, fake inside FakeTensorMode; parameters by some of type `half` if given."""
    made: dict[Tensor, Tensor] = {}

    def fake(tensor: Tensor) -> Tensor:
        if tensor not in made:
            dtype = half if half and isinstance(tensor, nn.Parameter) else tensor.dtype
            new = torch.empty_strided(tensor.shape, tensor.stride(), dtype=dtype)
            made[tensor] = nn.Parameter(new, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else new
        return made[tensor]

    for part in module.modules():
        for tensors in (part._parameters, part._buffers):
            new = {name: fake(tensor) for name, tensor in tensors.items() if tensor is not None}
            tensors.update(new)  # type: ignore[arg-type]  # of a parameter fake makes a parameter


def _watch_gradients(parameters: Iterable[nn.Parameter], memory: LiveMemory, keep: bool) -> None:
    """Count each finished gradient as such, or drop it where an engine moves it into its own buffers."""

    def seen(parameter: nn.Parameter) -> None:
        if keep:
            assert parameter.grad is not None, "the hook runs after the gradient was added"
            memory.relabel(parameter.grad, "gradients")
        else:
            parameter.grad = None

    for parameter in parameters:
        if parameter.requires_grad:
            parameter.register_post_accumulate_grad_hook(seen)
