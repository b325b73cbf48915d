"""A model's ONNX file in 8-bit numbers: made with training images, judged on validation images by ONNX Runtime."""

import contextlib
import logging
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from mlcfast.config import Config
from mlcfast.data.build import evaluation_loader, open_split
from mlcfast.data.splits import TRAIN
from mlcfast.engine import Process
from mlcfast.errors import RunError, UsageError
from mlcfast.evaluation.gather import evaluate_weights_in_turn
from mlcfast.models.exported_forms import LOGITS

IMAGES = 256  # that say how large activations become, spread evenly over the training images


class Judged(NamedTuple):
    """mAP in percent of both files on the same images, and the CPU seconds that each took an image."""

    images: int
    score: float
    score_int8: float
    seconds: float
    seconds_int8: float


def quantised(content: bytes, batches: Iterator[np.ndarray]) -> bytes:
    """The same ONNX model with weights of int8, a scale a channel, and activations of uint8 (QDQ, static ranges).

    batches: normalised images (m, 3, S, S) float32, whose activations' extremes become the ranges. The metadata stay.
    """
    import onnx
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(quantization.CalibrationDataReader):
        def get_next(self) -> dict[str, np.ndarray] | None:
            images = next(batches, None)
            return None if images is None else {LOGITS.input: images}

    with tempfile.TemporaryDirectory() as place, _quiet():
        plain, ready, made = (Path(place, f"{name}.onnx") for name in ("plain", "ready", "made"))
        plain.write_bytes(content)
        quant_pre_process(str(plain), str(ready), skip_symbolic_shape=True)
        kinds = {"activation_type": quantization.QuantType.QUInt8, "weight_type": quantization.QuantType.QInt8}
        quantization.quantize_static(str(ready), str(made), Reader(), per_channel=True, **kinds)
        document, before = onnx.load(made), onnx.load_model_from_string(content)
    del document.metadata_props[:]
    document.metadata_props.extend(before.metadata_props)
    return document.SerializeToString()


def calibrated_and_judged(
    content: bytes, config: Config, names: list[str], held: Path | None = None
) -> tuple[bytes, Judged]:
    """The model in 8 bits, by the configuration's training images, and both on its validation images.

    names: the model's labels; held: the run's split.csv, where it has one.

    Raises UsageError where the data are no images or have other labels, RunError where no validation image is there.
    """
    if config.data.format == "features":
        raise UsageError("--int8 needs images, of which stored features hold none")
    data = config.data
    first = TRAIN if data.val_share is not None else data.train
    train = open_split(data, first, names, config.seed, held)
    validation = open_split(data, data.val, names, config.seed, held, train.cells)
    if not len(validation):
        raise RunError(f"{config.data.root}: no validation images to judge the 8-bit model by")
    chosen = train.subset(np.unique(np.linspace(0, len(train) - 1, IMAGES).astype(int)))
    images = (np.ascontiguousarray(batch.numpy()) for batch, *_ in evaluation_loader(config, chosen, Process()))
    made = quantised(content, images)
    runtimes = {"fp32": _Runtime(content), "int8": _Runtime(made)}
    turns = _Turns()
    results = evaluate_weights_in_turn(
        turns, evaluation_loader(config, validation, Process()), names, "comparing", False,
        {name: partial(turns.of, runtime) for name, runtime in runtimes.items()},
    )  # fmt: skip
    exact, rounded = (results[name].report["mAP"] for name in runtimes)
    seconds = [runtime.seconds / len(validation) for runtime in runtimes.values()]
    return made, Judged(len(validation), exact, rounded, *seconds)


class _Runtime:
    """A session of ONNX Runtime on one thread, which makes seconds comparable, and the CPU time it has taken."""

    def __init__(self, content: bytes):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = 1, 3
        self.session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        self.seconds = 0.0

    def predict(self, images: Tensor) -> Tensor:
        """images (B, 3, S, S) float32, normalised -> probabilities (B, K)."""
        given, began = np.ascontiguousarray(images.numpy()), time.thread_time()
        (logits,) = self.session.run([LOGITS.output], {LOGITS.input: given})
        self.seconds += time.thread_time() - began
        return torch.from_numpy(logits).sigmoid()


class _Turns:
    """Predicts with the runtime whose turn it is."""

    @contextlib.contextmanager
    def of(self, runtime: _Runtime) -> Iterator[None]:
        """Within it this one predicts."""
        self.predict = runtime.predict
        yield


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Within it the quantiser says nothing short of an error; it speaks through the root logger and stdout."""
    root, before = logging.getLogger(), logging.getLogger().level
    root.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(None), torch.no_grad():
            yield
    finally:
        root.setLevel(before)
