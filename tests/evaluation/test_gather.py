"""Scores gathered from batches that live on a device whose tensors NumPy cannot read."""

from contextlib import contextmanager, nullcontext

import numpy as np
import torch

from mlcfast.evaluation.gather import TOGETHER, evaluate_loader, evaluate_weights_in_turn


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


def test_every_batch_is_read_once_for_all_weights():
    """And the weights are exchanged once for several batches, where there is nothing left to predict too."""
    count, read, entered = 2 * TOGETHER + 1, [], []
    predictor = Identity()
    factor = 1.0
    predictor.predict = lambda images: factor * images

    class Batches:
        def __len__(self) -> int:
            return count

        def __iter__(self):
            for number in range(count):
                read.append(number)
                yield torch.tensor([[number / 100, 0.5]]), torch.tensor([[1, 0]]), torch.tensor([number])

    @contextmanager
    def halved():
        nonlocal factor
        entered.append(len(read))
        factor = 0.5
        yield
        factor = 1.0

    weights = {"raw": nullcontext, "ema": halved}
    found = evaluate_weights_in_turn(predictor, Batches(), ["red", "green"], "evaluating", True, weights)
    assert read == list(range(count)) and entered == [TOGETHER, 2 * TOGETHER, count]
    assert np.allclose(found["raw"].scores[:, 0], np.arange(count) / 100)
    assert np.allclose(found["ema"].scores, 0.5 * found["raw"].scores)
    assert found["ema"].labels.tolist() == [[1, 0]] * count
