"""Scores gathered from batches that live on a device whose tensors NumPy cannot read."""

import numpy as np
import torch

from mlcfast.evaluation.gather import evaluate_loader


class OnDevice(torch.Tensor):
    """As a CUDA tensor: NumPy reads it only after `.cpu()`."""

    def numpy(self) -> np.ndarray:
        raise TypeError("can't convert cuda:0 device type tensor to numpy")

    def cpu(self) -> torch.Tensor:
        return self.as_subclass(torch.Tensor)


class Identity:
    def predict(self, images: torch.Tensor) -> torch.Tensor:
        return images


def on_device(values: list) -> torch.Tensor:
    return torch.tensor(values).as_subclass(OnDevice)


def test_batches_on_a_device_are_copied_before_numpy_reads_them():
    batches = [
        (on_device([[0.3, 0.4]]), on_device([[1, 0]]), on_device([1])),
        (on_device([[0.1, 0.2]]), on_device([[0, 1]]), on_device([0])),
    ]
    result = evaluate_loader(Identity(), batches, ["red", "green"], "evaluating", quiet=True)
    assert np.allclose(result.scores, [[0.1, 0.2], [0.3, 0.4]]) and result.labels.tolist() == [[0, 1], [1, 0]]
    assert result.is_finite and set(result.report["per_label"]) == {"red", "green"}
