"""A model's ONNX file in 8-bit numbers: made with training images, judged on validation images by ONNX Runtime."""

import contextlib
import logging
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch.utils.data import DataLoader

from mlcfast.config import Config
from mlcfast.data import LabelledImages
from mlcfast.data.build import evaluation_loader, open_split
from mlcfast.data.splits import TRAIN
from mlcfast.engine import Process
from mlcfast.errors import RunError, UsageError
from mlcfast.metrics import average_precision

IMAGES = 256  # that say how large activations become, spread evenly over the training images
INPUT, OUTPUT = "images", "logits"


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
            return None if images is None else {INPUT: images}

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
    made = quantised(content, (images for images, _ in _batches(config, chosen)))
    (scores, seconds), (scores_int8, seconds_int8) = (_scored(file, config, validation) for file in (content, made))
    truth = np.concatenate([labels for _, labels in _batches(config, validation)])
    score, score_int8 = (100 * float(average_precision(values, truth).mean()) for values in (scores, scores_int8))
    return made, Judged(len(validation), score, score_int8, seconds, seconds_int8)


def _batches(config: Config, records: LabelledImages) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    loader = evaluation_loader(config, records, Process())
    assert isinstance(loader, DataLoader)
    for images, labels, _ in loader:
        yield np.ascontiguousarray(images.numpy()), labels.numpy()


def _scored(content: bytes, config: Config, records: LabelledImages) -> tuple[np.ndarray, float]:
    """Logits of all images, and CPU seconds an image; on one thread, which makes seconds comparable."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    found, spent = [], 0.0
    for images, _ in _batches(config, records):
        began = time.thread_time()
        found.append(session.run([OUTPUT], {INPUT: images})[0])
        spent += time.thread_time() - began
    return np.concatenate(found), spent / len(records)


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
