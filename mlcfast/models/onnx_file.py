"""A trained model as one ONNX file that other runtimes load, checked against the model it came from."""

import contextlib
import importlib.util
import logging
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from mlcfast.errors import RunError, UsageError
from mlcfast.models.card import ModelCard
from mlcfast.models.exported_forms import LOGITS, Form, facts_of, image_side, largest_difference

NEEDED = ("onnx", "onnxscript", "onnxruntime")
OPSET = 18
LIMIT = 2**31 - 2**24  # bytes of weights: a protocol buffer ends at 2 GiB
TALKATIVE = ("torch.onnx", "onnxscript", "onnx_ir")  # loggers of the exporter


def onnx_file(
    model: nn.Module, card: ModelCard, file: Path, quiet: bool = True, form: Form = LOGITS, fuse: bool = False
) -> tuple[bytes, float]:
    """The content of an ONNX file, and how far ONNX Runtime's output is from torch's at most, on random images.

    form: of input and output; LOGITS: input `images` (batch, 3, S, S) float32, normalised; output `logits` (batch, K)
    float32; batch is free. Metadata, as JSON: labels, preprocessing (image_size; mean and std of values in [0, 1]),
    thresholds, weights and metrics.
    quiet: whether what the exporter says of its own steps is left out. fuse: see `fused`.
    file: for what it is, which errors name. UsageError if packages are missing or the weights exceed what one ONNX file
    holds; RunError if the check fails.
    """
    _check_possible(model)
    whole, side = form.make(model, card).eval(), image_side(model)
    with _quiet_exporter() if quiet else contextlib.nullcontext():
        content = _converted(whole, card, side, form)
    content = fused(content) if fuse else content
    difference = largest_difference(in_runtime(content, form), whole, side, form)
    if not difference <= form.tolerance:
        raise RunError(f"{file}: not written: ONNX Runtime's {form.output} differ by {difference:.2g} from torch's")
    return content, difference


def fused(content: bytes) -> bytes:
    """The same model as ONNX Runtime rewrites it, which it otherwise does whenever it loads the file.

    Its own operators stand for several of ONNX's, so that other runtimes cannot load it. The rewriting is that which no
    particular processor is needed for.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.log_severity_level = 3  # errors; it warns that the file may be of this machine, which other levels are
    with tempfile.TemporaryDirectory() as place:
        options.optimized_model_filepath = str(Path(place, "fused.onnx"))
        onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        return Path(options.optimized_model_filepath).read_bytes()


def in_runtime(content: bytes, form: Form = LOGITS) -> Callable[[Tensor], Tensor]:
    """An ONNX file as a function of its input, run by ONNX Runtime on the CPU."""
    import onnxruntime

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return lambda images: torch.from_numpy(session.run([form.output], {form.input: images.numpy()})[0])


def _check_possible(model: nn.Module) -> None:
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise UsageError(f"--format onnx needs {', '.join(missing)}: pip install {' '.join(missing)}")
    size = sum(tensor.nbytes for tensor in model.state_dict().values())
    if size > LIMIT:
        raise UsageError(f"{size / 2**30:.1f} GiB of weights exceed an ONNX file's 2 GiB: use --format safetensors")


@contextlib.contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Within the block the exporter says nothing short of an error of its own steps and its own calls."""
    loggers = [logging.getLogger(name) for name in TALKATIVE]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


def _converted(model: nn.Module, card: ModelCard, side: int, form: Form) -> bytes:
    from onnx_ir.passes.common import ClearMetadataAndDocStringPass

    program = torch.onnx.export(
        model,
        (form.draw(2, side, torch.Generator()),),
        input_names=[form.input],
        output_names=[form.output],
        dynamic_shapes=({0: torch.export.Dim("batch")},),
        opset_version=OPSET,
        dynamo=True,
        verbose=False,
    )
    assert program is not None, "the exporter returns a program where dynamo is on"
    ClearMetadataAndDocStringPass()(program.model)  # the exporter notes source lines by their paths on this machine
    document = program.model_proto
    for name, value in facts_of(card).items():
        document.metadata_props.add(key=name, value=value)
    return document.SerializeToString()
